"""What a table costs, in memory and on disk: one partition, without Kafka.

    python -m bench.tables [rows] [bytes]

Rows of `bytes` (2000, a call of some twelve events), half of them incompressible. Each store runs in a process of its own. Prints
the memory of a row (resident set, encoded rows only), microseconds of CPU a row: recovered, found by its key (any row, one of the
latest thousand), cut after a change, dropped; and what lies on disk.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import msgspec
import psutil

from pipeline.runtime import App, codec
from pipeline.runtime.rows import MEMORY, ROCKSDICT

CHUNK = 4000
SAMPLE = 20_000
LATEST = 1000


class Row(msgspec.Struct, array_like=True):
    data: bytes = b""
    mark: int = 0


def key(i: int) -> bytes:
    return b"%08X-0000-4000-8000-000000000000" % i


def measure(store: str, rows: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        app = App("bench", store=f"{store}://", datadir=folder)
        state = app.Table("calls", value=Row, partitions=1, cache=2 * LATEST).state(0)
        process, rnd, noise = psutil.Process(), random.Random(1), os.urandom(size * 100)

        def timed(work: Callable[[], object]) -> str:
            before = time.process_time()
            work()
            return f"{(time.process_time() - before) / SAMPLE * 1e6:.1f}"

        def chunk(start: int) -> list[SimpleNamespace]:
            found = []
            for i in range(start, min(rows, start + CHUNK)):
                at = rnd.randrange(len(noise) - size)
                data = noise[at : at + size // 2].ljust(size, b"x")
                found.append(SimpleNamespace(key=key(i), value=codec.join(i, msgspec.msgpack.encode(Row(data))), headers=[]))
            return found

        chunk(0)
        before, loading = process.memory_info().rss, 0.0
        for start in range(0, rows, CHUNK):
            records = chunk(start)
            began = time.perf_counter()
            state.load(records)
            loading += time.perf_counter() - began
        del records
        resident = process.memory_info().rss - before
        anywhere = [key(rnd.randrange(rows)) for _ in range(SAMPLE)]
        latest = [key(rows - 1 - rnd.randrange(LATEST)) for _ in range(SAMPLE)]

        def cuts() -> None:
            for start in range(0, SAMPLE, LATEST):
                for name in latest[start : start + LATEST]:
                    state[name].data += b"y"
                    state.touch(name)
                state.cut(rows)

        def drops() -> None:
            for i in range(SAMPLE):
                state.drop(key(i))
            state.cut(rows)

        costs = {
            "found anywhere": timed(lambda: [state.raw_of(name) for name in anywhere]),
            "found among the latest": timed(lambda: [state.raw_of(name) for name in latest]),
            "cut": timed(cuts),
            "dropped": timed(drops),
        }
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"{store}: {rows:,} rows of {size} bytes take {resident / 2**20:.0f} MiB, {resident / rows:,.0f} bytes each; ", end="")
        print(f"on disk {disk / 2**20:.0f} MiB; recovered {rows / loading:,.0f}/s; us CPU a row: ", end="")
        print(", ".join(f"{what} {cost}" for what, cost in costs.items()), flush=True)


def main(rows: int, size: int) -> None:
    for store in (MEMORY, ROCKSDICT):
        process = get_context("spawn").Process(target=measure, args=(store, rows, size))
        process.start()
        process.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
