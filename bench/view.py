"""How long the view reads before it is ready: `python -m bench.view [--records N] [--tenants N] [--partitions N] [--rounds N]`.

A changelog of `tenants` as a busy day leaves it, on a Kafka of its own (RS_JARS): each cut writes rows of all granularities of some
tenants, for RM and MCP, and a tick of each source now and then. Read in a process of its own; prints seconds, seconds of CPU, records per
second and the greatest resident memory.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from aiokafka import AIOKafkaProducer

from agents.bins import BASE, GRANULARITIES, base_of, start_of
from agents.keys import bin_key, tick_key
from agents.state import Bin, Figures, Spread, Tick
from pipeline.generation import FIRST
from pipeline.init import create_topics
from pipeline.runtime import codec
from pipeline.settings import Settings, read
from sinks.views.log import Log
from tests.conftest import kafka_node

TOPIC = FIRST.changelog("tenants")
TOUCHED = 20  # tenants that a cut writes
TICKS = 0.1  # share of the records
BATCH_BYTES = 900_000
encode = msgspec.msgpack.encode


def row(n: int, comp: str) -> bytes:
    """Some hundred bytes."""
    figures = Figures(arrivals={"INBOUND": n, "OUTBOUND": n % 7}, departures={"INBOUND": n}, completed={"NORMAL": n, "TIMED_OUT": n % 3})
    figures.durations = {"NORMAL": Spread(n, 60_000 * n, n, 400, 3_600_000, dict.fromkeys(range(8), n))}
    if comp == "RM":
        figures.burst = {f"{n % 300}:1": n, f"{n % 300}:2": n % 2}
    else:
        figures.quality = {"calls": n, "failed": n % 5}
        figures.latencies = {f"inter_prompt|{k}": Spread(n, n * 700, n, 1, 9000, dict.fromkeys(range(8), n)) for k in range(2)}
    return encode(Bin(figures, {"INBOUND": n % 9}, 0, {}, n % 50, 1_795_000_200_000, {"INBOUND": n % 50}))


async def write(settings: Settings, records: int, tenants: int, now: int) -> None:
    """Timestamps from today's beginning to now."""
    zone, rnd = ZoneInfo(settings.reports.time_zone), random.Random(1)
    partitions, today = settings.kafka.partitions or 1, start_of("DAY", now, ZoneInfo(settings.reports.time_zone))
    values = {comp: [row(n, comp) for n in range(100, 200)] for comp in ("RM", "MCP")}
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, max_request_size=1 << 20, max_batch_size=BATCH_BYTES
    ) as producer:
        builders = {p: producer.create_batch() for p in range(partitions)}

        async def append(partition: int, key: bytes, value: bytes, at: int) -> None:
            while builders[partition].append(key=key, value=value, timestamp=at) is None:
                await (await producer.send_batch(builders[partition], TOPIC, partition=partition))
                builders[partition] = producer.create_batch()

        written = 0
        while written < records:
            at = today + (now - today) * written // records
            starts = {each: start_of(each, at, zone) for each in GRANULARITIES}
            for tenant in rnd.sample(range(tenants), min(TOUCHED, tenants)):
                for comp, kind in (("RM", b"tenant"), ("RM", b"tenant-own"), ("MCP", b"tenant")):
                    dimension = b"%s|%s|%d" % (comp.encode(), kind, 100 + tenant)
                    for each, start in starts.items():
                        value = codec.join(written, rnd.choice(values[comp]))
                        await append(tenant % partitions, bin_key(dimension, each, start), value, at)
                        written += 1
            for _ in range(round(TOUCHED * 18 * TICKS / partitions / partitions) or 1):
                for partition in range(partitions):
                    for source in range(partitions):
                        await append(partition, tick_key(source), codec.join(written, encode(Tick(at, at, at))), at)
                        written += 1
        for partition, builder in builders.items():
            for source in range(partitions):
                builder.append(key=tick_key(source), value=codec.join(written, encode(Tick(now, now, now))), timestamp=now)
            await (await producer.send_batch(builder, TOPIC, partition=partition))


def reading(bootstrap: str, tenants: int) -> None:
    settings = read(kafka={"bootstrap": bootstrap})

    async def until_ready() -> None:
        log = Log(settings)
        before, cpu, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.perf_counter()
        running = asyncio.create_task(log.run())
        said = []
        while log.trouble is not None:
            said.append(log.trouble)
            if running.done():
                running.result()  # raises
            await asyncio.sleep(0.05)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        running.cancel()
        shown = sum(1 for partition in log.partitions.values() for _ in partition.present())
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"ready after {seconds:.1f} s, CPU {cpu:.1f} s; resident {resident:.0f} MiB at most ({before / 1024:.0f} before)", end="; ")
        print(f"{shown} dimensions of {tenants} tenants; it said: {said[len(said) // 2]}", flush=True)

    asyncio.run(until_ready())


def main(records: int, tenants: int, partitions: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, kafka_node(Path(folder)) as bootstrap:
        settings = read(kafka={"bootstrap": bootstrap, "partitions": partitions})
        now = round(time.time() * 1000)
        if now - start_of("DAY", now, ZoneInfo(settings.reports.time_zone)) < 3_600_000:
            print("the day is young: its rows stand close together")

        async def prepare() -> None:
            await create_topics(settings)
            await write(settings, records, tenants, now)

        asyncio.run(prepare())
        print(f"{records:,} records of {base_of(now) and BASE} and longer bins, {partitions} partitions", flush=True)
        for _ in range(rounds):
            process = get_context("spawn").Process(target=reading, args=(bootstrap, tenants))
            process.start()
            process.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=300)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    main(given.records, given.tenants, given.partitions, given.rounds)
