"""Service quality and latencies of MCP sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import DAY, HOUR, MONTH, WEEK, start_of
from reports import asking
from reports import parameters as p
from reports.api import shapes
from reports.api.details import listing
from reports.api.figures import HREFS, MISSING, bounds, labelled, normalise, page_of_bins, split, value_of
from reports.api.question import Json, Question, documented, pages_of
from reports.formats import instant
from reports.parameters import Parameter
from reports.queries import live
from reports.queries import quality as queries
from reports.queries.bins import BinFilter, Spread
from reports.queries.calls import Names
from reports.queries.quality import Failure, Quality, QualityFilter
from reports.render.shape import Service
from reports.site import Site
from reports.store.contract import Reading
from reports.usage import as_of

router = APIRouter(prefix="/sqa", tags=["service quality"])
COMPUTED = "computed from the stored sessions that match both, so it reaches back as far as sessions are kept (retention.cdr)"
PERIODS = (HOUR, DAY, WEEK, MONTH)


def parameters(service: Service, *more: Parameter[object]) -> Json:
    return documented(*asking.QUALITY, *more, p.PAGE, p.PAGE_SIZE, required=(p.QUALITY_GRANULARITY, p.FROM), service=service)


@router.get("/servicequality", openapi_extra=parameters(shapes.SERVICE_QUALITY))
def servicequality(request: Request) -> Response:
    """Sessions that ended in each bin, those with a failure, the rate of those without, and failures by cause. Without a filter: of all
    MCPs together."""
    question = Question.of(request)
    wanted = asking.quality(question.reader, question.site.clock(), by_component=False, having="results_by")

    def said(row: Quality) -> Json:
        rate = (row.calls - row.failed) / row.calls if row.calls else None
        return {"calls": row.calls, "failed-calls": row.failed, "success-rate": rate, "failures": split(row.failures)}

    return measured(question, shapes.SERVICE_QUALITY, wanted, said)


@router.get("/latency/details", openapi_extra=parameters(shapes.LATENCY_DETAILS, p.AGGREGATE_BY))
def latency_details(request: Request) -> Response:
    """Latencies in each bin by category and type, ms. Without a filter: of each MCP. `aggregate-by` puts together: `time` the bins of the
    range, `component` the components."""
    question = Question.of(request)
    by = question.reader.many(p.AGGREGATE_BY)
    wanted = asking.quality(question.reader, question.site.clock(), by_component="component" not in by, having="latencies_by")
    targets = question.site.targets

    def said(row: Quality) -> Json:
        return {"categories": categories(row.latencies, targets, types=True)}

    return measured(question, shapes.LATENCY_DETAILS, wanted, said, by)


@router.get("/latency/histogram", openapi_extra=parameters(shapes.LATENCY_HISTOGRAM, p.AGGREGATE_BY_COMPONENT))
def latency_histogram(request: Request) -> Response:
    """How many latencies lie in each bucket, `from` <= latency < `to` in ms, by category and type. Without a filter: of each MCP;
    `aggregate-by=component` puts the components together."""
    question = Question.of(request)
    by = question.reader.many(p.AGGREGATE_BY_COMPONENT)
    wanted = asking.quality(question.reader, question.site.clock(), by_component=not by, having="latencies_by")

    def said(row: Quality) -> Json:
        return {
            "latencies": [
                {"category": category, "type": kind, "measured": spread.n, "buckets": buckets(spread)}
                for (category, kind), spread in labelled(row.latencies, "|")
            ]
        }

    return measured(question, shapes.LATENCY_HISTOGRAM, wanted, said, by)


@router.get("/latency/summary", openapi_extra=documented(p.COMP_ID, service=shapes.LATENCY_NOW))
def latency_summary(request: Request) -> Response:
    """Latencies of each MCP this hour, today, this week and this month, by category, ms."""
    question = Question.of(request)
    wanted = tuple(map(str, question.reader.many(p.COMP_ID)))
    question.reader.check()
    site = question.site
    with question.reading() as reading:
        moment = as_of(live.freshness(reading), site.clock())
        by_component: dict[str, list[Json]] = {}
        for period in PERIODS:
            start = start_of(period, moment.at, site.zone)
            asked = BinFilter(queries.COMP, "component", period, start, start + 1, wanted, having=("latencies_by",))
            for row in queries.from_bins(reading, asked):
                said: Json = {"period": period, "start": instant(start, site.zone), "categories": categories(row.latencies, site.targets)}
                by_component.setdefault(row.value, []).append(said)
        names = site.names(reading).components
        rows = [
            {
                "object": {"href": HREFS["component"] + value, "id": int(value), "name": names.get(int(value)), "type": queries.COMP},
                "latencies": of,
            }
            for value, of in sorted(by_component.items(), key=lambda item: int(item[0]))
        ]
        note = "periods without any latency are left out" + (
            "; the store holds old calls only: now is the last of them" if moment.historic else ""
        )
        return question.answer(reading, shapes.LATENCY_NOW, rows, note=note)


@router.get("/failures", openapi_extra=documented(*asking.FAILURES, *asking.PAGING, service=shapes.FAILED))
def failures(request: Request) -> Response:
    """Failures of MCP sessions, newest first. Components that are no MCPs have none."""
    question = Question.of(request)
    wanted, page = asking.failures(question.reader), asking.page(question.reader, question.site.page_size, queries.FAILURES.types)
    question.reader.check()
    zone = question.site.zone

    def said(_: Reading, rows: Sequence[Failure]) -> list[Json]:
        return [failure_of(row, zone) for row in rows]

    return listing(question, shapes.FAILED, page, partial(queries.failures, wanted=wanted), said)


def failure_of(row: Failure, zone: ZoneInfo) -> Json:
    return {
        "timestamp": instant(row.ts, zone),
        "cause": row.cause,
        "detail": row.detail,
        "gvp-guid": row.guid,
        "comp-id": row.comp_id,
        "session-id": row.session,
        "tenant_id": row.tenant_id,
        "tenant_name": row.tenant_name,
        "app_id": row.app_id,
        "app_name": row.app_name,
    }


def measured(
    question: Question, service: Service, wanted: QualityFilter, said: Callable[[Quality], Json], by: Sequence[str] = ()
) -> Response:
    """The answer to every question for quality by bin, with what `by` names put together. Raises the faults of the question."""
    reader, site = question.reader, question.site
    page = page_of_bins(reader)
    reader.check()
    normalise(reader, wanted.bins)
    with question.reading() as reading:
        rows = merged(read(reading, wanted, site.zone), wanted, by)
        first = (page.number - 1) * page.size
        shown = rows if question.exports else rows[first : first + page.size]
        names = site.names(reading)
        found = [whose(row, wanted, by, site, names) | said(row) for row in shown]
        note = COMPUTED if wanted.components else MISSING
        return question.answer(reading, service, found, pages=pages_of(page, len(rows), None), note=note)


def read(reading: Reading, wanted: QualityFilter, zone: ZoneInfo) -> tuple[Quality, ...]:
    of = wanted.bins
    if wanted.components:
        return queries.from_sessions(reading, wanted, asking.bounds(of.granularity, of.start, of.end, zone))
    return queries.from_bins(reading, of)


def merged(rows: Sequence[Quality], wanted: QualityFilter, by: Sequence[str]) -> list[Quality]:
    """Rows that differ in nothing but what they are put together by become one."""
    groups: dict[tuple[object, ...], list[Quality]] = {}
    for row in rows:
        start = None if "time" in by else row.start
        component = None if "component" in by else row.component
        value = None if "component" in by and wanted.bins.dimension == "component" else row.value
        groups.setdefault((start, value, component), []).append(row)
    return [queries.together(group) for group in groups.values()]


def whose(row: Quality, wanted: QualityFilter, by: Sequence[str], site: Site, names: Names) -> Json:
    of = wanted.bins
    together = "component" in by
    found = {} if together and of.dimension == "component" else value_of(of.dimension, row.value, names)
    if row.component is not None and not together:
        found["component"] = {"id": row.component, "name": names.components.get(row.component)}
    if "time" in by:
        return found | {"start": instant(of.start, site.zone), "end": instant(of.end, site.zone)}
    return found | bounds(row.start, of, site.zone)


def ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def figures(spread: Spread) -> Json:
    return {
        "measured": spread.n,
        "avg": ms(spread.average),
        "min": ms(spread.low),
        "max": ms(spread.high),
        "std-dev": ms(spread.deviation),
    }


def is_acceptable(spread: Spread, target: float | None) -> bool:
    """The average is at most the target; a type without one is acceptable (rule B12)."""
    average = ms(spread.average)
    return target is None or average is None or average <= target


def categories(latencies: Mapping[str, Spread], targets: Mapping[str, float], *, types: bool = False) -> list[Json]:
    """Latencies of each category together, how many types it has and how many of them are acceptable; with `types` also each of these."""
    by_category: dict[str, list[tuple[str, Spread]]] = {}
    for (category, kind), spread in labelled(latencies, "|"):
        by_category.setdefault(category, []).append((kind, spread))
    return [category_of(name, of, targets, types=types) for name, of in by_category.items()]


def category_of(name: str, of: Sequence[tuple[str, Spread]], targets: Mapping[str, float], *, types: bool) -> Json:
    each = [
        {"name": kind, "target": targets.get(kind), "acceptable": is_acceptable(spread, targets.get(kind))} | figures(spread)
        for kind, spread in of
    ]
    found: Json = {"name": name, "types": len(each), "acceptable": sum(one["acceptable"] is True for one in each)}
    return found | figures(Spread.merged(spread for _, spread in of)) | ({"latencies": each} if types else {})


def buckets(spread: Spread) -> list[Json]:
    """All of them, empty ones too. The first has no `from`, the last no `to`."""
    edges = (None, *shapes.LATENCY_EDGES_MS, None)
    return [{"from": edges[at], "to": edges[at + 1], "count": spread.buckets.get(str(at), 0)} for at in range(len(edges) - 1)]
