"""Bins of one partition of rs.activity: parts merged, occupancy carried from bin to bin, longer bins made of shorter ones.

    snapshots (dimension, base bin, source partition) --> merged base bin --> in progress, peak --> longer bins

What is in progress at the start of a bin is what was so at the end of the bin before, and so is the occupancy that its peak
begins with: a chain per dimension. It is computed afresh from the earliest touched bin, once a checkpoint, up to the *horizon*: the
base bin that the clocks of the source partitions have reached. A bin that sessions only pass through has a row as well (rule
B4). Longer bins are recomputed from their children, never incremented. Pure: the tables are mappings.

Below the *floor*, the earliest bin that any source partition can still change, rows leave the tables once no longer bin asks for them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from agents.bins import BASE, BASE_MS, CHILD, GRANULARITIES, base_of, children, end_of, start_of
from agents.figures import add_changes, is_empty, merge
from agents.keys import activity_key, bin_key, is_tick, split_activity, split_bin, tick_key
from agents.state import NOTHING, Activity, Bin, Counts, Figures, Snapshot, TenantsRow, Tick


class Parts(Protocol):
    """Latest snapshot by packed key."""

    def peek(self, key: bytes, /) -> Snapshot | None: ...
    def __setitem__(self, key: bytes, value: Snapshot, /) -> None: ...
    def touch(self, key: bytes, /) -> object: ...
    def drop(self, key: bytes, /) -> object: ...
    def keys_packed(self) -> Iterable[bytes]: ...


class Tenants(Protocol):
    """Bins by packed key."""

    def peek(self, key: bytes, /) -> TenantsRow | None: ...
    def __setitem__(self, key: bytes, value: TenantsRow, /) -> None: ...
    def touch(self, key: bytes, /) -> object: ...
    def drop(self, key: bytes, /) -> object: ...
    def keys_packed(self) -> Iterable[bytes]: ...


class Chain:
    """One dimension.

    starts      base bins that have parts or a row, ascending
    sources     base bin -> source partitions that have a part for it
    carried     the chain ends with sessions in progress, so it grows with the horizon
    """

    __slots__ = ("carried", "sources", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.sources: dict[int, list[int]] = {}
        self.carried = False

    def know(self, start: int) -> None:
        at = bisect_left(self.starts, start)
        if at == len(self.starts) or self.starts[at] != start:
            self.starts.insert(at, start)

    def forget(self, start: int) -> list[int]:
        """Gives the source partitions that have a part for it."""
        at = bisect_left(self.starts, start)
        if at < len(self.starts) and self.starts[at] == start:
            del self.starts[at]
        return self.sources.pop(start, [])

    def after(self, start: int) -> int | None:
        """The next known bin."""
        at = bisect_left(self.starts, start + 1)
        return self.starts[at] if at < len(self.starts) else None


class Chains:
    """The dimensions of one partition of rs.activity.

    position        up to where records are folded
    replayed_to     position below which records are read a second time after a crash: rows may be durable in part, so that
                    a row found right says nothing about the rows behind it
    sources         how many source partitions there are; until all of them have spoken, nothing lies below the floor
    floor           as the ticks written before the last settle say it: all that came before them is durable
    """

    def __init__(self, parts: Parts, tenants: Tenants, zone: ZoneInfo, position: int = 0, replayed_to: int = 0, sources: int = 0) -> None:
        self.parts, self.tenants, self.zone = parts, tenants, zone
        self.position, self.replayed_to = position, replayed_to
        self.sources, self.floor = sources, 0
        # Source partition -> floor of the ticks that were read up to the position. A tick in `parts` may be ahead of it after a crash.
        self._floors: dict[int, int] = {}
        self._rows: dict[tuple[str, int], set[bytes]] = {}  # granularity, start -> dimensions that have a row or a part
        self._leave: dict[int, list[tuple[str, int]]] = {}  # floor from which on nobody asks for these
        self.chains: dict[bytes, Chain] = {}
        self.ticks: dict[int, Tick] = {}
        self._touched: dict[bytes, set[int]] = {}
        self._known: dict[tuple[bytes, str, int], Others] = {}
        self._ticked: set[int] = set()
        self._horizon = 0
        self._load()

    @property
    def horizon(self) -> int:
        """Base bin that contains now, as the source partitions tell it."""
        return base_of(max((tick.clock for tick in self.ticks.values()), default=0))

    def _load(self) -> None:
        """Build the index from recovered tables. The last row up to the horizon tells whether the chain goes on."""
        for key in self.parts.keys_packed():
            if is_tick(key):
                newest = self.parts.peek(key)
                assert isinstance(newest, Tick)
                self.ticks[int(key[2:])] = newest
            else:
                self._index(*split_activity(key))
        for key in self.tenants.keys_packed():
            if is_tick(key):
                # Rows of a cut are durable before its ticks: up to here, and not further, every row is there.
                tick = self.tenants.peek(key)
                assert isinstance(tick, Tick)
                self._horizon = max(self._horizon, base_of(tick.clock))
                self._floors[int(key[2:])] = tick.floor
                continue
            dimension, granularity, start = split_bin(key)
            if granularity == BASE:
                self._chain(dimension).know(start)
            self._keep_until(dimension, granularity, start)
        self._raise_floor()
        # A tick may be durable in parts and not in tenants: it goes on with the next cut, read again or not.
        self._ticked.update(self.ticks)
        for dimension, chain in self.chains.items():
            chain.carried = _carries(self._base_row(dimension, min(self._horizon, chain.starts[-1])))

    def _index(self, dimension: bytes, start: int, source: int) -> None:
        chain = self._chain(dimension)
        sources = chain.sources.get(start)
        if sources is None:
            chain.know(start)
            sources = chain.sources[start] = []
            self._keep_until(dimension, BASE, start)
        if source not in sources:
            insort(sources, source)

    def _chain(self, dimension: bytes) -> Chain:
        chain = self.chains.get(dimension)
        if chain is None:
            chain = self.chains[dimension] = Chain()
        return chain

    # -- what a record does

    def take(self, key: bytes, snapshot: Snapshot) -> None:
        """A snapshot or tick arrives, `snapshot.mark` set. The highest mark stays; of equal marks the later."""
        if isinstance(snapshot, Tick):
            self._take_tick(key, snapshot)
            return
        dimension, start, source = split_activity(key)
        if start < self.floor:
            return  # a repetition: whoever sent it has said since that nothing new would come from below
        old = self.parts.peek(key)
        if old is None or snapshot.mark >= old.mark:
            self.parts[key] = snapshot
            self.parts.touch(key)
            self._index(dimension, start, source)
        elif self.position >= self.replayed_to:
            return
        # What an old one had begun to change before a crash may be durable in part: the chain is to be looked at all the same.
        self._touched.setdefault(dimension, set()).add(start)

    def _take_tick(self, key: bytes, tick: Tick) -> None:
        source = int(key[2:])
        self._floors[source] = max(tick.floor, self._floors.get(source, 0))
        old = self.parts.peek(key)
        if isinstance(old, Tick):
            if tick.mark < old.mark:
                return
            tick.clock = max(tick.clock, old.clock)  # a new worker does not know how long its partition has been idle
        self.parts[key] = tick
        self.parts.touch(key)
        self.ticks[source] = tick
        self._ticked.add(source)

    # -- what a checkpoint does

    def settle(self, position: int) -> None:
        """Recompute all that was touched by the records below `position`. Ticks go on last: whoever has read one has read the
        rows it speaks of."""
        replaying = self.position < self.replayed_to
        self.position = position
        horizon = max(self._horizon, self.horizon)
        work = self._touched
        if horizon > self._horizon:
            for dimension, chain in self.chains.items():
                if chain.carried or (chain.starts and chain.starts[-1] > self._horizon):
                    work.setdefault(dimension, set())
        for dimension, starts in work.items():
            reached = self._walk(dimension, starts, horizon, replaying)
            if horizon > self._horizon:
                reached.append(self._horizon)  # in progress of longer bins that were open then depends on the horizon alone
            self._roll_up(dimension, reached, horizon)
        self._touched, self._horizon = {}, horizon
        for source in sorted(self._ticked):
            key, tick = tick_key(source), self.ticks[source]
            self.tenants[key] = Tick(tick.stream, tick.clock, tick.folded_to, floor=self._floors.get(source, 0))
            self.tenants.touch(key)
        self._drop_below()
        self._raise_floor()
        self._ticked.clear()

    # -- what leaves

    def _raise_floor(self) -> None:
        if self.sources and len(self._floors) >= self.sources:
            self.floor = max(self.floor, min(self._floors.values()))

    def _keep_until(self, dimension: bytes, granularity: str, start: int) -> None:
        """A row is there: it stays until the floor has passed all bins that need it. The base bin before the floor stays as well,
        for what it carries on."""
        rows = self._rows.get((granularity, start))
        if rows is None:
            rows = self._rows[granularity, start] = set()
            at = max(end_of(parent, start_of(parent, start, self.zone), self.zone) for parent in PARENTS[granularity])
            self._leave.setdefault(max(at, start + 2 * BASE_MS), []).append((granularity, start))
        rows.add(dimension)

    def _drop_below(self) -> None:
        """Drop what was not needed as of the floor of the settle before: that one is durable, so no replay asks for it."""
        for at in [at for at in self._leave if at <= self.floor]:
            for granularity, start in self._leave.pop(at):
                for dimension in self._rows.pop((granularity, start)):
                    self.tenants.drop(bin_key(dimension, granularity, start))
                    self._known.pop((dimension, granularity, start), None)
                    if granularity == BASE:
                        self._forget(dimension, start)

    def _forget(self, dimension: bytes, start: int) -> None:
        chain = self.chains[dimension]
        for source in chain.forget(start):
            self.parts.drop(activity_key(dimension, start, source))
        if not chain.starts:
            del self.chains[dimension]

    def _walk(self, dimension: bytes, touched: set[int], horizon: int, replaying: bool) -> list[int]:
        """Compute the chain from the earliest bin that may differ. Gives the base bins that longer bins must look at again."""
        chain = self.chains[dimension]
        grown_from = self._horizon + BASE_MS if horizon > self._horizon else None
        begin = min(touched, default=None)
        if grown_from is not None:
            begin = grown_from if begin is None else min(begin, grown_from)
        if begin is None:
            return []
        last_needed = max(touched, default=0)
        if grown_from is not None:  # rows beyond the old horizon had no occupancy yet, or were not there
            last_needed = max(last_needed, horizon)
        reached = self._behind(dimension, chain, min(begin, horizon + BASE_MS), last_needed, touched, horizon, replaying)
        if chain.starts[-1] > horizon:
            reached += self._ahead(dimension, chain, touched, horizon, replaying)
        return reached

    def _behind(
        self, dimension: bytes, chain: Chain, begin: int, last_needed: int, touched: set[int], horizon: int, replaying: bool
    ) -> list[int]:
        """The bins from `begin` up to the horizon."""
        before = self._base_row(dimension, begin - BASE_MS)
        reached: list[int] = []
        start: int | None = begin
        while start is not None and start <= horizon:
            figures, changes, opens = self._merged(dimension, chain, start)
            if opens:
                both: dict[int, Counts] = {}
                add_changes(both, changes)
                add_changes(both, opens)
                changes = both
            row = before = follow(before, figures, changes, start)
            old = self._base_row(dimension, start)
            carries_as_before = row.in_progress == old.in_progress and row.occupied == old.occupied
            if self._put(dimension, chain, start, row) or start in touched or replaying:
                reached.append(start)  # untouched: the row may have been durable before a crash, and the longer bins not
            if carries_as_before and start >= last_needed and not replaying:
                return reached  # all that follows is as it was
            following = chain.after(start)
            passing = start + BASE_MS if _carries(before) else None
            start = min((s for s in (following, passing) if s is not None), default=None)
        chain.carried = _carries(before)
        return reached

    def _ahead(self, dimension: bytes, chain: Chain, touched: set[int], horizon: int, replaying: bool) -> list[int]:
        """The bins beyond the horizon, which only senders know whose clock is ahead. Nothing is in progress there yet (rule B2), and
        only ended sessions occupy their seconds (rule B3). All of these that come over the horizon cease behind it, so what they
        occupy there is what is left of all changes behind it."""
        known = {start: self._merged(dimension, chain, start) for start in chain.starts[bisect_left(chain.starts, horizon + 1) :]}
        occupied: Counts = {}
        for _, changes, _ in known.values():
            for counts in changes.values():
                occupied = _moved(occupied, {}, counts)
        start = min(known)
        # Else a partition's rows have come, and its tick, which moves the horizon to them, comes next.
        trusted = min(occupied.values(), default=0) >= 0 and start <= horizon + FURTHEST_AHEAD_MS
        if trusted and occupied:
            start = horizon + BASE_MS
        row = Bin(occupied=occupied if trusted else {})
        reached = []
        while True:
            figures, changes, _ = known.get(start) or (Figures(), {}, {})
            row = follow(Bin(occupied=row.occupied), figures, changes, start)
            row.in_progress = {}
            if self._put(dimension, chain, start, row) or start in touched or replaying:
                reached.append(start)
            later = [at for at in known if at > start]
            if not later:
                return reached
            start = start + BASE_MS if trusted and row.occupied else min(later)

    def _put(self, dimension: bytes, chain: Chain, start: int, row: Bin) -> bool:
        written = self._write(dimension, BASE, start, row)
        if written:
            chain.know(start)
        return written

    def _write(self, dimension: bytes, granularity: str, start: int, row: Bin) -> bool:
        """Write the row if it differs from what is there."""
        key = bin_key(dimension, granularity, start)
        old = self.tenants.peek(key)
        if old is None:
            if is_empty(row.figures) and not (row.in_progress or row.occupied or row.peak):
                return False
            self._keep_until(dimension, granularity, start)
        elif isinstance(old, Bin):
            row.mark = old.mark
            if row == old:
                return False
        self.tenants[key] = row
        self.tenants.touch(key)
        return True

    def _merged(self, dimension: bytes, chain: Chain, start: int) -> tuple[Figures, dict[int, Counts], dict[int, Counts]]:
        """The figures of all source partitions, and apart from them changes and opens of occupancy, which no row keeps."""
        found = (self.parts.peek(activity_key(dimension, start, source)) for source in chain.sources.get(start, ()))
        merged = merge([part.figures for part in found if isinstance(part, Activity)])
        changes, merged.changes = merged.changes, NOTHING
        opens, merged.opens = merged.opens, NOTHING
        return merged, changes, opens

    def _base_row(self, dimension: bytes, start: int) -> Bin:
        row = self.tenants.peek(bin_key(dimension, BASE, start))
        return row if isinstance(row, Bin) else NO_ROW

    def _roll_up(self, dimension: bytes, reached: Iterable[int], horizon: int) -> None:
        """Recompute the longer bins of these base bins."""
        changed = {BASE: {start: self._base_row(dimension, start) for start in reached}}
        for granularity in GRANULARITIES[1:]:
            by_parent: dict[int, dict[int, Bin]] = {}
            for child, row in changed[CHILD[granularity]].items():
                by_parent.setdefault(start_of(granularity, child, self.zone), {})[child] = row
            changed[granularity] = {
                start: self._recompute(dimension, granularity, start, rows, horizon) for start, rows in sorted(by_parent.items())
            }

    def _recompute(self, dimension: bytes, granularity: str, start: int, changed: dict[int, Bin], horizon: int) -> Bin:
        """A longer bin from its children, of which these changed; in progress at its end is that of its last child up to the
        horizon, its peak the greatest of theirs, the earlier of equal ones. Gives the row."""
        starts = children(granularity, start, self.zone)
        latest = max(changed)
        others = self._others(dimension, granularity, start, latest, fresh=len(changed) == 1)
        row = changed[latest]
        before = (others.peak, -(others.peak_at or 0)) >= (row.peak, -(row.peak_at or 0))
        highest = others if before else row
        within = bisect_right(starts, horizon)
        last = self._row_of(dimension, CHILD[granularity], starts[within - 1], changed) if within else NO_ROW
        figures = merge([row.figures] if others.figures is None else [others.figures, row.figures])
        made = Bin(figures, last.in_progress, peak=highest.peak, peak_at=highest.peak_at, peak_by=highest.peak_by)
        self._write(dimension, granularity, start, made)
        return made

    def _others(self, dimension: bytes, granularity: str, start: int, but: int, *, fresh: bool) -> Others:
        """All children of a longer bin together, but for one. Mostly it is the same one, of now, that changes time after time, and the
        others are as they were (`fresh`): then they need not be read again, up to 30 rows of them."""
        key = dimension, granularity, start
        known = self._known.get(key)
        if fresh and known is not None and known.but == but:
            return known
        child = CHILD[granularity]
        rows = [self._row_of(dimension, child, at) for at in children(granularity, start, self.zone) if at != but]
        rows = [row for row in rows if row is not NO_ROW]
        highest = max(rows, key=lambda row: row.peak, default=NO_ROW)  # the first of equal ones
        if len(self._known) > OTHERS_KNOWN:
            self._known.clear()
        figures = merge([row.figures for row in rows]) if rows else None
        made = self._known[key] = Others(but, figures, highest.peak, highest.peak_at, highest.peak_by)
        return made

    def _row_of(self, dimension: bytes, granularity: str, start: int, known: Mapping[int, Bin] = NOTHING) -> Bin:
        if start in known:
            return known[start]
        if dimension not in self._rows.get((granularity, start), ()):
            return NO_ROW
        row = self.tenants.peek(bin_key(dimension, granularity, start))
        return row if isinstance(row, Bin) else NO_ROW


class Others(Struct, gc=False):
    """What a longer bin has of its children but for the one that begins at `but`. Recomputed from them, never added to."""

    but: int
    figures: Figures | None
    peak: int
    peak_at: int | None
    peak_by: Counts


OTHERS_KNOWN = 4_000  # of a partition; one takes some 3 KB
NO_ROW = Bin()
FURTHEST_AHEAD_MS = 24 * 3_600_000 + BASE_MS  # of a sender's clock (rule M7)
# The bins that ask for a row of a granularity; the row itself, where none does.
PARENTS = {
    granularity: tuple(parent for parent, child in CHILD.items() if child == granularity) or (granularity,) for granularity in GRANULARITIES
}


def follow(before: Bin, figures: Figures, changes: dict[int, Counts], start: int) -> Bin:
    """The base bin at `start` behind the one before it. `changes`: of occupancy, by second of the bin."""
    in_progress = _moved(before.in_progress, figures.arrivals, figures.departures)
    occupied = before.occupied
    peak, peak_second, peak_by = sum(occupied.values()), 0, occupied
    for second in sorted(changes):
        occupied = _moved(occupied, changes[second], {})
        now = sum(occupied.values())
        if now > peak or not second:  # a change at second 0 takes the place of what was carried on
            peak, peak_second, peak_by = now, second, occupied
    peak_at = start + peak_second * 1000 if peak else None
    return Bin(figures, in_progress, 0, occupied, peak, peak_at, peak_by)


def _carries(row: Bin) -> bool:
    return bool(row.in_progress or row.occupied)


def _moved(counts: Counts, plus: Counts, minus: Counts) -> Counts:
    """counts + plus - minus; zeros are left out."""
    if not plus and not minus:
        return counts
    after = dict(counts)
    for label, n in plus.items():
        after[label] = after.get(label, 0) + n
    for label, n in minus.items():
        after[label] = after.get(label, 0) - n
    return {label: n for label, n in after.items() if n}
