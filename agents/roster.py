"""The calls of one partition by the time at which something is to be done about them. Pure.

A call stands in one of two agendas: while a session is open, for its time-out; afterwards for its leave. Times are put off by every
event, so an agenda is not corrected, but asked: whoever takes a key looks at the call again, and puts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from agents.lifetime import Stay


class Agenda:
    """Keys by time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []

    def put(self, at: int, key: bytes) -> None:
        heappush(self._heap, (at, key))

    def begin(self, entries: list[tuple[int, bytes]]) -> None:
        self._heap = entries
        heapify(entries)

    @property
    def next(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def take(self, until: int) -> Iterator[bytes]:
        """Remove and give the keys whose time is not after `until`."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            yield heappop(heap)[1]


class Roster:
    """`stay_of` gives what is known of a call in the table, None if it is not there.

    floors      start of base bin -> calls whose floor it is
    missing     events that the calls of the table lack
    """

    def __init__(self, stay_of: Callable[[bytes], Stay | None]) -> None:
        self._stay_of = stay_of
        self._open, self._ended = Agenda(), Agenda()
        self._asked: set[bytes] = set()  # taken, and in no agenda until they change
        self.floors: dict[int, int] = {}
        self.missing = 0

    def begin(self, stays: Iterator[tuple[bytes, Stay]]) -> None:
        """The table as recovered."""
        agendas: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = [], []
        for key, stay in stays:
            self._count(stay.floor, 1)
            self.missing += stay.missing
            if stay.due:
                agendas[stay.is_open].append((stay.due, key))
        self._ended.begin(agendas[False])
        self._open.begin(agendas[True])

    def moved(self, key: bytes, before: tuple[int, bool, int, int], after: Stay) -> None:
        """A call changed. `before`: its due, is_open, floor and missing then, (0, False, 0, 0) of a new one."""
        due, was_open, floor, missing = before
        self.missing += after.missing - missing
        if floor != after.floor:
            if floor:
                self._count(floor, -1)
            self._count(after.floor, 1)
        if after.due and (not due or after.due < due or was_open != after.is_open or key in self._asked):
            self._asked.discard(key)
            (self._open if after.is_open else self._ended).put(after.due, key)

    def silent(self, clock: int) -> Iterator[bytes]:
        """Open calls that may have a session to be timed out. They come once, until they change."""
        for key, _ in self._take(self._open, clock, opened=True):
            if key not in self._asked:
                self._asked.add(key)
                yield key

    def silent_by(self, clock: int) -> bool:
        """Is there somebody to ask? The answer may be a false yes."""
        return (at := self._open.next) is not None and at <= clock

    def leaving(self, now: int, changed: set[bytes]) -> Iterator[bytes]:
        """Calls that have left: the caller drops them. Those of `changed` stay: they are judged anew."""
        for key, stay in self._take(self._ended, now - 1, opened=False):
            if key in changed:
                self._asked.add(key)
            else:
                self._count(stay.floor, -1)
                self.missing -= stay.missing
                yield key

    def floor(self) -> int | None:
        """Start of the earliest base bin that a call of the table can change; None: there is no call."""
        return min(self.floors, default=None)

    def _take(self, agenda: Agenda, until: int, *, opened: bool) -> Iterator[tuple[bytes, Stay]]:
        for key in agenda.take(until):
            stay = self._stay_of(key)
            if stay is None or stay.is_open != opened or not stay.due:
                continue
            if stay.due > until:
                agenda.put(stay.due, key)
            else:
                yield key, stay

    def _count(self, floor: int, n: int) -> None:
        left = self.floors.get(floor, 0) + n
        if left:
            self.floors[floor] = left
        else:
            del self.floors[floor]
