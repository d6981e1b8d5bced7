"""A small job on the runtime, for worker processes of the tests: a table of calls, a table of windows, windows durable before
calls, and windows sent on as snapshots. `JOB` switches on what a case needs, `FAULT` breaks something.

Start: BROKER=... TOPIC=... faust -A tests.runtime.job worker
"""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from pipeline.runtime import App, Outgoing, transport
from tests.runtime import faults

CACHE = int(os.environ.get("CACHE", "200000"))
N = int(os.environ.get("PARTITIONS", "4"))
JOB = set(os.environ.get("JOB", "").split(","))
TOPIC = os.environ.get("TOPIC", "events")
SLOW = float(os.environ.get("SLOW", "0"))
transport.CHUNK = int(os.environ.get("CHUNK", "4000"))

app = App(
    os.environ.get("APP", "job"),
    broker="kafka://" + os.environ.get("BROKER", "127.0.0.1:9092"),
    topic_partitions=N,
    datadir=os.environ.get("DATADIR", "job-data"),
    store=os.environ.get("ROWS", "memory") + "://",
    broker_session_timeout=float(os.environ.get("SESSION", "6")),
    broker_heartbeat_interval=1.0,
)


class Event(msgspec.Struct, gc=False):
    tenant: str
    type: str
    ts: float
    seq: int


class Call(msgspec.Struct, array_like=True, gc=False):
    n: int = 0
    last: int = -1
    state: str = ""
    t: float = 0.0
    mark: int = 0


class Window(msgspec.Struct, array_like=True):
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    mark: int = 0


def pack_window(key: tuple[str, int], partition: int) -> bytes:
    return b"%s|%d|%d" % (key[0].encode(), key[1], partition)


events = app.topic(TOPIC, key_type=bytes, value_type=bytes)
windows = app.Table("win", value=Window, partitions=N, pack_key=pack_window, stamped=faults.FAULT != "nomark")
calls = app.Table("calls", value=Call, partitions=N, cache=CACHE)
order = [windows, calls]
if faults.FAULT == "wrong-order":
    order.reverse()
checkpoint = app.checkpoint(
    events,
    order,
    interval=float(os.environ.get("INTERVAL", "0.2")),
    max_events=int(os.environ.get("MAX_EVENTS", "100000")),
    beat=float(os.environ["BEAT"]) if "BEAT" in os.environ else None,
)
decode = msgspec.json.Decoder(Event).decode
duplicates = 0


@app.agent(events)
async def fold(stream):
    async for chunk in checkpoint.chunks(stream):
        fold_chunk(chunk)
        if SLOW:
            await asyncio.sleep(SLOW)


def fold_chunk(chunk):
    global duplicates
    call_of, window_of = calls.of(chunk), windows.of(chunk)
    for record in chunk.records:
        event, key = decode(record.value), record.key
        call = call_of[key]
        if event.seq <= call.last:
            duplicates += 1
            continue
        call.n += 1
        call.last, call.state, call.t = event.seq, event.type, event.ts
        call_of.touch(key)
        minute = event.tenant, int(event.ts) // 60
        window = window_of[minute]
        if record.offset >= window.mark:  # else counted before a crash: only send the row again
            window.counts[event.type] = window.counts.get(event.type, 0) + 1
        window_of.touch(minute)


def append(path, line):
    with path.open("a") as file:
        file.write(line + "\n")


if "outbox" in JOB:

    @checkpoint.outbox
    def snapshots(cut):
        return [Outgoing(TOPIC + "-out", row.partition, row.packed, row.value, [("at", b"cut")]) for row in cut.rows(windows)]


if "metadata" in JOB:

    @checkpoint.metadata
    def count(tp):
        return f"stood at {checkpoint.position(tp)}"


if "SAY" in os.environ:

    @checkpoint.on_assigned
    def say(starts):
        for tp, start in starts.items():
            append(Path(os.environ["SAY"]), f"{tp.partition} {start.offset} {start.metadata}")


if "ticks" in JOB:

    @checkpoint.before_cut
    def tick(cut):
        for tp in cut.positions:
            state = windows.state(tp.partition)
            key = "tick", 0
            state[key].counts["ticks"] = state[key].counts.get("ticks", 0) + 1
            state.touch(key)


if "bad-hook" in JOB:

    @checkpoint.before_cut
    def fail(cut):
        if cut.positions[min(cut.positions)] == 100:
            raise RuntimeError("hook failed")


if "expire" in JOB:

    @checkpoint.before_cut
    def expire(cut):
        for tp in cut.positions:
            if checkpoint.caught_up(tp):
                state = calls.state(tp.partition)
                for key in list(state.keys_packed()):
                    state.drop(key)


if "second" in JOB:
    other = app.topic(TOPIC + "-two", key_type=bytes, value_type=bytes)
    seconds = app.Table("second", value=Call, partitions=N)
    second_checkpoint = app.checkpoint(other, [seconds], interval=0.2, max_events=100_000)

    def blocked():
        return "BLOCK" in os.environ and Path(os.environ["BLOCK"]).exists()

    @app.agent(other)
    async def fold_second(stream):
        async for chunk in second_checkpoint.chunks(stream):
            state = seconds.of(chunk)
            for record in chunk.records:
                state[record.key].n += 1
                state.touch(record.key)
            while blocked():  # noqa: ASYNC110  # the test holds it from another process
                await asyncio.sleep(0.1)


if "ordinary" in JOB:
    plain = app.topic(TOPIC + "-plain", key_type=bytes, value_type=bytes, value_serializer="raw")
    notes = Path(os.environ["NOTES"])

    @app.agent(plain)
    async def note(stream):
        async for value in stream:
            append(notes, value.decode())
            if value == b"raise":
                raise RuntimeError("ordinary agent failed")


def slow_twice(chunks):
    """The first chunk blocks the event loop, the second waits; both longer than the session time-out."""

    async def slow(stream):
        n = 0
        async for chunk in chunks(stream):
            yield chunk
            n += 1
            if n == 1:
                time.sleep(9)  # noqa: ASYNC251  # it is meant to block
            if n == 2:
                await asyncio.sleep(9)

    return slow


def no_duplicates(chunks):
    async def watched(stream):
        async for chunk in chunks(stream):
            before = duplicates
            yield chunk
            if duplicates != before:
                os._exit(99)

    return watched


if faults.FAULT == "slow":
    checkpoint.chunks = slow_twice(checkpoint.chunks)
if faults.FAULT == "duplicates":
    checkpoint.chunks = no_duplicates(checkpoint.chunks)
if faults.FAULT == "body":
    decode = faults.failing_after(250, decode)
if faults.FAULT == "drop":
    checkpoint.offer = faults.dropping_third(checkpoint.offer)
