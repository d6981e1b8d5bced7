"""Arithmetic of figures: adding, taking away, merging. All integers, so that any order of merging gives the same. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from agents.state import Counts, Figures, Spread

# Upper edges of the buckets (rule B10); the histogram of a measure is that of its unit.
EDGES = {
    "durations": (1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000),  # ms
    "latencies": (10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000),  # microseconds
}
COUNTS = ("arrivals", "departures", "completed", "burst", "results", "actions", "last_actions", "quality", "failures")
SPREADS = ("durations", "latencies")
OCCUPANCY = ("changes", "opens")
LOW_BITS = 62


def count(counts: Counts, label: str, n: int) -> None:
    """counts[label] += n, without zeros left behind."""
    total = counts.get(label, 0) + n
    if total:
        counts[label] = total
    else:
        counts.pop(label, None)


def squares_of(spread: Spread) -> int:
    """Sum of squares."""
    return (spread.squares_high << LOW_BITS) + spread.squares


def observe(spreads: dict[str, Spread], label: str, values: Iterable[int], sign: int, edges: tuple[int, ...]) -> None:
    """Add `values` (sign 1) or take them away (sign -1). Least and greatest are kept when a value goes (rule X7)."""
    spread = spreads.get(label)
    if spread is None:
        spread = spreads[label] = Spread()
    squares = 0
    for value in values:
        spread.n += sign
        spread.total += sign * value
        squares += sign * value * value
        bucket = bisect_right(edges, value)
        if left := spread.buckets.get(bucket, 0) + sign:
            spread.buckets[bucket] = left
        else:
            del spread.buckets[bucket]
        if sign > 0:
            spread.low = value if spread.low is None else min(spread.low, value)
            spread.high = value if spread.high is None else max(spread.high, value)
    _add_squares(spread, squares)
    if not spread.n:
        del spreads[label]  # least and greatest of nothing are null (rule B12)


def shift(changes: dict[int, Counts], second: int, label: str, n: int) -> None:
    """Occupancy changes by `n` at `second` of the bin."""
    counts = changes.get(second)
    if counts is None:
        counts = changes[second] = {}
    count(counts, label, n)
    if not counts:
        del changes[second]


def add_to_all(rows: Sequence[Figures], more: Figures) -> None:
    """Add `more` to each of `rows`."""
    for name in COUNTS:
        if counts := getattr(more, name):
            for row in rows:
                _sum_up(getattr(row, name), counts)
    for name in SPREADS:
        if spreads := getattr(more, name):
            for row in rows:
                _absorb_all(getattr(row, name), spreads)
    for name in OCCUPANCY:
        for second, counts in getattr(more, name).items():
            for row in rows:
                for label, n in counts.items():
                    shift(getattr(row, name), second, label, n)


def is_empty(figures: Figures) -> bool:
    return not any(getattr(figures, name) for name in figures.__struct_fields__)


def merge(parts: Iterable[Figures]) -> Figures:
    """The sum of `parts`, which stay as they are."""
    merged = Figures()
    for part in parts:
        for name in COUNTS:
            if source := getattr(part, name):
                _sum_up(getattr(merged, name), source)
        for name in SPREADS:
            if source := getattr(part, name):
                _absorb_all(getattr(merged, name), source)
        add_changes(merged.changes, part.changes)
        add_changes(merged.opens, part.opens)
    return merged


def add_changes(into: dict[int, Counts], changes: dict[int, Counts]) -> None:
    for second, counts in changes.items():
        _sum_up(into.setdefault(second, {}), counts)


def _sum_up(into: Counts, counts: Counts) -> None:
    for label, n in counts.items():
        into[label] = into.get(label, 0) + n


def _absorb_all(into: dict[str, Spread], spreads: dict[str, Spread]) -> None:
    for label, spread in spreads.items():
        if label not in into:
            into[label] = Spread()
        _absorb(into[label], spread)


def _absorb(into: Spread, other: Spread) -> None:
    into.n += other.n
    into.total += other.total
    _add_squares(into, squares_of(other))
    if other.low is not None:
        into.low = other.low if into.low is None else min(into.low, other.low)
    if other.high is not None:
        into.high = other.high if into.high is None else max(into.high, other.high)
    for bucket, n in other.buckets.items():
        into.buckets[bucket] = into.buckets.get(bucket, 0) + n


def _add_squares(spread: Spread, squares: int) -> None:
    high, spread.squares = divmod(squares_of(spread) + squares, 1 << LOW_BITS)
    spread.squares_high = high
