"""`faust -A agents worker` on a real Kafka: killed with -9 again and again, and the tables equal the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from agents.bins import base_of
from agents.state import Call, TenantsRow
from pipeline import topics
from pipeline.generation import FIRST
from pipeline.health import HealthServer
from pipeline.init import create_topics
from pipeline.reading import records
from pipeline.runtime import codec
from pipeline.settings import Settings, read
from tests.agents import oracle
from tests.agents.world import MINUTE, T0, differences, event, random_events, said, wanted
from tests.agents.world import record as billing_record
from tests.conftest import PATIENCE_S, free_port, kafka_node
from tests.topics import without_topics

PARTITIONS = 4
FAUST = Path(sys.executable).with_name("faust")


@pytest.fixture
def settings(kafka: str) -> Settings:
    return read(
        kafka={"bootstrap": kafka, "partitions": PARTITIONS},
        fold={"lateness": 0},
        checkpoint={"interval": 0.05},
        health={"agents_port": free_port()},
    )


@contextlib.contextmanager
def worker(settings: Settings, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(FAUST), "--datadir", str(home / "faust"), "-A", "agents", "worker", "--without-web", "-l", "warn"]
    environment = {**os.environ, **settings.environment()}
    with (home / "agents.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_S)
        process.kill()
        process.wait()


async def rows(settings: Settings, topic: str, kind: Any = TenantsRow) -> dict[bytes, Any]:
    """The table of a changelog: the highest mark of each key."""
    found: dict[bytes, tuple[int, Any]] = {}
    decode = msgspec.msgpack.Decoder(kind).decode
    async for record in records(settings.kafka.bootstrap, topic, range(PARTITIONS)):
        if record.value is None:
            found.pop(record.key, None)
            continue
        mark, payload = codec.split(record.value)
        if record.key not in found or mark >= found[record.key][0]:
            found[record.key] = mark, decode(payload)
    return {key: value for key, (_, value) in found.items()}


async def post(settings: Settings, events: list[dict[str, Any]], to: int | None = None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        for i, e in enumerate(events):
            made = billing_record(i, e)
            partition = topics.partition_of(made.key, PARTITIONS) if to is None else to
            await producer.send(
                topics.BILLING, made.value, key=made.key, partition=partition, timestamp_ms=made.timestamp, headers=made.headers
            )


async def test_kill_minus_nine_leaves_exact_tables(settings: Settings, tmp_path: Path) -> None:
    await without_topics(settings.kafka.bootstrap)  # others make them with other partitions
    await create_topics(settings)
    rnd = random.Random(7)
    events = random_events(rnd, 1500, span_min=20)
    # the last receipt sets stream time, and with it how far rows of bins go that sessions only pass through
    now = T0 + 60 * MINUTE
    last = {**events[-1], "session": "last", "seq": 0, "kind": "call.update", "ts": now, "tenant_path": None}
    sent = events + rnd.sample(events, len(events) // 3)
    rnd.shuffle(sent)
    for hit in range(5):
        with worker(settings, tmp_path) as process:
            await post(settings, sent[hit * len(sent) // 5 : (hit + 1) * len(sent) // 5])
            await asyncio.sleep(rnd.uniform(2.0, 4.5))
            process.kill()
    await post(settings, [last])
    want = wanted(oracle.bins([*events, {**last, "tenant_path": [1]}], base_of(now)))
    with worker(settings, tmp_path):
        end = time.monotonic() + PATIENCE_S
        got: dict[Any, Any] = {}
        while got != want and time.monotonic() < end:
            await asyncio.sleep(1)
            got = said([await rows(settings, topics.TENANTS_CHANGELOG)])
    assert not differences(got, want)


async def values(settings: Settings, topic: str) -> list[Any]:
    """Every record of a topic, in the order of its partition."""
    return [record async for record in records(settings.kafka.bootstrap, topic, range(PARTITIONS))]


async def until(found: Callable[[], Awaitable[Any]]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (what := await found()):
        assert time.monotonic() < end, "not within the time"
        await asyncio.sleep(0.3)
    return what


async def test_a_worker_that_has_a_name_is_back_without_moving_partitions(kafka: str, tmp_path: Path) -> None:
    """Static membership: killed and started again within the session time-out, it gets what it had, and the other works on."""

    def named(name: str) -> Settings:
        (tmp_path / name).mkdir()
        return read(
            kafka={"bootstrap": kafka, "partitions": PARTITIONS, "instance": name},
            fold={"lateness": 0},
            checkpoint={"interval": 0.05},
            health={"agents_port": free_port()},
            stack={"data": str(tmp_path / name)},
        )

    def assignments(name: str) -> int:
        return (tmp_path / name / "agents.log").read_text().count("Worker ready")

    async def both() -> bool:
        return bool(assignments("first") and assignments("second"))

    async def settled() -> bool:
        """Nothing has been assigned anew for longer than the session time-out: the two have shared out for good."""
        before = assignments("first"), assignments("second")
        await asyncio.sleep(15)
        return before == (assignments("first"), assignments("second"))

    first, second = named("first"), named("second")
    await create_topics(first)
    events = random_events(random.Random(8), 200, span_min=20)
    with worker(second, tmp_path / "second"):
        with worker(first, tmp_path / "first") as process:
            await until(both)
            await until(settled)
            process.kill()
            process.wait()
        before = assignments("first"), assignments("second")
        with worker(first, tmp_path / "first"):

            async def back() -> bool:
                return assignments("first") > before[0]

            await until(back)
            await post(first, events)

            async def folded() -> bool:
                found = await rows(first, topics.CALLS_CHANGELOG, Call)
                return {e["guid"].encode() for e in events} <= found.keys()

            await until(folded)
            assert assignments("second") == before[1]


async def test_a_silent_call_is_closed_while_the_bridge_works_and_leaves(settings: Settings, tmp_path: Path) -> None:
    """Time-outs count idle time only while the bridge works; then call and rows leave the tables by stream time."""
    with kafka_node(tmp_path / "kafka") as bootstrap:  # whole topics are read here again and again: nobody else's calls in them
        await silent_call(settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"bootstrap": bootstrap})}), tmp_path)


async def silent_call(settings: Settings, tmp_path: Path) -> None:
    await create_topics(settings)
    mortal = settings.model_copy(
        update={
            "cdr": settings.cdr.model_copy(update={"call_timeout": 2.0, "keep_timed_out": 4.0}),
            "fold": settings.fold.model_copy(update={"lateness": 4.0}),
            "health": settings.health.model_copy(update={"bridge_port": free_port()}),
        }
    )
    for group, names in (("cdr", ("call_timeout", "keep_timed_out")), ("fold", ("lateness",)), ("health", ("bridge_port",))):
        getattr(mortal, group).model_fields_set.update(names)
    mortal.model_fields_set.update({"cdr", "fold", "health"})
    now = round(time.time() * 1000)
    start = event("call.start", now, 0, call=0xABCDEF)  # a guid of its own: tests share the brokers
    key = start["guid"].encode()

    async def closings() -> list[Any]:
        return [r for r in await values(mortal, topics.BILLING) if r.key == key and b"call.timeout" in r.value]

    with worker(mortal, tmp_path):
        await post(mortal, [start])

        async def there() -> bool:
            return key in await rows(mortal, topics.CALLS_CHANGELOG, Call)

        await until(there)
        await asyncio.sleep(4)
        assert await closings() == []  # it has been silent for long, but nobody knows whether the bridge works
        bridge = HealthServer("127.0.0.1", mortal.health.bridge_port, {})
        await bridge.start()
        try:
            closing, *_ = await until(closings)  # a rebalance before it is folded brings another, which changes nothing
        finally:
            await bridge.stop()
        assert orjson.loads(closing.value) == {
            "kind": "call.timeout",
            "guid": start["guid"],
            "comp_id": start["comp_id"],
            "session": start["session"],
            "ts": now,
        }

        async def timed_out() -> bool:
            call = (await rows(mortal, topics.CALLS_CHANGELOG, Call)).get(key)
            return call is not None and call.sessions[0].timed_out == now

        await until(timed_out)
        ten_minutes_on = [{**event("call.start", now + 10 * MINUTE, n, session="other", call=0xABCDE0)} for n in range(2)]
        partition = topics.partition_of(key, PARTITIONS)
        await post(mortal, ten_minutes_on, partition)

        async def left() -> bool:
            gone = {r.key for r in await values(mortal, topics.CALLS_CHANGELOG) if r.value is None}
            rows_gone = {r.key for r in await values(mortal, FIRST.changelog("activity")) if r.value is None}
            return key in gone and any(key.startswith(b"RM|component_type|@") for key in rows_gone)

        await until(left)
