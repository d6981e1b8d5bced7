"""Rows per second into the store, from changelog records to the commit: `python bench/sink.py [--server] [--calls N] [--batch N]`.

first load   every key is new
re-load      every key is there with a lower mark
replay       every key is there with a higher mark: nothing is written
catching up  every key comes four times in a transaction, as a call does that goes on: what a store reads that was away
"upsert a row": the same records, decoded and bound the same way, then a statement a row in transactions of the same size, as Kafka
Connect does: in SQLite INSERT ... ON CONFLICT DO UPDATE, on a server UPDATE and, where there was no such row, INSERT. It does less: of a
row that is gone from a call it knows nothing. Rows are those of the records that were read. CPU a row is the figure to compare on a
machine that does other things besides.
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
from sinks.sql.dialect import Cursor, Dialect
from sinks.sql.migrate import migrate
from sinks.sql.rows import Kind, Row, Table
from sinks.sql.sqlite import SQLite
from sinks.sql.task import SQLStore
from tests.sinks.builders import FakeRecord, bin_record, call_record, entry
from tests.sinks.contract import FakeLog
from tests.sinks.server import emptied, server

HOUR_MS = 3_600_000
START = 1_795_000_000_000 // HOUR_MS * HOUR_MS
LOADS = (("first load", (2,)), ("re-load", (3,)), ("replay", (1,)), ("catching up", (4, 5, 6, 7)))  # name, marks of each key


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


def of_load(make: Callable[[int, int], list[FakeRecord]], count: int, batch: int, marks: Sequence[int]) -> list[FakeRecord]:
    """As many records whatever the load; the versions of a key lie within a transaction."""
    versions = [make(count // len(marks), mark) for mark in marks]
    keys = batch // len(marks)
    return [record for at in range(0, count // len(marks), keys) for version in versions for record in version[at : at + keys]]


async def into_store(topic: str, make: Callable[[int, int], list[FakeRecord]], count: int, batch: int, dialect: Dialect) -> None:
    async def nothing_aside(records: object) -> None:
        raise AssertionError(records)

    store = SQLStore(dialect, nothing_aside, FakeLog("bench"))
    await store.start([])
    for name, marks in LOADS:
        made = of_load(make, count, batch, marks)
        rows = sum(len(bound.rows) for record in made[:1] if isinstance(bound := bind(entry(topic, record), 1), Bound)) * len(made)
        begun, cpu = perf_counter(), process_time()
        for position, part in enumerate(batches(made, batch), 1):
            store.add((topic, 0), part)
            write = store.cut({(topic, 0): position})
            assert write is not None
            await write()
        report(name, rows, perf_counter() - begun, process_time() - cpu)
    await store.close()


def row_by_row(topic: str, make: Callable[[int, int], list[FakeRecord]], count: int, batch: int, dialect: Dialect) -> None:
    migrate(dialect)
    connection = dialect.connect()
    cursor = connection.cursor()
    for name, marks in LOADS:
        made, rows = of_load(make, count, batch, marks), 0
        begun, cpu = perf_counter(), process_time()
        for part in batches(made, batch):
            dialect.begin(cursor)
            for record in part:
                bound = bind(entry(topic, record), 1)
                assert isinstance(bound, Bound)
                for table, row in bound.rows:
                    upsert(dialect, cursor, table, row)
                    rows += 1
            connection.commit()
        report(f"{name}, upsert a row", rows, perf_counter() - begun, process_time() - cpu)
    connection.close()


def upsert(dialect: Dialect, cursor: Cursor, table: Table, row: Row) -> None:
    if isinstance(dialect, SQLite):
        cursor.execute(on_conflict(table), row)
        return
    keys = len(table.key)
    cells = [
        dialect.instant(cell) if column.kind is Kind.MILLIS and cell is not None else cell
        for column, cell in zip(table.columns, row, strict=True)
    ]  # type: ignore[arg-type]
    update, insert = update_or_insert(table)
    cursor.execute(update, (*cells[keys:], *cells[:keys], row[-2], row[-2], row[-1]))
    if not cursor.rowcount:  # missing, or newer
        cursor.execute(insert, (*cells, *cells[:keys]))


@cache
def on_conflict(table: Table) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in table.names[len(table.key) :])
    return (
        f"INSERT INTO {table.name} ({', '.join(table.names)})"
        f" VALUES ({', '.join('?' * len(table.names))}) ON CONFLICT DO UPDATE SET {changes}"
        " WHERE excluded.generation > generation OR excluded.generation = generation AND excluded.mark >= mark"
    )


@cache
def update_or_insert(table: Table) -> tuple[str, str]:
    changes = ", ".join(f"{name} = ?" for name in table.names[len(table.key) :])
    key = " AND ".join(f"{name} = ?" for name in table.key_names)
    names = ", ".join(table.names)
    return (
        f"UPDATE {table.name} SET {changes} WHERE {key} AND (generation < ? OR generation = ? AND mark <= ?)",
        f"INSERT INTO {table.name} ({names}) SELECT {', '.join('?' * len(table.names))}"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table.name} WHERE {key})",
    )


def report(name: str, rows: int, seconds: float, cpu: float) -> None:
    print(f"  {name:28} {rows / seconds:10,.0f} rows/s {cpu / rows * 1e6:8.1f} us CPU a row", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--bins", type=int, default=40_000)
    options.add_argument("--batch", type=int, default=5_000, help="records a transaction")
    options.add_argument("--server", action="store_true", help="into the SQL Server of RS_TEST_SQLSERVER; its database is emptied")
    options.add_argument("--one-by-one", type=int, help="records for a statement a row, if not as many as the others")
    given = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    print(f"{server().address.where if given.server else f'SQLite {sqlite3.sqlite_version}'}, {given.batch} records a transaction")
    for title, topic, make, count in (
        ("calls, each with two sessions", topics.CALLS_CHANGELOG, call_records, given.calls),
        ("bins", topics.TENANTS_CHANGELOG, bin_records, given.bins),
    ):
        print(f"{title}: {count:,} records")
        with tempfile.TemporaryDirectory() as folder:
            for name, run, records in (("store", into_store, count), ("by-row", row_by_row, given.one_by_one or count)):
                dialect = emptied(server()) if given.server else SQLite(Path(folder) / f"{name}.sqlite3")
                done = run(topic, make, records, given.batch, dialect)
                if done is not None:
                    asyncio.run(done)


if __name__ == "__main__":
    main()
