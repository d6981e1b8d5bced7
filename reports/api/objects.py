"""What is reported on: tenants, IVR profiles and components, by the Config Server and as calls have told of them."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from reports import parameters as p
from reports.api import shapes
from reports.api.figures import page_of_bins
from reports.api.question import Json, Question, documented, pages_of
from reports.parameters import Parameter
from reports.queries import bins
from reports.render.shape import Service

router = APIRouter(tags=["objects"])
NOTE = "known by the Config Server, or because calls told of them; names are the Config Server's, else those of calls"


@router.get("/tenants", openapi_extra=documented(p.TENANT_ID, p.PAGE, p.PAGE_SIZE, service=shapes.TENANTS))
def tenants(request: Request) -> Response:
    """Tenants by DBID. `parent`: as the Config Server has it."""
    question = Question.of(request)
    parents = {dbid: one.parent for dbid, one in question.site.objects().tenants.items()}
    return objects(question, shapes.TENANTS, p.TENANT_ID, "tenant", lambda dbid, _: {"parent": parents.get(dbid)})


@router.get("/applications", openapi_extra=documented(p.APP_ID, p.PAGE, p.PAGE_SIZE, service=shapes.APPLICATIONS))
def applications(request: Request) -> Response:
    """IVR profiles by DBID. `tenant`: the owner, as the Config Server has it."""
    question = Question.of(request)
    owners = {dbid: one.tenant for dbid, one in question.site.objects().profiles.items()}
    return objects(question, shapes.APPLICATIONS, p.APP_ID, "app", lambda dbid, _: {"tenant": owners.get(dbid)})


@router.get("/components", openapi_extra=documented(p.COMP_ID, p.PAGE, p.PAGE_SIZE, service=shapes.COMPONENTS))
def components(request: Request) -> Response:
    """Components by DBID, with their type."""
    question = Question.of(request)
    types = {dbid: one.type for dbid, one in question.site.objects().components.items() if one.type}
    return objects(question, shapes.COMPONENTS, p.COMP_ID, "component", lambda dbid, comp: {"type": types.get(dbid) or comp})


def objects(
    question: Question, service: Service, parameter: Parameter[int], dimension: str, more: Callable[[int, str | None], Json]
) -> Response:
    wanted, page = set(question.reader.many(parameter)), page_of_bins(question.reader)
    question.reader.check()
    with question.reading() as reading:
        names = question.site.names(reading).of(dimension)
        seen: dict[int, str] = {}
        for comp, value in bins.seen(reading, dimension):
            seen.setdefault(int(value), comp)
        found = sorted(dbid for dbid in names.keys() | seen.keys() if not wanted or dbid in wanted)
        first = (page.number - 1) * page.size
        rows: list[Json] = [
            {"href": f"/ems-rs/{service.key}?{parameter.name}={dbid}", "id": dbid, "name": names.get(dbid)} | more(dbid, seen.get(dbid))
            for dbid in (found if question.exports else found[first : first + page.size])
        ]
        return question.answer(reading, service, rows, pages=pages_of(page, len(found), None), note=NOTE)
