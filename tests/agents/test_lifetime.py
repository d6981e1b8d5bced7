"""Time-outs, leaving, floors: the plain cases one by one. Random ones are judged in test_scenarios and by the crash model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.call import records_of
from agents.calls_fold import MAX_CALL_BYTES, CallsFold, Closing, Refused
from agents.idle import Idle, Silence
from agents.lifetime import Terms, last_in_time
from agents.roster import Agenda
from agents.session import SessionRecord, add
from agents.state import Activity, Call, Message, Session
from agents.stream_time import StreamTime
from pipeline.messages.types import LogEvent
from tests.agents.world import MINUTE, T0, Table, event, record

HOUR = 60 * MINUTE
TERMS = Terms(timeout=HOUR, lateness=2 * HOUR, keep_timed_out=3 * HOUR)


class World:
    """One partition, and what its fold says."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self.calls, self.activity = Table(Call), Table(Activity)
        self.fold = CallsFold(self.calls, self.activity, StreamTime(terms.lateness), terms)
        self.offset = 0

    def post(self, *events: dict[str, Any]) -> None:
        for e in events:
            self.fold.fold([record(self.offset, e)])
            self.offset += 1

    def settle(self, idle: int = 0) -> list[Closing]:
        """A checkpoint: what it wrote into the log is folded after it."""
        self.fold.settle(self.offset, idle)
        closings = [left for left in self.fold.drain() if isinstance(left, Closing)]
        for closing in closings:
            self.post({"kind": "call.timeout", "guid": closing.guid, **{n: getattr(closing, n) for n in ("comp_id", "session", "ts")}})
        return closings

    def refused(self) -> list[str]:
        return [left.reason for left in self.fold.drain() if isinstance(left, Refused)]

    def record(self, call: int = 1) -> SessionRecord:
        (found,) = records_of(self.calls[event("call.start", T0, 0, call=call)["guid"].encode()])
        return found


def other(ts: int, call: int = 99) -> dict[str, Any]:
    """An event of another call, which moves stream time."""
    return event("call.start", ts, 0, call=call)


def test_a_silent_session_is_closed_by_a_record_of_the_log_and_by_that_alone() -> None:
    world = World()
    world.post(event("call.start", T0, 0), other(T0 + HOUR - 1))
    assert world.settle() == []
    world.post(other(T0 + HOUR, call=98))
    assert world.record().end_state is None
    assert [closing.ts for closing in world.settle()] == [T0]
    assert (world.record().end_state, world.record().end_ts) == ("TIMED_OUT", T0)
    assert world.settle() == []  # said once
    assert world.fold.time.now == T0 + HOUR  # it moves no stream time


def test_a_closing_is_ignored_if_the_session_has_gone_on() -> None:
    world = World()
    closing = {"kind": "call.timeout", "guid": event("", T0, 0)["guid"], "comp_id": 201, "session": "s1", "ts": T0}
    world.post(event("call.start", T0, 0), event("call.update", T0 + MINUTE, 1), closing)
    assert not world.record().ended
    assert world.fold.counts["gone_on"] == 1
    world.post({**closing, "guid": other(T0)["guid"]})  # of a call that is not there: none is made
    assert len(world.calls) == 1


def test_what_comes_after_a_time_out() -> None:
    world = World()
    world.post(event("call.start", T0, 0), other(T0 + HOUR))
    world.settle()
    world.post(event("call.update", T0 + HOUR, 1, app=7))  # past the time-out: kept, but the session stays closed
    assert (world.record().end_state, world.record().app) == ("TIMED_OUT", 7)
    world.post(event("call.update", T0 + HOUR - 1, 2))  # in time: with it the silence was never that long
    assert world.record().end_state is None
    world.post(event("call.end", T0 + 2 * HOUR + MINUTE, 3))
    assert (world.record().end_state, world.record().end_ts) == ("UNKNOWN", T0 + 2 * HOUR + MINUTE)


def test_an_explicit_end_counts_for_a_time_out_too() -> None:
    world = World()
    world.post(event("call.start", T0, 0, end_ts=T0 + 5, end_state="USER_END"), other(T0 + HOUR))
    world.settle()
    assert (world.record().end_state, world.record().end_ts) == ("TIMED_OUT", T0 + 5)


def test_idle_time_closes_as_well() -> None:
    world = World()
    world.post(event("call.start", T0, 0))
    assert world.settle(idle=HOUR - 1) == []
    assert len(world.settle(idle=HOUR)) == 1
    assert world.record().end_state == "TIMED_OUT"


def test_only_silence_that_was_listened_to_counts_for_time_outs() -> None:
    idle = Idle()
    assert idle.silence(0, 5, 10.0, listening=True) == Silence(0, 0)
    assert idle.silence(0, 5, 12.0, listening=True) == Silence(2000, 2000)
    assert idle.silence(0, 5, 15.0, listening=False) == Silence(5000, 2000)
    assert idle.silence(0, 6, 16.0, listening=True) == Silence(0, 0)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_the_last_instant_in_time_does_not_depend_on_the_order(minutes: list[int], rnd: Any) -> None:
    def folded(order: list[int]) -> int:
        session = Session(1, "s")
        for seq, minute in enumerate(order):
            said = LogEvent(
                v=1, comp="RM", comp_id=1, session="s", guid="0" * 8, ts=T0 + minute * MINUTE, seq=seq, log_id="x", level="METRIC", text=""
            )
            add(session, said, Message(0, "call.event", said.ts, said.ts, seq, "q", "m"))
        return last_in_time(session, HOUR)

    shuffled = rnd.sample(minutes, len(minutes))
    times = sorted(minutes)
    want = next((a for a, b in pairwise(times) if b - a >= 60), times[-1])
    assert folded(minutes) == folded(shuffled) == T0 + want * MINUTE


def test_ended_calls_leave_and_their_bins_with_them() -> None:
    world = World()
    world.post(event("call.start", T0, 0, tenant_path=[1]), event("call.end", T0 + MINUTE, 1))
    rows = len(world.activity)
    world.post(other(T0 + MINUTE + 2 * HOUR))
    world.settle()
    world.settle()
    assert len(world.calls) == 2  # not past it yet
    world.post(other(T0 + 2 * MINUTE + 2 * HOUR, call=98))
    world.settle()  # now it has left, but what is not committed may be asked for again
    assert len(world.calls) == 3
    world.settle()
    assert len(world.calls) == 2
    assert world.fold.time.floor == T0
    world.post(other(T0 + 9 * MINUTE + 2 * HOUR, call=97))
    world.settle()
    world.settle()
    assert world.fold.time.floor == T0 + 5 * MINUTE
    assert len([key for key in world.activity if key[1] == T0]) == 0 < rows
    world.post(event("call.update", T0 + 9 * MINUTE, 2, app=1))  # not late: it makes a new call of that guid
    assert (world.record().start_ts, world.record().app) == (None, 1)


def test_an_open_call_holds_its_bins() -> None:
    world = World(Terms(timeout=0, lateness=2 * HOUR))
    world.post(event("call.start", T0, 0), *(other(T0 + n * HOUR, call=n + 2) for n in range(9)))
    world.settle()
    world.settle()
    assert world.fold.time.floor == T0
    world.post(event("call.end", T0 + 9 * HOUR, 1, start_ts=T0))  # speaks of an old bin, but one that its call holds open
    assert (world.refused(), world.record().end_ts) == ([], T0 + 9 * HOUR)


def test_a_call_counts_as_absent_from_the_very_millisecond_dropped_or_not() -> None:
    for late_by, sessions in ((0, 2), (1, 1)):
        world = World()
        world.post(event("call.end", T0, 0), other(T0 + 2 * HOUR + late_by))
        world.post(event("call.start", T0 + HOUR, 0, session="s2"))
        assert len(world.calls[event("", T0, 0)["guid"].encode()].sessions) == sessions


def test_an_event_must_not_reach_into_bins_that_are_closed() -> None:
    world = World()
    world.post(other(T0 + 3 * HOUR), event("call.start", T0 + 3 * HOUR, 0, start_ts=T0 + HOUR))
    assert world.refused() == []  # exactly as late as it may be
    world.post(event("call.start", T0 + 3 * HOUR, 0, start_ts=T0 + 55 * MINUTE - 1, call=2))
    assert world.refused() == ["late"]


def test_what_has_left_stays_late_when_the_setting_grows() -> None:
    time = StreamTime(2 * HOUR, now=T0 + 4 * HOUR, floor=T0 + 2 * HOUR)
    later = StreamTime.unpack(time.pack(), 40 * HOUR)
    assert later.is_late(T0 + 2 * HOUR - 1)
    assert not later.is_late(T0 + 2 * HOUR)
    assert StreamTime.unpack("5 6", 7) == StreamTime(7, 5, 6, 0)


def test_a_call_takes_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.post(event("call.start", T0, 0))
    size = world.calls[event("", T0, 0)["guid"].encode()].size
    assert 0 < size < MAX_CALL_BYTES
    monkeypatch.setattr("agents.calls_fold.MAX_CALL_BYTES", size + 10)
    world.post(event("call.update", T0, 1), event("call.start", T0, 0), event("call.start", T0, 0, call=2))
    assert world.refused() == ["call_too_large"]
    assert world.fold.counts["duplicate"] == 1


def test_missing_events_are_counted_of_ended_sessions_until_they_come() -> None:
    world = World()
    world.post(event("call.start", T0, 1), event("call.end", T0 + 2, 5))
    world.post(event("call.start", T0, 0, call=2), event("call.update", T0, 7, call=2))  # not ended: more may come
    world.settle()
    assert world.fold.roster.missing == 3
    world.post(event("call.update", T0, 3), event("call.end", T0 + 1, 8, call=2))
    world.settle()
    assert world.fold.roster.missing == 2 + 6
    again = World()
    again.fold.resume(iter(world.calls.items()), [], 0)
    assert again.fold.roster.missing == 8
    world.post(other(T0 + 2 * HOUR + 3), other(T0 + 2 * HOUR + 4, call=98))
    for _ in range(3):
        world.settle()
    assert (world.fold.roster.missing, len(world.calls)) == (0, 2)


def test_an_agenda_gives_what_is_due_in_the_order_of_time() -> None:
    agenda = Agenda()
    for at, key in ((5, b"e"), (3, b"c"), (9, b"i")):
        agenda.put(at, key)
    assert list(agenda.take(5)) == [b"c", b"e"]
    assert agenda.next == 9
