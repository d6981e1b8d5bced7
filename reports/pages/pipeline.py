"""Pipeline: how every stage is, live. It shows itself when the store cannot be read, too: then it is needed most."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from reports.exceptions import StoreUnavailable
from reports.pages.frame import render
from reports.pipeline import Process, config, look
from reports.queries import live
from reports.queries.calls import Names
from reports.queries.live import Freshness
from reports.site import Site, site_of

router = APIRouter(include_in_schema=False)


@router.get("/pipeline")
async def pipeline_page(request: Request) -> Response:
    return await _pipeline(request, "pipeline.html")


@router.get("/pipeline/live")
async def pipeline_live(request: Request) -> Response:
    """The parts that move, for htmx."""
    return await _pipeline(request, "pipeline_live.html")


async def _pipeline(request: Request, template: str) -> Response:
    fresh, names, store_trouble = await run_in_threadpool(_store, site_of(request))
    pod = request.app.state.pod
    shown = await look(pod)
    configuration = request.app.state.configuration
    said = config(configuration.facts()) if configuration else ""
    own = Process("reports", "notReady" if store_trouble else "ready", {"store": store_trouble} if store_trouble else {}, said)
    return render(request, template, fresh=fresh, names=names, seen=shown.seen, processes=(*shown.processes, own), is_alone=pod is None)


def _store(site: Site) -> tuple[Freshness | None, Names, str]:
    """Freshness, names, and why the store cannot be read; empty if it can."""
    try:
        with site.store.reading() as reading:
            return live.freshness(reading), site.names(reading), ""
    except StoreUnavailable as exc:
        return None, Names(), exc.detail
