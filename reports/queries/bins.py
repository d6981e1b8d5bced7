"""Bins: rows of one dimension by granularity. A missing row reads as zeros (rule B4)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from sqlite3 import Connection, Row

from reports.parameters import Dn
from reports.queries.where import Where


@dataclass(frozen=True, slots=True)
class Durations:
    """Spread of the durations of completed sessions, ms. Average and deviation are null over n = 0 (rule B12)."""

    n: int = 0
    total: int = 0
    squares: int = 0
    low: int | None = None
    high: int | None = None

    @property
    def average(self) -> float | None:
        return self.total / self.n if self.n else None

    @property
    def deviation(self) -> float | None:
        """Of the population."""
        return math.sqrt(max(0, self.n * self.squares - self.total**2)) / self.n if self.n else None


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin begins at `start`; `in_progress` is at its end (rule B2)."""

    value: str
    start: int
    arrivals: int = 0
    completed: int = 0
    in_progress: int = 0
    durations: Durations = field(default_factory=Durations)
    arrivals_by: dict[str, int] = field(default_factory=dict)
    completed_by: dict[str, int] = field(default_factory=dict)
    in_progress_by: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BinFilter:
    """Bins with start <= bin start < end. No values: all values of the dimension."""

    comp: str
    dimension: str
    granularity: str
    start: int
    end: int
    values: tuple[str, ...] = ()
    dns: tuple[Dn, ...] = ()

    def where(self) -> Where:
        where = Where()
        for column, value in (("granularity", self.granularity), ("dimension", self.dimension), ("comp", self.comp)):
            where.one_of(column, [value])
        where.between("bin_start", self.start, self.end)
        where.one_of("value", self.values)
        where.dns("value", self.dns)
        return where


def _bin(row: Row) -> Bin:
    durations = Durations(row["duration_n"], row["duration_sum"], int(row["duration_squares"]), row["duration_min"], row["duration_max"])
    return Bin(
        row["value"],
        row["bin_start"],
        row["arrivals"],
        row["completed"],
        row["in_progress"],
        durations,
        json.loads(row["arrivals_by"]),
        json.loads(row["completed_by"]),
        json.loads(row["in_progress_by"]),
    )


def bins(connection: Connection, wanted: BinFilter, limit: int = -1, offset: int = 0) -> tuple[Bin, ...]:
    """In order of time, then of value."""
    where = wanted.where()
    sql = f"SELECT * FROM bin_rows WHERE {where} ORDER BY bin_start, value LIMIT ? OFFSET ?"  # noqa: S608 - names are ours, values are bound
    return tuple(_bin(row) for row in connection.execute(sql, [*where.arguments, limit, offset]))


def count_bins(connection: Connection, wanted: BinFilter) -> int:
    where = wanted.where()
    return int(connection.execute(f"SELECT count(*) FROM bin_rows WHERE {where}", where.arguments).fetchone()[0])  # noqa: S608


def component_types(connection: Connection) -> tuple[str, ...]:
    """Those that have days."""
    rows = connection.execute("SELECT DISTINCT comp FROM bin_rows WHERE granularity = 'DAY' AND dimension = 'component_type' ORDER BY comp")
    return tuple(row["comp"] for row in rows)


def values_of(connection: Connection, comp: str, dimension: str, limit: int = 500) -> tuple[str, ...]:
    """Values of a dimension, the busiest first."""
    rows = connection.execute(
        "SELECT value FROM bin_rows WHERE granularity = 'DAY' AND dimension = ? AND comp = ?"
        " GROUP BY value ORDER BY sum(arrivals) DESC, value LIMIT ?",
        [dimension, comp, limit],
    )
    return tuple(row["value"] for row in rows)


def last_day(connection: Connection) -> int | None:
    """Start of the last day that any component type has."""
    sql = "SELECT max(bin_start) FROM bin_rows WHERE granularity = 'DAY' AND dimension = 'component_type'"
    start: int | None = connection.execute(sql).fetchone()[0]
    return start
