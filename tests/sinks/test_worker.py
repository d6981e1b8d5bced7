"""The worker as it is started in earnest, against a real Kafka: records in the changelogs become rows. kills.py kills it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from pipeline import reading, topics
from sinks.sql.sqlite import SQLite
from sinks.topic_id import topic_id
from tests.conftest import PATIENCE_S, free_port
from tests.sinks.builders import T0, FakeRecord, bin_record, call_record, event_record, guid, tick_record
from tests.sinks.contract import select, stored
from tests.topics import made_anew

ROOT = Path(__file__).parents[2]
PARTITIONS = 2

pytestmark = pytest.mark.slow


async def make_topics(broker: str) -> None:
    names = [topics.BILLING, topics.EVENTS, topics.CALLS_CHANGELOG, topics.TENANTS_CHANGELOG, topics.SINK_QUARANTINE]
    await made_anew(broker, names, PARTITIONS)


async def send(broker: str, topic: str, records: list[FakeRecord]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=20)
    await producer.start()
    for record in records:
        partition = topics.partition_of(record.key or b"", PARTITIONS)
        await producer.send(topic, key=record.key, value=record.value, headers=list(record.headers), partition=partition)
    await producer.flush()
    await producer.stop()


async def read_all(broker: str, topic: str) -> list[FakeRecord]:
    return [FakeRecord(r.offset, r.key, r.value, r.headers) async for r in reading.records(broker, topic, range(PARTITIONS))]


@contextmanager
def worker(broker: str, data: Path, health_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The sinks worker; its output goes to data/sinks.log."""
    environment = {
        **os.environ,
        "RS_KAFKA__BOOTSTRAP": broker,
        "RS_KAFKA__PARTITIONS": str(PARTITIONS),
        "RS_STACK__DATA": str(data),
        "RS_HEALTH__SINKS_PORT": str(health_port),
        "RS_SINKS__INTERVAL": "0.05",
        "RS_RETENTION__INTERVAL": "0.2",  # nothing is too old, so nothing may go
        "RS_SINKS__MAX_ROWS": "200",  # many small transactions: more moments to be killed in
    }
    command = [sys.executable, "-m", "faust", "-A", "sinks", "--datadir", str(data / "faust"), "worker", "--without-web"]
    with (data / "sinks.log").open("ab") as output, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


async def until(true: Callable[[], bool], process: subprocess.Popen[bytes], timeout_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert process.poll() is None, "the worker ended: see sinks.log"
        assert time.monotonic() < end, "it did not come to pass in time"
        await asyncio.sleep(0.1)


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as response:
        return str(response.read().decode())


def reached(store: SQLite) -> dict[str, int]:
    """topic -> sum of the stored offsets"""
    if not store.path.exists() or not select(store, "SELECT 1 FROM sqlite_master WHERE name = 'rs_offsets'"):
        return {}  # the worker has not got to that yet
    return dict(select(store, "SELECT topic, sum(next_offset) FROM rs_offsets GROUP BY topic"))


def remove(store: SQLite) -> None:
    for file in store.path.parent.glob(f"{store.path.name}*"):
        file.unlink()


async def feed(broker: str, calls: int, log: list[tuple[int, int]], stop: asyncio.Event) -> None:
    """Append versions of calls until told to stop: (call, mark) go to `log`. A call has as many sessions as its mark says."""
    version = 0
    while not stop.is_set():
        version += 1
        turn = [(n, version * 10 + n % 7) for n in range(calls)]
        turn += [(n, 5) for n in range(0, calls, 3)]  # what a frozen worker appends behind newer values
        await send(broker, topics.CALLS_CHANGELOG, [call_record(n, mark, sessions=1 + mark % 3) for n, mark in turn])
        log += turn
        await asyncio.sleep(0.05)


async def test_what_is_written_to_the_changelogs_is_in_the_store(kafka: str, tmp_path: Path) -> None:
    await make_topics(kafka)
    store, port, calls = SQLite(tmp_path / "reporting.sqlite3"), free_port(), 40
    log: list[tuple[int, int]] = []
    enough = asyncio.Event()
    feeding = asyncio.create_task(feed(kafka, calls, log, enough))
    await send(kafka, topics.TENANTS_CHANGELOG, [bin_record(102, T0, 7), tick_record(0, 8)])
    await send(kafka, topics.EVENTS, [event_record(1, seq, billing_offset=seq) for seq in range(50)])
    with worker(kafka, tmp_path, port) as process:
        await until(lambda: reached(store).get(topics.CALLS_CHANGELOG, 0) > 0, process)
        enough.set()
        await feeding
        tombstones = [FakeRecord(0, guid(n).encode(), None) for n in range(10)]
        bad = FakeRecord(0, guid(9999).encode(), b"short")
        await send(kafka, topics.CALLS_CHANGELOG, [*tombstones, bad])
        expected = {topics.CALLS_CHANGELOG: len(log) + 11, topics.TENANTS_CHANGELOG: 2, topics.EVENTS: 50}
        await until(lambda: reached(store) == expected, process)
        assert '"ready": true' in get(port, "/health/ready")
        assert '"records behind": 0' in get(port, "/health/ready")
        figures = get(port, "/metrics")
        assert f"rs_sink_records_total {float(sum(expected.values()))}" in figures
        assert f'rs_sink_behind{{partition="0",topic="{topics.CALLS_CHANGELOG}"}} 0.0' in figures
        await until(lambda: float(re.findall(r"^rs_sink_purge_completed\S+ (\S+)", get(port, "/metrics"), re.MULTILINE)[0]) > 0, process)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0

    rows = stored(store)
    highest = {n: max(mark for m, mark in log if m == n) for n in range(calls)}
    assert {call[1]: call[-1] for call in rows["calls"]} == {guid(n): mark for n, mark in highest.items()}
    assert {call[0] for call in rows["calls"]} == {0, 1}
    assert len(rows["sessions"]) == sum(1 + mark % 3 for mark in highest.values())
    assert {name: len(rows[name]) for name in ("bins", "freshness", "session_events")} == {"bins": 1, "freshness": 1, "session_events": 50}
    (aside,) = await read_all(kafka, topics.SINK_QUARANTINE)
    assert (aside.key, aside.value) == (bad.key, bad.value)
    assert dict(aside.headers)["reason"] == b"not_decodable"


async def test_a_store_that_was_removed_is_filled_again_from_the_beginning(kafka: str, tmp_path: Path) -> None:
    store, port = SQLite(tmp_path / "reporting.sqlite3"), free_port()
    await make_topics(kafka)
    await send(kafka, topics.CALLS_CHANGELOG, [call_record(n, mark=1) for n in range(20)])
    for _ in range(2):
        with worker(kafka, tmp_path, port) as process:
            await until(lambda: reached(store).get(topics.CALLS_CHANGELOG) == 20, process)
            process.terminate()
            assert process.wait(PATIENCE_S) == 0  # Kafka has the offsets now, too
        assert len(stored(store)["calls"]) == 20
        remove(store)


async def test_a_log_made_anew_stops_the_worker_with_the_step_to_take(kafka: str, tmp_path: Path) -> None:
    store, port = SQLite(tmp_path / "reporting.sqlite3"), free_port()
    await make_topics(kafka)
    first = await topic_id(kafka, topics.BILLING)
    await send(kafka, topics.CALLS_CHANGELOG, [call_record(1, mark=1)])
    with worker(kafka, tmp_path, port) as process:
        await until(lambda: reached(store).get(topics.CALLS_CHANGELOG) == 1, process)
    await make_topics(kafka)
    assert await topic_id(kafka, topics.BILLING) != first
    await send(kafka, topics.CALLS_CHANGELOG, [call_record(2, mark=1)])
    with worker(kafka, tmp_path, port) as process:
        assert await asyncio.to_thread(process.wait, PATIENCE_S) != 0
    assert "rs up --fresh" in (tmp_path / "sinks.log").read_text()
    assert [call[1] for call in stored(store)["calls"]] == [guid(1)]
