"""Whatever is asked, the server does not fail: generated from its own description, and from parameters that are nearly right."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from reports.server import app_of
from tests.reports.conftest import site
from tests.reports.seed import Seeded

EXAMPLES = 12  # of each operation
ANSWERS = {200, 304, 400, 404, 501}


@pytest.fixture(scope="module")
def app(store_path: Path, seeded: Seeded) -> Any:
    return app_of(site(store_path), Path("no-assets"))


@pytest.fixture(scope="module")
def web(app: Any) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def described(app: Any) -> Any:
    loaded = schemathesis.openapi.from_asgi("/ems-rs/openapi.json", app)
    return loaded.include(path_regex="^/ems-rs/")


QUICK = settings(
    max_examples=EXAMPLES, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)


def test_what_the_description_allows_and_what_not(described: Any, web: TestClient) -> None:
    asked = 0
    for found in described.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @QUICK
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                query = {name: value for name, value in (case.query or {}).items() if isinstance(value, str | int | float | bool | list)}
                got = web.get(quote(case.formatted_path, safe="/%"), params=query)
                assert got.status_code in ANSWERS, (got.status_code, str(got.url), got.text[:300])
                if got.status_code >= 400:
                    assert got.headers["content-type"] == "application/problem+json"

            with suppress(Unsatisfiable):  # nothing can be wrong where there are no parameters
                ask()
    assert asked > 300


VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "0", "1", "102", "310", "301", "-1", "2147483647", "2147483648", "9" * 400, "true", "*", "\\*", "800*", "300-400"]
    ),
    st.sampled_from(
        ["DAY", "HOUR", "MONTH", "FIVE_MINUTES", "day", "time", "component", "csv", "xml", "json", "RM", "MCP", "tenant", "dn"]
    ),
    st.sampled_from(
        ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-11-18T00:00:00", "2026-11-18T24:00:00", "1970-01-01T00:00:00-23:59"]
    ),
    st.sampled_from(["WzEsWyJBIl1d", "W251bGwsWyJBIiwxLCJBIl1d", "W10", "e30", "\x00", "\ud7ff☎🙂", "%00", "' OR 1=1 --"]),
)
NAMES = st.sampled_from(
    ["app-id", "tenant-id", "dn", "comp-id", "own", "granularity", "from", "to", "page", "page-size", "cursor", "format", "sma-period",
     "value", "dimension", "comp", "aggregate-by", "session-id", "gvp-guid", "guid", "number", "remote-uri", "started-from", "ended-to",
     "result", "state"]
)  # fmt: skip
PATHS = st.sampled_from(
    ["/calls", "/bins", "/HIST/CDRs/RM/details", "/HIST/CDRs/MCP/summary", "/HIST/CDRs/MCP/events", "/HIST/CDRs/MCP/VAR/details",
     "/operations/arrivals/RM", "/operations/peaks/MCP", "/HIST/call-completion-summary", "/HIST/ivr-action-summary",
     "/sqa/servicequality",
     "/sqa/failures", "/sqa/latency/details", "/sqa/latency/histogram", "/sqa/latency/summary", "/RT/tenants/usage",
     "/tenants", "/components"]
)  # fmt: skip
BEGUN = st.sampled_from(
    [[], [("granularity", "DAY"), ("from", "2026-11-17T00:00:00")], [("granularity", "MONTH"), ("from", "2026-01-01T00:00:00")]]
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(path=PATHS, begun=BEGUN, more=st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_questions_that_are_nearly_right(web: TestClient, path: str, begun: list[tuple[str, str]], more: list[tuple[str, str]]) -> None:
    got: httpx.Response = web.get(f"/ems-rs{path}?{urlencode([*begun, *more])}")
    assert got.status_code in ANSWERS, (got.status_code, got.text[:300])
    if got.status_code == 400:
        assert got.json()["faults"]
