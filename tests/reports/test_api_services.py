"""Counts, event logs, VAR, service quality, latencies, moving averages and objects, against the sessions themselves."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from agents.bins import DAY, end_of, start_of
from pipeline.configserver.objects import Component, Objects, Profile, Tenant
from reports.queries.bins import Spread
from reports.store.contract import Store
from tests.reports.conftest import ZONE, client, site
from tests.reports.seed import END, Seeded, Session, write
from tests.reports.test_api import answer, local, span

TODAY = {"granularity": "DAY", "from": "2026-11-18T00:00:00"}
HOURS = {"granularity": "HOUR", "from": "2026-11-18T00:00:00"}


def ended(sessions: Iterable[Session]) -> list[Session]:
    return [session for session in sessions if session.end_ts is not None]


def by(parts: list[dict[str, Any]]) -> dict[str, int]:
    return {part["type"]: part["count"] for part in parts}


def samples(sessions: Iterable[Session], kind: str) -> list[float]:
    events = [event for session in sessions for event in session.events if event["kind"] == "sq.latency"]
    return [ms for event in events for _, name, ms in event["samples"] if name == kind]


def failures(session: Session) -> list[dict[str, Any]]:
    return [event for event in session.events if event["kind"] == "sq.failure"]


@pytest.mark.parametrize("comp", ["RM", "MCP"])
async def test_sessions_counted(web: httpx.AsyncClient, seeded: Seeded, comp: str) -> None:
    mine = [s for s in seeded.of(comp) if 102 in s.path]
    running = (await answer(web, f"/RT/CDRs/{comp}/summary", tenant_id="102"))["summary"]
    assert (running["count"], by(running["calls"])) == (
        sum(s.end_ts is None for s in mine),
        Counter(s.call_type for s in mine if s.end_ts is None),
    )
    assert "end-states" not in running
    finished = (await answer(web, f"/HIST/CDRs/{comp}/summary", tenant_id="102"))["summary"]
    assert finished["count"] == len(ended(mine)) > 100
    assert by(finished["calls"]) == Counter(s.call_type for s in ended(mine))
    assert by(finished["end-states"]) == Counter(s.end_state for s in ended(mine))
    assert by(finished["results"]) == Counter(s.result for s in ended(mine) if s.result)


async def test_ccp_sessions(store_path: Path, seeded: Seeded, tmp_path: Path) -> None:
    path = tmp_path / "ccp.sqlite3"
    shutil.copy(store_path, path)
    guid = "CC000000-0000-0000-0000-000000000001"
    event = {"kind": "call.event", "ts": END - 900, "log_id": "new_session", "level": "METRIC", "text": "x"}
    ccp = Session(guid, "CCP", 401, "S-1", END - 1000, END - 10, (1, 103), "E/G", (320, "F"), None, "NEWCALL", "sip:a@b", "USER_END")
    ccp.events = [event]
    with closing(sqlite3.connect(path)) as connection:
        write(connection, [ccp], END)
        connection.commit()
    async with client(site(path)) as web:
        (row,) = (await answer(web, "/HIST/CDRs/CCP/details"))["call-detail-records"]
        assert (row["session"], row["call_type"], row["duration_ms"]) == ("S-1", "NEWCALL", 990)
        assert (await answer(web, "/RT/CDRs/CCP/details"))["call-detail-records"] == []
        assert (await answer(web, "/HIST/CDRs/CCP/summary"))["summary"]["count"] == 1
        (line,) = (await answer(web, "/HIST/CDRs/CCP/events", gvp_guid=guid.lower()))["call-events"]
        assert (line["log-id"], line["comp-id"], line["timestamp"]) == ("new_session", 401, local(END - 900))
        assert (await answer(web, "/HIST/CDRs/MCP/events", gvp_guid=guid))["call-events"] == []


async def test_the_log_of_a_session_and_of_a_call(web: httpx.AsyncClient, seeded: Seeded) -> None:
    mcp = max(ended(seeded.of("MCP")), key=lambda s: len(s.events))
    logged = [event for event in mcp.events if event["kind"] == "call.event"]
    of_session = await answer(web, "/HIST/CDRs/MCP/events", comp_id=str(mcp.comp_id), session_id=mcp.session)
    assert [(e["log-id"], e["text"], e["timestamp"]) for e in of_session["call-events"]] == [
        (event["log_id"], event["text"], local(event["ts"])) for event in logged
    ]
    assert len(logged) > 3
    assert (await answer(web, "/HIST/CDRs/MCP/events", gvp_guid=mcp.guid))["call-events"] == of_session["call-events"]
    second = await answer(web, "/HIST/CDRs/MCP/events", gvp_guid=mcp.guid, page_size=2, page=2)
    assert second["call-events"] == of_session["call-events"][2:4]
    assert second["manifest"]["pages"]["record-count"] == len(logged)
    assert (await answer(web, "/HIST/CDRs/MCP/events", comp_id="999", session_id=mcp.session))["call-events"] == []
    assert (await answer(web, "/HIST/CDRs/RM/events", gvp_guid=mcp.guid))["call-events"] == []


async def test_a_session_in_progress_has_no_history(web: httpx.AsyncClient, seeded: Seeded) -> None:
    running = next(s for s in seeded.of("MCP") if s.end_ts is None and any(e["kind"] == "call.event" for e in s.events))
    assert (await answer(web, "/HIST/CDRs/MCP/events", gvp_guid=running.guid))["call-events"] == []


async def test_events_need_a_session_or_a_call(web: httpx.AsyncClient) -> None:
    assert [f["parameter"] for f in (await answer(web, "/HIST/CDRs/MCP/events", 400))["faults"]] == ["gvp-guid"]
    assert [f["parameter"] for f in (await answer(web, "/HIST/CDRs/MCP/events", 400, comp_id="3"))["faults"]] == ["gvp-guid"]
    assert [f["parameter"] for f in (await answer(web, "/HIST/CDRs/MCP/events", 400, session_id="A"))["faults"]] == ["comp-id"]
    assert [f["parameter"] for f in (await answer(web, "/HIST/CDRs/MCP/events", 400, gvp_guid="A*"))["faults"]] == ["gvp-guid"]


def has_var(session: Session) -> bool:
    return session.result is not None or any(event["kind"].startswith("var.") for event in session.events)


async def test_var_lists(web: httpx.AsyncClient, seeded: Seeded) -> None:
    expected = {s.session: s for s in ended(seeded.of("MCP")) if has_var(s) and 102 in s.path and s.comp_id == 301}
    asked = {"tenant_id": "102", "comp_id": "301", "page_size": 1000}
    rows = (await answer(web, "/HIST/CDRs/MCP/VAR", **asked))["var"]
    assert {row["session-id"] for row in rows} == set(expected) != set()
    assert all(row["call-result"] == expected[row["session-id"]].result for row in rows)
    assert [row["start"] for row in rows] == sorted((row["start"] for row in rows), reverse=True)
    detailed = (await answer(web, "/HIST/CDRs/MCP/VAR/details", **asked))["var"]
    assert [{k: v for k, v in row.items() if k not in ("actions", "custom-vars")} for row in detailed] == rows
    for row in detailed:
        events = expected[row["session-id"]].events
        runs = [(e["action"], local(e["ts"]), e["result"]) for e in events if e["kind"] == "var.action_end"]
        assert [(run["action-id"], run["end"], run["result"]) for run in row["actions"]] == runs
        assert row["custom-vars"] == [{"name": e["name"], "value": e["value"]} for e in events if e["kind"] == "var.custom"]
    assert any(row["actions"] for row in detailed)


async def test_a_session_without_var_data_is_in_no_var_list(store_path: Path, seeded: Seeded, tmp_path: Path) -> None:
    path = tmp_path / "bare.sqlite3"
    shutil.copy(store_path, path)
    bare = Session(
        "BA000000-0000-0000-0000-000000000001", "MCP", 301, "bare", END - 9, END, (1, 9), "E/N", (9, "N"), None, "INBOUND", "", None
    )
    with closing(sqlite3.connect(path)) as connection:
        write(connection, [bare], END)
        connection.commit()
    async with client(site(path)) as web:
        assert len((await answer(web, "/HIST/CDRs/MCP/details", tenant_id="9"))["call-detail-records"]) == 1
        assert (await answer(web, "/HIST/CDRs/MCP/VAR", tenant_id="9"))["var"] == []


def test_spreads_merge_as_if_their_values_were_one_list() -> None:
    def of(*values: int) -> Spread:
        return Spread(len(values), sum(values), sum(x * x for x in values), min(values), max(values), {str(x): 1 for x in values})

    assert Spread.merged([of(1, 5), Spread(), of(9, 2)]) == of(1, 5, 9, 2)
    assert Spread.merged([]) == Spread()


async def test_var_in_pages(web: httpx.AsyncClient) -> None:
    everything = (await answer(web, "/HIST/CDRs/MCP/VAR/details", page_size=1000))["var"]
    first = await answer(web, "/HIST/CDRs/MCP/VAR/details", page_size=10)
    behind = await answer(web, "/HIST/CDRs/MCP/VAR/details", page_size=10, cursor=first["manifest"]["pages"]["next-cursor"])
    assert first["var"] + behind["var"] == everything[:20]


@pytest.mark.parametrize("asked", [{}, {"app_id": "310"}, {"tenant_id": "102"}, {"comp_id": "301"}])
@pytest.mark.parametrize("both", [False, True])
async def test_service_quality(web: httpx.AsyncClient, seeded: Seeded, asked: dict[str, str], both: bool) -> None:
    """Of bins, and with a component besides of the sessions: the same definitions."""
    asked = asked | ({"comp_id": "302"} if both and "comp_id" not in asked else {})
    computed = "comp_id" in asked and len(asked) > 1
    got = await answer(web, "/sqa/servicequality", **HOURS, **asked)
    assert ("computed" in got["manifest"]["note"]) == computed
    mine = [
        s
        for s in ended(seeded.of("MCP"))
        if asked.get("app_id", str(s.app[0])) == str(s.app[0])
        and int(asked.get("tenant_id", "1")) in s.path
        and asked.get("comp_id", str(s.comp_id)) == str(s.comp_id)
    ]
    seen = 0
    for row in got["servicequality"]:
        start, end = span(row)
        inside = [s for s in mine if start <= (s.end_ts or 0) < end]
        failed = [s for s in inside if failures(s)]
        seen += len(inside)
        assert (row["calls"], row["failed-calls"]) == (len(inside), len(failed))
        assert math.isclose(row["success-rate"], (len(inside) - len(failed)) / len(inside))
        assert by(row["failures"]) == Counter(f["cause"] for s in inside for f in failures(s))
        if computed:
            assert row["component"]["id"] == 302
    assert seen == len(mine) > 50


async def test_latencies_of_bins_and_of_sessions_are_the_same(web: httpx.AsyncClient, seeded: Seeded) -> None:
    plain = (await answer(web, "/sqa/latency/details", **HOURS, tenant_id="1"))["latency"]
    both = (await answer(web, "/sqa/latency/details", **HOURS, tenant_id="1", comp_id=["301", "302"], aggregate_by="component"))["latency"]
    assert both == plain
    assert len(plain) >= 6
    for path, key in (("histogram", "histogram"), ("details", "latency")):
        computed = (await answer(web, f"/sqa/latency/{path}", **TODAY, tenant_id="1", comp_id="301"))[key]
        by_component = (await answer(web, f"/sqa/latency/{path}", **TODAY, comp_id="301"))[key]
        measured = "latencies" if path == "histogram" else "categories"
        assert [row[measured] for row in computed] == [row[measured] for row in by_component] != []


async def test_latency_details(store: Store, seeded: Seeded) -> None:
    where = site(store)
    where.targets = {"first_prompt": 95.0, "initial_page": 44.5}
    async with client(where) as web:
        rows = (await answer(web, "/sqa/latency/details", **HOURS))["latency"]
    assert {row["id"] for row in rows} == {301, 302}
    for row in rows:
        start, end = span(row)
        inside = [s for s in ended(seeded.of("MCP")) if s.comp_id == row["id"] and start <= (s.end_ts or 0) < end]
        prompt = next(one for one in row["categories"] if one["name"] == "RESPONSE")
        values = samples(inside, "first_prompt")
        assert (prompt["measured"], prompt["types"], prompt["acceptable"]) == (len(values), 1, 0)
        assert (prompt["avg"], prompt["min"], prompt["max"], prompt["std-dev"]) == (96, 96, 96, 0)
        page = next(one for one in row["categories"] if one["name"] == "FETCHING")["latencies"][0]
        assert (page["name"], page["avg"], page["target"], page["acceptable"]) == ("initial_page", 44.5, 44.5, True)


@pytest.mark.parametrize(
    ("asked", "rows"),
    [([], 2 * 7), (["time"], 2), (["component"], 7), (["time", "component"], 1)],
)
async def test_latencies_put_together(web: httpx.AsyncClient, seeded: Seeded, asked: list[str], rows: int) -> None:
    got = (await answer(web, "/sqa/latency/details", **HOURS, aggregate_by=asked, comp_id=["301", "302"]))["latency"]
    assert len(got) == rows
    assert sum(one["measured"] for row in got for one in row["categories"] if one["name"] == "RESPONSE") == len(
        samples(ended(seeded.of("MCP")), "first_prompt")
    )
    assert all(("id" in row) == ("component" not in asked) for row in got)
    if "time" in asked:
        assert {(row["start"], row["end"]) for row in got} == {("2026-11-18T00:00:00.000+05:30", "2026-11-18T18:00:00.000+05:30")}


async def test_latencies_now(web: httpx.AsyncClient, seeded: Seeded) -> None:
    (row,) = (await answer(web, "/sqa/latency/summary", comp_id="301"))["latency-summary"]
    assert row["object"]["href"] == "/ems-rs/RT/components/usage?comp-id=301"
    assert [one["period"] for one in row["latencies"]] == ["HOUR", "DAY", "WEEK", "MONTH"]
    hour = start_of("HOUR", END, ZONE)
    expected = [s for s in ended(seeded.of("MCP")) if s.comp_id == 301 and (s.end_ts or 0) >= hour]
    response = next(one for one in row["latencies"][0]["categories"] if one["name"] == "RESPONSE")
    assert response["measured"] == len(expected) > 0
    assert "latencies" not in response


async def test_histogram(web: httpx.AsyncClient, seeded: Seeded) -> None:
    got = (await answer(web, "/sqa/latency/histogram", **TODAY, aggregate_by="component"))["histogram"]
    (prompt,) = [one for row in got for one in row["latencies"] if one["type"] == "first_prompt"]
    n = len(samples(ended(seeded.of("MCP")), "first_prompt"))
    assert (prompt["buckets"][0]["from"], prompt["buckets"][0]["to"]) == (None, 10)
    assert (prompt["buckets"][-1]["from"], prompt["buckets"][-1]["to"]) == (10_000, None)
    assert {(b["from"], b["to"]): b["count"] for b in prompt["buckets"] if b["count"]} == {(50, 100): n}


async def test_failures(web: httpx.AsyncClient, seeded: Seeded) -> None:
    expected = sorted(((f["ts"], s) for s in seeded.of("MCP") for f in failures(s) if 102 in s.path), key=lambda one: -one[0])
    rows = (await answer(web, "/sqa/failures", tenant_id="102"))["failures"]
    assert [(row["timestamp"], row["session-id"], row["cause"]) for row in rows] == [
        (local(ts), s.session, "SYSTEM_ERROR") for ts, s in expected
    ]
    assert len(rows) > 5
    one = expected[2][1]
    assert [row["session-id"] for row in (await answer(web, "/sqa/failures", session_id=one.session))["failures"]] == [one.session]
    assert (await answer(web, "/sqa/failures", comp_id="201"))["failures"] == []
    first = await answer(web, "/sqa/failures", tenant_id="102", page_size=3)
    behind = await answer(web, "/sqa/failures", tenant_id="102", page_size=3, cursor=first["manifest"]["pages"]["next-cursor"])
    assert first["failures"] + behind["failures"] == rows[:6]
    at = local(expected[1][0])
    assert (await answer(web, "/sqa/failures", tenant_id="102", **{"from": at}))["failures"] == rows[:2]


async def test_service_quality_has_no_short_bins(web: httpx.AsyncClient) -> None:
    problem = await answer(web, "/sqa/servicequality", 400, granularity="FIVE_MINUTES", **{"from": "2026-11-18T00:00:00"})
    assert problem["faults"][0]["allowed"] == "one of HOUR, DAY, WEEK, MONTH"
    many = {"granularity": "HOUR", "from": "2020-11-18T00:00:00", "app_id": "1", "comp_id": "1"}
    assert "at most 1000 bins" in (await answer(web, "/sqa/servicequality", 400, **many))["faults"][0]["allowed"]


def days_of(start: int, end: int, zone: ZoneInfo) -> list[int]:
    found = []
    while start < end:
        found.append(start)
        start = end_of(DAY, start, zone)
    return found


@pytest.mark.parametrize(("service", "figure"), [("arrivals", "count"), ("peaks", "peak")])
async def test_moving_average(web: httpx.AsyncClient, seeded: Seeded, service: str, figure: str) -> None:
    asked = {"granularity": "DAY", "from": "2026-11-16T10:00:00", "to": "2026-11-21T00:00:00", "tenant_id": ["102", "103"]}
    plain = {(row["id"], row["start"]): row for row in (await answer(web, f"/operations/{service}/RM", **asked))[service]}
    got = await answer(web, f"/operations/{service}/RM", **asked, sma_period=3)
    assert "mean of the days" in got["manifest"]["note"]
    rows = got[service]
    assert [(row["start"][:10], row["id"]) for row in rows] == [(f"2026-11-{day}", t) for day in range(16, 21) for t in (102, 103)]
    for row in rows:
        assert row[figure] == plain.get((row["id"], row["start"]), {figure: 0})[figure]
    for tenant in (102, 103):
        figures = [0, 0, *(row[figure] for row in rows if row["id"] == tenant)]
        expected = [sum(figures[at : at + 3]) / 3 for at in range(5)]
        assert [row["moving-average"] for row in rows if row["id"] == tenant] == pytest.approx(expected)
        assert max(expected) > 0
    second = await answer(web, f"/operations/{service}/RM", **asked, sma_period=3, page_size=4, page=2)
    assert second[service] == rows[4:8]


async def test_moving_average_reaches_back_before_the_range(web: httpx.AsyncClient, seeded: Seeded) -> None:
    asked = {"granularity": "DAY", "from": "2026-11-19T00:00:00", "to": "2026-11-20T00:00:00", "sma_period": 2}
    (row,) = (await answer(web, "/operations/arrivals/RM", **asked))["arrivals"]
    assert (row["count"], row["moving-average"]) == (0, len(seeded.of("RM")) / 2)
    problem = await answer(web, "/operations/arrivals/RM", 400, **{**asked, "granularity": "HOUR"})
    assert [(f["parameter"], f["allowed"]) for f in problem["faults"]] == [("sma-period", "only with granularity DAY")]


async def test_objects(web: httpx.AsyncClient) -> None:
    tenants = (await answer(web, "/tenants"))["tenants"]
    assert [(row["id"], row["name"]) for row in tenants[:2]] == [(1, "Environment"), (102, "Environment/Acme")]
    (one,) = (await answer(web, "/tenants", tenant_id="110"))["tenants"]
    assert one["href"] == "/ems-rs/tenants?tenant-id=110"
    assert {row["id"] for row in (await answer(web, "/applications"))["applications"]} == {310, 311, 320, 330}
    components = (await answer(web, "/components"))["components"]
    assert [(row["id"], row["type"], row["name"]) for row in components] == [(201, "RM", None), (301, "MCP", None), (302, "MCP", None)]
    second = await answer(web, "/components", page_size=2, page=2)
    assert second["components"] == components[2:]


async def test_names_of_objects_are_the_config_servers(store: Store) -> None:
    where = site(store)
    named = Objects(
        {1: Tenant("Root"), 102: Tenant("New", parent=1)}, {310: Profile("Voice", tenant=102)}, {}, {301: Component("mcp-a", "MCP")}
    )
    where.objects = lambda: named
    async with client(where) as web:
        (tenant,) = (await answer(web, "/tenants", tenant_id="102"))["tenants"]
        assert (tenant["name"], tenant["parent"]) == ("Root/New", 1)
        (profile,) = (await answer(web, "/applications", app_id="310"))["applications"]
        assert (profile["name"], profile["tenant"]) == ("Voice", 102)
        (component,) = (await answer(web, "/components", comp_id="301"))["components"]
        assert (component["name"], component["type"]) == ("mcp-a", "MCP")


async def test_usage_of_profiles(web: httpx.AsyncClient, seeded: Seeded) -> None:
    (row,) = (await answer(web, "/RT/applications/usage", app_id="310"))["usage"]
    mine = [s for s in seeded.of("RM") if s.app[0] == 310]
    assert row["object"] == {"href": "/ems-rs/RT/applications/usage?app-id=310", "id": 310, "name": "Billing IVR", "type": "RM"}
    assert row["calls"]["in-progress"]["count"] == sum(s.end_ts is None for s in mine)
    assert row["calls"]["arrived"]["today"]["count"] == len(mine)
    assert row["var-stats"]["today"]["count"] > 0


@pytest.mark.parametrize(
    ("path", "missing"),
    [("/RT/tenants/usage/outbound", "outbound"), ("/RT/components/PSTNC/snmp-stats", "ports"), ("/operations/peaks/ASR", "recognition")],
)
async def test_services_without_figures_say_what_is_missing(web: httpx.AsyncClient, path: str, missing: str) -> None:
    problem = await answer(web, path, 501)
    assert missing in problem["missing"]
    assert problem["missing"] in problem["detail"]


def test_the_day_of_the_seed_is_one_day() -> None:
    """What the tests above take for granted."""
    assert start_of(DAY, END, ZONE) == start_of(DAY, END - 6 * 3_600_000, ZONE)
    assert datetime.fromtimestamp(END / 1000, ZONE).hour == 17
