"""Raised once, cleared once, after their time, and never in a storm."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.snmp.conditions import MOST_A_MINUTE, Conditions, Finding, Judge, Limits
from sinks.snmp.mib import PAIRS
from sinks.snmp.notices import Notice
from sinks.views.rows import Figures, General, Quarantined, Stage, Tenant


def said(bad: bool | None, kind: str = "lag", subject: str = "calls") -> Finding:
    return Finding(kind, subject, bad, 7, 5, "text")


def run(seconds: Iterable[bool | None], conditions: Conditions, kind: str = "lag") -> list[tuple[int, str, bool]]:
    """One finding a second; second, kind and whether it clears of each notice."""
    notices = []
    for now, bad in enumerate(seconds):
        notices += [(now, n.kind, n.cleared) for n in conditions.judge([said(bad, kind)], now, 1000 + now)]
    return notices


def test_it_is_raised_once_after_its_time_and_cleared_once_after_its_time() -> None:
    conditions = Conditions(raise_after=3, clear_after=5)
    assert run([True] * 20 + [False] * 20, conditions) == [(3, "lag", False), (25, "lag", True)]
    assert conditions.raised == {}


def test_a_break_begins_the_time_anew() -> None:
    assert run([True, True, True, False, True, True, True, True, True], Conditions(raise_after=3)) == [(7, "lag", False)]


def test_what_is_neither_leaves_everything_as_it_is() -> None:
    assert run([True] * 5 + [None] * 100, Conditions(raise_after=3, clear_after=5)) == [(3, "lag", False)]
    assert run([None] * 100, Conditions(raise_after=0)) == []


def test_the_table_shows_what_is_raised_and_since_when() -> None:
    conditions = Conditions(raise_after=0, clear_after=0)
    run([True], conditions)
    (key,), (row,) = conditions.raised, conditions.raised.values()
    assert (key, row.raised_at, row.text) == (("lag", "calls"), 1000, "text")


def test_a_subject_that_is_gone_is_cleared() -> None:
    conditions = Conditions(raise_after=0, clear_after=5)
    conditions.judge([said(True, "usage", "102")], 0, 0)
    notices = [n for now in range(1, 700) for n in conditions.judge([], now, 0)]
    assert [(n.kind, n.subject, n.cleared) for n in notices] == [("usage", "102", True)]


def test_bursts_of_one_tenant_that_come_bin_by_bin_are_one_condition() -> None:
    """Each bin begins with none."""
    an_hour = [second % 300 >= 200 for second in range(3600)]
    assert [cleared for _, _, cleared in run(an_hour + [False] * 900, Conditions(), "burst")] == [False, True]


def test_thousands_at_once_are_told_bit_by_bit_and_none_is_lost() -> None:
    conditions = Conditions(raise_after=0, clear_after=0)
    sent: list[Notice] = []
    for now in range(0, 1200, 5):
        new = conditions.judge([said(True, "usage", str(n)) for n in range(1000)], now, 0)
        assert len(new) <= MOST_A_MINUTE
        sent += new
    assert len(sent) == len({n.subject for n in sent}) == 1000


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([True, False, None])), max_size=200))
def test_raising_and_clearing_take_turns_whatever_is_found(course: list[tuple[str, bool | None]]) -> None:
    conditions = Conditions(raise_after=2, clear_after=3)
    last: dict[str, bool] = {}
    for now, (subject, bad) in enumerate(course):
        for notice in conditions.judge([said(bad, "lag", subject)], now, 0):
            assert last.get(notice.subject, True) != notice.cleared
            last[notice.subject] = notice.cleared
    assert {subject for _, subject in conditions.raised} == {subject for subject, cleared in last.items() if not cleared}


# -- what is found in figures


def bad(figures: Figures, limits: Limits | None = None) -> set[tuple[str, str]]:
    return {(each.kind, each.subject) for each in Judge(limits or Limits()).findings(figures, 0) if each.bad}


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        (Figures(general=General(database="down")), ("database", "database")),
        (Figures(general=General(activemq="down")), ("broker", "activemq")),
        (Figures(general=General(kafka="down")), ("broker", "kafka")),
        (Figures(parts={"agents": "unreachable"}), ("part", "agents")),
        (Figures(stages={("calls",): Stage(lag=10_001)}), ("lag", "calls")),
        (Figures(tenants={(102,): Tenant(in_progress=6, usage_limit=5)}), ("usage", "102")),
        (Figures(tenants={(102,): Tenant(bin_burst_two=1)}), ("usage", "102")),
        (Figures(tenants={(102,): Tenant(hour_quality_calls=20, hour_quality_rate=9_499)}), ("quality", "102")),
    ],
)
def test_what_is_bad(figures: Figures, found: tuple[str, str]) -> None:
    assert bad(figures) == {found}


def test_burst_level_three_is_also_over_the_limit() -> None:
    assert bad(Figures(tenants={(102,): Tenant(bin_burst_three=1)})) == {("usage", "102"), ("burst", "102")}


def test_what_is_fine_and_what_nobody_knows_is_not_bad() -> None:
    fine = Figures(
        general=General(database="up", activemq="up", kafka="unknown"),
        parts={"agents": "notReady", "sinks": "unknown"},
        stages={("calls",): Stage(lag=10_000), ("sinks",): Stage(lag=None)},
        quarantine={("bridge", "not_json"): Quarantined(10_000)},
        tenants={(102,): Tenant(in_progress=5, usage_limit=5, hour_quality_calls=19, hour_quality_rate=0)},
    )
    assert bad(fine) == set()


def test_what_grows_is_bad_until_it_has_not_for_a_minute() -> None:
    judge = Judge(Limits(quarantined=10, timed_out=10))
    grown = {}
    for now in range(200):
        count = 5 if now < 10 else 17
        row = {("bridge", "not_json"): Quarantined(count)}
        figures = Figures(general=General(today_timed_out=count), quarantine=row, counting=frozenset({"bridge"}))
        grown[now] = {each.kind for each in judge.findings(figures, now) if each.bad}
    assert [now for now in grown if grown[now]] == list(range(10, 70))
    assert grown[10] == {"quarantine", "timeouts"}


def test_a_count_that_begins_anew_is_no_growth() -> None:
    judge = Judge(Limits(timed_out=10))
    for now, count in enumerate([500, 500, 0, 3, 3]):
        assert not [each for each in judge.findings(Figures(general=General(today_timed_out=count)), now) if each.bad]
    found = judge.findings(Figures(general=General(today_timed_out=15)), 5)
    assert [(each.kind, each.value) for each in found if each.bad] == [("timeouts", 15)]


def test_the_first_records_that_a_process_sets_aside_are_growth_and_those_of_before_are_not() -> None:
    """A process has no count of a reason before the first; of one that was not heard yet nobody knows what it had."""
    judge, heard = Judge(Limits(quarantined=10)), frozenset({"bridge"})
    rows = {("bridge", "not_json"): Quarantined(11), ("calls", "late"): Quarantined(500)}
    found = []
    for now, (counting, quarantine) in enumerate([(frozenset(), {}), (heard, {}), (heard, rows), (heard | {"calls"}, rows)]):
        made = judge.findings(Figures(counting=counting, quarantine=quarantine), now)  # type: ignore[arg-type]
        found.append([(each.subject, each.value) for each in made if each.kind == "quarantine" and each.bad])
    assert found == [[], [], [("bridge", 11)], [("bridge", 11)]]


def test_what_nobody_knows_of_is_not_over() -> None:
    conditions = Conditions(raise_after=0, clear_after=0)
    conditions.judge([said(True)], 0, 0)
    assert conditions.judge([said(False, "part", "agents")], 100, 0, whole=False) == []
    assert [n.cleared for n in conditions.judge([], 101, 0)] == [True]


def test_every_kind_has_its_two_notifications() -> None:
    figures = Figures(
        parts={"agents": "ready"},
        stages={("calls",): Stage(lag=0)},
        counting=frozenset({"bridge"}),
        tenants={(1,): Tenant()},
    )
    assert {each.kind for each in Judge(Limits()).findings(figures, 0)} == set(PAIRS)
