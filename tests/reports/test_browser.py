"""The pages in a real browser: the main ways, the keyboard, phone and dark; nothing complains and nothing leaves the machine."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import uvicorn

from pipeline.local.ports import free_port
from pipeline.readiness import VIEW, Pod
from pipeline.settings import read
from reports.server import app_of
from reports.site import Site, wall_clock
from reports.store.sqlite import SQLiteStore
from tests.conftest import PATIENCE_S
from tests.reports import seed
from tests.reports.screenshots import ARGUMENTS, CHROMIUM, LOW, PHONE
from tests.reports.test_pipeline import exposition

playwright = pytest.importorskip("playwright.sync_api", reason="NOT TESTED: pages in a browser need playwright")

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright  # noqa: E402

PATIENCE_MS = PATIENCE_S * 1000
expect.set_options(timeout=PATIENCE_MS)

PATHS = (
    "/",
    "/calls",
    "/calls?state=in-progress",
    "/calls?tenant-id=9",
    "/bins?measure=results&comp=MCP",
    "/bins?dimension=tenant",
    "/quality?dimension=tenant",
    "/billing",
    "/pipeline",
)


@dataclass
class Running:
    """`view`: the port of a view that does not answer until a test starts it."""

    base: str
    path: Path
    seeded: seed.Seeded
    view: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Running]:
    """A server on calls that end now."""
    path = tmp_path_factory.mktemp("browser") / "live.sqlite3"
    seeded = seed.fill(path, end=wall_clock(), hours=4)
    view = free_port()
    pod = Pod(read(snmp={"parts": {VIEW: f"http://127.0.0.1:{view}"}}))
    app = app_of(Site(SQLiteStore(path), ZoneInfo("UTC")), assets, pod)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Running(f"http://127.0.0.1:{port}", path, seeded, view)
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not shutil.which(CHROMIUM):
        pytest.skip(f"NOT TESTED: pages in a browser need {CHROMIUM}")
    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@dataclass
class Watch:
    """What a page complained of, and whom it asked."""

    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def request(self, request: Request) -> None:
        self.asked.append(request.url)


@pytest.fixture
def watch(server: Running) -> Iterator[Watch]:
    found = Watch()
    yield found
    assert found.complaints == []
    assert found.asked, "nothing was watched"
    assert [url for url in found.asked if not url.startswith((server.base + "/", "data:"))] == []


@pytest.fixture
def page(browser: Browser, watch: Watch, request: pytest.FixtureRequest) -> Iterator[Page]:
    phone = getattr(request, "param", None) == "phone"
    context = browser.new_context(viewport=PHONE if phone else LOW, color_scheme="dark" if phone else "light")  # type: ignore[arg-type]
    found = context.new_page()
    found.set_default_timeout(PATIENCE_MS)
    found.on("console", watch.console)
    found.on("pageerror", lambda error: watch.complaints.append(str(error)))
    found.on("request", watch.request)
    yield found
    context.close()


def drawn(page: Page) -> bool:
    """Whether the plot has any colour on it."""
    return bool(
        page.evaluate(
            "() => { const c = document.querySelector('.plot canvas'); if (!c) return false;"
            " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v !== 0); }"
        )
    )


def test_from_now_to_a_call_and_where_it_came_from(page: Page, server: Running) -> None:
    page.goto(server.base + "/")
    expect(page.locator("#today")).not_to_have_text("0")
    page.wait_for_selector(".plot canvas")
    assert drawn(page)
    page.get_by_role("link", name="Environment / Globex").click()
    expect(page.get_by_role("heading", name="Calls", exact=True)).to_be_visible()
    expect(page.locator("select[name=tenant-id]")).to_have_value("103")
    assert set(page.locator("td.tenant").all_inner_texts()) == {"Environment / Globex"}
    page.locator("select[name=state]").select_option("finished")
    page.locator("select[name=result]").select_option("SUCCESS")
    page.get_by_role("button", name="Search").click()
    assert page.url.removeprefix(server.base) == "/calls?tenant-id=103&state=finished&result=SUCCESS"  # empty fields stay out of the link
    page.locator("td.start a").first.click()
    expect(page.get_by_role("heading", name="Time line")).to_be_visible()
    assert page.locator("svg.line rect.bar").count() == 2
    row = page.locator(".messages tbody tr").first
    expect(row).to_contain_text("ID:gw-201-")
    page.locator("svg.line a").last.click()
    assert page.locator(".messages tr:target").count() == 1


def test_figures_move_without_reload(page: Page, server: Running) -> None:
    page.goto(server.base + "/")
    page.evaluate("window.stayed = true")
    before = int(page.locator("#in-progress").inner_text())
    now = wall_clock()
    new = seed.Session(
        "AAAAAAAA-0000-4000-8000-000000000001",
        "RM",
        201,
        "NEW",
        now,
        None,
        (1, 103),
        "Environment/Globex",
        (320, "Flight status"),
        None,
        "INBOUND",
        "sip:1@a",
        None,
    )
    with sqlite3.connect(server.path) as connection:
        seed.write(connection, [new], now)
        connection.execute("UPDATE freshness SET folded_to = ?", [now])
    expect(page.locator("#in-progress")).to_have_text(str(before + 1))
    expect(page.locator("#freshness")).to_have_class("freshness fresh")
    assert page.evaluate("window.stayed") is True


def test_a_server_that_goes_away_is_said_and_the_figures_stay(page: Page, server: Running, watch: Watch) -> None:
    page.goto(server.base + "/")
    before = page.locator("#today").inner_text()
    page.route("**/now/live*", lambda route: route.abort())
    expect(page.locator("#broken")).to_be_visible(timeout=6000)
    expect(page.locator("#today")).to_have_text(before)
    page.unroute("**/now/live*")
    expect(page.locator("#broken")).to_be_hidden(timeout=6000)
    watch.complaints.clear()  # the browser itself notes the failed request


def test_older_calls_and_back(page: Page, server: Running) -> None:
    page.goto(server.base + "/calls")
    first = page.locator("td.start").first.inner_text()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**cursor=**")
    assert page.locator("td.start").first.inner_text() < first
    page.go_back()
    assert page.locator("td.start").first.inner_text() == first


def test_trends_follow_the_choice(page: Page, server: Running) -> None:
    page.goto(server.base + "/bins")
    page.locator("select[name=dimension]").select_option("app")
    page.wait_for_url("**dimension=app**")
    checked = page.locator("input[name=value]:checked")
    while checked.count():
        checked.first.uncheck()
    page.get_by_label("Flight status").check()
    page.locator("select[name=granularity]").select_option("DAY")
    page.wait_for_url(lambda url: "value=320" in url and "granularity=DAY" in url and "value=310" not in url)
    page.wait_for_selector(".plot canvas")
    assert drawn(page)
    flights = sum(s.app[0] == 320 for s in server.seeded.of("RM"))
    expect(page.locator(".facts dd").first).to_have_text(str(flights))
    page.get_by_role("link", name="Link to these figures").click()
    page.wait_for_url("**from=**")
    expect(page.locator(".facts dd").first).to_have_text(str(flights))


def test_quality_of_tenants_side_by_side(page: Page, server: Running) -> None:
    page.goto(server.base + "/quality")
    page.locator("select[name=dimension]").select_option("tenant")
    page.wait_for_url("**dimension=tenant**")
    page.wait_for_selector(".plot canvas")
    assert drawn(page)
    ended = [s for s in server.seeded.of("MCP") if s.end_ts is not None and 103 in s.path]
    row = page.get_by_role("region", name="Rates over the whole span").get_by_role("row", name="Environment/Globex")
    expect(row.get_by_role("cell").first).to_have_text(str(len(ended)))


def test_the_pipeline_comes_back_without_reload(page: Page, server: Running) -> None:
    page.goto(server.base + "/pipeline")
    expect(page.get_by_role("alert")).to_contain_text("The view does not answer")
    page.evaluate("window.stayed = true")
    body = exposition().encode()

    class View(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", server.view), View) as view:
        threading.Thread(target=view.serve_forever, daemon=True).start()
        expect(page.locator("#database")).to_have_text("Down")
        expect(page.get_by_role("row", name="Sinks Not ready")).to_contain_text("12,345")
        assert page.evaluate("window.stayed") is True
        view.shutdown()


@pytest.mark.parametrize("page", ["phone", "wide"], indirect=True)
def test_axe_finds_nothing_serious(page: Page, server: Running, assets: Path, watch: Watch) -> None:
    axe = assets / "axe-core" / "axe.min.js"
    if not axe.is_file():
        pytest.skip("NOT TESTED: accessibility needs the jar of axe-core (make setup fetches it)")
    found = []
    for path in (*PATHS, f"/calls/{server.seeded.of('MCP')[3].guid}"):
        page.goto(server.base + path)
        page.evaluate(axe.read_text())
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(result["passes"]) > 10, path  # it has looked
        found += [
            (path, finding["id"], finding["impact"], [node["html"][:90] for node in finding["nodes"][:3]])
            for finding in result["violations"]
            if finding["impact"] in ("serious", "critical")
        ]
    assert found == []
    watch.complaints[:] = [text for text in watch.complaints if not text.startswith("Canvas2D")]  # of axe, which reads the plots


def test_by_keyboard(page: Page, server: Running) -> None:
    page.goto(server.base + "/calls")
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    reached = [page.evaluate("document.activeElement.name")]
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name"))
    assert reached == ["number", "guid", "tenant-id", "app-id"]
    style = "getComputedStyle(document.activeElement)"
    outline = page.evaluate(f"{style}.outlineStyle + {style}.boxShadow")
    assert outline != "nonenone"
    page.locator("input[name=number]").fill("8005550124")
    page.keyboard.press("Enter")
    page.wait_for_url("**number=8005550124")
    assert set(page.locator("td[data-label=DN]").all_inner_texts()) == {"8005550124"}


@pytest.mark.parametrize("page", ["phone", "wide"], indirect=True)
def test_no_page_is_wider_than_its_screen(page: Page, server: Running) -> None:
    for path in (*PATHS, f"/calls/{server.seeded.of('MCP')[3].guid}"):
        page.goto(server.base + path)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, path


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_dark_follows_the_system(page: Page, server: Running) -> None:
    page.goto(server.base + "/")
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")[:3]
    assert max(red, green, blue) < 60


def test_every_field_and_picture_has_a_name(page: Page, server: Running) -> None:
    for path in (*PATHS, f"/calls/{server.seeded.of('MCP')[3].guid}"):
        page.goto(server.base + path)
        nameless = page.evaluate(
            "[...document.querySelectorAll('input, select, [role=img], nav, table a, button')]"
            ".filter((e) => !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert nameless == []
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("lang") == "en"
