"""How long sessions and calls live: when a silent session is timed out, when a call leaves the table (rule X3). Pure.

A session without `call.end` ends by a time-out at its *last instant in time*: the `ts` behind which it was silent for the whole of
`cdr.call_timeout`. What it said after such a silence came past the time-out: it is kept, but does not open the session again. This
is a function of the events alone, so their order does not matter; the clock only says whether the silence has lasted long enough.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

from msgspec import Struct

from agents.bins import base_of
from agents.state import Call, Session

HOUR_MS = 3_600_000


class Terms(Struct, frozen=True, kw_only=True):
    """The settings, in ms; 0: never.

    timeout         cdr.call_timeout
    lateness        fold.lateness
    keep_timed_out  cdr.keep_timed_out: how long a call with a timed-out session waits for a late end
    """

    timeout: int = 6 * HOUR_MS
    lateness: int = 0
    keep_timed_out: int = 30 * 24 * HOUR_MS


class Stay(Protocol):
    """What is to be known of a call in the table without looking at its sessions.

    due     is_open: clock at which a session of it may be timed out; else: stream time past which it has left. 0: never
    floor   start of the earliest base bin it can change
    missing events that its ended sessions lack by their numbers
    """

    @property
    def due(self) -> int: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def floor(self) -> int: ...
    @property
    def missing(self) -> int: ...


def last_in_time(session: Session, timeout: int) -> int:
    """The `ts` before the first silence of `timeout`, else the greatest. `timeout` in ms, 0: no silence is too long."""
    if session.latest - session.earliest < timeout or not timeout:
        return session.latest
    times = sorted(kept.ts for _, kept in session.kept)
    return next((earlier for earlier, later in pairwise(times) if later - earlier >= timeout), times[-1])


def is_open(session: Session) -> bool:
    return not session.ended and session.timed_out is None


def timed_out_at(session: Session, clock: int, timeout: int) -> int | None:
    """The last instant in time of a session that is timed out at `clock`, or has been; None: it goes on, or has a `call.end`."""
    if session.ended or not timeout:
        return None
    last = last_in_time(session, timeout)
    return last if clock >= last + timeout or session.timed_out == last else None


def missing_of(session: Session) -> int:
    """How many numbers up to the highest no event has: a sender counts from 0, or from 1."""
    return session.comp_seq + (0 in session.events) - len(session.events)


def judge_stay(call: Call, terms: Terms) -> None:
    """Set due, is_open, floor and missing of a call, from its sessions."""
    due, floor, opened, waits, missing = 0, 1 << 62, False, False, 0
    for session in call.sessions:
        floor = min(floor, session.reach)
        if is_open(session):
            at = last_in_time(session, terms.timeout) + terms.timeout
            due = min(due, at) if opened else at
            opened = True
            continue
        missing += missing_of(session)
        if not opened:
            due = max(due, session.latest)
            waits = waits or not session.ended
    call.is_open, call.floor, call.missing = opened, base_of(floor), missing
    if opened:
        call.due = due if terms.timeout else 0
    elif terms.lateness:
        call.due = due + (max(terms.keep_timed_out, terms.lateness) if waits else terms.lateness)
    else:
        call.due = 0


def has_left(call: Stay, now: int) -> bool:
    """At stream time `now` the call counts as absent, whether it is still in the table or not."""
    return not call.is_open and 0 < call.due < now
