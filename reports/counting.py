"""In which figures a call counts: what `agents.contributions` says of each of its stored sessions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from statistics import fmean

from agents.contributions import Count, Observed, contribution
from agents.keys import Dimension
from agents.session import SessionRecord
from agents.var import Actions, runs_of
from pipeline.messages.types import ActionEnd, ActionStart, Failure, Latency
from reports.queries.calls import OneCall, Session


@dataclass(frozen=True, slots=True)
class Counted:
    """`n` of `label` in a measure, in the five minutes that begin at `start` and all longer bins around them. `values`: of a spread,
    durations in ms, latencies in microseconds."""

    start: int
    measure: str
    label: str
    n: int
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a session: what counts, in order of time, and in the rows of which values."""

    session: Session
    counted: tuple[Counted, ...]
    rows: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies of one type in a session, ms."""

    session: Session
    category: str
    kind: str
    values: tuple[float, ...]

    @property
    def average(self) -> float:
        return round(fmean(self.values), 1)


def counts(call: OneCall) -> tuple[Counts, ...]:
    """Occupancy, which peaks come from, is left out: it counts from the start to the end. So are burst entries, which have rows of
    their own (rule B5)."""
    return tuple(_counts(session, record_of(call, session)) for session in call.sessions)


def _counts(session: Session, record: SessionRecord) -> Counts:
    parts = contribution(record)
    found: list[Counted] = []
    rows: dict[Dimension, None] = {}
    for part, dimensions in parts.items():
        rows |= dict.fromkeys(Dimension.unpack(packed) for packed in dimensions)
        if isinstance(part, Count) and part.measure not in ("departures", "burst"):
            found.append(Counted(part.start, part.measure, part.label, part.n))
        elif isinstance(part, Observed):
            found.append(Counted(part.start, part.measure, part.label, len(part.values), part.values))
    return Counts(session, tuple(sorted(found, key=lambda each: each.start)), tuple(rows))


def record_of(call: OneCall, session: Session) -> SessionRecord:
    """What the agents folded, from what the store keeps of it; fields that do not count are left out."""
    events = call.payloads.get((session.comp_id, session.session), ())
    return SessionRecord(
        comp=session.comp,
        comp_id=session.comp_id,
        session=session.session,
        start_ts=session.start_ts,
        end_ts=session.end_ts,
        ended=session.ended,
        clock_skew=session.clock_skew,
        tenant_path=session.tenant_path or None,
        app=session.app_id,
        dn=session.dn,
        call_type=session.call_type,
        end_state=session.end_state,
        result=session.result,
        actions=actions(call, session),
        failures=tuple(event.cause for event in events if isinstance(event, Failure)),
        latencies=tuple(
            (category, kind, floor(ms * 1000 + 0.5))
            for event in events
            if isinstance(event, Latency)
            for category, kind, ms in event.samples
        ),
    )


def actions(call: OneCall, session: Session) -> Actions:
    """Runs of the session's VAR actions, as the agents see them."""
    events = call.payloads.get((session.comp_id, session.session), ())
    return runs_of([(e.seq, e.ts, e) for e in events if isinstance(e, ActionStart | ActionEnd)], session.end_ts if session.ended else None)


def measured(call: OneCall) -> tuple[Measured, ...]:
    """Latencies by session and type, in the order in which the types came."""
    found: list[Measured] = []
    for session in call.sessions:
        by_type: dict[tuple[str, str], list[float]] = {}
        for event in call.payloads.get((session.comp_id, session.session), ()):
            if isinstance(event, Latency):
                for category, kind, ms in event.samples:
                    by_type.setdefault((category, kind), []).append(ms)
        found += [Measured(session, category, kind, tuple(values)) for (category, kind), values in by_type.items()]
    return tuple(found)
