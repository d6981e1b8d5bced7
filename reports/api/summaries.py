"""Summaries of finished calls by bin: results of calls, actions of IVR applications."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import asking
from reports import parameters as p
from reports.api.figures import MISSING, actions, bounds, normalise, page_of_bins, read_bins, split, value_of
from reports.api.question import Question, documented, pages_of
from reports.queries.completions import completions, count_completions

router = APIRouter(tags=["summaries"])
PARAMETERS = documented(*asking.SUMMARY, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM))


@router.get("/HIST/call-summary", include_in_schema=False)  # its other name
@router.get("/HIST/call-completion-summary", openapi_extra=PARAMETERS)
def call_completion_summary(request: Request) -> Response:
    """Calls that ended in each bin by result: SUCCESS, FAILED and UNKNOWN as the application (MCP) has it, and those REJECTED (RM)."""
    question = Question.of(request)
    reader, site = question.reader, question.site
    wanted, page = asking.summary(reader, site.clock()), page_of_bins(reader)
    reader.check()
    normalise(reader, wanted)
    with site.store.reading() as connection:
        rows = completions(connection, wanted, page.size, (page.number - 1) * page.size)
        pages = pages_of(page, count_completions(connection, wanted), None)
        names = site.names(connection)
        found = [
            {
                **value_of(wanted.dimension, row.value, names),
                **bounds(row.start, wanted, site.zone),
                "count": sum(row.by.values()),
                "results": split(row.by),
            }
            for row in rows
        ]
        return question.answer(connection, "call-completion-summary", found, pages=pages, note=MISSING)


@router.get("/HIST/last-ivr-action-summary", include_in_schema=False)  # its other name
@router.get("/HIST/ivr-action-summary", openapi_extra=PARAMETERS)
def ivr_action_summary(request: Request) -> Response:
    """Actions of the sessions (MCP) that ended in each bin by result: `actions` all their runs, `last-actions` the one of each session
    that started last."""
    question = Question.of(request)
    reader, site = question.reader, question.site
    wanted, page = asking.summary(reader, site.clock(), having=("actions_by", "last_actions_by")), page_of_bins(reader)
    reader.check()
    normalise(reader, wanted)
    with site.store.reading() as connection:
        rows, pages = read_bins(connection, wanted, page)
        names = site.names(connection)
        found = [
            {
                **value_of(wanted.dimension, row.value, names),
                **bounds(row.start, wanted, site.zone),
                "actions": actions(row.actions_by),
                "last-actions": actions(row.last_actions_by),
            }
            for row in rows
        ]
        return question.answer(connection, "ivr-action-summary", found, pages=pages, note=MISSING)
