"""Figures as JSON: arrivals and bins, usage now, freshness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import DAY, end_of, start_of
from reports import asking
from reports import parameters as p
from reports.api.question import Json, Question, documented, pages_of
from reports.formats import instant
from reports.parameters import Reader
from reports.queries import bins as queries
from reports.queries import completions, live
from reports.queries.bins import Bin, BinFilter, Spread
from reports.queries.calls import Names
from reports.queries.paging import Page
from reports.store.contract import Reading
from reports.usage import AsOf, Count, Usage, as_of, count, running_sessions, usage


class BinRow(Protocol):
    """A bin of one value of a dimension. `start`: ms UTC."""

    @property
    def value(self) -> str: ...
    @property
    def start(self) -> int: ...


T = TypeVar("T")
R = TypeVar("R", bound=BinRow)
router = APIRouter()
MISSING = "bins without any figure are left out and read as zeros"
USAGE_LACKS = "limits are not kept"


def read_bins(reading: Reading, wanted: BinFilter, page: Page) -> tuple[tuple[Bin, ...], Json | None]:
    rows = queries.bins(reading, wanted, page.size, (page.number - 1) * page.size)
    return rows, pages_of(page, queries.count_bins(reading, wanted), None)


def page_of_bins(reader: Reader) -> Page:
    """Bins are paged by number: bins that are past don't move."""
    return Page(reader.one(p.PAGE_SIZE) or p.MAX_PAGE_SIZE, reader.one(p.PAGE) or 1)


def split(values: dict[str, int]) -> list[Json]:
    return [{"type": name, "count": n} for name, n in values.items()]


def value_of(dimension: str, value: str, names: Names) -> Json:
    if dimension == "component_type":
        return {}
    if dimension == "dn":
        return {"dn": value}
    return {"id": int(value), "name": names.of(dimension).get(int(value))}


@router.get(
    "/operations/arrivals/{comp}",
    openapi_extra=documented(*asking.ARRIVALS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM)),
    tags=["operations"],
)
def arrivals(request: Request, comp: Literal["RM", "MCP", "CCP", "CTIC", "EXT"]) -> Response:
    """Sessions that started in each bin, by call type. Every value asked for has rows of its own; a tenant's include its descendants."""
    question = Question.of(request)
    wanted = asking.arrivals(question.reader, comp, question.site.clock())
    return binned(question, "arrivals", wanted, lambda row: {"count": row.arrivals, "calls": split(row.arrivals_by)}, read_bins)


@router.get(
    "/operations/peaks/{comp}",
    openapi_extra=documented(*asking.ARRIVALS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM)),
    tags=["operations"],
)
def peaks(request: Request, comp: Literal["RM", "MCP", "CCP", "CTIC", "EXT"]) -> Response:
    """The most sessions in progress in one second of each bin, the first such second, and the call types in that second. A tenant's
    include its descendants. Peaks of different values do not add up."""
    question = Question.of(request)
    zone = question.site.zone
    wanted = asking.arrivals(question.reader, comp, question.site.clock())

    def said(row: Bin) -> Json:
        return {"peak": row.peak.count, "time": instant(row.peak.at, zone), "calls": split(row.peak.by)}

    return binned(question, "peaks", wanted, said, read_bins)


@router.get("/bins", openapi_extra=documented(*asking.BINS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM)), tags=["operations"])
def bins(request: Request) -> Response:
    """All figures of the bins of a dimension. In progress is at the bin's end, durations are those of completed sessions."""
    question = Question.of(request)
    wanted = asking.bins(question.reader, question.site.clock())
    return binned(question, "bins", wanted, lambda row: figures(row, question.site.zone), read_bins)


def binned(
    question: Question,
    name: str,
    wanted: BinFilter,
    said: Callable[[R], Json],
    read: Callable[[Reading, BinFilter, Page], tuple[Iterable[R], Json | None]],
) -> Response:
    """The answer to every question for bins: whose row it is, which bin, and what `said` makes of it. Raises the faults of the question."""
    reader, site = question.reader, question.site
    page = page_of_bins(reader)
    reader.check()
    normalise(reader, wanted)
    with site.store.reading() as reading:
        rows, pages = read(reading, wanted, page)
        names = site.names(reading)
        found = [{**value_of(wanted.dimension, row.value, names), **bounds(row.start, wanted, site.zone), **said(row)} for row in rows]
        return question.answer(reading, name, found, pages=pages, note=MISSING)


def figures(row: Bin, zone: ZoneInfo) -> Json:
    return {
        "arrivals": {"count": row.arrivals, "calls": split(row.arrivals_by)},
        "completed": {"count": row.completed, "end-states": split(row.completed_by)},
        "in-progress": {"count": row.in_progress, "calls": split(row.in_progress_by)},
        "peak": {"count": row.peak.count, "time": instant(row.peak.at, zone), "calls": split(row.peak.by)},
        "duration-ms": spread(row.durations),
        "burst": [{"tenant": int(tenant), "level": level, "count": n} for (tenant, level), n in labelled(row.burst_by, ":")],
        "results": split(row.results_by),
        "actions": actions(row.actions_by),
        "last-actions": actions(row.last_actions_by),
        "service-quality": {"calls": row.quality_calls, "failed": row.quality_failed, "failures": split(row.failures_by)},
        "latency-us": [{"category": category, "type": name, **spread(of)} for (category, name), of in labelled(row.latencies_by, "|")],
    }


def bounds(start: int, wanted: BinFilter, zone: ZoneInfo) -> Json:
    return {"start": instant(start, zone), "end": instant(end_of(wanted.granularity, start, zone), zone)}


def spread(of: Spread) -> Json:
    return {"n": of.n, "sum": of.total, "avg": of.average, "std-dev": of.deviation, "min": of.low, "max": of.high}


def labelled(values: Mapping[str, T], mark: str) -> list[tuple[tuple[str, str], T]]:
    """Values by a label of two parts."""
    found = []
    for label, value in values.items():
        first, _, second = label.partition(mark)
        found.append(((first, second), value))
    return found


def actions(by: Mapping[str, int]) -> list[Json]:
    """Each action with its results, the most used first."""
    results: dict[str, dict[str, int]] = {}
    for (action, result), n in labelled(by, "|"):
        results.setdefault(action, {})[result] = n
    most_used = sorted(results.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [{"action": action, "count": sum(of.values()), "results": split(of)} for action, of in most_used]


def normalise(reader: Reader, wanted: BinFilter) -> None:
    """Say in the manifest which bins the range became."""
    for name, ts in (("from", wanted.start), ("to", wanted.end)):
        reader.normalised[name] = instant(ts, reader.zone) or ""


@router.get("/RT/tenants/usage", openapi_extra=documented(p.TENANT_ID, p.OWN, p.COMP), tags=["usage"])
def tenants_usage(request: Request) -> Response:
    """Calls in progress, arrivals of this hour and today, and today's peak by tenant, with its descendants; as RM (or `comp`) sees them.
    And the results of the calls that ended today."""
    question = Question.of(request)
    reader = question.reader
    wanted = {str(tenant) for tenant in reader.many(p.TENANT_ID)}
    own, comp = reader.one(p.OWN) or False, reader.one(p.COMP) or "RM"
    reader.check()
    return usage_of(question, "tenant-own" if own else "tenant", [comp], wanted)


@router.get("/RT/components/usage", openapi_extra=documented(p.COMP_ID, p.COMP), tags=["usage"])
def components_usage(request: Request) -> Response:
    """Sessions in progress, arrivals of this hour and today, and today's peak by component."""
    question = Question.of(request)
    wanted = {str(comp_id) for comp_id in question.reader.many(p.COMP_ID)}
    comp = question.reader.one(p.COMP)
    question.reader.check()
    return usage_of(question, "component", [comp] if comp else p.COMPONENTS, wanted)


def usage_of(question: Question, dimension: str, comps: Iterable[str], wanted: set[str]) -> Response:
    site = question.site
    with site.store.reading() as reading:
        moment = as_of(live.freshness(reading), site.clock())
        running = running_sessions(reading, moment)
        names = site.names(reading)
        at = instant(moment.at, site.zone)
        results = results_today(reading, dimension, moment, site.zone)
        rows = [
            usage_row(row, dimension, names, at, site.zone)
            | ({} if results is None else {"var-stats": var_stats(results.get(row.value, Count(0, {})), at)})
            for comp in comps
            for row in usage(reading, comp, dimension, moment, site.zone, running)
            if not wanted or row.value in wanted
        ]
        note = USAGE_LACKS + ("; the store holds old calls only: now is the last of them" if moment.historic else "")
        return question.answer(reading, "usage", rows, note=note)


def usage_row(row: Usage, dimension: str, names: Names, at: str | None, zone: ZoneInfo) -> Json:
    is_tenant = dimension.startswith("tenant")
    name = names.tenants.get(int(row.value)) if is_tenant else None
    href = f"/ems-rs/RT/tenants/usage?tenant-id={row.value}" if is_tenant else f"/ems-rs/RT/components/usage?comp-id={row.value}"
    return {
        "object": {"href": href, "id": int(row.value), "name": name, "type": row.comp},
        "calls": {
            "in-progress": counted(row.in_progress),
            "arrived": {"last-updated": at, "this-hour": counted(row.this_hour), "today": counted(row.today)},
        },
        "peak": {
            "today": row.peak.count,
            "time": instant(row.peak.at, zone),
            "last-updated": at,
            "calls": split(count(row.peak.by).by),
        },
    }


def results_today(reading: Reading, dimension: str, moment: AsOf, zone: ZoneInfo) -> dict[str, Count] | None:
    """Value -> results of the calls that ended today; None for components, of which several can have had a part in one result."""
    if dimension == "component":
        return None
    start = start_of(DAY, moment.at, zone)
    rows = completions.completions(reading, BinFilter("MCP", dimension, DAY, start, start + 1))
    return {row.value: count(row.by) for row in rows}


def var_stats(results: Count, at: str | None) -> Json:
    return {
        "today": {
            "count": results.total,
            "call-result": [{"type": name, "count": n, "last-updated": at} for name, n in results.by.items()],
        }
    }


def counted(count: Count) -> Json:
    return {"count": count.total, "calls": split(count.by)}


@router.get("/freshness", tags=["health"])
def freshness(request: Request) -> Response:
    """How far the figures have come. `folded_to`: receipt time up to which every stored message is in them; `stream`: time of the calls."""
    question = Question.of(request)
    with question.site.store.reading() as reading:
        found = live.freshness(reading)
        content = {name: instant(value, question.site.zone) for name, value in asdict(found).items()}
        return question.answer(reading, "freshness", content)
