"""Pages of a list that runs from the newest to the oldest.

A cursor names the last row that was given, so rows that arrive meanwhile, which are newer, move nothing. Rows of unknown
start come last.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from reports.queries.where import Where
from reports.store.contract import Argument, Instant, Reading, Row

R = TypeVar("R")


class Cursor(msgspec.Struct, array_like=True, frozen=True):
    """The key of a row: start, null if unknown, then the columns that make it unique."""

    start: int | None
    rest: tuple[int | str, ...]

    def pack(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @staticmethod
    def unpack(text: str, types: tuple[type, ...]) -> Cursor:
        """`types`: of the unique columns. Raises ValueError if it is no cursor over such."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            cursor = msgspec.json.decode(raw, type=Cursor)
        except (ValueError, msgspec.DecodeError) as exc:
            raise ValueError(text) from exc
        whole = [part for part in (cursor.start, *cursor.rest) if isinstance(part, int)]
        if tuple(map(type, cursor.rest)) != types or any(abs(part) >= 2**63 for part in whole):
            raise ValueError(text)
        return cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: either the rows behind `after`, or page `number` from 1."""

    size: int
    number: int = 1
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Listing(Generic[R]):
    """`next`: the cursor of the page behind this one, if there is one. `total`: rows of all pages; not counted behind a cursor."""

    rows: tuple[R, ...]
    next: Cursor | None
    total: int | None


@dataclass(frozen=True, slots=True)
class Source(Generic[R]):
    """A table to page through: newest `instant` first, then by the `unique` columns."""

    table: str
    columns: str
    unique: Mapping[str, type]
    make: Callable[[Row], R]
    instant: str = "start_ts"

    @property
    def types(self) -> tuple[type, ...]:
        return tuple(self.unique.values())

    def cursor_of(self, row: Row) -> Cursor:
        return Cursor(row[self.instant], tuple(row[name] for name in self.unique))

    def read(self, reading: Reading, where: Where, page: Page) -> Listing[R]:
        known = self._rows(reading, where, page.after, page.size + 1, (page.number - 1) * page.size)
        more = len(known) > page.size
        rows = known[: page.size]
        total = None
        if page.after is None:
            total = reading.rows(f"SELECT count(*) AS n FROM {self.table} WHERE {where}", where.arguments)[0]["n"]  # noqa: S608
        return Listing(tuple(self.make(row) for row in rows), self.cursor_of(rows[-1]) if more else None, total)

    def _rows(self, reading: Reading, where: Where, after: Cursor | None, limit: int, offset: int) -> Sequence[Row]:
        """Two walks instead of one OR, so that each can use the index by start: first the known starts, then the unknown ones."""
        unique = ", ".join(self.unique)
        rows: list[Row] = []
        if after is None or after.start is not None:
            condition, arguments = f"{self.instant} IS NOT NULL", list[Argument]()
            if after is not None and after.start is not None:
                behind, rest = _behind(tuple(self.unique), after.rest)
                condition, arguments = (
                    f"{self.instant} <= ? AND ({self.instant} < ? OR {behind})",
                    [Instant(after.start), Instant(after.start), *rest],
                )
            rows = self._walk(reading, where, condition, arguments, f"{self.instant} DESC, {unique}", limit, offset)
        if len(rows) == limit:
            return rows
        condition, arguments = f"{self.instant} IS NULL", []
        if after is not None and after.start is None:
            behind, arguments = _behind(tuple(self.unique), after.rest)
            condition = f"{self.instant} IS NULL AND {behind}"
        if offset and not rows:
            sql = f"SELECT count(*) AS n FROM {self.table} WHERE {self.instant} IS NOT NULL AND {where}"  # noqa: S608 - names are ours, values are bound
            offset -= reading.rows(sql, where.arguments)[0]["n"]
        elif rows:
            offset = 0
        return rows + self._walk(reading, where, condition, arguments, unique, limit - len(rows), offset)

    def _walk(
        self, reading: Reading, where: Where, condition: str, arguments: list[Argument], order: str, limit: int, offset: int
    ) -> list[Row]:
        part, bounds = reading.dialect.part(limit, offset)
        sql = f"SELECT {self.columns} FROM {self.table} WHERE {condition} AND {where} ORDER BY {order} {part}"  # noqa: S608
        return list(reading.rows(sql, [*arguments, *where.arguments, *bounds]))


def _behind(columns: Sequence[str], values: Sequence[int | str]) -> tuple[str, list[Argument]]:
    """The columns come behind the values in their order: (a, b) > (x, y) for databases that do not know it."""
    first, value = columns[0], values[0]
    if len(columns) == 1:
        return f"{first} > ?", [value]
    rest, arguments = _behind(columns[1:], values[1:])
    return f"({first} > ? OR ({first} = ? AND {rest}))", [value, value, *arguments]
