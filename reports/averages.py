"""The simple moving average of days (contract, reports section 2; rule B13). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.bins import DAY, end_of, start_of
from reports.queries.movements import Movement


@dataclass(frozen=True, slots=True)
class Averaged:
    """A day of one value with the mean of the days that end with it."""

    day: Movement
    mean: float

    @property
    def value(self) -> str:
        return self.day.value

    @property
    def start(self) -> int:
        return self.day.start


def days(start: int, end: int, zone: ZoneInfo) -> Iterator[int]:
    """Starts of the days from `start`, which is one, up to `end`."""
    while start < end:
        yield start
        start = end_of(DAY, start, zone)


def first_day(start: int, period: int, zone: ZoneInfo) -> int:
    """Where reading must begin so that the day at `start` has its `period` days."""
    for _ in range(period - 1):
        start = start_of(DAY, start - 1, zone)
    return start


def averaged(
    rows: Iterable[Movement], values: Sequence[str], span: tuple[int, int], period: int, zone: ZoneInfo, of: Callable[[Movement], int]
) -> tuple[Averaged, ...]:
    """Every day of the span for every value, in order of time, then of value: days without a row are zeros and count as such.

    `rows`: also those of the days before the span. `values`: those asked for; none: those that have rows. Means are not rounded.
    """
    start, end = span
    known = {(row.value, row.start): row for row in rows}
    order = sorted(set(values) or {value for value, _ in known})
    wanted = list(days(first_day(start, period, zone), end, zone))
    first = period - 1
    means: dict[tuple[str, int], float] = {}
    for value in order:
        figures = [of(known[value, day]) if (value, day) in known else 0 for day in wanted]
        total = sum(figures[:first])
        for at in range(first, len(wanted)):
            total += figures[at]
            means[value, wanted[at]] = total / period
            total -= figures[at - first]
    return tuple(Averaged(known.get((value, day)) or Movement(value, day), means[value, day]) for day in wanted[first:] for value in order)
