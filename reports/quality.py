"""Service quality as data: rates, causes of failures, percentiles of latencies from their histograms. Pure.

A percentile is read as Prometheus reads one: the bucket that holds it is known, and inside the bucket the values are taken to lie
evenly. The first bucket begins at the least value and the last ends at the greatest, and none reaches beyond them; so a percentile is
off by the width of its bucket at most, and the greatest value is exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.figures import EDGES
from reports.queries.bins import Bin, Counts, Spread

EDGES_US = EDGES["latencies"]
PERCENTILES = (50, 90, 95, 99)


def percentile(spread: Spread, percent: float) -> float | None:
    """In the unit of the spread, microseconds; None without values or histogram."""
    counts = {int(bucket): n for bucket, n in spread.buckets.items() if n > 0}
    total = sum(counts.values())
    if not total or spread.low is None or spread.high is None:
        return None
    rank, before = total * percent / 100, 0
    for bucket in sorted(counts):
        if before + counts[bucket] >= rank:
            low = max(spread.low, EDGES_US[bucket - 1] if bucket else spread.low)
            high = min(spread.high, EDGES_US[bucket] if bucket < len(EDGES_US) else spread.high)
            return low + max(0, high - low) * (rank - before) / counts[bucket]
        before += counts[bucket]
    return float(spread.high)


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one type, in ms; `target`: the greatest average that is acceptable. None: not known, or none is set."""

    label: str
    value: str
    n: int
    average: float | None
    percentiles: tuple[float | None, ...]
    greatest: float | None
    target: float | None

    @property
    def category(self) -> str:
        return self.label.partition("|")[0]

    @property
    def kind(self) -> str:
        return self.label.partition("|")[2]

    @property
    def is_over(self) -> bool:
        return self.target is not None and self.average is not None and self.average > self.target


def latencies(rows: Iterable[Bin], targets: Mapping[str, float]) -> tuple[Latency, ...]:
    """By type and value of the dimension, in order of category, type and value. `targets`: type -> ms."""
    parts: dict[tuple[str, str], list[Spread]] = defaultdict(list)
    for row in rows:
        for label, spread in row.latencies_by.items():
            parts[label, row.value].append(spread)
    found = ((label, value, Spread.merged(spreads)) for (label, value), spreads in sorted(parts.items()))
    return tuple(
        Latency(
            label,
            value,
            spread.n,
            _ms(spread.average),
            tuple(_ms(percentile(spread, percent)) for percent in PERCENTILES),
            _ms(spread.high),
            targets.get(label.partition("|")[2]),
        )
        for label, value, spread in found
        if spread.n
    )


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 1)


def causes(rows: Iterable[Bin]) -> Counts:
    """The most frequent first."""
    found = Counter[str]()
    for row in rows:
        found.update(row.failures_by)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one value over the whole span. `percent`: None without sessions. `worst`: the bin with the least rate."""

    value: str
    calls: int
    failed: int
    percent: float | None
    worst: Bin | None


def rate(value: str, rows: Iterable[Bin]) -> Rate:
    judged = [row for row in rows if row.quality_calls]
    calls, failed = sum(row.quality_calls for row in judged), sum(row.quality_failed for row in judged)
    worst = min(judged, key=lambda row: ((row.quality_calls - row.quality_failed) / row.quality_calls, row.start), default=None)
    return Rate(value, calls, failed, round((calls - failed) / calls * 100, 2) if calls else None, worst)
