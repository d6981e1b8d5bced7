"""In which figures a call counts: as much as the bins of the seed hold for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import httpx

from agents.bins import base_of
from reports.counting import actions, counts, measured
from reports.queries.calls import one_call
from reports.store.contract import Reading
from tests.reports.seed import Seeded, Session, dimensions


def busiest(seeded: Seeded) -> Session:
    return max((s for s in seeded.of("MCP") if s.end_ts), key=lambda s: len(s.events))


def test_all_calls_together_are_the_bins(reading: Reading, seeded: Seeded) -> None:
    wanted: Counter[tuple[str, str, str]] = Counter()
    for session in seeded.sessions:
        wanted[session.comp, "arrivals", session.call_type] += 1
        if session.end_ts is not None:
            wanted[session.comp, "completed", str(session.end_state)] += 1
    found: Counter[tuple[str, str, str]] = Counter()
    for guid in seeded.guids:
        for each in counts(one_call(reading, guid)):
            for part in each.counted:
                if part.measure in ("arrivals", "completed"):
                    found[each.session.comp, part.measure, part.label] += part.n
    assert found == wanted


def test_a_session_counts_where_it_began_and_where_it_ended(reading: Reading, seeded: Seeded) -> None:
    mcp = busiest(seeded)
    call = one_call(reading, mcp.guid)
    (rm,) = [each for each in counts(call) if each.session.comp == "RM"]
    (found,) = [session for session in seeded.of("RM") if session.guid == mcp.guid]
    assert {(row.kind, row.value) for row in rm.rows} == set(dimensions(found))
    (each,) = [each for each in counts(call) if each.session.comp == "MCP"]
    assert {(row.kind, row.value) for row in each.rows} == set(dimensions(mcp))
    assert mcp.start_ts is not None
    assert mcp.end_ts is not None
    at = {(part.measure, part.label): (part.start, part.values) for part in each.counted}
    assert at["arrivals", mcp.call_type] == (base_of(mcp.start_ts), ())
    assert at["durations", str(mcp.end_state)] == (base_of(mcp.end_ts), (mcp.end_ts - mcp.start_ts,))
    assert at["results", str(mcp.result)][0] == base_of(mcp.end_ts)
    assert at["latencies", "RESPONSE|first_prompt"][1] == (96_000,)
    told = [(e["action"], e["result"]) for e in mcp.events if e["kind"] == "var.action_end"]
    assert [(run.action, run.result) for run in actions(call, each.session).runs] == told
    assert {(row.kind, row.values) for row in measured(call)} == {("first_prompt", (96,)), ("initial_page", (44.5,))}


async def test_the_page_of_a_call_tells_it(web: httpx.AsyncClient, seeded: Seeded, store_path: Path) -> None:
    mcp = busiest(seeded)
    text = (await web.get(f"/calls/{mcp.guid}")).text
    for heading in ("Actions", "Latencies", "In which figures it counts"):
        assert f">{heading}" in text
    assert f"/bins?comp=MCP&amp;dimension=component&amp;value={mcp.comp_id}" in text
    for action in {e["action"] for e in mcp.events if e["kind"] == "var.action_end"}:
        assert f'<th scope="row">{action}</th>' in text
