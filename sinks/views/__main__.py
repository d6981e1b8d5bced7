"""python -m sinks.views: show the present figures by SNMP and under /metrics until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator

import structlog
import uvloop
from prometheus_client import REGISTRY

from pipeline import configserver, logs, settings
from pipeline.health import Check, HealthServer
from pipeline.readiness import LAG
from pipeline.settings import Settings, WrongSettings
from sinks.snmp.agent import Address, Agent, User
from sinks.snmp.agentx.subagent import Subagent
from sinks.snmp.notices import Notifier
from sinks.snmp.tree import Source
from sinks.views.metrics import FigureMetrics
from sinks.views.view import View

LOOPBACK = ("127.0.0.1", "localhost")
SHORTEST_PASSWORD = 8  # RFC 3414, 11.2


def user_of(own: Settings) -> User | None:
    """Raises WrongSettings."""
    snmp = own.snmp
    if snmp.notify_by == "v3" and not snmp.user:
        raise WrongSettings("setting snmp.notify_by is v3: name a user with snmp.user, or set it to v2c")
    if not snmp.user:
        return None
    passwords = snmp.auth_password.get_secret_value(), snmp.priv_password.get_secret_value()
    for name, password in zip(("auth_password", "priv_password"), passwords, strict=True):
        if len(password) < SHORTEST_PASSWORD:
            raise WrongSettings(f"setting snmp.{name} has fewer than {SHORTEST_PASSWORD} characters: SNMPv3 takes no shorter one")
    return User(snmp.user, *passwords)


def targets_of(own: Settings) -> list[Address]:
    """Raises WrongSettings."""
    found = []
    for target in own.snmp.targets:
        host, _, port = target.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise WrongSettings(f"setting snmp.targets: {target!r} is not HOST:PORT, such as 127.0.0.1:1162")
        found.append(Address(host, int(port)))
    return found


@contextlib.asynccontextmanager
async def front(own: Settings, source: Source, checks: dict[str, Check]) -> AsyncIterator[Notifier]:
    """The subagent of a master, if there is one by the settings, else our own agent. Raises OSError and WrongSettings."""
    snmp = own.snmp
    if snmp.master:
        subagent = Subagent(source, snmp.master)
        checks["master agent"] = lambda: subagent.trouble
        running = asyncio.create_task(subagent.run())
        try:
            yield subagent
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        return
    agent = Agent(
        source,
        Address(snmp.host, snmp.port),
        community=snmp.community.get_secret_value(),
        user=user_of(own),
        targets=targets_of(own),
        informs=snmp.notify == "inform",
        by_v3=snmp.notify_by == "v3",
    )
    checks["snmp"] = lambda: agent.trouble
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


async def serve(own: Settings) -> None:
    """Until a signal. Raises OSError, WrongSettings, and what nobody understands."""
    configuration = configserver.follow()
    view, checks = View(own, configserver.now, configserver.objects), dict[str, Check]()
    checks["figures"] = lambda: view.log.trouble
    checks["config"] = configuration.check
    REGISTRY.register(FigureMetrics(lambda: view.figures))
    health = HealthServer(own.health.host, own.snmp.health_port, checks, facts={"config server": configuration.facts, LAG: view.behind})
    source = Source(lambda: view.figures, own.snmp.enterprise)
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await health.start()
    try:
        async with front(own, source, checks) as notifier:
            view.notifier = notifier
            running, stopped = asyncio.create_task(view.run()), asyncio.create_task(told.wait())
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if running.done():
                running.result()  # raises
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    finally:
        await health.stop()


def main() -> int:
    try:
        own = settings.load()
        user_of(own)
        targets_of(own)
    except WrongSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    logs.setup("view")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the view itself tells of a lost Kafka, once and in its own words
    log = structlog.get_logger("view")
    log.info("start", snmp=own.snmp.master or f"{own.snmp.host}:{own.snmp.port}/udp", health=own.snmp.health_port)
    snmp = own.snmp
    if not snmp.master and snmp.host not in LOOPBACK and snmp.community.get_secret_value() == settings.Snmp().community.get_secret_value():
        log.warning("open to others", host=snmp.host, step="whoever reaches it reads the figures: set snmp.community or snmp.user")
    try:
        uvloop.run(serve(own))
    except OSError as exc:
        log.error("cannot start", reason=str(exc))
        return 1
    log.info("stop")
    return 0


if __name__ == "__main__":
    sys.exit(main())
