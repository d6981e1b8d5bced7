"""The statement in a real browser: from a figure to the messages behind it; light, dark, on a phone, on paper."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from reports.server import app_of
from tests.billing.conftest import MINUTE_MS, NOW, ZONE, Store, Stored, some
from tests.conftest import PATIENCE_S
from tests.reports.conftest import assets, site
from tests.reports.screenshots import ARGUMENTS, CHROMIUM, LOW, PHONE

playwright = pytest.importorskip("playwright.sync_api", reason="NOT TESTED: pages in a browser need playwright")

from playwright.sync_api import Browser, sync_playwright  # noqa: E402

__all__ = ["assets"]  # a fixture
HOUR = 60 * MINUTE_MS
SHOTS = os.environ.get("RS_SHOTS")  # a folder for pictures, to look at


@pytest.fixture
def base(store: Store, assets: Path) -> Iterator[str]:
    store.put(*some(), *(Stored(100 + n, n * HOUR, n * HOUR + n * 7_000 + 1, burst=((102, n % 4),)) for n in range(160)))
    store.close()
    store.put(replace(some()[0], end=10 * HOUR + 121_000, app=320), Stored(300, 14 * HOUR, 14 * HOUR + 1))
    store.adjust()
    server = uvicorn.Server(
        uvicorn.Config(app_of(site(store.dialect.path, NOW, ZONE), assets), host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + PATIENCE_S
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def browser() -> Iterator[Browser]:
    if not shutil.which(CHROMIUM):
        pytest.skip(f"NOT TESTED: pages in a browser need {CHROMIUM}")
    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_from_a_figure_to_its_messages(base: str, browser: Browser, look: str) -> None:
    size, scheme = (PHONE if look == "phone" else LOW), ("dark" if look == "dark" else "light")
    page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(PATIENCE_S * 1000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def shot(name: str) -> None:
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{look}.png", full_page=True)

    page.goto(base + "/billing?tenant-id=102&month=2026-10")
    shot("statement")
    assert page.locator(".statement dd").first.inner_text().startswith("Closed")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page itself never scrolls sideways"
    if look == "light":
        page.emulate_media(media="print")
        shot("print")
        assert not page.locator(".filters").is_visible()
        assert page.locator("tfoot").is_visible()
        page.emulate_media(media="screen")
    page.locator("tfoot tr").first.locator("a", has_text="164").last.click()
    page.wait_for_url("**/sessions?profile=total&figure=*")
    assert page.locator("tbody tr").count() == 50
    page.locator("tbody summary").first.click()
    assert "rs.billing /" in page.locator("ul.sources").first.inner_text()
    shot("sessions")
    page.get_by_role("link", name="Billing statement").click()
    page.wait_for_url("**/billing?tenant-id=102&month=2026-10")
    assert complaints == []
