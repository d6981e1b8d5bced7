"""One partition of rs.billing folded into calls and activity: what the calls agent does with a record, without Kafka or Faust.

    record -> late? -> call (by guid) -> session (by comp_id, session) -> difference of contributions -> activity rows

The rows it changes are written by the checkpoint; what goes to other topics is left for the checkpoint's outbox (`drain`).
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct

from agents.bins import BASE_MS, base_of
from agents.call import find, session_of
from agents.contributions import NOTHING, Dimensions, additions, contribution, difference
from agents.figures import add_to_all
from agents.lifetime import Stay, Terms, has_left, is_open, judge_stay, last_in_time, timed_out_at
from agents.roster import Roster
from agents.session import Outcome, SessionRecord, add, fold, reach_of
from agents.state import LOG_EVENT, Activity, Call, Figures, Message, Session, decode_kept
from agents.stream_time import StreamTime
from pipeline.messages import headers
from pipeline.messages.reasons import Reason
from pipeline.messages.trusted import CALL_EVENTS, BillingEvent, name_of

K = TypeVar("K", contravariant=True)
V = TypeVar("V")

TIMEOUT = "call.timeout"
MAX_CALL_BYTES = 8 * 1024 * 1024  # rule M15
SEQ_BYTES = 5  # of an event besides what is kept of it


class Closing(Struct, tag_field="kind", tag=TIMEOUT, frozen=True):
    """The server's own record of a time-out in rs.billing: session (`comp_id`, `session`) has been silent since `ts` (rule X3)."""

    guid: str
    comp_id: int
    session: str
    ts: int


decode = msgspec.json.Decoder(BillingEvent | Closing).decode

ActivityRow = tuple[bytes, int]  # dimension, start of the base bin


class Rows(Protocol[K, V]):
    """What a fold needs of a partition of a table (`pipeline.runtime.State`, or a dict with these methods in tests)."""

    def __getitem__(self, key: K, /) -> V: ...
    def __setitem__(self, key: K, value: V, /) -> None: ...
    def peek(self, key: K, /) -> V | None: ...
    def touch(self, key: K, /) -> object: ...
    def drop(self, key: K, /) -> object: ...


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
    """Folds one partition. What other topics are to get waits in `journal` (accepted call.events), `refused` (for quarantine) and
    `closings` (time-outs, for rs.billing itself) until the next cut takes it.

    history_to  records below this offset are folded as a rebuild does: nothing is late, refused or left, and silent sessions are
                closed by the record that moves the stream time past them, in log order
    """

    def __init__(
        self,
        calls: Rows[bytes, Call],
        activity: Rows[ActivityRow, Activity],
        time: StreamTime,
        terms: Terms | None = None,
        history_to: int = 0,
    ) -> None:
        self.calls, self.activity, self.time = calls, activity, time
        self.terms = terms or Terms(lateness=time.lateness_ms)
        self.history_to = history_to
        self.roster = Roster(self.stay_of)
        self.journal: list[Record] = []
        self.refused: list[Refused] = []
        self.closings: list[Closing] = []
        self.counts: Counter[str] = Counter()
        self.posted = 0  # records of senders, however they were judged
        self._counted_to = 0  # records below it may be counted in activity rows already
        self._coming: dict[tuple[Dimensions, int], Figures] = {}  # for the rows of these dimensions, of a base bin
        self._left_by = 0  # stream time at the last settle; 0: nobody leaves
        self._touched: set[bytes] = set()
        self._bins: dict[int, set[bytes]] = {}  # start of base bin -> dimensions that have a row
        self._in_history = False

    def stay_of(self, key: bytes) -> Stay | None:
        """What is known of a call without its sessions. A table of encoded calls knows a cheaper way."""
        return self.calls.peek(key)

    def resume(self, stays: Iterator[tuple[bytes, Stay]], rows: Iterable[ActivityRow], counted_to: int) -> None:
        """Begin with the tables as recovered. `counted_to`: the highest mark of an activity row."""
        self.roster.begin(stays)
        self._counted_to = counted_to
        for dimension, start in rows:
            self._bins.setdefault(start, set()).add(dimension)

    # -- what a record does

    def fold(self, records: Iterable[Record]) -> None:
        for record in records:
            self._fold(record)
        self._spread()

    def _fold(self, record: Record) -> None:
        event, key = decode(record.value), record.key
        self._in_history = record.offset < self.history_to
        if type(event) is Closing:
            self._close(record, event)
            return
        self.posted += 1
        if self.time.is_late(event.ts) and not self._in_history:
            self.counts["late"] += 1
            behind_s = (self.time.now - event.ts) // 1000
            self._refuse(record, "late", f"{behind_s} s behind stream time, fold.lateness is {self.time.lateness_ms // 1000} s")
            return
        self.time.advance(event.ts, record.timestamp)
        if self._in_history:
            self._close_silent(record)
        call = self.calls[key]
        if record.offset < call.mark:
            # In the call already: it became durable before a crash, and its activity rows and outbox before it.
            return
        if self._has_left(key, call):
            # It counts as absent: whether it was dropped before this record is a matter of chance.
            call = self.calls[key] = Call(mark=call.mark, due=call.due, floor=call.floor, missing=call.missing)
        if self._refuses(record, event, call):
            return
        self.calls.touch(key)
        self._touched.add(key)
        session = session_of(call, event.comp_id, event.session)
        message = _message(record, event)
        outcome = self._take(record, session, event, message)
        self.counts[outcome] += 1
        if outcome is Outcome.CONFLICT:
            self._refuse(record, "conflict", f"another event has the name (comp_id {event.comp_id}, session, seq {event.seq}) already")
        elif outcome is Outcome.ADDED:
            call.size += len(bytes(session.events[event.seq])) + SEQ_BYTES
            if message.kind == LOG_EVENT:
                self.journal.append(record)
        if self._in_history:
            self._judge_stay(key)

    def _has_left(self, key: bytes, call: Call) -> bool:
        lateness = self.terms.lateness
        if not lateness or self._in_history or not call.sessions or call.sessions[0].latest + lateness >= self.time.now:
            return False
        self._judge_stay(key)  # it may have changed since the last settle
        return has_left(call, self.time.now)

    def _refuses(self, record: Record, event: BillingEvent, call: Call) -> bool:
        """Set an event aside that its call cannot take, or that speaks of bins that are closed and not held open by its call."""
        if call.size > MAX_CALL_BYTES // 2 and call.size + len(record.value) > MAX_CALL_BYTES:
            # The rule speaks of the events that would pass the limit: one that is known already is a duplicate as ever.
            known = find(call, event.comp_id, event.session)
            if known is None or event.seq not in known.events:
                self._refuse(record, "call_too_large", f"the call has {call.size} bytes, at most {MAX_CALL_BYTES} are kept")
                return True
        if not self.terms.lateness or self._in_history or type(event) not in CALL_EVENTS:
            return False
        reach = base_of(reach_of(event))
        if reach >= self.time.floor and reach + BASE_MS > self.time.now - self.terms.lateness:
            return False
        held = min((session.reach for session in call.sessions), default=None)
        if held is not None and base_of(held) <= reach:
            return False
        self.counts["late"] += 1
        self._refuse(
            record, "late", f"start_ts or end_ts lies more than {self.terms.lateness // 1000} s (fold.lateness) behind stream time"
        )
        return True

    def _take(self, record: Record, session: Session, event: BillingEvent, message: Message) -> Outcome:
        """Add the event to its session and hand the difference on to the activity rows."""
        if event.seq in session.events:
            return add(session, event, message)
        known = before = None
        if event.comp != session.comp or _may_count(session, event, message):
            known = session.kept
            before = fold(session, known) if known else None
        outcome = add(session, event, message)
        if known is not None:
            insort(known, (event.seq, decode_kept(session.events[event.seq])))
        closed = timed_out_at(session, self.time.now, self.terms.timeout)
        if closed != session.timed_out:
            if known is None:  # the event itself counts nowhere
                known = session.kept
                before = fold(session, known)
            self.counts["timed_out" if closed is not None else "reopened"] += 1
            session.timed_out = closed
        if known is not None:
            self._move(record, before, fold(session, known))
        return outcome

    def _move(self, record: Record, before: SessionRecord | None, after: SessionRecord) -> None:
        """Let the activity rows have what changed: at the end of the chunk if it only adds, as almost always."""
        added = additions(before, after) if record.offset >= self._counted_to else None
        if added is None:
            self._move_at_once(record, before, after)
            return
        for part, dimensions in added:
            place = dimensions, part.start
            figures = self._coming.get(place)
            if figures is None:
                figures = self._coming[place] = Figures()
            part.change(figures, 1)

    def _move_at_once(self, record: Record, before: SessionRecord | None, after: SessionRecord) -> None:
        """A row may have counted the record before a crash, or something is taken away: least and greatest of a spread that empties
        depend on what was in it then, so on the order of the log."""
        self._spread()
        for dimension, start, change, sign in difference(NOTHING if before is None else contribution(before), contribution(after)):
            row = self._row(dimension, start)
            if record.offset >= row.mark:  # else counted before a crash: the row is only sent again
                change(row.figures, sign)

    def _spread(self) -> None:
        """Add to the rows what came for them. Sessions of a chunk mostly come from few places: their figures are summed up once instead of
        in each of some six rows (29 us an event become 21 in chunks of 4,000, 26 in those of 500)."""
        for (dimensions, start), figures in self._coming.items():
            add_to_all([self._row(dimension, start).figures for dimension in dimensions], figures)
        self._coming.clear()

    def _row(self, dimension: bytes, start: int) -> Activity:
        key = dimension, start
        row = self.activity[key]
        if not row.mark:
            self._bins.setdefault(start, set()).add(dimension)
        self.activity.touch(key)
        return row

    def _refuse(self, record: Record, reason: Reason, detail: str) -> None:
        if not self._in_history:  # else it was set aside when it came
            self.refused.append(Refused(record, reason, detail))

    # -- time-outs

    def _close(self, record: Record, closing: Closing) -> None:
        """A time-out comes back from the log: it counts if the session has not gone on since."""
        call = self.calls.peek(record.key)
        if call is None or record.offset < call.mark:
            return
        session = find(call, closing.comp_id, closing.session)
        if session is None or not is_open(session) or last_in_time(session, self.terms.timeout) != closing.ts:
            self.counts["gone_on"] += 1
            return
        self._close_session(record, record.key, session, closing.ts)

    def _close_silent(self, record: Record) -> None:
        for key in self.roster.silent(self.time.now):
            call = self.calls[key]
            if record.offset < call.mark:
                continue
            for session, last in self._silent(call, self.time.now):
                self._close_session(record, key, session, last)
            self._judge_stay(key)

    def _close_session(self, record: Record, key: bytes, session: Session, at: int) -> None:
        known = session.kept
        before = fold(session, known)
        session.timed_out = at
        self._move(record, before, fold(session, known))
        self.counts["timed_out"] += 1
        self.calls.touch(key)
        self._touched.add(key)

    def _silent(self, call: Call, clock: int) -> Iterator[tuple[Session, int]]:
        """The open sessions that are timed out at `clock`, with their last instant in time."""
        for session in call.sessions:
            if is_open(session) and (last := timed_out_at(session, clock, self.terms.timeout)) is not None:
                yield session, last

    # -- what a checkpoint does

    def settle(self, position: int, idle: int = 0) -> None:
        """Look after the calls whose time has come. `position`: next offset to fold; `idle`: ms since the last record during which
        one could have come, for time-outs alone.

        What is dropped was so at the settle before, whose cut is committed, and has not changed since: no replay asks for it again.
        """
        if self._left_by:
            self._drop()
        self.review()
        if position < self.history_to:
            return
        for key in self.roster.silent(self.time.now + idle):
            for session, last in self._silent(self.calls[key], self.time.now + idle):
                self.closings.append(Closing(key.decode(), session.comp_id, session.session, last))
        if self.terms.lateness and self.time.now:
            self._left_by = self.time.now
            open_from = base_of(self.time.now - self.terms.lateness)
            held = self.roster.floor()
            self.time.floor = max(self.time.floor, open_from if held is None else min(open_from, held))

    def _drop(self) -> None:
        for key in self.roster.leaving(self._left_by, self._touched):
            self.calls.drop(key)
            self.counts["left"] += 1
        for start in [start for start in self._bins if start < self.time.floor]:
            for dimension in self._bins.pop(start):
                self.activity.drop((dimension, start))

    def review(self) -> None:
        """Judge anew how long the calls stay that changed."""
        for key in self._touched:
            self._judge_stay(key)
        self._touched.clear()

    def _judge_stay(self, key: bytes) -> None:
        call = self.calls[key]
        before = call.due, call.is_open, call.floor, call.missing
        judge_stay(call, self.terms)
        self.roster.moved(key, before, call)

    def drain(self) -> Iterator[Record | Refused | Closing]:
        """What other topics are to get since the last call."""
        journal, refused, closings = self.journal, self.refused, self.closings
        self.journal, self.refused, self.closings = [], [], []
        yield from journal
        yield from refused
        yield from closings


def _may_count(session: Session, event: BillingEvent, message: Message) -> bool:
    """Can the event change what its session contributes? Dialog events count at the session's end, so before it they cannot, but that
    the clocks come to a start which lay ahead of them."""
    if session.ended or session.timed_out is not None:
        return message.kind != LOG_EVENT
    return type(event) in CALL_EVENTS or session.last_start > session.seen


def _message(record: Record, event: BillingEvent) -> Message:
    said = dict(record.headers)
    return Message(
        int.from_bytes(said[headers.DIGEST], "big"),
        name_of(event),
        event.ts,
        record.timestamp,
        record.offset,
        said[headers.SOURCE].decode(),
        said[headers.ID].decode(),
    )
