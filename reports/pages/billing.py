"""Billing: the statement of a tenant and month, what is behind each figure, and adjustments; printable."""

from __future__ import annotations

from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import parameters as p
from reports import statements as told
from reports.api.billing import FIGURE, MONTH, PROFILE, TENANT_ID
from reports.billing.ledger import TOTAL
from reports.billing.month import Month
from reports.billing.sessions import ROUNDING_SAID
from reports.pages.frame import render
from reports.parameters import Reader
from reports.queries import live
from reports.queries import statements as queries
from reports.queries.paging import Page
from reports.site import site_of
from reports.usage import as_of

router = APIRouter(include_in_schema=False)
LATEST = 15  # months in the list
PAGE_ROWS = 50
FIGURE_NAMES = {
    "calls": "Calls",
    "sessions": "Sessions",
    "minutes": "Minutes",
    "burst_1": "Burst 1",
    "burst_2": "Burst 2",
    "burst_3": "Burst 3",
    "rejected": "Rejected",
    "peak": "Peak",
}


@router.get("/billing")
def billing_page(request: Request) -> Response:
    """Without a month the last one that is over, without a tenant the first by name."""
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    tenant, name = reader.one(TENANT_ID), reader.one(MONTH)
    faults = {fault.parameter: fault for fault in reader.faults}
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        names = site.names(reading)
        tenants = queries.tenants(reading, names)
        closed = {one.month.name for one in queries.months(reading) if one.state == queries.CLOSED}
        latest = _latest(as_of(fresh, site.clock()).at, site.zone)
        chosen = name or latest[1]
        if tenant is None:
            tenant = min(tenants, key=lambda one: (tenants[one] or "", one), default=None)
        found = None
        if tenant is not None and not faults:
            found = queries.statement(reading, tenant, chosen, site.zone, site.rounding(), names)
    return render(
        request,
        "billing.html",
        400 if faults else 200,
        fresh=fresh,
        of=found,
        tenant=tenant,
        month=chosen,
        months=sorted({*latest, *closed, *([] if faults else [chosen])}, reverse=True),
        closed=closed,
        tenants=sorted(((one, shown or str(one)) for one, shown in tenants.items()), key=lambda option: option[1]),
        faults=faults,
        figures=FIGURE_NAMES,
        label=told.label,
        link=_link(tenant, chosen),
        rounding=ROUNDING_SAID,
        asked=urlencode({"tenant-id": tenant or "", "month": chosen}),
    )


@router.get("/billing/{tenant}/{month}/sessions")
def sessions_page(request: Request, tenant: str, month: str) -> Response:
    """The sessions behind a figure as it was closed."""
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    line, figure = reader.one(PROFILE) or TOTAL, reader.one(FIGURE) or "sessions"
    page = Page(reader.one(p.PAGE_SIZE) or PAGE_ROWS, reader.one(p.PAGE) or 1)
    for parameter, text in ((TENANT_ID, tenant), (MONTH, month)):
        try:
            parameter.read(text, site.zone)
        except ValueError:
            reader.fault(parameter, text)
    reader.check()
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        of = queries.statement(reading, int(tenant), month, site.zone, site.rounding(), site.names(reading))
        rows, total = queries.behind(reading, of, line, figure, page.size, (page.number - 1) * page.size)  # type: ignore[arg-type]
        log_id, topic = queries.log_of(reading, of)
    return render(
        request,
        "billing_sessions.html",
        fresh=fresh,
        of=of,
        line=of.line(line),
        title=told.label(line, of.line(line).shown),
        figure=figure,
        figure_name=FIGURE_NAMES[figure.replace("-", "_")],
        value=getattr(of.line(line).figures, figure.replace("-", "_")),
        rows=[(one, told.behind(one, of, site.zone, log_id, topic)) for one in rows],
        total=total,
        topic=topic or "the log",
        number=page.number,
        pages=max(1, -(-total // page.size)),
        asked=urlencode({"profile": line, "figure": figure}),
    )


def _latest(now: int, zone: ZoneInfo) -> list[str]:
    """Names of the last months, that of now first."""
    found = [Month.of(now, zone)]
    for _ in range(LATEST - 1):
        found.append(Month.of(found[-1].start - 1, zone))
    return [month.name for month in found]


def _link(tenant: int | None, month: str) -> str:
    return f"/billing/{tenant}/{month}/sessions"
