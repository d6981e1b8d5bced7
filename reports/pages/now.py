"""Now: what is in progress, what has arrived this hour and today; live."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import parameters as p
from reports.exceptions import StoreUnavailable
from reports.now import now
from reports.pages.frame import EARLY, plot_json, render
from reports.parameters import Reader
from reports.queries import live
from reports.site import site_of

router = APIRouter(include_in_schema=False)
HOURS = ("3", "6", "12", "24")
HOURS_BACK = p.choice("hours", HOURS)


@router.get("/")
def now_page(request: Request) -> Response:
    return _now(request, "now.html")


@router.get("/now/live")
def now_live(request: Request) -> Response:
    """The parts of Now that move, for htmx."""
    return _now(request, "now_live.html")


def _now(request: Request, template: str) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    hours, comp = int(reader.one(HOURS_BACK) or "6"), reader.one(p.COMP)
    reader.check()
    with site.store.reading() as reading:
        shown = now(reading, site.clock(), site.zone, hours, comp)
        names = site.names(reading)
    choice = urlencode({"hours": hours} | ({"comp": comp} if comp else {}))
    return render(
        request,
        template,
        fresh=shown.fresh,
        now=shown,
        names=names,
        hours=hours,
        hours_offered=[int(n) for n in HOURS],
        given_comp=comp,
        choice=choice,
        plot=plot_json(shown.plot),
    )


@router.get("/freshness")
def freshness_part(request: Request) -> Response:
    """The head's line on freshness, for htmx."""
    try:
        with site_of(request).store.reading() as reading:
            fresh = live.freshness(reading)
    except StoreUnavailable as exc:
        if exc.lack not in EARLY:
            raise
        fresh = None
    return render(request, "freshness.html", fresh=fresh)
