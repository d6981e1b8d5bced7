"""The store away for an hour's worth of traffic, and caught up: `python -m bench.away --database URL [--events 1800000]`.

The sinks worker reaches the server through a relay. It is cut; then the changelog records of an hour are written to Kafka, as quickly as
Kafka takes them: one of the call for each event (the agents write fewer: a call once a cut), ten for each call, and one of a bin for
every five. Then the relay is joined again. Shown: memory of the worker all the while, what readiness says, how quickly the store
catches up, and whether every call and bin is there with its last mark. The database is emptied before; its name must end in `test`, and
its password is in RS_TEST_SQLSERVER_PASSWORD. Needs java and the jars (make setup; RS_JARS names another folder).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import psutil
from aiokafka import AIOKafkaProducer

from bench.relay import opened
from pipeline import topics
from pipeline.cli.posting import progress
from pipeline.local.ports import free_port
from pipeline.runtime import codec
from sinks.sql.sqlserver import SQLServer
from tests.conftest import kafka_node
from tests.sinks.builders import T0, bin_record, call_value, guid
from tests.sinks.contract import selected
from tests.sinks.kills import make_topics, reached

ROOT = Path(__file__).parents[1]
PARTITIONS = 2
EVENTS_A_CALL = 10
AT_ONCE = 500  # calls in progress at a time
BIN_EVERY = 5  # events
TENANTS = 200
HOUR_MS = 3_600_000
SAMPLE_S = 2.0
MIB = 2**20


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def traffic(events: int) -> Iterator[tuple[str, bytes, bytes]]:
    """topic, key, value; marks go up all the time."""
    mark = 10
    for first in range(0, events // EVENTS_A_CALL, AT_ONCE):
        many = range(first, min(first + AT_ONCE, events // EVENTS_A_CALL))
        bodies = {n: call_value(n, 1)[8:] for n in many}
        for _ in range(EVENTS_A_CALL):
            for n in many:
                mark += 1
                yield topics.CALLS_CHANGELOG, guid(n).encode(), codec.join(mark, bodies[n])
                if mark % BIN_EVERY == 0:
                    record = bin_record(n % TENANTS, T0 + n // 50_000 * HOUR_MS, mark)
                    yield topics.TENANTS_CHANGELOG, record.key or b"", record.value or b""


class Expected:
    """The last mark of each key, and the end of each partition."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.bins: dict[bytes, int] = {}
        self.ends: dict[tuple[str, int], int] = {}

    def sent(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        mark = int.from_bytes(value[:8], "big")
        if topic == topics.CALLS_CHANGELOG:
            self.calls[key.decode()] = mark
        else:
            self.bins[key] = mark
        self.ends[topic, partition] = self.ends.get((topic, partition), 0) + 1


class Watch:
    """The worker as it looks from outside, every two seconds. `most_mib`: the greatest resident set by phase."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.phase = "before"
        self.most_mib: dict[str, float] = {}
        self.reasons: dict[str, str] = {}
        self.facts: list[tuple[float, dict[str, int]]] = []
        self._process, self._port, self._begun = psutil.Process(process.pid), port, monotonic()

    async def run(self) -> None:
        while True:
            self.most_mib[self.phase] = max(self.most_mib.get(self.phase, 0), self._process.memory_info().rss / MIB)
            ready = await asyncio.to_thread(self._ready)
            for name, reason in ready.get("reasons", {}).items():
                if reason not in self.reasons.values():
                    self.reasons[f"{self.phase}, {name}"] = reason
            if facts := ready.get("facts", {}).get("store"):
                self.facts.append((monotonic() - self._begun, facts))
            await asyncio.sleep(SAMPLE_S)

    def _ready(self) -> dict[str, dict[str, dict[str, int]]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/ready", timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as unready:
            return dict(json.load(unready))
        except OSError:
            return {}


@contextlib.contextmanager
def worker(broker: str, data: Path, database: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "RS_KAFKA__BOOTSTRAP": broker,
        "RS_KAFKA__PARTITIONS": str(PARTITIONS),
        "RS_STACK__DATA": str(data),
        "RS_HEALTH__SINKS_PORT": str(port),
        "RS_SINKS__DATABASE": database,
        "RS_SINKS__PASSWORD": os.environ.get("RS_TEST_SQLSERVER_PASSWORD", ""),
        "RS_RETENTION__INTERVAL": "0",
    }
    command = [sys.executable, "-m", "faust", "-A", "sinks", "--datadir", str(data / "faust"), "worker", "--without-web"]
    with (data / "sinks.log").open("ab") as output, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


async def send(broker: str, events: int, expected: Expected) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    with progress() as bar:
        task = bar.add_task("records while the store is away", total=events + events // BIN_EVERY)
        for topic, key, value in traffic(events):
            partition = topics.partition_of(key, PARTITIONS)
            await producer.send(topic, key=key, value=value, partition=partition)
            expected.sent(topic, partition, key, value)
            bar.advance(task)
    await producer.stop()


async def run(events: int, database: str, dialect: SQLServer, data: Path, broker: str) -> bool:
    address = urlsplit(database)
    await make_topics(broker)
    expected = Expected()
    async with opened(str(address.hostname), address.port or 1433) as relay:
        through = urlunsplit(address._replace(netloc=f"{address.username}@127.0.0.1:{relay.port}"))
        port = free_port()
        with worker(broker, data, through, port) as process:
            watch = Watch(process, port)
            watching = asyncio.create_task(watch.run())
            await send(broker, 1_000, expected)
            await until(dialect, expected)
            await relay.cut()
            watch.phase = "away"
            begun = monotonic()
            await send(broker, events, expected)
            away = monotonic() - begun
            held = sum((await asyncio.to_thread(reached, dialect)).values())
            await asyncio.sleep(60)  # what would grow without bound has time to
            say(f"{events:,} events' records in {away:.0f} s while the store was away ({events / away / 500:.1f} x 500 events/s)")
            say(f"  records in the store meanwhile: {held:,}, as before; readiness: {watch.reasons}")
            watch.phase = "catching up"
            await relay.join()
            begun = monotonic()
            await until(dialect, expected)
            seconds = monotonic() - begun
            watching.cancel()
            assert process.poll() is None, "the worker ended: see sinks.log"
    records = sum(expected.ends.values()) - held
    say(f"  caught up in {seconds:.0f} s: {records / seconds:,.0f} records/s; readiness told, e.g.: {middle(watch.facts)}")
    say("  memory of the worker: " + ", ".join(f"{phase} at most {most:.0f} MiB" for phase, most in watch.most_mib.items()))
    calls, bins = selected(dialect, ["SELECT guid, mark FROM calls", "SELECT mark FROM bins"])
    wrong = len(set(expected.calls.items()) ^ set(calls)) + len(set(expected.bins.values()) ^ {mark for (mark,) in bins})
    say(f"  {len(calls):,} calls and {len(bins):,} bins are there, {wrong} of them missing or not with their last mark")
    return not wrong


def middle(facts: list[tuple[float, dict[str, int]]]) -> dict[str, int]:
    moving = [told for _, told in facts if told["records a second"] and told["records behind"]]
    return moving[len(moving) // 2] if moving else {}


async def until(dialect: SQLServer, expected: Expected) -> None:
    while await asyncio.to_thread(reached, dialect) != expected.ends:  # noqa: ASYNC110
        await asyncio.sleep(1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=1_800_000, help="an hour of 500 a second")
    options.add_argument("--database", required=True, help="mssql://USER@HOST:PORT/DATABASE_test")
    given = options.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    os.environ["RS_TEST_SQLSERVER"] = given.database
    from tests.sinks.server import cleared, server

    with tempfile.TemporaryDirectory(prefix="away-") as folder, kafka_node(Path(folder) / "kafka") as broker:
        dialect = cleared(server())
        good = asyncio.run(run(given.events, given.database, dialect, Path(folder), broker))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
