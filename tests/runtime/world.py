"""What the tests of the runtime do with the world: topics, records, committed offsets, worker processes. Everything is judged
from outside: exit codes, commits, changelogs."""

import asyncio
import contextlib
import copy
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import GroupCoordinatorNotAvailableError

from pipeline.runtime import codec
from tests.conftest import PATIENCE_S
from tests.runtime.job import Call, Window

ROOT = Path(__file__).parents[2]
N = 4
STORED = (("n", "counts"), ("offset", "offsets"))
call_of = msgspec.msgpack.Decoder(Call).decode
window_of = msgspec.msgpack.Decoder(Window).decode


class Read(NamedTuple):
    partition: int
    key: bytes
    value: bytes | None
    headers: tuple
    timestamp: int


class World:
    """One broker, clients that stay open in a thread of their own, and the workers that were started."""

    def __init__(self, broker: str, home: Path) -> None:
        self.broker, self.home = broker, home
        self.workers: list[subprocess.Popen] = []
        self.rows = "memory"
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._open())

    def on_disk(self) -> "World":
        """The same world, in which workers keep their rows on disk."""
        there = copy.copy(self)
        there.rows = "rocksdict"
        return there

    def _run(self, coro):
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(PATIENCE_S)

    async def _open(self):
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.broker)
        await self.admin.start()
        self.producer = AIOKafkaProducer(bootstrap_servers=self.broker)
        await self.producer.start()

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        self._run(self.admin.close())
        self._run(self.producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    # -- topics and records

    def make(self, topic, records=(), transactions=(), partitions=N, config=None):
        """Create a topic and send (partition, key, value) records, then those of `transactions`, each in one of its own."""

        async def make():
            await self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config or {})])
            while len(await self.producer.partitions_for(topic)) < partitions:  # noqa: ASYNC110  # metadata comes when it comes
                await asyncio.sleep(0.05)

        self._run(make())
        self.send(topic, records)
        if transactions:
            self.send_transactions(topic, transactions)

    def send(self, topic, records, headers=None):
        async def send():
            futures = [await self.producer.send(topic, value, key=key, partition=n, headers=headers) for n, key, value in records]
            await asyncio.gather(*futures)

        self._run(send())

    def send_transactions(self, topic, records):
        async def send():
            producer = AIOKafkaProducer(bootstrap_servers=self.broker, transactional_id=f"tx-{topic}-{time.time()}")
            await producer.start()
            for n, key, value in records:
                async with producer.transaction():
                    await producer.send(topic, value, key=key, partition=n)
            await producer.stop()

        self._run(send())

    def delete_records(self, topic, partition, before):
        self._run(self.admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}))

    def delete_topic(self, topic):
        async def delete():
            await self.admin.delete_topics([topic])
            while topic in await self.admin.list_topics():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

        self._run(delete())

    def read(self, topic) -> list[Read]:
        async def read():
            consumer = AIOKafkaConsumer(bootstrap_servers=self.broker)
            await consumer.start()
            while (there := consumer.partitions_for_topic(topic)) is None:
                await asyncio.sleep(0.1)
                await consumer._client.force_metadata_update()
            tps = [TopicPartition(topic, n) for n in sorted(there)]
            consumer.assign(tps)
            first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, first[tp])
            found = []
            while any([await consumer.position(tp) < end[tp] for tp in tps]):
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    found += [Read(tp.partition, r.key, r.value, r.headers, r.timestamp) for r in records if r.offset < end[tp]]
            await consumer.stop()
            return found

        return self._run(read())

    def commits(self, group, topic):
        """partition -> OffsetAndMetadata"""
        try:
            found = self._run(self.admin.list_consumer_group_offsets(group))
        except GroupCoordinatorNotAvailableError:  # the first group of a new broker: its topic is being made
            return {}
        return {tp.partition: commit for tp, commit in found.items() if tp.topic == topic and commit.offset >= 0}

    def members(self, group):
        """Of a group between two rebalances; 0 while one goes on."""
        (answer,) = self._run(self.admin.describe_consumer_groups([group]))
        (_, _, state, _, _, members, *_) = answer.groups[0]
        return len(members) if state == "Stable" else 0

    def committed(self, group, topic, partitions=N):
        """The committed offset of each partition, None where there is none."""
        commits = self.commits(group, topic)
        return [commits[n].offset if n in commits else None for n in range(partitions)]

    def commit(self, group, topic, offsets):
        """Commit for a group without members; `offsets`: partition -> offset or OffsetAndMetadata"""

        async def commit():
            consumer = AIOKafkaConsumer(bootstrap_servers=self.broker, group_id=group, enable_auto_commit=False)
            await consumer.start()
            consumer.assign([TopicPartition(topic, n) for n in offsets])
            await consumer.commit({TopicPartition(topic, n): at for n, at in offsets.items()})
            await consumer.stop()

        self._run(commit())

    def stored(self, path):
        """Of the store of stage_job: sum of its counts, sum of its offsets."""
        with contextlib.closing(sqlite3.connect(path)) as db:
            try:
                return tuple(db.execute(f"select coalesce(sum({what}), 0) from {table}").fetchone()[0] for what, table in STORED)
            except sqlite3.OperationalError:
                return 0, 0  # not made yet

    # -- tables, by the rule of recovery: of the values of a key the highest mark wins, of equal marks the later

    def table(self, app, name, decode):
        """(partition, key) -> value"""
        best = {}
        for row in self.read(f"{app}-{name}-changelog"):
            mark = codec.packed_mark(row.value, row.headers)
            if mark >= best.get((row.partition, row.key), (b"",))[0]:
                best[row.partition, row.key] = mark, row.value
        return {key: decode(codec.split(value)[1]) for key, (_, value) in best.items() if value is not None}

    def calls(self, app):
        """Events counted in the calls table."""
        return sum(call.n for call in self.table(app, "calls", call_of).values())

    def windows(self, app):
        """Events counted in the windows table."""
        return sum(sum(window.counts.values()) for window in self.table(app, "win", window_of).values())

    # -- workers

    def start(self, app, topic, module="tests.runtime.job", name="", **env):
        log = (self.home / f"log-{app}{name}").open("ab")
        level = env.get("LOGLEVEL", os.environ.get("LOGLEVEL", "warn"))
        settings = {"BROKER": self.broker, "TOPIC": topic, "APP": app, "DATADIR": str(self.datadir(app, name)), "ROWS": self.rows, **env}
        worker = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", module, "worker", "--without-web", "-l", level],
            cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **settings},
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def datadir(self, app, name=""):
        return self.home / f"data-{app}{name}"

    def log(self, app, name=""):
        return (self.home / f"log-{app}{name}").read_text()


def event(seq, tenant="t1"):
    return b'{"tenant":"%s","type":"offered","ts":1700000000.0,"seq":%d}' % (tenant.encode(), seq)


def records(n, partitions=(0,), start=0):
    """n events of ten calls in each partition"""
    return [(p, b"c%d" % (i % 10), event(i // 10)) for p in partitions for i in range(start, start + n)]


def until(condition, timeout=PATIENCE_S):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def stop(worker, how=signal.SIGTERM):
    """The exit code, "hung" if it does not end."""
    if worker.poll() is None:
        worker.send_signal(how)
    try:
        return worker.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
        return "hung"
