"""From a posted message to SQL on the real parts, with a ledger as the judge: what was posted against what is stored."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.agents import oracle
from tests.agents.world import differences, wanted
from tests.conftest import PATIENCE_S, need_brokers
from tests.e2e.stack import RS, Stack, bins, stack

START = "2026-03-02T08:00:00Z"


@pytest.fixture(autouse=True)
def _brokers() -> None:
    need_brokers()


def scenario(file: Path, *options: str) -> list[dict[str, Any]]:
    """A file of simulated calls, and its events in order and once."""
    plain = file.with_name("plain.ndjson")
    for out, more in ((plain, ()), (file, options)):
        command = [*RS, "simulate", "--out", str(out), "--calls", "600", "--rate", "5", "--start", START, "--seed", "11", *more]
        subprocess.run(command, check=True, capture_output=True)
    return [event for line in plain.read_bytes().splitlines() for event in elements(line)]


def elements(line: bytes) -> list[dict[str, Any]]:
    body = orjson.loads(line)
    return body if isinstance(body, list) else [body]


def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> bool:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.5)
    return False


def judge(made: Stack, events: list[dict[str, Any]]) -> None:
    """Every posted call and event is in SQL once, and the bins are those of the oracle."""
    last = max(e["ts"] for e in events)
    want = wanted(oracle.bins(events, last - last % oracle.FIVE))
    until(lambda: bins(made) == want)
    assert not differences(bins(made), want)
    calls = [row["guid"] for row in made.rows("SELECT guid FROM calls")]
    assert sorted(calls) == sorted({e["guid"] for e in events})
    stored = [
        (row["guid"], row["comp_id"], row["session"], message["seq"])
        for row in made.rows("SELECT guid, comp_id, session, messages FROM sessions")
        for message in orjson.loads(row["messages"])
    ]
    assert sorted(stored) == sorted((e["guid"], e["comp_id"], e["session"], e["seq"]) for e in events)
    logged = made.rows("SELECT guid, comp_id, session, seq FROM session_events")
    assert sorted(map(tuple, logged)) == sorted(
        (e["guid"], e["comp_id"], e["session"], e["seq"]) for e in events if e["kind"] == "call.event"
    )


def days(made: Stack) -> dict[str, tuple[int, int]]:
    """Tenant -> arrivals and peak of its RM sessions in the one day there is, by SQL."""
    return {
        key.removeprefix("RM|tenant|"): (sum(row["arrivals"].values()), row["peak"])
        for (key, granularity, _), row in bins(made).items()
        if granularity == "DAY" and key.startswith("RM|tenant|")
    }


def shown(made: Stack) -> dict[str, tuple[int, int]]:
    """The same as the view shows it."""
    found: dict[str, dict[str, int]] = {}
    for family in text_string_to_metric_families(httpx.get(f"http://127.0.0.1:{made.ports['view']}/metrics").text):
        for sample in family.samples:
            if "tenant_id" in sample.labels:
                found.setdefault(sample.labels["tenant_id"], {})[sample.name] = int(sample.value)
    return {tenant: (row["rs_tenant_today_arrivals"], row["rs_tenant_today_peak"]) for tenant, row in found.items()}


@pytest.mark.slow
def test_every_worker_killed_while_messages_flow(tmp_path: Path) -> None:
    events = scenario(tmp_path / "calls.ndjson")
    lines = (tmp_path / "calls.ndjson").read_bytes().splitlines(keepends=True)
    rnd = random.Random(3)
    with stack(tmp_path / "data", RS_FOLD__LATENESS="0") as made:
        for n, part in enumerate(["bridge", "agents", "sinks", "bridge", "agents", "sinks", None]):
            (tmp_path / "part.ndjson").write_bytes(b"".join(lines[n * len(lines) // 7 : (n + 1) * len(lines) // 7]))
            made.rs("send", str(tmp_path / "part.ndjson"))
            if part:
                time.sleep(rnd.uniform(0, 1.5))
                made.kill(part)
        judge(made, events)
        calls = httpx.get(f"http://127.0.0.1:{made.ports['reports']}/ems-rs/calls", params={"page-size": 1}).json()
        assert calls["manifest"]["pages"]["record-count"] == len({e["guid"] for e in events})
        assert made.stop() == 0


@pytest.mark.slow
def test_shuffled_and_doubled_gives_the_same(tmp_path: Path) -> None:
    events = scenario(tmp_path / "shuffled.ndjson", "--shuffle", "--double")
    with stack(tmp_path / "data", RS_FOLD__LATENESS="0") as made:
        made.rs("send", str(tmp_path / "shuffled.ndjson"))
        judge(made, events)
        assert len(days(made)) > 3
        assert until(lambda: shown(made) == days(made)), (shown(made), days(made))
