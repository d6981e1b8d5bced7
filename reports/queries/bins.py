"""Bins: rows of one dimension by granularity. A missing row reads as zeros (rule B4)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from reports.parameters import Dn
from reports.queries.where import Where
from reports.store.contract import Dialect, Reading, Row

Counts = dict[str, int]
COLUMNS = (  # by name: a store of an older version lacks some, and is found out even without rows
    "value, bin_start, arrivals, completed, in_progress, duration_n, duration_sum, duration_squares, duration_min, duration_max,"
    " arrivals_by, completed_by, in_progress_by, peak, peak_at, peak_by, burst_by, results_by, actions_by, last_actions_by,"
    " quality_calls, quality_failed, failures_by, latencies_by"
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Of durations in ms or latencies in microseconds. Average and deviation are null over n = 0 (rule B12). `buckets`: number of the
    bucket -> values in it (rule B10); of latencies only."""

    n: int = 0
    total: int = 0
    squares: int = 0
    low: int | None = None
    high: int | None = None
    buckets: Counts = field(default_factory=dict)

    @property
    def average(self) -> float | None:
        return self.total / self.n if self.n else None

    @property
    def deviation(self) -> float | None:
        """Of the population."""
        return math.sqrt(max(0, self.n * self.squares - self.total**2)) / self.n if self.n else None

    @staticmethod
    def merged(parts: Iterable[Spread]) -> Spread:
        """Of all values together: exact, as nothing in it is an average."""
        parts = list(parts)
        buckets: Counter[str] = Counter()
        for part in parts:
            buckets.update(part.buckets)
        lows, highs = [part.low for part in parts if part.low is not None], [part.high for part in parts if part.high is not None]
        return Spread(
            sum(part.n for part in parts),
            sum(part.total for part in parts),
            sum(part.squares for part in parts),
            min(lows, default=None),
            max(highs, default=None),
            dict(buckets),
        )


@dataclass(frozen=True, slots=True)
class Peak:
    """Greatest occupancy of the seconds of a bin, the first such second in ms UTC (None: no session), and its split by call type."""

    count: int = 0
    at: int | None = None
    by: Counts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin begins at `start`; `in_progress` is at its end (rule B2).

    Labels: call types, but in `completed_by` end states, `burst_by` "tenant:level", `results_by` call results, `actions_by` and
    `last_actions_by` "action|result", `failures_by` causes, `latencies_by` "category|type".
    """

    value: str
    start: int
    arrivals: int = 0
    completed: int = 0
    in_progress: int = 0
    durations: Spread = field(default_factory=Spread)
    arrivals_by: Counts = field(default_factory=dict)
    completed_by: Counts = field(default_factory=dict)
    in_progress_by: Counts = field(default_factory=dict)
    peak: Peak = field(default_factory=Peak)
    burst_by: Counts = field(default_factory=dict)
    results_by: Counts = field(default_factory=dict)
    actions_by: Counts = field(default_factory=dict)
    last_actions_by: Counts = field(default_factory=dict)
    quality_calls: int = 0
    quality_failed: int = 0
    failures_by: Counts = field(default_factory=dict)
    latencies_by: dict[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BinFilter:
    """Bins with start <= bin start < end. No values: all values of the dimension. `having`: columns of labels of which one at
    least is not empty."""

    comp: str
    dimension: str
    granularity: str
    start: int
    end: int
    values: tuple[str, ...] = ()
    dns: tuple[Dn, ...] = ()
    having: tuple[str, ...] = ()

    def where(self, dialect: Dialect, comps: tuple[str, ...] = ()) -> Where:
        """`comps`: component types instead of the one."""
        where = Where(dialect)
        where.one_of("granularity", [self.granularity])
        where.one_of("dimension", [self.dimension])
        where.one_of("comp", comps or (self.comp,))
        where.between("bin_start", self.start, self.end)
        where.any_of([dialect.equals("value", value) for value in self.values])
        where.dns("value", self.dns)
        where.any_of([(f"{column} <> '{{}}'", ()) for column in self.having])
        return where


def _bin(row: Row) -> Bin:
    durations = Spread(row["duration_n"], row["duration_sum"], int(row["duration_squares"]), row["duration_min"], row["duration_max"])
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
        Peak(row["peak"], row["peak_at"], json.loads(row["peak_by"])),
        json.loads(row["burst_by"]),
        json.loads(row["results_by"]),
        json.loads(row["actions_by"]),
        json.loads(row["last_actions_by"]),
        row["quality_calls"],
        row["quality_failed"],
        json.loads(row["failures_by"]),
        {label: _spread(stored) for label, stored in json.loads(row["latencies_by"]).items()},
    )


def _spread(stored: dict[str, Any]) -> Spread:
    return Spread(stored["n"], stored["sum"], int(stored["squares"]), stored["min"], stored["max"], stored.get("buckets", {}))


def bins(reading: Reading, wanted: BinFilter, limit: int | None = None, offset: int = 0) -> tuple[Bin, ...]:
    """In order of time, then of value."""
    where = wanted.where(reading.dialect)
    part, arguments = reading.dialect.part(limit, offset)
    sql = f"SELECT {COLUMNS} FROM bin_rows WHERE {where} ORDER BY bin_start, value {part}"  # noqa: S608 - names are ours, values are bound
    return tuple(_bin(row) for row in reading.rows(sql, [*where.arguments, *arguments]))


def count_bins(reading: Reading, wanted: BinFilter) -> int:
    where = wanted.where(reading.dialect)
    return int(reading.rows(f"SELECT count(*) AS n FROM bin_rows WHERE {where}", where.arguments)[0]["n"])  # noqa: S608


def component_types(reading: Reading) -> tuple[str, ...]:
    """Those that have days."""
    rows = reading.rows("SELECT DISTINCT comp FROM bin_rows WHERE granularity = 'DAY' AND dimension = 'component_type' ORDER BY comp")
    return tuple(row["comp"] for row in rows)


def values_of(reading: Reading, comp: str, dimension: str, limit: int = 500) -> tuple[str, ...]:
    """Values of a dimension, the busiest first."""
    part, arguments = reading.dialect.part(limit, 0)
    busiest = f"GROUP BY value ORDER BY sum(arrivals) DESC, value {part}"
    sql = f"SELECT value FROM bin_rows WHERE granularity = 'DAY' AND dimension = ? AND comp = ? {busiest}"  # noqa: S608 - words of ours
    rows = reading.rows(sql, [dimension, comp, *arguments])
    return tuple(row["value"] for row in rows)


def last_day(reading: Reading) -> int | None:
    """Start of the last day that any component type has."""
    sql = "SELECT max(bin_start) AS start FROM bin_rows WHERE granularity = 'DAY' AND dimension = 'component_type'"
    start: int | None = reading.rows(sql)[0]["start"]
    return start


def seen(reading: Reading, dimension: str) -> tuple[tuple[str, str], ...]:
    """(component type, value) of every value of a dimension in the months that are kept."""
    sql = "SELECT DISTINCT comp, value FROM bin_rows WHERE granularity = 'MONTH' AND dimension = ? ORDER BY comp, value"
    return tuple((row["comp"], row["value"]) for row in reading.rows(sql, [dimension]))
