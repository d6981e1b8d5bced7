"""Rows per second into the store, from changelog records to the commit: `python bench/sink.py [--calls N] [--bins N] [--batch N]`.

first load   every key is new
re-load      every key is there with a lower mark
replay       every key is there with a higher mark: nothing is written
"upsert a row": the same records, decoded and bound the same way, then one INSERT ... ON CONFLICT DO UPDATE a row, in transactions
of the same size. CPU a row is the figure to compare on a machine that does other things besides.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog

from pipeline import topics
from sinks.sql.binder import Bound, bind
from sinks.sql.migrate import migrate
from sinks.sql.rows import Table
from sinks.sql.sqlite import SQLite
from sinks.sql.task import SQLStore
from tests.sinks.builders import FakeRecord, bin_record, call_record, entry
from tests.sinks.contract import FakeLog

HOUR_MS = 3_600_000
START = 1_795_000_000_000 // HOUR_MS * HOUR_MS
LOADS = (("first load", 2), ("re-load", 3), ("replay", 1))  # name, mark


def scattered(n: int) -> int:
    """Different for each n, in an order without locality: guids come at random."""
    return n * 2_654_435_761 % (2**32)


def call_records(count: int, mark: int) -> list[FakeRecord]:
    return [call_record(scattered(n), mark, offset=n) for n in range(count)]


def bin_records(count: int, mark: int) -> list[FakeRecord]:
    """200 tenants, hour after hour."""
    return [bin_record(100 + n % 200, START + n // 200 * HOUR_MS, mark, offset=n) for n in range(count)]


def batches(records: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (records[at : at + size] for at in range(0, len(records), size))


async def into_store(topic: str, make: Callable[[int, int], list[FakeRecord]], count: int, batch: int, path: Path) -> None:
    async def nothing_aside(records: object) -> None:
        raise AssertionError(records)

    store = SQLStore(SQLite(path), nothing_aside, FakeLog("bench"))
    await store.start([])
    for name, mark in LOADS:
        made = make(count, mark)
        rows = sum(len(bound.rows) for record in made[:1] if isinstance(bound := bind(entry(topic, record), 1), Bound)) * count
        begun, cpu = perf_counter(), process_time()
        for position, part in enumerate(batches(made, batch), 1):
            store.add((topic, 0), part)
            write = store.cut({(topic, 0): position})
            assert write is not None
            await write()
        report(name, rows, perf_counter() - begun, process_time() - cpu)
    await store.close()


def row_by_row(topic: str, make: Callable[[int, int], list[FakeRecord]], count: int, batch: int, path: Path) -> None:
    migrate(SQLite(path))
    connection = SQLite(path).connect()
    assert isinstance(connection, sqlite3.Connection)
    for name, mark in LOADS:
        made, rows = make(count, mark), 0
        begun, cpu = perf_counter(), process_time()
        for part in batches(made, batch):
            connection.execute("BEGIN IMMEDIATE")
            for record in part:
                bound = bind(entry(topic, record), 1)
                assert isinstance(bound, Bound)
                for table, row in bound.rows:
                    connection.execute(upsert(table), row)
                    rows += 1
            connection.commit()
        report(f"{name}, upsert a row", rows, perf_counter() - begun, process_time() - cpu)
    connection.close()


@cache
def upsert(table: Table) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.names[len(table.key) :])
    return (
        f"INSERT INTO {table.name} ({', '.join(table.names)})"
        f" VALUES ({', '.join('?' * len(table.names))}) ON CONFLICT DO UPDATE SET {changes}"
        " WHERE excluded.generation > generation OR excluded.generation = generation AND excluded.mark >= mark"
    )


def report(name: str, rows: int, seconds: float, cpu: float) -> None:
    print(f"  {name:28} {rows / seconds:10,.0f} rows/s {cpu / rows * 1e6:8.1f} us CPU a row")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--bins", type=int, default=40_000)
    options.add_argument("--batch", type=int, default=5_000, help="records a transaction")
    given = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    print(f"SQLite {sqlite3.sqlite_version}, {given.batch} records a transaction")
    for title, topic, make, count in (
        ("calls, each with two sessions", topics.CALLS_CHANGELOG, call_records, given.calls),
        ("bins", topics.TENANTS_CHANGELOG, bin_records, given.bins),
    ):
        print(f"{title}: {count:,} records")
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(into_store(topic, make, count, given.batch, Path(folder) / "store.sqlite3"))
            row_by_row(topic, make, count, given.batch, Path(folder) / "by-row.sqlite3")


if __name__ == "__main__":
    main()
