"""XML by its schema, CSV, what decides between them, and answers that the asker has already."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree

from bench.reports import END as BENCH_END
from bench.reports import fill
from reports.api.question import accepted
from reports.api.shapes import SCHEMAS
from reports.render import as_csv, as_xml, relaxng
from reports.render.shape import Field, Many, Part, Service, shape
from tests.reports import questions
from tests.reports.conftest import client, site
from tests.reports.seed import Seeded, Session, write
from tests.reports.test_stores import ODD

TODAY = "granularity=DAY&from=2026-11-18T00:00:00"
ROOTS = {service.root: service for service, _ in SCHEMAS}


def schema(name: str) -> etree.RelaxNG:
    return etree.RelaxNG(etree.fromstring((relaxng.FOLDER / name).read_bytes()))


def test_the_schema_files_are_those_of_the_declarations() -> None:
    assert {path.name: path.read_text() for path in relaxng.FOLDER.iterdir()} == relaxng.files(), "python -m reports.render.relaxng"
    assert len(ROOTS) == len(SCHEMAS), "each service has a root element of its own"


def asked_of(seeded: Seeded) -> list[str]:
    guid = max((s for s in seeded.of("MCP") if s.end_ts), key=lambda s: len(s.events)).guid
    asked = [path for path in questions.ALL if path.startswith("/ems-rs/") and "format=" not in path and "cursor=" not in path]
    return [*asked, f"/ems-rs/calls/{guid}", f"/ems-rs/HIST/CDRs/MCP/events?gvp-guid={guid}"]


async def test_every_answer_in_xml_is_as_its_schema_says(store_path: Path, seeded: Seeded) -> None:
    schemas = {service.root: schema(f"{service.schema}.rng") for service in ROOTS.values()}
    seen: dict[str, int] = {}
    async with client(site(store_path)) as web:
        for path in asked_of(seeded):
            got = await web.get(path, headers={"accept": "application/xml"})
            assert got.headers["content-type"] in ("application/xml", "application/problem+json"), path
            if got.status_code != 200:
                continue
            tree = etree.fromstring(got.content)
            schemas[tree.tag].assertValid(tree)
            seen[tree.tag] = seen.get(tree.tag, 0) + len(tree) - 1
    assert {root for root in ROOTS if not seen.get(root)} == set(), "answers without content prove nothing"


def test_the_schema_refuses_what_is_not_declared() -> None:
    grammar = schema("CDR_Events.rng")
    manifest: dict[str, Any] = {
        "request-uri": "/",
        "request-params": {},
        "recognised-params": [],
        "normalized-params": {},
        "meta": {"v": 1},
    }
    event = {"log-id": "a", "session-id": "b", "comp-id": 3, "text": "x"}
    good = as_xml.document(ROOTS["call-events"], manifest, [event]).decode()
    grammar.assertValid(etree.fromstring(good.encode()))
    for this, instead in (
        ("call-events>", "events>"),
        ('comp-id="3"', 'comp-id="c"'),
        ('log-id="a"', ""),
        ('comp-id="3"', 'comp-id="3" colour="red"'),
    ):
        assert not grammar.validate(etree.fromstring(good.replace(this, instead).encode())), instead


async def test_the_vendors_names_of_a_call_log_and_of_usage(store_path: Path, seeded: Seeded) -> None:
    mcp = max((s for s in seeded.of("MCP") if s.end_ts), key=lambda s: len(s.events))
    async with client(site(store_path)) as web:
        log = etree.fromstring((await web.get(f"/ems-rs/HIST/CDRs/MCP/events?gvp-guid={mcp.guid}&format=xml")).content)
        usage = etree.fromstring((await web.get("/ems-rs/RT/tenants/usage?tenant-id=102&format=xml")).content)
        as_json = (await web.get("/ems-rs/RT/tenants/usage?tenant-id=102")).json()["usage"][0]
        latency = etree.fromstring((await web.get("/ems-rs/sqa/latency/summary?format=xml")).content)
    first = log.find("event")
    assert {"timestamp", "level", "log-id", "session-id", "comp-id"} <= set(first.attrib)
    assert (first.get("level"), first.get("log-id"), first.get("session-id")) == ("METRIC", "incall_begin", mcp.session)
    assert first.text == f"{mcp.app[0]}|{mcp.remote_uri}"
    assert log.find("manifest/normalized-params/param[@name='gvp-guid']").get("value") == mcp.guid
    assert usage.find("usage/object").get("href") == "/ems-rs/RT/tenants/usage?tenant-id=102"
    assert int(usage.find("usage/calls/in-progress").get("count")) == as_json["calls"]["in-progress"]["count"] > 0
    today = usage.find("usage/calls/arrived/today")
    assert {part.get("type"): int(part.get("count")) for part in today.iter("calls")} == {
        part["type"]: part["count"] for part in as_json["calls"]["arrived"]["today"]["calls"]
    }
    assert usage.find("usage/peak").get("today") == str(as_json["peak"]["today"])
    assert usage.find("usage/var-stats/today/call-result").get("type") == "SUCCESS"
    category = latency.find("latency/latencies/category")
    assert {"name", "measured", "types", "acceptable", "avg", "min", "max", "std-dev"} <= set(category.attrib)


def test_texts_that_xml_cannot_hold() -> None:
    service = Service("rows", "rows", "row", "Rows", shape(Field("a"), Field("b", body=True)))
    manifest: dict[str, Any] = {
        "request-uri": "/x?a=<&\x00",
        "request-params": {},
        "recognised-params": [],
        "normalized-params": {},
        "meta": {"v": 1},
    }
    rows = [{"a": '<"&\x00\n\ud800', "b": "]]>\x1b\r☎🙂"}]
    tree = etree.fromstring(as_xml.document(service, manifest, rows))
    assert tree.find("row").get("a") == '<"&\ufffd\n\ufffd'
    assert tree.find("row").text == "]]>\ufffd\r☎🙂"
    assert tree.find("manifest/request-uri").text == "/x?a=<&\ufffd"


@pytest.mark.parametrize(
    ("header", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/xml", "xml"),
        ("text/xml;q=0.9, application/json;q=0.5", "xml"),
        ("text/csv", "csv"),
        ("application/json, application/xml, text/csv", "json"),
        ("text/csv, application/json", "json"),
        ("application/xml;q=0.2, text/csv;q=0.3", "csv"),
        ("text/html", "json"),
        ("application/xml;q=wrong, */*;q=0.1", "json"),
        ("application/xml; q=0", "json"),
    ],
)
def test_what_the_asker_accepts(header: str, form: str) -> None:
    assert accepted(header) == form


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


async def test_csv_has_every_row_and_a_page_has_its_own(store_path: Path, seeded: Seeded) -> None:
    async with client(site(store_path)) as web:
        got = await web.get("/ems-rs/HIST/CDRs/RM/details?tenant-id=102", headers={"accept": "text/csv"})
        assert got.headers["content-type"].startswith("text/csv")
        assert got.headers["content-disposition"] == 'attachment; filename="CDR_Details.csv"'
        rows = read(got.content)
        listed = (await web.get("/ems-rs/HIST/CDRs/RM/details?tenant-id=102&page-size=1000")).json()["call-detail-records"]
        assert [row["session-id"] for row in rows] == [row["session"] for row in listed]
        assert len(rows) > 100 == len(read((await web.get("/ems-rs/HIST/CDRs/RM/details?page-size=100&format=csv")).content))
        first, same = rows[0], listed[0]
        assert (first["gvp-guid"], first["start"], first["duration-ms"]) == (same["guid"], same["start"], str(same["duration_ms"]))
        assert first["tenant-path"] == "/".join(map(str, same["tenant_path"]))
        assert json.loads(first["usage-tenant"]) == same["usage"]


async def test_csv_of_bins_has_columns_of_call_types(store_path: Path, seeded: Seeded) -> None:
    async with client(site(store_path)) as web:
        asked = "/ems-rs/operations/arrivals/RM?granularity=FIVE_MINUTES&from=2026-11-18T00:00:00&tenant-id=1&tenant-id=102&tenant-id=103"
        rows = read((await web.get(f"{asked}&format=csv")).content)
        listed = (await web.get(f"{asked}&page-size=1000")).json()["arrivals"]
    assert len(rows) == len(listed) > 100
    for row, same in zip(rows, listed, strict=True):
        assert (row["id"], row["name"], row["start"], row["count"]) == (str(same["id"]), same["name"], same["start"], str(same["count"]))
        by = {part["type"]: part["count"] for part in same["calls"]}
        assert {name.removeprefix("calls."): int(n) for name, n in row.items() if name.startswith("calls.") and n != "0"} == by


def test_csv_of_nested_lists() -> None:
    inner = shape(Field("name"), Field("n", "integer"))
    of = shape(
        Field("a"),
        Part("p", shape(Field("b_c"))),
        Many("rows", inner, explode=True),
        Many("cell", inner),
        Many("by", inner, labels=("x", "y")),
    )
    service = Service("s", "s", "s", "S", of)
    given = [
        {
            "a": "1",
            "p": {"b_c": 2},
            "rows": [{"name": "u", "n": 3}, {"name": "v", "n": 4}],
            "cell": [{"name": "w"}],
            "by": [{"name": "y", "n": 5}],
        },
        {"a": None, "rows": []},
    ]
    text = b"".join(as_csv.text(service, given)).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "p.b-c", "rows.name", "rows.n", "cell", "by.x", "by.y"],
        ["1", "2", "u", "3", '[{"name":"w"}]', "0", "5"],
        ["1", "2", "v", "4", '[{"name":"w"}]', "0", "5"],
        ["", "", "", "", "", "0", "0"],
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
async def test_no_cell_is_a_formula(tmp_path: Path, store_path: Path, text: str) -> None:
    path = tmp_path / "formulas.sqlite3"
    shutil.copy(store_path, path)
    row = Session(
        "F0000000-0000-0000-0000-000000000001",
        "RM",
        201,
        "S",
        BENCH_END - 5,
        BENCH_END,
        (1, 9),
        text,
        (9, text),
        "7",
        "INBOUND",
        text,
        "USER_END",
    )
    with closing(sqlite3.connect(path)) as connection:
        write(connection, [row], BENCH_END)
        connection.commit()
    async with client(site(path)) as web:
        (found,) = read((await web.get("/ems-rs/HIST/CDRs/RM/details?tenant-id=9&format=csv")).content)
    assert (found["tenant-name"], found["app-name"], found["remote-uri"]) == (f"'{text}",) * 3
    assert found["duration-ms"] == "5"


def test_numbers_are_no_formulas() -> None:
    assert [as_csv.guarded(value) for value in (-1, -0.5, None, True, [1, 2], "a=b")] == [-1, -0.5, "", "true", "1/2", "a=b"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 30,000 sessions of one kind."""
    path = tmp_path_factory.mktemp("large") / "large.sqlite3"
    fill(path, 60_000, bins=False)
    return path


def test_an_export_takes_the_same_memory_whatever_its_length(large: Path) -> None:
    """Of what the app keeps while it gives the rows on, not of what the client does with them."""
    import asyncio

    async def most(path: str) -> tuple[int, int]:
        lines = 0

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(3600)
            return {}

        async def send(message: Any) -> None:
            nonlocal lines
            if message["type"] == "http.response.start":
                assert message["status"] == 200
                tracemalloc.reset_peak()
            lines += message.get("body", b"").count(b"\r\n")

        app = client(site(large, at=BENCH_END))._transport.app  # type: ignore[attr-defined]
        route, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": route, "raw_path": route.encode(),
            "query_string": query.encode(), "headers": [], "scheme": "http", "server": ("h", 80), "client": ("c", 1), "root_path": "",
        }  # fmt: skip
        await app(scope, receive, send)
        return tracemalloc.get_traced_memory()[1], lines

    tracemalloc.start()
    try:
        small, few = asyncio.run(most("/ems-rs/HIST/CDRs/RM/details?format=csv&app-id=301&app-id=302&app-id=303&app-id=304"))
        whole, many = asyncio.run(most("/ems-rs/HIST/CDRs/RM/details?format=csv"))
    finally:
        tracemalloc.stop()
    assert (few, many) == (3_001 - 20, 30_001 - 200)  # with the header, without those in progress
    assert whole < small * 1.25 + 500_000


async def test_the_same_question_to_the_same_store_is_answered_once(tmp_path: Path, store_path: Path) -> None:
    path = tmp_path / "tagged.sqlite3"
    shutil.copy(store_path, path)
    where = site(path)
    async with client(where) as web:
        first = await web.get("/ems-rs/calls?page-size=3")
        tag = first.headers["etag"]
        assert re.fullmatch(r'W/"[0-9a-f]{24}"', tag)
        for said in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = await web.get("/ems-rs/calls?page-size=3", headers={"if-none-match": said})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), said
        assert (await web.get("/ems-rs/calls?page-size=4", headers={"if-none-match": tag})).status_code == 200
        xml = await web.get("/ems-rs/calls?page-size=3", headers={"if-none-match": tag, "accept": "application/xml"})
        assert (xml.status_code, xml.headers["vary"]) == (200, "Accept")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("INSERT INTO rs_offsets VALUES ('rs.calls', 0, 7)")
            connection.commit()
        assert (await web.get("/ems-rs/calls?page-size=3", headers={"if-none-match": tag})).status_code == 200
        where.clock = lambda: BENCH_END + 60_000
        later = (await web.get("/ems-rs/calls?page-size=3")).headers["etag"]
        where.clock = lambda: BENCH_END + 120_000
        assert (await web.get("/ems-rs/calls?page-size=3", headers={"if-none-match": later})).status_code == 200


async def test_wrong_questions_are_problems_in_every_form(web: httpx.AsyncClient) -> None:
    for form in ("json", "xml", "csv"):
        got = await web.get(f"/ems-rs/calls?format={form}&page=0")
        assert (got.status_code, got.headers["content-type"]) == (400, "application/problem+json")
    got = await web.get("/ems-rs/calls?format=pdf&app-id=x")
    assert [fault["parameter"] for fault in got.json()["faults"]] == ["format", "app-id"]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/ems-rs/calls?" + "&".join(f"app-id={n}" for n in range(1, 2_002)), "app-id"),
        ("/ems-rs/calls?" + "&".join(f"app-id={n}&tenant-id={n}" for n in range(1, 1_102)), "all parameters"),
        (f"/ems-rs/operations/arrivals/RM?{TODAY}&" + "&".join(f"app-id={n}" for n in range(1, 1_200)), "all parameters"),
    ],
)
async def test_too_many_values_are_a_fault_of_the_question(store_path: Path, seeded: Seeded, path: str, parameter: str) -> None:
    from tests.reports.test_stores import Replayed

    async with client(site(store_path)) as web:
        allowed = await web.get("/ems-rs/calls?" + "&".join(f"app-id={n}" for n in range(1, 2_001)))
        assert allowed.status_code == 200
        got = await web.get(path)
    if parameter == "all parameters" and "operations" in path:  # SQL Server compares a text twice
        async with client(site(Replayed([[], [], [{"folded_to": 1, "stream": 1, "clock": 1}]]))) as web:
            got = await web.get(path)
    assert got.status_code == 400
    assert [fault["parameter"] for fault in got.json()["faults"]] == [parameter]


async def test_schemas_are_served(web: httpx.AsyncClient) -> None:
    got = await web.get("/ems-rs/schema/CDR_Events.rng")
    assert (got.status_code, got.headers["content-type"]) == (200, "application/xml")
    etree.RelaxNG(etree.fromstring(got.content))
    for name in ("nothing.rng", "..%2Fserver.py", "CDR_Events.rng%00"):
        assert (await web.get(f"/ems-rs/schema/{name}")).status_code == 404


async def test_odd_texts_in_every_form(tmp_path: Path, store_path: Path, seeded: Seeded) -> None:
    path = tmp_path / "odd.sqlite3"
    shutil.copy(store_path, path)
    with closing(sqlite3.connect(path)) as connection:
        write(connection, ODD, BENCH_END)
        connection.commit()
    async with client(site(path)) as web:
        listed = (await web.get("/ems-rs/calls?tenant-id=9")).json()["calls"]
        tree = etree.fromstring((await web.get("/ems-rs/calls?tenant-id=9&format=xml")).content)
        rows = read((await web.get("/ems-rs/calls?tenant-id=9&format=csv")).content)
    assert [row.get("remote-uri") for row in tree.iter("call")] == [row["remote_uri"] for row in listed]
    assert [row["remote-uri"] for row in rows] == [row["remote_uri"] for row in listed]
    assert len(rows) >= 8


async def test_the_examples_of_the_page_run(store_path: Path, seeded: Seeded) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    asked = re.findall(r"'http://127.0.0.1:8080(/ems-rs/[^']+)'", page)
    assert len(asked) > 5
    async with client(site(store_path)) as web:
        assert {path: (await web.get(path)).status_code for path in asked} == dict.fromkeys(asked, 200)
        described = (await web.get("/ems-rs/openapi.json")).json()["paths"]
        known = {parameter["name"] for path in described.values() for parameter in path["get"].get("parameters", [])}
        assert {name for path in asked for name in re.findall(r"[?&]([a-z-]+)=", path)} <= known


async def test_examples_of_the_description_are_allowed(web: httpx.AsyncClient) -> None:
    described = (await web.get("/ems-rs/openapi.json")).json()["paths"]
    faults: dict[str, Any] = {}
    for path, operation in described.items():
        for parameter in operation["get"].get("parameters", []):
            if parameter["in"] != "query" or "example" not in parameter:
                continue
            got = await web.get(path.replace("{comp}", "RM"), params={parameter["name"]: parameter["example"]})
            wrong = (
                [f for f in got.json().get("faults", []) if f["parameter"] == parameter["name"] and f["value"]]
                if got.status_code == 400
                else []
            )
            wrong = [f for f in wrong if not f["allowed"].startswith(("only ", "needed", "gvp-guid, or", "not before"))]
            if wrong:
                faults[f"{path} {parameter['name']}"] = wrong
    assert faults == {}
