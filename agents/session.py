"""The fold of a session: from its distinct events to what is known of it. Pure: no clock, no I/O.

The state of a session is a map from `seq` to event that only grows (`agents.state.Session`); `fold` reads it in `seq` order. So
neither the order of arrival nor repetition can matter (docs/contract.md, section 3).
"""

from __future__ import annotations

from enum import Enum
from math import floor

from msgspec import Struct
from msgspec.structs import fields

from agents.state import Message, Session
from agents.var import NO_ACTIONS, Actions, runs_of, variables_of
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
    LogEvent,
)


class Outcome(Enum):
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


def add(session: Session, event: BillingEvent, message: Message) -> Outcome:
    """Take `event` into the session. Changes `session`."""
    known = session.messages.get(event.seq)
    if known is not None:
        if known.digest == message.digest:
            session.duplicates += 1
            return Outcome.DUPLICATE
        session.conflicts += 1
        return Outcome.CONFLICT
    ts = event.ts
    if session.messages:
        session.earliest, session.latest = min(session.earliest, ts), max(session.latest, ts)
        session.reach = min(session.reach, reach_of(event))
    else:
        session.earliest = session.latest = ts
        session.reach = reach_of(event)
    session.seen = max(session.seen, min(ts, message.receipt))
    session.messages[event.seq] = message
    if not isinstance(event, LogEvent):
        session.payloads[event.seq] = event
    if event.seq > session.comp_seq:
        session.comp, session.comp_seq = event.comp, event.seq
    if type(event) is CallEnd:
        session.ended, session.timed_out = True, None
    return Outcome.ADDED


def reach_of(event: BillingEvent) -> int:
    """The least instant that an event speaks of."""
    reach = event.ts
    if isinstance(event, CallEvent):
        if event.start_ts is not None and event.start_ts < reach:
            reach = event.start_ts
        if event.end_ts is not None and event.end_ts < reach:
            reach = event.end_ts
    return reach


def fold(session: Session) -> SessionRecord:
    """What the events of `session` say together: the highest `seq` wins, field by field (rules F4 to F9, V6).

    A time-out takes the place of the `call.end` that never came; an explicit `end_ts` counts then as well (rule F5)."""
    values: dict[str, object] = {}
    started = finished = None  # ts of the call.start, call.end with the highest seq
    result = None
    actions: list[ActionStart | ActionEnd] = []
    variables: list[CustomVariable] = []
    failures: list[str] = []
    latencies: list[tuple[str, str, int]] = []
    for seq in sorted(session.payloads):
        event = session.payloads[seq]
        if isinstance(event, CallEvent):
            for name in CARRIED:
                value = getattr(event, name)
                if value is not None:
                    values[name] = value
            if type(event) is CallStart:
                started = event.ts
            elif type(event) is CallEnd:
                finished = event.ts
        elif isinstance(event, ActionStart | ActionEnd):
            actions.append(event)
        elif isinstance(event, CallResult):
            result = event.result
        elif isinstance(event, CustomVariable):
            variables.append(event)
        elif isinstance(event, Failure):
            failures.append(event.cause)
        elif isinstance(event, Latency):
            latencies += [(category, kind, floor(ms * 1000 + 0.5)) for category, kind, ms in event.samples]
    timed_out = finished is None and session.timed_out is not None
    ended = finished is not None or timed_out
    start, end = values.pop("start_ts", started), values.pop("end_ts", session.timed_out if timed_out else finished)
    state = values.pop("end_state", "UNKNOWN")
    if timed_out:
        state = TIMED_OUT  # whatever was sent (rule F8)
    assert start is None or isinstance(start, int)
    assert end is None or isinstance(end, int)
    skewed = ended and start is not None and end is not None and end < start
    end_ts = (start if skewed else end) if ended else None
    kept, dropped_variables = variables_of(variables) if variables else ({}, 0)
    return SessionRecord(
        comp=session.comp,
        comp_id=session.comp_id,
        session=session.session,
        start_ts=start,
        end_ts=end_ts,
        ended=ended,
        clock_skew=skewed,
        end_state=str(state) if ended else None,
        result=result,
        actions=runs_of(actions, end_ts) if actions else NO_ACTIONS,
        variables=kept,
        dropped_variables=dropped_variables,
        failures=tuple(failures),
        latencies=tuple(latencies),
        ahead=not ended and start is not None and start > session.seen,
        **values,  # type: ignore[arg-type]  # the names are those of CallEvent, whose types the parser has checked
    )
