"""Retention of a million rows while the sink goes on writing: `python -m bench.retention [--rows 1000000] [--database URL]`.

Nine tenths of the rows are bins of five minutes, the others calls with what belongs to them; all are too old. A process of its own
writes a hundred calls in a transaction, five times a second: first alone, then while retention works with its own pauses. A
database on a server is emptied before; its name must end in `test`, and its password is in RS_TEST_SQLSERVER_PASSWORD.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from agents.keys import Dimension, bin_key
from pipeline import topics
from pipeline.cli.posting import progress
from pipeline.settings import read
from sinks.purging import Purging
from sinks.sql.dialect import Dialect, connected
from sinks.sql.migrate import migrate
from sinks.sql.retention import DAY_MS, Keep
from sinks.sql.rows import BINS, CALLS, SESSIONS
from sinks.sql.sqlite import SQLite
from sinks.sql.writer import Writer
from tests.sinks.builders import T0, FakeRecord, bin_value, bound, call_record, calls, tick_record
from tests.sinks.contract import select

FIVE_MINUTES_MS = 300_000
ROWS_A_CALL = 5
AT_ONCE = 5_000
DAYS, FIRST_DAY = 30, 300  # of bins, and how long ago the latest was
WRITER_CALLS, WRITER_PACE_S, ALONE_S = 100, 0.2, 20.0
FIRST_GUID = 50_000_000  # of the writer's calls, which are young


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def old_bins(count: int) -> Iterable[FakeRecord]:
    value = bin_value(5)
    for n in range(count):
        start = T0 // FIVE_MINUTES_MS * FIVE_MINUTES_MS - (FIRST_DAY - 1) * DAY_MS + n // 500 * FIVE_MINUTES_MS
        yield FakeRecord(0, bin_key(Dimension("RM", "tenant", str(n % 500)).pack(), "FIVE_MINUTES", start), value)


def fill(dialect: Dialect, rows: int) -> None:
    migrate(dialect)
    writer = Writer(dialect)
    writer.write(bound(topics.TENANTS_CHANGELOG, [tick_record(0, mark=1)]), {})
    bins, whole = rows * 9 // 10, rows // 10 // ROWS_A_CALL
    with progress(counts=True) as bar:
        task = bar.add_task("filling", total=rows)
        for first in range(0, whole, AT_ONCE):
            some = range(first, min(first + AT_ONCE, whole))
            end = T0 - 60 * DAY_MS
            writer.write(calls(*(call_record(n, 5, start_ts=end - 60_000, end_ts=end) for n in some)), {})
            bar.advance(task, len(some) * ROWS_A_CALL)
        of_a_day = bins // DAYS
        for batch in batched(old_bins(of_a_day), AT_ONCE):
            writer.write(bound(topics.TENANTS_CHANGELOG, batch), {})
            bar.advance(task, len(batch))
        for day in range(1, DAYS):
            copy_day(dialect, day, T0 - FIRST_DAY * DAY_MS + DAY_MS // 2)
            bar.advance(task, of_a_day)
    writer.close()


def batched(records: Iterable[FakeRecord], size: int) -> Iterator[list[FakeRecord]]:
    left = iter(records)
    while batch := list(islice(left, size)):
        yield batch


def copy_day(dialect: Dialect, days: int, since: int) -> None:
    """The bins of the first day, so many days earlier: rows that are removed need not have come through the writer."""
    moved = f"bin_start - {days * DAY_MS}" if isinstance(dialect, SQLite) else f"DATEADD(day, -{days}, bin_start)"
    columns = [moved if name == "bin_start" else name for name in BINS.names]
    with connected(dialect) as connection:
        cursor = connection.cursor()
        dialect.begin(cursor)
        cursor.execute(
            f"INSERT INTO {BINS.name} ({', '.join(BINS.names)}) SELECT {', '.join(columns)} FROM {BINS.name} WHERE bin_start >= ?",
            (dialect.instant(since),),
        )
        connection.commit()


def write_on(dialect: Dialect, begun_to: Event, stop: Event, purging: Event, results: Any) -> None:
    """Seconds each transaction took, alone and beside the purge; how often one was tried again."""
    writer, took, again, turn = Writer(dialect), ([], []), 0, 0  # type: ignore[var-annotated]
    while not stop.is_set():
        turn += 1
        batch = calls(*(call_record(FIRST_GUID + turn % 50 * WRITER_CALLS + n, turn) for n in range(WRITER_CALLS)))
        begun = time.monotonic()
        beside = purging.is_set()
        while True:
            try:
                writer.write(batch, {(topics.CALLS_CHANGELOG, 0): turn})
                break
            except Exception:  # counted, and shown
                again += 1
                if again > 1000:
                    raise
        if begun_to.is_set():  # the first prepares the connection
            took[beside].append(time.monotonic() - begun)
        begun_to.set()
        time.sleep(max(0.0, begun + WRITER_PACE_S - time.monotonic()))
    writer.close()
    results.put((*took, again))


def ms(took: Sequence[float]) -> str:
    if len(took) < 2:
        return "too few to tell"
    return f"median {median(took) * 1000:.0f} ms, 99 % {quantiles(took, n=100)[98] * 1000:.0f} ms, most {max(took) * 1000:.0f} ms"


def store(database: str | None, folder: str) -> Dialect:
    if database is None:
        return SQLite(Path(folder) / "reporting.sqlite3")
    os.environ["RS_TEST_SQLSERVER"] = database
    from tests.sinks.server import cleared, server  # needs unixODBC

    return cleared(server())


def left(dialect: Dialect) -> dict[str, int]:
    return {table.name: select(dialect, f"SELECT count(*) FROM {table.name}")[0][0] for table in (BINS, CALLS, SESSIONS)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--database", help="mssql://USER@HOST:PORT/DATABASE_test; else SQLite in a temporary folder")
    given = options.parse_args()
    keep = Keep.of(read(fold={"lateness": 3600}))
    assert keep is not None
    with tempfile.TemporaryDirectory(prefix="retention-") as folder:
        dialect = store(given.database, folder)
        begun = time.monotonic()
        fill(dialect, given.rows)
        say(f"filled in {time.monotonic() - begun:.0f} s: {left(dialect)}")
        context = get_context("spawn")
        begun_to, stop, beside, results = context.Event(), context.Event(), context.Event(), context.Queue()
        writing = context.Process(target=write_on, args=(dialect, begun_to, stop, beside, results))
        writing.start()
        begun_to.wait()
        time.sleep(ALONE_S)
        transactions: list[float] = []
        with progress(counts=True) as bar:
            task = bar.add_task("retention", total=given.rows)
            purging = Purging(dialect, keep, lambda: True)
            purging.look = lambda removed, seconds: (  # type: ignore[method-assign]
                transactions.append(seconds),
                bar.advance(task, removed.rows * (ROWS_A_CALL if removed.kind == "cdr" else 1)),
            )
            beside.set()
            begun = time.monotonic()
            gone = asyncio.run(purging.once())
            seconds = time.monotonic() - begun
        stop.set()
        alone, together, again = results.get(timeout=300)
        writing.join()
        say(f"gone in {seconds:.0f} s ({given.rows / seconds:,.0f} rows/s): {gone}; left: {left(dialect)}")
        say(f"  {len(transactions)} transactions of retention, {ms(transactions)}; load {os.getloadavg()[0]:.1f}")
        say(f"  writer alone:   {len(alone)} transactions, {ms(alone)}")
        say(f"  writer beside:  {len(together)} transactions, {ms(together)}; {again} tried again")


if __name__ == "__main__":
    main()
