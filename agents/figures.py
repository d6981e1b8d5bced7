"""Arithmetic of figures: adding, taking away, merging. All integers, so that any order of merging gives the same. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any

from msgspec.structs import astuple

from agents.state import NOTHING, Counts, Figures, Spread

# Upper edges of the buckets (rule B10); the histogram of a measure is that of its unit.
EDGES = {
    "durations": (1_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000),  # ms
    "latencies": (10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000),  # microseconds
}
COUNTS = ("arrivals", "departures", "completed", "burst", "results", "actions", "last_actions", "quality", "failures")
SPREADS = ("durations", "latencies")
OCCUPANCY = ("changes", "opens")
LOW_BITS = 62
LOW_MASK = (1 << LOW_BITS) - 1


def opened(figures: Figures, name: str) -> Any:
    """The measure of that name, to be written into."""
    measure = getattr(figures, name)
    if measure is NOTHING:
        measure = {}
        setattr(figures, name, measure)
    return measure


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
    """Add `more` to each of `rows`. Occupancy may cancel out."""
    for name in COUNTS:
        if counts := getattr(more, name):
            for row in rows:
                total = opened(row, name)
                for label, n in counts.items():
                    total[label] = total.get(label, 0) + n
    for name in SPREADS:
        if spreads := getattr(more, name):
            for row in rows:
                _absorb_all(opened(row, name), spreads)
    for name in OCCUPANCY:
        for second, counts in getattr(more, name).items():
            for row in rows:
                for label, n in counts.items():
                    shift(opened(row, name), second, label, n)


def is_empty(figures: Figures) -> bool:
    return not any(astuple(figures))


def merge(parts: Sequence[Figures]) -> Figures:
    """The sum of `parts`, which stay as they are. It may share measures with them: nobody may write into it."""
    if len(parts) == 1:
        return copy(parts[0])
    measures: list[Any] = []
    for add_up, column in zip(_ADD_UP, zip(*map(astuple, parts), strict=True), strict=False):
        said = list(filter(None, column))
        measures.append(said[0] if len(said) == 1 else add_up(said) if said else NOTHING)
    return Figures(*measures)


def _sum_of(many: Sequence[Counts]) -> Counts:
    total = dict(many[0])
    for counts in many[1:]:
        for label, n in counts.items():
            total[label] = total.get(label, 0) + n
    return total


def _sum_of_spreads(many: Sequence[dict[str, Spread]]) -> dict[str, Spread]:
    by_label: dict[str, list[Spread]] = {}
    for spreads in many:
        for label, spread in spreads.items():
            by_label.setdefault(label, []).append(spread)
    return {label: found[0] if len(found) == 1 else _sum_of_spread(found) for label, found in by_label.items()}


def _sum_of_spread(many: Sequence[Spread]) -> Spread:
    n = total = squares = 0
    low = high = None
    buckets: dict[int, int] = {}
    for spread in many:
        n += spread.n
        total += spread.total
        squares += (spread.squares_high << LOW_BITS) + spread.squares
        if spread.low is not None and (low is None or spread.low < low):
            low = spread.low
        if spread.high is not None and (high is None or spread.high > high):
            high = spread.high
        for bucket, values in spread.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + values
    return Spread(n, total, squares & LOW_MASK, low, high, buckets, squares >> LOW_BITS)


def _sum_of_changes(many: Sequence[dict[int, Counts]]) -> dict[int, Counts]:
    total: dict[int, Counts] = {}
    for changes in many:
        add_changes(total, changes)
    return total


_BY_NAME: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(COUNTS, _sum_of),
    **dict.fromkeys(SPREADS, _sum_of_spreads),
    **dict.fromkeys(OCCUPANCY, _sum_of_changes),
}
_ADD_UP: tuple[Callable[[Any], Any], ...] = tuple(_BY_NAME[name] for name in Figures.__struct_fields__)


def add_changes(into: dict[int, Counts], changes: dict[int, Counts]) -> None:
    for second, counts in changes.items():
        _sum_up(into.setdefault(second, {}), counts)


def _sum_up(into: Counts, counts: Counts) -> None:
    for label, n in counts.items():
        into[label] = into.get(label, 0) + n


def _absorb_all(into: dict[str, Spread], spreads: dict[str, Spread]) -> None:
    for label, spread in spreads.items():
        known = into.get(label)
        if known is None:
            known = into[label] = copy(spread)
            known.buckets = dict(spread.buckets)
        else:
            _absorb(known, spread)


def _absorb(into: Spread, other: Spread) -> None:
    into.n += other.n
    into.total += other.total
    _add_squares(into, squares_of(other))
    if other.low is not None and (into.low is None or other.low < into.low):
        into.low = other.low
    if other.high is not None and (into.high is None or other.high > into.high):
        into.high = other.high
    buckets = into.buckets
    for bucket, n in other.buckets.items():
        buckets[bucket] = buckets.get(bucket, 0) + n


def _add_squares(spread: Spread, squares: int) -> None:
    squares += (spread.squares_high << LOW_BITS) + spread.squares
    spread.squares, spread.squares_high = squares & LOW_MASK, squares >> LOW_BITS
