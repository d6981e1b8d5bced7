"""One call told message by message: what each record of its guid did, and in which bins the call counts in the end. Pure.

    every record of the partition, in log order -> Explainer.take -> Step for those of the guid
    after the last                              -> Explainer.sessions, Explainer.summary

The call is folded by the same `CallsFold` that the agents run, over tables that hold this call alone. Of the other calls only
the time is taken, because lateness is judged by the stream time of the whole partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from agents.call import CallSummary, records_of, summary
from agents.calls_fold import TIMEOUT, ActivityRow, CallsFold, Record
from agents.contributions import NOTHING, Contribution, Count, Observed, Part, contribution
from agents.lifetime import Terms
from agents.session import SessionRecord, fold
from agents.state import Activity, Call, Session
from agents.stream_time import StreamTime
from pipeline.messages import headers

K = TypeVar("K")
V = TypeVar("V")

OUTCOMES = ("added", "duplicate", "conflict", "timed_out", "gone_on")  # an event may time its session out, and is added all the same
NAMES = frozenset({"comp_id", "session"})  # of a SessionRecord: they say which session it is, and never change
# What a session without any event is taken to be: the fields that have another value are those its first event gave it.
UNBORN = {"ended": False, "clock_skew": False} | {
    field.name: field.default_factory() if field.default is NODEFAULT else field.default
    for field in fields(SessionRecord)
    if not field.required
}


class Table(dict[K, V]):
    """A partition of a table in memory."""

    def __init__(self, make: Callable[[], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        value = self[key] = self._make()
        return value

    def peek(self, key: K) -> V | None:
        return self.get(key)

    def touch(self, key: K) -> None:
        """Nothing is written, so nothing is to be remembered."""

    def drop(self, key: K) -> None:
        """A call that is told about stays."""


class Changed(Struct, frozen=True):
    """A field of the folded session. `old` of a new session: what a session without events has, None where that is nothing."""

    field: str
    old: object
    new: object


class Counted(Struct, frozen=True, kw_only=True):
    """`n` more (less, if negative) of `label` in a measure of the base bin that begins at `start`, in the rows of `dimensions`.

    measure     of `agents.state.Figures`; "occupancy" for its `changes`, "occupancy to come" for its `opens`
    values      of a spread, in its unit
    at          of occupancy: the second from which it holds, ms UTC
    """

    start: int
    measure: str
    label: str
    n: int
    dimensions: tuple[str, ...]
    values: tuple[int, ...] = ()
    at: int | None = None


class Step(Struct, frozen=True, kw_only=True):
    """One record of the call, and what it did. Times are ms UTC.

    outcome     added, duplicate, or the reason for which it was set aside (conflict, late, call_too_large); of a time-out: timed_out,
                or gone_on if the session had gone on; "ignored" if the fold passed it over
    detail      why it was set aside
    first       offset of the event that has its name already, of a duplicate or conflict
    seq         None: a record of the server's own, the time-out of a session
    """

    offset: int
    receipt: int
    queue: str
    message_id: str
    kind: str
    ts: int
    comp: str
    comp_id: int
    session: str
    seq: int | None
    outcome: str
    detail: str = ""
    first: int | None = None
    changed: tuple[Changed, ...] = ()
    moved: tuple[Counted, ...] = ()


class SessionNow(Struct, frozen=True, kw_only=True):
    """A session after the last record. `messages`: distinct ones."""

    messages: int
    duplicates: int
    conflicts: int
    record: SessionRecord
    counts: tuple[Counted, ...]


class _Named(Struct):
    kind: str
    ts: int
    comp_id: int
    session: str
    comp: str = ""  # a time-out names none
    seq: int | None = None


class _Timed(Struct):
    kind: str
    ts: int


_named = msgspec.json.Decoder(_Named).decode
_timed = msgspec.json.Decoder(_Timed).decode


class Explainer:
    """Takes the records of one partition of rs.billing, from its beginning and in order.

    history_to  records below this offset were folded by a rebuild: none of them is late
    """

    def __init__(self, guid: bytes, terms: Terms, history_to: int = 0) -> None:
        self.guid = guid
        self._calls: Table[bytes, Call] = Table(Call)
        activity: Table[ActivityRow, Activity] = Table(Activity)
        self._fold = CallsFold(self._calls, activity, StreamTime(terms.lateness), terms, history_to)

    def take(self, record: Record) -> Step | None:
        """The step, if the record is of the call. Raises msgspec.MsgspecError for a value that is no billing message."""
        if record.key != self.guid:
            other = _timed(record.value)
            if other.kind != TIMEOUT:
                self._fold.time.advance(other.ts, record.timestamp)
            return None
        named = _named(record.value)
        session = self._session(named)
        known = session.messages.get(named.seq) if session is not None and named.seq is not None else None
        before = None if session is None else fold(session)
        self._fold.counts.clear()
        self._fold.fold([record])
        self._fold.review()
        refused, self._fold.refused, self._fold.journal = self._fold.refused, [], []
        session = self._session(named)
        after = None if session is None else fold(session)
        said = {name: value.decode() for name, value in record.headers if name in (headers.SOURCE, headers.ID)}
        outcome = str(refused[0].reason) if refused else next((o for o in OUTCOMES if self._fold.counts[o]), "ignored")
        return Step(
            offset=record.offset,
            receipt=record.timestamp,
            queue=said.get(headers.SOURCE, ""),
            message_id=said.get(headers.ID, ""),
            kind=named.kind,
            ts=named.ts,
            comp=named.comp,
            comp_id=named.comp_id,
            session=named.session,
            seq=named.seq,
            outcome=outcome,
            detail=refused[0].detail if refused else "",
            first=known.offset if known is not None and outcome in ("duplicate", "conflict") else None,
            changed=tuple(_changes(before, after)),
            moved=tuple(_moves(_contribution(before), _contribution(after))),
        )

    def sessions(self) -> list[SessionNow]:
        """In the order in which they appeared."""
        call = self._calls.get(self.guid)
        return [_now(session) for session in call.sessions] if call is not None else []

    def summary(self) -> CallSummary | None:
        """None: no record of the call was folded."""
        call = self._calls.get(self.guid)
        return summary(records_of(call)) if call is not None and call.sessions else None

    def _session(self, named: _Named) -> Session | None:
        """The session of an event, if it is there."""
        call = self._calls.get(self.guid)
        found = call.sessions if call is not None else []
        return next((s for s in found if s.comp_id == named.comp_id and s.session == named.session), None)


def _now(session: Session) -> SessionNow:
    record = fold(session)
    return SessionNow(
        messages=len(session.messages),
        duplicates=session.duplicates,
        conflicts=session.conflicts,
        record=record,
        counts=tuple(_moves(NOTHING, contribution(record))),
    )


def _contribution(record: SessionRecord | None) -> Contribution:
    return NOTHING if record is None else contribution(record)


def _changes(before: SessionRecord | None, after: SessionRecord | None) -> Iterator[Changed]:
    if after is None:
        return
    for field in fields(SessionRecord):
        if field.name in NAMES:
            continue
        old, new = UNBORN.get(field.name) if before is None else getattr(before, field.name), getattr(after, field.name)
        if old != new:
            yield Changed(field.name, old, new)


def _moves(old: Contribution, new: Contribution) -> Iterator[Counted]:
    """What the change of a contribution comes to in the end: a part that stays in a row is not told.

    `agents.contributions.difference` adds it to the new rows and takes it from the old ones, the same row included.
    """
    for part in sorted({**old, **new}, key=lambda part: part.start):
        for sign, here, there in ((1, new, old), (-1, old, new)):
            rows = [dimension.decode() for dimension in here.get(part, ()) if dimension not in there.get(part, ())]
            if rows:
                yield _counted(part, sign, tuple(rows))


def _counted(part: Part, sign: int, dimensions: tuple[str, ...]) -> Counted:
    if isinstance(part, Count):
        return Counted(start=part.start, measure=part.measure, label=part.label, n=sign * part.n, dimensions=dimensions)
    if isinstance(part, Observed):
        return Counted(
            start=part.start,
            measure=part.measure,
            label=part.label,
            n=sign * len(part.values),
            dimensions=dimensions,
            values=part.values,
        )
    at = part.start + part.second * 1000
    at = part.start + part.second * 1000
    measure = "occupancy" if part.measure == "changes" else "occupancy to come"
    return Counted(start=part.start, measure=measure, label=part.call_type, n=sign * part.n, dimensions=dimensions, at=at)
