"""The fold of a session: from its distinct events to what is known of it. Pure: no clock, no I/O.

The state of a session is a map from `seq` to event that only grows (`agents.state.Session`); `fold` reads it in `seq` order. So
neither the order of arrival nor repetition can matter (docs/contract.md, section 3).
"""

from __future__ import annotations

from enum import StrEnum
from math import floor
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import fields

from agents.state import LOG_EVENT, Kept, Message, Session, decode_kept
from agents.var import NO_ACTIONS, ActionEvent, Actions, runs_of, variables_of
from pipeline.messages.trusted import CALL_EVENTS, body_of
from pipeline.messages.types import (
    ActionEnd,
    ActionStart,
    BillingEvent,
    CallEnd,
    CallEvent,
    CallResult,
    CallStart,
    CustomVariable,
    Event,
    Failure,
    Latency,
)


class Outcome(StrEnum):
    """What an event did to its session."""

    ADDED = "added"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"  # another event has its name: the first in the log stays (rule X2)


class SessionRecord(Struct, frozen=True, kw_only=True):
    """A session as folded. Times are ms UTC; None: not known.

    start_ts    None: unknown; the session then does not arrive (rule F6)
    end_ts      None while in progress
    end_state   None while in progress
    clock_skew  its end was before its start, and was set to the start
    ahead       it is in progress, and its start lies behind all that its events were seen at: the sender's clock is ahead
    actions     runs of VAR actions
    failures    causes of its sq.failure events, in `seq` order
    latencies   category, type, whole microseconds, in `seq` order (rule X8)
    """

    comp: str
    comp_id: int
    session: str
    start_ts: int | None
    end_ts: int | None
    ended: bool
    clock_skew: bool
    tenant_path: tuple[int, ...] | None = None
    tenant_name: str | None = None
    app: int | None = None
    app_name: str | None = None
    dn: str | None = None
    call_type: str = "UNKNOWN"
    remote_uri: str | None = None
    local_uri: str | None = None
    origin: str | None = None
    usage: tuple[tuple[int, int], ...] | None = None
    burst: tuple[tuple[int, int], ...] | None = None
    end_state: str | None = None
    reason: str | None = None
    sip_status: int | None = None
    mos: float | None = None
    jitter_ms: float | None = None
    loss_pct: float | None = None
    codec: str | None = None
    result: str | None = None
    actions: Actions = NO_ACTIONS
    variables: dict[str, str] = {}
    dropped_variables: int = 0
    failures: tuple[str, ...] = ()
    latencies: tuple[tuple[str, str, int], ...] = ()
    ahead: bool = False


TIMED_OUT = "TIMED_OUT"
CARRIED = tuple(f.name for f in fields(CallEvent) if f.name not in {g.name for g in fields(Event)})
NOTHING_SAID: tuple[object, ...] = (None,) * len(CARRIED)
_carried = attrgetter(*CARRIED)
ACTIONS = (ActionStart, ActionEnd)
_encode = msgspec.msgpack.Encoder().encode


def add(session: Session, event: BillingEvent, message: Message) -> Outcome:
    """Take `event` into the session. Changes `session`."""
    seq, ts = event.seq, event.ts
    known = session.events.get(seq)
    if known is not None:
        if decode_kept(known).digest == message.digest:
            session.duplicates += 1
            return Outcome.DUPLICATE
        session.conflicts += 1
        return Outcome.CONFLICT
    reach = reach_of(event)
    if not session.events:
        session.earliest = session.latest = ts
        session.reach = reach
    else:
        if ts > session.latest:
            session.latest = ts
        elif ts < session.earliest:
            session.earliest = ts
        if reach < session.reach:
            session.reach = reach
    seen = min(ts, message.receipt)
    if seen > session.seen:
        session.seen = seen
    session.events[seq] = _kept(session, event, message)
    if seq > session.comp_seq:
        session.comp, session.comp_seq = event.comp, seq
    if type(event) in CALL_EVENTS:
        session.last_start = max(session.last_start, event.start_ts or ts)  # type: ignore[union-attr]
        if isinstance(event, CallEnd):
            session.ended, session.timed_out = True, None
    return Outcome.ADDED


def _kept(session: Session, event: BillingEvent, message: Message) -> Raw:
    """Encoded once and for all, as a `Kept`."""
    begin, colon, number = message.message_id.rpartition(":")
    origin = message.source, begin + colon
    if origin not in session.origins:
        session.origins.append(origin)
    place = session.origins.index(origin)
    body = None if message.kind == LOG_EVENT else body_of(event)
    return Raw(_encode((message.digest, event.ts, message.receipt, message.offset, event.comp, place, number, body)))


def reach_of(event: BillingEvent) -> int:
    """The least instant that an event speaks of."""
    reach = event.ts
    if type(event) in CALL_EVENTS:
        assert isinstance(event, CallEvent)
        if event.start_ts is not None and event.start_ts < reach:
            reach = event.start_ts
        if event.end_ts is not None and event.end_ts < reach:
            reach = event.end_ts
    return reach


def fold(session: Session, events: list[tuple[int, Kept]] | None = None) -> SessionRecord:
    """What the events of `session` say together: the highest `seq` wins, field by field (rules F4 to F9, V6). `events`: those of the
    session, if they are at hand.

    A time-out takes the place of the `call.end` that never came; an explicit `end_ts` counts then as well (rule F5)."""
    said: tuple[object, ...] | None = None  # what the CallEvents carry, in the order of CARRIED
    started = finished = None  # ts of the call.start, call.end with the highest seq
    result = None
    actions: list[ActionEvent] = []
    variables: list[CustomVariable] = []
    failures: list[str] = []
    latencies: list[tuple[str, str, int]] = []
    for seq, kept in session.kept if events is None else events:
        event = kept.body
        if event is None:
            continue
        if type(event) in CALL_EVENTS:
            carried = _carried(event)
            said = carried if said is None else tuple([old if new is None else new for old, new in zip(said, carried, strict=True)])
            if isinstance(event, CallStart):
                started = kept.ts
            elif isinstance(event, CallEnd):
                finished = kept.ts
        elif isinstance(event, ACTIONS):
            actions.append((seq, kept.ts, event))
        elif isinstance(event, CallResult):
            result = event.result
        elif isinstance(event, CustomVariable):
            variables.append(event)
        elif isinstance(event, Failure):
            failures.append(event.cause)
        elif isinstance(event, Latency):
            latencies += [(category, kind, floor(ms * 1000 + 0.5)) for category, kind, ms in event.samples]
    values: dict[str, Any] = dict(zip(CARRIED, said or NOTHING_SAID, strict=True))
    timed_out = finished is None and session.timed_out is not None
    ended = finished is not None or timed_out
    start, end = values["start_ts"], values["end_ts"]
    if start is None:
        start = started
    if end is None:
        end = session.timed_out if timed_out else finished
    state = None
    if ended:
        state = TIMED_OUT if timed_out else values["end_state"] or "UNKNOWN"  # of a time-out: whatever was sent (rule F8)
    skewed = ended and start is not None and end is not None and end < start
    end_ts = (start if skewed else end) if ended else None
    kept_variables, dropped_variables = variables_of(variables) if variables else ({}, 0)
    values["start_ts"], values["end_ts"], values["end_state"] = start, end_ts, state
    values["call_type"] = values["call_type"] or "UNKNOWN"
    return SessionRecord(
        comp=session.comp,
        comp_id=session.comp_id,
        session=session.session,
        ended=ended,
        clock_skew=skewed,
        result=result,
        actions=runs_of(actions, end_ts) if actions else NO_ACTIONS,
        variables=kept_variables,
        dropped_variables=dropped_variables,
        failures=tuple(failures),
        latencies=tuple(latencies),
        ahead=not ended and start is not None and start > session.seen,
        **values,
    )
