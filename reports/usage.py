"""Usage now: what is in progress and what has arrived this hour and today, by tenant, IVR profile and component.

"Now" is the wall clock, hour and day those of the reporting time zone. A store of old calls has its own now: the last of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.bins import BASE, BASE_MS, DAY, HOUR, end_of, start_of
from reports.parameters import COMPONENTS
from reports.queries import bins, live
from reports.queries.bins import Bin, BinFilter, Peak
from reports.queries.live import Freshness, InProgress
from reports.store.contract import Reading

HISTORY_AFTER_MS = 86_400_000
SPARK_BINS = 24  # two hours
LEADING = ("RM", "EXT", "MCP", "CCP", "CTIC", "PSTNC", "SSG")  # whose sessions stand for calls: the first of these that has any
assert set(LEADING) == set(COMPONENTS)


@dataclass(frozen=True, slots=True)
class AsOf:
    """The instant that figures of now speak of. `historic`: the store holds old calls only."""

    at: int
    historic: bool


def as_of(freshness: Freshness, wall: int) -> AsOf:
    if freshness.clock is not None and freshness.clock < wall - HISTORY_AFTER_MS:
        return AsOf(freshness.stream or freshness.clock, historic=True)
    return AsOf(wall, historic=False)


@dataclass(frozen=True, slots=True)
class Count:
    """A number and its split, the biggest part first."""

    total: int
    by: dict[str, int]


def count(split: Mapping[str, int]) -> Count:
    parts = sorted(((name, n) for name, n in split.items() if n), key=lambda part: (-part[1], part[0]))
    return Count(sum(split.values()), dict(parts))


@dataclass(frozen=True, slots=True)
class Usage:
    """One tenant, profile or component. `peak` is today's; `recent`: arrivals of the last base bins, the running one last."""

    comp: str
    value: str
    in_progress: Count
    this_hour: Count
    today: Count
    peak: Peak
    recent: tuple[int, ...]


def usage(reading: Reading, comp: str, dimension: str, moment: AsOf, zone: ZoneInfo, running: Iterable[InProgress]) -> tuple[Usage, ...]:
    """Every value that has sessions in progress, arrivals or a peak today, the busiest of today first. `running`: sessions in progress."""
    at = moment.at
    now = _split(comp, dimension, running)
    hour = _bins(reading, comp, dimension, HOUR, at, zone)
    today = _bins(reading, comp, dimension, DAY, at, zone)
    recent = _recent(reading, comp, dimension, at)
    found = [
        Usage(
            comp,
            value,
            count(now.get(value, {})),
            count(hour[value].arrivals_by if value in hour else {}),
            count(today[value].arrivals_by if value in today else {}),
            today[value].peak if value in today else Peak(),
            recent.get(value, (0,) * SPARK_BINS),
        )
        for value in {*now, *hour, *today}
    ]
    return tuple(sorted(found, key=lambda row: (-row.today.total, -row.in_progress.total, len(row.value), row.value)))


def bin_now(reading: Reading, comp: str, granularity: str, at: int, zone: ZoneInfo) -> Bin:
    """The running bin of all sessions of a component type; zeros where there is no row."""
    start = start_of(granularity, at, zone)
    rows = bins.bins(reading, BinFilter(comp, "component_type", granularity, start, start + 1))
    return rows[0] if rows else Bin("", start)


@dataclass(frozen=True, slots=True)
class Series:
    """Bins of one value without gaps, rows that are missing as zeros."""

    granularity: str
    bins: tuple[Bin, ...]


def series(reading: Reading, wanted: BinFilter, zone: ZoneInfo) -> Series:
    """`wanted` names one value; its start and end lie on boundaries of bins."""
    rows = {row.start: row for row in bins.bins(reading, wanted)}
    value = wanted.values[0] if wanted.values else ""
    return Series(wanted.granularity, tuple(rows.get(at) or Bin(value, at) for at in starts_of(wanted, zone)))


def side_by_side(reading: Reading, wanted: BinFilter, zone: ZoneInfo) -> dict[str, tuple[Bin, ...]]:
    """The same bins of several values, without gaps, in the order of `wanted.values`."""
    rows = {(row.value, row.start): row for row in bins.bins(reading, wanted)}
    starts = list(starts_of(wanted, zone))
    return {value: tuple(rows.get((value, at)) or Bin(value, at) for at in starts) for value in wanted.values}


def starts_of(wanted: BinFilter, zone: ZoneInfo) -> Iterator[int]:
    at = wanted.start
    while at < wanted.end:
        yield at
        at = end_of(wanted.granularity, at, zone)


def cut_elsewhere(reading: Reading, zone: ZoneInfo) -> bool:
    """Whether the days of the store were cut in another time zone: then its days are not those that reports ask for."""
    last = bins.last_day(reading)
    return last is not None and start_of(DAY, last, zone) != last


def leading(present: Sequence[str]) -> str:
    return next((comp for comp in LEADING if comp in present), LEADING[0])


def present(reading: Reading, running: Iterable[InProgress]) -> tuple[str, ...]:
    """Component types that have figures, the leading one first."""
    found = {*bins.component_types(reading), *(row.comp for row in running)}
    return tuple(comp for comp in LEADING if comp in found)


def running_sessions(reading: Reading, moment: AsOf) -> tuple[InProgress, ...]:
    return live.sessions_in_progress(reading, moment.at)


def _split(comp: str, dimension: str, running: Iterable[InProgress]) -> dict[str, Counter[str]]:
    """value -> call type -> sessions in progress; a tenant's with those of its descendants (rule B7)."""
    found: dict[str, Counter[str]] = {}
    for row in running:
        if row.comp == comp:
            for value in _values(row, dimension):
                found.setdefault(str(value), Counter())[row.call_type] += row.n
    return found


def _values(row: InProgress, dimension: str) -> Sequence[int]:
    match dimension:
        case "component":
            return [row.comp_id]
        case "app":
            return [] if row.app_id is None else [row.app_id]
        case "tenant-own":
            return row.tenant_path[-1:]
        case _:
            return row.tenant_path


def _bins(reading: Reading, comp: str, dimension: str, granularity: str, at: int, zone: ZoneInfo) -> dict[str, Bin]:
    """Value -> the running bin, if it has arrivals or a peak."""
    start = start_of(granularity, at, zone)
    wanted = BinFilter(comp, dimension, granularity, start, start + 1)
    return {row.value: row for row in bins.bins(reading, wanted) if row.arrivals or row.peak.count}


def _recent(reading: Reading, comp: str, dimension: str, at: int) -> dict[str, tuple[int, ...]]:
    end = at - at % BASE_MS + BASE_MS
    start = end - SPARK_BINS * BASE_MS
    found: dict[str, list[int]] = {}
    for row in bins.bins(reading, BinFilter(comp, dimension, BASE, start, end)):
        found.setdefault(row.value, [0] * SPARK_BINS)[(row.start - start) // BASE_MS] = row.arrivals
    return {value: tuple(numbers) for value, numbers in found.items()}
