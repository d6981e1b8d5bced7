"""A calendar month of the reporting time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from agents.bins import MONTH, end_of, start_of

_NAMED = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Month:
    """`name`: 2026-10; [start, end): what belongs to it."""

    name: str
    start: int
    end: int

    @staticmethod
    def named(name: str, zone: ZoneInfo) -> Month:
        """Raises ValueError for what is no month from 1970 to 9998."""
        found = _NAMED.fullmatch(name)
        if found is None or not 1970 <= int(found[1]) <= 9998:
            raise ValueError(name)
        # The middle of the month lies in it wherever the zone is.
        return Month.of(round(datetime(int(found[1]), int(found[2]), 15, tzinfo=UTC).timestamp() * 1000), zone)

    @staticmethod
    def of(ts: int, zone: ZoneInfo) -> Month:
        """The month that an instant belongs to."""
        start = start_of(MONTH, ts, zone)
        end = end_of(MONTH, start, zone)
        middle = datetime.fromtimestamp((start + end) // 2000, zone)
        return Month(f"{middle.year:04d}-{middle.month:02d}", start, end)

    def __contains__(self, ts: int) -> bool:
        return self.start <= ts < self.end
