"""Trends: the bins of one dimension value as plot and table."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import GRANULARITIES, start_of
from reports import asking, formats
from reports import parameters as p
from reports.now import plot_of
from reports.pages.frame import plot_json, render
from reports.parameters import Reader
from reports.queries import bins as bin_queries
from reports.queries import live
from reports.queries.bins import Bin, BinFilter, Peak
from reports.queries.calls import Names
from reports.site import site_of
from reports.usage import AsOf, as_of, cut_elsewhere, leading, series

router = APIRouter(include_in_schema=False)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
LENGTHS = {  # about, ms
    "FIVE_MINUTES": HOUR_MS // 12,
    "THIRTY_MINUTES": HOUR_MS // 2,
    "HOUR": HOUR_MS,
    "DAY": DAY_MS,
    "WEEK": 7 * DAY_MS,
    "MONTH": 30 * DAY_MS,
}
SPANS = {
    "FIVE_MINUTES": 6 * HOUR_MS,
    "THIRTY_MINUTES": 24 * HOUR_MS,
    "HOUR": 48 * HOUR_MS,
    "DAY": 30 * DAY_MS,
    "WEEK": 182 * DAY_MS,
    "MONTH": 365 * DAY_MS,
}
PATTERNS = {"DAY": "%a %d %b", "WEEK": "%d %b %Y", "MONTH": "%b %Y"}  # how a bin's start is written; of shorter ones with the time
MOST_BINS = 2_000


@router.get("/bins")
def bins_page(request: Request) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    granularity = reader.one(p.GRANULARITY) or "HOUR"
    comp, dimension, value = reader.one(p.COMP), reader.one(p.DIMENSION) or "component_type", reader.one(p.VALUE)
    start, end = reader.one(p.FROM), reader.one(p.TO)
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        moment = as_of(fresh, site.clock())
        comps = bin_queries.component_types(reading)
        comp = comp or leading(comps)
        values = () if dimension == "component_type" else bin_queries.values_of(reading, comp, dimension)
        value = "" if dimension == "component_type" else value or (values[0] if values else "")
        span = _span(reader, granularity, start, end, moment)
        faults = {fault.parameter: fault for fault in reader.faults}
        wanted = BinFilter(comp, dimension, granularity, *span, (value,))
        shown = () if faults else series(reading, wanted, site.zone).bins
        names = site.names(reading)
        is_cut_elsewhere = cut_elsewhere(reading, site.zone)
    # Later bins have none, and the running one is not over: its figure comes with the next event.
    line = tuple(row.in_progress if row.start <= moment.at else None for row in shown)
    pattern = PATTERNS.get(granularity, "%d %b %H:%M")
    labels = tuple(formats.clock(row.start, site.zone, pattern) for row in shown)
    given = {name: text for name, text in parse_qsl(request.url.query) if text}
    return render(
        request,
        "bins.html",
        400 if faults else 200,
        fresh=fresh,
        bins=shown,
        faults=faults,
        given=given,
        granularity=granularity,
        comp=comp,
        comps=comps or (comp,),
        dimension=dimension,
        value=value,
        values=values,
        names=names,
        label=label_of(dimension, names),
        span=span,
        moment=moment,
        is_cut_elsewhere=is_cut_elsewhere,
        dimensions=p.DIMENSIONS,
        granularities=GRANULARITIES,
        pattern=pattern,
        total=total_of(shown),
        peak=max((row.peak for row in shown), key=lambda peak: peak.count, default=Peak()),  # the first of equal ones
        plot=plot_json(plot_of(shown, labels, line)),
    )


def _span(reader: Reader, granularity: str, start: int | None, end: int | None, moment: AsOf) -> tuple[int, int]:
    """On boundaries of bins; without `from` and `to` the last ones."""
    end = moment.at + 1 if end is None else end
    start = end - SPANS[granularity] if start is None else start
    if end <= start:
        reader.fault(p.TO, formats.instant(end, reader.zone) or "", "after from")
        return start, start
    if (end - start) / LENGTHS[granularity] > MOST_BINS:
        reader.fault(p.FROM, formats.instant(start, reader.zone) or "", f"at most {MOST_BINS} bins: a longer granularity or a shorter time")
        return end, end
    return start_of(granularity, start, reader.zone), asking.forward(granularity, end, reader.zone)


def label_of(dimension: str, names: Names) -> Callable[[str], str]:
    """The name of a value of the dimension, the DBID where no name is known."""
    known = names.of(dimension)

    def label(value: str) -> str:
        return known.get(int(value), value) if value.isdecimal() else value

    return label


def total_of(shown: tuple[Bin, ...]) -> tuple[int, int, float | None]:
    """Arrivals, completed, and the average duration, from the sums (an average of averages would be wrong)."""
    n = sum(row.durations.n for row in shown)
    average = sum(row.durations.total for row in shown) / n if n else None
    return sum(row.arrivals for row in shown), sum(row.completed for row in shown), average
