"""Every notification from its cause to a real snmptrapd and back, through the view on a real Kafka, whose clock is the test's: what
must last a minute, or two bins, is told to have lasted it. Processes are stubs that answer as the real ones do."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry, Counter

from agents.bins import BASE, BASE_MS, DAY, HOUR
from agents.state import Bin, Figures
from pipeline.generation import FIRST
from pipeline.health import HealthServer
from pipeline.init import create_topics
from pipeline.local.kafka import KafkaNode
from pipeline.local.ports import free_port
from pipeline.settings import Settings, read
from sinks.snmp.agent import Address, Agent
from sinks.snmp.conditions import MOST_A_MINUTE
from sinks.snmp.mib import PAIRS
from sinks.snmp.tree import Source
from sinks.views.view import View
from tests.conftest import JARS, PATIENCE_S, need_brokers, running
from tests.snmp.test_view import PARTITIONS, Changelog
from tests.snmp.world import ROOT, free_udp_port, need, trap_receiver

RAISE_S, CLEAR_S = 10, 60
LAG, QUARANTINED, TIMED_OUT, USAGE = 50, 10, 10, 6
LONG_S = 2 * BASE_MS // 1000 + CLEAR_S  # longer than anything takes to be cleared
TENANTS = 300
TRAP = re.compile(rf"OID: \.{re.escape(ROOT)}\.0\.(\d+)\t.*\.{re.escape(ROOT)}\.1\.3\.1\.0 = STRING: \"([^\"]*)\"")
NUMBERS = {pair.raised.number: (name, False) for name, pair in PAIRS.items()}
NUMBERS |= {pair.cleared.number: (name, True) for name, pair in PAIRS.items()}


class Part:
    """A process that answers under /health/ready and /metrics as it is told."""

    def __init__(self) -> None:
        self.port = free_port()
        self.reasons: dict[str, str] = {}
        self.registry = CollectorRegistry()
        self.quarantined = Counter("rs_bridge_quarantined_total", "", ["reason"], registry=self.registry)
        self._server: HealthServer | None = None

    async def start(self) -> None:
        checks = {name: lambda name=name: self.reasons.get(name) for name in ("database", "activemq", "kafka")}  # type: ignore[misc]
        self._server = HealthServer("127.0.0.1", self.port, checks, self.registry)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
            self._server = None


@dataclass
class World:
    """`now`: the clock that the view is told."""

    settings: Settings
    view: View
    changelog: Changelog
    traps: Path
    bridge: Part
    sinks: Part
    node: KafkaNode
    at_ms: int
    now: float = 1000.0
    broker: contextlib.ExitStack | None = None

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.view.step(self.now, time.time())

    def received(self) -> list[tuple[str, str, bool]]:
        """Kind, subject, and whether it is over, of every notification that came."""
        found = [match for line in self.traps.read_text().splitlines() if (match := TRAP.search(line))]
        return [(NUMBERS[int(match[1])][0], match[2], NUMBERS[int(match[1])][1]) for match in found]

    async def until(self, check: Callable[[], object], what: str) -> None:
        """The view is asked again and again, with its clock standing still."""
        end = time.monotonic() + PATIENCE_S
        while not check():
            assert time.monotonic() < end, f"it did not come to pass: {what}; received {self.received()}"
            self.step()
            await asyncio.sleep(0.1)

    async def receives(self, wanted: list[tuple[str, str, bool]], what: str) -> None:
        """These, in this order, and no others."""
        await self.until(lambda: len(self.received()) >= len(wanted), what)
        assert self.received() == wanted, what

    def turns(self, kind: str, subject: str) -> bool:
        return (kind, subject) in self.view._conditions.turning

    async def tenant(self, tenant: int, granularity: str, row: Bin, comp: str = "RM") -> None:
        await self.changelog.row(f"{comp}|tenant|{tenant}", granularity, self.at_ms, row)

    async def committed(self, behind: int) -> None:
        """The agents have read all of the log but the last."""
        place = TopicPartition(FIRST.billing, 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap, group_id=FIRST.agents_app, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            await consumer.commit({place: OffsetAndMetadata(end - behind, "")})
        finally:
            await consumer.stop()


async def database(world: World, bad: bool) -> None:
    world.sinks.reasons = {"database": "locked"} if bad else {}


async def activemq(world: World, bad: bool) -> None:
    world.bridge.reasons = {"activemq": "lost"} if bad else {}


async def part(world: World, bad: bool) -> None:
    await (world.sinks.stop() if bad else world.sinks.start())


async def lag(world: World, bad: bool) -> None:
    await world.committed(LAG + 1 if bad else 0)


async def quarantine(world: World, bad: bool) -> None:
    if bad:
        world.bridge.quarantined.labels("not_json").inc(QUARANTINED + 1)


async def usage(world: World, bad: bool) -> None:
    await world.tenant(102, BASE, Bin(Figures(), {"INBOUND": USAGE + bad}))


async def burst(world: World, bad: bool) -> None:
    await world.tenant(103, BASE, Bin(Figures(arrivals={"INBOUND": 3}, burst={"103:3": int(bad)})))


async def quality(world: World, bad: bool) -> None:
    await world.tenant(104, HOUR, Bin(Figures(quality={"calls": 20 if bad else 60, "failed": 2})), "MCP")


async def timeouts(world: World, bad: bool) -> None:
    row = Bin(Figures(completed={"TIMED_OUT": TIMED_OUT + 1}))
    await world.changelog.row("MCP|component_type|", DAY, world.at_ms, row)


async def kafka(world: World, bad: bool) -> None:
    if bad:
        assert world.broker is not None
        world.broker.close()
    else:
        world.broker = contextlib.ExitStack()
        world.broker.enter_context(running(world.node.command(), world.node.home / "out.log", world.node.port))


class Case(NamedTuple):
    """`cause` makes it bad, and good again; what only grows is good again when time has passed.

    raised      kinds and subjects, in the order of their notifications
    """

    cause: Callable[[World, bool], Awaitable[None]]
    raised: tuple[tuple[str, str], ...]


CASES = (
    Case(database, (("database", "database"),)),
    Case(activemq, (("broker", "activemq"),)),
    Case(part, (("part", "sinks"),)),
    Case(lag, (("lag", "calls"),)),
    Case(quarantine, (("quarantine", "bridge"),)),
    Case(usage, (("usage", "102"),)),
    Case(burst, (("usage", "103"), ("burst", "103"))),
    Case(quality, (("quality", "104"),)),
    Case(timeouts, (("timeouts", "sessions"),)),
    Case(kafka, (("broker", "kafka"),)),
)


@contextlib.asynccontextmanager
async def running_view(folder: Path) -> AsyncIterator[World]:
    need("snmptrapd")
    need_brokers()
    node = KafkaNode(JARS / "kafka", folder / "kafka", free_port(), free_port())
    node.configure()
    bridge, sinks, trap_port = Part(), Part(), free_udp_port()
    settings = read(
        kafka={"bootstrap": f"127.0.0.1:{node.port}", "partitions": PARTITIONS},
        stack={"data": folder},
        snmp={
            "raise_after": RAISE_S,
            "clear_after": CLEAR_S,
            "lag_limit": LAG,
            "quarantine_limit": QUARANTINED,
            "timeouts_limit": TIMED_OUT,
            "usage_limits": {str(n): USAGE for n in (102, *range(1000, 1000 + TENANTS))},
            "parts": {"bridge": f"http://127.0.0.1:{bridge.port}", "sinks": f"http://127.0.0.1:{sinks.port}"},
        },
    )
    view, at_ms = View(settings), round(time.time() * 1000)
    with trap_receiver(folder / "trapd", trap_port) as traps:
        world = World(settings, view, Changelog(settings, FIRST), traps, bridge, sinks, node, at_ms)
        await kafka(world, False)
        await create_topics(settings)
        async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
            for _ in range(2 * LAG):
                await producer.send_and_wait(FIRST.billing, b"{}", b"GUID", partition=0)
        for case in (usage, burst, quality, lag):
            await case(world, False)
        await world.changelog.row("MCP|component_type|", DAY, at_ms, Bin())
        await world.changelog.ticks(at_ms)
        agent = Agent(Source(lambda: view.figures, settings.snmp.enterprise), Address("127.0.0.1", free_udp_port()), community="public",
                      targets=[Address("127.0.0.1", trap_port)])  # fmt: skip
        for each in (bridge, sinks):
            await each.start()
        agent.start()
        view.notifier = agent
        tasks = [asyncio.create_task(each.run()) for each in (view.log, view.lags, view.parts)]
        try:
            yield world
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            agent.stop()
            for each in (bridge, sinks):
                await each.stop()
            if world.broker is not None:
                world.broker.close()


@pytest.mark.slow
async def test_every_cause_is_told_once_and_its_end_once(tmp_path: Path) -> None:
    assert {kind for case in CASES for kind, _ in case.raised} == set(PAIRS)
    async with running_view(tmp_path) as world:
        view = world.view
        await world.until(lambda: view.log.trouble is None and view.figures.stages[("calls",)].lag == 0, "the view is ready")
        await world.until(lambda: {104} <= {n for (n,) in view.figures.tenants}, "rows of the changelog are shown")
        await world.until(lambda: set(view.figures.parts.values()) == {"ready"}, "processes answer")
        world.step(LONG_S)
        assert world.received() == []
        told: list[tuple[str, str, bool]] = []
        for case in CASES:
            name = case.cause.__name__
            await case.cause(world, True)
            await world.until(lambda: all(world.turns(*each) for each in case.raised), f"{name} is seen")  # noqa: B023 - awaited here
            assert world.received() == told, f"{name} is told before it has lasted"
            world.step(RAISE_S)
            told += [(*each, False) for each in case.raised]
            await world.receives(told, f"{name} is told")
            assert set(view.figures.conditions) == set(case.raised)
            world.step(LONG_S)  # once is enough, however long it lasts
            if case.cause not in (quarantine, timeouts):  # whose end is that time has passed
                assert set(view.figures.conditions) == set(case.raised)
            await case.cause(world, False)
            if case.cause not in (quarantine, timeouts):
                await world.until(lambda: all(world.turns(*each) for each in case.raised), f"the end of {name} is seen")  # noqa: B023
            world.step(LONG_S)
            told += [(*each, True) for each in case.raised]
            await world.receives(told, f"the end of {name} is told")
            assert view.figures.conditions == {}


@pytest.mark.slow
async def test_hundreds_of_tenants_at_once_and_causes_that_come_and_go_make_no_storm(tmp_path: Path) -> None:
    async with running_view(tmp_path) as world:
        view = world.view
        await world.until(lambda: view.log.trouble is None and set(view.figures.parts.values()) == {"ready"}, "the view is ready")
        for flap in range(6):  # never as long as it must last
            await database(world, flap % 2 == 0)
            await world.until(lambda: (view.figures.general.database == "down") == (flap % 2 == 0), "the sinks say so")  # noqa: B023
            world.step(RAISE_S - 1)
        assert world.received() == []
        over = Bin(Figures(), {"INBOUND": USAGE + 1})
        await world.changelog.rows([(f"RM|tenant|{n}", BASE, world.at_ms, over) for n in range(1000, 1000 + TENANTS)])
        await world.until(lambda: sum(row.in_progress > USAGE for row in view.figures.tenants.values()) == TENANTS, "rows are read")
        world.step(RAISE_S)
        for told in (MOST_A_MINUTE, 2 * MOST_A_MINUTE, TENANTS):
            await world.until(lambda: len(world.received()) >= told, f"{told} are told")  # noqa: B023 - awaited here
            world.step(1)
            assert len(view.figures.conditions) == told
            world.step(60)
        assert sorted(world.received()) == sorted(("usage", str(n), False) for n in range(1000, 1000 + TENANTS))


def test_the_patterns_read_what_snmptrapd_writes() -> None:
    line = f'.1.3.6.1.6.3.1.1.4.1.0 = OID: .{ROOT}.0.11\t.{ROOT}.1.3.1.0 = STRING: "102"\t.{ROOT}.1.3.2.0 = Gauge32: 7'
    match = TRAP.search(line)
    assert match is not None
    assert (match[1], match[2]) == ("11", "102")
    assert NUMBERS[11] == ("usage", False)
