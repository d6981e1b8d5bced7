"""The view as a process on a real Kafka: what it shows of a changelog, live, over a change of generation, and without Kafka."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from agents.bins import BASE, DAY, base_of, start_of
from agents.keys import bin_key, tick_key
from agents.state import Bin, Figures, Tick
from pipeline import generations, topics
from pipeline.generation import FIRST, Generation
from pipeline.init import create, create_topics
from pipeline.local.kafka import KafkaNode
from pipeline.local.ports import free_port
from pipeline.runtime import codec
from pipeline.settings import Settings, WrongSettings, read
from sinks.views.__main__ import targets_of, user_of
from tests.conftest import JARS, PATIENCE_S, need_brokers, running
from tests.snmp.world import ROOT, Front, eventually, free_udp_port, need, trap_receiver

PARTITIONS = 2
DAY_MS = 86_400_000
encode = msgspec.msgpack.encode


class Changelog:
    """Writes rows as the tenants agent does."""

    def __init__(self, settings: Settings, generation: Generation) -> None:
        self.settings, self.topic = settings, generation.changelog("tenants")
        self.mark = 0

    async def write(self, *rows: tuple[int, bytes, Bin | Tick], timestamp_ms: int | None = None) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap) as producer:
            for partition, key, value in rows:
                self.mark += 1
                packed = codec.join(self.mark, encode(value))
                await producer.send_and_wait(self.topic, packed, key, partition=partition, timestamp_ms=timestamp_ms)

    async def rows(self, rows: Iterable[tuple[str, str, int, Bin]]) -> None:
        """Dimension, granularity, an instant of the bin in ms, and the row of each; all into partition 0."""
        zone = ZoneInfo(self.settings.reports.time_zone)
        await self.write(*((0, bin_key(d.encode(), granularity, start_of(granularity, at, zone)), row) for d, granularity, at, row in rows))

    async def row(self, dimension: str, granularity: str, at: int, row: Bin) -> None:
        await self.rows([(dimension, granularity, at, row)])

    async def tenant(self, tenant: int, in_progress: int, at: int, timestamp_ms: int | None = None) -> None:
        figures = Figures(arrivals={"INBOUND": in_progress})
        dimension = b"RM|tenant|%d" % tenant
        base = bin_key(dimension, BASE, base_of(at)), Bin(figures, {"INBOUND": in_progress})
        day = bin_key(dimension, DAY, start_of(DAY, at, ZoneInfo(self.settings.reports.time_zone))), Bin(figures)
        await self.write((0, *base), (0, *day), timestamp_ms=timestamp_ms)

    async def ticks(self, clock: int, timestamp_ms: int | None = None) -> None:
        """Each of two sources, to each partition."""
        rows = [(p, tick_key(source), Tick(clock, clock, clock)) for p in range(PARTITIONS) for source in range(2)]
        await self.write(*rows, timestamp_ms=timestamp_ms)


class View:
    """The process."""

    def __init__(self, settings: Settings, traps: Path, log: Path) -> None:
        self.url = f"http://127.0.0.1:{settings.snmp.health_port}"
        self.front = Front("view", settings.snmp.port, None, lambda _: None, traps)  # type: ignore[arg-type]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sinks.views"], env={**os.environ, **settings.environment()}, stdout=output, stderr=output
            )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=5) as response:
                return bool(json.load(response)["ready"])
        except (urllib.error.URLError, OSError):
            return False

    def shows(self, name: str) -> str:
        return self.front.ask("snmpget", f"{ROOT}.{name}").strip().rpartition(": ")[2]

    def comes_to(self, name: str, value: str) -> None:
        eventually(lambda: self.shows(name) == value, every_s=0.1)

    def received(self, *numbers: int) -> None:
        """Wait until these notifications have come, in this order, and no others."""
        wanted = [f"OID: .{ROOT}.0.{number}\t" for number in numbers]
        eventually(lambda: len(self.front.received()) >= len(wanted))
        assert [text in line for text, line in zip(wanted, self.front.received(), strict=True)] == [True] * len(wanted)


def tenant(number: int) -> str:
    """In progress."""
    return f"1.2.1.1.3.{number}"


@pytest.fixture
def node(tmp_path: Path) -> KafkaNode:
    need_brokers()
    made = KafkaNode(JARS / "kafka", tmp_path / "kafka", free_port(), free_port())
    made.configure()
    return made


async def test_the_view_follows_the_changelog_through_everything(node: KafkaNode, tmp_path: Path) -> None:
    need("snmpget", "snmptrapd")
    trap_port = free_udp_port()
    settings = read(
        kafka={"bootstrap": f"127.0.0.1:{node.port}", "partitions": PARTITIONS},
        stack={"data": tmp_path},
        snmp={
            "health_port": free_port(),
            "port": free_udp_port(),
            "targets": [f"127.0.0.1:{trap_port}"],
            "raise_after": 1,
            "clear_after": 1,
            "parts": {"nobody": f"http://127.0.0.1:{free_port()}"},
            "usage_limits": {"102": 6},
        },
    )
    now = round(time.time() * 1000)
    with trap_receiver(tmp_path / "trapd", trap_port) as traps, running(node.command(), tmp_path / "kafka.log", node.port) as broker:
        await create_topics(settings)
        first = Changelog(settings, FIRST)
        await first.tenant(101, 3, now - DAY_MS, timestamp_ms=now - DAY_MS)
        await first.tenant(102, 4, now)
        await first.ticks(now)
        view = View(settings, traps, tmp_path / "view.log")
        try:
            eventually(view.ready)
            view.comes_to(tenant(102), "4")
            assert "No Such Instance" in view.shows(tenant(101))  # yesterday's
            assert view.shows("1.1.5.0") == "2"  # Kafka is up
            view.comes_to("1.2.5.1.3.10.114.115.46.98.105.108.108.105.110.103.1", "0")  # rsTopicEnd of rs.billing, partition 1

            await first.tenant(102, 7, now)  # live
            view.comes_to(tenant(102), "7")
            first.mark = 0
            await first.tenant(102, 99, now)  # of a worker that thaws
            await first.tenant(103, 1, now)
            view.comes_to(tenant(103), "1")
            assert view.shows(tenant(102)) == "7"
            view.received(5, 11)  # nobody does not answer; 102 is over its limit

            second = generations.Generation(2, state="swapping")
            await create(settings, topics.topics_of(second, 60), second, time.monotonic() + PATIENCE_S)
            rebuilt = Changelog(settings, second)
            await rebuilt.tenant(102, 5, now)
            await rebuilt.ticks(now)
            await generations.write(settings.kafka.bootstrap, generations=[second])
            await generations.make_current(settings.kafka.bootstrap, second)
            view.comes_to("1.1.2.0", "2")
            view.comes_to(tenant(102), "5")

            broker.terminate()  # killed, it would be kept out by its own controller for nine seconds
            broker.wait()
            view.comes_to("1.1.5.0", "3")
            view.received(5, 11, 3)
            assert view.shows(tenant(102)) == "5"  # what was known last, and freshness tells how old it is
            with running(node.command(), tmp_path / "kafka.log", node.port):
                view.comes_to("1.1.5.0", "2")
                view.received(5, 11, 3, 4)
                eventually(view.ready)
                await rebuilt.tenant(102, 6, now)
                view.comes_to(tenant(102), "6")
                view.process.terminate()
                assert view.process.wait(PATIENCE_S) == 0
        finally:
            view.process.kill()
            view.process.wait()
            print((tmp_path / "view.log").read_text())  # noqa: T201 - pytest shows it of a test that failed


def test_wrong_settings_are_told_before_anything_starts() -> None:
    for given, said in [
        ({"user": "reader", "auth_password": "short"}, "snmp.auth_password has fewer than 8"),
        ({"user": "reader", "auth_password": "long enough", "priv_password": ""}, "snmp.priv_password has fewer"),
        ({"notify_by": "v3"}, "name a user with snmp.user"),
    ]:
        with pytest.raises(WrongSettings, match=said):
            user_of(read(snmp=given))
    for target in ("somewhere", "host:0", "host:port", ":1162"):
        with pytest.raises(WrongSettings, match=r"snmp\.targets"):
            targets_of(read(snmp={"targets": [target]}))
    for master in ("tcp:1705", "udp:127.0.0.1:1705", "127.0.0.1:1705"):
        with pytest.raises(WrongSettings, match=r"snmp\.master"):
            read(snmp={"master": master})


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        given = read(kafka={"bootstrap": f"127.0.0.1:{free_port()}"}, snmp={"port": port, "health_port": free_port()}).environment()
        done = subprocess.run(
            [sys.executable, "-m", "sinks.views"], env={**os.environ, **given}, capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert done.returncode == 1
    assert f"cannot serve SNMP on 127.0.0.1:{port}/udp" in done.stderr
    assert "choose another with snmp.port" in done.stderr
