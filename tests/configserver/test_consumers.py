"""Those who read settings and names again while they run."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline import settings
from pipeline.configserver import Objects
from pipeline.configserver.objects import Component, Profile, Tenant
from pipeline.settings import Settings
from reports.queries import calls
from reports.site import Site
from sinks.purging import Purging
from sinks.sql.retention import DAY_MS, Keep
from sinks.sql.sqlite import SQLite
from sinks.views import figures
from sinks.views.rows import Component as ComponentRow
from sinks.views.rows import Tenant as TenantRow
from sinks.views.view import View


def test_the_view_judges_by_the_thresholds_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [settings.read(snmp={"raise_after": 0, "usage_limits": {"1": 10}})]
    monkeypatch.setattr(figures, "tenants", lambda _: {(1,): TenantRow(in_progress=5)})
    view = View(now[0], lambda: now[0])
    view.log.trouble = None

    def usage(at: float) -> bool:
        view.step(at, at)
        return ("usage", "1") in view.figures.conditions

    assert not usage(1.0)
    now[0] = settings.read(snmp={"raise_after": 30, "usage_limits": {"1": 4}})
    assert not usage(2.0)
    assert view.figures.tenants[1,].usage_limit == 4
    now[0] = settings.read(snmp={"raise_after": 0, "usage_limits": {"1": 4}})
    assert usage(3.0)


def test_the_view_names_what_the_config_server_names_and_else_what_messages_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "tenants", lambda _: {(1,): TenantRow(), (2,): TenantRow(), (3,): TenantRow()})
    monkeypatch.setattr(figures, "components", lambda _: {("RM", 201): ComponentRow(), ("RM", 202): ComponentRow()})
    objects = Objects(tenants={1: Tenant("Environment"), 2: Tenant("Acme", 1)}, components={201: Component("first RM")})
    view = View(settings.read(), objects=lambda: objects)
    view.names.tenants = {2: "Old name", 3: "Told by messages"}
    view.step(1.0, 1.0)
    assert [row.name for row in view.figures.tenants.values()] == ["Environment", "Environment/Acme", "Told by messages"]
    assert [row.name for row in view.figures.components.values()] == ["first RM", ""]


async def test_retention_goes_by_the_ages_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now: list[Settings] = [settings.read(retention={"cdr": 30, "interval": 600})]
    keep = Keep.of(now[0])
    assert keep is not None
    purging = Purging(SQLite(tmp_path / "reporting.sqlite3"), keep, lambda: True)
    purged: list[float] = []

    async def once() -> dict[str, int]:
        purged.append(purging._keep.ages["cdr"] / DAY_MS)
        return {}

    monkeypatch.setattr(purging, "once", once)
    changes = [
        None,
        settings.read(retention={"cdr": 20, "interval": 600}),
        None,
        settings.read(retention={"cdr": 10, "interval": 0}),
        settings.read(retention={"cdr": 10, "interval": 1e-9}),
    ]

    async def pause(_: float) -> None:
        if (change := changes.pop(0)) is not None:
            now[0] = change

    await purging.repeat(lambda: now[0], pause, lambda: not changes)
    assert purged == [20, 10]  # not while the interval is 0


def test_the_reports_name_what_the_config_server_names_and_else_what_calls_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "names", lambda _: calls.Names({2: "Old name", 3: "Told by a call"}, {7: "Desk"}))
    now = [Objects(tenants={1: Tenant("Environment"), 2: Tenant("Acme", 1)}, components={201: Component("first RM")})]
    site = Site(None, ZoneInfo("UTC"), objects=lambda: now[0])  # type: ignore[arg-type]  # nothing of the store is asked
    found = site.names(None)  # type: ignore[arg-type]
    assert found.tenants == {1: "Environment", 2: "Environment/Acme", 3: "Told by a call"}
    assert (found.of("app"), found.of("component"), found.of("dn")) == ({7: "Desk"}, {201: "first RM"}, {})
    now[0] = Objects(profiles={7: Profile("Help desk")})
    found = site.names(None)  # type: ignore[arg-type]
    assert (found.tenants, found.apps) == ({2: "Old name", 3: "Told by a call"}, {7: "Help desk"})
