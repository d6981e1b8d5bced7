"""A job with a stage that is not a table: a SQLite file that keeps its own offsets.

Start: BROKER=... TOPIC=... STORE=... faust -A tests.runtime.stage_job worker
"""

import asyncio
import os
import sqlite3

from pipeline.runtime import App, transport

TOPIC = os.environ["TOPIC"]
transport.CHUNK = int(os.environ.get("CHUNK", "4000"))
app = App(
    os.environ["APP"],
    broker="kafka://" + os.environ["BROKER"],
    datadir=os.environ["DATADIR"],
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
)


class Store:
    """Adds to a count, which no mark protects: only offsets in the same transaction make it exact."""

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.db.execute("create table if not exists offsets (partition primary key, offset)")
        self.db.execute("create table if not exists counts (key primary key, n)")
        self.buffer = {}

    def add(self, key):
        self.buffer[key] = self.buffer.get(key, 0) + 1

    async def start(self, tps):
        found = dict(self.db.execute("select partition, offset from offsets"))
        return {tp: found[tp.partition] for tp in tps if tp.partition in found}

    def revoked(self):
        self.buffer = {}

    def cut(self, positions):
        if not self.buffer:
            return None
        rows, self.buffer = self.buffer, {}

        async def write():
            await asyncio.sleep(0.05)  # a kill shall often hit a write
            with self.db:
                for key, n in rows.items():
                    self.db.execute("insert into counts values (?, ?) on conflict do update set n = n + excluded.n", (key, n))
                for tp, at in positions.items():
                    self.db.execute("insert or replace into offsets values (?, ?)", (tp.partition, at))

        return write


store = Store(os.environ["STORE"])
source = app.topic(TOPIC, key_type=bytes, value_type=bytes)
checkpoint = app.checkpoint(source, [store], interval=0.1, max_events=100_000)


@app.agent(source)
async def fold(stream):
    async for chunk in checkpoint.chunks(stream):
        for record in chunk.records:
            store.add(record.key)
        await asyncio.sleep(float(os.environ.get("SLOW", "0")))
