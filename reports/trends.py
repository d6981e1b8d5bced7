"""Trends as data: a measure of bins as lines or stacked bars, its moving average, its peaks, and the week as a heat map. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from reports.queries.bins import Bin, Counts

HOURS, WEEKDAYS = 24, 7
SHADES = 8  # of the heat map, above nothing


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a bin.

    of          its value; None: there is none (an average over nothing)
    parts       how it splits, if it does
    whole       the value over many bins; None: no such value has a meaning
    """

    code: str
    name: str
    unit: str
    of: Callable[[Bin], float | None]
    parts: Callable[[Bin], Counts] | None = None
    whole: Callable[[Iterable[Bin]], float | None] | None = None


def _share(part: float, whole: float) -> float | None:
    """Per cent, to two places."""
    return round(part / whole * 100, 2) if whole else None


def _summed(of: Callable[[Bin], float]) -> Callable[[Iterable[Bin]], float]:
    return lambda rows: round(sum(map(of, rows)), 1)


def _greatest(of: Callable[[Bin], int]) -> Callable[[Iterable[Bin]], float | None]:
    return lambda rows: max(map(of, rows), default=None)


def _minutes(row: Bin) -> float:
    return round(row.durations.total / 60_000, 1)


def _average(rows: Iterable[Bin]) -> float | None:
    """Seconds, from the sums: an average of averages would be wrong."""
    spreads = [row.durations for row in rows]
    n = sum(spread.n for spread in spreads)
    return round(sum(spread.total for spread in spreads) / n / 1000, 1) if n else None


def quality(rows: Iterable[Bin]) -> float | None:
    """Per cent of MCP sessions without a failure (contract, reports section 2)."""
    rows = tuple(rows)
    calls = sum(row.quality_calls for row in rows)
    return _share(calls - sum(row.quality_failed for row in rows), calls)


def _success(rows: Iterable[Bin]) -> float | None:
    rows = tuple(rows)
    return _share(sum(row.results_by.get("SUCCESS", 0) for row in rows), sum(sum(row.results_by.values()) for row in rows))


def _judged(row: Bin) -> int:
    return sum(row.results_by.values())


def _timed_out(row: Bin) -> int:
    return row.completed_by.get("TIMED_OUT", 0)


def _counted(code: str, name: str, of: Callable[[Bin], int], parts: Callable[[Bin], Counts] | None = None) -> Measure:
    return Measure(code, name, "sessions", of, parts, _summed(of))


ALL = (
    _counted("arrivals", "Arrivals", lambda row: row.arrivals, lambda row: row.arrivals_by),
    _counted("completed", "Completed", lambda row: row.completed, lambda row: row.completed_by),
    Measure("in-progress", "In progress at the end", "sessions", lambda row: row.in_progress, lambda row: row.in_progress_by),
    Measure(
        "peak", "Peak", "sessions in one second", lambda row: row.peak.count, lambda row: row.peak.by, _greatest(lambda row: row.peak.count)
    ),
    Measure("minutes", "Minutes of completed sessions", "minutes", _minutes, None, _summed(_minutes)),
    Measure("average", "Average duration", "seconds", lambda row: _average((row,)), None, _average),
    _counted("results", "Call results", _judged, lambda row: row.results_by),
    Measure("success", "Call results that are a success", "per cent", lambda row: _success((row,)), None, _success),
    _counted("timed-out", "Closed without an end", _timed_out),
    Measure("quality", "Service quality", "per cent", lambda row: quality((row,)), None, quality),
)
MEASURES = {measure.code: measure for measure in ALL}


def figures(measure: Measure, rows: Sequence[Bin], known_to: int) -> tuple[float | None, ...]:
    """One a bin. Bins that begin after `known_to` (ms UTC) have none."""
    return tuple(measure.of(row) if row.start <= known_to else None for row in rows)


def moving_average(values: Sequence[float | None], n: int) -> tuple[float | None, ...]:
    """Of the last n values; None until there are n, and where one of them is unknown."""
    found: list[float | None] = []
    for end in range(1, len(values) + 1):
        window = [value for value in values[max(0, end - n) : end] if value is not None]
        found.append(round(sum(window) / n, 2) if len(window) == n else None)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Top:
    """The greatest figure of a series: its index, and the instant in ms UTC (of a peak the second itself, else the bin's start)."""

    index: int
    value: float
    at: int


def top(measure: Measure, rows: Sequence[Bin], values: Sequence[float | None]) -> Top | None:
    """The first of equal ones; None where nothing is above 0."""
    best = max(range(len(values)), key=lambda index: (values[index] or 0, -index), default=None)
    if best is None or not values[best]:
        return None
    row = rows[best]
    at = row.peak.at if measure.code == "peak" and row.peak.at is not None else row.start
    return Top(best, values[best] or 0, at)


@dataclass(frozen=True, slots=True)
class Cell:
    """An hour of a weekday. `value`: None where no such hour is in the span. `shade`: 0 for nothing, to SHADES."""

    value: float | None
    shade: int


def week(measure: Measure, hours: Sequence[Bin], zone: ZoneInfo) -> tuple[tuple[Cell, ...], ...]:
    """Monday to Sunday, hours 0 to 23: what an hour has on average; for a peak the greatest one. `hours`: bins of an hour.

    An hour in which clocks go back counts twice, one that they skip not at all.
    """
    inside: dict[tuple[int, int], list[Bin]] = defaultdict(list)
    for row in hours:
        at = datetime.fromtimestamp(row.start // 1000, zone)
        inside[at.weekday(), at.hour].append(row)
    values = {place: _typical(measure, rows) for place, rows in inside.items()}
    known = [value for value in values.values() if value is not None]
    low = min(known, default=0.0) if measure.unit == "per cent" else 0.0  # rates differ little: their colours begin at the least
    most = max(known, default=0.0)

    def cell(value: float | None) -> Cell:
        if not value or most <= low:
            return Cell(value, 0 if not value else SHADES)
        return Cell(value, max(1, round((value - low) / (most - low) * SHADES)))

    return tuple(tuple(cell(values.get((day, hour))) for hour in range(HOURS)) for day in range(WEEKDAYS))


def _typical(measure: Measure, rows: Sequence[Bin]) -> float | None:
    if measure.unit == "per cent" or measure.code == "average":
        return measure.whole(rows) if measure.whole else None
    values = [value for row in rows if (value := measure.of(row)) is not None]
    if not values:
        return None
    return max(values) if measure.code == "peak" else round(sum(values) / len(values), 1)
