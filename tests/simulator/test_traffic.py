"""The made-up traffic is what the contract allows, for any seed."""

from collections import Counter, defaultdict
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.messages.parse import parse
from pipeline.messages.types import BillingEvent, CallEnd, CallStart, Event
from pipeline.simulator import files, live
from pipeline.simulator.traffic import Traffic, scenario
from pipeline.simulator.world import PROFILES, Limits, limits

START = 1_795_000_000_000
decode = msgspec.json.Decoder(BillingEvent).decode

seeds = st.integers(min_value=0, max_value=2**32)
rates = st.sampled_from([0.05, 1.0, 20.0])


def sessions(events: list[Event]) -> dict[tuple[str, int, str], list[Event]]:
    found = defaultdict(list)
    for event in events:
        found[event.guid, event.comp_id, event.session].append(event)
    return found


@settings(max_examples=40, deadline=None)
@given(seeds, rates)
def test_every_event_is_valid_and_comes_in_time(seed: int, rate: float) -> None:
    events = scenario(rate, seed, START, 40)
    assert [decode(msgspec.json.encode(event)) for event in events] == events
    accepted = parse(msgspec.json.encode(events[:1000]), receipt=START)
    assert (len(accepted.good), accepted.bad) == (min(len(events), 1000), [])
    assert all(earlier.ts <= later.ts for earlier, later in pairwise(events))


@settings(max_examples=40, deadline=None)
@given(seeds, rates)
def test_every_session_counts_from_zero_starts_first_and_ends_last(seed: int, rate: float) -> None:
    for session in sessions(scenario(rate, seed, START, 40)).values():
        assert [event.seq for event in session] == list(range(len(session)))
        assert [isinstance(event, CallStart) for event in session] == [True] + [False] * (len(session) - 1)
        assert [isinstance(event, CallEnd) for event in session] == [False] * (len(session) - 1) + [True]


@settings(max_examples=40, deadline=None)
@given(seeds, rates)
def test_usage_is_the_number_of_calls_in_progress(seed: int, rate: float) -> None:
    """Counted again from the events alone."""
    in_progress: Counter[int] = Counter()
    path_of: dict[str, tuple[int, ...]] = {}
    for event in scenario(rate, seed, START, 60):
        if event.comp != "RM":
            continue
        if isinstance(event, CallStart) and event.usage is not None:
            in_progress.update(event.tenant_path)
            path_of[event.guid] = event.tenant_path
            assert event.usage == tuple((tenant, in_progress[tenant]) for tenant in event.tenant_path)
            assert event.burst == tuple((tenant, limits(rate)[tenant].level(in_progress[tenant])) for tenant in event.tenant_path)
            assert all(in_progress[tenant] <= limits(rate)[tenant].burst3 for tenant in event.tenant_path)
        elif isinstance(event, CallEnd) and event.guid in path_of:
            in_progress.subtract(path_of[event.guid])
    assert not +in_progress


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(min_value=0, max_value=120_000))
def test_calls_in_progress_can_be_ended_at_any_moment(seed: int, after_ms: int) -> None:
    traffic = Traffic(2, seed, START)
    events = traffic.until(START + after_ms)
    ended = traffic.end_open(START + after_ms, "stopped")
    for session in sessions(events + ended).values():
        assert [event.seq for event in session] == list(range(len(session)))
        assert isinstance(session[-1], CallEnd)
        assert [event.ts for event in session] == sorted(event.ts for event in session)
    assert traffic.open_calls == 0
    assert all(isinstance(event, CallEnd) and event.ts == START + after_ms for event in ended)


def test_actions_name_parents_that_were_started() -> None:
    parents = 0
    for session in sessions(scenario(2, 5, START, 300)).values():
        started = set()
        for event in session:
            if event.__struct_config__.tag == "var.action_start":
                assert event.parent is None or event.parent in started
                parents += event.parent is not None
                started.add(event.action)
    assert parents > 100


def test_the_same_seed_and_start_give_the_same_and_others_other_guids() -> None:
    once = scenario(2, 1, START, 50)
    assert scenario(2, 1, START, 50) == once
    assert not {event.guid for event in once} & {event.guid for event in scenario(2, 1, START + 1, 50)}
    assert not {event.guid for event in once} & {event.guid for event in scenario(2, 2, START, 50)}


def test_until_in_steps_is_the_same_as_at_once() -> None:
    stepwise, at_once = Traffic(5, 3, START), Traffic(5, 3, START)
    events = [event for step in range(60) for event in stepwise.until(START + step * 1000)]
    assert events == at_once.until(START + 59_000)
    assert stepwise.next_at == at_once.next_at


def test_the_traffic_has_everything_reports_show() -> None:
    events = Traffic(5, 11, START).until(START + 1_200_000)
    calls = {event.guid for event in events}
    assert len(calls) == pytest.approx(6000, rel=0.06)
    assert {event.__struct_config__.tag for event in events} == {
        "call.start", "call.end", "call.event",
        "var.action_start", "var.action_end", "var.result", "var.custom", "sq.latency", "sq.failure",
    }  # fmt: skip
    starts = [event for event in events if isinstance(event, CallStart)]
    assert {event.call_type for event in starts} == {"INBOUND", "OUTBOUND", "BRIDGED", "NEWCALL", "CREATECCXML"}
    assert {event.comp for event in starts} == {"RM", "MCP", "CCP"}
    assert {event.app for event in starts if event.app} == {profile.app for profile in PROFILES}
    assert {level for event in starts for _, level in event.burst or ()} == {1, 2, 3}
    ends = Counter(event.end_state for event in events if isinstance(event, CallEnd) and event.comp == "RM")
    assert set(ends) == {"APPLICATION_END", "USER_END", "SYSTEM_ERROR", "REJECTED"}
    assert 0.002 < ends["REJECTED"] / ends.total() < 0.06
    assert any(event.mos is not None for event in events if isinstance(event, CallEnd))


def test_burst_levels_are_those_of_the_vendor() -> None:
    level = Limits(usage=10, burst2=12, burst3=15).level
    assert [level(n) for n in (1, 10, 11, 12, 13, 15)] == [1, 1, 2, 2, 3, 3]


def test_a_message_holds_events_of_one_component_in_order() -> None:
    events = scenario(20, 1, START, 100)
    bodies = [body for _, body in live.messages(events)]
    decoded = [decoding if isinstance(decoding, list) else [decoding] for decoding in map(msgspec.json.decode, bodies)]
    assert sum(map(len, decoded)) == len(events)
    assert max(map(len, decoded)) == live.BATCH
    assert all(len({event["comp_id"] for event in batch}) == 1 for batch in decoded)
    for session in sessions([decode(msgspec.json.encode(event)) for batch in decoded for event in batch]).values():
        assert [event.seq for event in session] == list(range(len(session)))


def test_a_shuffled_and_doubled_scenario_has_the_same_events_twice() -> None:
    events = scenario(2, 1, START, 20)
    in_order = files.lines(events, 1)
    shuffled = files.lines(events, 1, shuffle=True, double=True)
    assert Counter(shuffled) == dict.fromkeys(in_order, 2)
    assert shuffled != in_order * 2
    assert files.lines(events, 1, shuffle=True, double=True) == shuffled
