"""What reports ask of a database: one state of the store for each request, and the few pieces of SQL in which databases differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

LONGEST_S = 20.0  # what the queries of one request may take: they keep a thread and a snapshot, and old rows pile up meanwhile

Row = Mapping[str, Any]
"""Column -> cell: int for numbers, flags (0 or 1) and instants (ms UTC), float, str for texts and decimals, None."""


@dataclass(frozen=True, slots=True)
class Instant:
    """An argument that is compared with a column of instants."""

    ms: int


Argument = int | str | Instant
Condition = tuple[str, Sequence[Argument]]
"""Part of a WHERE clause with what is bound to its question marks."""


class Dialect(Protocol):
    """SQL that databases spell differently. Everything else is written so that all of them take it."""

    def equals(self, column: str, text: str) -> Condition:
        """The column holds this very text: case and trailing blanks count."""
        ...

    def begins(self, column: str, text: str) -> Condition:
        """The column begins with this very text."""
        ...

    def digits_between(self, column: str, low: str, high: str) -> Condition:
        """The column consists of as many digits as the bounds, and lies between them."""
        ...

    def holds_any(self, column: str, numbers: Sequence[int]) -> Condition:
        """One of the numbers is in the column, a JSON list of DBIDs."""
        ...

    def part(self, size: int | None, offset: int) -> Condition:
        """What follows ORDER BY: so many rows behind the first `offset`; None: all that are left."""
        ...


class Reading(Protocol):
    """One state of the store, from its first query to its end."""

    @property
    def dialect(self) -> Dialect: ...

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> Sequence[Row]: ...


class Store(Protocol):
    """Gives readings. The database need not exist yet."""

    def reading(self) -> AbstractContextManager[Reading]:
        """A reading that ends with the context. Raises StoreUnavailable, also inside of it. It lasts LONGEST_S at most."""
        ...


def took_too_long() -> str:
    return f"The query took longer than {LONGEST_S:g} s: ask for a shorter time or fewer values."
