"""The JSON answers: content, manifest, errors."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reports.conftest import ZONE, client, site
from tests.reports.seed import END, SCHEMA, Seeded, Session, occupied

GRANULARITIES = "one of FIVE_MINUTES, THIRTY_MINUTES, HOUR, DAY, WEEK, MONTH"
LOCAL_END = datetime.fromtimestamp(END / 1000, ZONE)


async def answer(web: httpx.AsyncClient, path: str, status: int = 200, /, **params: Any) -> dict[str, Any]:
    got = await web.get("/ems-rs" + path, params={name.replace("_", "-"): value for name, value in params.items()})
    assert got.status_code == status, got.text
    assert got.headers["content-type"] == ("application/json" if status == 200 else "application/problem+json")
    content: dict[str, Any] = got.json()
    return content


async def test_manifest(web: httpx.AsyncClient) -> None:
    manifest = (await answer(web, "/calls", tenant_id=["102", "103"], colour="red", page_size=3))["manifest"]
    assert manifest["request-uri"] == "/ems-rs/calls?tenant-id=102&tenant-id=103&colour=red&page-size=3"
    assert manifest["request-params"] == {"tenant-id": ["102", "103"], "colour": ["red"], "page-size": ["3"]}
    assert "tenant-id" in manifest["recognised-params"]
    assert "colour" not in manifest["recognised-params"]
    assert manifest["normalized-params"] == {"tenant-id": ["102", "103"], "page-size": "3"}
    assert manifest["meta"]["time_zone"] == "Asia/Kolkata"
    assert (manifest["meta"]["timezone_offset"], manifest["meta"]["dst_offset"]) == ("+05:30", "+00:00")
    assert manifest["meta"]["generated_at"] == "2026-11-18T17:33:04.000+05:30"
    assert manifest["meta"]["data_freshness"] == "2026-11-18T17:33:03.697+05:30"
    assert 0 <= manifest["meta"]["generation_time"] < 5


async def test_pages_of_a_list(web: httpx.AsyncClient, seeded: Seeded) -> None:
    first = await answer(web, "/calls", page_size=100)
    pages = first["manifest"]["pages"]
    assert pages["record-count"] == len(seeded.guids)
    assert pages["page-count"] == -(-len(seeded.guids) // 100)
    by_number = await answer(web, "/calls", page_size=100, page=2)
    by_cursor = await answer(web, "/calls", page_size=100, cursor=pages["next-cursor"])
    assert by_number["calls"] == by_cursor["calls"] != first["calls"]


async def test_no_pages_where_one_is_enough(web: httpx.AsyncClient) -> None:
    assert "pages" not in (await answer(web, "/calls", state="in-progress"))["manifest"]


async def test_a_call_in_the_list_and_alone(web: httpx.AsyncClient, seeded: Seeded) -> None:
    rm = next(s for s in seeded.of("RM") if s.end_ts and s.end_state != "REJECTED")
    listed = (await answer(web, "/calls", guid=rm.guid.lower()))["calls"]
    details = (await answer(web, f"/calls/{rm.guid.lower()};tail"))["details"]
    assert [listed[0]] == listed == [details["call"]]
    assert listed[0]["start"] == datetime.fromtimestamp((rm.start_ts or 0) / 1000, ZONE).isoformat(timespec="milliseconds")
    assert listed[0]["duration_ms"] == (rm.end_ts or 0) - (rm.start_ts or 0)
    assert listed[0]["tenant_path"] == list(rm.path)
    assert [s["comp"] for s in details["sessions"]] == ["RM", "MCP"]
    message = details["messages"][0]
    assert (message["topic"], message["source"], message["kind"], message["seq"]) == ("rs.billing", "rs.billing", "call.start", 0)
    assert {"partition", "offset", "message_id", "receipt"} <= set(message)


async def test_a_call_that_is_not_stored(web: httpx.AsyncClient) -> None:
    problem = await answer(web, "/calls/0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42", 404)
    assert "0F8A6C1E" in problem["detail"]


@pytest.mark.parametrize("comp", ["RM", "MCP"])
async def test_details_in_progress_and_finished(web: httpx.AsyncClient, seeded: Seeded, comp: str) -> None:
    running = await answer(web, f"/RT/CDRs/{comp}/details", page_size=1000)
    ended = await answer(web, f"/HIST/CDRs/{comp}/details", page_size=1000, dn=[] if comp == "MCP" else ["800*", "300*"])
    assert len(running["call-detail-records"]) == sum(s.end_ts is None for s in seeded.of(comp))
    assert {row["session"] for row in running["call-detail-records"]} == {s.session for s in seeded.of(comp) if s.end_ts is None}
    total = ended["manifest"].get("pages", {}).get("record-count") or len(ended["call-detail-records"])
    assert total == sum(s.end_ts is not None for s in seeded.of(comp))
    assert all(row["end_state"] for row in ended["call-detail-records"])


async def test_arrivals_by_tenant(web: httpx.AsyncClient, seeded: Seeded) -> None:
    got = await answer(
        web,
        "/operations/arrivals/RM",
        granularity="HOUR",
        **{"from": "2026-11-18T14:10:00", "to": "2026-11-18T16:00:00"},
        tenant_id=["102", "103"],
    )
    assert got["manifest"]["normalized-params"]["from"] == "2026-11-18T14:00:00.000+05:30"
    assert got["manifest"]["normalized-params"]["to"] == "2026-11-18T16:00:00.000+05:30"  # on a boundary: stays
    assert {(row["id"], row["name"]) for row in got["arrivals"]} == {(102, "Environment/Acme"), (103, "Environment/Globex")}
    assert len(got["arrivals"]) == 4
    for row in got["arrivals"]:
        start, end = (datetime.fromisoformat(row[name]).timestamp() * 1000 for name in ("start", "end"))
        expected = [s for s in seeded.of("RM") if row["id"] in s.path and start <= (s.start_ts or 0) < end]
        assert row["count"] == len(expected) == sum(part["count"] for part in row["calls"])


def local(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, ZONE).isoformat(timespec="milliseconds")


def highest(sessions: list[Session], start: int, end: int) -> tuple[int, int, dict[str, int]]:
    """Greatest occupancy of the seconds in [start, end), the first such second in ms, and its split."""
    seconds = Counter(second for s in sessions for second in occupied(s, END) if start <= second * 1000 < end)
    peak = max(seconds.values())
    first = min(second for second, n in seconds.items() if n == peak)
    return peak, first * 1000, dict(Counter(s.call_type for s in sessions if first in occupied(s, END)))


def results_of(sessions: list[Session]) -> dict[str, int]:
    ended = [s for s in sessions if s.end_ts is not None]
    results = [s.result or "UNKNOWN" for s in ended if s.comp == "MCP"]
    return dict(Counter(results + ["REJECTED" for s in ended if s.comp == "RM" and s.end_state == "REJECTED"]))


def span(row: dict[str, Any]) -> tuple[int, int]:
    start, end = (round(datetime.fromisoformat(row[name]).timestamp() * 1000) for name in ("start", "end"))
    return start, end


@pytest.mark.parametrize("granularity", ["FIVE_MINUTES", "THIRTY_MINUTES", "HOUR", "DAY", "WEEK", "MONTH"])
async def test_peaks_by_tenant(web: httpx.AsyncClient, seeded: Seeded, granularity: str) -> None:
    since = {"from": "2026-11-18T16:10:00"}
    got = await answer(web, "/operations/peaks/RM", granularity=granularity, **since, tenant_id=["102", "103"])
    assert {(row["id"], row["name"]) for row in got["peaks"]} == {(102, "Environment/Acme"), (103, "Environment/Globex")}
    for row in got["peaks"]:
        peak, at, by = highest([s for s in seeded.of("RM") if row["id"] in s.path], *span(row))
        assert (row["peak"], row["time"]) == (peak, local(at))
        assert {part["type"]: part["count"] for part in row["calls"]} == by
        assert sum(by.values()) == peak


async def test_peaks_of_all_sessions_of_a_component_type(web: httpx.AsyncClient, seeded: Seeded) -> None:
    (row,) = (await answer(web, "/operations/peaks/MCP", granularity="WEEK", **{"from": "2026-11-18T00:00:00"}))["peaks"]
    assert (row["start"], row["end"]) == ("2026-11-16T00:00:00.000+05:30", "2026-11-23T00:00:00.000+05:30")
    assert row["peak"] == highest(seeded.of("MCP"), 0, END + 1)[0]
    assert (await answer(web, "/operations/peaks/CTIC", granularity="DAY", **{"from": "2026-11-18T00:00:00"}))["peaks"] == []


@pytest.mark.parametrize(
    ("asked", "of"), [({"app_id": "310"}, 310), ({"tenant_id": "1"}, 1), ({"tenant_id": "103", "own": "true"}, 103), ({}, None)]
)
async def test_calls_by_result(web: httpx.AsyncClient, seeded: Seeded, asked: dict[str, str], of: int | None) -> None:
    got = await answer(web, "/HIST/call-completion-summary", granularity="HOUR", **{"from": "2026-11-18T12:00:00"}, **asked)
    mine = [s for s in seeded.sessions if of in (None, s.app[0], *s.path)]
    rows = got["call-completion-summary"]
    assert len(rows) >= 5
    for row in rows:
        start, end = span(row)
        assert row.get("id") == of
        expected = results_of([s for s in mine if s.end_ts is not None and start <= s.end_ts < end])
        assert {part["type"]: part["count"] for part in row["results"]} == expected
        assert row["count"] == sum(expected.values())
    assert {part["type"] for row in rows for part in row["results"]} == {"SUCCESS", "FAILED", "UNKNOWN", "REJECTED"}


async def test_calls_by_result_in_pages_and_under_their_other_name(web: httpx.AsyncClient) -> None:
    asked = {"granularity": "FIVE_MINUTES", "from": "2026-11-18T12:00:00"}
    everything = (await answer(web, "/HIST/call-summary", **asked))["call-completion-summary"]
    second = await answer(web, "/HIST/call-completion-summary", **asked, page=2, page_size=10)
    assert second["call-completion-summary"] == everything[10:20]
    assert second["manifest"]["pages"]["record-count"] == len(everything)


@pytest.mark.parametrize("path", ["/HIST/ivr-action-summary", "/HIST/last-ivr-action-summary"])
async def test_actions_by_profile(web: httpx.AsyncClient, seeded: Seeded, path: str) -> None:
    got = await answer(web, path, granularity="DAY", **{"from": "2026-11-18T00:00:00"}, app_id=["310", "320"])
    assert [(row["id"], row["name"]) for row in got["ivr-action-summary"]] == [(310, "Billing IVR"), (320, "Flight status")]
    for row in got["ivr-action-summary"]:
        runs, last = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for session in seeded.of("MCP"):
            if session.app[0] == row["id"] and session.end_ts is not None:
                mine = [(event["action"], event["result"]) for event in session.events if event["kind"] == "var.action_end"]
                runs.update(mine)
                last.update(mine[-1:])
        for name, expected in (("actions", runs), ("last-actions", last)):
            shown = {(one["action"], part["type"]): part["count"] for one in row[name] for part in one["results"]}
            assert shown == dict(expected) != {}
            counts = [one["count"] for one in row[name]]
            assert counts == sorted(counts, reverse=True)
            assert sum(counts) == expected.total()


@pytest.mark.parametrize("path", ["/HIST/call-completion-summary", "/HIST/ivr-action-summary"])
async def test_summaries_by_profile_and_tenant_exclude_one_another(web: httpx.AsyncClient, path: str) -> None:
    problem = await answer(web, path, 400, app_id="310", tenant_id="102")
    assert {fault["parameter"] for fault in problem["faults"]} == {"granularity", "from", "tenant-id"}


async def test_own_arrivals_leave_descendants_out(web: httpx.AsyncClient) -> None:
    span = {"granularity": "DAY", "from": "2026-11-17T00:00:00"}
    assert (await answer(web, "/operations/arrivals/RM", **span, tenant_id="102", own="true"))["arrivals"] == []
    assert (await answer(web, "/operations/arrivals/RM", **span, tenant_id="102", own="false"))["arrivals"] != []


async def test_arrivals_of_dns(web: httpx.AsyncClient, seeded: Seeded) -> None:
    got = await answer(web, "/operations/arrivals/RM", granularity="DAY", **{"from": "2026-11-18T00:00:00"}, dn="8005550120-8005550130")
    assert {row["dn"] for row in got["arrivals"]} == {"8005550123", "8005550124"}


async def test_bins_have_all_figures_and_pages(web: httpx.AsyncClient, seeded: Seeded) -> None:
    got = await answer(web, "/bins", comp="MCP", granularity="DAY", dimension="component", **{"from": "2026-11-18T00:00:00"})
    assert {row["id"] for row in got["bins"]} == {301, 302}
    row = got["bins"][0]
    mine = [s for s in seeded.of("MCP") if s.comp_id == row["id"] and s.end_ts is not None]
    assert row["duration-ms"]["n"] == row["completed"]["count"] == len(mine)
    assert row["duration-ms"]["sum"] == sum((s.end_ts or 0) - (s.start_ts or 0) for s in mine)
    failed = sum(s.end_state == "SYSTEM_ERROR" for s in mine)
    assert row["service-quality"] == {"calls": len(mine), "failed": failed, "failures": [{"type": "SYSTEM_ERROR", "count": failed}]}
    assert {part["type"]: part["count"] for part in row["results"]} == results_of(mine)
    assert row["peak"]["count"] == highest([s for s in seeded.of("MCP") if s.comp_id == row["id"]], 0, END + 1)[0]
    latencies = {(one["category"], one["type"]): one for one in row["latency-us"]}
    prompt = latencies["RESPONSE", "first_prompt"]
    assert (prompt["n"], prompt["avg"], prompt["std-dev"], prompt["min"]) == (len(mine), 96_000, 0, 96_000)
    assert latencies["FETCHING", "initial_page"]["max"] == 44_500
    paged = await answer(
        web, "/bins", comp="MCP", granularity="DAY", dimension="component", page_size=1, page=2, **{"from": "2026-11-18T00:00:00"}
    )
    assert paged["bins"] == got["bins"][1:]
    assert paged["manifest"]["pages"] == {"current-page": 2, "page-count": 2, "record-count": 2, "page-size": 1}


async def test_usage_of_tenants_and_components(web: httpx.AsyncClient, seeded: Seeded) -> None:
    tenants = (await answer(web, "/RT/tenants/usage", tenant_id="102"))["usage"]
    assert [row["object"]["name"] for row in tenants] == ["Environment/Acme"]
    assert tenants[0]["calls"]["in-progress"]["count"] == sum(s.end_ts is None and 102 in s.path for s in seeded.of("RM"))
    peak, at, by = highest([s for s in seeded.of("RM") if 102 in s.path], 0, END + 1)
    assert tenants[0]["peak"]["today"] == peak > 1
    assert tenants[0]["peak"]["time"] == local(at)
    assert {part["type"]: part["count"] for part in tenants[0]["peak"]["calls"]} == by
    assert tenants[0]["peak"]["last-updated"] == local(END)
    results = tenants[0]["var-stats"]["today"]
    assert {part["type"]: part["count"] for part in results["call-result"]} == results_of([s for s in seeded.sessions if 102 in s.path])
    assert results["count"] == sum(part["count"] for part in results["call-result"])
    assert {part["last-updated"] for part in results["call-result"]} == {local(END)}
    components = (await answer(web, "/RT/components/usage"))["usage"]
    assert not any("var-stats" in row for row in components)
    assert {(row["object"]["type"], row["object"]["id"]) for row in components} == {("RM", 201), ("MCP", 301), ("MCP", 302)}


async def test_every_fault_is_named_at_once(web: httpx.AsyncClient) -> None:
    problem = await answer(web, "/operations/arrivals/MCP", 400, granularity="CENTURY", tenant_id="x", app_id="3", dn="300")
    faults = {fault["parameter"]: fault for fault in problem["faults"]}
    assert set(faults) == {"granularity", "from", "tenant-id", "dn"}
    assert faults["granularity"] == {"parameter": "granularity", "value": "CENTURY", "allowed": GRANULARITIES}
    assert {fault["allowed"] for fault in problem["faults"] if fault["parameter"] == "dn"} >= {"not together with app-id and tenant-id"}


async def test_a_range_that_runs_backwards(web: httpx.AsyncClient) -> None:
    problem = await answer(web, "/calls", 400, started_from="2026-11-18T10:00:00Z", started_to="2026-11-18T09:00:00Z")
    assert [(fault["parameter"], fault["allowed"]) for fault in problem["faults"]] == [("started-to", "not before started-from")]


@pytest.mark.parametrize("path", ["/RT/CDRs/EXT/details", "/operations/arrivals/SSG", "/nothing"])
async def test_services_that_do_not_exist(web: httpx.AsyncClient, path: str) -> None:
    assert (await answer(web, path, 404))["status"] == 404


async def test_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    async with client(site(tmp_path / "none.sqlite3")) as web:
        problem = await answer(web, "/calls", 503)
        assert (problem["lack"], problem["status"]) == ("missing", 503)
        assert (await web.get("/ems-rs/calls")).headers["retry-after"] == "5"
        assert (await web.get("/health/ready")).json() == {"ready": False, "reasons": {"store": problem["detail"]}}
        assert (await web.get("/health/live")).json() == {"live": True}
    assert not (tmp_path / "none.sqlite3").exists()


async def test_a_store_without_tables_and_one_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    async with client(site(path)) as web:
        assert (await answer(web, "/freshness", 503))["lack"] == "empty"
        connection.executescript(min(SCHEMA.glob("*.sql")).read_text())
        older = await answer(web, "/bins", 503, granularity="DAY", **{"from": "2026-11-18T00:00:00"})
        assert (older["lack"], "older version" in older["detail"]) == ("empty", True)
        connection.executescript("".join(script.read_text() for script in sorted(SCHEMA.glob("*.sql"))[1:]))
        assert (await answer(web, "/freshness"))["freshness"] == {"folded_to": None, "stream": None, "clock": None}
        assert (await answer(web, "/calls"))["calls"] == []
        assert (await answer(web, "/RT/tenants/usage"))["usage"] == []
        assert (await web.get("/health/ready")).json() == {"ready": True, "reasons": {}}
    connection.close()


async def test_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite3"
    path.write_text("this is no database, but long enough to look like a file with a header of a hundred bytes" * 3)
    async with client(site(path)) as web:
        assert (await answer(web, "/calls", 503))["lack"] == "broken"


async def test_old_calls_have_their_own_now(store_path: Path, seeded: Seeded) -> None:
    async with client(site(store_path, at=END + 40 * 86_400_000)) as web:
        got = await answer(web, "/RT/tenants/usage", tenant_id="1")
    assert "old calls only" in got["manifest"]["note"]
    assert got["usage"][0]["calls"]["in-progress"]["count"] == sum(s.end_ts is None for s in seeded.of("RM"))
    assert got["usage"][0]["calls"]["arrived"]["today"]["count"] == len(seeded.of("RM"))


async def test_every_operation_of_the_published_description_answers(web: httpx.AsyncClient, seeded: Seeded) -> None:
    described = (await web.get("/ems-rs/openapi.json")).json()
    paths = [path for path in described["paths"] if path.startswith("/ems-rs") and not path.startswith("/ems-rs/schema")]
    assert len(paths) >= 29
    for described_path in paths:
        path, operation = described_path, described["paths"][described_path]["get"]
        parameters = {p["name"]: p for p in operation.get("parameters", [])}
        if "501" in operation["responses"]:
            assert (await web.get(path)).status_code == 501
            continue
        query = {"granularity": "DAY", "from": "2026-11-18T00:00:00"} if "granularity" in parameters else {}
        assert all(parameters[name]["required"] for name in query)
        query |= {"gvp-guid": min(seeded.guids)} if "gvp-guid" in parameters else {}
        query |= {name: of["example"] for name, of in parameters.items() if of["required"] and of["in"] == "query" and name not in query}
        for name, value in {"comp": "RM", "guid": min(seeded.guids), "tenant": "102", "month": "2026-11"}.items():
            path = path.replace(f"{{{name}}}", value)
        got = await web.get(path, params=query)
        assert got.status_code == 200, path
        assert "manifest" in got.json()
