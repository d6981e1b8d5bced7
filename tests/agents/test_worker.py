"""`faust -A agents worker` on a real Kafka: killed with -9 again and again, and the tables equal the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.bins import base_of
from agents.state import TenantsRow
from pipeline import topics
from pipeline.init import create_topics
from pipeline.runtime import codec
from pipeline.settings import Settings, read
from tests.agents import oracle
from tests.agents.world import MINUTE, T0, differences, random_events, record, said, wanted
from tests.conftest import free_port

PARTITIONS = 4
FAUST = Path(sys.executable).with_name("faust")
decode = msgspec.msgpack.Decoder(TenantsRow).decode


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
            process.wait(20)
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def reader(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, enable_auto_commit=False) as consumer:
        consumer.assign([TopicPartition(topic, n) for n in range(PARTITIONS)])
        yield consumer


async def rows(settings: Settings, topic: str) -> dict[bytes, Any]:
    """The table of a changelog: the highest mark of each key."""
    found: dict[bytes, tuple[int, Any]] = {}
    async with reader(settings, topic) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        await consumer.seek_to_beginning()
        for tp, end in ends.items():
            while await consumer.position(tp) < end:
                for record in await consumer.getone(tp), *(await consumer.getmany(tp)).get(tp, []):
                    mark, payload = codec.split(record.value)
                    if record.key not in found or mark >= found[record.key][0]:
                        found[record.key] = mark, decode(payload)
    return {key: value for key, (_, value) in found.items()}


async def post(settings: Settings, events: list[dict[str, Any]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap) as producer:
        for i, e in enumerate(events):
            made = record(i, e)
            partition = topics.partition_of(made.key, PARTITIONS)
            await producer.send(
                topics.BILLING, made.value, key=made.key, partition=partition, timestamp_ms=made.timestamp, headers=made.headers
            )


async def test_kill_minus_nine_leaves_exact_tables(settings: Settings, tmp_path: Path) -> None:
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
        end = time.monotonic() + 60
        got: dict[Any, Any] = {}
        while got != want and time.monotonic() < end:
            await asyncio.sleep(1)
            got = said([await rows(settings, topics.TENANTS_CHANGELOG)])
    assert not differences(got, want)
