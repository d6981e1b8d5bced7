"""Billing statements: figures of a tenant's month, and the sessions and messages behind each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import parameters as p
from reports import statements as told
from reports.api.question import Json, Question, documented, pages_of
from reports.billing.ledger import COUNTED, NO_PROFILE, TOTAL
from reports.billing.month import Month
from reports.billing.sessions import FIGURES, Figure
from reports.parameters import Parameter
from reports.queries import statements as queries
from reports.queries.paging import Page
from reports.queries.statements import Behind, Statement
from reports.render.shape import Field, Many, Service, Shape
from reports.store.contract import Reading

router = APIRouter()
V = TypeVar("V")
CHUNK = 1_000  # rows that an export reads at once


def _month(text: str, zone: ZoneInfo) -> str:
    return Month.named(text, zone).name


def _profile(text: str, zone: ZoneInfo) -> str:
    return text if text in (TOTAL, NO_PROFILE) else str(p.APP_ID.read(text, zone))


TENANT_ID = p.dbid("tenant-id", repeatable=False, example="102")
MONTH: Parameter[str] = Parameter("month", "a month YYYY-MM", _month, example="2026-10")
PROFILE: Parameter[str] = Parameter("profile", f"a DBID of an IVR profile, {NO_PROFILE} or {TOTAL}", _profile, example="310")
FIGURE = p.choice("figure", FIGURES, example="minutes")
FORMAT = p.choice("format", ("json", "csv"))

NAMES = tuple(name.replace("_", "-") for name in COUNTED)
STATEMENT = Service(
    "rows",
    "billing-statement",
    "row",
    "billing-statement",
    Shape(
        (
            *map(Field, ("row", "tenant-id", "tenant-name", "month", "state", "profile", "profile-name", *NAMES, "peak-time")),
            *map(Field, ("date", "guid", "comp-id", "session")),
        )
    ),
)
MESSAGE = Shape(tuple(map(Field, ("queue", "message-id", "offset", "seq", "kind", "ts", "receipt"))))
SESSIONS = Service(
    "sessions",
    "billing-sessions",
    "session",
    "billing-sessions",
    Shape(
        (
            *map(Field, ("guid", "comp-id", "session", "start", "end", "duration-ms", "minutes", "tenant-path", "app-id", "app-name")),
            *map(Field, ("dn", "end-state", "burst", "log", "topic", "partition")),
            Many("messages", MESSAGE, explode=True),
        )
    ),
)
X9 = "lines by profile, and all figures of an open month, are computed from the stored sessions: they reach back as far as those are kept"


def statement_of(question: Question, reading: Reading, tenant: int, month: str) -> Statement:
    site = question.site
    return queries.statement(reading, tenant, month, site.zone, site.rounding(), site.names(reading))


@router.get("/billing/months", openapi_extra=documented(), tags=["billing"])
def months(request: Request) -> Response:
    """The closed months."""
    question = Question.of(request)
    zone = question.site.zone
    with question.site.store.reading() as reading:
        found = [{"month": one.month.name, "state": one.state, **told.closing(one, zone)} for one in queries.months(reading)]
        return question.answer(reading, "months", found)


@router.get("/billing/statements", openapi_extra=documented(TENANT_ID, MONTH, FORMAT, required=(TENANT_ID, MONTH)), tags=["billing"])
def statements(request: Request) -> Response:
    """The statement of a tenant, with its descendants, for a month: frozen if the month is closed, with its adjustments; else computed."""
    question = Question.of(request)
    reader, zone = question.reader, question.site.zone
    tenant, month = reader.required(TENANT_ID, 1), reader.required(MONTH, "2026-01")
    reader.one(FORMAT)
    reader.check()
    with question.site.store.reading() as reading:
        found = statement_of(question, reading, tenant, month)
        if question.form == "csv":
            return question.export(STATEMENT, told.as_rows(found, zone))
        return question.answer(reading, "statement", told.as_json(found, zone), note=X9)


@router.get(
    "/billing/statements/{tenant}/{month}/sessions",
    openapi_extra=documented(PROFILE, FIGURE, p.PAGE, p.PAGE_SIZE, FORMAT, required=(FIGURE,)),
    tags=["billing"],
)
def sessions(request: Request, tenant: str, month: str) -> Response:
    """The sessions behind a figure as it was closed, each with its messages. In a CSV each message has a row."""
    question = Question.of(request)
    reader, zone = question.reader, question.site.zone
    line, figure = reader.one(PROFILE) or TOTAL, cast(Figure, reader.required(FIGURE, "sessions"))
    page = Page(reader.one(p.PAGE_SIZE) or question.site.page_size, reader.one(p.PAGE) or 1)
    reader.one(FORMAT)
    of_tenant = _part(question, TENANT_ID, tenant, 1)
    of_month = _part(question, MONTH, month, "2026-01")
    reader.check()
    with question.site.store.reading() as reading:
        found = statement_of(question, reading, of_tenant, of_month)
        log_id, topic = queries.log_of(reading, found)

        def said(one: Behind) -> Json:
            return told.behind(one, found, zone, log_id, topic)

        if not question.exports:
            rows, total = queries.behind(reading, found, line, figure, page.size, (page.number - 1) * page.size)
            content = [said(one) for one in rows]
            if question.form == "csv":
                return question.export(SESSIONS, content)
            return question.answer(reading, "sessions", content, pages=pages_of(page, total, None), note=X9)

    def all_rows() -> Iterator[Json]:
        size = CHUNK if queries.is_column(figure) else None
        offset, more = 0, True
        while more:  # a reading each: one that lasted as long as a slow asker would hold its snapshot
            with question.site.store.reading() as reading:
                rows, _ = queries.behind(reading, found, line, figure, size, offset)
            yield from map(said, rows)
            offset += len(rows)
            more = len(rows) == size

    return question.export(SESSIONS, all_rows())


def _part(question: Question, parameter: Parameter[V], text: str, fallback: V) -> V:
    """A part of the path, with the faults of a parameter."""
    try:
        return parameter.read(text, question.site.zone)
    except ValueError:
        question.reader.fault(parameter, text)
        return fallback
