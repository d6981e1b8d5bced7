"""Pictures of the pages of a running server: python -m tests.reports.screenshots BASE_URL OUTDIR [--all]

Takes those of docs/pictures; with --all every page light, dark and on a phone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, LOW, PHONE = {"width": 1360, "height": 1080}, {"width": 1360, "height": 680}, {"width": 390, "height": 844}
PAGES = {
    "now": "/",
    "calls": "/calls",
    "call": "",
    "trends": "/bins?dimension=tenant&granularity=FIVE_MINUTES&sma-period=6",
    "week": "/bins?granularity=HOUR",
    "quality": "/quality?dimension=tenant",
    "pipeline": "/pipeline",
}
ESSENTIAL = (
    ("now", "light", WIDE),
    ("now", "dark", WIDE),
    ("calls", "light", LOW),
    ("call", "light", WIDE),
    ("trends", "light", WIDE),
    ("quality", "dark", WIDE),
    ("pipeline", "light", LOW),
    ("now", "dark", PHONE),
)


def a_call(browser: Browser, base: str) -> str:
    """Path of a finished call with a result, one that fills its time line: about a minute long."""
    page = browser.new_page()
    page.goto(f"{base}/ems-rs/calls?state=finished&result=SUCCESS&page-size=50&format=json")
    calls = page.evaluate("JSON.parse(document.body.innerText).calls")
    page.close()
    if not calls:
        return "/calls"
    return "/calls/" + str(min(calls, key=lambda call: abs((call["duration_ms"] or 0) - 60_000))["guid"])


def _complain(message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        sys.stderr.write(f"{message.location}: {message.text}\n")


def take(base: str, folder: Path, *, everything: bool) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(name, scheme, size) for name in PAGES for scheme in ("light", "dark") for size in (WIDE, PHONE)] if everything else ESSENTIAL
    made = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        paths = PAGES | {"call": a_call(browser, base)}
        for name, scheme, size in wanted:
            page = browser.new_page(viewport=size, color_scheme="dark" if scheme == "dark" else "light")  # type: ignore[arg-type]
            page.on("console", _complain)
            page.goto(base + paths[name])
            page.wait_for_timeout(700)
            suffix = ("-dark" if scheme == "dark" else "") + ("-phone" if size is PHONE else "")
            made.append(folder / f"{name}{suffix}.png")
            page.screenshot(path=made[-1], full_page=everything)
            page.close()
        browser.close()
    return made


if __name__ == "__main__":
    for picture in take(sys.argv[1].rstrip("/"), Path(sys.argv[2]), everything="--all" in sys.argv):
        sys.stdout.write(f"{picture} {picture.stat().st_size // 1000} kB\n")
