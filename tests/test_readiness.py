"""The Reporting Server as a whole: its processes as HTTP servers, asked on the port of the reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import msgspec
import pytest
import uvicorn

from pipeline.health import HealthServer
from pipeline.local.ports import free_port
from pipeline.readiness import LAG, Pod, Said, judged
from pipeline.settings import read
from reports.server import app_of
from reports.site import Site
from reports.store.sqlite import SQLiteStore
from sinks.views.parts import Parts
from tests.conftest import PATIENCE_S
from tests.reports import seed


class World:
    """All processes. `reasons`: process -> check -> reason, as each would say it; `behind`: what the view tells."""

    def __init__(
        self, pod: Pod, servers: dict[str, HealthServer], reasons: dict[str, dict[str, str]], behind: dict[str, int], base: str
    ) -> None:
        self.pod, self.servers, self.reasons, self.behind, self.base = pod, servers, reasons, behind, base

    async def asked(self, path: str = "/health/ready") -> tuple[int, dict[str, Any]]:
        self.pod._asked_at = -1000.0  # a second has passed
        async with httpx.AsyncClient(base_url=self.base, timeout=PATIENCE_S) as web:
            answer = await web.get(path)
        return answer.status_code, answer.json()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    names = ("bridge", "agents", "agents-2", "sinks", "view")
    ports = {name: free_port() for name in names}
    reasons: dict[str, dict[str, str]] = {name: {} for name in names}
    behind: dict[str, int] = {}
    checks = ("activemq", "database", "assigned")
    servers = {
        name: HealthServer(
            "127.0.0.1",
            port,
            {check: lambda name=name, check=check: reasons[name].get(check) for check in checks},
            facts={LAG: lambda: behind} if name == "view" else {},
        )
        for name, port in ports.items()
    }
    seed.fill(tmp_path / "store.sqlite3")
    settings = read(snmp={"parts": {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}, "lag_limit": 100})
    pod = Pod(settings)
    app = app_of(Site(SQLiteStore(tmp_path / "store.sqlite3"), ZoneInfo("UTC")), tmp_path, pod)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=free_port(), log_level="warning"))
    running = asyncio.create_task(server.serve())
    for each in servers.values():
        await each.start()
    async with asyncio.timeout(PATIENCE_S):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    yield World(pod, servers, reasons, behind, f"http://127.0.0.1:{server.config.port}")
    server.should_exit = True
    await running
    for each in servers.values():
        await each.stop()


async def test_it_is_ready_when_all_are(world: World) -> None:
    fine = {"ready": True, "reasons": {}}
    assert await world.asked() == (
        200,
        {**fine, "parts": dict.fromkeys(["bridge", "agents", "agents-2", "sinks", "view", "reports"], fine)},
    )


async def test_a_database_that_is_away_makes_it_unready_and_never_dead(world: World) -> None:
    world.reasons["sinks"]["database"] = "db:1433 does not answer"
    code, said = await world.asked()
    assert (code, said["ready"], said["reasons"]) == (503, False, {"sinks: database": "db:1433 does not answer"})
    assert said["parts"]["sinks"] == {"ready": False, "reasons": {"database": "db:1433 does not answer"}}
    assert said["parts"]["bridge"]["ready"]
    assert await world.asked("/health/live") == (200, {"live": True})
    assert await world.asked("/health/ready/reports") == (200, {"ready": True, "reasons": {}})
    world.reasons["sinks"].clear()
    assert (await world.asked())[0] == 200


async def test_each_reason_is_told_by_its_process(world: World) -> None:
    world.reasons["bridge"]["activemq"] = "refused"
    world.reasons["agents-2"]["assigned"] = "no partitions yet"
    await world.servers["agents"].stop()
    code, said = await world.asked()
    assert code == 503
    assert said["reasons"] == {"bridge: activemq": "refused", "agents": "does not answer", "agents-2: assigned": "no partitions yet"}
    assert said["parts"]["agents"] is None


async def test_a_stage_that_is_too_far_behind_is_a_reason(world: World) -> None:
    world.behind |= {"calls": 100, "sinks": 12_000}
    code, said = await world.asked()
    assert (code, said["reasons"]) == (503, {"lag: sinks": "12,000 records behind, more than 100 (snmp.lag_limit)"})
    world.behind["sinks"] = 0
    assert (await world.asked())[0] == 200
    await world.servers["view"].stop()
    assert (await world.asked())[1]["reasons"] == {"view": "does not answer, so nobody knows how far behind the stages are"}


async def test_the_view_asks_the_reports_for_themselves_alone(world: World) -> None:
    """Else what is wrong with the sinks would be shown as wrong with the reports."""
    world.reasons["sinks"]["database"] = "away"
    asked = Parts({"reports": world.base})
    running = asyncio.create_task(asked.run())
    async with asyncio.timeout(PATIENCE_S):
        while asked.answers["reports"].readiness == "unknown":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    running.cancel()
    assert asked.answers["reports"].readiness == "ready"


def test_facts_of_others_are_no_lag() -> None:
    assert judged({"bridge": Said(ready=True, facts={"config server": {"revision": 10**6}})}, 10).reasons == {}


def test_words_among_the_facts_are_understood() -> None:
    """A process that has lost its Config Server says so, and works on: it answers, and is ready."""
    said = msgspec.json.decode(
        b'{"ready": true, "reasons": {}, "facts": {"config server": {"connected": 0, "lost": "refused"}}}', type=Said
    )
    assert said.facts["config server"]["lost"] == "refused"
    assert judged({"sinks": said}, 100).reasons == {}
