"""Bins: where each granularity begins and ends (docs/reports.md section 2, rule B11). Pure; all instants are ms UTC.

FIVE_MINUTES and THIRTY_MINUTES are aligned in UTC. HOUR begins where the clock of the reporting time zone shows minute 0, DAY
at the first instant of a local date: so it can have 23 or 25 hours, and an HOUR 90 minutes. WEEK begins on Monday, MONTH on the first.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
BASE_MS = 5 * MINUTE_MS

BASE = "FIVE_MINUTES"
THIRTY_MINUTES = "THIRTY_MINUTES"
HOUR = "HOUR"
DAY = "DAY"
WEEK = "WEEK"
MONTH = "MONTH"
# A longer bin is recomputed from bins of this granularity.
CHILD = {THIRTY_MINUTES: BASE, HOUR: BASE, DAY: HOUR, WEEK: DAY, MONTH: DAY}
GRANULARITIES = (BASE, THIRTY_MINUTES, HOUR, DAY, WEEK, MONTH)  # each after its child
FIXED_MS = {BASE: BASE_MS, THIRTY_MINUTES: 30 * MINUTE_MS}


def base_of(ts: int) -> int:
    """Start of the base bin that `ts` belongs to: start <= ts < start + BASE_MS."""
    return ts - ts % BASE_MS


def start_of(granularity: str, ts: int, zone: ZoneInfo) -> int:
    """Start of the bin that `ts` belongs to."""
    if length := FIXED_MS.get(granularity):
        return ts - ts % length
    return _start(granularity, base_of(ts), zone)


def end_of(granularity: str, start: int, zone: ZoneInfo) -> int:
    """End of the bin that begins at `start`; it belongs to the next bin."""
    if length := FIXED_MS.get(granularity):
        return start + length
    return _end(granularity, start, zone)


@lru_cache(maxsize=50_000)
def children(granularity: str, start: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Starts of the bins that a longer bin is made of."""
    child, end = CHILD[granularity], end_of(granularity, start, zone)
    starts = []
    while start < end:
        starts.append(start)
        start = end_of(child, start, zone)
    return tuple(starts)


@lru_cache(maxsize=50_000)
def _start(granularity: str, ts: int, zone: ZoneInfo) -> int:
    if granularity == HOUR:
        return _hour_start(ts, zone)
    return _first_instant(_first_day(granularity, _local(ts, zone).date()), zone)


@lru_cache(maxsize=50_000)
def _end(granularity: str, start: int, zone: ZoneInfo) -> int:
    if granularity == HOUR:
        at = start + 60 * MINUTE_MS
        while (following := _hour_start(at, zone)) <= start:  # a shift of half an hour lies inside
            at += 30 * MINUTE_MS
        return following
    beyond = {DAY: 1, WEEK: 7, MONTH: 31}[granularity]
    return _first_instant(_first_day(granularity, _local(start, zone).date() + timedelta(days=beyond)), zone)


def _first_day(granularity: str, day: date) -> date:
    if granularity == DAY:
        return day
    if granularity == WEEK:
        return day - timedelta(days=day.weekday())
    if granularity == MONTH:
        return day.replace(day=1)
    raise ValueError(f"no such granularity: {granularity}")


def _hour_start(ts: int, zone: ZoneInfo) -> int:
    # Where the offset shifts by half an hour, going back to minute 0 crosses the shift: look again at the clock there.
    while past := _local(ts, zone).minute * MINUTE_MS + ts % MINUTE_MS:
        ts -= past
    return ts


def _first_instant(day: date, zone: ZoneInfo) -> int:
    # A midnight that the clock skips is the instant of the shift: Python takes the offset before the gap (fold=0).
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return round(midnight.astimezone(UTC).timestamp() * 1000)


def _local(ts: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ts / 1000, zone)
