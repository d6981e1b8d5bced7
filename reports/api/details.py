"""Calls and call detail records as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import asking
from reports.api.question import Json, Question, documented, pages_of
from reports.formats import instant
from reports.queries import calls as queries
from reports.queries.calls import Call, LogLine, Message, Session
from reports.queries.paging import Listing, Page

router = APIRouter()


def listed(page: Page, listing: Listing[Call] | Listing[Session]) -> Json | None:
    return pages_of(page, listing.total, listing.next.pack() if listing.next else None)


def plain(row: Call | Session | Message | LogLine, zone: ZoneInfo) -> Json:
    """A row as JSON: instants written out, `start_ts` as `start`."""
    found: Json = {}
    for name, value in asdict(row).items():
        is_instant = name in ("ts", "receipt") or name.endswith("_ts")
        found[name.removesuffix("_ts") if name != "ts" else name] = instant(value, zone) if is_instant else value
    if isinstance(row, Call | Session):
        found["duration_ms"] = row.duration_ms
    return found


@router.get("/calls", openapi_extra=documented(*asking.CALLS, *asking.PAGING), tags=["calls"])
def calls(request: Request) -> Response:
    """Calls, newest first."""
    question = Question.of(request)
    wanted, page = asking.calls(question.reader), asking.page(question.reader, question.site.page_size, queries.CALLS.types)
    question.reader.check()
    with question.site.store.reading() as reading:
        found = queries.calls(reading, wanted, page)
        return question.answer(reading, "calls", [plain(row, question.site.zone) for row in found.rows], pages=listed(page, found))


@router.get("/calls/{guid}", tags=["calls"])
def one_call(request: Request, guid: str) -> Response:
    """One call: its sessions, their messages and where each came from, their event logs, VAR and service quality events."""
    question = Question.of(request)
    zone = question.site.zone
    with question.site.store.reading() as reading:
        found = queries.one_call(reading, guid.partition(";")[0].upper())
        content = {
            "call": plain(found.call, zone),
            "sessions": [plain(session, zone) for session in found.sessions],
            "messages": [plain(message, zone) | {"topic": "rs.billing", "partition": found.call.partition} for message in found.messages],
            "events": [plain(line, zone) for line in found.log],
        }
        return question.answer(reading, "details", content)


def details(request: Request, comp: str, *, ended: bool) -> Response:
    question = Question.of(request)
    wanted = asking.sessions(question.reader, comp, ended=ended)
    page = asking.page(question.reader, question.site.page_size, queries.SESSIONS.types)
    question.reader.check()
    with question.site.store.reading() as reading:
        found = queries.sessions(reading, wanted, page)
        rows = [plain(row, question.site.zone) for row in found.rows]
        return question.answer(reading, "call-detail-records", rows, pages=listed(page, found))


@router.get("/RT/CDRs/{comp}/details", openapi_extra=documented(*asking.SESSIONS, *asking.PAGING), tags=["call detail records"])
def details_in_progress(request: Request, comp: Literal["RM", "MCP"]) -> Response:
    """Sessions in progress, newest first."""
    return details(request, comp, ended=False)


@router.get(
    "/HIST/CDRs/{comp}/details", openapi_extra=documented(*asking.SESSIONS, *asking.ENDED, *asking.PAGING), tags=["call detail records"]
)
def details_finished(request: Request, comp: Literal["RM", "MCP"]) -> Response:
    """Finished sessions, newest first."""
    return details(request, comp, ended=True)
