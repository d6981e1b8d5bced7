"""The pure statement against one counted second by second, straight from the contract."""

from __future__ import annotations

import math
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.billing.adjusting import Change, adjust
from reports.billing.ledger import COUNTED, NO_PROFILE, TOTAL, Figures, Ledger, counts_in, plus
from reports.billing.month import DAY_MS, Month
from reports.billing.sessions import FIGURES, Billed, minutes

HOUR_MS = 3_600_000
# So short that every second of it can be looked at.
START = 1_793_491_200_000
MONTH = Month("2026-11", START, START + 40_000)
NOW = START + 50_000
TENANTS = (1, 102, 110, 103)
PATHS = ((1,), (1, 102), (1, 102, 110), (1, 103))


@st.composite
def sessions(draw: st.DrawFn) -> Billed:
    start = draw(st.none() | st.integers(START - 5_000, START + 55_000) | st.sampled_from([START, START + 40_000, START + 39_999]))
    if draw(st.booleans()):
        length = draw(st.sampled_from([0, 1, 999, 1000, 1001, 20_000, 60_000, 60_001]) | st.integers(0, 60_000))
        end = (start if start is not None else draw(st.integers(START - 1000, START + 41_000))) + length
    else:
        end = None
    return Billed(
        draw(st.sampled_from("ABCD")),
        draw(st.integers(201, 203)),
        draw(st.sampled_from("stu")),
        start,
        end,
        draw(st.sampled_from(PATHS)),
        draw(st.sampled_from([None, 310, 320])),
        None if end is None else draw(st.sampled_from(["USER_END", "REJECTED", "TIMED_OUT"])),
        tuple((tenant, draw(st.integers(0, 3))) for tenant in draw(st.sets(st.sampled_from(TENANTS)))),
    )


def unique(many: Sequence[Billed]) -> list[Billed]:
    return list({session.key: session for session in many}.values())


def by_hand(many: Sequence[Billed], tenant: int, app: object) -> Figures:
    """`app`: TOTAL, or the profile."""
    mine = [s for s in many if tenant in s.path and (app == TOTAL or s.app_id == app)]
    ended = [s for s in mine if s.end_ts is not None and MONTH.start <= s.end_ts < MONTH.end]
    kept = [s for s in ended if s.end_state != "REJECTED"]
    lengths = [s.end_ts - s.start_ts for s in kept if s.start_ts is not None and s.end_ts is not None]
    peak, at = 0, None
    for second in range(MONTH.start // 1000, MONTH.end // 1000):
        n = 0
        for s in mine:
            if s.start_ts is None:
                continue
            first = math.floor(s.start_ts / 1000)
            if s.end_ts is None:
                n += first <= second <= math.floor(NOW / 1000)
            elif s.end_ts == s.start_ts:
                n += first == second
            else:
                n += first <= second <= math.floor((s.end_ts - 1) / 1000)
        if n > peak:
            peak, at = n, second * 1000
    return Figures(
        calls=len({s.guid for s in kept}),
        sessions=len(kept),
        minutes=sum(math.ceil(length / 60_000) for length in lengths),
        burst_1=sum((tenant, 1) in s.burst for s in kept),
        burst_2=sum((tenant, 2) in s.burst for s in kept),
        burst_3=sum((tenant, 3) in s.burst for s in kept),
        rejected=len(ended) - len(kept),
        peak=peak,
        peak_at=at,
    )


def ledger_of(many: Sequence[Billed], tenant: int) -> Ledger:
    ledger = Ledger(tenant, MONTH, "started", NOW)
    for session in many:
        ledger.add(session)
    return ledger


@given(st.lists(sessions(), max_size=12).map(unique), st.sampled_from(TENANTS))
def test_a_statement_is_what_the_contract_says(many: list[Billed], tenant: int) -> None:
    ledger = ledger_of(many, tenant)
    assert ledger.figures(TOTAL) == by_hand(many, tenant, TOTAL)
    for app, name in ((310, "310"), (320, "320"), (None, NO_PROFILE)):
        assert ledger.figures(name) == by_hand(many, tenant, app)
    lines = ledger.lines()
    assert lines[-1].name == TOTAL
    assert sum(line.figures.minutes for line in lines[:-1]) == lines[-1].figures.minutes


@given(st.lists(sessions(), max_size=8).map(unique), st.lists(sessions(), max_size=6), st.sampled_from(TENANTS))
def test_frozen_figures_and_differences_make_the_figures_of_today(closed: list[Billed], later: list[Billed], tenant: int) -> None:
    ledger = ledger_of(closed, tenant)
    frozen = {line.name: line.figures for line in ledger.lines()}
    known = {session.key: session for session in closed}
    changes = []
    for n, session in enumerate(later):
        changes.append(Change(known.get(session.key), session, n))
        known[session.key] = session
    made = [difference for moved in adjust(ledger, changes) for difference in moved]
    for name, app in ((TOTAL, TOTAL), ("310", 310), ("320", 320), (NO_PROFILE, None)):
        moved = [(d.figures, d.peak_at) for d in made if d.line == name]
        assert plus(frozen.get(name, Figures()), moved) == by_hand(list(known.values()), tenant, app)
    assert all(any(d.figures.values()) or d.figures["peak"] == 0 for d in made)


@given(st.lists(sessions(), max_size=10).map(unique), st.sampled_from(TENANTS))
def test_every_figure_leads_to_its_sessions(many: list[Billed], tenant: int) -> None:
    total = ledger_of(many, tenant).figures(TOTAL)
    behind = {f: [s for s in many if counts_in(s, f, tenant, MONTH, total.peak_at, NOW)] for f in FIGURES}
    assert len({s.guid for s in behind["calls"]}) == total.calls
    assert sum(minutes(s, "started") for s in behind["minutes"]) == total.minutes
    for figure in ("sessions", "burst-1", "burst-2", "burst-3", "rejected", "peak"):
        assert len(behind[figure]) == getattr(total, figure.replace("-", "_"))


@pytest.mark.parametrize(
    ("ms", "started", "nearest", "whole"),
    [(0, 0, 0, 0), (1, 1, 0, 0), (29_999, 1, 0, 0), (30_000, 1, 1, 0), (60_000, 1, 1, 1), (60_001, 2, 1, 1)],
)
def test_each_session_is_rounded_by_the_rule(ms: int, started: int, nearest: int, whole: int) -> None:
    session = Billed("A", 1, "s", START, START + ms, (1,), None, "USER_END")
    assert [minutes(session, rule) for rule in ("started", "nearest", "whole")] == [started, nearest, whole]


@pytest.mark.parametrize(
    ("name", "hours"), [("2026-03", 31 * 24 - 1), ("2026-10", 31 * 24 + 1), ("2026-11", 30 * 24), ("2028-02", 29 * 24)]
)
def test_months_of_a_zone_with_summer_time(name: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    month = Month.named(name, zone)
    assert month.end - month.start == hours * HOUR_MS
    assert Month.of(month.start, zone) == Month.of(month.end - 1, zone) == month
    assert Month.of(month.end, zone).start == month.end
    inside = Billed("A", 1, "s", month.start - DAY_MS, month.end - 1, (1,), None, "USER_END")
    outside = Billed("B", 1, "s", month.start - DAY_MS, month.end, (1,), None, "USER_END")
    ledger = Ledger(1, month, "started", month.end)
    ledger.add(inside)
    ledger.add(outside)
    assert ledger.figures(TOTAL) == Figures(calls=1, sessions=1, minutes=(DAY_MS + hours * HOUR_MS) // 60_000, peak=2, peak_at=month.start)


@pytest.mark.parametrize("name", ["2026-13", "2026-00", "2026", "26-10", "2026-1", "0001-01", "9999-12", "2026-10\n", "²026-10"])
def test_what_is_no_month(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says the name
        Month.named(name, ZoneInfo("UTC"))


def test_the_figures_have_names_that_readers_use() -> None:
    assert tuple(name.replace("_", "-") for name in COUNTED) == FIGURES
