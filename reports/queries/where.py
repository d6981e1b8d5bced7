"""Conditions of a WHERE clause, each value bound as an argument."""

from __future__ import annotations

from collections.abc import Sequence

from reports.exceptions import Fault, Malformed
from reports.parameters import MOST_VALUES, Dn, Match
from reports.store.contract import Argument, Condition, Dialect, Instant

MOST_BOUND = MOST_VALUES + 50  # instants, names of components; SQL Server takes 2,100, and paging needs some, too


class Where:
    """Conditions joined by AND; the values inside one condition by OR."""

    def __init__(self, dialect: Dialect, *conditions: str) -> None:
        self.dialect = dialect
        self.conditions = list(conditions)
        self.arguments: list[Argument] = []

    def add(self, condition: str, *arguments: Argument) -> None:
        """Raises Malformed if a database would not take so many values."""
        self.conditions.append(condition)
        self.arguments += arguments
        if len(self.arguments) > MOST_BOUND:
            raise Malformed((Fault("all parameters", f"{len(self.arguments)} values to compare with", "fewer values in one question"),))

    def one_of(self, column: str, values: Sequence[int] | Sequence[str]) -> None:
        if values:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def between(self, column: str, start: int | None, end: int | None) -> None:
        """start <= column < end, ms UTC (rule Q3)."""
        if start is not None:
            self.add(f"{column} >= ?", Instant(start))
        if end is not None:
            self.add(f"{column} < ?", Instant(end))

    def any_of(self, parts: Sequence[Condition]) -> None:
        if parts:
            self.add("(" + " OR ".join(part for part, _ in parts) + ")", *(value for _, values in parts for value in values))

    def tenants(self, ids: Sequence[int], *, own: bool) -> None:
        """Those of the tenants; with their descendants unless `own` (rules Q2, B7)."""
        if own:
            self.one_of("tenant_id", ids)
        elif ids:
            self.any_of([self.dialect.holds_any("tenant_path", ids)])

    def matches(self, column: str, values: Sequence[Match]) -> None:
        self.any_of([match(self.dialect, column, value) for value in values])

    def dns(self, column: str, values: Sequence[Dn]) -> None:
        self.any_of([dn(self.dialect, column, value) for value in values])

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "1 = 1"


def match(dialect: Dialect, column: str, value: Match) -> Condition:
    return dialect.begins(column, value.text) if value.prefix else dialect.equals(column, value.text)


def dn(dialect: Dialect, column: str, value: Dn) -> Condition:
    return match(dialect, column, value) if isinstance(value, Match) else dialect.digits_between(column, value.low, value.high)
