"""Finished sessions counted, their event logs, their VAR data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import asking
from reports import parameters as p
from reports.api import shapes
from reports.api.details import CHUNK, Comp, listing
from reports.api.figures import page_of_bins, split
from reports.api.question import Json, Question, documented, pages_of
from reports.formats import instant
from reports.queries import records as queries
from reports.queries.calls import SESSIONS
from reports.queries.paging import Page
from reports.queries.records import Action, Event, Group, VarData, VarSession
from reports.store.contract import Reading

router = APIRouter(tags=["call detail records"])


def counted(groups: Iterable[Group], by: Callable[[Group], str | None]) -> list[Json]:
    """The sessions that have it by what it is, most first."""
    found: Counter[str] = Counter()
    for group in groups:
        if (label := by(group)) is not None:
            found[label] += group.n
    return split(dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))))


def summary(request: Request, comp: str, *, ended: bool) -> Response:
    question = Question.of(request)
    wanted = asking.sessions(question.reader, comp, ended=ended)
    question.reader.check()
    with question.reading() as reading:
        groups = queries.groups(reading, wanted)
        content: Json = {"count": sum(group.n for group in groups), "calls": counted(groups, lambda group: group.call_type)}
        if ended:
            content["end-states"] = counted(groups, lambda group: group.end_state)
            content["results"] = counted(groups, lambda group: group.result)
        return question.answer(reading, shapes.CDR_SUMMARY, content)


@router.get("/RT/CDRs/{comp}/summary", openapi_extra=documented(*asking.SESSIONS, service=shapes.CDR_SUMMARY))
def summary_in_progress(request: Request, comp: Comp) -> Response:
    """How many sessions are in progress, by call type."""
    return summary(request, comp, ended=False)


@router.get("/HIST/CDRs/{comp}/summary", openapi_extra=documented(*asking.SESSIONS, *asking.ENDED, service=shapes.CDR_SUMMARY))
def summary_finished(request: Request, comp: Comp) -> Response:
    """How many sessions are finished, by call type, end state and call result (sessions without a result are in no result)."""
    return summary(request, comp, ended=True)


@router.get("/HIST/CDRs/{comp}/events", openapi_extra=documented(*asking.EVENTS, p.PAGE, p.PAGE_SIZE, service=shapes.EVENTS))
def events(request: Request, comp: Comp) -> Response:
    """Event logs of finished sessions in order of time: of one session by comp-id and session-id, or of all of a call by gvp-guid."""
    question = Question.of(request)
    wanted, page, zone = asking.events(question.reader, comp), page_of_bins(question.reader), question.site.zone
    question.reader.check()

    def others(number: int = 2) -> Iterator[Json]:
        while True:
            with question.site.store.reading() as reading:
                lines, _ = queries.events(reading, wanted, Page(CHUNK, number))
            yield from (line_of(line, zone) for line in lines)
            number += 1
            if len(lines) < CHUNK:
                return

    with question.reading() as reading:
        lines, total = queries.events(reading, wanted, Page(CHUNK) if question.exports else page)
        rows = [line_of(line, zone) for line in lines]
        if not question.exports:
            return question.answer(reading, shapes.EVENTS, rows, pages=pages_of(page, total, None))
    return question.export(shapes.EVENTS, chain(rows, others()) if total > CHUNK else rows)


def line_of(line: Event, zone: ZoneInfo) -> Json:
    return {
        "timestamp": instant(line.ts, zone),
        "level": line.level,
        "log-id": line.log_id,
        "session-id": line.session,
        "comp-id": line.comp_id,
        "gvp-guid": line.guid,
        "seq": line.seq,
        "text": line.text,
    }


@router.get("/HIST/CDRs/MCP/VAR", openapi_extra=documented(*asking.VAR, *asking.PAGING, service=shapes.VARS))
def var(request: Request) -> Response:
    """Finished MCP sessions that have VAR data, newest first: a call result, an action or a custom variable."""
    question = Question.of(request)
    wanted, page = asking.var(question.reader), asking.page(question.reader, question.site.page_size, SESSIONS.types)
    question.reader.check()
    zone = question.site.zone

    def said(_: Reading, rows: Sequence[VarSession]) -> list[Json]:
        return [var_of(row, zone) for row in rows]

    return listing(question, shapes.VARS, page, partial(queries.var_sessions, wanted=wanted), said)


@router.get("/HIST/CDRs/MCP/VAR/details", openapi_extra=documented(*asking.VAR, *asking.PAGING, service=shapes.VARS_DETAILS))
def var_details(request: Request) -> Response:
    """Finished MCP sessions that have VAR data, newest first, with their actions and custom variables."""
    question = Question.of(request)
    wanted, page = asking.var(question.reader), asking.page(question.reader, question.site.page_size, SESSIONS.types)
    question.reader.check()
    zone = question.site.zone

    def said(reading: Reading, rows: Sequence[VarSession]) -> list[Json]:
        data = queries.var_data(reading, [row.session for row in rows])
        return [var_of(row, zone) | content_of(data.get(queries.key_of(row.session), VarData()), zone) for row in rows]

    return listing(question, shapes.VARS_DETAILS, page, partial(queries.var_sessions, wanted=wanted), said)


def var_of(row: VarSession, zone: ZoneInfo) -> Json:
    session = row.session
    return {
        "gvp-guid": session.guid,
        "comp-id": session.comp_id,
        "session-id": session.session,
        "start": instant(session.start_ts, zone),
        "end": instant(session.end_ts, zone),
        "duration_ms": session.duration_ms,
        "tenant_id": session.tenant_id,
        "tenant_name": session.tenant_name,
        "app_id": session.app_id,
        "app_name": session.app_name,
        "call_type": session.call_type,
        "remote_uri": session.remote_uri,
        "local_uri": session.local_uri,
        "end_state": session.end_state,
        "call-result": session.result or "UNKNOWN",
        "reason": row.reason,
        "notes": row.notes,
    }


def content_of(data: VarData, zone: ZoneInfo) -> Json:
    return {
        "actions": [action_of(action, zone) for action in data.actions],
        "custom-vars": [{"name": name, "value": value} for name, value in data.variables],
    }


def action_of(run: Action, zone: ZoneInfo) -> Json:
    return {
        "action-id": run.action,
        "parent-id": run.parent,
        "start": instant(run.start_ts, zone),
        "end": instant(run.end_ts, zone),
        "result": run.result,
        "reason": run.reason,
        "notes": run.notes,
    }
