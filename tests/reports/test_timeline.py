"""The time line of a call: runs of actions, and geometry that stays in the picture."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.messages.types import ActionEnd, ActionStart
from reports.queries.calls import Call, Message, OneCall, Session
from reports.timeline import Run, runs, timeline

GUID = "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"
ENVELOPE: dict[str, Any] = {"v": 1, "comp": "MCP", "comp_id": 301, "session": "S", "guid": GUID}


def session(start: int | None, end: int | None, comp: str = "MCP", comp_id: int = 301) -> Session:
    nothing: dict[str, Any] = dict.fromkeys(Session.__dataclass_fields__)
    known = {"guid": GUID, "comp": comp, "comp_id": comp_id, "session": "S", "start_ts": start, "end_ts": end, "ended": end is not None}
    return Session(**nothing | known)


def one(*events: ActionStart | ActionEnd, parts: tuple[Session, ...], messages: tuple[Message, ...] = ()) -> OneCall:
    first = parts[0]
    call = Call(
        GUID,
        0,
        first.start_ts,
        first.end_ts,
        not first.ended,
        None,
        (),
        None,
        None,
        None,
        None,
        "UNKNOWN",
        None,
        None,
        None,
        None,
        len(parts),
    )
    return OneCall(call, parts, messages, (), {(301, "S"): events})


def start(ts: int, action: str, parent: str | None = None) -> ActionStart:
    return ActionStart(**ENVELOPE, ts=ts, seq=ts, action=action, parent=parent)


def end(ts: int, action: str) -> ActionEnd:
    return ActionEnd(**ENVELOPE, ts=ts, seq=ts, action=action, result="SUCCESS")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([start(1, "a"), end(5, "a")], [Run("a", 1, 5, "SUCCESS")]),
        (
            [start(1, "a"), start(2, "a"), end(5, "a")],
            [Run("a", 1, 9, "UNKNOWN"), Run("a", 2, 5, "SUCCESS")],
        ),  # V1: the one that started last
        ([start(1, "a"), end(5, "b")], [Run("a", 1, 9, "UNKNOWN")]),  # an end without start is dropped
        ([start(1, "a", parent="b"), end(2, "a")], []),  # V3: the parent never started
        (
            [start(1, "b"), end(2, "b"), start(3, "a", parent="b")],
            [Run("b", 1, 2, "SUCCESS"), Run("a", 3, 9, "UNKNOWN")],
        ),  # V3: ended is enough
        ([start(12, "late")], [Run("late", 12, 12, "UNKNOWN")]),  # V2: not before its start
    ],
)
def test_runs_of_actions(events: list[ActionStart | ActionEnd], expected: list[Run]) -> None:
    mcp = session(0, 9)
    assert list(runs(one(*events, parts=(mcp,)), mcp)) == expected


def test_an_action_of_a_running_session_stays_open() -> None:
    mcp = session(0, None)
    assert list(runs(one(start(1, "a"), parts=(mcp,)), mcp)) == [Run("a", 1, None, None)]


def test_lanes_lie_inside_the_picture_and_do_not_overlap() -> None:
    mcp, rm = session(140, 21_600), session(0, 21_650, "RM", 201)
    messages = tuple(Message(301, "S", n, "call.event", 140 + n * 1000, 0, n, "q", "m") for n in range(20))
    overlapping: list[ActionStart | ActionEnd] = [
        start(1000, "a"),
        start(1500, "b"),
        end(3000, "a"),
        end(4000, "b"),
        start(5000, "c"),
        end(6000, "c"),
    ]
    found = timeline(one(*overlapping, parts=(rm, mcp), messages=messages), 99_000)
    assert found is not None
    bars = [bar for lane in found.lanes for bar in (lane.bar, *lane.actions) if bar is not None]
    assert all(0 <= bar.x <= bar.x + bar.width <= 100.001 and bar.y + 16 < found.height for bar in bars)
    assert all(0 <= mark.x <= 100 for lane in found.lanes for mark in lane.marks)
    rows = {bar.text: bar.y for bar in found.lanes[1].actions}
    assert rows["a"] == rows["c"] != rows["b"]
    assert found.ticks[0] == (0.0, "+0 s")
    assert 3 <= len(found.ticks) <= 7


def test_a_call_in_progress_reaches_to_now() -> None:
    rm = session(1000, None, "RM", 201)
    found = timeline(one(parts=(rm,)), 61_000)
    assert found is not None
    assert (found.start, found.end) == (1000, 61_000)
    assert found.lanes[0].bar is not None
    assert (found.lanes[0].bar.x, found.lanes[0].bar.width, found.lanes[0].bar.open) == (0, 100, True)


def test_a_rejected_call_without_length_and_one_without_any_instant() -> None:
    rejected = timeline(one(parts=(session(1000, 1000, "RM", 201),)), 0)
    assert rejected is not None
    assert rejected.end > rejected.start
    assert timeline(one(parts=(session(None, None),)), 5) is None
