"""One partition of rs.billing folded into calls and activity: what the calls agent does with a record, without Kafka or Faust.

    record -> late? -> call (by guid) -> session (by comp_id, session) -> difference of contributions -> activity rows

The rows it changes are written by the checkpoint; what goes to other topics is left in `outgoing` for the checkpoint's outbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from agents.call import session_of
from agents.contributions import NOTHING, contribution, difference
from agents.session import Outcome, add, fold
from agents.state import Activity, Call, Message, Session
from agents.stream_time import StreamTime
from pipeline.messages import headers
from pipeline.messages.reasons import Reason
from pipeline.messages.types import BillingEvent, CallEnd, CallEvent, LogEvent

K = TypeVar("K", contravariant=True)
V = TypeVar("V", covariant=True)

decode = msgspec.json.Decoder(BillingEvent).decode

ActivityRow = tuple[bytes, int]  # dimension, start of the base bin


class Rows(Protocol[K, V]):
    """What a fold needs of a partition of a table (`pipeline.runtime.State`, or a dict with a `touch` in tests)."""

    def __getitem__(self, key: K, /) -> V: ...
    def touch(self, key: K, /) -> object: ...


class Record(Protocol):
    """A record of rs.billing. `timestamp`: receipt, ms UTC."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Refused(NamedTuple):
    """A record that is not folded but set aside. `record` as it stands in the log."""

    record: Record
    reason: Reason
    detail: str


class CallsFold:
    """Folds one partition. `journal`: accepted call.events, `refused`: records for quarantine, both until the next cut takes them."""

    def __init__(self, calls: Rows[bytes, Call], activity: Rows[ActivityRow, Activity], time: StreamTime) -> None:
        self.calls, self.activity, self.time = calls, activity, time
        self.journal: list[Record] = []
        self.refused: list[Refused] = []
        self.counts: Counter[str] = Counter()

    def fold(self, records: Iterable[Record]) -> None:
        for record in records:
            self._fold(record)

    def _fold(self, record: Record) -> None:
        event = decode(record.value)
        if self.time.is_late(event.ts):
            self.counts["late"] += 1
            behind_s = (self.time.now - event.ts) // 1000
            self._refuse(record, "late", f"{behind_s} s behind stream time, fold.lateness is {self.time.lateness_ms // 1000} s")
            return
        self.time.advance(event.ts, record.timestamp)
        call = self.calls[record.key]
        if record.offset < call.mark:
            # In the call already: it became durable before a crash, and its activity rows and outbox before it.
            return
        session = session_of(call, event.comp_id, event.session)
        outcome = self._take(session, event, record)
        self.counts[outcome.value] += 1
        self.calls.touch(record.key)
        if outcome is Outcome.CONFLICT:
            self._refuse(record, "conflict", f"another event has the name (comp_id {event.comp_id}, session, seq {event.seq}) already")
        elif outcome is Outcome.ADDED and isinstance(event, LogEvent):
            self.journal.append(record)

    def _take(self, session: Session, event: BillingEvent, record: Record) -> Outcome:
        """Add the event to its session and hand the difference on to the activity rows."""
        if event.seq in session.messages or (event.comp == session.comp and not _may_count(session, event)):
            return add(session, event, _message(record, event))
        before = contribution(fold(session)) if session.messages else NOTHING
        outcome = add(session, event, _message(record, event))
        for dimension, start, change, sign in difference(before, contribution(fold(session))):
            key = dimension, start
            row = self.activity[key]
            if record.offset >= row.mark:  # else counted before a crash: the row is only sent again
                change(row.figures, sign)
            self.activity.touch(key)
        return outcome

    def _refuse(self, record: Record, reason: Reason, detail: str) -> None:
        self.refused.append(Refused(record, reason, detail))

    def drain(self) -> Iterator[Record | Refused]:
        """What other topics are to get since the last call."""
        journal, refused = self.journal, self.refused
        self.journal, self.refused = [], []
        yield from journal
        yield from refused


def _may_count(session: Session, event: BillingEvent) -> bool:
    """Can the event change what its session contributes? Dialog events count at the session's end, so before it they cannot."""
    if isinstance(event, LogEvent):
        return False
    return isinstance(event, CallEvent) or any(type(known) is CallEnd for known in session.payloads.values())


def _message(record: Record, event: BillingEvent) -> Message:
    said = dict(record.headers)
    return Message(
        digest=int.from_bytes(said[headers.DIGEST], "big"),
        kind=said[headers.TYPE].decode(),
        ts=event.ts,
        receipt=record.timestamp,
        offset=record.offset,
        source=said[headers.SOURCE].decode(),
        message_id=said[headers.ID].decode(),
    )
