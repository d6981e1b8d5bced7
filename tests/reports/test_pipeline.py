"""The Pipeline page: what a view says is shown, and what nobody says is unknown."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from pipeline.local.ports import free_port
from pipeline.readiness import VIEW, Pod, Said, Whole
from pipeline.settings import read
from reports.pipeline import config, process, seen
from reports.server import app_of
from sinks.views.metrics import FigureMetrics
from sinks.views.rows import Component, Figures, General, Quarantined, Raised, Stage, Topic
from tests.conftest import PATIENCE_S
from tests.reports.conftest import site
from tests.reports.seed import Seeded

FIGURES = Figures(
    general=General(
        database="down", activemq="up", kafka="unknown", freshness=4_200, today_timed_out=5, quarantined_total=9, raised_conditions=1
    ),
    components={("RM", 201): Component(today_timed_out=0), ("MCP", 301): Component(name="mcp<1>", today_timed_out=5)},
    stages={
        ("sinks",): Stage(readiness="notReady", reasons="database: refused", rate=0, lag=12_345, freshness=90_000, processes=1),
        ("bridge",): Stage(readiness="ready", rate=120, lag=3, processes=1),
        ("tenants",): Stage(readiness="unreachable"),
    },
    quarantine={("calls", "late"): Quarantined(2), ("bridge", "not_json"): Quarantined(7)},
    topics={
        ("rs.billing", 0): Topic(end=100, rate=2, lag=1),
        ("rs.billing", 1): Topic(end=50, rate=1, lag=4),
        ("rs.calls", 0): Topic(end=7),
    },
    conditions={("database", "sqlite"): Raised(1_795_003_000, "disk <full>")},
)


def exposition(figures: Figures = FIGURES) -> str:
    """As the view itself writes it."""
    registry = CollectorRegistry()
    registry.register(FigureMetrics(lambda: figures))
    return generate_latest(registry).decode()


class FakePod:
    """Processes that answer what they are told; `view` is asked for real."""

    def __init__(self, view: str, parts: dict[str, Said | None]) -> None:
        self.addresses, self._parts = {VIEW: view}, parts

    async def ask(self) -> Whole:
        return Whole({}, self._parts)


@pytest.fixture
async def view() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = exposition().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def web_of(store: Path, pod: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app_of(site(store), Path("no-assets"), cast(Pod, pod)))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=PATIENCE_S)


def test_the_figures_of_the_view_come_over_whole() -> None:
    found = seen(exposition())
    assert found is not None
    assert [(s.name, s.readiness, s.rate, s.lag, s.freshness) for s in found.stages] == [
        ("bridge", "ready", 120, 3, None),
        ("tenants", "unreachable", 0, None, None),
        ("sinks", "notReady", 0, 12_345, 90_000),
    ]
    assert found.stages[2].reasons == "database: refused"
    assert found.counterparts == {"activemq": "up", "kafka": "unknown", "database": "down"}
    assert (found.freshness, found.timed_out, dict(found.timed_out_by)) == (4_200, 5, {("MCP", "301"): 5})
    assert found.quarantine == (("bridge", "not_json", 7), ("calls", "late", 2))
    assert [(t.name, t.partitions, t.end, t.rate, t.lag) for t in found.topics] == [
        ("rs.billing", 2, 150, 3, 5),
        ("rs.calls", 1, 7, 0, None),
    ]
    assert [(c.kind, c.subject, c.raised_at, c.text) for c in found.conditions] == [
        ("database", "sqlite", 1_795_003_000_000, "disk <full>")
    ]


@pytest.mark.parametrize("text", ["", "process_cpu_seconds_total 1\n", "rs_stage_readiness{ broken\n", "<html>"])
def test_what_is_no_answer_of_a_view_is_none(text: str) -> None:
    assert seen(text) is None


def test_the_config_server_is_told_in_words() -> None:
    assert config({"connected": 1}) == "connected"
    assert config({"connected": 0}) == "none is set"
    assert config({"connected": 0, "lost": "refused", "lost for seconds": 9}) == "lost: refused"
    assert config({"connected": 1, "refused": "kafka.x: no", "after restart": "a = 1"}) == "refused: kafka.x: no; after restart: a = 1"
    assert process("sinks", None).readiness == "unreachable"


async def test_the_page_shows_every_stage_and_why(store_path: Path, seeded: Seeded, view: str) -> None:
    parts = {"sinks": Said(False, {"database": "re<fused"}, {"config server": {"connected": 0, "lost": "no route"}}), "bridge": None}
    async with web_of(store_path, FakePod(view, parts)) as web:
        for path in ("/pipeline", "/pipeline/live"):
            text = (await web.get(path)).text
            assert '<p class="big" id="database"><span class="light l-down">Down</span>' in text
            assert re.search(r'Sinks</th><td><span class="light l-notReady">Not ready</span></td>', text)
            assert "12,345" in text
            assert '<td colspan="5">database: refused</td>' in text
            assert re.search(r"not json</td><td class=\"n\">7<", text)
            assert "disk &lt;full&gt;" in text
            assert "re&lt;fused" in text
            assert "lost: no route" in text
            assert re.search(r'bridge</th><td><span class="light l-unreachable">Does not answer', text)
            assert "Asia/Kolkata" in text


async def test_a_view_that_does_not_answer_is_said(store_path: Path, seeded: Seeded) -> None:
    pod = Pod(read(snmp={"parts": {VIEW: f"http://127.0.0.1:{free_port()}"}}))
    async with web_of(store_path, pod) as web:
        got = await web.get("/pipeline")
    assert got.status_code == 200
    assert "The view does not answer" in got.text


async def test_it_is_shown_without_a_store(tmp_path: Path, view: str) -> None:
    async with web_of(tmp_path / "missing.sqlite3", FakePod(view, {})) as web:
        got = await web.get("/pipeline")
    assert got.status_code == 200
    assert re.search(r'reports</th><td><span class="light l-notReady">Not ready</span><br><small>store: ', got.text)
    assert "12,345" in got.text
