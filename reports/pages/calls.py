"""Calls: the list with its filters, and one call."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from reports import asking, counting, timeline
from reports import parameters as p
from reports.pages.frame import render
from reports.pages.spans import as_fields
from reports.parameters import Reader
from reports.queries import calls as call_queries
from reports.queries import live
from reports.queries.calls import CallFilter
from reports.queries.paging import Listing
from reports.site import site_of
from reports.usage import as_of

router = APIRouter(include_in_schema=False)
PAGE_ROWS = 50
PAGING = ("cursor", "page", "page-size")


@router.get("/calls")
def calls_page(request: Request) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    wanted, page = asking.calls(reader), asking.page(reader, PAGE_ROWS, call_queries.CALLS.types)
    faults = {fault.parameter: fault for fault in reader.faults}
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        names = site.names(reading)
        found: Listing[call_queries.Call] = Listing((), None, None)
        if not faults:
            found = call_queries.calls(reading, wanted, page)
        is_empty = not live.has_calls(reading)
    given = [(name, value) for name, value in parse_qsl(request.url.query) if value]
    filters = [(name, value) for name, value in given if name not in PAGING]
    older = urlencode([*filters, ("cursor", found.next.pack())]) if found.next else None
    return render(
        request,
        "calls.html",
        400 if faults else 200,
        fresh=fresh,
        calls=found,
        names=names,
        faults=faults,
        given=as_fields(request.url.query, site.zone, p.STARTED_FROM, p.STARTED_TO),
        filters=urlencode(filters),
        older=older,
        tenants=_options(names.tenants),
        apps=_options(names.apps),
        is_filtered=wanted != CallFilter(),
        is_first=page.after is None,
        is_empty=is_empty,
        page_size=page.size,
        moment=as_of(fresh, site.clock()),
        choices={"result": p.RESULTS, "end-state": p.END_STATES, "call-type": p.CALL_TYPES},
    )


def _options(known: dict[int, str]) -> list[tuple[int, str]]:
    return sorted(known.items(), key=lambda option: option[1])


@router.get("/calls/{guid}")
def call_page(request: Request, guid: str) -> Response:
    site = site_of(request)
    wanted = guid.partition(";")[0].upper()
    if wanted != guid:
        return RedirectResponse(f"/calls/{wanted}", 307)
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        found = call_queries.one_call(reading, wanted)
        names = site.names(reading)
    at = as_of(fresh, site.clock()).at
    return render(
        request,
        "call.html",
        fresh=fresh,
        one=found,
        call=found.call,
        names=names,
        line=timeline.timeline(found, at),
        family=timeline.family,
        words=timeline.described(found),
        fields=session_fields(found),
        runs=[(session, run) for session in found.sessions for run in counting.actions(found, session).runs],
        measured=counting.measured(found),
        counts=counting.counts(found),
        at=at,
        comps={(s.comp_id, s.session): s for s in found.sessions},
    )


FIELD_NAMES = {
    "session": "Session id",
    "start_ts": "Start",
    "end_ts": "End",
    "tenant_path": "Tenant path",
    "tenant_name": "Tenant",
    "app_id": "IVR profile (DBID)",
    "app_name": "IVR profile",
    "dn": "DN",
    "call_type": "Call type",
    "remote_uri": "Remote URI",
    "local_uri": "Local URI",
    "origin": "Origin",
    "usage": "Usage (tenant: calls)",
    "burst": "Burst (tenant: level)",
    "end_state": "End state",
    "reason": "Reason",
    "sip_status": "SIP status",
    "mos": "MOS",
    "jitter_ms": "Jitter, ms",
    "loss_pct": "Loss, %",
    "codec": "Codec",
    "result": "Call result",
    "clock_skew": "Clock skew",
    "duplicates": "Duplicates",
    "conflicts": "Conflicts",
}
ALWAYS = ("session", "start_ts", "end_ts", "end_state")


def session_fields(one: call_queries.OneCall) -> list[tuple[str, str]]:
    """(field, its name) of the fields that any session has."""
    return [
        (name, title)
        for name, title in FIELD_NAMES.items()
        if name in ALWAYS or any(getattr(session, name) not in (None, (), 0, False) for session in one.sessions)
    ]
