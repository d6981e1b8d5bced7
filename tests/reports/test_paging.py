"""Paging with a cursor: whoever walks through sees every call that was there at the beginning once, whatever arrives meanwhile."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.queries import calls
from reports.queries.calls import CallFilter
from reports.queries.paging import Cursor, Page
from reports.store.contract import Argument, Row
from reports.store.sqlite import SQLiteReading, named
from tests.reports.seed import SCHEMA, Session, write

SCRIPT = "".join(path.read_text() for path in sorted(SCHEMA.glob("*.sql")))
Start = int | None
starts = st.one_of(st.none(), st.integers(1, 12))  # few instants: many calls start in the same millisecond
guids = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number)).upper())


def call(guid: str, start: Start, tenant: int = 7) -> Session:
    return Session(guid, "RM", 201, "S", start, None, (1, tenant), "Environment/T", (3, "P"), None, "INBOUND", "sip:1@a", None)


def store() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = named
    connection.executescript(SCRIPT)
    return connection


@settings(deadline=None, max_examples=150)
@given(
    first=st.dictionaries(guids, starts, max_size=25),
    later=st.lists(st.tuples(guids, st.integers(13, 20)), max_size=12),
    size=st.integers(1, 7),
)
def test_newer_calls_move_nothing(first: dict[str, Start], later: list[tuple[str, int]], size: int) -> None:
    connection = store()
    write(connection, [call(guid, start) for guid, start in first.items()], 0)
    arriving = [row for row in later if row[0] not in first]
    seen: list[str] = []
    after: Cursor | None = None
    for _ in range(len(first) + 1):
        page = calls.calls(SQLiteReading(connection), CallFilter(), Page(size, after=after))
        assert len(page.rows) <= size
        seen += [row.guid for row in page.rows]
        if page.next is None:
            break
        after = Cursor.unpack(page.next.pack(), (str,))
        if arriving:
            guid, start = arriving.pop()
            write(connection, [call(guid, start)], 0)
    assert seen == sorted(first, key=lambda guid: (first[guid] is None, -(first[guid] or 0), guid))


@settings(deadline=None, max_examples=100)
@given(rows=st.dictionaries(guids, st.tuples(starts, st.sampled_from([7, 8])), max_size=25), size=st.integers(1, 7))
def test_pages_by_number_are_the_same_list(rows: dict[str, tuple[Start, int]], size: int) -> None:
    connection = store()
    write(connection, [call(guid, start, tenant) for guid, (start, tenant) in rows.items()], 0)
    wanted = CallFilter(tenants=(7,))
    whole = calls.calls(SQLiteReading(connection), wanted, Page(1000))
    seen: list[str] = []
    for number in range(1, len(rows) // size + 2):
        page = calls.calls(SQLiteReading(connection), wanted, Page(size, number))
        assert page.total == sum(tenant == 7 for _, tenant in rows.values())
        seen += [row.guid for row in page.rows]
    assert seen == [row.guid for row in whole.rows]


@pytest.mark.parametrize(
    "text", ["-", "x", "é", "bnVsbA", "W251bGwsWzEsMl1d", Cursor(2**63, ("A",)).pack(), Cursor(1, ("A", 2)).pack(), Cursor(1, (2,)).pack()]
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Cursor.unpack(text, (str,))


class Explaining(SQLiteReading):
    """Notes how each statement would be worked out."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.plans: list[list[str]] = []

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> list[Row]:
        self.plans.append([step["detail"] for step in super().rows(f"EXPLAIN QUERY PLAN {sql}", arguments)])
        return super().rows(sql, arguments)


def test_the_list_is_walked_by_the_index_of_starts() -> None:
    """A page far down must not sort the whole table."""
    reading = Explaining(store())
    calls.calls(reading, CallFilter(), Page(50, after=Cursor(9, ("A",))))
    assert reading.plans[0] == ["SEARCH calls USING INDEX calls_by_start (start_ts<?)"]
