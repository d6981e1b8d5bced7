"""The Now page as data: everything it shows, from one snapshot of the store."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agents.bins import BASE, BASE_MS, DAY, HOUR, start_of
from reports.formats import clock
from reports.parameters import CALL_TYPES
from reports.queries import live
from reports.queries.bins import Bin, BinFilter, Peak
from reports.queries.live import Freshness, InProgress
from reports.store.contract import Reading
from reports.usage import AsOf, Count, Usage, as_of, bin_now, count, cut_elsewhere, leading, present, running_sessions, series, usage

MOST_ROWS = 25


@dataclass(frozen=True, slots=True)
class Table:
    """Usage by one dimension; `more` rows are left out."""

    rows: tuple[Usage, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars and a line over bins. A value of None is not known (yet)."""

    labels: tuple[str, ...]
    bars: dict[str, tuple[int, ...]]
    line: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Now:
    """`comp`: whose sessions stand for calls; `comps`: those to choose from. `peak` is today's; hour and day begin at `hour` and
    `day`, ms."""

    fresh: Freshness
    moment: AsOf
    comp: str
    comps: tuple[str, ...]
    in_progress: Count
    this_hour: Count
    today: Count
    peak: Peak
    completed: Count
    hour: int
    day: int
    plot: Plot
    tenants: Table
    apps: Table
    components: Table
    is_empty: bool
    cut_elsewhere: bool


def now(reading: Reading, wall: int, zone: ZoneInfo, hours: int, comp: str | None) -> Now:
    """`hours`: how far back the plot goes. `comp`: a component type, None for the leading one."""
    fresh = live.freshness(reading)
    moment = as_of(fresh, wall)
    running = running_sessions(reading, moment)
    comps = present(reading, running)
    chosen = comp or leading(comps)
    hour, day = (bin_now(reading, chosen, granularity, moment.at, zone) for granularity in (HOUR, DAY))

    def table(dimension: str, *of: str) -> Table:
        rows = [row for each in of for row in usage(reading, each, dimension, moment, zone, running)]
        return Table(tuple(rows[:MOST_ROWS]), max(0, len(rows) - MOST_ROWS))

    return Now(
        fresh=fresh,
        moment=moment,
        comp=chosen,
        comps=comps,
        in_progress=count(live.calls_in_progress(reading, moment.at)),
        this_hour=count(hour.arrivals_by),
        today=count(day.arrivals_by),
        peak=day.peak,
        completed=count(day.completed_by),
        hour=start_of(HOUR, moment.at, zone),
        day=start_of(DAY, moment.at, zone),
        plot=_plot(reading, chosen, moment, zone, hours, running),
        tenants=table("tenant", chosen),
        apps=table("app", chosen),
        components=table("component", *comps),
        is_empty=not live.has_calls(reading),
        cut_elsewhere=cut_elsewhere(reading, zone),
    )


def _plot(reading: Reading, comp: str, moment: AsOf, zone: ZoneInfo, hours: int, running: tuple[InProgress, ...]) -> Plot:
    end = start_of(BASE, moment.at, zone) + BASE_MS
    wanted = BinFilter(comp, "component_type", BASE, end - hours * 3_600_000, end)
    bins = series(reading, wanted, zone).bins
    # The row of the running bin waits for its next event; the sessions themselves know better.
    at_last = sum(row.n for row in running if row.comp == comp)
    return plot_of(bins, tuple(clock(row.start, zone, "%H:%M") for row in bins), (*(row.in_progress for row in bins[:-1]), at_last))


def plot_of(bins: tuple[Bin, ...], labels: tuple[str, ...], line: tuple[int | None, ...]) -> Plot:
    """Arrivals by call type as bars, in progress as line."""
    totals = Counter[str]()
    for row in bins:
        totals.update(row.arrivals_by)
    order = [name for name in CALL_TYPES if totals[name]]
    return Plot(labels, {name: tuple(row.arrivals_by.get(name, 0) for row in bins) for name in order}, line)
