"""Closing a month and adjusting it, through a store."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from agents.contributions import Occupancy, contribution
from agents.session import SessionRecord
from reports.billing.month import DAY_MS, Month
from reports.billing.rows import ENDED, IN_PROGRESS, PASSED
from sinks.sql.errors import Transient
from sinks.sql.retention import Purge, counted
from sinks.statements import NotClosable
from tests.billing.conftest import MINUTE_MS, MONTH, NOW, ZONE, Store, Stored, some
from tests.sinks.retention_contract import keep

HOUR = 60 * MINUTE_MS


def test_a_closed_month_holds_the_figures_of_every_tenant_and_profile(store: Store) -> None:
    store.put(*some())
    told = store.close()
    assert (told.month, told.sessions, told.tenants, told.already) == (MONTH, 8, 4, False)
    ten = 10 * 3600
    # calls, sessions, minutes, burst 1 to 3, rejected, peak, its time
    assert store.lines(1) == {
        "310": (2, 2, 2 + 61, 0, 0, 0, 1, 2, ten + 6),
        "320": (1, 1, 1, 0, 0, 0, 0, 1, ten + 5),
        "none": (2, 2, 0, 0, 0, 0, 0, 1, 11 * 3600),
        "total": (5, 5, 2 + 61 + 1, 0, 0, 0, 1, 3, ten + 6),
    }
    assert store.lines(102)["total"] == (4, 4, 64, 1, 1, 0, 1, 3, ten + 6)
    assert store.lines(110) == dict.fromkeys(("320", "total"), (1, 1, 1, 0, 0, 1, 0, 1, ten + 5))
    assert store.lines(103)["none"] == (1, 1, 0, 0, 0, 0, 0, 1, 11 * 3600)
    (month,) = store.everything()["billing_months"]
    assert month[3:6] == ("Europe/Berlin", "started", "closed")
    assert month[8:10] == ("ann", None)
    assert month[12:] == ("log-1", "rs.billing", 1)


def test_closing_again_changes_nothing(store: Store) -> None:
    store.put(*some())
    store.close()
    before = store.everything()
    store.put(Stored(20, HOUR, 2 * HOUR))
    assert store.close().already
    assert store.everything() == before


@pytest.mark.parametrize("steps", [0, 3, 744, 745, 747])
def test_a_closing_that_was_stopped_goes_on_and_counts_nothing_twice(store: Store, steps: int) -> None:
    store.put(*some())
    stopped = store.statements().close(MONTH.name, "ann")
    list(islice(stopped, steps))
    stopped.close()
    store.close()
    made = store.everything()
    whole = Store(store.dialect.path.with_name("other.sqlite3"))
    whole.put(*some())
    whole.close()
    assert made == whole.everything()


def test_figures_are_those_of_the_copies(store: Store) -> None:
    """What changes behind the copying is an adjustment, not a contradiction."""
    store.put(*some())
    closing = store.statements().close(MONTH.name, "ann")
    list(islice(closing, 400))
    store.put(replace(some()[0], end=20 * HOUR))
    list(closing)
    assert store.lines(102)["total"][2] == 64
    assert store.adjust() == 1
    assert store.adjusted(102)[-1] == (1, "total", 0, 0, 598, 0, 0, 0, 0, 0)


def test_a_rebuild_in_between_begins_anew(store: Store) -> None:
    store.put(*some())
    closing = store.statements().close(MONTH.name, "ann")
    list(islice(closing, 100))
    store.run("UPDATE rs_meta SET value = '2' WHERE name = 'generation'")
    store.put(replace(some()[0], end=20 * HOUR))
    with pytest.raises(Transient, match="close it again"):
        list(closing)
    assert store.everything()["billing_months"][0][5] == "closing"
    store.close()
    assert store.lines(102)["total"][2] == 64 + 598
    assert store.adjust() == 0


def test_a_month_is_not_closed_before_its_time(store: Store) -> None:
    store.put(*some())
    store.move_on(MONTH.end + 5 * DAY_MS - 1)
    with pytest.raises(NotClosable, match=r"billing\.close_after"):
        store.close()
    assert store.everything()["billing_months"] == []
    store.close(reason="the customer leaves")
    assert store.everything()["billing_months"][0][9] == "the customer leaves"


@pytest.mark.parametrize("folded_to", [MONTH.end - 1, 0])
def test_a_month_that_is_not_over_in_the_store_is_never_closed(store: Store, folded_to: int) -> None:
    store.move_on(NOW, folded_to)
    with pytest.raises(NotClosable, match="not over"):
        store.close(reason="now")


def test_what_is_no_month(store: Store) -> None:
    with pytest.raises(ValueError, match="2026-13"):
        store.close("2026-13")


def test_a_correction_makes_one_adjustment_and_leaves_the_frozen_figures(store: Store) -> None:
    store.put(*some())
    store.close()
    frozen = store.lines(102)
    assert store.adjust() == 0
    late = NOW + DAY_MS
    store.put(replace(some()[0], end=10 * HOUR + 121_000, app=320, receipt=late))
    assert store.adjust() == 1
    assert store.lines(102) == frozen
    assert store.adjusted(102) == [
        (1, "310", -1, -1, -2, 0, -1, 0, 0, 0),  # the peak is as high, but at the end of the month
        (1, "320", 1, 1, 3, 0, 1, 0, 0, 1),
        (1, "total", 0, 0, 1, 0, 0, 0, 0, 0),
    ]
    assert [row[3] for row in store.adjusted(1)[-1:]] == [0]
    (change,) = store.everything()["billing_changes"]
    assert change[2] == late
    assert (json.loads(change[8])["app_id"], json.loads(change[9])["app_id"]) == (310, 320)
    before = store.everything()
    assert [store.adjust(), store.adjust()] == [0, 0]
    assert store.everything() == before


def test_a_later_change_is_a_further_adjustment_also_back_to_the_beginning(store: Store) -> None:
    store.put(*some())
    store.close()
    store.put(replace(some()[0], end=10 * HOUR + 121_000))
    assert store.adjust() == 1
    store.put(some()[0])
    assert store.adjust() == 1
    assert store.adjust() == 0
    assert [row for row in store.adjusted(102) if row[1] == "total"] == [
        (1, "total", 0, 0, 1, 0, 0, 0, 0, 0),
        (2, "total", 0, 0, -1, 0, 0, 0, 0, 0),
    ]


def test_a_session_that_comes_late_leaves_again_and_moves_to_another_tenant(store: Store) -> None:
    store.put(*some())
    store.close()
    late = Stored(30, 14 * HOUR, 14 * HOUR + 1)
    store.put(late)
    assert store.adjust() == 1
    assert store.adjusted(102)[-1] == (1, "total", 1, 1, 1, 0, 0, 0, 0, 0)
    store.put(replace(late, path=(1, 103)))
    assert store.adjust() == 1
    assert store.adjusted(102)[-1] == (2, "total", -1, -1, -1, 0, 0, 0, 0, 0)
    assert store.adjusted(103)[-1][:5] == (2, "total", 1, 1, 1)
    assert store.adjusted(1)[-1][:2] == (1, "total")
    store.put(replace(late, path=(1, 103), start=40 * 24 * HOUR, end=41 * 24 * HOUR))  # into another month
    assert store.adjust() == 1
    assert store.adjusted(103)[-1][:5] == (3, "total", -1, -1, -1)
    assert store.adjust() == 0


def test_two_changes_of_one_run_are_told_one_after_the_other(store: Store) -> None:
    store.put(*some())
    store.close()
    store.put(Stored(31, 10 * HOUR, 10 * HOUR + 10_000, receipt=NOW + 2), Stored(32, 10 * HOUR, 10 * HOUR + 10_000, receipt=NOW + 1))
    assert store.adjust() == 2
    assert [(row[0], row[9]) for row in store.adjusted(102) if row[1] == "total"] == [(1, 1), (2, 1)]
    assert [row[4][-1] for row in store.everything()["billing_changes"]] == ["2", "1"]


def test_purged_sessions_are_no_change(store: Store) -> None:
    store.put(*some())
    store.close()
    store.put(replace(some()[0], end=10 * HOUR + 121_000))
    assert store.adjust() == 1
    store.forget(*some())
    assert store.adjust() == 0


def test_another_partition_of_the_same_session_is_no_change(store: Store) -> None:
    store.put(*some())
    store.close()
    store.run("UPDATE sessions SET source_partition = source_partition + 10, generation = 2, mark = 99")
    assert store.adjust() == 0


def test_two_at_once_write_each_change_once(store: Store) -> None:
    store.put(*some())
    store.close()
    store.put(Stored(30, 14 * HOUR, 14 * HOUR + 1))
    first = store.statements()
    changed = first._changed

    def overtaken(*arguments: object) -> object:
        found = list(changed(*arguments))  # type: ignore[arg-type]
        store.run("INSERT INTO billing_changes VALUES ('2026-10', 1, 1, 1, 'G', 1, 'S', 0, NULL, '{}', '[]', NULL, 't')")
        return found

    first._changed = overtaken  # type: ignore[method-assign,assignment]
    with pytest.raises(Transient, match=r"another process adjusts"):
        list(first.adjust())
    assert store.adjusted(102) == []


def purge(store: Store, **retention: float) -> None:
    counted(Purge(store.dialect, keep(zone=ZONE.key, cdr=1, var=1, **retention)).run())


def test_a_closed_month_survives_the_purge_of_its_sessions(store: Store) -> None:
    store.put(*some())
    store.close()
    before = store.everything()
    store.move_on(NOW + 60 * DAY_MS)
    purge(store)
    left = {row[0] for row in store.run("SELECT guid FROM sessions WHERE ended = 1 AND end_ts < ?", MONTH.end)}
    assert left == set()
    assert store.everything() == before
    assert store.adjust() == 0


def test_without_statements_sessions_go_by_time(store: Store) -> None:
    store.put(*some())
    purge(store)
    assert store.run("SELECT count(*) FROM calls WHERE end_ts < ?", MONTH.end) == [(0,)]


def test_who_closes_months_keeps_the_sessions_of_those_that_are_not_closed(store: Store) -> None:
    november = Month.named("2026-11", ZONE)
    store.put(*some(), Stored(40, 35 * 24 * HOUR, 35 * 24 * HOUR + 1))
    store.close()
    store.move_on(NOW + 90 * DAY_MS)
    purge(store)
    kept = "SELECT count(*) FROM calls WHERE in_progress = 0"
    assert store.run(kept) == [(2,)]  # that of November, and that which ended in its first instant
    store.close(november.name)
    purge(store)
    assert store.run(kept) == [(0,)]


def test_a_month_left_out_keeps_what_follows_it(store: Store) -> None:
    december = Month.named("2026-12", ZONE)
    store.put(Stored(1, 0, HOUR), Stored(40, 35 * 24 * HOUR, 36 * 24 * HOUR), Stored(41, 65 * 24 * HOUR, 66 * 24 * HOUR))
    store.close()
    store.move_on(NOW + 120 * DAY_MS)
    store.close(december.name)
    purge(store)
    assert store.run("SELECT count(*) FROM calls") == [(2,)]


@pytest.mark.parametrize("tenant", [1, 102])
def test_the_peak_is_that_of_the_bin_of_the_month(store: Store, tenant: int) -> None:
    """Folded by the agents' own contributions, second by second, as the MONTH bin of the tenant is."""
    store.put(*some())
    store.close()
    opened = Counter[int]()
    for one in some():
        if one.path is None or tenant not in one.path or one.comp != "RM":
            continue
        start, end = (None if at is None else MONTH.start + at for at in (one.start, one.end))
        record = SessionRecord(
            comp_id=201, session="S", comp="RM", start_ts=start, end_ts=end, ended=end is not None, clock_skew=False,
            end_state=one.end_state, tenant_path=one.path,
        )  # fmt: skip
        for part in contribution(record):
            if isinstance(part, Occupancy):
                opened[part.start // 1000 + part.second] += part.n
    assert opened
    running, peak, at = 0, 0, None
    for second in sorted(opened):
        running += opened[second]
        if running > peak and MONTH.start <= second * 1000 < MONTH.end:
            peak, at = running, second - MONTH.start // 1000
    assert store.lines(tenant)["total"][7:] == (peak, at)


@pytest.mark.parametrize(
    ("condition", "index"), [(ENDED, "sessions_by_end"), (PASSED, "sessions_by_end"), (IN_PROGRESS, "sessions_in_progress")]
)
def test_sessions_of_a_month_are_found_by_an_index(store: Store, condition: str, index: str) -> None:
    plan = store.run(f"EXPLAIN QUERY PLAN SELECT guid FROM sessions WHERE {condition}", *[0] * condition.count("?"))
    assert [row[3].partition("USING INDEX ")[2].split()[0] for row in plan] == [index]
