"""Service quality: rates, causes and percentiles, from numbers one can work out by hand and from the seeded sessions."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from reports.quality import EDGES_US, causes, latencies, percentile, rate
from reports.queries.bins import Bin, Spread
from reports.server import app_of
from tests.reports import seed
from tests.reports.conftest import client, site
from tests.reports.seed import Seeded

SPAN = "from=2026-11-18T00:00:00&to=2026-11-19T00:00:00"


def spread_of(values: list[int]) -> Spread:
    return Spread(len(values), sum(values), 0, min(values), max(values), seed.buckets(values))


def test_a_percentile_lies_in_the_bucket_that_holds_it() -> None:
    values = [5_000] * 50 + [30_000] * 40 + [700_000] * 10
    spread = spread_of(values)
    assert percentile(spread, 50) == 10_000  # the end of the first bucket
    assert percentile(spread, 90) == 50_000
    assert percentile(spread, 70) == 25_000 + 25_000 / 2  # half way through 25 to 50 ms
    assert percentile(spread, 100) == 700_000


@pytest.mark.parametrize("values", [[1], [9_999_999_999], [96_000] * 7, list(range(1_000, 3_000_000, 7_919))])
@pytest.mark.parametrize("percent", [1, 50, 90, 99, 100])
def test_it_is_off_by_its_bucket_at_most(values: list[int], percent: int) -> None:
    found = percentile(spread_of(values), percent)
    assert found is not None
    exact = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    edges = [0, *EDGES_US, 10**12]
    low, high = max(edge for edge in edges if edge <= exact), min(edge for edge in edges if edge > exact)
    assert max(low, min(values)) <= found <= min(high, max(values))


def test_nothing_measured_is_no_percentile() -> None:
    assert percentile(Spread(), 90) is None


def test_latencies_of_several_bins_are_one_and_held_against_their_target() -> None:
    rows = [Bin("301", at, latencies_by={"RESPONSE|first_prompt": spread_of([value])}) for at, value in ((0, 20_000), (1, 40_000))]
    (over,) = latencies(rows, {"first_prompt": 29.9})
    (kept,) = latencies(rows, {"first_prompt": 30.0})
    assert (over.n, over.average, over.greatest, over.is_over, kept.is_over) == (2, 30.0, 40.0, True, False)
    assert latencies(rows, {})[0].target is None


def test_the_worst_bin_is_the_one_with_the_least_rate() -> None:
    rows = [Bin("", 0, quality_calls=100, quality_failed=5), Bin("", 1, quality_calls=2, quality_failed=1), Bin("", 2)]
    found = rate("", rows)
    assert found.worst is not None
    assert (found.percent, found.worst.start) == (94.12, 1)
    assert rate("", [Bin("", 0)]).percent is None
    assert causes([Bin("", 0, failures_by={"A": 1, "B": 2}), Bin("", 1, failures_by={"A": 4})]) == {"A": 5, "B": 2}


async def test_the_page_has_the_rates_causes_and_latencies(web: httpx.AsyncClient, seeded: Seeded) -> None:
    ended = [s for s in seeded.of("MCP") if s.end_ts is not None]
    failed = [s for s in ended if any(event["kind"] == "sq.failure" for event in s.events)]
    text = (await web.get(f"/quality?dimension=app&value=310&value=320&granularity=DAY&{SPAN}")).text
    assert f'id="judged">{len(ended)}<' in text
    assert f'id="failed">{len(failed)}<' in text
    found = re.search(r'data-plot="([^"]+)"', text)
    assert found is not None
    plot = json.loads(html.unescape(found[1]))
    assert plot["target"] == 95
    by_app, of_app = Counter(s.app for s in failed), Counter(s.app for s in ended)
    for line in plot["drawn"]:
        (app,) = [app for app in of_app if app[1] == line["name"]]
        assert line["values"] == [round((of_app[app] - by_app[app]) / of_app[app] * 100, 2)]
        assert re.search(rf"System error</th><td>{app[1]}</td><td class=\"n\">{by_app[app]}<", text)
    for component in (301, 302):
        n = sum(any(e["kind"] == "sq.latency" for e in s.events) for s in ended if s.comp_id == component)
        assert re.search(
            rf'First prompt <span class="path">Response</span></th><td>{component}</td><td class="n">{n:,}</td><td class="n">96<', text
        )


async def test_targets_are_those_of_the_settings(store_path: Path, seeded: Seeded) -> None:
    where = site(store_path)
    where.targets, where.quality_target = {"first_prompt": 50.0, "initial_page": 50.0}, lambda: 12.5
    transport = httpx.ASGITransport(app=app_of(where, Path("no-assets")))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
        text = (await web.get(f"/quality?granularity=DAY&{SPAN}")).text
    assert '"target":12.5' in html.unescape(text)
    assert "Below target" not in text
    assert text.count("> exceeded<") == text.count("> kept<") == 2


@pytest.mark.parametrize("question", ["", "dimension=tenant&granularity=MONTH", "dimension=component&granularity=FIVE_MINUTES"])
async def test_an_empty_store_has_a_page(tmp_path: Path, question: str) -> None:
    seed.fill(tmp_path / "empty.sqlite3", hours=0)
    async with client(site(tmp_path / "empty.sqlite3")) as web:
        got = await web.get(f"/quality?{question}")
    assert got.status_code == 200
    assert "No latency was measured" in got.text or "Nothing to show yet" in got.text


async def test_faults_are_named_at_their_fields(web: httpx.AsyncClient) -> None:
    got = await web.get("/quality?dimension=dn&" + "&".join(f"value={n}" for n in range(1, 22)))
    assert got.status_code == 400
    assert 'id="fault-dimension"' in got.text
