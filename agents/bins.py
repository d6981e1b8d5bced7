"""Bins: where each granularity begins and ends (docs/reports.md section 2, rule B11). Pure; all instants are ms UTC.

FIVE_MINUTES and THIRTY_MINUTES are aligned in UTC. HOUR begins where the clock of the reporting time zone shows minute 0, DAY
at the first instant of a local date: so it can have 23 or 25 hours, and an HOUR 90 minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

MINUTE_MS = 60_000
BASE_MS = 5 * MINUTE_MS

BASE = "FIVE_MINUTES"
HOUR = "HOUR"
DAY = "DAY"
CHILD = {HOUR: BASE, DAY: HOUR}  # a longer bin is recomputed from bins of this granularity
GRANULARITIES = (BASE, HOUR, DAY)  # each after its child


def base_of(ts: int) -> int:
    """Start of the base bin that `ts` belongs to: start <= ts < start + BASE_MS."""
    return ts - ts % BASE_MS


def start_of(granularity: str, ts: int, zone: ZoneInfo) -> int:
    """Start of the bin that `ts` belongs to."""
    if granularity == BASE:
        return base_of(ts)
    return _start(granularity, base_of(ts), zone)


def end_of(granularity: str, start: int, zone: ZoneInfo) -> int:
    """End of the bin that begins at `start`; it belongs to the next bin."""
    if granularity == BASE:
        return start + BASE_MS
    return _end(granularity, start, zone)


def children(granularity: str, start: int, zone: ZoneInfo) -> Iterator[int]:
    """Starts of the bins that a longer bin is made of."""
    child, end = CHILD[granularity], end_of(granularity, start, zone)
    while start < end:
        yield start
        start = end_of(child, start, zone)


@lru_cache(maxsize=50_000)
def _start(granularity: str, ts: int, zone: ZoneInfo) -> int:
    if granularity == HOUR:
        return _hour_start(ts, zone)
    if granularity == DAY:
        return _first_instant(_local(ts, zone).date(), zone)
    raise ValueError(f"no such granularity: {granularity}")


@lru_cache(maxsize=50_000)
def _end(granularity: str, start: int, zone: ZoneInfo) -> int:
    if granularity == DAY:
        return _first_instant(_local(start, zone).date() + timedelta(days=1), zone)
    if granularity != HOUR:
        raise ValueError(f"no such granularity: {granularity}")
    at = start + 60 * MINUTE_MS
    while (following := _hour_start(at, zone)) <= start:  # a shift of half an hour lies inside
        at += 30 * MINUTE_MS
    return following


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
