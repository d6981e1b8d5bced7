"""The folds judged on logs with silences, late events and expiry; that these logs hold all of that; and that the judge can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import agents.calls_fold
import agents.lifetime
from agents.state import Session
from tests.agents.scenarios import run, run_all
from tests.agents.teaser import SHIFTS

RUNS = 1000

LEAST = {  # in RUNS scenarios; there are two to five times as many
    "records": 150_000,
    "records of history": 5000,
    "calls dropped": 5000,
    "bins dropped": 5000,
    "event duplicate": 2000,
    "event conflict": 1000,
    "event late": 4000,
    "late by start_ts or end_ts": 1500,
    "out of order": 8000,
    "correction": 5000,
    "rejected": 3000,
    "several RMs": 500,
    "session without start": 2000,
    "session in progress": 400,
    "session timed out": 4000,
    "timed out by an event of its own": 2000,
    "ended behind its time-out": 1500,
    "opened again": 200,
    "past the time-out": 1500,
    "time-out moved": 200,
    "explicit end of a timed-out session": 1000,
    "end state that a time-out overrides": 1000,
    "closing record closed": 2000,
    "closing record ignored": 1500,
    "closing record: in time": 100,
    "closing record: in a silence": 1000,
    "closing record: again": 200,
    "closing record: out of date": 300,
    "closing record: of one that has ended": 300,
    "closing record: of nobody": 300,
    "call that had expired speaks again": 500,
    "clock ahead by a minute": 3000,
    "clock ahead by a time-out": 2500,
    "clock ahead by 12 h": 1500,
    **{f"silence of a time-out {by} ms": 1000 for by in ("-1", "+0", "+1")},
    **{f"lateness {by} ms": 200 for by in ("-1", "+0", "+1")},
    **{f"speaks at its time-out {by} ms": 250 for by in ("-1", "+0", "+1")},
    **{f"stream time at the time-out {by} ms": 50 for by in ("-1", "+0", "+1")},
    **{f"silence until the time-out {by} ms at the end": 15 for by in ("-1", "+0", "+1")},
    **{f"stream time at the expiry {by} ms": 10 for by in ("-1", "+0", "+1")},
    **{f"zone {zone}": 50 for zone, _ in SHIFTS},
}


def test_a_thousand_scenarios_are_judged_alike_and_hold_all_there_is() -> None:
    wrong, contents = run_all(range(RUNS))
    assert wrong == {}
    assert {name: contents[name] for name, least in LEAST.items() if contents[name] < least} == {}


def the_greatest_ts_ends_it(session: Session, timeout: int) -> int:
    return session.latest


def never_again(session: Session, clock: int, timeout: int) -> int | None:
    """A session that has timed out stays so."""
    return session.timed_out if session.timed_out is not None else agents.lifetime.timed_out_at(session, clock, timeout)


def a_millisecond_later(session: Session, clock: int, timeout: int) -> int | None:
    return agents.lifetime.timed_out_at(session, clock - 1, timeout)


def for_ever(call: Any, now: int) -> bool:
    return False


def its_ts_alone(event: Any) -> int:
    """Explicit times reach wherever they like."""
    return int(event.ts)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("last_in_time", the_greatest_ts_ends_it),
        ("timed_out_at", never_again),
        ("timed_out_at", a_millisecond_later),
        ("has_left", for_ever),
        ("reach_of", its_ts_alone),
    ],
)
def test_a_wrong_fold_is_found_out(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Callable[..., Any]) -> None:
    monkeypatch.setattr(agents.calls_fold, name, wrong)
    assert any(run(seed)[1] for seed in range(60))


def test_each_scenario_is_its_seed() -> None:
    first, again = run(7), run(7)
    assert first == again
    assert isinstance(first[2], Counter)
