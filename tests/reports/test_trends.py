"""Trends: figures of several values, moving averages, the greatest figure, the week as a heat map."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from reports.queries.bins import Bin, Peak, Spread
from reports.trends import MEASURES, SHADES, figures, moving_average, top, week
from tests.reports.conftest import ZONE
from tests.reports.seed import Seeded

HOUR = 3_600_000
MONDAY = 1_794_787_200_000  # 2026-11-16 00:00 UTC
SPAN = "from=2026-11-18T00:00:00&to=2026-11-19T00:00:00"
ARRIVALS = MEASURES["arrivals"]


def plot_of(text: str) -> Any:
    found = re.search(r'data-plot="([^"]+)"', text)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def test_a_moving_average_begins_when_it_has_all_its_bins_and_ends_with_the_known() -> None:
    assert moving_average([1, 2, 6, 4, None], 3) == (None, None, 3, 4, None)
    assert moving_average([5], 3) == (None,)


def test_the_greatest_figure_is_the_first_of_equal_ones_and_a_peak_has_its_second() -> None:
    rows = [Bin("", 0, peak=Peak(2, 7_000)), Bin("", HOUR, peak=Peak(9, HOUR + 5_000)), Bin("", 2 * HOUR, peak=Peak(9, 2 * HOUR))]
    found = top(MEASURES["peak"], rows, figures(MEASURES["peak"], rows, 3 * HOUR))
    assert found is not None
    assert (found.index, found.value, found.at) == (1, 9, HOUR + 5_000)
    assert top(ARRIVALS, [Bin("", 0)], [0]) is None


def test_what_is_to_come_has_no_figure() -> None:
    assert figures(ARRIVALS, [Bin("", 0, 3), Bin("", HOUR, 0)], HOUR - 1) == (3, None)


def test_rates_and_averages_over_many_bins_come_from_sums() -> None:
    rows = [
        Bin("", 0, durations=Spread(1, 10_000), quality_calls=1),
        Bin("", 1, durations=Spread(3, 6_000), quality_calls=3, quality_failed=1),
    ]
    assert [measure.whole(rows) for code in ("average", "quality") if (measure := MEASURES[code]).whole] == [4, 75]
    assert MEASURES["quality"].of(Bin("", 0)) is None


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_the_week_has_each_hour_where_the_clock_shows_it(zone: str) -> None:
    hours = [Bin("", MONDAY + n * HOUR, arrivals=8 if n in (9, 9 + 168) else 2 if n == 10 else 0) for n in range(336)]
    cells = week(ARRIVALS, hours, ZoneInfo(zone))
    shift = 0 if zone == "UTC" else 5
    assert cells[0][9 + shift].value == 8
    assert cells[0][9 + shift].shade == SHADES
    assert cells[0][10 + shift].value == 1  # one Monday of two
    assert (cells[3][9].value, cells[3][9].shade) == (0, 0)


def test_hours_that_were_not_are_empty() -> None:
    assert week(ARRIVALS, [Bin("", MONDAY, arrivals=1)], ZoneInfo("UTC"))[6][23].value is None


async def test_tenants_stand_side_by_side(web: httpx.AsyncClient, seeded: Seeded) -> None:
    got = await web.get(f"/bins?dimension=tenant&value=102&value=103&granularity=HOUR&{SPAN}&sma-period=3")
    drawn = {line["name"]: line["values"] for line in plot_of(got.text)["drawn"]}
    for tenant, name in ((102, "Environment/Acme"), (103, "Environment/Globex")):
        mine = Counter(datetime.fromtimestamp((s.start_ts or 0) / 1000, ZONE).hour for s in seeded.of("RM") if tenant in s.path)
        assert drawn[name][:18] == [mine[hour] for hour in range(18)]
        assert drawn[name][18:] == [None] * 6
    whole = re.search(r'Whole span</th><td class="n">(\d+)</td><td class="n">(\d+)</td>', got.text)
    assert whole is not None
    assert [int(n) for n in whole.groups()] == [sum(tenant in s.path for s in seeded.of("RM")) for tenant in (102, 103)]


@pytest.mark.parametrize("measure", MEASURES)
async def test_every_measure_is_shown_for_one_and_for_many(web: httpx.AsyncClient, seeded: Seeded, measure: str) -> None:
    for question in ("comp=MCP", "comp=MCP&dimension=app"):
        got = await web.get(f"/bins?{question}&measure={measure}&granularity=DAY&{SPAN}")
        assert got.status_code == 200
        assert plot_of(got.text)["unit"] == MEASURES[measure].unit
    mcp = [s for s in seeded.of("MCP") if s.end_ts is not None]
    failed = sum(any(event["kind"] == "sq.failure" for event in s.events) for s in mcp)
    if measure == "quality":
        text = (await web.get(f"/bins?comp=MCP&measure=quality&granularity=DAY&{SPAN}")).text
        assert plot_of(text)["drawn"][0]["values"] == [round((len(mcp) - failed) / len(mcp) * 100, 2)]


async def test_too_many_values_are_refused_at_their_field(web: httpx.AsyncClient) -> None:
    got = await web.get("/bins?dimension=dn&" + "&".join(f"value={n}" for n in range(21)))
    assert got.status_code == 400
    assert 'id="fault-value"' in got.text
