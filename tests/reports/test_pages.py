"""The pages as HTML: every state of the store, hostile content, headers."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

from reports.server import app_of
from tests.reports import seed
from tests.reports.conftest import ZONE, client, site
from tests.reports.seed import END, SCHEMA, Seeded, Session, occupied

PAGES = ["/", "/calls", "/bins", "/bins?dimension=tenant&granularity=DAY", "/bins?dimension=dn", "/calls?state=in-progress&tenant-id=102"]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_show_freshness_and_time_zone(web: httpx.AsyncClient, path: str) -> None:
    got = await web.get(path)
    assert got.status_code == 200
    assert "Figures up to" in got.text
    assert "17:33:03" in got.text  # local
    assert "Asia/Kolkata" in got.text


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("state", ["missing", "empty", "tables only"])
async def test_pages_without_calls(tmp_path: Path, path: str, state: str) -> None:
    file = tmp_path / "store.sqlite3"
    if state != "missing":
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA journal_mode=WAL")
        if state == "tables only":
            connection.executescript("".join(script.read_text() for script in sorted(SCHEMA.glob("*.sql"))))
        connection.close()
    async with client(site(file)) as web:
        got = await web.get(path)
        assert "No figures yet" in (await web.get("/freshness", headers={"HX-Request": "true"})).text
    assert got.status_code == 200
    if state != "tables only":
        assert "Nothing has arrived yet" in got.text
    elif not path.startswith("/bins"):
        assert "No call has arrived yet" in got.text or "No call matches" in got.text


async def test_now_has_the_figures(web: httpx.AsyncClient, seeded: Seeded) -> None:
    text = (await web.get("/")).text
    running = sum(s.end_ts is None for s in seeded.of("RM"))
    assert f'id="in-progress">{running}<' in text
    assert f'id="today">{len(seeded.of("RM")):,}<' in text
    seconds = Counter(second for s in seeded.of("RM") for second in occupied(s, END))
    highest = max(seconds.values())
    at = datetime.fromtimestamp(min(second for second, n in seconds.items() if n == highest), ZONE)
    assert re.search(rf'<b id="peak">{highest}</b> at <time datetime="[^"]+">{at:%H:%M:%S}</time>', text)
    assert "The store holds old calls" not in text


@pytest.mark.parametrize("granularity", ["FIVE_MINUTES", "THIRTY_MINUTES", "HOUR", "DAY", "WEEK", "MONTH"])
async def test_trends_have_peaks(web: httpx.AsyncClient, seeded: Seeded, granularity: str) -> None:
    seconds = Counter(second for s in seeded.of("RM") for second in occupied(s, END))
    highest = max(seconds.values())
    at = datetime.fromtimestamp(min(second for second, n in seconds.items() if n == highest), ZONE)
    text = (await web.get(f"/bins?granularity={granularity}&from=2026-11-18T00:00:00&to=2026-11-19T00:00:00")).text
    assert f"<dt>Peak</dt><dd>{highest} <small>{at:%Y-%m-%d %H:%M:%S}</small>" in text
    assert f'title="{at:%Y-%m-%d %H:%M:%S}">{highest}</td>' in text


async def test_now_says_so_when_the_calls_are_old(store_path: Path, seeded: Seeded) -> None:
    async with client(site(store_path, at=END + 40 * 86_400_000)) as web:
        text = (await web.get("/")).text
    assert "The store holds old calls" in text
    assert "2026-11-18 17:33:04" in text
    assert f'id="today">{len(seeded.of("RM")):,}<' in text


async def test_older_calls_follow_with_the_same_filters(web: httpx.AsyncClient) -> None:
    first = (await web.get("/calls?tenant-id=102&tenant-id=103")).text
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None
    assert older[1].startswith("/calls?tenant-id=102&amp;tenant-id=103&amp;cursor=")
    second = (await web.get(older[1].replace("&amp;", "&"))).text
    shown = [set(re.findall(r'href="/calls/([0-9A-F-]{36})"', text)) for text in (first, second)]
    assert len(shown[0]) == len(shown[1]) == 50
    assert not shown[0] & shown[1]


async def test_a_wrong_filter_is_named_at_its_field(web: httpx.AsyncClient) -> None:
    got = await web.get("/calls?guid=nonsense&page-size=x")
    assert got.status_code == 400
    assert 'id="fault-guid"' in got.text
    assert 'value="nonsense"' in got.text


async def test_a_range_too_long_for_its_granularity_is_refused(web: httpx.AsyncClient) -> None:
    got = await web.get("/bins?granularity=FIVE_MINUTES&from=2001-01-01T00:00:00")
    assert got.status_code == 400
    assert "a longer granularity" in got.text


async def test_a_call_shows_where_its_messages_came_from(web: httpx.AsyncClient, seeded: Seeded) -> None:
    mcp = max((s for s in seeded.of("MCP") if s.end_ts), key=lambda s: len(s.events))
    text = (await web.get(f"/calls/{mcp.guid}")).text
    assert text.count('<tr id="m-') == sum(len(s.events) for s in seeded.sessions if s.guid == mcp.guid)
    assert "ID:gw-301-" in text or "ID:gw-302-" in text
    assert '<svg class="line"' in text


async def test_a_guid_in_lower_case_leads_to_the_call(web: httpx.AsyncClient, seeded: Seeded) -> None:
    guid = min(seeded.guids)
    got = await web.get(f"/calls/{guid.lower()}", follow_redirects=True)
    assert (got.status_code, got.url.path) == (200, f"/calls/{guid}")


@pytest.mark.parametrize("path", ["/calls/0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42", "/calls/NONSENSE", "/nothing"])
async def test_what_does_not_exist_is_a_kind_page(web: httpx.AsyncClient, path: str) -> None:
    got = await web.get(path)
    assert got.status_code == 404
    assert "Look through the calls" in got.text


async def test_what_senders_write_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "hostile.sqlite3"
    evil = "\"><script>alert(1)</script>'{{7*7}}"
    rm = Session(
        "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42", "RM", 201, evil[:60], END - 5000, None, (1, 7), evil, (3, evil), "1", "INBOUND", evil, None
    )
    rm.events = [
        {"kind": "call.start", "ts": END - 5000},
        {"kind": "call.event", "ts": END - 4000, "log_id": evil, "level": "1", "text": evil},
    ]
    seed.fill(path, hours=0)
    connection = sqlite3.connect(path)
    seed.write(connection, [rm], END)
    connection.commit()
    connection.close()
    async with client(site(path)) as web:
        for where in (
            "/",
            "/calls",
            "/calls?number=" + evil,
            f"/calls/{rm.guid}",
            "/bins?dimension=tenant&value=" + evil,
            "/nothing" + evil,
        ):
            text = (await web.get(where)).text
            assert "<script>alert" not in text
            assert "'49" not in text  # nor is it a template


async def test_headers_keep_pages_to_themselves(web: httpx.AsyncClient) -> None:
    for path in ("/", "/ems-rs/calls", "/static/pages.css", "/nothing"):
        headers = (await web.get(path)).headers
        assert "unsafe" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert (await web.get("/")).headers["cache-control"] == "no-store"


def test_no_page_carries_script_style_or_foreign_address() -> None:
    for file in (Path(__file__).parents[2] / "reports" / "templates").glob("*.html"):
        text = file.read_text()
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=\")|https?://", text), file.name


async def test_a_fault_of_ours_tells_nothing_of_the_inside(store_path: Path, seeded: Seeded) -> None:
    def broken() -> int:
        raise RuntimeError("secret inside")

    where = site(store_path)
    app = app_of(where, Path("no-assets"))
    where.clock = broken
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
        got = await web.get("/ems-rs/RT/tenants/usage")
    assert got.status_code == 500
    assert got.json()["title"] == "Internal Server Error"
    assert "secret" not in got.text


@pytest.mark.parametrize(("zone", "said"), [("Asia/Kolkata", False), ("Europe/Berlin", True)])
async def test_days_that_were_cut_in_another_time_zone_are_said(store_path: Path, seeded: Seeded, zone: str, said: bool) -> None:
    async with client(site(store_path, zone=ZoneInfo(zone))) as web:
        for path in ("/", "/bins?granularity=DAY"):
            assert ("cut in another time zone" in (await web.get(path)).text) is said
