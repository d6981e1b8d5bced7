"""Figures: arrivals and bins, usage now, freshness."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import DAY, end_of, start_of
from reports import asking
from reports import parameters as p
from reports.api import shapes
from reports.api.question import Json, Question, documented, pages_of
from reports.averages import Averaged, averaged, first_day
from reports.formats import instant
from reports.parameters import Reader
from reports.queries import bins as queries
from reports.queries import completions, live
from reports.queries.bins import Bin, BinFilter, Spread
from reports.queries.calls import Names
from reports.queries.movements import Movement, movements
from reports.queries.paging import Page
from reports.render.shape import Service
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
EVERY_DAY = (
    "the moving average is the mean of the days that end with the day; days without any figure count as 0, those before the first too"
)
ALL_AT_ONCE = 1_000_000_000  # rows: averages of all days are computed together
HREFS = {
    "tenant": "/ems-rs/RT/tenants/usage?tenant-id=",
    "tenant-own": "/ems-rs/RT/tenants/usage?own=true&tenant-id=",
    "app": "/ems-rs/RT/applications/usage?app-id=",
    "component": "/ems-rs/RT/components/usage?comp-id=",
}
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


Moving = Literal["RM", "MCP", "CCP", "CTIC", "EXT"]


@router.get(
    "/operations/arrivals/{comp}",
    openapi_extra=documented(*asking.ARRIVALS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM), service=shapes.ARRIVALS_IN),
    tags=["operations"],
)
def arrivals(request: Request, comp: Moving) -> Response:
    """Sessions that started in each bin, by call type. Every value asked for has rows of its own; a tenant's include its descendants.
    With `sma-period`, every day has a row, with the mean of so many days that end with it."""
    return moved(Question.of(request), comp, shapes.ARRIVALS_IN, lambda row: row.arrivals, said_arrivals)


@router.get(
    "/operations/peaks/{comp}",
    openapi_extra=documented(*asking.ARRIVALS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM), service=shapes.PEAKS_IN),
    tags=["operations"],
)
def peaks(request: Request, comp: Moving) -> Response:
    """The most sessions in progress in one second of each bin, the first such second, and the call types in that second. A tenant's
    include its descendants. Peaks of different values do not add up. With `sma-period`, every day has a row, with the mean of the peaks
    of so many days that end with it."""
    return moved(Question.of(request), comp, shapes.PEAKS_IN, lambda row: row.peak.count, said_peak)


def said_arrivals(row: Movement, _: ZoneInfo) -> Json:
    return {"count": row.arrivals, "calls": split(row.arrivals_by)}


def said_peak(row: Movement, zone: ZoneInfo) -> Json:
    return {"peak": row.peak.count, "time": instant(row.peak.at, zone), "calls": split(row.peak.by)}


def moved(
    question: Question, comp: str, service: Service, figure: Callable[[Movement], int], said: Callable[[Movement, ZoneInfo], Json]
) -> Response:
    """Arrivals or peaks, with or without their moving average."""
    wanted = asking.arrivals(question.reader, comp, question.site.clock())
    period, zone = asking.moving_average(question.reader, wanted.granularity), question.site.zone
    if period is None:
        return binned(question, service, wanted, lambda row: said(row, zone), read_movements)

    def read(reading: Reading, wanted: BinFilter, page: Page) -> tuple[tuple[Averaged, ...], Json | None]:
        rows = movements(reading, replace(wanted, start=first_day(wanted.start, period, zone)))
        values = ("",) if wanted.dimension == "component_type" else wanted.values
        found = averaged(rows, values, (wanted.start, wanted.end), period, zone, figure)
        start = (page.number - 1) * page.size
        return found[start : start + page.size], pages_of(page, len(found), None)

    return binned(question, service, wanted, lambda row: {**said(row.day, zone), "moving-average": row.mean}, read, EVERY_DAY, ALL_AT_ONCE)


def read_movements(reading: Reading, wanted: BinFilter, page: Page) -> tuple[tuple[Movement, ...], Json | None]:
    rows = movements(reading, wanted, page.size, (page.number - 1) * page.size)
    return rows, pages_of(page, queries.count_bins(reading, wanted), None)


@router.get(
    "/bins",
    openapi_extra=documented(*asking.BINS, p.PAGE, p.PAGE_SIZE, required=(p.GRANULARITY, p.FROM), service=shapes.BINS_IN),
    tags=["operations"],
)
def bins(request: Request) -> Response:
    """All figures of the bins of a dimension. In progress is at the bin's end, durations are those of completed sessions."""
    question = Question.of(request)
    wanted = asking.bins(question.reader, question.site.clock())
    return binned(question, shapes.BINS_IN, wanted, lambda row: figures(row, question.site.zone), read_bins)


def binned(
    question: Question,
    service: Service,
    wanted: BinFilter,
    said: Callable[[R], Json],
    read: Callable[[Reading, BinFilter, Page], tuple[Iterable[R], Json | None]],
    note: str = MISSING,
    chunk: int = p.MAX_PAGE_SIZE,
) -> Response:
    """The answer to every question for bins: whose row it is, which bin, and what `said` makes of it. Raises the faults of the question.

    All rows as CSV are read in chunks of `chunk` rows, each in a reading of its own.
    """
    reader, site = question.reader, question.site
    page = Page(chunk) if question.exports else page_of_bins(reader)
    reader.check()
    normalise(reader, wanted)

    def rows_of(reading: Reading, page: Page) -> tuple[list[Json], Json | None]:
        rows, pages = read(reading, wanted, page)
        names = site.names(reading)
        return [
            {**value_of(wanted.dimension, row.value, names), **bounds(row.start, wanted, site.zone), **said(row)} for row in rows
        ], pages

    def others() -> Iterator[Json]:
        number, size = 1, page.size
        while size == page.size:
            number += 1
            with site.store.reading() as reading:
                rows, _ = rows_of(reading, Page(page.size, number))
            size = len(rows)
            yield from rows

    with question.reading() as reading:
        found, pages = rows_of(reading, page)
        if not question.exports:
            return question.answer(reading, service, found, pages=pages, note=note)
    return question.export(service, chain(found, others()) if pages else found)


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


@router.get("/RT/tenants/usage", openapi_extra=documented(p.TENANT_ID, p.OWN, p.COMP, service=shapes.TENANT_USAGE), tags=["usage"])
def tenants_usage(request: Request) -> Response:
    """Calls in progress, arrivals of this hour and today, and today's peak by tenant, with its descendants; as RM (or `comp`) sees them.
    And the results of the calls that ended today."""
    question = Question.of(request)
    reader = question.reader
    wanted = {str(tenant) for tenant in reader.many(p.TENANT_ID)}
    own, comp = reader.one(p.OWN) or False, reader.one(p.COMP) or "RM"
    reader.check()
    return usage_of(question, shapes.TENANT_USAGE, "tenant-own" if own else "tenant", [comp], wanted)


@router.get("/RT/applications/usage", openapi_extra=documented(p.APP_ID, p.COMP, service=shapes.APP_USAGE), tags=["usage"])
def applications_usage(request: Request) -> Response:
    """Calls in progress, arrivals of this hour and today, and today's peak by IVR profile; as RM (or `comp`) sees them. And the results
    of the calls that ended today."""
    question = Question.of(request)
    wanted = {str(app) for app in question.reader.many(p.APP_ID)}
    comp = question.reader.one(p.COMP) or "RM"
    question.reader.check()
    return usage_of(question, shapes.APP_USAGE, "app", [comp], wanted)


@router.get("/RT/components/usage", openapi_extra=documented(p.COMP_ID, p.COMP, service=shapes.COMPONENT_USAGE), tags=["usage"])
def components_usage(request: Request) -> Response:
    """Sessions in progress, arrivals of this hour and today, and today's peak by component."""
    question = Question.of(request)
    wanted = {str(comp_id) for comp_id in question.reader.many(p.COMP_ID)}
    comp = question.reader.one(p.COMP)
    question.reader.check()
    return usage_of(question, shapes.COMPONENT_USAGE, "component", [comp] if comp else p.COMPONENTS, wanted)


def usage_of(question: Question, service: Service, dimension: str, comps: Iterable[str], wanted: set[str]) -> Response:
    site = question.site
    with question.reading() as reading:
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
        return question.answer(reading, service, rows, note=note)


def usage_row(row: Usage, dimension: str, names: Names, at: str | None, zone: ZoneInfo) -> Json:
    name = names.of(dimension).get(int(row.value))
    return {
        "object": {"href": HREFS[dimension] + row.value, "id": int(row.value), "name": name, "type": row.comp},
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


@router.get("/freshness", openapi_extra=documented(service=shapes.FRESH), tags=["health"])
def freshness(request: Request) -> Response:
    """How far the figures have come. `folded_to`: receipt time up to which every stored message is in them; `stream`: time of the calls."""
    question = Question.of(request)
    question.reader.check()
    with question.reading() as reading:
        found = live.freshness(reading)
        content = {name: instant(value, question.site.zone) for name, value in asdict(found).items()}
        return question.answer(reading, shapes.FRESH, content)
