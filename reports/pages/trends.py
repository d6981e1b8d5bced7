"""Trends: a measure of one value, or of several side by side, as plot, heat map of the week and table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from fastapi.responses import Response

from agents.bins import GRANULARITIES, HOUR, start_of
from reports import formats, trends
from reports import parameters as p
from reports.pages.frame import render
from reports.pages.plots import Mark, line, lines_json, stacked
from reports.pages.spans import DAY_MS, OFFERED, as_fields, label_of, pattern_of, span_of
from reports.parameters import Reader
from reports.queries import bins as bin_queries
from reports.queries import live
from reports.queries.bins import Bin, BinFilter, Peak
from reports.site import site_of
from reports.store.contract import Reading
from reports.trends import MEASURES, Measure
from reports.usage import as_of, cut_elsewhere, leading, side_by_side

router = APIRouter(include_in_schema=False)
MEASURE = p.choice("measure", tuple(MEASURES))
PERIODS = ("3", "6", "12", "24", "48")
PERIOD = p.choice("sma-period", PERIODS)
MOST_VALUES = 20
HEAT_MS = 28 * DAY_MS


@router.get("/bins")
def trends_page(request: Request) -> Response:
    site = site_of(request)
    reader = Reader(request.url.query, site.zone)
    granularity = reader.one(p.GRANULARITY) or HOUR
    comp, dimension, asked = reader.one(p.COMP), reader.one(p.DIMENSION) or "component_type", reader.many(p.VALUE)
    measure, period = MEASURES[reader.one(MEASURE) or "arrivals"], int(reader.one(PERIOD) or 0)
    if len(asked) > MOST_VALUES:
        reader.fault(p.VALUE, str(len(asked)), f"at most {MOST_VALUES} of them side by side")
    with site.store.reading() as reading:
        fresh = live.freshness(reading)
        moment = as_of(fresh, site.clock())
        comps = bin_queries.component_types(reading)
        comp = comp or leading(comps)
        known = () if dimension == "component_type" else bin_queries.values_of(reading, comp, dimension)
        values = ("",) if dimension == "component_type" else asked or known[:OFFERED]
        span = span_of(reader, granularity, moment, len(values))
        faults = {fault.parameter: fault for fault in reader.faults}
        wanted = BinFilter(comp, dimension, granularity, *span, values)
        shown = {} if faults else side_by_side(reading, wanted, site.zone)
        names = site.names(reading)
        label = label_of(dimension, names)
        hours = _hours(reading, wanted, values[0], moment.at, reader) if shown else ()
        is_cut_elsewhere = cut_elsewhere(reading, site.zone)
    figures = {value: trends.figures(measure, rows, moment.at) for value, rows in shown.items()}
    tops = {} if measure.unit == "per cent" else {value: trends.top(measure, rows, figures[value]) for value, rows in shown.items()}
    first = next(iter(shown.values()), ())
    chosen = [("comp", comp), ("dimension", dimension), *(("value", value) for value in values if value), ("granularity", granularity)]
    times = [("from", formats.instant(span[0], site.zone) or ""), ("to", formats.instant(span[1], site.zone) or "")]
    seen = [("measure", measure.code), *([("sma-period", str(period))] if period else [])]
    return render(
        request,
        "trends.html",
        400 if faults else 200,
        fresh=fresh,
        shown=shown,
        bins=first,
        figures=figures,
        tops=tops,
        faults=faults,
        given=as_fields(request.url.query, site.zone, p.FROM, p.TO),
        granularity=granularity,
        comp=comp,
        comps=comps or (comp,),
        dimension=dimension,
        values=values,
        known=(*known, *(value for value in asked if value not in known)),
        label=label,
        peak=max((row.peak for row in first), key=lambda peak: peak.count, default=Peak()),  # the first of equal ones
        measure=measure,
        measures=[(each.code, each.name) for each in MEASURES.values()],
        period=period,
        periods=[("", "none"), *((n, f"of {n} bins") for n in PERIODS)],
        span=span,
        moment=moment,
        is_cut_elsewhere=is_cut_elsewhere,
        dimensions=p.DIMENSIONS,
        granularities=GRANULARITIES,
        pattern=pattern_of(granularity),
        heat=trends.week(measure, hours, site.zone) if hours else None,
        heat_span=(hours[0].start, hours[-1].start) if hours else None,
        total=total_of(first),
        link=urlencode([*chosen, *seen, *times]),
        question=urlencode([*chosen, *times]),
        plot=plot(_Shown(measure, shown, figures, tops, period), granularity, label, moment.at, site.zone) if shown else "",
    )


def total_of(shown: tuple[Bin, ...]) -> tuple[int, int, float | None]:
    """Arrivals, completed, and the average duration in ms, from the sums (an average of averages would be wrong)."""
    n = sum(row.durations.n for row in shown)
    average = sum(row.durations.total for row in shown) / n if n else None
    return sum(row.arrivals for row in shown), sum(row.completed for row in shown), average


def _hours(reading: Reading, wanted: BinFilter, value: str, at: int, reader: Reader) -> tuple[Bin, ...]:
    """The hours of four weeks up to the end of what is shown that are over, those without rows as zeros; not before the first hour that
    has figures."""
    end = start_of(HOUR, min(wanted.end, at), reader.zone)
    asked = BinFilter(wanted.comp, wanted.dimension, HOUR, start_of(HOUR, end - HEAT_MS, reader.zone), end, (value,))
    hours = side_by_side(reading, asked, reader.zone)[value]
    first = next((index for index, row in enumerate(hours) if row.arrivals or row.completed or row.peak.count), len(hours))
    return hours[first:]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is plotted: value -> bins, figures, the greatest of them."""

    measure: Measure
    bins: dict[str, tuple[Bin, ...]]
    figures: dict[str, tuple[float | None, ...]]
    tops: dict[str, trends.Top | None]
    period: int

    def smooth(self, value: str) -> tuple[float | None, ...]:
        return trends.moving_average(self.figures[value], self.period) if self.period else ()

    def mark(self, value: str, pattern: str, zone: ZoneInfo) -> Mark | None:
        top = self.tops.get(value)
        if top is None:
            return None
        at = formats.clock(top.at, zone, "%H:%M:%S" if self.measure.code == "peak" else pattern)
        return Mark(top.index, top.value, f"{top.value:,g} at {at}" if self.measure.code == "peak" else f"{top.value:,g}")


def plot(shown: _Shown, granularity: str, label: Callable[[str], str], known_to: int, zone: ZoneInfo) -> str:
    """One value that splits: its parts as bars upon each other; else lines."""
    first = next(iter(shown.bins.values()))
    pattern = pattern_of(granularity)
    labels = [formats.clock(row.start, zone, pattern) for row in first]
    if len(shown.bins) > 1:
        return lines_json(
            labels,
            shown.measure.unit,
            [
                line(index, label(value), shown.figures[value], shown.smooth(value), shown.mark(value, pattern, zone))
                for index, value in enumerate(shown.bins)
            ],
        )
    (value,) = shown.bins
    whole = line(0, shown.measure.name, shown.figures[value], shown.smooth(value), shown.mark(value, pattern, zone))
    if shown.measure.parts is None:
        return lines_json(labels, shown.measure.unit, [whole])
    split = [shown.measure.parts(row) if row.start <= known_to else {} for row in first]
    codes = sorted({code for each in split for code, n in each.items() if n}, key=lambda code: -sum(each.get(code, 0) for each in split))
    bars = [stacked(code, [each.get(code, 0) for each in split]) for code in codes]
    over = replace(whole, name="Moving average", colour="--ink", values=())  # the bars show the figures themselves
    return lines_json(labels, shown.measure.unit, [*bars, over] if bars else [whole])
