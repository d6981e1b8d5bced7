"""Summaries of calls: rules C1 to C4, and the fold of a session: F4 to F9."""

from typing import Any

from agents.call import records_of, summary
from agents.calls_fold import CallsFold
from agents.state import Activity, Call
from agents.stream_time import StreamTime
from tests.agents.world import T0, Table, event, record


def call_of(*events: dict[str, Any]) -> Call:
    calls = Table(Call)
    CallsFold(calls, Table(Activity), StreamTime(0)).fold(record(i, e) for i, e in enumerate(events))
    (call,) = calls.values()
    return call


def test_the_rm_session_rules() -> None:
    s = summary(
        records_of(
            call_of(
                event("call.start", T0 + 140, 0, comp="MCP", comp_id=301, session="m", tenant_path=[1, 102], app=310, call_type="INBOUND"),
                event("call.start", T0, 0, tenant_path=[1, 103], tenant_name="Environment/Beta", dn="800"),
                event("var.result", T0 + 500, 1, comp="MCP", comp_id=301, session="m", result="SUCCESS"),
                event("call.end", T0 + 9000, 2, comp="MCP", comp_id=301, session="m", end_state="APPLICATION_END"),
            )
        )
    )
    assert s.in_progress  # the MCP session has ended, the RM session has not
    assert (s.start_ts, s.end_ts) == (T0, None)
    assert (s.tenant_path, s.tenant_name) == ((1, 103), "Environment/Beta")
    assert (s.app, s.dn, s.call_type, s.result) == (310, "800", "INBOUND", "SUCCESS")


def test_a_call_ends_with_the_last_of_its_rm_sessions() -> None:
    s = summary(
        records_of(
            call_of(
                event("call.end", T0 + 10, 0, comp_id=201, session="a", start_ts=T0),
                event("call.end", T0 + 20, 0, comp_id=202, session="b", start_ts=T0 + 5, end_state="USER_END"),
                event("call.end", T0 + 90, 0, comp="MCP", comp_id=301, session="m", start_ts=T0),
            )
        )
    )
    assert (s.in_progress, s.end_ts, s.result) == (False, T0 + 20, "UNKNOWN")


def test_explicit_times_win_over_the_ts_of_start_and_end() -> None:
    (r,) = records_of(
        call_of(
            event("call.start", T0, 0),
            event("call.update", T0 + 5, 1, start_ts=T0 - 50),
            event("call.end", T0 + 100, 2),
            event("call.update", T0 + 101, 3, end_ts=T0 + 80),
        )
    )
    assert (r.start_ts, r.end_ts, r.ended) == (T0 - 50, T0 + 80, True)


def test_end_before_start_is_set_to_the_start() -> None:
    (r,) = records_of(call_of(event("call.end", T0, 1), event("call.start", T0 + 9, 0)))
    assert (r.start_ts, r.end_ts, r.clock_skew) == (T0 + 9, T0 + 9, True)


def test_end_fields_without_an_end_do_nothing() -> None:
    (r,) = records_of(call_of(event("call.update", T0, 0, end_ts=T0, end_state="USER_END")))
    assert (r.ended, r.end_ts, r.end_state, r.start_ts) == (False, None, None, None)


def test_the_component_type_is_that_of_the_highest_seq() -> None:
    (r,) = records_of(call_of(event("call.start", T0, 1, comp="MCP"), event("call.event", T0, 0, comp="CCP", log_id="a", level=4, text="")))
    assert r.comp == "MCP"
