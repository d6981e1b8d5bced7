"""Figures and lists against the sessions that the store was filled with, counted by plain loops."""

from __future__ import annotations

import sqlite3
import statistics
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from reports.exceptions import StoreUnavailable
from reports.parameters import DigitRange, Match
from reports.queries import bins, calls, live
from reports.queries.bins import BinFilter
from reports.queries.calls import CallFilter, SessionFilter
from reports.queries.paging import Page
from reports.store.contract import Reading
from reports.store.sqlite import SQLiteStore
from reports.usage import as_of, series, usage
from tests.reports.conftest import ZONE
from tests.reports.seed import END, Seeded, Session, dimensions

ALL = Page(100_000)
LOCAL_END = datetime.fromtimestamp(END / 1000, ZONE)
TODAY = round(LOCAL_END.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
THIS_HOUR = round(LOCAL_END.replace(minute=0, second=0, microsecond=0).timestamp() * 1000)


def started(sessions: list[Session], since: int) -> Counter[str]:
    return Counter(s.call_type for s in sessions if s.start_ts is not None and s.start_ts >= since)


def running(sessions: list[Session]) -> Counter[str]:
    return Counter(s.call_type for s in sessions if s.end_ts is None)


def test_calls_in_progress(reading: Reading, seeded: Seeded) -> None:
    expected = running(seeded.of("RM"))
    assert expected.total() > 0
    assert live.calls_in_progress(reading, END) == dict(expected)


def test_calls_that_start_later_are_not_in_progress(reading: Reading, seeded: Seeded) -> None:
    first = min(s.start_ts or 0 for s in seeded.of("RM") if s.end_ts is None)
    assert sum(live.calls_in_progress(reading, first).values()) == 1
    assert live.calls_in_progress(reading, first - 1) == {}


@pytest.mark.parametrize("dimension", ["tenant", "tenant-own", "app", "component"])
@pytest.mark.parametrize("comp", ["RM", "MCP"])
def test_usage(reading: Reading, seeded: Seeded, comp: str, dimension: str) -> None:
    moment = as_of(live.freshness(reading), END)
    rows = usage(reading, comp, dimension, moment, ZONE, live.sessions_in_progress(reading, END))
    values = {value for s in seeded.of(comp) for kind, value in dimensions(s) if kind == dimension}
    assert {row.value for row in rows} == values
    for row in rows:
        mine = [s for s in seeded.of(comp) if (dimension, row.value) in dimensions(s)]
        assert row.in_progress.by == dict(running(mine))
        assert row.this_hour.by == dict(started(mine, THIS_HOUR))
        assert row.today.by == dict(started(mine, TODAY))
        last_five_minutes = END - END % 300_000
        assert row.recent[-1] == started(mine, last_five_minutes).total()
        assert sum(row.recent) == started(mine, last_five_minutes - 23 * 300_000).total()


@pytest.mark.parametrize(
    ("granularity", "length"),
    [
        ("FIVE_MINUTES", timedelta(minutes=5)),
        ("THIRTY_MINUTES", timedelta(minutes=30)),
        ("HOUR", timedelta(hours=1)),
        ("DAY", timedelta(days=1)),
    ],
)
def test_series_without_gaps(reading: Reading, seeded: Seeded, granularity: str, length: timedelta) -> None:
    step = round(length.total_seconds() * 1000)
    start = TODAY - 86_400_000 if granularity == "DAY" else THIS_HOUR - 8 * 3_600_000
    end = TODAY + 86_400_000 if granularity == "DAY" else THIS_HOUR + 3_600_000
    found = series(reading, BinFilter("MCP", "tenant", granularity, start, end, ("102",)), ZONE).bins
    assert [row.start for row in found] == list(range(start, end, step))
    mine = [s for s in seeded.of("MCP") if 102 in s.path]
    for row in found:
        until = row.start + step
        ended = [s for s in mine if s.end_ts is not None and row.start <= s.end_ts < until]
        durations = [(s.end_ts or 0) - (s.start_ts or 0) for s in ended]
        assert row.arrivals == sum(row.start <= (s.start_ts or 0) < until for s in mine)
        assert row.completed_by == dict(Counter(s.end_state for s in ended))
        if row.start <= END:
            assert row.in_progress == sum((s.start_ts or 0) < until and (s.end_ts is None or s.end_ts >= until) for s in mine)
        if durations:
            assert row.durations.average == pytest.approx(statistics.fmean(durations))
            assert row.durations.deviation == pytest.approx(statistics.pstdev(durations))
            assert (row.durations.low, row.durations.high) == (min(durations), max(durations))
        else:
            assert (row.durations.average, row.durations.deviation) == (None, None)


def test_values_of_a_dimension_busiest_first(reading: Reading, seeded: Seeded) -> None:
    busiest = [str(value) for value, _ in Counter(t for s in seeded.of("RM") for t in s.path).most_common()]
    assert list(bins.values_of(reading, "RM", "tenant")) == busiest


def in_uri(session: Session, number: str) -> bool:
    return session.remote_uri.startswith(f"sip:{number}")


FILTERS: list[tuple[CallFilter, Callable[[Session], bool]]] = [
    (CallFilter(), lambda s: True),
    (CallFilter(number=Match("+15551", prefix=True)), lambda s: in_uri(s, "+15551")),
    (CallFilter(number=Match("+1555")), lambda s: False),
    (CallFilter(number=Match("8005550123")), lambda s: s.dn == "8005550123"),
    (CallFilter(number=Match("80055501", prefix=True)), lambda s: (s.dn or "").startswith("80055501")),
    (CallFilter(dns=(DigitRange("8005550124", "8005550199"),)), lambda s: s.dn in ("8005550124", "8005550199")),
    (CallFilter(dns=(DigitRange("300", "999"),)), lambda s: False),
    (CallFilter(tenants=(102,)), lambda s: 102 in s.path),
    (CallFilter(tenants=(102,), own=True), lambda s: False),
    (CallFilter(tenants=(110,), own=True), lambda s: s.path[-1] == 110),
    (CallFilter(tenants=(103, 104)), lambda s: s.path[-1] in (103, 104)),
    (CallFilter(apps=(310, 330)), lambda s: s.app[0] in (310, 330)),
    (CallFilter(started_from=THIS_HOUR), lambda s: (s.start_ts or 0) >= THIS_HOUR),
    (CallFilter(started_to=THIS_HOUR), lambda s: (s.start_ts or 0) < THIS_HOUR),
    (CallFilter(state="in-progress"), lambda s: s.end_ts is None),
    (CallFilter(state="finished"), lambda s: s.end_ts is not None),
    (CallFilter(end_states=("REJECTED", "SYSTEM_ERROR")), lambda s: s.end_state in ("REJECTED", "SYSTEM_ERROR")),
    (CallFilter(call_types=("BRIDGED",), tenants=(1,), state="finished"), lambda s: s.call_type == "BRIDGED" and s.end_ts is not None),
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
def test_filters_of_calls(reading: Reading, seeded: Seeded, number: int) -> None:
    wanted, judge = FILTERS[number]
    expected = sorted((s for s in seeded.of("RM") if judge(s)), key=lambda s: (-(s.start_ts or 0), s.guid))
    found = calls.calls(reading, wanted, ALL)
    assert [row.guid for row in found.rows] == [s.guid for s in expected]
    assert found.total == len(expected)
    assert found.next is None


def test_one_number_exactly_and_one_guid_by_its_beginning(reading: Reading, seeded: Seeded) -> None:
    session = seeded.of("RM")[5]
    by_number = calls.calls(reading, CallFilter(number=Match(session.remote_uri[4:].partition("@")[0])), ALL)
    by_guid = calls.calls(reading, CallFilter(guid=Match(session.guid[:13], prefix=True)), ALL)
    assert session.guid in [row.guid for row in by_number.rows]
    assert (
        len({row.remote_uri for row in by_number.rows} - {session.remote_uri, session.remote_uri[:-1] + "1", session.remote_uri[:-1] + "2"})
        == 0
    )
    assert [row.guid for row in by_guid.rows] == [session.guid]


def test_call_result_is_that_of_the_mcp_session(reading: Reading, seeded: Seeded) -> None:
    results = {s.guid: s.result for s in seeded.of("MCP")}
    found = calls.calls(reading, CallFilter(results=("FAILED",)), ALL)
    assert found.total == sum(s.end_ts is not None and results.get(s.guid) == "FAILED" for s in seeded.of("RM")) > 0


@pytest.mark.parametrize("comp", ["RM", "MCP"])
@pytest.mark.parametrize("ended", [True, False])
def test_call_detail_records(reading: Reading, seeded: Seeded, comp: str, ended: bool) -> None:
    found = calls.sessions(reading, SessionFilter(comp, ended, tenants=(103,)), ALL)
    expected = {(s.guid, s.comp_id, s.session) for s in seeded.of(comp) if (s.end_ts is not None) == ended and 103 in s.path}
    assert {(row.guid, row.comp_id, row.session) for row in found.rows} == expected
    assert found.total == len(expected)


def test_finished_sessions_by_component_end_and_uri(reading: Reading, seeded: Seeded) -> None:
    wanted = SessionFilter(
        "MCP", True, components=(301,), ended_from=TODAY, ended_to=THIS_HOUR, remote_uris=(Match("sip:+1555", prefix=True),)
    )
    expected = sum(s.comp_id == 301 and s.end_ts is not None and TODAY <= s.end_ts < THIS_HOUR for s in seeded.of("MCP"))
    assert calls.sessions(reading, wanted, ALL).total == expected > 0


def test_one_call(reading: Reading, seeded: Seeded) -> None:
    mcp = max((s for s in seeded.of("MCP") if s.end_ts), key=lambda s: len(s.events))
    found = calls.one_call(reading, mcp.guid)
    parts = [s for s in seeded.sessions if s.guid == mcp.guid]
    assert [(s.comp, s.comp_id, s.session) for s in found.sessions] == [(s.comp, s.comp_id, s.session) for s in parts]
    assert len(found.messages) == sum(len(s.events) for s in parts)
    assert [m.ts for m in found.messages] == sorted(m.ts for m in found.messages)
    assert {(m.source, m.receipt - m.ts) for m in found.messages} == {("rs.billing", 12)}
    assert [line.log_id for line in found.log] == [event["log_id"] for event in mcp.events if event["kind"] == "call.event"]
    var = [event for event in mcp.events if event["kind"].startswith(("var.", "sq."))]
    assert len(found.payloads[mcp.comp_id, mcp.session]) == len(var) > 3


def test_names_of_tenants_and_their_ancestors(reading: Reading) -> None:
    found = calls.names(reading)
    assert found.tenants == {
        1: "Environment",
        102: "Environment/Acme",
        103: "Environment/Globex",
        104: "Environment/Initech",
        110: "Environment/Acme/Support",
        111: "Environment/Acme/Billing",
    }
    assert found.apps[310] == "Billing IVR"


def test_freshness_is_that_of_the_slowest_partition(reading: Reading) -> None:
    assert live.freshness(reading) == live.Freshness(END - 303, END, END)


def test_the_connection_cannot_write(store_path: Path, seeded: Seeded) -> None:
    with pytest.raises(StoreUnavailable, match="readonly"), SQLiteStore(store_path).reading() as reading:
        reading.rows("DELETE FROM calls")


def test_a_request_sees_one_state_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    with sqlite3.connect(path) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
    with SQLiteStore(path).reading() as reading:
        before = reading.rows("SELECT count(*) AS n FROM t")[0]["n"]
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        assert reading.rows("SELECT count(*) AS n FROM t")[0]["n"] == before == 0
    writer.close()
