"""A call explained from records made by hand, and the figures told against those that the fold really moved."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from agents.calls_fold import CallsFold
from agents.explain import Changed, Counted, Explainer, Step
from agents.figures import EDGES, count, observe, opened, shift
from agents.lifetime import Terms
from agents.state import Activity, Call, Figures
from agents.stream_time import StreamTime
from tests.agents.world import MINUTE, T0, Record, Table, activity_rows, event, random_events, record

GUID = event("call.start", T0, 0)["guid"].encode()
ACME: dict[str, Any] = {"tenant_path": [1, 102], "call_type": "INBOUND"}
START = event("call.start", T0 + 1500, 0, **ACME)
END = event("call.end", T0 + 6 * MINUTE, 1, end_state="USER_END")


def explained(*events: dict[str, Any], lateness_ms: int = 0) -> tuple[Explainer, list[Step]]:
    explainer = Explainer(GUID, Terms(lateness=lateness_ms))
    steps = [explainer.take(record(i, e)) for i, e in enumerate(events)]
    return explainer, [step for step in steps if step is not None]


def fields(step: Step) -> dict[str, tuple[object, object]]:
    return {changed.field: (changed.old, changed.new) for changed in step.changed}


def told(moved: Iterable[Counted]) -> set[tuple[int, str, str, int]]:
    return {((c.start - T0) // MINUTE, c.measure, c.label, c.n) for c in moved}


def test_a_start_says_where_it_came_from_and_what_it_began() -> None:
    _, (step,) = explained(START)
    assert (step.offset, step.receipt, step.queue, step.message_id) == (0, T0 + 1500, "rs.billing", "ID:0")
    assert (step.comp, step.comp_id, step.session, step.seq, step.kind, step.outcome) == ("RM", 201, "s1", 0, "call.start", "added")
    assert fields(step) == {
        "comp": (None, "RM"), "start_ts": (None, T0 + 1500), "tenant_path": (None, (1, 102)), "call_type": ("UNKNOWN", "INBOUND")
    }  # fmt: skip
    assert told(step.moved) == {(0, "arrivals", "INBOUND", 1), (0, "occupancy", "INBOUND", 1)}
    rows = ("RM|component_type|", "RM|component|201", "RM|tenant|1", "RM|tenant|102", "RM|tenant-own|102")
    assert {c.dimensions for c in step.moved} == {rows}
    assert [c.at for c in step.moved] == [None, T0 + 1000]


def test_an_end_moves_only_what_is_new() -> None:
    _, (_, step) = explained(START, END)
    assert fields(step) == {"end_ts": (None, T0 + 6 * MINUTE), "ended": (False, True), "end_state": (None, "USER_END")}
    assert told(step.moved) == {
        (5, "completed", "USER_END", 1), (5, "departures", "INBOUND", 1), (5, "durations", "USER_END", 1), (5, "occupancy", "INBOUND", -1)
    }  # fmt: skip
    assert [c.values for c in step.moved if c.measure == "durations"] == [(6 * MINUTE - 1500,)]


def test_an_end_before_its_start_counts_no_duration_until_the_start_is_there() -> None:
    _, (end, start) = explained(END, START)
    assert told(end.moved) == {(5, "completed", "USER_END", 1)}
    assert {measure for _, measure, _, _ in told(start.moved)} == {"arrivals", "occupancy", "departures", "durations", "completed"}
    completed = [c.dimensions for c in start.moved if c.measure == "completed"]
    assert completed == [("RM|tenant|1", "RM|tenant|102", "RM|tenant-own|102")]  # in the others it is already


def test_a_duplicate_changes_nothing_and_names_the_first() -> None:
    explainer, (_, _, step) = explained(START, END, START)
    assert (step.outcome, step.first, step.changed, step.moved, step.detail) == ("duplicate", 0, (), (), "")
    assert [(s.messages, s.duplicates, s.conflicts) for s in explainer.sessions()] == [(2, 1, 0)]


def test_a_conflict_changes_nothing_and_names_the_one_that_stays() -> None:
    explainer, (_, _, step) = explained(START, END, {**END, "end_state": "REJECTED"})
    assert (step.outcome, step.first, step.changed, step.moved) == ("conflict", 1, (), ())
    assert "seq 1" in step.detail
    assert explainer.sessions()[0].record.end_state == "USER_END"


def test_a_corrected_tenant_moves_counts_and_leaves_the_rows_of_both_alone() -> None:
    explainer, (_, step) = explained(START, event("call.update", T0 + 2000, 1, tenant_path=[1, 105]))
    assert step.changed == (Changed("tenant_path", (1, 102), (1, 105)),)
    assert {(c.measure, c.n, c.dimensions) for c in step.moved} == {
        ("arrivals", 1, ("RM|tenant|105", "RM|tenant-own|105")),
        ("arrivals", -1, ("RM|tenant|102", "RM|tenant-own|102")),
        ("occupancy", 1, ("RM|tenant|105", "RM|tenant-own|105")),
        ("occupancy", -1, ("RM|tenant|102", "RM|tenant-own|102")),
    }
    (session,) = explainer.sessions()
    assert all("RM|tenant|105" in c.dimensions and "RM|tenant|102" not in c.dimensions for c in session.counts)


def test_a_dialog_counts_at_its_end() -> None:
    mcp: dict[str, Any] = {"comp": "MCP", "comp_id": 301, "session": "m1"}
    explainer, steps = explained(
        event("call.start", T0, 0, **mcp),
        event("var.action_start", T0 + 10, 1, action="menu", **mcp),
        event("var.action_end", T0 + 20, 2, action="menu", result="SUCCESS", **mcp),
        event("call.event", T0 + 30, 3, log_id="x", level="METRIC", text="x", **mcp),
        event("call.end", T0 + 40, 4, **mcp),
        event("var.result", T0 + 35, 5, result="SUCCESS", **mcp),
    )
    assert [bool(step.moved) for step in steps] == [True, False, False, False, True, True]
    (old, new) = fields(steps[2])["actions"]
    assert ([run.result for run in old.runs], [run.result for run in new.runs]) == ([None], ["SUCCESS"])  # type: ignore[attr-defined]
    assert steps[3].changed == ()
    assert (0, "actions", "menu|SUCCESS", 1) in told(steps[4].moved)
    assert told(steps[5].moved) == {(0, "results", "UNKNOWN", -1), (0, "results", "SUCCESS", 1)}
    summary = explainer.summary()
    assert summary is not None
    assert (summary.result, summary.end_state, summary.in_progress) == ("SUCCESS", "UNKNOWN", False)


def test_late_is_judged_by_the_other_calls_of_the_partition() -> None:
    other = event("call.start", T0 + 60 * MINUTE, 0, call=2)
    explainer, (step,) = explained(other, START, lateness_ms=30 * MINUTE)
    assert (step.outcome, step.first, step.changed, step.moved) == ("late", None, (), ())
    assert step.detail.startswith("3598 s behind")
    assert (explainer.summary(), explainer.sessions()) == (None, [])
    _, (step,) = explained(other, START)
    assert step.outcome == "added"


def test_what_a_rebuild_has_folded_is_not_late() -> None:
    other = event("call.start", T0 + 60 * MINUTE, 0, call=2)
    for history_to, outcome in ((1, "late"), (2, "added")):
        explainer = Explainer(GUID, Terms(lateness=30 * MINUTE), history_to)
        steps = [explainer.take(record(i, e)) for i, e in enumerate((other, START))]
        assert [step.outcome for step in steps if step is not None] == [outcome]
        assert (explainer.summary() is None) == (outcome == "late")


def test_a_clock_that_is_ahead_makes_nothing_late() -> None:
    explainer = Explainer(GUID, Terms(lateness=30 * MINUTE))
    assert explainer.take(record(0, event("call.start", T0 + 60 * MINUTE, 0, call=2), receipt=T0)) is None
    step = explainer.take(record(1, START))
    assert step is not None
    assert step.outcome == "added"


def test_a_time_out_and_what_came_after_it() -> None:
    since = T0 + 1500
    closing = {"kind": "call.timeout", "guid": GUID.decode(), "comp_id": 201, "session": "s1", "ts": since}
    late_end = event("call.end", T0 + 7 * 60 * MINUTE, 1, end_state="USER_END")
    explainer, steps = explained(START, closing, event("call.update", T0 + 6 * 60 * MINUTE + 1500, 2), closing, late_end, closing)
    assert [step.outcome for step in steps] == ["added", "timed_out", "added", "gone_on", "added", "gone_on"]
    assert [step.seq for step in steps] == [0, None, 2, None, 1, None]
    assert fields(steps[1])["end_state"] == (None, "TIMED_OUT")
    assert fields(steps[1])["end_ts"] == (None, since)
    assert not steps[2].changed  # it came past the time-out, so it does not open the session again
    assert fields(steps[4])["end_state"] == ("TIMED_OUT", "USER_END")
    (session,) = explainer.sessions()
    assert (session.messages, session.duplicates, session.conflicts) == (3, 0, 0)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_told_is_what_the_fold_moves(seed: int) -> None:
    """Steps summed up, and where the call counts in the end, both give the activity rows of the call."""
    rnd = random.Random(seed)
    events = random_events(rnd, 1)
    events += [*rnd.sample(events, len(events) // 3), {**rnd.choice(events), "ts": T0 + 1}]
    rnd.shuffle(events)
    calls, activity = Table(Call), Table(Activity)
    records: list[Record] = [record(i, e) for i, e in enumerate(events)]
    CallsFold(calls, activity, StreamTime(0)).fold(records)
    explainer = Explainer(GUID, Terms())
    moved = [counted for r in records if (step := explainer.take(r)) for counted in step.moved]
    want = activity_rows(activity)
    assert activity_rows(_rows(moved)) == want
    assert activity_rows(_rows(counted for session in explainer.sessions() for counted in session.counts)) == want


def _rows(moved: Iterable[Counted]) -> Table:
    rows: defaultdict[tuple[bytes, int], Figures] = defaultdict(Figures)
    for counted in moved:
        for dimension in counted.dimensions:
            _change(rows[dimension.encode(), counted.start], counted)
    table = Table(Activity)
    table.update({key: Activity(figures) for key, figures in rows.items()})
    return table


def _change(figures: Figures, counted: Counted) -> None:
    sign = 1 if counted.n > 0 else -1
    if counted.at is not None:
        changes = opened(figures, "changes" if counted.measure == "occupancy" else "opens")
        shift(changes, (counted.at - counted.start) // 1000, counted.label, counted.n)
    elif counted.values:
        observe(opened(figures, counted.measure), counted.label, counted.values, sign, EDGES[counted.measure])
    else:
        count(opened(figures, counted.measure), counted.label, counted.n)
