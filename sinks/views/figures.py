"""The present figures of tenants and components, folded from the rows of the table `tenants`. Pure.

A partition's horizon is what its ticks say, and a tick comes behind the rows it speaks of: with it, rows of the present bin, hour and day
are complete. Rows of the past are not kept; of the future only the next bin, hour and day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from agents.bins import BASE, DAY, HOUR, base_of, end_of, start_of
from agents.keys import Dimension, is_tick, split_bin
from agents.state import Bin, TenantsRow, Tick
from sinks.views.rows import Component, Tenant

KINDS = ("tenant", "component", "component_type")
GRANULARITIES = (BASE, HOUR, DAY)
MARK_BYTES = 8  # before each row; big endian, so they sort as their numbers do
MOST_PLACES = 10_000  # different bins whose keys are remembered
AHEAD_MS = 3_600_000  # of a sender's clock: rows further ahead are not kept until they are written again

decode = msgspec.msgpack.Decoder(TenantsRow).decode


class Kept(NamedTuple):
    """What is kept of a row. burst: level -> sessions, those of the dimension's own tenant."""

    arrivals: int
    in_progress: int
    completed: int
    timed_out: int
    peak: int
    peak_at: int | None
    burst: tuple[int, int, int]
    calls: int
    failed: int


NOTHING = Kept(0, 0, 0, 0, 0, None, (0, 0, 0), 0, 0)


class _Row:
    """A row as it came, decoded when it is asked for: most are written again before."""

    __slots__ = ("_kept", "_value", "mark")

    def __init__(self, value: bytes) -> None:
        self.mark = value[:MARK_BYTES]
        self._value: bytes | None = value
        self._kept = NOTHING

    def kept(self, dimension: Dimension) -> Kept:
        """Raises msgspec.MsgspecError."""
        if self._value is not None:
            row = decode(self._value[MARK_BYTES:])
            assert isinstance(row, Bin)
            self._kept, self._value = _kept(row, dimension), None
        return self._kept


class Present(NamedTuple):
    """The rows of one dimension that hold now."""

    bin: Kept
    hour: Kept
    day: Kept


class Partition:
    """One partition of the changelog of `tenants`.

    most    dimensions that are kept; of more, `left_out` says how many
    """

    def __init__(self, zone: ZoneInfo, most: int, horizon: int = 0) -> None:
        self.zone, self.most = zone, most
        self.ticks: dict[int, Tick] = {}
        self.left_out: set[bytes] = set()
        self._rows: dict[bytes, dict[tuple[str, int], _Row]] = {}
        self._places: dict[bytes, tuple[str, int] | None] = {}
        self._now: dict[str, int] = {}
        self._wanted: dict[str, tuple[int, int]] = {}
        self._begin(base_of(horizon))

    def take(self, key: bytes, value: bytes | None) -> Tick | None:
        """A record of the changelog: the mark, then the row. Gives the tick, if it is one. Raises msgspec.MsgspecError for a tick that
        is none; for a row present() does."""
        if value is None:
            return None  # rows are dropped long after their day
        if is_tick(key):
            return self._tick(int(key[2:]), int.from_bytes(value[:MARK_BYTES], "big"), value[MARK_BYTES:])
        packed, _, at = key.rpartition(b"@")
        try:
            place = self._places[at]
        except KeyError:
            place = self._place(at)
        if place is None:
            return None
        rows = self._rows.get(packed)
        if rows is None:
            rows = self._begun(packed)
            if rows is None:
                return None
        known = rows.get(place)
        if known is None or value[:MARK_BYTES] >= known.mark:
            rows[place] = _Row(value)
        return None

    def _place(self, at: bytes) -> tuple[str, int] | None:
        """The bin by the end of a key; None: not one of those that are kept. The same few come all the time."""
        _, granularity, start = split_bin(b"@" + at)
        wanted = self._wanted.get(granularity)
        found = (granularity, start) if wanted is not None and wanted[0] <= start < wanted[1] else None
        if len(self._places) >= MOST_PLACES:
            self._places.clear()
        self._places[at] = found
        return found

    def _begun(self, packed: bytes) -> dict[tuple[str, int], _Row] | None:
        """The rows of a dimension that had none; None if it is not kept."""
        if packed.split(b"|", 2)[1].decode() not in KINDS:
            return None
        if len(self._rows) >= self.most:
            if len(self.left_out) < self.most:
                self.left_out.add(packed)
            return None
        rows = self._rows[packed] = {}
        return rows

    @property
    def horizon(self) -> int:
        """Start of the present base bin; 0: not known yet."""
        return self._now[BASE]

    def present(self) -> Iterator[tuple[Dimension, Present]]:
        """Raises msgspec.MsgspecError."""
        places = [(granularity, self._now[granularity]) for granularity in GRANULARITIES]
        for packed, rows in self._rows.items():
            dimension = Dimension.unpack(packed)
            found = Present(*(row.kept(dimension) if (row := rows.get(place)) is not None else NOTHING for place in places))
            if any(each is not NOTHING for each in found):
                yield dimension, found

    def _tick(self, source: int, mark: int, packed: bytes) -> Tick | None:
        tick = decode(packed)
        assert isinstance(tick, Tick)
        known = self.ticks.get(source)
        if known is not None and mark < known.mark:
            return None
        tick.mark = mark
        self.ticks[source] = tick
        horizon = base_of(max(each.clock for each in self.ticks.values()))
        if horizon > self._now[BASE]:
            self._begin(horizon)
        return tick

    def _begin(self, horizon: int) -> None:
        """A new bin is the present one."""
        self._now = {granularity: start_of(granularity, horizon, self.zone) for granularity in GRANULARITIES}
        self._wanted = {
            granularity: (start, max(end_of(granularity, end_of(granularity, start, self.zone), self.zone), horizon + AHEAD_MS))
            for granularity, start in self._now.items()
        }
        for dimension, rows in list(self._rows.items()):
            kept = {place: row for place, row in rows.items() if place[1] >= self._now[place[0]]}
            if kept:
                self._rows[dimension] = kept
            else:
                del self._rows[dimension]
        self.left_out.clear()
        self._places.clear()


def _kept(row: Bin, dimension: Dimension) -> Kept:
    figures = row.figures
    return Kept(
        sum(figures.arrivals.values()),
        sum(row.in_progress.values()),
        sum(figures.completed.values()),
        figures.completed.get("TIMED_OUT", 0),
        row.peak,
        row.peak_at,
        _burst(figures.burst, dimension),
        figures.quality.get("calls", 0),
        figures.quality.get("failed", 0),
    )


def _burst(burst: dict[str, int], dimension: Dimension) -> tuple[int, int, int]:
    """Sessions of the levels 1, 2, 3 by the entries of the dimension's own tenant."""
    if dimension.kind != "tenant":
        return 0, 0, 0
    of = [burst.get(f"{dimension.value}:{level}", 0) for level in (1, 2, 3)]
    return of[0], of[1], of[2]


class Totals(NamedTuple):
    """Over all tenants: RM sessions, and sessions of all types for timed_out."""

    in_progress: int
    arrivals: int
    timed_out: int


def tenants(partitions: Iterable[Partition]) -> dict[tuple[int], Tenant]:
    """A tenant's sessions in progress, arrivals, peaks and burst levels are those of RM, its service quality that of MCP."""
    found: dict[tuple[int], Tenant] = {}
    for partition in partitions:
        for dimension, (base, hour, day) in partition.present():
            if dimension.kind != "tenant" or dimension.comp not in ("RM", "MCP"):
                continue
            row = found.setdefault((int(dimension.value),), Tenant())
            if dimension.comp == "RM":
                row.in_progress, row.bin_arrivals, row.today_arrivals = base.in_progress, base.arrivals, day.arrivals
                row.today_peak, row.today_peak_at = day.peak, _seconds(day.peak_at)
                row.bin_burst_two, row.bin_burst_three = base.burst[1:]
                row.today_burst_one, row.today_burst_two, row.today_burst_three = day.burst
                row.today_timed_out = day.timed_out
            else:
                row.hour_quality_calls, row.hour_quality_rate = hour.calls, rate(hour)
                row.today_quality_calls, row.today_quality_rate = day.calls, rate(day)
    return found


def components(partitions: Iterable[Partition]) -> dict[tuple[str, int], Component]:
    found = {}
    for partition in partitions:
        for dimension, (base, _hour, day) in partition.present():
            if dimension.kind == "component":
                found[dimension.comp, int(dimension.value)] = Component(
                    in_progress=base.in_progress,
                    bin_arrivals=base.arrivals,
                    today_arrivals=day.arrivals,
                    today_peak=day.peak,
                    today_peak_at=_seconds(day.peak_at),
                    today_completed=day.completed,
                    today_timed_out=day.timed_out,
                    today_quality_calls=day.calls,
                    today_quality_rate=rate(day),
                )
    return found


def totals(partitions: Iterable[Partition]) -> Totals:
    in_progress = arrivals = timed_out = 0
    for partition in partitions:
        for dimension, (base, _hour, day) in partition.present():
            if dimension.kind == "component_type":
                timed_out += day.timed_out
                if dimension.comp == "RM":
                    in_progress += base.in_progress
                    arrivals += day.arrivals
    return Totals(in_progress, arrivals, timed_out)


def rate(row: Kept) -> int | None:
    """Service quality in hundredths of a percent, rounded down: 100 % is without a failure. None of none."""
    return 10_000 * (row.calls - row.failed) // row.calls if row.calls else None


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000
