"""The judge of a log itself, by cases worked out by hand from the contract, and against the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.agents import oracle
from tests.agents.log_oracle import Closing, Entry, Judge, Limits, Posted, Session, closed_form, judge
from tests.agents.teaser import TIMEOUT, scenario
from tests.agents.world import MINUTE, T0, event

LATENESS, KEEP = 20 * MINUTE, 60 * MINUTE
LIMITS = Limits(TIMEOUT, LATENESS, KEEP)
SEQ = iter(range(1_000_000))


def say(kind: str, ts: int, receipt: int | None = None, **more: Any) -> Posted:
    """An event of its own name. Times in ms after T0."""
    for name in ("start_ts", "end_ts"):
        if name in more:
            more[name] += T0
    seq = more.pop("seq", None)
    return Posted(event(kind, T0 + ts, next(SEQ) if seq is None else seq, **more), T0 + (ts if receipt is None else receipt))


def passes(ts: int) -> Posted:
    """Another call takes the stream time there."""
    return say("call.end", ts, call=99, session=f"x{ts}")


def close(ts: int, session: str = "s1") -> Closing:
    return Closing(say("call.end", 0).event["guid"], 201, session, T0 + ts)


def of(log: Sequence[Entry], idle: int = 0, limits: Limits = LIMITS) -> tuple[int | None, str | None]:
    """End (ms after T0) and end state of the session s1 of call 1, the last one if there were several calls of that guid."""
    found = [s.folded() for guid, (_, name), s in judge(log, limits, idle).sessions() if guid.startswith("00000001") and name == "s1"]
    end = found[-1]["end"]
    return (None, None) if end is None else (end - T0, found[-1]["state"])


def outcomes(log: Sequence[Entry], limits: Limits = LIMITS) -> list[str]:
    return judge(log, limits).outcomes


@pytest.mark.parametrize(("idle", "want"), [(-1, (None, None)), (0, (5, "TIMED_OUT")), (1, (5, "TIMED_OUT"))])
def test_a_silent_session_ends_at_its_last_event_when_time_is_there(idle: int, want: Any) -> None:
    log: list[Entry] = [say("call.start", 0), say("call.event", 5, log_id="", level=1, text="")]
    assert of(log, TIMEOUT + idle) == want
    assert of([*log, passes(5 + TIMEOUT + idle), close(5)][: 4 if idle >= 0 else 3]) == want


def test_stream_time_is_the_lesser_of_ts_and_receipt() -> None:
    ahead = [say("call.start", 0), say("call.end", 5 * TIMEOUT, receipt=TIMEOUT - 1, call=2)]
    assert of(ahead) == of([*ahead, say("call.end", TIMEOUT - 1, call=3)]) == (None, None)
    assert of([*ahead, say("call.end", TIMEOUT, call=3)]) == (0, "TIMED_OUT")


@pytest.mark.parametrize(("behind", "want"), [(-1, (None, None)), (0, (7, "TIMED_OUT")), (1, (7, "TIMED_OUT"))])
def test_an_event_past_the_time_out_does_not_open_it_again(behind: int, want: Any) -> None:
    assert of([say("call.start", 7), say("call.update", 7 + TIMEOUT + behind)]) == want


def test_a_late_event_in_time_opens_it_again_and_an_end_always_ends_it() -> None:
    log: list[Entry] = [say("call.start", 0), passes(TIMEOUT), close(0)]
    assert of(log) == (0, "TIMED_OUT")
    assert of([*log, say("call.update", 1)]) == (None, None)
    assert of([*log, say("call.update", 1)], 1) == (1, "TIMED_OUT")
    assert of([*log, say("call.end", 3 * TIMEOUT, end_state="USER_END")]) == (3 * TIMEOUT, "USER_END")


def test_events_count_as_if_they_had_come_in_time() -> None:
    """The one in the middle bridges a silence, one before the beginning makes one."""
    ends = [say("call.start", 0), say("call.update", 2 * TIMEOUT - 2)]
    assert of(ends) == (0, "TIMED_OUT")
    assert of([*ends, say("call.update", TIMEOUT - 1)]) == (None, None)
    assert of([say("call.update", TIMEOUT), say("call.update", 0)]) == (0, "TIMED_OUT")
    assert of([say("call.update", TIMEOUT), say("call.update", 1)]) == (None, None)
    assert of([say("call.start", TIMEOUT), say("call.update", 0)]) == (TIMEOUT, "TIMED_OUT")  # an end is not before the start


def test_explicit_end_and_state() -> None:
    """F5, F8: an explicit end counts at a time-out, a state never does, an end before the start becomes the start."""
    start = say("call.start", 1000)
    assert of([start, say("call.update", 2000, end_ts=1500, end_state="USER_END")]) == (None, None)
    assert of([start, say("call.update", 2000, end_ts=1500, end_state="USER_END")], TIMEOUT) == (1500, "TIMED_OUT")
    assert of([start, say("call.update", 2000, end_ts=500)], TIMEOUT) == (1000, "TIMED_OUT")
    assert of([start, say("call.update", 2000, start_ts=5000)], TIMEOUT) == (5000, "TIMED_OUT")


def test_an_unknown_start_times_out_like_the_others() -> None:
    assert of([say("var.result", 0, result="SUCCESS")], TIMEOUT) == (0, "TIMED_OUT")


def test_closing_records() -> None:
    """X3, F10: out of date they are ignored, and they are no events: they move no time and make no duplicate or conflict."""
    start, more = say("call.start", 0), say("call.update", 9)
    assert of([start, close(0)]) == (0, "TIMED_OUT")  # of an idle partition: stream time is not there
    assert of([start, more, close(0)]) == (None, None)
    assert of([start, close(0), more]) == (None, None)
    assert of([start, close(0), say("call.update", -9)]) == (0, "TIMED_OUT")  # would have been closed just so
    assert of([start, say("call.end", 5, end_state="USER_END"), close(5)]) == (5, "USER_END")
    found = judge([start, close(0), close(0), close(0, "s2"), start], LIMITS)
    assert found.outcomes == ["added", "closed", "closed", "ignored", "duplicate"]
    assert (found.stream, [s.conflicts for _, _, s in found.sessions()]) == (T0, [0])


def test_a_closing_record_names_the_last_instant_in_time() -> None:
    """An event of a clock that is ahead lies past the time-out before the time-out is there."""
    log: list[Entry] = [say("call.start", 0), say("call.update", 2 * TIMEOUT, receipt=1)]
    assert of(log) == of([*log, close(2 * TIMEOUT)]) == (None, None)
    assert of([*log, close(0)]) == of(log, TIMEOUT - 1) == (0, "TIMED_OUT")


def test_an_end_comes_before_a_time_out() -> None:
    events = [e for e, _ in (say("call.start", 0), say("call.end", 9, end_state="USER_END"))]
    found = oracle.session_of(events, timed_out=T0)
    assert (found["end"], found["state"]) == (T0 + 9, "USER_END")


@pytest.mark.parametrize(("by", "want"), [(-1, "late"), (0, "added"), (1, "added")])
def test_late_is_more_than_lateness_behind_stream_time(by: int, want: str) -> None:
    now = LATENESS + 4 * MINUTE
    assert outcomes([passes(now), say("call.end", now - LATENESS + by)])[-1] == want
    assert outcomes([passes(now), say("call.end", now - LATENESS + by)], Limits(TIMEOUT))[-1] == "added"


def test_lateness_comes_before_repetition_and_conflict() -> None:
    start = say("call.start", 0, seq=1)
    found = outcomes([start, start, say("call.start", 0, seq=1, app=1), passes(LATENESS + 1), start, say("call.start", 0, seq=1, app=1)])
    assert found == ["added", "duplicate", "conflict", "added", "late", "late"]


@pytest.mark.parametrize(
    ("now", "at", "want"),
    [
        (5 * MINUTE, 5 * MINUTE - 1, "late"),  # the bin ends where the open time begins
        (5 * MINUTE - 1, 5 * MINUTE - 1, "added"),  # its last instant is open
        (5 * MINUTE - 1, 0, "added"),
        (5 * MINUTE, 5 * MINUTE, "added"),
        (5 * MINUTE, -24 * 60 * MINUTE, "late"),
    ],
)
@pytest.mark.parametrize("name", ["start_ts", "end_ts"])
def test_explicit_times_do_not_reach_into_closed_bins(now: int, at: int, want: str, name: str) -> None:
    now += LATENESS
    assert outcomes([passes(now), say("call.end", now, **{name: at})])[-1] == want
    assert (
        outcomes([passes(now), say("call.event", now, log_id="", level=1, text="", **{name: at})])[-1] == "added"
    )  # there it says nothing


def test_a_call_that_speaks_of_a_bin_holds_it_open() -> None:
    now = LATENESS + 30 * MINUTE
    early: list[Entry] = [say("call.start", 6 * MINUTE, session="s2", comp_id=301), passes(now)]
    assert outcomes([*early, say("call.end", now, end_ts=5 * MINUTE)])[-1] == "added"
    assert outcomes([*early, say("call.end", now, end_ts=9 * MINUTE)])[-1] == "added"
    assert outcomes([*early, say("call.end", now, end_ts=16 * MINUTE)])[-1] == "added"
    assert outcomes([*early, say("call.end", now, end_ts=5 * MINUTE - 1)])[-1] == "late"
    assert outcomes([*early, say("call.end", now, call=2, end_ts=9 * MINUTE)])[-1] == "late"


@pytest.mark.parametrize(("by", "calls"), [(0, 1), (1, 2)])
def test_a_call_is_absent_when_it_is_older_than_lateness(by: int, calls: int) -> None:
    log: list[Entry] = [say("call.start", 0), say("call.end", 9), passes(9 + LATENESS + by), say("call.update", 9 + LATENESS + by)]
    assert len([guid for guid, _, _ in judge(log, LIMITS).sessions() if guid.startswith("00000001")]) == calls
    open_still = [say("call.start", 0, session="s2"), *log]
    assert len({id(s) for guid, _, s in judge(open_still, LIMITS).sessions() if guid.startswith("00000001")}) == 2


@pytest.mark.parametrize(("by", "calls"), [(0, 1), (1, 2)])
def test_a_call_with_a_time_out_waits_longer_for_its_end(by: int, calls: int) -> None:
    log: list[Entry] = [say("call.start", 0), passes(TIMEOUT), close(0), passes(KEEP + by), say("call.end", KEEP + by)]
    assert len([guid for guid, _, _ in judge(log, LIMITS).sessions() if guid.startswith("00000001")]) == calls


def test_no_call_leaves_before_lateness_has_passed() -> None:
    log: list[Entry] = [say("call.start", 0), close(0), passes(LATENESS), say("call.update", 1, session="s2")]
    assert judge(log, Limits(TIMEOUT, LATENESS, 5 * MINUTE)).gone == []


def test_in_history_nothing_is_refused_and_time_outs_come_at_once() -> None:
    log: list[Entry] = [say("call.start", 0), passes(LATENESS + KEEP), say("call.end", 1, call=2), say("call.update", 1)]
    assert [closed_after(log[:n], history_to=4) for n in (1, 2, 3, 4)] == [None, T0, T0, T0 + 1]
    assert [closed_after(log[:n]) for n in (1, 2, 3, 4)] == [None, None, None, None]
    assert judge(log, LIMITS, history_to=4).outcomes == ["added"] * 4
    assert outcomes(log) == ["added", "added", "late", "late"]


def closed_after(log: Sequence[Entry], history_to: int = 0) -> int | None:
    """When the session of the first record is closed, no time having passed since the last one."""
    found = Judge(LIMITS, history_to)
    for entry in log:
        found.take(entry)
    return next(s.closed for guid, _, s in found.sessions() if guid == log[0].event["guid"])  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(150))
def test_the_closed_form_differs_by_closing_records_of_idle_time_alone(seed: int) -> None:
    """The state after the last record is that of the final events at the final time, but for sessions closed by a clock that had gone
    on while no record came: later records of slow senders do not bring stream time there."""
    case = scenario(seed)
    for log, idle in zip(case.logs, case.idle, strict=True):
        found = judge(log, case.limits, idle)
        clock = found.stream + idle
        for guid, key, s in found.sessions():
            want = closed_form(list(s.events.values()), clock, TIMEOUT)
            if s.closed != want:
                assert want is None
                assert s.closed is not None
                assert s.closed + TIMEOUT > clock
                assert Closing(guid, *key, s.closed) in log


@pytest.mark.parametrize("seed", range(40))
def test_where_nothing_is_refused_or_left_no_order_matters(seed: int) -> None:
    """Without lateness and closing records sessions are the same however their distinct events came."""
    case = scenario(seed)
    log = [entry for entry in case.logs[0] if isinstance(entry, Posted)]
    distinct = list({_name(posted): posted for posted in log[::-1]}.values())[::-1]  # the first of each name
    limits = Limits(TIMEOUT)
    assert _state(judge(distinct, limits, 99)) == _state(judge(distinct[::-1], limits, 99)) == _state(judge(log, limits, 99))


def _name(posted: Posted) -> Any:
    e = posted.event
    return e["guid"], e["comp_id"], e["session"], e["seq"]


def _state(found: Judge) -> dict[Any, Any]:
    return {(guid, key): (s.events, s.closed) for guid, key, s in found.sessions()}


def test_last_in_time() -> None:
    for times, want in [([5], 5), ([0, 9, 18], 18), ([0, 10], 0), ([19, 0, 9], 9), ([0, 9, 19, 20], 9)]:
        assert Session({i: {"kind": "call.update", "ts": ts} for i, ts in enumerate(times)}).last_in_time(10) == want
