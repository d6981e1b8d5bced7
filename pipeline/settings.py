"""The one typed settings model. Every other room asks `load()`; nobody else reads the environment.

A setting is spelled `section.name`, such as `bridge.window`. It comes, the later one winning, from

1. the defaults below,
2. a TOML file, `rs.toml` in the working directory or the file that RS_SETTINGS names:  [bridge] window = 500
3. the environment:  RS_BRIDGE__WINDOW=500

A wrong name or value stops the program with one line that says what, where and how to mend it.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

FILE_VARIABLE = "RS_SETTINGS"
DEFAULT_FILE = "rs.toml"
SQLITE = "sqlite:///"

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


class ActiveMQ(Section):
    host: str = "127.0.0.1"
    port: Port = 61616
    queues: tuple[str, ...] = Field(("rs.billing",), min_length=1, description="queues of billing messages; ActiveMQ wildcards allowed")
    user: str = ""
    password: SecretStr = SecretStr("")


class Kafka(Section):
    bootstrap: str = Field("127.0.0.1:9092", description="host:port of the brokers, separated by commas")
    partitions: int = Field(8, ge=1, le=1000, description="partitions of a first log; later rs rebuild --partitions changes their number")
    replication: int = Field(1, ge=1, le=9)


class Bridge(Section):
    window: int = Field(500, ge=1, le=65535, description="messages taken from ActiveMQ and not yet acknowledged (activemq.prefetchSize)")
    max_message_bytes: int = Field(1_048_576, ge=1024)
    max_event_bytes: int = Field(65_536, ge=1024)


class Checkpoint(Section):
    interval: Seconds = Field(0.2, description="seconds between two checkpoints of a worker")
    max_events: int = Field(50_000, ge=1, description="events folded at most between two checkpoints")


class Tables(Section):
    store: Literal["memory", "rocksdict"] = Field(
        "memory", description="where workers keep encoded rows: memory, or rocksdict on disk (slower, for tables larger than memory)"
    )


class Fold(Section):
    lateness: Seconds = Field(48 * 3600.0, description="seconds behind stream time after which an event is late; 0: never")
    generation: int = Field(0, ge=0, description="0: workers are of the current generation; rs rebuild starts those of the next with this")


class Cdr(Section):
    call_timeout: Seconds = Field(6 * 3600.0, description="seconds after its last event at which a session without end is closed; 0: never")
    keep_timed_out: Seconds = Field(30 * 86_400.0, description="seconds that a call with a timed-out session waits for a late end")


class Sinks(Section):
    database: str = Field(
        "sqlite:///reporting.sqlite3",
        description="where calls and bins are stored: sqlite:///FILE (relative paths lie below stack.data), "
        "mssql://USER@HOST:1433/DATABASE, or odbc:CONNECTION STRING",
    )
    password: SecretStr = Field(SecretStr(""), description="of the user that sinks.database names")
    password_file: Path | None = Field(None, description="a file with that password on one line, instead of sinks.password")
    interval: Seconds = Field(0.3, description="seconds between two transactions")
    max_rows: int = Field(20_000, ge=1, description="rows buffered at most before a transaction begins")
    max_outage: Seconds = Field(7 * 86_400.0, description="how long the store may be away before a rebuild is needed")


class Retention(Section):
    """Days that rows stay in the store, counted from the end of what they tell, against the store's stream time. With fold.lateness 0
    they stay for ever."""

    cdr: Days = Field(30, description="calls and their sessions, from the call's end; kept longer until the month is billed")
    events: Days = Field(7, description="event logs of sessions")
    var: Days = Field(30, description="VAR actions, custom variables and results, from the call's end; no longer than retention.cdr")
    failures: Days = Field(365, description="service quality failures")
    five_minutes: Days = Field(2, description="bins, from their end")
    thirty_minutes: Days = 7
    hour: Days = 7
    day: Days = 90
    week: Days = 364
    month: Days = 1095
    interval: Seconds = Field(600.0, description="seconds between two purges by the sinks worker; 0: only rs purge removes rows")
    batch: int = Field(1000, ge=1, le=100_000, description="calls, bins or failures removed in one transaction")


class Billing(Section):
    close_after: Days = Field(5, description="days after the end of a month at which it may be closed; its sessions stay until then")


class Reports(Section):
    host: str = "127.0.0.1"
    port: Port = 8080
    time_zone: Annotated[str, AfterValidator(_zone)] = Field("UTC", description="IANA zone in which DAY, WEEK and MONTH begin")
    page_size: int = Field(100, ge=1, le=1000)
    assets: Path = Field(Path(".rs/assets"), description="browser assets of the pages: WebJars, unpacked as NAME/...")


class Health(Section):
    host: str = "127.0.0.1"
    bridge_host: str = Field("", description="where the agents reach the bridge's readiness; empty: health.host")
    bridge_port: Port = 8081
    agents_port: Port = 8082
    sinks_port: Port = 8083


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
    notify_by: Literal["v2c", "v3"] = "v2c"
    health_port: Port = Field(8090, description="health and metrics of the view")
    parts: dict[str, str] = Field(
        default_factory=dict, description="name and URL of each process that the view asks; empty: those of section health and the reports"
    )
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="tenants and components shown at most, by partition of their table")
    raise_after: Seconds = Field(10.0, description="seconds that a condition lasts before it is raised")
    clear_after: Seconds = Field(60.0, description="seconds that it is over before it is cleared")
    lag_limit: int = Field(10_000, ge=1, description="records that a stage may be behind")
    quarantine_limit: int = Field(10, ge=0, description="records a minute that a stage may set aside")
    timeouts_limit: int = Field(10, ge=0, description="sessions a minute that may be closed without an end")
    usage_limits: dict[int, int] = Field(default_factory=dict, description="tenant's DBID and its sessions in progress at most")
    quality_target: float = Field(95.0, ge=0, le=100, description="service quality of a tenant's hour, percent")
    quality_calls: int = Field(20, ge=1, description="MCP sessions of an hour from which on its service quality is judged")


class Stack(Section):
    """The local stack that `rs up` starts."""

    data: Path = Field(Path(".rs/data"), description="where brokers, tables and the SQLite database live")
    processes: int = Field(1, ge=1, le=16, description="agents workers")
    rate: float = Field(2.0, gt=0, le=10_000, description="calls a second that the simulator starts")


class Log(Section):
    level: str = Field("info", pattern="^(debug|info|warning|error)$")
    format: str = Field("text", pattern="^(text|json)$")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="RS_", env_nested_delimiter="__", extra="forbid", frozen=True)

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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(os.environ.get(FILE_VARIABLE, DEFAULT_FILE))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)

    @property
    def database_file(self) -> Path | None:
        """The SQLite file that sinks.database names, absolute; None if the store is another one."""
        if not self.sinks.database.startswith(SQLITE):
            return None
        return (self.stack.data / self.sinks.database.removeprefix(SQLITE)).absolute()

    def environment(self) -> dict[str, str]:
        """Environment variables that give a child process these settings, secrets in the clear."""
        return {
            f"RS_{section}__{name}".upper(): _spelled(getattr(group, name))
            for section, group in self
            for name in type(group).model_fields
            if name in group.model_fields_set
        }


class WrongSettings(ValueError):
    """One line a fault: which setting, what was given, what is allowed."""


def read(**given: Any) -> Settings:
    """Read the settings afresh. Raises WrongSettings."""
    named = os.environ.get(FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise WrongSettings(f"{FILE_VARIABLE} names {named}, which is not a file: create it or unset the variable")
    try:
        return Settings(**given)
    except ValidationError as exc:
        raise WrongSettings("\n".join(_fault(error) for error in exc.errors())) from None


@lru_cache(maxsize=1)
def load() -> Settings:
    """The settings of this process, read once."""
    return read()


def _spelled(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, tuple | list | dict) else str(value)


def _fault(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"setting {name} does not exist: correct its name or remove it (rs config shows them all)"
    shown = "" if "password" in name else f" is {error['input']!r}"
    return f"setting {name}{shown}: {error['msg']}"
