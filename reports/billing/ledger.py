"""Sessions summed up for one tenant's month, by profile and in all.

Sessions may be added and taken away in any order, so a statement and the effect of a correction come from the same sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from reports.billing.month import Month
from reports.billing.sessions import REJECTED, Billed, Figure, minutes

TOTAL, NO_PROFILE = "total", "none"
LineName = str
"""`total`, `none` (sessions without profile), or the profile's DBID."""


class Figures(msgspec.Struct, frozen=True):
    """`peak_at`: the first second of greatest occupancy, ms UTC; None: nothing was in progress."""

    calls: int = 0
    sessions: int = 0
    minutes: int = 0
    burst_1: int = 0
    burst_2: int = 0
    burst_3: int = 0
    rejected: int = 0
    peak: int = 0
    peak_at: int | None = None


COUNTED = tuple(name for name in Figures.__struct_fields__ if name != "peak_at")
ZERO = Figures()


@dataclass(frozen=True, slots=True)
class Line:
    name: LineName
    figures: Figures


def line_of(app_id: int | None) -> LineName:
    return NO_PROFILE if app_id is None else str(app_id)


def order_of(name: LineName) -> tuple[int, int]:
    """Profiles by DBID, then those without, then the total."""
    return (0, int(name)) if name.isdecimal() else (1 if name == NO_PROFILE else 2, 0)


@dataclass(slots=True)
class _Sums:
    guids: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)  # second -> change of occupancy at it

    def figures(self) -> Figures:
        peak, at = self._peak()
        return Figures(calls=len(self.guids), **self.counts, peak=peak, peak_at=at)

    def _peak(self) -> tuple[int, int | None]:
        running, peak, at = 0, 0, None
        for second in sorted(self.steps):
            running += self.steps[second]
            if running > peak:
                peak, at = running, second * 1000
        return peak, at


class Ledger:
    """What a tenant and its descendants had in a month. `now`: sessions in progress occupy their seconds up to it."""

    def __init__(self, tenant: int, month: Month, rounding: str, now: int) -> None:
        self.tenant, self.month, self.rounding, self.now = tenant, month, rounding, now
        self._lines: dict[LineName, _Sums] = {}

    def add(self, session: Billed, sign: int = 1) -> None:
        """Count it, or take it away again with -1. Sessions that do not belong here change nothing."""
        if self.tenant not in session.path:
            return
        for name in (TOTAL, line_of(session.app_id)):
            sums = self._lines.get(name)
            if sums is None:
                sums = self._lines[name] = _Sums()
            self._count(sums, session, sign)
            self._occupy(sums, session, sign)

    def figures(self, name: LineName) -> Figures:
        sums = self._lines.get(name)
        return ZERO if sums is None else sums.figures()

    def lines(self) -> list[Line]:
        """Those with any figure, the total last; it is always there."""
        made = [Line(name, self.figures(name)) for name in sorted({TOTAL, *self._lines}, key=order_of)]
        return [line for line in made if line.name == TOTAL or line.figures != ZERO]

    def _count(self, sums: _Sums, session: Billed, sign: int) -> None:
        if session.end_ts is None or session.end_ts not in self.month:
            return
        for name, n in counted(session, self.tenant, self.rounding).items():
            _shift(sums.counts, name, sign * n)
        if session.end_state != REJECTED:
            _shift(sums.guids, session.guid, sign)

    def _occupy(self, sums: _Sums, session: Billed, sign: int) -> None:
        if (seconds := occupied(session, self.month, self.now)) is not None:
            first, last = seconds
            _shift(sums.steps, first, sign)
            _shift(sums.steps, last + 1, -sign)


def counted(session: Billed, tenant: int, rounding: str) -> dict[str, int]:
    """What a session that ended in the month adds, calls and peak aside (rules S1, S2)."""
    if session.end_state == REJECTED:
        return {"rejected": 1}
    found = {"sessions": 1, "minutes": minutes(session, rounding)}
    if (level := session.level(tenant)) in (1, 2, 3):
        found[f"burst_{level}"] = 1
    return found


def occupied(session: Billed, month: Month, now: int) -> tuple[int, int] | None:
    """First and last second of the month that the session occupies."""
    seconds = session.seconds(now)
    if seconds is None:
        return None
    # A second belongs to the month in which it begins.
    first, last = max(seconds[0], -(-month.start // 1000)), min(seconds[1], -(-month.end // 1000) - 1)
    return (first, last) if first <= last else None


def counts_in(session: Billed, figure: Figure, tenant: int, month: Month, peak_at: int | None, now: int) -> bool:
    """Whether a figure of the tenant's statement, whatever the line, counts the session; of the peak: whether it was there then."""
    if tenant not in session.path:
        return False
    if figure == "peak":
        seconds = occupied(session, month, now)
        return seconds is not None and peak_at is not None and seconds[0] <= peak_at // 1000 <= seconds[1]
    if session.end_ts is None or session.end_ts not in month or (session.end_state == REJECTED) != (figure == "rejected"):
        return False
    return not figure.startswith("burst-") or session.level(tenant) == int(figure[-1])


def difference(before: Figures, after: Figures) -> dict[str, int]:
    return {name: getattr(after, name) - getattr(before, name) for name in COUNTED}


def plus(figures: Figures, changes: Iterable[tuple[dict[str, int], int | None]]) -> Figures:
    """Figures with differences added one after the other; each comes with the time of the peak after it."""
    sums, at = {name: getattr(figures, name) for name in COUNTED}, figures.peak_at
    for change, peak_at in changes:
        for name, n in change.items():
            sums[name] += n
        at = peak_at
    return Figures(**sums, peak_at=at)


def _shift(counter: Counter[str] | Counter[int], key: str | int, n: int) -> None:
    """A key that comes to nothing leaves, so that the number of keys tells."""
    now = counter[key] + n  # type: ignore[index]
    if now:
        counter[key] = now  # type: ignore[index]
    else:
        counter.pop(key, None)  # type: ignore[arg-type]
