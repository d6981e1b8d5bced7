"""An RM session as far as billing looks at it, and the figures it counts in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

REJECTED = "REJECTED"
MINUTE_MS = 60_000

Figure = Literal["calls", "sessions", "minutes", "burst-1", "burst-2", "burst-3", "rejected", "peak"]
FIGURES: tuple[Figure, ...] = ("calls", "sessions", "minutes", "burst-1", "burst-2", "burst-3", "rejected", "peak")


class Billed(msgspec.Struct, frozen=True):
    """`path`: tenants from the root to the session's own; `burst`: (tenant, level). `end_ts`: None while in progress."""

    guid: str
    comp_id: int
    session: str
    start_ts: int | None
    end_ts: int | None
    path: tuple[int, ...]
    app_id: int | None
    end_state: str | None
    burst: tuple[tuple[int, int], ...] = ()

    @property
    def key(self) -> tuple[str, int, str]:
        return self.guid, self.comp_id, self.session

    @property
    def duration_ms(self) -> int | None:
        return None if self.start_ts is None or self.end_ts is None else self.end_ts - self.start_ts

    def level(self, tenant: int) -> int | None:
        """Burst level by the entry of that tenant (rule S2)."""
        return next((level for of, level in self.burst if of == tenant), None)

    def seconds(self, now: int) -> tuple[int, int] | None:
        """First and last second that it occupies (contract, reports section 2; rule B3); None: none. `now`: for those in progress."""
        if self.start_ts is None:
            return None
        first = self.start_ts // 1000
        last = now // 1000 if self.end_ts is None else max(self.start_ts, self.end_ts - 1) // 1000
        return (first, last) if first <= last else None


def _started_minutes(ms: int) -> int:
    return -(-max(ms, 0) // MINUTE_MS)


def _whole_minutes(ms: int) -> int:
    return max(ms, 0) // MINUTE_MS


def _nearest_minutes(ms: int) -> int:
    return (max(ms, 0) + MINUTE_MS // 2) // MINUTE_MS


ROUNDING: dict[str, Callable[[int], int]] = {
    "started": _started_minutes,
    "nearest": _nearest_minutes,
    "whole": _whole_minutes,
}
ROUNDING_SAID = {
    "started": "each session counts its started minutes; 0 ms or an unknown start count 0",
    "nearest": "each session is rounded to the nearest minute, half a minute upwards; an unknown start counts 0",
    "whole": "each session counts its whole minutes; an unknown start counts 0",
}


def minutes(session: Billed, rounding: str) -> int:
    """Rule S2."""
    return ROUNDING[rounding](session.duration_ms or 0)
