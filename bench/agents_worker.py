"""What `faust -A agents worker` costs beside a real Kafka: microseconds of CPU an event, all threads, both agents, from a full log.

    RS_JARS=... python -m bench.agents_worker [calls]

Each shape of `bench.agents` gets a Kafka of its own with eight partitions. The events lie in rs.billing when the worker starts, so that it
catches up as fast as it can; CPU is counted from its first commit to its last, and that it folded every event is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.agents import LONG_S, SHORT_S, Record, environment, traffic
from pipeline import topics
from pipeline.generation import FIRST
from pipeline.init import create_topics
from pipeline.local.kafka import KafkaNode
from pipeline.settings import Settings, read
from tests.conftest import JARS, free_port, running

TENANTS = 20
PATIENCE_S = 300


async def post(settings: Settings, records: list[Record]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20, max_batch_size=256 * 1024) as producer:
        sent = []
        for r in records:
            where = topics.partition_of(r.key, settings.kafka.partitions)
            sent.append(await producer.send(topics.BILLING, r.value, r.key, where, r.timestamp, r.headers))
        await asyncio.gather(*sent)


async def stands(settings: Settings, topic: str) -> tuple[int, int]:
    """How many records of the topic the agents have committed, and how many there are."""
    tps = [TopicPartition(topic, n) for n in range(settings.kafka.partitions)]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)
    await consumer.start()
    try:
        commits = await admin.list_consumer_group_offsets(FIRST.agents_app)
        ends = await consumer.end_offsets(tps)
    except KafkaError:  # the group is not there yet
        return 0, 1
    finally:
        await admin.close()
        await consumer.stop()
    return sum(commits[tp].offset for tp in tps if tp in commits), sum(ends.values())


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def added(settings: Settings) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.health.agents_port}/metrics", timeout=5) as page:
        found = re.search(r'^rs_billing_events_total\{outcome="added"\} (\S+)', page.read().decode(), re.MULTILINE)
    return round(float(found[1])) if found else 0


@contextlib.contextmanager
def worker(settings: Settings, home: Path) -> Iterator[psutil.Process]:
    faust = Path(sys.executable).with_name("faust")
    command = [str(faust), "--datadir", str(home / "faust"), "-A", "agents", "worker", "--without-web", "-l", "warn"]
    with (home / "agents.log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings.environment()}, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


async def measure(settings: Settings, records: list[Record], home: Path) -> str:
    await create_topics(settings)
    await post(settings, records)
    with worker(settings, home) as process:
        began: tuple[float, float, int] | None = None
        until = time.monotonic() + PATIENCE_S
        while True:
            done, all_of_it = await stands(settings, topics.BILLING)
            if done and began is None:
                began = time.monotonic(), cpu(process), done
            if done == all_of_it and began is not None:
                break
            assert time.monotonic() < until, (home / "agents.log").read_text()[-2000:]
            await asyncio.sleep(0.1)
        seconds, used, events = time.monotonic() - began[0], cpu(process) - began[1], done - began[2]
        assert added(settings) == len(records)
        rss = process.memory_info().rss / 2**20
    return f"{used / events * 1e6:.1f} us CPU an event, {events / seconds:,.0f} events/s, {rss:.0f} MiB"


def main(calls: int) -> None:
    print(f"{environment()}; {calls:,} calls of 12 events, {TENANTS} tenants")
    for name, seconds in (("short", SHORT_S), ("long", LONG_S)):
        records = traffic(calls, seconds, TENANTS)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            node = KafkaNode(JARS / "kafka", home / "kafka", free_port(), free_port())
            node.configure()
            with running(node.command(), home / "kafka.log", node.port):
                settings = read(kafka={"bootstrap": f"127.0.0.1:{node.port}"}, health={"agents_port": free_port()})
                print(f"{name}: {asyncio.run(measure(settings, records, home))}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
