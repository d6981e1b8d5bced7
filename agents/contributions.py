"""What a session contributes to bins, and how a change of it changes them (docs/reports.md section 2). Pure.

    record --contribution--> the dimensions it counts in, and its arrival, departure and completion in base bins

A change contributes the difference: the old contribution goes away, the new one appears; what is the same in both is left alone,
so that an ordinary end touches only the bin of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from agents.bins import base_of
from agents.figures import count, observe
from agents.keys import Dimension
from agents.session import SessionRecord
from agents.state import Figures, Spread


class Arrival(Struct, frozen=True, gc=False):
    start: int  # of the base bin
    call_type: str

    def change(self, figures: Figures, sign: int) -> None:
        count(figures.arrivals, self.call_type, sign)


class Departure(Struct, frozen=True, gc=False):
    start: int
    call_type: str

    def change(self, figures: Figures, sign: int) -> None:
        count(figures.departures, self.call_type, sign)


class Completion(Struct, frozen=True, gc=False):
    start: int
    end_state: str
    duration_ms: int | None  # None: unknown start (rule F6)

    def change(self, figures: Figures, sign: int) -> None:
        count(figures.completed, self.end_state, sign)
        if self.duration_ms is None:
            return
        spread = figures.durations.get(self.end_state)
        if spread is None:
            spread = figures.durations[self.end_state] = Spread()
        observe(spread, self.duration_ms, sign)
        if not spread.n:
            del figures.durations[self.end_state]  # least and greatest of nothing are null (rule B12)


Part = Arrival | Departure | Completion


class Contribution(NamedTuple):
    """dimensions: packed keys; parts: what is counted in each of them."""

    dimensions: tuple[bytes, ...]
    parts: tuple[Part, ...]


NOTHING = Contribution((), ())


def contribution(record: SessionRecord) -> Contribution:
    parts: list[Part] = []
    duration_ms = None
    if record.start_ts is not None:
        parts.append(Arrival(base_of(record.start_ts), record.call_type))
    if record.end_ts is not None and record.end_state is not None:
        end = base_of(record.end_ts)
        if record.start_ts is not None:
            duration_ms = record.end_ts - record.start_ts
            parts.append(Departure(end, record.call_type))
        parts.append(Completion(end, record.end_state, duration_ms))
    if not parts:
        return NOTHING
    return Contribution(_dimensions(record.comp, record.comp_id, record.tenant_path, record.app, record.dn), tuple(parts))


Change = Callable[[Figures, int], None]


def difference(old: Contribution, new: Contribution) -> Iterator[tuple[bytes, int, Change, int]]:
    """(dimension, start of base bin, change, sign): call `change(figures, sign)` on each of these rows, in this order.

    What is new is added before what is old is taken away: least and greatest then see the same values in any order.
    """
    same = old.dimensions == new.dimensions
    for part in new.parts:
        if not (same and part in old.parts):
            for dimension in new.dimensions:
                yield dimension, part.start, part.change, 1
    for part in old.parts:
        if not (same and part in new.parts):
            for dimension in old.dimensions:
                yield dimension, part.start, part.change, -1


@lru_cache(maxsize=100_000)
def _dimensions(comp: str, comp_id: int, path: tuple[int, ...] | None, app: int | None, dn: str | None) -> tuple[bytes, ...]:
    """The rows a session counts in: a missing field has none (rule B6), ancestors are those of its own path (rule B7).
    Cached: sessions are many, the places they come from few."""
    found = [Dimension(comp, "component_type", ""), Dimension(comp, "component", str(comp_id))]
    if path:
        found += [Dimension(comp, "tenant", str(tenant)) for tenant in path]
        found.append(Dimension(comp, "tenant-own", str(path[-1])))
    if app is not None:
        found.append(Dimension(comp, "app", str(app)))
    if dn and comp == "RM":
        found.append(Dimension(comp, "dn", dn))
    return tuple(dimension.pack() for dimension in found)
