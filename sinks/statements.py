# ruff: noqa: S608 - names and months come from this package; other values are always bound
"""Closing a month and adjusting it afterwards (docs/billing.md, docs/reports.md section 4).

    sessions --copied, hour by hour--> billing_sessions --summed up, tenant by tenant--> billing_lines; then the month is closed
    sessions that differ from what the month knows of them --> billing_changes, billing_adjustments

Figures are made of the copies, so whatever else happens to the sessions meanwhile, the statement and its session lines agree. A
closing that was interrupted is no closing: readers go on computing, and the next call goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from agents.bins import HOUR, end_of
from reports.billing.adjusting import Change, Difference, adjust
from reports.billing.ledger import COUNTED, TOTAL, Ledger, line_of
from reports.billing.month import Month
from reports.billing.rows import COLUMNS, ENDED, IN_PROGRESS, PASSED, SHOWN, billed, positions
from reports.billing.sessions import Billed
from sinks.sql.closed import CLOSED, CLOSING
from sinks.sql.dialect import Connection, Cursor, Dialect, connected
from sinks.sql.errors import Transient
from sinks.sql.rows import Cell, Row
from sinks.sql.writer import LOG_ID

AT_ONCE = 2_000  # rows fetched
WRITTEN = 200  # changes in one transaction
MOST_BY, MOST_REASON = 128, 512  # characters

Key = tuple[str, int, str]


class NotClosable(Exception):
    """The month may not be closed now; the message says why and what to do."""


class Closed(NamedTuple):
    """`already`: it was closed before, and nothing was done."""

    month: Month
    sessions: int
    tenants: int
    already: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """How months are closed. `close_after`: ms behind a month's end; `topic`: name of the log that the store is filled from."""

    zone: ZoneInfo
    rounding: str
    close_after: int
    topic: str


@dataclass(frozen=True, slots=True)
class _Of:
    """A month as its row says it was closed, or is being closed."""

    month: Month
    zone: ZoneInfo
    rounding: str
    state: str
    as_of: int
    generation: int


@dataclass(slots=True)
class _Stored:
    """A session as the store has it now."""

    state: Billed
    partition: int
    messages: str

    def receipt(self, otherwise: int) -> int:
        return max((message.receipt for message in positions(self.messages)), default=otherwise)


class Statements:
    """Writes statements. Blocks; raises the errors of `sinks.sql.errors`. `clock`: ms UTC on the wall."""

    def __init__(self, dialect: Dialect, terms: Terms, clock: Callable[[], int]) -> None:
        self._dialect, self._terms, self._clock = dialect, terms, clock

    # -- closing

    def close(self, name: str, by: str, reason: str | None = None) -> Generator[str, None, Closed]:
        """Close the month for all tenants, in small transactions; yields how far it is. With a `reason` also before billing.close_after
        has passed, but never before the month is over. Raises ValueError for what is no month, and NotClosable."""
        month = Month.named(name, self._terms.zone)
        with connected(self._dialect) as connection:
            of = self._begin(connection, month, by, reason)
            if of.state == CLOSED:
                return self._told(connection, of, already=True)
            yield from self._copy(connection, of)
            yield from self._sum_up(connection, of)
            with self._transaction(connection) as cursor:
                if self._dialect.read_generation(cursor) != of.generation:
                    raise Transient(f"a rebuild has replaced the sessions while {month.name} was being closed: close it again")
                cursor.execute(
                    "UPDATE billing_months SET state = ?, closed_at = ? WHERE month = ? AND state = ?",
                    (CLOSED, self._dialect.instant(self._clock()), month.name, CLOSING),
                )
            return self._told(connection, of, already=False)

    def _begin(self, connection: Connection, month: Month, by: str, reason: str | None) -> _Of:
        with self._transaction(connection) as cursor:
            found = self._months(cursor, "month = ?", (month.name,))
            generation = self._dialect.read_generation(cursor)
            if found and (found[0].state == CLOSED or found[0].generation == generation):
                return found[0]
            for table in ("billing_lines", "billing_sessions", "billing_months"):  # of a closing that a rebuild has overtaken
                cursor.execute(f"DELETE FROM {table} WHERE month = ?", (month.name,))
            folded_to, clock = self._fresh(cursor)
            self._check(month, folded_to, reason)
            cursor.execute("SELECT value FROM rs_meta WHERE name = ?", (LOG_ID,))
            log = cursor.fetchall()
            instant = self._dialect.instant
            row: dict[str, Cell] = {
                "month": month.name, "starts": instant(month.start), "ends": instant(month.end), "zone": self._terms.zone.key,
                "rounding": self._terms.rounding, "state": CLOSING, "begun_at": instant(self._clock()), "closed_by": by[:MOST_BY],
                "reason": reason[:MOST_REASON] if reason else None, "folded_to": instant(folded_to or 0),
                "as_of": instant(clock or month.end), "log_id": log[0][0] if log else None, "topic": self._terms.topic,
                "generation": generation,
            }  # fmt: skip
            _insert(cursor, "billing_months", row)
            return self._months(cursor, "month = ?", (month.name,))[0]

    def _check(self, month: Month, folded_to: int | None, reason: str | None) -> None:
        if folded_to is None or folded_to < month.end:
            raise NotClosable(f"{month.name} is not over in the store: wait until its figures go beyond the month's end")
        if reason is None and folded_to < month.end + self._terms.close_after:
            raise NotClosable(
                f"{month.name} may be closed when billing.close_after has passed since its end; to close it now, force it and give a reason"
            )

    def _fresh(self, cursor: Cursor) -> tuple[int | None, int | None]:
        """Receipt up to which all is in the store, and how far its clock is."""
        cursor.execute("SELECT min(folded_to), max(clock) FROM freshness WHERE generation = (SELECT max(generation) FROM freshness)")
        folded_to, clock = cursor.fetchall()[0]
        return folded_to or None, clock or None

    def _copy(self, connection: Connection, of: _Of) -> Iterator[str]:
        month = of.month
        start = month.start
        while start < month.end:
            end = min(end_of(HOUR, start, of.zone), month.end)
            self._copy_some(connection, month, ENDED, (start, end))
            start = end
            yield f"{month.name}: sessions copied up to {100 * (start - month.start) // (month.end - month.start)} %"
        self._copy_some(connection, month, PASSED, (month.end, month.end))
        self._copy_some(connection, month, IN_PROGRESS, (month.end,))

    def _copy_some(self, connection: Connection, month: Month, condition: str, instants: Sequence[int]) -> None:
        columns = ", ".join(SHOWN)
        known = "b.guid = sessions.guid AND b.comp_id = sessions.comp_id AND b.session = sessions.session"
        with self._transaction(connection) as cursor:
            cursor.execute(
                f"INSERT INTO billing_sessions (month, {columns}) SELECT '{month.name}', {columns} FROM sessions WHERE {condition}"
                f" AND NOT EXISTS (SELECT 1 FROM billing_sessions AS b WHERE b.month = '{month.name}' AND {known})",
                tuple(map(self._dialect.instant, instants)),
            )

    def _sum_up(self, connection: Connection, of: _Of) -> Iterator[str]:
        tenants, apps = self._names(connection, of.month)
        for n, tenant in enumerate(sorted(tenants), 1):
            lines = self._ledger(connection, of, tenant).lines()
            with self._transaction(connection) as cursor:
                cursor.execute("DELETE FROM billing_lines WHERE month = ? AND tenant_id = ?", (of.month.name, tenant))
                for line in lines:
                    figures = msgspec.structs.asdict(line.figures)
                    figures["peak_at"] = self._instant(line.figures.peak_at)
                    name = tenants[tenant] if line.name == TOTAL else apps.get(line.name)
                    _insert(
                        cursor, "billing_lines", {"month": of.month.name, "tenant_id": tenant, "line": line.name, "name": name, **figures}
                    )
            yield f"{of.month.name}: {n} of {len(tenants)} statements"

    def _names(self, connection: Connection, month: Month) -> tuple[dict[int, str | None], dict[str, str]]:
        """All tenants of the month with their names, as far as sessions tell them; names of profiles by line."""
        cursor = connection.cursor()
        cursor.execute("SELECT DISTINCT tenant_path FROM billing_sessions WHERE month = ?", (month.name,))
        tenants: dict[int, str | None] = {tenant: None for (path,) in cursor.fetchall() for tenant in msgspec.json.decode(path)}
        instants = (self._dialect.instant(month.start), self._dialect.instant(month.end))
        cursor.execute(f"SELECT DISTINCT tenant_path, tenant_name FROM sessions WHERE {ENDED} AND tenant_name IS NOT NULL", instants)
        for text, name in cursor.fetchall():
            path, parts = msgspec.json.decode(text), name.split("/")
            if path:
                tenants[path[-1]] = name
            if len(parts) == len(path):
                for depth, tenant in enumerate(path[:-1], 1):
                    tenants[tenant] = tenants.get(tenant) or "/".join(parts[:depth])
        cursor.execute(
            "SELECT app_id, max(app_name) FROM billing_sessions WHERE month = ? AND app_name IS NOT NULL GROUP BY app_id", (month.name,)
        )
        return tenants, {line_of(app): name for app, name in cursor.fetchall()}

    def _ledger(self, connection: Connection, of: _Of, tenant: int) -> Ledger:
        """Of the copies. The pattern only spares decoding most rows of other tenants."""
        ledger = Ledger(tenant, of.month, of.rounding, of.as_of)
        cursor = connection.cursor()
        cursor.execute(
            f"SELECT {', '.join(COLUMNS)} FROM billing_sessions WHERE month = ? AND tenant_path LIKE ?", (of.month.name, f"%{tenant}%")
        )
        for row in _fetched(cursor):
            ledger.add(billed(*row))  # type: ignore[arg-type]
        return ledger

    def _told(self, connection: Connection, of: _Of, *, already: bool) -> Closed:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM billing_sessions WHERE month = ?", (of.month.name,))
        sessions = cursor.fetchall()[0][0]
        cursor.execute("SELECT count(*) FROM billing_lines WHERE month = ? AND line = ?", (of.month.name, TOTAL))
        return Closed(of.month, sessions, cursor.fetchall()[0][0], already)

    # -- adjusting

    def adjust(self) -> Iterator[tuple[str, int]]:
        """Look for changes in all closed months of which the store still has sessions; yields (month, changes written), one item a
        transaction."""
        with connected(self._dialect) as connection:
            cursor = connection.cursor()
            oldest = self._oldest(cursor)
            for of in self._months(cursor, "state = ?", (CLOSED,)):
                if oldest is not None and of.month.end > oldest:
                    yield from self._adjust(connection, of)

    def _oldest(self, cursor: Cursor) -> int | None:
        cursor.execute("SELECT min(end_ts) FROM sessions WHERE ended = 1")
        ended = cursor.fetchall()[0][0]
        cursor.execute("SELECT min(start_ts) FROM sessions WHERE ended = 0")
        return min((at for at in (ended, cursor.fetchall()[0][0]) if at is not None), default=None)

    def _adjust(self, connection: Connection, of: _Of) -> Iterator[tuple[str, int]]:
        recorded = self._recorded(connection, of.month)
        latest = {change.after.key: change.after for change in recorded}
        last = len(recorded)
        changes, rows = [], []
        for before, stored in self._changed(connection, of, latest):
            changes.append(Change(before, stored.state, stored.receipt(self._clock())))
            rows.append(stored)
        order = sorted(range(len(changes)), key=lambda at: (changes[at].receipt, changes[at].after.key))
        changes, rows = [changes[at] for at in order], [rows[at] for at in order]
        moved: dict[int, list[Difference]] = defaultdict(list)
        for tenant in sorted({tenant for change in changes for tenant in change.tenants}):
            ledger = self._ledger(connection, of, tenant)
            adjust(ledger, recorded)
            for at, differences in enumerate(adjust(ledger, changes)):
                moved[at] += differences
        for first in range(0, len(changes), WRITTEN):
            part = range(first, min(first + WRITTEN, len(changes)))
            with self._transaction(connection) as cursor:
                self._check_alone(cursor, of.month, last + first)
                for at in part:
                    self._write(cursor, of, last + at + 1, changes[at], rows[at], moved[at])
            yield of.month.name, len(part)

    def _changed(self, connection: Connection, of: _Of, latest: dict[Key, Billed]) -> Iterator[tuple[Billed | None, _Stored]]:
        """Sessions that are not what the month knows of them, with what it knows."""
        found = self._differing(connection, of.month)
        for stored in self._new(connection, of.month):
            found.setdefault(stored.state.key, (None, stored))
        for key in latest.keys() - found.keys():
            if (one := self._one(connection, key)) is not None:  # else it was purged, which is no change
                found[key] = (None, one)
        for key, (frozen, stored) in found.items():
            known = latest.get(key, frozen)
            if known != stored.state:
                yield known, stored

    def _differing(self, connection: Connection, month: Month) -> dict[Key, tuple[Billed | None, _Stored]]:
        values = [name for name in COLUMNS if name not in ("guid", "comp_id", "session")]
        kept, now = (", ".join(f"{side}.{name}" for name in values) for side in "bs")
        columns = ", ".join(f"{side}.{name}" for side in "bs" for name in COLUMNS)
        cursor = connection.cursor()
        # INTERSECT finds nulls equal, in every database. No partition: a log with another number of them keeps a call elsewhere.
        cursor.execute(
            f"SELECT {columns}, s.source_partition, s.messages FROM billing_sessions AS b JOIN sessions AS s"
            " ON s.guid = b.guid AND s.comp_id = b.comp_id AND s.session = b.session"
            f" WHERE b.month = ? AND NOT EXISTS (SELECT {kept} INTERSECT SELECT {now})",
            (month.name,),
        )
        found: dict[Key, tuple[Billed | None, _Stored]] = {}
        for row in _fetched(cursor):
            frozen = billed(*row[: len(COLUMNS)])  # type: ignore[arg-type]
            found[frozen.key] = (frozen, _stored(row[len(COLUMNS) :]))
        return found

    def _new(self, connection: Connection, month: Month) -> Iterator[_Stored]:
        columns = ", ".join((*COLUMNS, "source_partition", "messages"))
        same = "b.guid = sessions.guid AND b.comp_id = sessions.comp_id AND b.session = sessions.session"
        walks = ((ENDED, (month.start, month.end)), (PASSED, (month.end, month.end)), (IN_PROGRESS, (month.end,)))
        for condition, instants in walks:
            cursor = connection.cursor()
            cursor.execute(
                f"SELECT {columns} FROM sessions WHERE {condition}"
                f" AND NOT EXISTS (SELECT 1 FROM billing_sessions AS b WHERE b.month = '{month.name}' AND {same})",
                tuple(map(self._dialect.instant, instants)),
            )
            yield from map(_stored, _fetched(cursor))

    def _one(self, connection: Connection, key: Key) -> _Stored | None:
        cursor = connection.cursor()
        columns = ", ".join((*COLUMNS, "source_partition", "messages"))
        cursor.execute(f"SELECT {columns} FROM sessions WHERE guid = ? AND comp_id = ? AND session = ?", key)
        rows = cursor.fetchall()
        return _stored(rows[0]) if rows else None

    def _recorded(self, connection: Connection, month: Month) -> list[Change]:
        cursor = connection.cursor()
        cursor.execute("SELECT before, after, receipt FROM billing_changes WHERE month = ? ORDER BY number", (month.name,))
        decode = msgspec.json.Decoder(Billed).decode
        return [Change(decode(before) if before else None, decode(after), receipt) for before, after, receipt in cursor.fetchall()]

    def _check_alone(self, cursor: Cursor, month: Month, last: int) -> None:
        cursor.execute("SELECT count(*) FROM billing_changes WHERE month = ?", (month.name,))
        if cursor.fetchall()[0][0] != last:
            raise Transient(f"another process adjusts {month.name}: it is looked at again the next time")

    def _write(self, cursor: Cursor, of: _Of, number: int, change: Change, stored: _Stored, moved: Sequence[Difference]) -> None:
        cursor.execute("SELECT value FROM rs_meta WHERE name = ?", (LOG_ID,))
        log = cursor.fetchall()
        guid, comp_id, session = change.after.key
        row: dict[str, Cell] = {
            "month": of.month.name, "number": number, "receipt": self._instant(change.receipt), "noted_at": self._instant(self._clock()),
            "guid": guid, "comp_id": comp_id, "session": session, "source_partition": stored.partition,
            "before": None if change.before is None else msgspec.json.encode(change.before).decode(),
            "after": msgspec.json.encode(change.after).decode(), "messages": stored.messages,
            "log_id": log[0][0] if log else None, "topic": self._terms.topic,
        }  # fmt: skip
        _insert(cursor, "billing_changes", row)
        for one in moved:
            line: dict[str, Cell] = {"month": of.month.name, "number": number, "tenant_id": one.tenant, "line": one.line, "name": None}
            line |= {name: one.figures[name] for name in COUNTED}
            _insert(cursor, "billing_adjustments", line | {"peak_at": self._instant(one.peak_at)})

    # -- both

    def _months(self, cursor: Cursor, condition: str, arguments: Sequence[str]) -> list[_Of]:
        cursor.execute(
            f"SELECT month, starts, ends, zone, rounding, state, as_of, generation FROM billing_months WHERE {condition} ORDER BY starts",
            arguments,
        )
        return [
            _Of(Month(name, starts, ends), ZoneInfo(zone), rounding, state, as_of, generation)
            for name, starts, ends, zone, rounding, state, as_of, generation in cursor.fetchall()
        ]

    def _instant(self, ms: int | None) -> int | str | None:
        return None if ms is None else self._dialect.instant(ms)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Cursor]:
        """What fails inside leaves it to `connected` to roll back."""
        cursor = connection.cursor()
        self._dialect.begin(cursor)
        yield cursor
        connection.commit()


def _stored(row: Row) -> _Stored:
    *cells, partition, messages = row
    return _Stored(billed(*cells), int(partition or 0), str(messages))  # type: ignore[arg-type]


def _fetched(cursor: Cursor) -> Iterator[Row]:
    while rows := cursor.fetchmany(AT_ONCE):
        yield from map(tuple, rows)


def _insert(cursor: Cursor, table: str, row: dict[str, Cell]) -> None:
    # NULL as a word: to bind one, a driver may have to ask the server for its type.
    marks = ", ".join("NULL" if cell is None else "?" for cell in row.values())
    cursor.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [cell for cell in row.values() if cell is not None])
