"""The judge itself, by cases worked out by hand from the contract, and its peaks by plain counting."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.agents import oracle
from tests.agents.world import MINUTE, T0, event, random_events

BERLIN = ZoneInfo("Europe/Berlin")


def row(events: list[dict[str, Any]], key: str, start: int = T0, granularity: str = "FIVE_MINUTES", **more: Any) -> dict[str, Any]:
    return oracle.bins(events, T0 + 60 * MINUTE, **more)[key, granularity, start]


def session(start: int, end: int | None, n: int = 1, comp: str = "RM", **more: Any) -> list[dict[str, Any]]:
    events = [event("call.start", start, 0, comp=comp, session=f"s{n}", **more)]
    if end is not None:
        events.append(event("call.end", end, 9, comp=comp, session=f"s{n}"))
    return events


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("first_end", "peak", "at"),
    [(T0 + 1999, 1, T0), (T0 + 2000, 1, T0), (T0 + 2001, 2, T0 + 2000)],  # the last second is floor((end - 1) / 1000)
)
def test_a_session_occupies_the_second_of_its_last_instant(first_end: int, peak: int, at: int) -> None:
    found = row(session(T0, first_end) + session(T0 + 2999, T0 + 4000, 2), "RM|component_type|")
    assert (found["peak"], found["peak_at"]) == (peak, at)


def test_the_peak_is_the_first_greatest_second_with_its_split() -> None:
    events = session(T0 + 1000, T0 + 9000, 1, call_type="INBOUND") + session(T0 + 3500, T0 + 4000, 2, call_type="OUTBOUND")
    events += session(T0 + 6000, T0 + 7000, 3, call_type="INBOUND")
    found = row(events, "RM|component_type|")
    assert (found["peak"], found["peak_at"], found["peak_by"]) == (2, T0 + 3000, {"INBOUND": 1, "OUTBOUND": 1})


def test_a_session_of_zero_length_occupies_its_start_second() -> None:
    rows = oracle.bins(session(T0 + 5999, T0 + 5999), T0)
    found = rows["RM|component_type|", "FIVE_MINUTES", T0]
    assert (found["peak"], found["peak_at"], found["in_progress"]) == (1, T0 + 5000, {})
    assert found["durations"] == {"UNKNOWN": [0]}


def test_a_session_that_ends_where_a_bin_begins_completes_there_without_peak() -> None:
    at = T0 + 5 * MINUTE
    before, after = (row(session(at - 1, at), "RM|component_type|", start) for start in (T0, at))
    assert (before["peak"], before["peak_at"], before["in_progress"], before["completed"]) == (1, at - 1000, {"UNKNOWN": 1}, {})
    assert (after["peak"], after["peak_at"], after["in_progress"], after["completed"]) == (0, None, {}, {"UNKNOWN": 1})


def test_a_session_that_passes_through_makes_rows_up_to_now() -> None:
    rows = oracle.bins(session(T0 + 1, None), T0 + 10 * MINUTE, granularities=("FIVE_MINUTES", "THIRTY_MINUTES"))
    found = {(name, start): found for (key, name, start), found in rows.items() if key == "RM|component_type|"}
    half = T0 - T0 % (30 * MINUTE)
    assert found.keys() == {("THIRTY_MINUTES", half), *(("FIVE_MINUTES", T0 + i * 5 * MINUTE) for i in range(3))}
    assert all(found["in_progress"] == {"UNKNOWN": 1} and found["peak"] == 1 for found in found.values())
    assert found["FIVE_MINUTES", T0 + 5 * MINUTE]["peak_at"] == T0 + 5 * MINUTE
    assert found["THIRTY_MINUTES", half]["peak_at"] == T0


def test_an_unknown_start_completes_and_is_in_nothing_else() -> None:
    found = row([event("call.end", T0, 3, end_state="REJECTED", burst=[[1, 2]], tenant_path=[1])], "RM|tenant|1")
    told = {"completed": {"REJECTED": 1}, "results": {"REJECTED": 1}}
    assert {name: figure for name, figure in found.items() if figure} == told


def test_actions_by_seq_wherever_the_end_of_the_call_stands() -> None:
    told: list[tuple[str, dict[str, Any]]] = [
        ("var.action_start", {"action": "b", "parent": "a"}),  # no such parent yet: dropped
        ("var.action_end", {"action": "b", "result": "FAILED"}),  # not open: dropped
        ("var.action_start", {"action": "a"}),
        ("var.action_start", {"action": "a", "parent": "a"}),
        ("call.end", {}),
        ("var.action_end", {"action": "a", "result": "SUCCESS"}),  # closes the second run
        ("var.action_start", {"action": "b", "parent": "a"}),
        ("var.action_end", {"action": "b", "result": "FAILED"}),
        ("var.action_start", {"action": "c", "parent": "c"}),  # nobody is its own parent
        ("var.result", {"result": "SUCCESS"}),
        ("var.result", {"result": "FAILED"}),
        ("sq.failure", {"cause": "OTHER"}),
        ("sq.failure", {"cause": "OTHER"}),
        ("sq.latency", {"samples": [["MRCP", "x", 44.5], ["MRCP", "x", 0.0005], ["MRCP", "x", 0.0004]]}),
    ]
    events = [event(kind, T0, seq, comp="MCP", **more) for seq, (kind, more) in enumerate(told)]
    random.Random(1).shuffle(events)
    found = row(events, "MCP|component_type|")
    assert found["actions"] == {"a|UNKNOWN": 1, "a|SUCCESS": 1, "b|FAILED": 1}
    assert found["last_actions"] == {"b|FAILED": 1}
    assert found["results"] == {"FAILED": 1}
    assert (found["quality"], found["failures"]) == ({"calls": 1, "failed": 1}, {"OTHER": 2})
    assert found["latencies"] == {"MRCP|x": [44_500, 1, 0]}
    others = row([{**e, "comp": "EXT"} for e in events], "EXT|component_type|")
    assert not any(others[name] for name in ("actions", "last_actions", "results", "quality", "failures", "latencies"))


def test_an_end_closes_the_open_run_that_started_last() -> None:
    told = [("start", None), ("start", None), ("end", "SUCCESS"), ("end", "FAILED"), ("end", "UNKNOWN"), ("start", None), ("start", None)]
    told += [("end", "SUCCESS")]
    events = [event(f"var.action_{what}", T0, seq, action="a", result=result) for seq, (what, result) in enumerate(told)]
    assert oracle.runs_of(events) == ["a|FAILED", "a|SUCCESS", "a|UNKNOWN", "a|SUCCESS"]


def test_each_burst_entry_counts_in_the_row_of_its_tenant() -> None:
    events = session(T0, T0 + 1000, tenant_path=[1, 102], app=310, dn="800", burst=[[1, 1], [102, 2], [105, 3]])
    rows = oracle.bins(events, T0, granularities=("FIVE_MINUTES",))
    everyone = {"1:1": 1, "102:2": 1, "105:3": 1}
    assert {key: found["burst"] for (key, _, _), found in rows.items()} == {
        "RM|component_type|": everyone,
        "RM|component|201": everyone,
        "RM|app|310": everyone,
        "RM|dn|800": everyone,
        "RM|tenant|1": {"1:1": 1},
        "RM|tenant|102": {"102:2": 1},
        "RM|tenant-own|102": {"102:2": 1},
        "RM|tenant|105": {"105:3": 1},
    }
    only = rows["RM|tenant|105", "FIVE_MINUTES", T0]
    assert {name for name, figure in only.items() if figure} == {"burst"}
    others = oracle.bins([{**e, "comp": "CCP"} for e in events], T0)
    assert not any(found["burst"] for found in others.values())


def test_days_weeks_and_months_of_a_zone() -> None:
    """Berlin, Sunday 29 March 2026: 23 hours, from 23:00 UTC of the day before to 22:00 UTC."""
    for start, end in [(ms(2026, 3, 28, 23), ms(2026, 3, 29, 21, 59, 59)), (ms(2026, 3, 29, 22), ms(2026, 3, 29, 22, 0, 1))]:
        assert {
            (name, first): found["arrivals"]
            for (key, name, first), found in oracle.bins(session(start, end), end - end % oracle.FIVE, zone=BERLIN).items()
            if key == "RM|component_type|" and name in ("DAY", "WEEK", "MONTH") and found["arrivals"]
        } == {
            ("DAY", start): {"UNKNOWN": 1},
            ("WEEK", ms(2026, 3, 22, 23) if start < ms(2026, 3, 29, 22) else start): {"UNKNOWN": 1},
            ("MONTH", ms(2026, 2, 28, 23)): {"UNKNOWN": 1},
        }


@pytest.mark.parametrize(
    ("zone", "granularity", "at", "start", "end"),
    [
        ("Europe/Berlin", "DAY", (2026, 10, 25, 12), (2026, 10, 24, 22), (2026, 10, 25, 23)),  # 25 hours
        ("Europe/Berlin", "HOUR", (2026, 10, 25, 0, 59), (2026, 10, 25, 0), (2026, 10, 25, 1)),
        ("Asia/Kolkata", "HOUR", (2026, 5, 1, 10, 29), (2026, 5, 1, 9, 30), (2026, 5, 1, 10, 30)),
        ("Australia/Lord_Howe", "HOUR", (2026, 10, 3, 15, 45), (2026, 10, 3, 14, 30), (2026, 10, 3, 16)),  # 02:00 becomes 02:30
        ("Australia/Lord_Howe", "HOUR", (2026, 4, 4, 15, 20), (2026, 4, 4, 14), (2026, 4, 4, 15, 30)),  # 02:00 becomes 01:30
        ("Africa/Cairo", "DAY", (2026, 4, 24, 5), (2026, 4, 23, 22), (2026, 4, 24, 21)),  # begins at 01:00
        ("Pacific/Apia", "DAY", (2011, 12, 30, 9, 59), (2011, 12, 29, 10), (2011, 12, 30, 10)),  # no 30 December
        ("UTC", "WEEK", (2027, 1, 1), (2026, 12, 28), (2027, 1, 4)),
        ("America/St_Johns", "MONTH", (2026, 3, 31), (2026, 3, 1, 3, 30), (2026, 4, 1, 2, 30)),
    ],
)
def test_edges(zone: str, granularity: str, at: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...]) -> None:
    assert oracle.edges(granularity, ZoneInfo(zone), ms(*at), ms(*at)) == [(ms(*start), ms(*end))]


@pytest.mark.parametrize("seed", range(6))
def test_peaks_are_those_of_plain_counting(seed: int) -> None:
    events, now_bin = random_events(random.Random(seed), 8), T0 + 90 * MINUTE
    up_to = now_bin + oracle.FIVE
    seconds: dict[int, Counter[str]] = {}
    for s in oracle.sessions_of(events):
        if s["comp"] == "RM" and s["start"] is not None:
            last = up_to - 1 if s["end"] is None else max(s["start"], s["end"] - 1)
            for second in range(s["start"] // 1000, last // 1000 + 1):
                seconds.setdefault(second, Counter())[s["call_type"]] += 1
    want: dict[int, tuple[int, int, dict[str, int]]] = {}
    for second, by in sorted(seconds.items()):
        start = second * 1000 - second * 1000 % oracle.FIVE
        if by.total() > want.get(start, (0,))[0]:
            want[start] = (by.total(), second * 1000, dict(by))
    rows = oracle.bins(events, now_bin, granularities=("FIVE_MINUTES",))
    found = {start: figures for (key, _, start), figures in rows.items() if key == "RM|component_type|" and figures["peak"]}
    assert {start: (r["peak"], r["peak_at"], r["peak_by"]) for start, r in found.items()} == want


def test_random_sessions_show_every_measure() -> None:
    events = random_events(random.Random(3), 30)
    shown = {name for found in oracle.bins(events, T0 + 90 * MINUTE).values() for name, figure in found.items() if figure}
    assert shown == {*oracle.COUNTS, *oracle.LISTS, "peak", "peak_at", "peak_by"}
    by_session: dict[Any, list[int]] = {}
    for e in events:
        by_session.setdefault((e["guid"], e["comp_id"], e["session"]), []).append(e["seq"])
    for numbers in by_session.values():
        assert sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))
