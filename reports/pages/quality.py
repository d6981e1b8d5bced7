"""Service quality: rates over time, causes of failures, latencies by type and component."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import GRANULARITIES, HOUR
from reports import formats, quality, trends
from reports import parameters as p
from reports.pages.frame import render
from reports.pages.plots import line, lines_json
from reports.pages.spans import OFFERED, as_fields, label_of, pattern_of, span_of
from reports.parameters import Reader
from reports.queries import bins as bin_queries
from reports.queries import live
from reports.queries.bins import BinFilter
from reports.site import site_of
from reports.usage import as_of, cut_elsewhere, side_by_side

router = APIRouter(include_in_schema=False)
COMP = "MCP"  # service quality is that of its sessions
DIMENSIONS = ("component_type", "tenant", "tenant-own", "app", "component")
DIMENSION = p.choice("dimension", DIMENSIONS)
MOST_VALUES = 20
RATE = trends.MEASURES["quality"]


@router.get("/quality")
def quality_page(request: Request) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    granularity = reader.one(p.GRANULARITY) or HOUR
    dimension, asked = reader.one(DIMENSION) or "component_type", reader.many(p.VALUE)
    if len(asked) > MOST_VALUES:
        reader.fault(p.VALUE, str(len(asked)), f"at most {MOST_VALUES} of them side by side")
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        moment = as_of(fresh, site.clock())
        known = () if dimension == "component_type" else bin_queries.values_of(reading, COMP, dimension)
        values = ("",) if dimension == "component_type" else asked or known[:OFFERED]
        span = span_of(reader, granularity, moment, len(values))
        faults = {fault.parameter: fault for fault in reader.faults}
        shown = {} if faults else side_by_side(reading, BinFilter(COMP, dimension, granularity, *span, values), site.zone)
        spread = () if faults else bin_queries.bins(reading, BinFilter(COMP, "component", granularity, *span))
        names = site.names(reading)
        is_cut_elsewhere = cut_elsewhere(reading, site.zone)
    label = label_of(dimension, names)
    figures = {value: trends.figures(RATE, rows, moment.at) for value, rows in shown.items()}
    first = next(iter(shown.values()), ())
    pattern = pattern_of(granularity)
    target = site.quality_target()
    drawn = [line(index, label(value) or RATE.name, each) for index, (value, each) in enumerate(figures.items())]
    chosen = [("dimension", dimension), *(("value", value) for value in values if value), ("granularity", granularity)]
    times = [("from", formats.instant(span[0], site.zone) or ""), ("to", formats.instant(span[1], site.zone) or "")]
    return render(
        request,
        "quality.html",
        400 if faults else 200,
        fresh=fresh,
        shown=shown,
        bins=first,
        figures=figures,
        rates=[quality.rate(value, rows) for value, rows in shown.items()],
        whole=quality.rate("", spread),
        causes={value: quality.causes(rows) for value, rows in shown.items()},
        latencies=quality.latencies(spread, site.targets),
        component=label_of("component", names),
        percentiles=quality.PERCENTILES,
        edges=[edge // 1000 for edge in quality.EDGES_US],
        target=target,
        faults=faults,
        given=as_fields(request.url.query, site.zone, p.FROM, p.TO),
        granularity=granularity,
        granularities=GRANULARITIES,
        dimension=dimension,
        dimensions=DIMENSIONS,
        values=values,
        known=(*known, *(value for value in asked if value not in known)),
        label=label,
        span=span,
        moment=moment,
        is_cut_elsewhere=is_cut_elsewhere,
        pattern=pattern,
        link=urlencode([*chosen, *times]),
        plot=lines_json([formats.clock(row.start, site.zone, pattern) for row in first], RATE.unit, drawn, target=target),
    )
