"""What a session contributes to bins, and how a change of it changes them (docs/reports.md section 2). Pure.

    record --contribution--> {(dimensions, part), ...}: each part is counted in the rows of these dimensions

A change contributes the difference: parts that went are taken away, new ones are added, and what is the same in both is left
alone, so that an ordinary end touches only the bin of the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import attrgetter

from msgspec import Struct

from agents.bins import base_of
from agents.figures import EDGES, count, observe, opened, shift
from agents.keys import Dimension
from agents.session import SessionRecord
from agents.state import Figures

Dimensions = tuple[bytes, ...]  # packed keys


class Count(Struct, frozen=True, gc=False):
    """`n` more of `label` in the measure of that name of `Figures`, in the base bin that begins at `start`."""

    start: int
    measure: str
    label: str
    n: int = 1

    def change(self, figures: Figures, sign: int) -> None:
        count(opened(figures, self.measure), self.label, sign * self.n)


class Observed(Struct, frozen=True, gc=False):
    """Values of a spread."""

    start: int
    measure: str
    label: str
    values: tuple[int, ...]

    def change(self, figures: Figures, sign: int) -> None:
        observe(opened(figures, self.measure), self.label, self.values, sign, EDGES[self.measure])


class Occupancy(Struct, frozen=True, gc=False):
    """A session begins (n = 1) or ceases (n = -1) to occupy seconds at `second` of the bin (rule B3).

    measure     "changes", or "opens" of a session in progress whose start may lie behind now
    """

    start: int
    second: int
    call_type: str
    n: int
    measure: str = "changes"

    def change(self, figures: Figures, sign: int) -> None:
        shift(opened(figures, self.measure), self.second, self.call_type, sign * self.n)


Part = Count | Observed | Occupancy
Contribution = dict[Part, Dimensions]
Change = Callable[[Figures, int], None]

NOTHING: Contribution = {}


def contribution(record: SessionRecord) -> Contribution:
    """Each part with the dimensions whose rows it counts in. Parts of one session differ from each other."""
    parts: Contribution = {}
    everywhere = _everywhere(record)
    if record.start_ts is not None:
        for part in _of_start(record, record.start_ts):
            parts[part] = everywhere
        if record.burst and record.comp == "RM":
            parts.update(_burst(record, base_of(record.start_ts), everywhere))
    if record.end_ts is not None:
        for part in _of_leaving(record, record.end_ts):
            parts[part] = everywhere
        for part in _of_end(record, record.end_ts):
            parts[part] = everywhere
    return parts


def additions(old: SessionRecord | None, new: SessionRecord) -> Iterable[tuple[Part, Dimensions]] | None:
    """What a new session brings, or the ordinary end of one; None: the change takes something away, or may, and `difference` tells."""
    if old is None:
        return contribution(new).items()
    if old.end_ts is not None or old.ahead or _place(old) != _place(new):
        return None
    everywhere = _everywhere(new)
    parts = [] if new.end_ts is None else [*_of_leaving(new, new.end_ts), *_of_end(new, new.end_ts)]
    return [(part, everywhere) for part in parts]


def difference(old: Contribution, new: Contribution) -> Iterator[tuple[bytes, int, Change, int]]:
    """(dimension, start of base bin, change, sign): call `change(figures, sign)` on each of these rows, in this order.

    What is new is added before what is old is taken away: least and greatest then see the same values in any order.
    """
    for part, dimensions in new.items():
        if old.get(part) != dimensions:
            for dimension in dimensions:
                yield dimension, part.start, part.change, 1
    for part, dimensions in old.items():
        if new.get(part) != dimensions:
            for dimension in dimensions:
                yield dimension, part.start, part.change, -1


def _of_start(record: SessionRecord, start_ts: int) -> Iterator[Part]:
    yield Count(base_of(start_ts), "arrivals", record.call_type)
    yield _occupancy(start_ts // 1000, record.call_type, 1, "opens" if record.ahead else "changes")


def _of_leaving(record: SessionRecord, end_ts: int) -> Iterator[Part]:
    if record.start_ts is not None:
        last = max(record.start_ts, end_ts - 1) // 1000  # a session of zero length occupies its start second
        yield _occupancy(last + 1, record.call_type, -1)


def _of_end(record: SessionRecord, end_ts: int) -> Iterator[Part]:
    start, state = base_of(end_ts), str(record.end_state)
    yield Count(start, "completed", state)
    if record.start_ts is not None:
        yield Count(start, "departures", record.call_type)
        yield Observed(start, "durations", state, (end_ts - record.start_ts,))
    if record.comp == "RM" and state == "REJECTED":
        yield Count(start, "results", "REJECTED")
    if record.comp == "MCP":
        yield from _of_dialog(record, start)


def _of_dialog(record: SessionRecord, start: int) -> Iterator[Part]:
    """What counts for MCP sessions alone (rules M9, B8, B9)."""
    yield Count(start, "results", record.result or "UNKNOWN")
    if runs := record.actions.runs:
        for label, n in Counter(f"{run.action}|{run.result}" for run in runs).items():
            yield Count(start, "actions", label, n)
        last = runs[-1]
        yield Count(start, "last_actions", f"{last.action}|{last.result}")
    yield Count(start, "quality", "calls")
    if record.failures:
        yield Count(start, "quality", "failed")
        for cause, n in Counter(record.failures).items():
            yield Count(start, "failures", cause, n)
    by_type: dict[str, list[int]] = {}
    for category, kind, microseconds in record.latencies:
        by_type.setdefault(f"{category}|{kind}", []).append(microseconds)
    for label, values in by_type.items():
        yield Observed(start, "latencies", label, tuple(values))


def _occupancy(second: int, call_type: str, n: int, measure: str = "changes") -> Occupancy:
    start = base_of(second * 1000)
    return Occupancy(start, second - start // 1000, call_type, n, measure)


def _burst(record: SessionRecord, start: int, everywhere: Dimensions) -> Iterator[tuple[Part, Dimensions]]:
    """Rule B5: an entry counts in the row of its own tenant, in the `own` row of the session's own tenant, and wherever tenants
    do not matter."""
    elsewhere = tuple(dimension for dimension in everywhere if b"|tenant|" not in dimension and b"|tenant-own|" not in dimension)
    own = record.tenant_path[-1] if record.tenant_path else None
    for tenant, level in record.burst or ():
        rows = [*elsewhere, Dimension(record.comp, "tenant", str(tenant)).pack()]
        if tenant == own:
            rows.append(Dimension(record.comp, "tenant-own", str(tenant)).pack())
        yield Count(start, "burst", f"{tenant}:{level}"), tuple(rows)


# What the parts of a start, and the rows of all parts, depend on.
_place = attrgetter("comp", "comp_id", "tenant_path", "app", "dn", "start_ts", "call_type", "burst")


def _everywhere(record: SessionRecord) -> Dimensions:
    return _dimensions(record.comp, record.comp_id, record.tenant_path, record.app, record.dn)


@lru_cache(maxsize=100_000)
def _dimensions(comp: str, comp_id: int, path: tuple[int, ...] | None, app: int | None, dn: str | None) -> Dimensions:
    """The rows a session counts in: a missing field has none (rule B6), ancestors are those of its own path (rule B7).
    Cached: sessions are many, the places they come from few."""
    found = [Dimension(comp, "component_type", ""), Dimension(comp, "component", str(comp_id))]
    if path:
        found += [Dimension(comp, "tenant", str(tenant)) for tenant in path]
        found.append(Dimension(comp, "tenant-own", str(path[-1])))
    if app is not None:
        found.append(Dimension(comp, "app", str(app)))
    if dn is not None and comp == "RM":  # an empty DN is a value (rule M3)
        found.append(Dimension(comp, "dn", dn))
    return tuple(dimension.pack() for dimension in found)
