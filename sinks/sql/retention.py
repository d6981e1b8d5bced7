# ruff: noqa: S608 - names come from this package; values are always bound
"""What is too old leaves the store: by class and granularity, in small transactions, so that it can be stopped at any moment and goes
on where it was (docs/reports.md section 5).

Age is measured against the store's stream time, not the clock on the wall: a system that stands still forgets nothing. No age is less
than fold.lateness, so nothing leaves that could still change. A bin of a longer granularity is a whole row of its own: it needs
nothing of the shorter ones that go before it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.bins import BASE, DAY, GRANULARITIES, HOUR, MONTH, THIRTY_MINUTES, WEEK, start_of
from pipeline.settings import Settings
from sinks.sql.closed import closed_up_to
from sinks.sql.dialect import Connection, Cursor, Dialect, connected
from sinks.sql.rows import ACTIONS, BINS, CALLS, CUSTOM_VARIABLES, FAILURES, FRESHNESS, LATENCIES, SESSION_EVENTS, SESSIONS, Table

DAY_MS = 86_400_000
EVENTS, FAILED, VAR, CDR = "events", "failures", "var", "cdr"  # the classes that are not bins
VAR_DONE = "var_purged_to"  # in rs_meta: VAR of calls that ended before this instant (ms) is gone

_ENDED = "in_progress = 0 AND end_ts < ?"


@dataclass(frozen=True, slots=True)
class Keep:
    """How long what stays, ms by class and granularity; `close_after`: how long after its end a month's sessions stay at least."""

    ages: Mapping[str, int]
    close_after: int
    zone: ZoneInfo
    batch: int

    @classmethod
    def of(cls, settings: Settings) -> Keep | None:
        """None: everything stays, because events are never late (fold.lateness 0) and so anything may still change."""
        if not settings.fold.lateness:
            return None
        given, least = settings.retention, round(settings.fold.lateness * 1000)
        days = {
            EVENTS: given.events, FAILED: given.failures, VAR: given.var, CDR: given.cdr, BASE: given.five_minutes,
            THIRTY_MINUTES: given.thirty_minutes, HOUR: given.hour, DAY: given.day, WEEK: given.week, MONTH: given.month,
        }  # fmt: skip
        return cls(
            {name: max(least, round(value * DAY_MS)) for name, value in days.items()},
            round(settings.billing.close_after * DAY_MS),
            ZoneInfo(settings.reports.time_zone),
            given.batch,
        )

    def cutoffs(self, stream: int) -> dict[str, int]:
        """What each class keeps when the stream time of the store is `stream`: what ended at this instant or later; of bins, those
        that begin at it or later."""
        cuts = {name: stream - age for name, age in self.ages.items()}
        # A bin that ends at the cutoff or before is one that begins before the bin the cutoff lies in.
        cuts.update({name: start_of(name, cuts[name], self.zone) for name in GRANULARITIES})
        # Sessions of a month stay until its statement can be closed.
        cuts[CDR] = min(cuts[CDR], start_of(MONTH, stream - self.close_after, self.zone))
        cuts[VAR] = max(cuts[VAR], cuts[CDR])
        return cuts


@dataclass(frozen=True, slots=True)
class Removed:
    """One small transaction. `kind`: class or granularity; `rows`: of classes cdr and var the calls."""

    kind: str
    rows: int


class Purge:
    """Removes what is too old. Blocks; raises the errors of `sinks.sql.errors`, with all earlier batches done."""

    def __init__(self, dialect: Dialect, keep: Keep) -> None:
        self._dialect = dialect
        self._keep = keep
        self._var_was_looked_through = False

    def run(self) -> Generator[Removed, None, None]:
        """One item a transaction, so that whoever iterates can show, pause or stop. Ends when nothing is too old any more."""
        with connected(self._dialect) as connection:
            yield from self._run(connection)

    def _run(self, connection: Connection) -> Iterator[Removed]:
        with self._transaction(connection) as cursor:
            cursor.execute(f"SELECT max(stream) FROM {FRESHNESS.name}")
            stream = cursor.fetchall()[0][0]
            closed = closed_up_to(self._dialect, cursor)
        if not stream:
            return
        cuts = self._keep.cutoffs(stream)
        if closed is not None:  # who has closed a month closes the next ones, too: their sessions wait for it
            cuts[CDR] = min(cuts[CDR], closed)
        for granularity in GRANULARITIES:
            yield from self._old(connection, granularity, BINS, f"granularity = '{granularity}' AND bin_start < ?", cuts[granularity])
        yield from self._old(connection, EVENTS, SESSION_EVENTS, "ts < ?", cuts[EVENTS])
        yield from self._old(connection, FAILED, FAILURES, "ts < ?", cuts[FAILED])
        yield from self._calls(connection, cuts[CDR])
        if cuts[VAR] > cuts[CDR]:
            yield from self._var(connection, cuts[CDR], cuts[VAR])

    def _old(self, connection: Connection, kind: str, table: Table, condition: str, cutoff: int) -> Iterator[Removed]:
        """Rows that say themselves how old they are."""
        gone = self._keep.batch
        while gone >= self._keep.batch:
            with self._transaction(connection) as cursor:
                gone = self._dialect.delete_some(cursor, table, condition, (self._dialect.instant(cutoff),), self._keep.batch)
            if gone:
                yield Removed(kind, gone)

    def _calls(self, connection: Connection, cutoff: int) -> Iterator[Removed]:
        """Whole calls with their sessions; failures and event logs have ages of their own."""
        while True:
            with self._transaction(connection) as cursor:
                keys = self._some(cursor, _ENDED, (cutoff,))
                for table in (ACTIONS, CUSTOM_VARIABLES, LATENCIES, SESSIONS, CALLS):
                    self._dialect.change_calls(cursor, f"DELETE FROM {table.name}", table, _names(keys))
            if keys:
                yield Removed(CDR, len(keys))
            if len(keys) < self._keep.batch:
                return

    def _var(self, connection: Connection, ended_from: int, cutoff: int) -> Iterator[Removed]:
        """VAR of calls that stay. How far that is done stands in the store; the first time in a process all calls are looked at, since a
        store that was filled again has old ones anew."""
        done = self._var_done(connection) if self._var_was_looked_through else ended_from
        at, last = max(done, ended_from), ""
        while True:
            with self._transaction(connection) as cursor:
                since = self._dialect.instant(at)
                condition = f"{_ENDED} AND (end_ts > ? OR end_ts = ? AND guid > ?)"
                found = self._some(cursor, condition, (cutoff,), (since, since, last))
                if found:
                    at, last = found[-1][2], found[-1][1]
                    self._forget_var(cursor, _names(found))
                if len(found) < self._keep.batch:
                    at = cutoff
                self._note_var_done(cursor, at)
            if found:
                yield Removed(VAR, len(found))
            if len(found) < self._keep.batch:
                self._var_was_looked_through = True
                return

    def _forget_var(self, cursor: Cursor, calls: list[tuple[int, str]]) -> None:
        for table in (ACTIONS, CUSTOM_VARIABLES):
            self._dialect.change_calls(cursor, f"DELETE FROM {table.name}", table, calls)
        nothing = "result_reason = NULL, result_notes = NULL, payloads = '{}'"
        self._dialect.change_calls(cursor, f"UPDATE {SESSIONS.name} SET {nothing}", SESSIONS, calls)

    def _some(self, cursor: Cursor, condition: str, instants: tuple[int, ...], more: tuple[object, ...] = ()) -> list[tuple[int, str, int]]:
        """(source partition, guid, end) of the calls that ended first."""
        columns = "source_partition, guid, end_ts"
        cursor.execute(
            self._dialect.select_some(columns, CALLS.name, condition, "end_ts, guid", self._keep.batch),
            (*(self._dialect.instant(at) for at in instants), *more),
        )
        return [(partition, guid, end) for partition, guid, end in cursor.fetchall()]

    def _var_done(self, connection: Connection) -> int:
        with self._transaction(connection) as cursor:
            cursor.execute("SELECT value FROM rs_meta WHERE name = ?", (VAR_DONE,))
            found = cursor.fetchall()
        return int(found[0][0]) if found else 0

    def _note_var_done(self, cursor: Cursor, at: int) -> None:
        cursor.execute("DELETE FROM rs_meta WHERE name = ?", (VAR_DONE,))
        cursor.execute("INSERT INTO rs_meta (name, value) VALUES (?, ?)", (VAR_DONE, str(at)))

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Cursor]:
        cursor = connection.cursor()
        self._dialect.begin(cursor)
        yield cursor
        connection.commit()


def _names(calls: list[tuple[int, str, int]]) -> list[tuple[int, str]]:
    return [(partition, guid) for partition, guid, _ in calls]


def counted(removed: Iterator[Removed], also: Callable[[Removed], None] = lambda _: None) -> dict[str, int]:
    """Run to the end; gives rows by class."""
    rows: dict[str, int] = {}
    for batch in removed:
        rows[batch.kind] = rows.get(batch.kind, 0) + batch.rows
        also(batch)
    return rows
