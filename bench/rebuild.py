"""A rebuild of a large log: duration, events per second, differences, memory: `python -m bench.rebuild [--events N] [--rate CALLS]`.

Traffic of the simulator is parsed and written to rs.billing as the bridge writes it (ActiveMQ is left out), folded and stored by live
workers, then rebuilt beside them while they go on. Needs java and the jars (make setup; RS_JARS names another folder).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import psutil
from aiokafka import AIOKafkaProducer

from pipeline.messages.headers import record_headers
from pipeline.messages.parse import parse
from pipeline.rebuild.log import Log
from pipeline.rebuild.steps import Rebuild
from pipeline.simulator.live import messages
from pipeline.simulator.traffic import Traffic
from pipeline.topics import BILLING, partition_of
from tests.conftest import kafka_node
from tests.rebuild.stack import Stack, running

START = 1_795_000_200_000
STEP_MS = 1_000
QUEUE = "rs.billing"
MIB = 2**20


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def bodies(rate: float, events: int) -> Iterator[tuple[bytes, int]]:
    """Messages and their receipts until there are `events`."""
    traffic, now, made = Traffic(rate, 7, START), START, 0
    while made < events:
        now += STEP_MS
        happened = traffic.until(now)
        made += len(happened)
        for _, body in messages(happened):
            yield body, now + 50


async def post(bootstrap: str, partitions: int, rate: float, events: int) -> int:
    sent = 0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=512 * 1024) as producer:
        for number, (body, receipt) in enumerate(bodies(rate, events)):
            good, bad = parse(body, receipt)
            assert not bad
            for one in good:
                headers = record_headers(one, f"ID:bench-{number}", QUEUE, receipt)
                await producer.send(BILLING, one.value, one.key, partition_of(one.key, partitions), receipt, headers)
            sent += len(good)
    return sent


class Watched:
    """Of each worker, by its folder: the greatest resident memory, MiB, and the seconds of CPU of its last process."""

    def __init__(self) -> None:
        self.memory: Counter[str] = Counter()
        self.cpu: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            for child in psutil.Process().children(recursive=True):
                try:
                    folder = next((word for word in child.cmdline() if "/faust/" in word), None)
                    if folder is not None:
                        name = Path(folder).name
                        self.memory[name] = max(self.memory[name], child.memory_info().rss // MIB)
                        self.cpu[name] = sum(child.cpu_times()[:2])
                except psutil.Error:
                    continue


async def rebuild(stack: Stack, events: int) -> None:
    watched = Watched()
    async with Log(stack.settings.kafka.bootstrap) as log:
        began = monotonic()
        work = Rebuild(stack.settings, log, say)
        await work.prepare()
        async with work.workers():
            ready = monotonic()
            marks: dict[str, float] = {}

            def advance(stretch: str, done: int, total: int) -> None:
                if done >= total:
                    marks.setdefault(stretch, monotonic() - began)

            await work.build(advance)
            built, cpu = monotonic(), dict(watched.cpu)
            found = await work.compare()
            compared = monotonic()
            rows = await work.swap()
            swapped = monotonic()
        taken = await work.taken_over()
        over = monotonic()
        await work.drop_old()
    say(f"workers ready after {ready - began:.1f} s; " + ", ".join(f"{stretch} after {at:.1f} s" for stretch, at in marks.items()))
    say(f"built in {built - began:.1f} s: {events / (built - began):,.0f} events a second")
    say(f"compared in {compared - built:.1f} s: {sum(t.total for t in found):,} differences in {sum(t.rows for t in found):,} rows")
    for table in found:
        say(f"  {table.table}: {table.rows:,} rows, {table.total} differ, {table.stale} stale, {table.moving} moving")
        for first in table.first[:3]:
            say(f"    {first}")
    say(f"swapped in {swapped - compared:.1f} s: {sum(rows.values()):,} rows; live workers took over {taken} in {over - swapped:.1f} s")
    watched.stop()
    say(f"in all {over - began:.1f} s; greatest memory, MiB: {dict(watched.memory)}")
    per_event = {name: f"{seconds / events * 1e6:.0f}" for name, seconds in cpu.items() if ".g" in name}
    say(f"us of CPU an event of the new workers until built: {per_event}")


async def bench(bootstrap: str, data: Path, events: int, rate: float, partitions: int) -> None:
    async with running(bootstrap, data, partitions) as stack:
        began = monotonic()
        posted = await post(bootstrap, partitions, rate, events)
        say(f"{posted:,} events at {rate:g} calls a second written in {monotonic() - began:.0f} s")
        await stack.stored()
        say(f"the live workers have stored them after {monotonic() - began:.0f} s")
        await rebuild(stack, posted)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--events", type=int, default=1_000_000)
    options.add_argument("--rate", type=float, default=20)
    options.add_argument("--partitions", type=int, default=8)
    options.add_argument("--data", type=Path, default=None)
    given = options.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    data = given.data or Path(tempfile.mkdtemp(prefix="rebuild-"))
    with kafka_node(data / "kafka") as bootstrap:
        asyncio.run(bench(bootstrap, data, given.events, given.rate, given.partitions))


if __name__ == "__main__":
    main()
