"""What the runtime costs: the job of tests/runtime (a table of calls, a table of windows) in one worker process beside a real Kafka.

    RS_JARS=... python -m bench.runtime [events]          BROKER=host:port uses a broker that runs already
                                                          ROWS=rocksdict keeps rows on disk; CACHE=2000 decodes fewer a partition

Prints microseconds of CPU an event with and without locality, recovery rate, latency from event to changelog, idle CPU and
resident memory of a worker with two checkpoints. CPU is that of the worker process, all threads, from the first record to the
last commit; the figures of a machine with two cores depend on what else runs on them.
"""

import contextlib
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil

from pipeline.local.kafka import KafkaNode
from pipeline.runtime.rows import ROCKSDICT
from tests.conftest import JARS, free_port, running
from tests.runtime.world import N, World, call_of, codec, stop, until

PAD = "x" * 270  # events of about 370 bytes, as in rs.billing
LATENCY_RATE, LATENCY_S = 2000, 6  # events/s, s
IDLE_S = 20


def events(n: int, live_calls: int) -> Iterator[tuple[int, bytes, bytes]]:
    """n events, each of a random one of the `live_calls` latest calls"""
    rnd, seqs = random.Random(1), {}
    for i in range(n):
        call = rnd.randrange(max(0, i // 8 - live_calls), i // 8 + 1)
        seq = seqs[call] = seqs.get(call, -1) + 1
        value = f'{{"tenant":"t{call % 50}","type":"offered","ts":{1.7e9 + i / 2000:.3f},"seq":{seq},"pad":"{PAD}"}}'
        yield call % N, b"call-%d" % call, value.encode()


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def fold(world: World, name: str, n: int, live_calls: int) -> tuple[str, str]:
    app, topic = f"bench-{name}-{os.getpid()}", f"bench-{name}-{os.getpid()}-ev"
    world.make(topic, events(n, live_calls))
    worker = world.start(app, topic, SESSION="12")
    process, at = psutil.Process(worker.pid), None

    def folded() -> bool:
        nonlocal at
        done = sum(offset or 0 for offset in world.committed(app, topic))
        if done and at is None:
            at = time.monotonic(), cpu(process), done
        return done == n

    assert until(folded, 300), world.log(app)[-2000:]
    seconds, used, done = time.monotonic() - at[0], cpu(process) - at[1], n - at[2]
    rss = process.memory_info().rss
    assert stop(worker) == 0
    report(f"{name}: {used / done * 1e6:.1f} us CPU/event, {done / seconds:,.0f} events/s, RSS {rss / 2**20:.0f} MiB")
    return app, topic


def recover(world: World, app: str, topic: str) -> None:
    rows = sum(len(world.read(f"{app}-{table}-changelog")) for table in ("calls", "win"))
    worker = world.start(app, topic, name="recover", LOGLEVEL="info")
    assert until(lambda: "Worker ready" in world.log(app, "recover"), 120)
    stop(worker)
    log = world.log(app, "recover")
    begin, end = (stamp(log, words) for words in ("Restoring state from changelog", "Done reading from changelog"))
    report(f"recovery: {rows:,} rows in {(end - begin).total_seconds():.2f} s, {rows / (end - begin).total_seconds():,.0f}/s")


def stamp(log: str, words: str) -> datetime:
    line = next(line for line in log.splitlines() if words in line)
    when = re.search(r"\[([\d-]+ [\d:,]+)\]", line)
    assert when is not None
    return datetime.strptime(when[1], "%Y-%m-%d %H:%M:%S,%f")  # noqa: DTZ007  # a difference is wanted


def latency(world: World) -> None:
    app, topic = f"bench-latency-{os.getpid()}", f"bench-latency-{os.getpid()}-ev"
    world.make(topic)
    worker = world.start(app, topic, INTERVAL="0.2")
    time.sleep(5)
    sent, began = 0, time.time()
    while (now := time.time()) < began + LATENCY_S:
        due = int((now - began) * LATENCY_RATE) - sent
        value = '{"tenant":"t1","type":"offered","ts":%f,"seq":0}'
        world.send(topic, [(i % N, b"c%d" % i, (value % now).encode()) for i in range(sent, sent + due)])
        sent += due
        time.sleep(0.005)
    until(lambda: sum(offset or 0 for offset in world.committed(app, topic)) == sent)
    rows = world.read(f"{app}-calls-changelog")
    ages = sorted(row.timestamp - call_of(codec.split(row.value)[1]).t * 1000 for row in rows)
    report(f"latency at interval 0.2 s: median {ages[len(ages) // 2]:.0f} ms, 99 % {ages[len(ages) * 99 // 100]:.0f} ms")
    stop(worker)


def idle(world: World) -> None:
    app, topic = f"bench-idle-{os.getpid()}", f"bench-idle-{os.getpid()}-ev"
    world.make(topic, partitions=8)
    world.make(topic + "-two", partitions=8)
    worker = world.start(app, topic, JOB="second", PARTITIONS="8", SESSION="12", BEAT="1")
    process = psutil.Process(worker.pid)
    time.sleep(6)
    before = cpu(process)
    time.sleep(IDLE_S)
    assert worker.poll() is None, world.log(app)[-2000:]
    used, rss = cpu(process) - before, process.memory_info().rss
    report(f"idle, two checkpoints of 8 partitions, a beat of 1 s: {used / IDLE_S:.1%} of a core, RSS {rss / 2**20:.0f} MiB")
    stop(worker)


def report(line: str) -> None:
    print(line, flush=True)


@contextlib.contextmanager
def broker(home: Path) -> Iterator[str]:
    if "BROKER" in os.environ:
        yield os.environ["BROKER"]
        return
    node = KafkaNode(JARS / "kafka", home / "kafka", free_port(), free_port())
    node.configure()
    with running(node.command(), home / "kafka.log", node.port):
        yield f"127.0.0.1:{node.port}"


def main(n: int) -> None:
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as address:
        world = World(address, Path(folder))
        if os.environ.get("ROWS") == ROCKSDICT:
            world = world.on_disk()
        try:
            fold(world, "locality", n, 2000)
            recover(world, *fold(world, "scattered", n, 10**9))
            latency(world)
            idle(world)
        finally:
            world.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000)
