"""Statements as the API, the pages and the command show them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
import sqlglot
from typer.testing import CliRunner

from pipeline.cli import build
from pipeline.settings import load
from reports.billing.sessions import FIGURES
from reports.queries import statements as queries
from reports.queries.calls import Names
from reports.store.tsql import TSQLDialect
from tests.billing.conftest import MINUTE_MS, MONTH, NOW, ZONE, Store, Stored, some
from tests.reports.conftest import client, site

HOUR = 60 * MINUTE_MS
ASKED = "/ems-rs/billing/statements?tenant-id=102&month=2026-10"


@pytest.fixture
def web(store: Store) -> httpx.AsyncClient:
    return client(site(store.dialect.path, NOW, ZONE))


async def ask(web: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await web.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = orjson.loads(answer.content)
    return found


async def rows(web: httpx.AsyncClient, path: str) -> list[dict[str, str]]:
    answer = await web.get(path)
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_an_open_month_has_the_figures_that_closing_freezes(store: Store, web: httpx.AsyncClient) -> None:
    store.put(*some())
    before = {tenant: (await ask(web, ASKED.replace("102", str(tenant))))["statement"] for tenant in (1, 102, 110, 103)}
    assert before[102]["state"] == "open"
    assert before[102]["closed"] is None
    assert [line["profile"] for line in before[1]["lines"]] == ["310", "320", "none"]
    store.close()
    for tenant, opened in before.items():
        closed = (await ask(web, ASKED.replace("102", str(tenant))))["statement"]
        assert closed["state"] == "closed"
        assert closed["closed"]["by"] == "ann"
        assert [(line["profile"], line["figures"]) for line in closed["lines"]] == [
            (line["profile"], line["figures"]) for line in opened["lines"]
        ]
        assert closed["total"]["figures"] == closed["total"]["adjusted"] == opened["total"]["figures"]
    assert before[102]["total"]["figures"] == {
        "calls": 4, "sessions": 4, "minutes": 64, "burst-1": 1, "burst-2": 1, "burst-3": 0, "rejected": 1, "peak": 3,
        "peak-time": "2026-10-01T10:00:06.000+02:00",
    }  # fmt: skip


async def test_the_manifest_says_how_fresh_and_how_far_back(store: Store, web: httpx.AsyncClient) -> None:
    store.put(*some())
    found = await ask(web, ASKED)
    assert found["manifest"]["meta"]["data_freshness"] == found["statement"]["figures-up-to"]
    assert "reach back" in found["manifest"]["note"]
    assert found["statement"]["rounding"]["rule"] == "started"
    assert found["statement"]["stored-since"] == "2026-10-01T00:00:30.000+02:00"


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("tenant", [1, 102, 110, 103])
async def test_every_figure_leads_to_its_sessions_and_they_to_their_messages(
    store: Store, web: httpx.AsyncClient, closed: bool, tenant: int
) -> None:
    store.put(*some())
    if closed:
        store.close()
        store.forget(*some())
    told = (await ask(web, ASKED.replace("102", str(tenant))))["statement"]
    for line in (*told["lines"], told["total"]):
        for figure in FIGURES:
            path = f"/ems-rs/billing/statements/{tenant}/2026-10/sessions?figure={figure}&profile={line['profile']}"
            found = (await ask(web, path))["sessions"]
            values = {
                "calls": len({one["guid"] for one in found}),
                "minutes": sum(one["minutes"] for one in found),
            }
            assert values.get(figure, len(found)) == line["figures"][figure], (line["profile"], figure)
            for one in found:
                (message,) = one["messages"]
                assert message["message-id"] == f"ID:{message['offset']}"
                assert one["partition"] == message["offset"] % 4
                assert (one["log"], one["topic"]) == ("log-1", "rs.billing" if closed else None)


async def test_sessions_are_paged_and_exported(store: Store, web: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.api.billing.CHUNK", 2)
    store.put(*(Stored(n, n * HOUR, n * HOUR + 1, burst=((102, 1),)) for n in range(7)))
    store.close()
    path = "/ems-rs/billing/statements/102/2026-10/sessions?figure="
    for figure in ("sessions", "burst-1"):
        seen = []
        for number in (1, 2, 3):
            found = await ask(web, f"{path}{figure}&page-size=3&page={number}")
            assert found["manifest"]["pages"]["record-count"] == 7
            seen += [one["guid"] for one in found["sessions"]]
        assert seen == [Stored(n, 0, 0).guid for n in range(7)]
        exported = await rows(web, f"{path}{figure}&format=csv")
        assert [row["guid"] for row in exported] == seen
        assert [row["messages.offset"] for row in exported] == [str(n) for n in range(7)]


async def test_csv_has_lines_adjustments_and_sums_and_no_formula(store: Store, web: httpx.AsyncClient) -> None:
    store.put(*some())
    store.run("UPDATE sessions SET app_name = '=1+1' WHERE app_id = 310")
    store.close()
    store.put(replace(some()[0], end=10 * HOUR + 121_000, receipt=NOW + 5))
    store.adjust()
    found = await rows(web, ASKED + "&format=csv")
    kinds = [(row["row"], row["profile"], row["minutes"]) for row in found]
    assert kinds == [
        ("line", "310", "63"), ("line", "320", "1"), ("line", "none", "0"), ("line", "total", "64"),
        ("adjustment", "310", "1"), ("adjustment", "total", "1"),
        ("adjusted", "310", "64"), ("adjusted", "320", "1"), ("adjusted", "none", "0"), ("adjusted", "total", "65"),
    ]  # fmt: skip
    assert found[0]["profile-name"] == "'=1+1"
    assert found[4]["date"] == "2026-11-07T00:00:00.005+01:00"
    assert found[4]["guid"] == some()[0].guid


async def test_adjustments_stand_beside_the_frozen_figures(store: Store, web: httpx.AsyncClient) -> None:
    store.put(*some())
    store.close()
    frozen = (await ask(web, ASKED))["statement"]
    store.put(Stored(30, 14 * HOUR, 14 * HOUR + 1, app=400))
    store.adjust()
    now = (await ask(web, ASKED))["statement"]
    assert now["total"]["figures"] == frozen["total"]["figures"]
    assert now["total"]["adjusted"]["calls"] == frozen["total"]["figures"]["calls"] + 1
    (line,) = [line for line in now["lines"] if line["profile"] == "400"]
    assert (line["figures"]["calls"], line["adjusted"]["calls"]) == (0, 1)
    assert [(one["profile"], one["differences"]["minutes"]) for one in now["adjustments"]] == [("400", 1), ("total", 1)]


async def test_a_closing_that_is_not_done_is_open(store: Store, web: httpx.AsyncClient) -> None:
    store.put(*some())
    closing = store.statements().close(MONTH.name, "ann")
    for _ in range(746):
        next(closing)
    closing.close()
    assert (await ask(web, ASKED))["statement"]["state"] == "open"
    assert [(one["month"], one["state"]) for one in (await ask(web, "/ems-rs/billing/months"))["months"]] == [("2026-10", "closing")]


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        ("/ems-rs/billing/statements", ["tenant-id", "month"]),
        ("/ems-rs/billing/statements?tenant-id=x&month=2026-13&format=pdf", ["format", "tenant-id", "month", "format"]),
        ("/ems-rs/billing/statements/x/y/sessions?figure=z&profile=p", ["profile", "figure", "tenant-id", "month"]),
        ("/ems-rs/billing/statements/1/2026-10/sessions", ["figure"]),
    ],
)
async def test_wrong_questions_are_told_all_at_once(web: httpx.AsyncClient, path: str, faults: list[str]) -> None:
    answer = await web.get(path)
    assert answer.status_code == 400
    assert [fault["parameter"] for fault in answer.json()["faults"]] == faults


async def test_a_tenant_nobody_knows_has_a_statement_of_zeros(store: Store, web: httpx.AsyncClient) -> None:
    assert set((await ask(web, ASKED))["statement"]["total"]["figures"].values()) == {0, None}
    store.close()
    assert set((await ask(web, ASKED))["statement"]["total"]["figures"].values()) == {0, None}


@pytest.mark.parametrize("closed", [False, True])
async def test_the_pages(store: Store, web: httpx.AsyncClient, closed: bool) -> None:
    store.put(*some())
    store.run("UPDATE sessions SET app_name = '<b>' WHERE app_id = 310")
    if closed:
        store.close()
        store.put(Stored(30, 14 * HOUR, 14 * HOUR + 1))
        store.adjust()
    page = await web.get("/billing?tenant-id=102&month=2026-10")
    assert page.status_code == 200
    assert ("Closed" in page.text, "Adjustments" in page.text) == (closed, closed)
    assert "<b></th>" not in page.text
    link = "/billing/102/2026-10/sessions?profile=total&amp;figure=minutes"
    assert link in page.text
    behind = await web.get(link.replace("&amp;", "&"))
    assert behind.status_code == 200
    assert "ID:1" in behind.text
    assert (await web.get("/billing")).status_code == 200
    assert (await web.get("/billing?tenant-id=9&month=1")).status_code == 400
    assert (await web.get("/billing/x/y/sessions")).status_code == 400


async def test_pages_of_an_empty_store(web: httpx.AsyncClient) -> None:
    page = await web.get("/billing")
    assert page.status_code == 200
    assert "No tenants yet" in page.text


class _TSQL:
    """A reading whose statements are asked in T-SQL, too, of a parser that is not ours."""

    def __init__(self, dialect: object) -> None:
        self.dialect, self.asked = dialect, list[str]()

    def rows(self, sql: str, _: object = ()) -> list[dict[str, Any]]:
        self.asked.append(sql)
        if "freshness" in sql:
            return [{"folded_to": None, "stream": None, "clock": None}]
        if "count(*)" in sql:
            return [{"n": 0}]
        return []


def test_what_the_reports_ask_is_t_sql() -> None:
    reading: Any = _TSQL(TSQLDialect())
    found = queries.statement(reading, 102, "2026-10", ZONE, "started", None)
    closing = queries.Closing(MONTH, "UTC", "started", "closed", 1, "a", None, 1, 1, None, "t")
    for of in (found, replace(found, closing=closing)):
        for figure in FIGURES:
            for line in ("total", "none", "310"):
                queries.behind(reading, of, line, figure, 10, 0)
        queries.log_of(reading, of)
    queries._frozen(reading, 102, closing, Names())
    queries.tenants(reading, Names())
    assert len(reading.asked) > 50
    for sql in reading.asked:
        assert len(sqlglot.parse(sql, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)) == 1


def test_what_the_sinks_write_is_t_sql(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connect = type(store.dialect).connect

    class Cursor:
        def __init__(self, cursor: Any) -> None:
            self._cursor = cursor

        def execute(self, sql: str, parameters: Any = ()) -> object:
            asked.append(sql)
            return self._cursor.execute(sql, parameters)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._cursor, name)

    class Connection:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def cursor(self) -> Any:
            return Cursor(self._connection.cursor())

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    store.put(*some())
    monkeypatch.setattr(type(store.dialect), "connect", lambda self: Connection(connect(self)))
    store.close()
    store.put(replace(some()[0], end=20 * HOUR), Stored(30, HOUR, 2 * HOUR))
    store.adjust()
    store.adjust()
    statements = {sql for sql in asked if "billing_" in sql and not sql.startswith("PRAGMA")}
    assert len(statements) > 15
    for sql in statements:
        assert len(sqlglot.parse(sql, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)) == 1


@contextmanager
def environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("RS_SINKS__DATABASE", f"sqlite:///{store.dialect.path}")
    monkeypatch.setenv("RS_REPORTS__TIME_ZONE", ZONE.key)
    monkeypatch.setenv("RS_CONFIG__SERVER", "none")
    monkeypatch.setattr("pipeline.cli.billing._topic", lambda _: "rs.billing.g3")
    load.cache_clear()  # another test of this process may have asked for its own
    try:
        yield
    finally:
        load.cache_clear()


def test_the_command_closes_adjusts_and_shows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(*some())

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(build("billing"), ["billing", *words])
        return result.exit_code, result.stdout

    with environment(store, monkeypatch):
        assert run("list") == (0, "no month is closed\n")
        assert run("close", "2026-10", "--by", "bob") == (0, "2026-10 is closed: 4 statements, 8 sessions kept with it\n")
        assert run("close", "2026-10")[1] == "2026-10 was closed before: 4 statements, 8 sessions kept with it\n"
        assert run("adjust") == (0, "nothing has changed\n")
        store.put(Stored(30, 14 * HOUR, 14 * HOUR + 1))
        assert run("adjust") == (0, "2026-10: 1 changed sessions\n")
        code, text = run("show", "102", "2026-10", "--json")
        assert code == 0
        assert orjson.loads(text)["closed"]["topic"] == "rs.billing.g3"
        assert len(orjson.loads(run("adjustments", "102", "2026-10", "--json")[1])) == 2
        assert "closed" in run("show", "102", "2026-10")[1]
        assert "bob" in run("list")[1]
        assert run("close", "2026-1")[0] == 2
        assert run("close", "2026-12")[0] == 1
        assert run("close", "2026-12", "--force")[0] == 2
