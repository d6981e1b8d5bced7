"""The app: JSON under /ems-rs, the pages at /, probes under /health, browser assets under /assets and /static."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline import configserver
from pipeline.readiness import REPORTS_ALONE, Pod
from pipeline.settings import Settings
from reports import VERSION, api, pages, problems
from reports.site import Site
from reports.store import store_of
from reports.store_probe import StoreProbe

ROOM = Path(__file__).parent

# No request leaves the machine, no script or style stands in a page: what callers put into names and numbers stays text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
NOT_KEPT = (b"cache-control", b"no-store")  # calls and numbers of callers do not belong into caches
KEPT = (b"cache-control", b"no-cache")  # asked for again, answered 304: a new version shows at once


class Headers:
    """Adds the headers of protection to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        kept = scope["path"].startswith(("/assets/", "/static/"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS, KEPT if kept else NOT_KEPT]
            await send(message)

        await self.app(scope, receive, with_headers)


def app_of(site: Site, assets: Path, pod: Pod | None = None, configuration: configserver.Process | None = None) -> FastAPI:
    """`assets`: the unpacked WebJars, NAME/... (setting reports.assets). `pod`: the other processes, for which this one answers, too.
    `configuration`: what readiness tells of this process's settings."""
    app = FastAPI(title="Reporting Server", version=VERSION, openapi_url="/ems-rs/openapi.json", docs_url=None, redoc_url=None)
    app.state.site, app.state.pod, app.state.configuration = site, pod, configuration
    app.state.store_probe = StoreProbe(site.store)
    app.add_middleware(Headers)
    app.mount("/assets", StaticFiles(directory=assets, check_dir=False), name="assets")
    app.mount("/static", StaticFiles(directory=ROOM / "static"), name="static")
    app.add_api_route("/health/live", is_live, tags=["health"])
    app.add_api_route(REPORTS_ALONE, is_ready_alone, tags=["health"])
    app.add_api_route("/health/ready", is_ready, tags=["health"])
    app.include_router(api.router)
    app.include_router(pages.router)
    problems.install(app)
    return app


def make(settings: Settings) -> FastAPI:
    """Raises WrongSettings if they name a store that reports cannot read."""
    own = settings.reports
    site = Site(
        store_of(settings),
        ZoneInfo(own.time_zone),
        own.page_size,
        objects=configserver.objects,
        targets=own.latency_targets,
        quality_target=lambda: configserver.now().snmp.quality_target,
        rounding=lambda: configserver.now().billing.rounding,
    )
    return app_of(site, settings.reports.assets, Pod(settings), configserver.mine())


async def is_live() -> JSONResponse:
    return JSONResponse({"live": True})


async def is_ready_alone(request: Request) -> JSONResponse:
    """The reports server."""
    return answer(await own_reasons(request), **facts(request))


async def is_ready(request: Request) -> JSONResponse:
    """The Reporting Server as a whole: this process and all others."""
    own = await own_reasons(request)
    pod: Pod | None = request.app.state.pod
    if pod is None:
        return answer(own, **facts(request))
    whole = await pod.ask()
    parts = {name: None if said is None else {"ready": said.ready, "reasons": said.reasons} for name, said in whole.parts.items()}
    reasons = {f"reports: {check}": reason for check, reason in own.items()} | whole.reasons
    return answer(reasons, parts={**parts, "reports": {"ready": not own, "reasons": own}}, **facts(request))


async def own_reasons(request: Request) -> dict[str, str]:
    probe: StoreProbe = request.app.state.store_probe
    if (reason := await probe.reason()) is not None:
        return {"store": reason}
    configuration: configserver.Process | None = request.app.state.configuration
    broken = configuration.check() if configuration else None
    return {} if broken is None else {"config": broken}


def facts(request: Request) -> dict[str, object]:
    configuration: configserver.Process | None = request.app.state.configuration
    return {"facts": {"config server": configuration.facts()}} if configuration else {}


def answer(reasons: dict[str, str], **more: object) -> JSONResponse:
    return JSONResponse({"ready": not reasons, "reasons": reasons, **more}, status_code=503 if reasons else 200)
