"""The one typed settings model. Every other room asks `load()`; nobody else reads the environment.

A setting is spelled `section.name`, such as `bridge.window`. It comes, the later one winning, from

1. the defaults below,
2. a TOML file, `rs.toml` in the working directory or the file that RS_SETTINGS names:  [bridge] window = 500
3. the environment:  RS_BRIDGE__WINDOW=500
4. the Config Server (`pipeline.configserver`), which holds all but passwords and what belongs to one process or machine

A wrong name or value stops the program with one line that says what, where and how to mend it. What is marked LIVE is read again
while the process runs: take it from `pipeline.configserver.now()`. `python -m pipeline.settings_page` writes docs/settings.md.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

FILE_VARIABLE = "RS_SETTINGS"
DEFAULT_FILE = "rs.toml"
SQLITE = "sqlite:///"

PREFIX, NESTED = "RS_", "__"


@dataclass(frozen=True, slots=True)
class Mark:
    """Says of a setting where it may be set and when a change counts; in its field's metadata."""

    name: Literal["live", "local"]


LIVE = Mark("live")  # whoever uses it reads it again: a change in the Config Server counts within seconds
LOCAL = Mark("local")  # of one process or machine: the Config Server, which is for all, does not hold it

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0)]
Days = Annotated[float, Field(ge=0, le=36_500)]


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError("not an IANA time zone, such as Europe/Berlin") from exc
    return name


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a slip of the pen is not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Config(Section):
    """The Config Server: the application object with options for all processes, and the names of tenants, IVR profiles and components."""

    server: Annotated[str, LOCAL] = Field(
        "file:config",
        pattern=r"^(none|file:.+|etcds?://[^,/@]+(,[^,/@]+)*)$",
        description="file:FOLDER (relative paths lie below stack.data), etcd://HOST:8888,HOST:8888, etcds://... with TLS, or none",
    )
    application: Annotated[str, LOCAL] = Field(
        "reporting-server", pattern=r"^[\w.-]+$", description="name of the application object; rs init makes it"
    )
    user: Annotated[str, LOCAL] = Field("", description="of etcd; empty: etcd asks for none")
    password: SecretStr = Field(SecretStr(""), description="of that user")
    password_file: Annotated[Path | None, LOCAL] = Field(
        None, description="a file with that password on one line, instead of config.password"
    )
    ca_file: Annotated[Path | None, LOCAL] = Field(
        None, description="with etcds: certificates (PEM) that vouch for the server's; empty: those of the machine"
    )
    cert_file: Annotated[Path | None, LOCAL] = Field(None, description="with etcds: a client certificate (PEM), if the server asks for one")
    key_file: Annotated[Path | None, LOCAL] = Field(None, description="with etcds: the key (PEM) of that certificate")
    timeout: Annotated[Seconds, LOCAL] = Field(5.0, description="seconds that an answer may take")


class ActiveMQ(Section):
    """Where billing messages come from."""

    host: str = Field("127.0.0.1", description="of the broker")
    port: Port = Field(61616, description="of the broker's STOMP")
    queues: tuple[str, ...] = Field(("rs.billing",), min_length=1, description="queues of billing messages; ActiveMQ wildcards allowed")
    user: str = Field("", description="of the broker; empty: it asks for none")
    password: SecretStr = Field(SecretStr(""), description="of that user")
    password_file: Annotated[Path | None, LOCAL] = Field(
        None, description="a file with that password on one line, instead of activemq.password"
    )
    tls: bool = Field(False, description="over TLS: the broker's certificate, and the name in it, are checked")
    ca_file: Annotated[Path | None, LOCAL] = Field(
        None, description="with tls: certificates (PEM) that vouch for the broker's; empty: those of the machine"
    )
    cert_file: Annotated[Path | None, LOCAL] = Field(None, description="with tls: a client certificate (PEM), if the broker asks for one")
    key_file: Annotated[Path | None, LOCAL] = Field(None, description="with tls: the key (PEM) of that certificate")
    credentials: Annotated[Path | None, LOCAL] = Field(
        None, description="with tls: rs up starts its broker with the certificate and the users of this folder (docs/activemq.md)"
    )


class Kafka(Section):
    """The log and the tables' changelogs."""

    bootstrap: str = Field("127.0.0.1:9092", description="host:port of the brokers, separated by commas")
    partitions: int = Field(8, ge=1, le=1000, description="partitions of a first log; later rs rebuild --partitions changes their number")
    replication: int = Field(1, ge=1, le=9, description="brokers that keep each record, when topics are made")
    instance: Annotated[str, LOCAL] = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,200}$",
        description="name of this worker that outlives its restarts, no two at a time: one that is back in time moves no partitions "
        "(static membership); empty: none",
    )


class Bridge(Section):
    """From ActiveMQ to Kafka."""

    window: int = Field(500, ge=1, le=65535, description="messages taken from ActiveMQ and not yet acknowledged (activemq.prefetchSize)")
    max_message_bytes: int = Field(1_048_576, ge=1024, description="a longer message is set aside")
    max_event_bytes: int = Field(65_536, ge=1024, description="a longer element of a message is set aside")


class Checkpoint(Section):
    """When the agents store what they have folded."""

    interval: Seconds = Field(0.2, description="seconds between two checkpoints of a worker")
    max_events: int = Field(50_000, ge=1, description="events folded at most between two checkpoints")


class Tables(Section):
    """The tables of the agents."""

    store: Literal["memory", "rocksdict"] = Field(
        "memory", description="where workers keep encoded rows: memory, or rocksdict on disk (slower, for tables larger than memory)"
    )


class Fold(Section):
    """How billing messages become calls and bins."""

    lateness: Seconds = Field(48 * 3600.0, description="seconds behind stream time after which an event is late; 0: never")
    generation: Annotated[int, LOCAL] = Field(
        0, ge=0, description="0: workers are of the current generation; rs rebuild starts those of the next with this"
    )


class Cdr(Section):
    """Calls and their sessions."""

    call_timeout: Seconds = Field(6 * 3600.0, description="seconds after its last event at which a session without end is closed; 0: never")
    keep_timed_out: Seconds = Field(30 * 86_400.0, description="seconds that a call with a timed-out session waits for a late end")


class Sinks(Section):
    """The store of calls and bins."""

    database: str = Field(
        "sqlite:///reporting.sqlite3",
        description="where calls and bins are stored: sqlite:///FILE (relative paths lie below stack.data), "
        "mssql://USER@HOST:1433/DATABASE, or odbc:CONNECTION STRING",
    )
    password: SecretStr = Field(SecretStr(""), description="of the user that sinks.database names")
    password_file: Annotated[Path | None, LOCAL] = Field(
        None, description="a file with that password on one line, instead of sinks.password"
    )
    interval: Seconds = Field(0.3, description="seconds between two transactions")
    max_rows: int = Field(20_000, ge=1, description="rows buffered at most before a transaction begins")
    max_outage: Seconds = Field(7 * 86_400.0, description="how long the store may be away before a rebuild is needed")


class Retention(Section):
    """Days that rows stay in the store, counted from the end of what they tell, against the store's stream time. With fold.lateness 0
    they stay for ever."""

    cdr: Annotated[Days, LIVE] = Field(
        30, description="calls and their sessions, from the call's end; kept longer until the month is billed"
    )
    events: Annotated[Days, LIVE] = Field(7, description="event logs of sessions")
    var: Annotated[Days, LIVE] = Field(
        30, description="VAR actions, custom variables and results, from the call's end; no longer than retention.cdr"
    )
    failures: Annotated[Days, LIVE] = Field(365, description="service quality failures")
    five_minutes: Annotated[Days, LIVE] = Field(2, description="bins of five minutes, from their end")
    thirty_minutes: Annotated[Days, LIVE] = Field(7, description="bins of thirty minutes")
    hour: Annotated[Days, LIVE] = Field(7, description="bins of an hour")
    day: Annotated[Days, LIVE] = Field(90, description="bins of a day")
    week: Annotated[Days, LIVE] = Field(364, description="bins of a week")
    month: Annotated[Days, LIVE] = Field(1095, description="bins of a month")
    interval: Annotated[Seconds, LIVE] = Field(
        600.0, description="seconds between two purges by the sinks worker; 0: only rs purge removes rows"
    )
    batch: Annotated[int, LIVE] = Field(1000, ge=1, le=100_000, description="calls, bins or failures removed in one transaction")


class Billing(Section):
    """Months that statements are made of."""

    close_after: Annotated[Days, LIVE] = Field(
        5, description="days after the end of a month at which it may be closed; its sessions stay until then"
    )
    rounding: Annotated[Literal["started", "nearest", "whole"], LIVE] = Field(
        "started", description="how each session becomes minutes: started, nearest or whole ones; a closed month keeps its rule"
    )
    adjust_interval: Annotated[Seconds, LIVE] = Field(
        3600.0, description="seconds between two looks of the sinks worker for changes in closed months; 0: only rs billing adjust looks"
    )


class Reports(Section):
    """The pages and the API."""

    host: str = Field("127.0.0.1", description="address that they listen on")
    port: Port = Field(8080, description="port of pages, API and health")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="IANA zone in which DAY, WEEK and MONTH begin")
    page_size: int = Field(100, ge=1, le=1000, description="calls on a page")
    latency_targets: dict[str, Annotated[float, Field(ge=0)]] = Field(
        {}, description="latency type and the average in ms that is still acceptable; a type without one always is"
    )
    assets: Annotated[Path, LOCAL] = Field(Path(".rs/assets"), description="browser assets of the pages: WebJars, unpacked as NAME/...")


class Health(Section):
    """Probes and metrics of the workers."""

    host: Annotated[str, LOCAL] = Field("127.0.0.1", description="address that they listen on")
    bridge_host: Annotated[str, LOCAL] = Field("", description="where the agents reach the bridge's readiness; empty: health.host")
    bridge_port: Annotated[Port, LOCAL] = Field(8081, description="of the bridge")
    agents_port: Annotated[Port, LOCAL] = Field(8082, description="of an agents worker")
    sinks_port: Annotated[Port, LOCAL] = Field(8083, description="of a sinks worker")


class Snmp(Section):
    """Figures and notifications by SNMP, from the view."""

    enterprise: int = Field(
        32473, ge=1, le=2_147_483_647, description="enterprise number above the MIB; the default is the one that is reserved for examples"
    )
    master: str = Field(
        "",
        pattern=r"^(tcp:.+:\d{1,5}|unix:.+)?$",
        description="AgentX address of a master agent, such as tcp:127.0.0.1:1705; empty: own agent",
    )
    host: str = Field("127.0.0.1", description="address that the own agent listens on")
    port: Port = Field(1161, description="UDP port of the own agent")
    community: SecretStr = Field(SecretStr("public"), description="of SNMPv2c; empty: no v2c")
    user: str = Field("", max_length=32, description="of SNMPv3, by SHA-256 and AES; empty: no v3")
    auth_password: SecretStr = Field(SecretStr(""), description="of that user, 8 characters or more")
    priv_password: SecretStr = Field(SecretStr(""), description="of that user, 8 characters or more")
    targets: tuple[str, ...] = Field(("127.0.0.1:1162",), description="HOST:PORT that the own agent sends notifications to")
    notify: Literal["trap", "inform"] = Field("trap", description="inform: a notification is repeated until it is confirmed")
    notify_by: Literal["v2c", "v3"] = Field("v2c", description="version of the notifications")
    health_port: Annotated[Port, LOCAL] = Field(8090, description="health and metrics of the view")
    parts: Annotated[dict[str, str], LOCAL] = Field(
        default_factory=dict, description="name and URL of each process that the view asks; empty: those of section health and the reports"
    )
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="tenants and components shown at most, by partition of their table")
    raise_after: Annotated[Seconds, LIVE] = Field(10.0, description="seconds that a condition lasts before it is raised")
    clear_after: Annotated[Seconds, LIVE] = Field(60.0, description="seconds that it is over before it is cleared")
    lag_limit: Annotated[int, LIVE] = Field(10_000, ge=1, description="records that a stage may be behind")
    quarantine_limit: Annotated[int, LIVE] = Field(10, ge=0, description="records a minute that a stage may set aside")
    timeouts_limit: Annotated[int, LIVE] = Field(10, ge=0, description="sessions a minute that may be closed without an end")
    usage_limits: Annotated[dict[int, int], LIVE] = Field(
        default_factory=dict, description="tenant's DBID and its sessions in progress at most"
    )
    quality_target: Annotated[float, LIVE] = Field(95.0, ge=0, le=100, description="service quality of a tenant's hour, percent")
    quality_calls: Annotated[int, LIVE] = Field(20, ge=1, description="MCP sessions of an hour from which on its service quality is judged")


class Stack(Section):
    """The local stack that `rs up` starts."""

    data: Annotated[Path, LOCAL] = Field(Path(".rs/data"), description="where brokers, tables and the SQLite database live")
    processes: Annotated[int, LOCAL] = Field(1, ge=1, le=16, description="agents workers")
    rate: Annotated[float, LOCAL] = Field(2.0, gt=0, le=10_000, description="calls a second that the simulator starts")


class Log(Section):
    """What each process says on its standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], LIVE] = Field("info", description="the least that is said")
    format: Literal["text", "json"] = Field("text", description="for people, or for programs")


class Settings(BaseSettings):
    """`below`: what the settings are without the Config Server; None if it gave nothing to these."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=NESTED, extra="forbid", frozen=True)

    config: Config = Config()
    activemq: ActiveMQ = ActiveMQ()
    kafka: Kafka = Kafka()
    bridge: Bridge = Bridge()
    checkpoint: Checkpoint = Checkpoint()
    tables: Tables = Tables()
    fold: Fold = Fold()
    cdr: Cdr = Cdr()
    sinks: Sinks = Sinks()
    retention: Retention = Retention()
    billing: Billing = Billing()
    reports: Reports = Reports()
    health: Health = Health()
    snmp: Snmp = Snmp()
    stack: Stack = Stack()
    log: Log = Log()

    _below: Settings | None = PrivateAttr(None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=_file())

    @property
    def database_file(self) -> Path | None:
        """The SQLite file that sinks.database names, absolute; None if the store is another one."""
        if not self.sinks.database.startswith(SQLITE):
            return None
        return (self.stack.data / self.sinks.database.removeprefix(SQLITE)).absolute()

    def environment(self) -> dict[str, str]:
        """Environment variables that give a child process these settings, secrets in the clear. What the Config Server holds is not
        among them: the child asks it."""
        return {
            f"{PREFIX}{section}{NESTED}{name}".upper(): text_of(getattr(group, name))
            for section, group in self._below or self
            for name in type(group).model_fields
            if name in group.model_fields_set and getattr(group, name) is not None
        }

    def get(self, name: str) -> object:
        """The value of `section.name`."""
        section, _, option = name.partition(".")
        return getattr(getattr(self, section), option)

    def over(self, values: Mapping[str, object]) -> Settings:
        """These settings with values of the Config Server laid over them, by `section.name`. The values must be right."""
        groups: dict[str, dict[str, object]] = {}
        for name, value in values.items():
            if value == self.get(name):
                continue
            section, _, option = name.partition(".")
            groups.setdefault(section, {})[option] = value
        if not groups:
            return self
        made = self.model_copy(update={section: getattr(self, section).model_copy(update=given) for section, given in groups.items()})
        made._below = self._below or self
        return made


Holding = Literal["live", "restart", "local", "secret"]
"""Of a setting: the Config Server may hold it, and a change counts at once or after a restart; it is of one process; it is a secret."""


class Option(NamedTuple):
    name: str  # section.name
    field: FieldInfo
    holding: Holding

    @property
    def default(self) -> object:
        return self.field.get_default(call_default_factory=True)

    def parsed(self, text: str) -> object:
        """The value that a text from the Config Server spells. Raises WrongSettings."""
        section, _, option = self.name.partition(".")
        given: object = text
        if get_origin(self.field.annotation) in (tuple, dict):
            try:
                given = json.loads(text)
            except ValueError:
                raise WrongSettings(f"setting {self.name} is {text!r}: write it as JSON, such as {text_of(self.default)}") from None
        try:
            return getattr(_sections()[section](**{option: given}), option)
        except ValidationError as exc:
            raise WrongSettings("; ".join(_fault(error, section) for error in exc.errors())) from None


@lru_cache(maxsize=1)
def options() -> Mapping[str, Option]:
    """Every setting by its name, in the order of the model."""
    return {
        f"{section}.{name}": Option(f"{section}.{name}", field, _holding(field))
        for section, group in _sections().items()
        for name, field in group.model_fields.items()
    }


@lru_cache(maxsize=1)
def _sections() -> dict[str, type[Section]]:
    return {name: type(field.default) for name, field in Settings.model_fields.items()}


def _holding(field: FieldInfo) -> Holding:
    if field.annotation is SecretStr:
        return "secret"
    for mark in field.metadata:
        if isinstance(mark, Mark):
            return mark.name
    return "restart"


class WrongSettings(ValueError):
    """One line a fault: which setting, what was given, what is allowed."""


def read(**given: Any) -> Settings:
    """Read file and environment afresh, with what is given over them. Asks no Config Server. Raises WrongSettings."""
    named = os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise WrongSettings(f"{FILE_VARIABLE} names {named}, which is not a file: create it or unset the variable")
    faults = _unknown_variables()
    try:
        found = Settings(**given)
    except ValidationError as exc:
        faults += [_fault(error) for error in exc.errors()]
    except ValueError as exc:  # a file that is not TOML, a list that is not JSON
        faults.append(f"settings cannot be read from {_file()} and the environment: {exc.__cause__ or exc}")
    if faults:
        raise WrongSettings("\n".join(faults))
    return found


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings that this process has started with, from all layers, read once. Raises WrongSettings."""
    from pipeline.configserver import process

    return process.begin(read())


def origins() -> dict[str, str]:
    """Where file and environment set something: `section.name` -> the file, or the variable."""
    found: dict[str, str] = {}
    layers = (TomlConfigSettingsSource(Settings, toml_file=_file())(), str(_file())), (EnvSettingsSource(Settings)(), "")
    for values, where in layers:
        for section, group in values.items():
            for name in group if isinstance(group, dict) else ():
                found[f"{section}.{name}"] = where or f"{PREFIX}{section}{NESTED}{name}".upper()
    return found


def warnings() -> list[str]:
    """One line for each variable that looks like a setting and is none. (In a cluster others make variables, too: no reason to stop.)"""
    by_slip = {variable_of(name).replace(NESTED, "_"): variable_of(name) for name in options()}
    return [
        f"variable {name} is no setting: {by_slip[name.upper()]} is"
        for name, value in os.environ.items()
        if name.upper() in by_slip and not value.startswith("tcp://")
    ]


def variable_of(name: str) -> str:
    return f"{PREFIX}{name.replace('.', NESTED)}".upper()


def nearest(name: str, known: Iterable[str]) -> str:
    """The sentence that helps with a misspelt name; empty if nothing is like it."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", {close[0]} does" if close else ""


def secret_of(secret: SecretStr, file: Path | None, setting: str) -> str:
    """A password, from its file if there is one. Raises WrongSettings if that cannot be read."""
    if file is None:
        return secret.get_secret_value()
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongSettings(f"setting {setting} is {file}: {reason}") from None


def text_of(value: object) -> str:
    """A value as the environment and the Config Server spell it, secrets in the clear."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, tuple | list | dict | bool) else str(value)


def shown(value: object) -> str:
    """A value for people's eyes: no passwords."""
    if isinstance(value, SecretStr):
        return "(set)" if value.get_secret_value() else "(empty)"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value) if value else ""
    return "" if value is None else _CONNECTION_PASSWORD.sub(r"\1=(set)", str(value))


def holds_password(text: str) -> bool:
    """Whether a connection string carries one."""
    return _CONNECTION_PASSWORD.search(text) is not None


_CONNECTION_PASSWORD = re.compile(r"\b(pwd|password)\s*=\s*(\{[^}]*\}|[^;]+)", re.IGNORECASE)


def _file() -> Path:
    return Path(os.environ.get(FILE_VARIABLE, DEFAULT_FILE))


def _unknown_variables() -> list[str]:
    """Variables of sections that do not exist; pydantic-settings sees only those of sections that do."""
    faults = []
    for variable in os.environ:
        section, nested, name = variable.upper().removeprefix(PREFIX).lower().partition(NESTED)
        if variable.upper().startswith(PREFIX) and nested and section not in _sections():
            given = f"{section}.{name}"
            faults.append(f"setting {given} ({variable}) does not exist{nearest(given, options())}: correct its name or remove it")
    return faults


def _fault(error: Any, section: str = "") -> str:
    name = ".".join(str(part) for part in ((section, *error["loc"]) if section else error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"setting {name} does not exist{nearest(name, options())}: correct its name or remove it (rs config shows them all)"
    shown = "" if "password" in name else f" is {error['input']!r}"
    return f"setting {name}{shown}: {error['msg']}"
