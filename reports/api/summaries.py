"""Summaries of finished calls by bin: results of calls, actions of IVR applications."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import asking
from reports import parameters as p
from reports.api import shapes
from reports.api.figures import actions, binned, read_bins, split
from reports.api.question import Json, Question, documented, pages_of
from reports.queries.bins import Bin, BinFilter
from reports.queries.completions import Completion, completions, count_completions
from reports.queries.paging import Page
from reports.render.shape import Service
from reports.store.contract import Reading

router = APIRouter(tags=["summaries"])


def parameters(service: Service) -> Json:
    return documented(*asking.SUMMARY, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM), service=service)


@router.get("/HIST/call-summary", include_in_schema=False)  # its other name
@router.get("/HIST/call-completion-summary", openapi_extra=parameters(shapes.COMPLETED))
def call_completion_summary(request: Request) -> Response:
    """Calls that ended in each bin by result: SUCCESS, FAILED and UNKNOWN as the application (MCP) has it, and those REJECTED (RM)."""
    question = Question.of(request)
    wanted = asking.summary(question.reader, question.site.clock())

    def read(reading: Reading, wanted: BinFilter, page: Page) -> tuple[tuple[Completion, ...], Json | None]:
        rows = completions(reading, wanted, page.size, (page.number - 1) * page.size)
        return rows, pages_of(page, count_completions(reading, wanted), None)

    return binned(question, shapes.COMPLETED, wanted, lambda row: {"count": sum(row.by.values()), "results": split(row.by)}, read)


@router.get("/HIST/last-ivr-action-summary", include_in_schema=False)  # its other name
@router.get("/HIST/ivr-action-summary", openapi_extra=parameters(shapes.IVR_ACTIONS))
def ivr_action_summary(request: Request) -> Response:
    """Actions of the sessions (MCP) that ended in each bin by result: `actions` all their runs, `last-actions` the one of each session
    that started last."""
    question = Question.of(request)
    wanted = asking.summary(question.reader, question.site.clock(), having=("actions_by", "last_actions_by"))

    def said(row: Bin) -> Json:
        return {"actions": actions(row.actions_by), "last-actions": actions(row.last_actions_by)}

    return binned(question, shapes.IVR_ACTIONS, wanted, said, read_bins)
