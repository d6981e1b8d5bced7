"""The parts of the local stack, from the settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from pipeline.init import InitError, create_topics
from pipeline.local.activemq import ActiveMQBroker
from pipeline.local.fetch import ASSETS, JARS
from pipeline.local.kafka import KafkaNode
from pipeline.local.part import Part, StackFault, Step
from pipeline.local.ports import Port, free_port
from pipeline.local.probe import http_ready, port_ready, stomp_ready
from pipeline.readiness import REPORTS_ALONE
from pipeline.settings import Settings, WrongSettings
from pipeline.stomp_connection import context_of, password_of

# Nobody waits for a single call: the less often a row is written, the fewer times in all.
REBUILT_IN_BULK = {"RS_CHECKPOINT__INTERVAL": "1.0", "RS_SINKS__INTERVAL": "1.0"}

LOOPBACK = ("127.0.0.1", "localhost")

# The simulator first: it ends its calls. Then along the way of a message, so that each part is handed the last of the part before.
STOP_ORDER = ("simulator", "bridge", "agents", "sinks", "view", "reports", "kafka", "activemq")


def waves(settings: Settings, *, simulator: bool) -> list[list[Part | Step]]:
    """Brokers, topics, workers, traffic: each wave needs the one before. Raises StackFault for settings the stack cannot have."""
    data = settings.stack.data.absolute()
    started: list[list[Part | Step]] = [
        [_activemq(settings, data), _kafka(settings, data)],
        [Step("topics", partial(_topics, settings))],
        [_bridge(settings, data), *_agents(settings, data), _sinks(settings, data), _view(settings), _reports(settings)],
    ]
    if simulator:
        started.append([_simulator(settings)])
    return started


def of_generation(settings: Settings, number: int) -> list[Part]:
    """The workers of a generation that is being built, beside those of the stack: on free ports, with folders of their own. The
    sinks are the last."""
    data = settings.stack.data.absolute()
    agents = [
        _of_generation(f"{_agents_name(n)}.g{number}", "agents", "RS_HEALTH__AGENTS_PORT", settings, data, number)
        for n in range(1, settings.stack.processes + 1)
    ]
    return [*agents, _of_generation(f"sinks.g{number}", "sinks", "RS_HEALTH__SINKS_PORT", settings, data, number)]


def _of_generation(name: str, app: str, port_variable: str, settings: Settings, data: Path, number: int) -> Part:
    port = free_port()
    more = {port_variable: str(port), "RS_FOLD__GENERATION": str(number), **REBUILT_IN_BULK}
    return _faust(name, app, settings, data, port, more)


def stop_order(settings: Settings) -> list[str]:
    agents = [_agents_name(number) for number in range(1, settings.stack.processes + 1)]
    return [name for part in STOP_ORDER for name in (agents if part == "agents" else [part])]


def ports(settings: Settings) -> list[Port]:
    """Every port the stack takes, with the setting that names it. Raises StackFault."""
    health = settings.health
    return [
        Port("ActiveMQ", "127.0.0.1", settings.activemq.port, "RS_ACTIVEMQ__PORT"),
        Port("Kafka", "127.0.0.1", _kafka_port(settings), "RS_KAFKA__BOOTSTRAP (127.0.0.1:PORT)"),
        Port("the bridge's health", health.host, health.bridge_port, "RS_HEALTH__BRIDGE_PORT"),
        Port("the agents' health", health.host, health.agents_port, "RS_HEALTH__AGENTS_PORT"),
        Port("the sinks' health", health.host, health.sinks_port, "RS_HEALTH__SINKS_PORT"),
        *(
            Port(
                f"the health of {_agents_name(number)}",
                health.host,
                _agents_port(settings, number),
                "RS_HEALTH__SINKS_PORT (further agents follow it)",
            )
            for number in range(2, settings.stack.processes + 1)
        ),
        Port("the view's health", health.host, settings.snmp.health_port, "RS_SNMP__HEALTH_PORT"),
        *([] if settings.snmp.master else [Port("the SNMP agent", settings.snmp.host, settings.snmp.port, "RS_SNMP__PORT", udp=True)]),
        Port("the reports server", settings.reports.host, settings.reports.port, "RS_REPORTS__PORT"),
    ]


def served(settings: Settings) -> list[tuple[str, str, int]]:
    """Name, host and port of each part that answers /health/ready."""
    health, reports = settings.health, settings.reports
    return [
        ("bridge", _reached(health.host), health.bridge_port),
        *((_agents_name(n), _reached(health.host), _agents_port(settings, n)) for n in range(1, settings.stack.processes + 1)),
        ("sinks", _reached(health.host), health.sinks_port),
        ("view", _reached(health.host), settings.snmp.health_port),
        ("reports", _reached(reports.host), reports.port),
    ]


def _activemq(settings: Settings, data: Path) -> Part:
    if settings.activemq.host not in LOOPBACK:
        raise StackFault(
            f"rs up starts an ActiveMQ of its own on 127.0.0.1, activemq.host is {settings.activemq.host}: unset RS_ACTIVEMQ__HOST"
        )
    given = settings.activemq
    if given.credentials is not None and not given.tls:
        raise StackFault(f"activemq.credentials is {given.credentials}, so rs up starts an ActiveMQ with TLS: set RS_ACTIVEMQ__TLS=true")
    if given.tls and given.credentials is None:
        raise StackFault("activemq.tls is set, and rs up has no certificate for its ActiveMQ: name a folder with RS_ACTIVEMQ__CREDENTIALS")
    try:
        tls, password = context_of(given), password_of(given)
    except WrongSettings as exc:
        raise StackFault(str(exc)) from None
    credentials = None if given.credentials is None else given.credentials.absolute()
    broker = ActiveMQBroker(JARS / "activemq", data / "activemq", given.port, credentials=credentials)

    def command() -> list[str]:
        broker.configure()
        return broker.command()

    ready = partial(stomp_ready, given.host, given.port, given.user, password, tls)
    return Part("activemq", command, ready, f"stomp+openwire{'+ssl' if tls else ''}://127.0.0.1:{given.port}", needed=True)


def _kafka(settings: Settings, data: Path) -> Part:
    port = _kafka_port(settings)

    def command() -> list[str]:
        # The controller's port is nobody else's business: any free one will do.
        node = KafkaNode(JARS / "kafka", data / "kafka", port, free_port())
        node.configure()
        return node.command()

    # It hands the leadership of its partitions back and closes the log files; a killed one has to read them again.
    return Part("kafka", command, partial(port_ready, "127.0.0.1", port), f"127.0.0.1:{port}", needed=True, grace_s=30)


async def _topics(settings: Settings) -> str:
    try:
        outcome = await create_topics(settings)
    except InitError as exc:
        raise StackFault(str(exc)) from exc
    return f"{len(outcome.created)} created, {len(outcome.existing)} there already"


def _bridge(settings: Settings, data: Path) -> Part:
    return _faust("bridge", "pipeline.bridge", settings, data, settings.health.bridge_port)


def _agents(settings: Settings, data: Path) -> list[Part]:
    parts = []
    for number in range(1, settings.stack.processes + 1):
        port = _agents_port(settings, number)
        parts.append(_faust(_agents_name(number), "agents", settings, data, port, {"RS_HEALTH__AGENTS_PORT": str(port)}))
    return parts


def _sinks(settings: Settings, data: Path) -> Part:
    return _faust("sinks", "sinks", settings, data, settings.health.sinks_port)


def _view(settings: Settings) -> Part:
    """It asks every process of the stack, further agents included."""
    host, port = settings.health.host, settings.snmp.health_port
    parts = {} if settings.snmp.parts else {"RS_SNMP__PARTS": json.dumps(_asked(settings))}
    ready = partial(http_ready, _reached(host), port)
    return _python("view", ["-m", "sinks.views"], settings, ready, f"http://{host}:{port}/metrics", parts)


def _asked(settings: Settings) -> dict[str, str]:
    return {name: f"http://{place}:{number}" for name, place, number in served(settings)}


def _reports(settings: Settings) -> Part:
    """It answers for every process of the stack, further agents included."""
    host, port = settings.reports.host, settings.reports.port
    # Its default is relative to the working directory; rs up may be called anywhere.
    more = {} if "assets" in settings.reports.model_fields_set else {"RS_REPORTS__ASSETS": str(ASSETS)}
    if not settings.snmp.parts:
        more["RS_SNMP__PARTS"] = json.dumps(_asked(settings))
    ready = partial(http_ready, _reached(host), port, REPORTS_ALONE)
    return _python("reports", ["-m", "reports"], settings, ready, f"http://{host}:{port}/", more)


def _simulator(settings: Settings) -> Part:
    rate, credentials = settings.stack.rate, settings.activemq.credentials
    command, more = ["-m", "pipeline.cli", "simulate", "--rate", str(rate)], {}
    if credentials is not None:  # the bridge's user may not post
        command += ["--queue", "rs.billing.{comp}"]
        more = {"RS_ACTIVEMQ__USER": "simulator", "RS_ACTIVEMQ__PASSWORD_FILE": str(credentials.absolute() / "passwords" / "simulator")}
    return _python("simulator", command, settings, _at_once, f"{rate:g} calls a second", more)


async def _at_once() -> str | None:
    return None


def _faust(name: str, app: str, settings: Settings, data: Path, port: int, more: dict[str, str] | None = None) -> Part:
    # Faust makes the folder, but not the one it lies in.
    datadir = data / "faust" / name
    datadir.parent.mkdir(parents=True, exist_ok=True)
    host = settings.health.host
    # Quiet: no banner and no spinner in the log; warnings and our own lines go there all the same.
    arguments = ["-m", "faust", "-A", app, "--quiet", "--datadir", str(datadir), "worker", "--without-web"]
    return _python(name, arguments, settings, partial(http_ready, _reached(host), port), f"http://{host}:{port}/health/ready", more or {})


def _python(
    name: str, arguments: list[str], settings: Settings, ready: Callable[[], Awaitable[str | None]], address: str, more: dict[str, str]
) -> Part:
    environment = {
        **settings.environment(),
        "RS_STACK__DATA": str(settings.stack.data.absolute()),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc keeps an arena a thread; two save some 20 MB a process and cost nothing seen
        **more,
    }
    return Part(name, lambda: [sys.executable, *arguments], ready, address, environment)


def _agents_name(number: int) -> str:
    return "agents" if number == 1 else f"agents-{number}"


def _agents_port(settings: Settings, number: int) -> int:
    """The first has its own setting; the further ones follow the last health port, as 8084 follows 8083."""
    health = settings.health
    return health.agents_port if number == 1 else max(health.bridge_port, health.agents_port, health.sinks_port) + number - 1


def _kafka_port(settings: Settings) -> int:
    host, _, port = settings.kafka.bootstrap.rpartition(":")
    if host not in LOOPBACK or not port.isdecimal():
        raise StackFault(
            f"rs up starts a Kafka of its own on 127.0.0.1, kafka.bootstrap is {settings.kafka.bootstrap}: "
            "set RS_KAFKA__BOOTSTRAP=127.0.0.1:PORT"
        )
    return int(port)


def _reached(host: str) -> str:
    """Where a server that listens on every interface is asked."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
