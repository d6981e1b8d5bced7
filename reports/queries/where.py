"""Conditions of a WHERE clause, each value bound as an argument."""

from __future__ import annotations

from collections.abc import Sequence

from reports.parameters import Dn, Match

Argument = int | str | None


class Where:
    """Conditions joined by AND; the values inside one condition by OR."""

    def __init__(self, *conditions: str) -> None:
        self.conditions = list(conditions)
        self.arguments: list[Argument] = []

    def add(self, condition: str, *arguments: Argument) -> None:
        self.conditions.append(condition)
        self.arguments += arguments

    def one_of(self, column: str, values: Sequence[int] | Sequence[str]) -> None:
        if values:
            self.add(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def between(self, column: str, start: int | None, end: int | None) -> None:
        """start <= column < end (rule Q3)."""
        if start is not None:
            self.add(f"{column} >= ?", start)
        if end is not None:
            self.add(f"{column} < ?", end)

    def any_of(self, parts: Sequence[tuple[str, Sequence[Argument]]]) -> None:
        if parts:
            self.add("(" + " OR ".join(part for part, _ in parts) + ")", *(value for _, values in parts for value in values))

    def tenants(self, ids: Sequence[int], *, own: bool) -> None:
        """Those of the tenants; with their descendants unless `own` (rules Q2, B7)."""
        if own:
            self.one_of("tenant_id", ids)
        elif ids:
            marks = ", ".join("?" * len(ids))
            self.add(f"EXISTS (SELECT 1 FROM json_each(tenant_path) WHERE json_each.value IN ({marks}))", *ids)  # noqa: S608 - marks only

    def matches(self, column: str, values: Sequence[Match]) -> None:
        self.any_of([match(column, value) for value in values])

    def dns(self, column: str, values: Sequence[Dn]) -> None:
        self.any_of([dn(column, value) for value in values])

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "1"


def match(column: str, value: Match) -> tuple[str, Sequence[Argument]]:
    # substr instead of LIKE: no wildcard of the text needs an escape, and case counts.
    if value.prefix:
        return f"substr({column}, 1, {len(value.text)}) = ?", [value.text]
    return f"{column} = ?", [value.text]


def dn(column: str, value: Dn) -> tuple[str, Sequence[Argument]]:
    if isinstance(value, Match):
        return match(column, value)
    digits = f"length({column}) = {len(value.low)} AND {column} NOT GLOB '*[^0-9]*'"
    return f"({digits} AND {column} BETWEEN ? AND ?)", [value.low, value.high]
