"""Arithmetic of figures: adding, taking away, merging. All integers, so that any order of merging gives the same. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from agents.state import Figures, Spread

DURATION_EDGES_MS = (1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000)  # rule B10


def count(counts: dict[str, int], label: str, n: int) -> None:
    """counts[label] += n, without zeros left behind."""
    total = counts.get(label, 0) + n
    if total:
        counts[label] = total
    else:
        counts.pop(label, None)


def observe(spread: Spread, value: int, sign: int) -> None:
    """Add `value` (sign 1) or take it away (sign -1). Least and greatest are kept when a value goes (rule X7)."""
    spread.n += sign
    spread.total += sign * value
    spread.squares += sign * value * value
    bucket = bisect_right(DURATION_EDGES_MS, value)
    left = spread.buckets.get(bucket, 0) + sign
    if left:
        spread.buckets[bucket] = left
    else:
        del spread.buckets[bucket]
    if sign > 0:
        spread.low = value if spread.low is None else min(spread.low, value)
        spread.high = value if spread.high is None else max(spread.high, value)


def is_empty(figures: Figures) -> bool:
    return not (figures.arrivals or figures.departures or figures.completed)


def merge(parts: Iterable[Figures]) -> Figures:
    """The sum of `parts`, which stay as they are."""
    merged = Figures()
    for part in parts:
        for label, n in part.arrivals.items():
            merged.arrivals[label] = merged.arrivals.get(label, 0) + n
        for label, n in part.departures.items():
            merged.departures[label] = merged.departures.get(label, 0) + n
        for label, n in part.completed.items():
            merged.completed[label] = merged.completed.get(label, 0) + n
        for label, spread in part.durations.items():
            into = merged.durations.get(label)
            if into is None:
                into = merged.durations[label] = Spread()
            _absorb(into, spread)
    return merged


def _absorb(into: Spread, other: Spread) -> None:
    into.n += other.n
    into.total += other.total
    into.squares += other.squares
    if other.low is not None:
        into.low = other.low if into.low is None else min(into.low, other.low)
    if other.high is not None:
        into.high = other.high if into.high is None else max(into.high, other.high)
    for bucket, n in other.buckets.items():
        into.buckets[bucket] = into.buckets.get(bucket, 0) + n
