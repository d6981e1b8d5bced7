"""The judge of a log: which events are refused, which sessions have timed out, which are still there. No code of `agents`.

    log of a partition, record by record --Judge.take--> outcome
    after the last, idle for so long     --Judge.idle--> sessions, for `oracle.bins_of`

Straight from the contract: X3, F5, F7, F8, F10, X2, section 2 of the reports (late events). `Judge` is the slow, literal one:
the state after each record, every question asked afresh of all the events of a session. `closed_form` says the same of
the final events and the final time alone; where the two differ, the literal one is right.

What the contract leaves open:

* "As if it had been in time" means: the events of a session, in the order of `ts`, come at their `ts`. The first that is
  `call_timeout` or more behind the one before it finds the session timed out, and so do all behind it.
* Time-outs come into the log: a session is closed with an event of its own, if stream time is there then, or by a closing record.
* A call counts as absent when all its sessions have ended and stream time is more than `lateness` (`keep_timed_out` if that is more, and
  one of them timed out) past its last event. What then comes under its guid is another call.
* An event must not reach into the past with `start_ts` or `end_ts` either: it is late when the least instant that it speaks of lies in
  a base bin wholly older than stream time - lateness, unless an event of the same call speaks of that bin or an earlier one already.
* In a rebuild a session is closed as soon as stream time is there, and nothing is refused for lateness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from tests.agents import oracle
from tests.agents.oracle import FIVE

Event = dict[str, Any]
Key = tuple[int, str]  # comp_id, session


class Posted(NamedTuple):
    """A record with an event. `receipt`: ms UTC."""

    event: Event
    receipt: int


class Closing(NamedTuple):
    """The server's own record: this session is to be closed at `ts`, its greatest."""

    guid: str
    comp_id: int
    session: str
    ts: int


Entry = Posted | Closing


@dataclass(frozen=True)
class Limits:
    """ms; lateness 0: nothing is late, no call expires."""

    call_timeout: int
    lateness: int = 0
    keep_timed_out: int = 0


@dataclass
class Session:
    """`closed`: the instant at which its time-out closed it."""

    events: dict[int, Event] = field(default_factory=dict)
    closed: int | None = None
    duplicates: int = 0
    conflicts: int = 0

    @property
    def has_end(self) -> bool:
        return any(e["kind"] == "call.end" for e in self.events.values())

    @property
    def in_order(self) -> list[Event]:
        return [self.events[seq] for seq in sorted(self.events)]

    def last_in_time(self, timeout: int) -> int:
        """`ts` of the last event that would have found the session open, had all come in time."""
        waiting: list[int] = sorted(e["ts"] for e in self.events.values())
        last = waiting.pop(0)
        while waiting:
            clock = waiting.pop(0)
            if clock >= last + timeout:
                return last
            last = clock
        return last

    def times(self) -> tuple[int | None, int | None]:
        return oracle.times_of(self.in_order, self.closed)

    def folded(self) -> dict[str, Any]:
        return oracle.session_of(list(self.events.values()), self.closed)


Call = dict[Key, Session]


class Judge:
    """One partition.

    history_to      records below this position are history: none is late, no call expires
    gone            calls that have expired, as they stood
    outcomes        of each record: added, duplicate, conflict, late, or of a closing record: closed, ignored
    """

    def __init__(self, limits: Limits, history_to: int = 0) -> None:
        self.limits, self.history_to = limits, history_to
        self.stream = 0
        self.calls: dict[str, Call] = {}
        self.gone: list[tuple[str, Call]] = []
        self.outcomes: list[str] = []

    def take(self, entry: Entry) -> str:
        outcome = self._close(entry) if isinstance(entry, Closing) else self._fold(*entry)
        self.outcomes.append(outcome)
        return outcome

    def idle(self, ms: int) -> None:
        """No record has come for so long: whoever is silent for too long by then is closed."""
        for call in self.calls.values():
            for session in call.values():
                if self.stream:
                    self._pass_time(session, self.stream + ms)

    def sessions(self) -> Iterator[tuple[str, Key, Session]]:
        """Of all calls, those that have expired first."""
        for guid, call in [*self.gone, *self.calls.items()]:
            for key, session in call.items():
                yield guid, key, session

    # -- a closing record

    def _close(self, closing: Closing) -> str:
        session = self.calls.get(closing.guid, {}).get((closing.comp_id, closing.session))
        if session is None or session.has_end or session.last_in_time(self.limits.call_timeout) != closing.ts:
            return "ignored"
        session.closed = closing.ts
        return "closed"

    # -- an event

    def _fold(self, event: Event, receipt: int) -> str:
        event = {name: value for name, value in event.items() if value is not None}
        lateness = 0 if len(self.outcomes) < self.history_to else self.limits.lateness
        if lateness and event["ts"] < self.stream - lateness:
            return "late"
        self.stream = max(self.stream, min(event["ts"], receipt))
        if len(self.outcomes) < self.history_to:
            self.idle(0)
        if lateness and self.has_expired(event["guid"]):
            self.gone.append((event["guid"], self.calls.pop(event["guid"])))
        call = self.calls.get(event["guid"], {})
        if lateness and self._reaches_back(call, event, self.stream - lateness):
            return "late"
        session = call.get((event["comp_id"], event["session"]), Session())
        if event["seq"] in session.events:
            if session.events[event["seq"]] == event:
                session.duplicates += 1
                return "duplicate"
            session.conflicts += 1
            return "conflict"
        grown = Session({**session.events, event["seq"]: event}, session.closed, session.duplicates, session.conflicts)
        self._pass_time(grown, self.stream)
        self.calls.setdefault(event["guid"], {})[event["comp_id"], event["session"]] = grown
        return "added"

    def _pass_time(self, session: Session, clock: int) -> None:
        """A session that was closed where it would be closed now stays so, whatever clock had told it then."""
        if not session.events:
            return
        last = session.last_in_time(self.limits.call_timeout)
        if session.closed != last or session.has_end:
            session.closed = last if clock >= last + self.limits.call_timeout and not session.has_end else None

    def has_expired(self, guid: str) -> bool:
        call = self.calls.get(guid)
        if not call or any(s.times()[1] is None for s in call.values()):
            return False
        timed_out = any(not s.has_end for s in call.values())
        last: int = max(e["ts"] for s in call.values() for e in s.events.values())
        return self.stream > last + (max(self.limits.keep_timed_out, self.limits.lateness) if timed_out else self.limits.lateness)

    def _reaches_back(self, call: Call, event: Event, oldest: int) -> bool:
        least = _first_bin(event)
        held = any(_first_bin(e) <= least for s in call.values() for e in s.events.values())
        return least + FIVE <= oldest and not held


def _first_bin(event: Event) -> int:
    """Start of the base bin of the least instant that the event speaks of."""
    kinds = ("call.start", "call.update", "call.end")
    least = min(event[name] for name in ("ts", "start_ts", "end_ts") if name in event and (name == "ts" or event["kind"] in kinds))
    return int(least - least % FIVE)


def judge(log: Sequence[Entry], limits: Limits, idle: int = 0, history_to: int = 0) -> Judge:
    found = Judge(limits, history_to)
    for entry in log:
        found.take(entry)
    found.idle(idle)
    return found


def closed_form(events: Sequence[Event], clock: int, call_timeout: int) -> int | None:
    """When a session with these distinct events has timed out, if it has: the first gap decides, no matter how they came."""
    if any(e["kind"] == "call.end" for e in events):
        return None
    times = sorted(e["ts"] for e in events)
    last = next((a for a, b in pairwise(times) if b - a >= call_timeout), times[-1])
    return last if clock >= last + call_timeout else None
