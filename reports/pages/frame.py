"""What all pages share: names of codes, templates, the line on freshness, pages for what cannot be shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports import VERSION, formats
from reports.exceptions import Lack, StoreUnavailable
from reports.now import Plot
from reports.queries.live import Freshness
from reports.site import site_of

TEMPLATES = Path(__file__).parents[1] / "templates"
STALE_MS, STUCK_MS = 10_000, 60_000
EARLY: tuple[Lack, ...] = ("missing", "empty")  # no errors: the stack is only starting

NAMES = {
    "INBOUND": "Inbound",
    "OUTBOUND": "Outbound",
    "BRIDGED": "Bridged",
    "NEWCALL": "New call",
    "EXTERNAL": "External",
    "CREATECCXML": "CreateCCXML",
    "UNKNOWN": "Unknown",
    "USER_END": "Caller hung up",
    "APPLICATION_END": "Application ended",
    "SYSTEM_ERROR": "System error",
    "REJECTED": "Rejected",
    "TIMED_OUT": "Timed out",
    "SUCCESS": "Success",
    "FAILED": "Failed",
    "FIVE_MINUTES": "5 minutes",
    "THIRTY_MINUTES": "30 minutes",
    "HOUR": "Hour",
    "DAY": "Day",
    "WEEK": "Week",
    "MONTH": "Month",
    "component_type": "All sessions",
    "component": "Component",
    "tenant": "Tenant",
    "tenant-own": "Tenant, own only",
    "app": "IVR profile",
    "dn": "DN",
}


def to_json(value: object) -> str:
    return orjson.dumps(value).decode()


def figure(value: float | None) -> str:
    """A whole number or one with its places; a dash if there is none."""
    return formats.UNKNOWN if value is None else f"{value:,}" if value != int(value) else f"{int(value):,}"


def words(code: str) -> str:
    """FIRST_PROMPT_LATENCY -> First prompt latency. What has no vowel is an abbreviation and stays."""
    return code.replace("_", " ").capitalize() if set(code) & set("AEIOUaeiou") else code


def short(value: float) -> str:
    """For narrow cells: 0.4, 7.5, 123, 12k."""
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _make_environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": formats.number,
        "figure": figure,
        "short": short,
        "words": words,
        "clock": formats.clock,
        "moment": formats.moment,
        "exactly": formats.exactly,
        "duration": formats.duration,
        "age": formats.age,
        "instant": formats.instant,
        "named": lambda code: NAMES.get(code, code),
        "pairs": lambda values: [(value, value) for value in values],
        "named_pairs": lambda codes: [(code, NAMES.get(code, code)) for code in codes],
    }
    return found


environment = _make_environment()


@dataclass(frozen=True, slots=True)
class Freshened:
    """How fresh the figures are, in words for the head of every page. `level`: fresh, stale, stuck or none."""

    level: str
    folded_to: int | None
    age_ms: int


def freshened(fresh: Freshness, wall: int) -> Freshened:
    if fresh.folded_to is None:
        return Freshened("none", None, 0)
    age = max(0, wall - fresh.folded_to)
    return Freshened("stuck" if age >= STUCK_MS else "stale" if age >= STALE_MS else "fresh", fresh.folded_to, age)


def render(request: Request, template: str, status: int = 200, *, fresh: Freshness | None = None, **values: object) -> HTMLResponse:
    site = site_of(request)
    wall = site.clock()
    common = {"zone": site.zone, "wall": wall, "version": VERSION, "path": request.url.path, "query": request.url.query}
    state = freshened(fresh or Freshness(None, None, None), wall)
    return HTMLResponse(environment.get_template(template).render(common | {"freshness": state} | values), status)


def waiting_page(request: Request, exc: StoreUnavailable) -> HTMLResponse:
    """The store can't be read: a page that looks again by itself. An empty store is no error, only early."""
    return render(request, "waiting.html", 200 if exc.lack in EARLY else 503, lack=exc.lack, detail=exc.detail)


def error_page(request: Request, status: int, title: str, detail: str) -> HTMLResponse:
    return render(request, "error.html", status, title=title, detail=detail)


def plot_json(plot: Plot) -> str:
    return to_json(
        {
            "labels": plot.labels,
            "bars": [{"code": code, "name": NAMES.get(code, code), "values": values} for code, values in plot.bars.items()],
            "line": {"name": "In progress", "values": plot.line},
        }
    )
