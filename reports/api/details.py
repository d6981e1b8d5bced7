"""Calls and call detail records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import asking
from reports.api import shapes
from reports.api.question import PROBLEMS, Json, Question, documented, pages_of
from reports.formats import instant
from reports.queries import calls as queries
from reports.queries.calls import Call, LogLine, Message, Session
from reports.queries.paging import Cursor, Listing, Page
from reports.render.shape import Service
from reports.store.contract import Reading

R = TypeVar("R")
Comp = Literal["RM", "MCP", "CCP"]
CHUNK = 1_000  # rows that an export reads at once
router = APIRouter()


class Read(Protocol[R]):
    """A page of a list."""

    def __call__(self, reading: Reading, *, page: Page) -> Listing[R]: ...


def listing(
    question: Question, service: Service, page: Page, read: Read[R], said: Callable[[Reading, Sequence[R]], list[Json]]
) -> Response:
    """A page; or all rows as CSV, chunk by chunk behind a cursor, each in a reading of its own: the store is not held, and no memory."""
    with question.reading() as reading:
        found = read(reading, page=Page(CHUNK) if question.exports else page)
        rows = said(reading, found.rows)
        if not question.exports:
            return question.answer(reading, service, rows, pages=pages_of(page, found.total, found.next.pack() if found.next else None))
    return question.export(service, chain(rows, rest(question, found.next, read, said)))


def rest(question: Question, after: Cursor | None, read: Read[R], said: Callable[[Reading, Sequence[R]], list[Json]]) -> Iterator[Json]:
    while after is not None:
        with question.site.store.reading() as reading:
            found = read(reading, page=Page(CHUNK, after=after))
            rows, after = said(reading, found.rows), found.next
        yield from rows


def plainly(question: Question) -> Callable[[Reading, Sequence[Call | Session]], list[Json]]:
    return lambda _, rows: [plain(row, question.site.zone) for row in rows]


def one_call_documented() -> Json:
    found = documented(service=shapes.ONE_CALL)
    assert isinstance(found["responses"], dict)
    guid = {"name": "guid", "in": "path", "required": True, "schema": {"type": "string"}, "example": "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"}
    assert isinstance(found["parameters"], list)
    return {"parameters": [guid, *found["parameters"]], "responses": found["responses"] | {"404": PROBLEMS["404"]}}


def plain(row: Call | Session | Message | LogLine, zone: ZoneInfo) -> Json:
    """A row as JSON: instants written out, `start_ts` as `start`."""
    found: Json = {}
    for name, value in asdict(row).items():
        is_instant = name in ("ts", "receipt") or name.endswith("_ts")
        found[name.removesuffix("_ts") if name != "ts" else name] = instant(value, zone) if is_instant else value
    if isinstance(row, Call | Session):
        found["duration_ms"] = row.duration_ms
    return found


@router.get("/calls", openapi_extra=documented(*asking.CALLS, *asking.PAGING, service=shapes.CALLS), tags=["calls"])
def calls(request: Request) -> Response:
    """Calls, newest first."""
    question = Question.of(request)
    wanted, page = asking.calls(question.reader), asking.page(question.reader, question.site.page_size, queries.CALLS.types)
    question.reader.check()
    return listing(question, shapes.CALLS, page, partial(queries.calls, wanted=wanted), plainly(question))


@router.get("/calls/{guid}", openapi_extra=one_call_documented(), tags=["calls"])
def one_call(request: Request, guid: str) -> Response:
    """One call: its sessions, their messages and where each came from, their event logs, VAR and service quality events."""
    question = Question.of(request)
    zone = question.site.zone
    question.reader.check()
    with question.reading() as reading:
        found = queries.one_call(reading, guid.partition(";")[0].upper())
        content = {
            "call": plain(found.call, zone),
            "sessions": [plain(session, zone) for session in found.sessions],
            "messages": [plain(message, zone) | {"topic": "rs.billing", "partition": found.call.partition} for message in found.messages],
            "events": [plain(line, zone) for line in found.log],
        }
        return question.answer(reading, shapes.ONE_CALL, content)


def details(request: Request, comp: str, *, ended: bool) -> Response:
    question = Question.of(request)
    wanted = asking.sessions(question.reader, comp, ended=ended)
    page = asking.page(question.reader, question.site.page_size, queries.SESSIONS.types)
    question.reader.check()
    return listing(question, shapes.CDRS, page, partial(queries.sessions, wanted=wanted), plainly(question))


@router.get(
    "/RT/CDRs/{comp}/details", openapi_extra=documented(*asking.SESSIONS, *asking.PAGING, service=shapes.CDRS), tags=["call detail records"]
)
def details_in_progress(request: Request, comp: Comp) -> Response:
    """Sessions in progress, newest first."""
    return details(request, comp, ended=False)


@router.get(
    "/HIST/CDRs/{comp}/details",
    openapi_extra=documented(*asking.SESSIONS, *asking.ENDED, *asking.PAGING, service=shapes.CDRS),
    tags=["call detail records"],
)
def details_finished(request: Request, comp: Comp) -> Response:
    """Finished sessions, newest first."""
    return details(request, comp, ended=True)
