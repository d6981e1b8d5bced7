"""Errors as answers: problem+json (RFC 9457) below /ems-rs, a page elsewhere."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from reports.exceptions import Malformed, NotFed, NotModified, NotStored, StoreUnavailable
from reports.pages import frame

RETRY_S = "5"


def problem(request: Request, status: int, detail: str, headers: dict[str, str] | None = None, **more: object) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "instance": request.url.path}
    return Response(orjson.dumps(body | more), status, headers, "application/problem+json")


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/ems-rs")


async def malformed(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Malformed)
    faults = [{"parameter": fault.parameter, "value": fault.value, "allowed": fault.allowed} for fault in exc.faults]
    if _is_api(request):
        return problem(request, 400, f"{len(faults)} wrong parameter{'s' if len(faults) > 1 else ''}", faults=faults)
    return frame.error_page(request, 400, "This link does not work", "; ".join(f"{f.parameter}: {f.allowed}" for f in exc.faults))


async def unavailable(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, StoreUnavailable)
    if _is_api(request) or request.headers.get("hx-request"):
        return problem(request, 503, exc.detail, {"Retry-After": RETRY_S}, lack=exc.lack)
    return frame.waiting_page(request, exc)


async def not_stored(request: Request, exc: Exception) -> Response:
    detail = f"There is no call {exc} in the store. It may not have arrived yet, or be older than calls are kept."
    if _is_api(request):
        return problem(request, 404, detail)
    return frame.error_page(request, 404, "No such call", detail)


async def not_fed(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, NotFed)
    return problem(request, 501, f"No message of the contract carries what this service reports: {exc.missing}.", missing=exc.missing)


async def not_modified(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, NotModified)
    return Response(status_code=304, headers={"etag": exc.tag, "vary": "Accept"})


async def by_status(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if _is_api(request):
        return problem(request, exc.status_code, str(exc.detail), dict(exc.headers or {}))
    return frame.error_page(request, exc.status_code, "Nothing here", "This address leads to no page.")


async def no_such_path(request: Request, _: Exception) -> Response:
    """Paths are the only thing FastAPI itself checks here: a component type that the service does not know."""
    return problem(request, 404, "There is no such service.")


async def unforeseen(request: Request, _: Exception) -> Response:
    """A fault of ours. It goes on to the log with its traceback; the reader gets no inside of it."""
    if _is_api(request):
        return problem(request, 500, "The server failed at this request; its log says why.")
    return frame.error_page(request, 500, "Something went wrong", "The server failed at this page; its log says why.")


def install(app: FastAPI) -> None:
    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(Malformed, malformed)
    app.add_exception_handler(StoreUnavailable, unavailable)
    app.add_exception_handler(NotStored, not_stored)
    app.add_exception_handler(NotFed, not_fed)
    app.add_exception_handler(NotModified, not_modified)
    app.add_exception_handler(HTTPException, by_status)
    app.add_exception_handler(RequestValidationError, no_such_path)
