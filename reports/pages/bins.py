"""Trends: the bins of one dimension value as plot and table."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import BASE_MS, DAY, start_of
from reports import asking, formats
from reports import parameters as p
from reports.now import plot_of
from reports.pages.frame import plot_json, render
from reports.parameters import Reader
from reports.queries import bins as bin_queries
from reports.queries import live
from reports.queries.bins import Bin, BinFilter
from reports.queries.calls import Names
from reports.site import site_of
from reports.usage import AsOf, as_of, cut_elsewhere, leading, series

router = APIRouter(include_in_schema=False)
SPANS = {"FIVE_MINUTES": 6 * 3_600_000, "HOUR": 48 * 3_600_000, "DAY": 30 * 86_400_000}
MOST_BINS = 2_000


@router.get("/bins")
def bins_page(request: Request) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    granularity = reader.one(p.GRANULARITY) or "HOUR"
    comp, dimension, value = reader.one(p.COMP), reader.one(p.DIMENSION) or "component_type", reader.one(p.VALUE)
    start, end = reader.one(p.FROM), reader.one(p.TO)
    with site.store.reading() as connection:
        fresh = live.freshness(connection)
        moment = as_of(fresh, site.clock())
        comps = bin_queries.component_types(connection)
        comp = comp or leading(comps)
        values = () if dimension == "component_type" else bin_queries.values_of(connection, comp, dimension)
        value = "" if dimension == "component_type" else value or (values[0] if values else "")
        span = _span(reader, granularity, start, end, moment)
        faults = {fault.parameter: fault for fault in reader.faults}
        wanted = BinFilter(comp, dimension, granularity, *span, (value,))
        shown = () if faults else series(connection, wanted, site.zone).bins
        names = site.names(connection)
        is_cut_elsewhere = cut_elsewhere(connection, site.zone)
    # Later bins have none, and the running one is not over: its figure comes with the next event.
    line = tuple(row.in_progress if row.start <= moment.at else None for row in shown)
    labels = tuple(formats.clock(row.start, site.zone, "%d %b" if granularity == DAY else "%d %b %H:%M") for row in shown)
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
        granularities=p.GRANULARITIES,
        total=total_of(shown),
        plot=plot_json(plot_of(shown, labels, line)),
    )


def _span(reader: Reader, granularity: str, start: int | None, end: int | None, moment: AsOf) -> tuple[int, int]:
    """On boundaries of bins; without `from` and `to` the last ones."""
    end = moment.at + 1 if end is None else end
    start = end - SPANS[granularity] if start is None else start
    if end <= start:
        reader.fault(p.TO, formats.instant(end, reader.zone) or "", "after from")
        return start, start
    if (end - start) / {"FIVE_MINUTES": BASE_MS, "HOUR": 3_600_000, "DAY": 86_400_000}[granularity] > MOST_BINS:
        reader.fault(p.FROM, formats.instant(start, reader.zone) or "", f"at most {MOST_BINS} bins: a longer granularity or a shorter time")
        return end, end
    return start_of(granularity, start, reader.zone), asking.forward(granularity, end, reader.zone)


def label_of(dimension: str, names: Names) -> Callable[[str], str]:
    """The name of a value of the dimension, the DBID where no name is known."""
    known = {"tenant": names.tenants, "tenant-own": names.tenants, "app": names.apps}.get(dimension, {})

    def label(value: str) -> str:
        return known.get(int(value), value) if value.isdecimal() else value

    return label


def total_of(shown: tuple[Bin, ...]) -> tuple[int, int, float | None]:
    """Arrivals, completed, and the average duration, from the sums (an average of averages would be wrong)."""
    n = sum(row.durations.n for row in shown)
    average = sum(row.durations.total for row in shown) / n if n else None
    return sum(row.arrivals for row in shown), sum(row.completed for row in shown), average
