"""`rs rebuild` on a real Kafka and SQLite, with live workers and live traffic: kill -9 in the middle, a damaged store, a late event, a
swap that breaks off."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import generations
from pipeline.generation import Generation
from pipeline.rebuild.log import Log
from pipeline.rebuild.reach import FOLDED
from pipeline.rebuild.steps import Rebuild
from pipeline.settings import WrongSettings, read
from sinks.databases import dialect_of
from sinks.sql.compare import Differences
from sinks.sql.retention import Keep, Purge, counted
from tests.agents.world import MINUTE, T0, event, random_events
from tests.conftest import PATIENCE_S, kafka_node
from tests.rebuild.stack import Stack, kill, running

LATER = T0 + 7 * 60 * MINUTE  # open sessions have timed out, bins of the beginning are closed
LATE_CALL, FED_COMPONENT, FIRST_FED = 901, 299, 5000
DAY = 24 * 60 * MINUTE

pytestmark = pytest.mark.slow


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[str]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with kafka_node(tmp_path / "kafka") as bootstrap:
        yield bootstrap


async def feed(stack: Stack, enough: asyncio.Event) -> int:
    """A call begins every now and then; gives how many."""
    for n in itertools.count():
        if enough.is_set():
            return n
        call = event("call.start", LATER + n, 0, comp_id=FED_COMPONENT, call=FIRST_FED + n, tenant_path=[1, 102], call_type="INBOUND")
        await stack.post([call])
        await asyncio.sleep(0.05)
    raise AssertionError


def fed(stack: Stack) -> int:
    """Arrivals of the component that fed calls come from."""
    where = "dimension = 'component' AND granularity = 'DAY' AND value = ?"
    found = stack.rows(f"SELECT sum(arrivals) FROM bin_rows WHERE {where}", str(FED_COMPONENT))
    return int(found[0][0] or 0)


async def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.2)


def by_table(found: list[Differences]) -> dict[str, Differences]:
    return {table.table: table for table in found}


def rs_rebuild(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", "rebuild", *arguments]
    return subprocess.run(
        command, env={**os.environ, **stack.settings.environment()}, capture_output=True, text=True, timeout=3 * PATIENCE_S
    )


async def test_rebuild(own_kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(own_kafka, tmp_path / "data", fold={"lateness": 3600}) as stack:
        await a_world(stack)
        enough = asyncio.Event()
        feeding = asyncio.create_task(feed(stack, enough))
        await a_rebuild_mends_and_counts_what_was_late(stack)
        enough.set()
        calls = await feeding
        await stack.stored()
        assert fed(stack) == calls
        assert await stack.quarantined() == ["late"]  # not set aside a second time
        await a_swap_that_breaks_off_is_completed(stack, monkeypatch)
        await stack.stored()
        assert fed(stack) == calls
        await nothing_differs_any_more(stack)


async def a_world(stack: Stack) -> None:
    """Some old calls, random ones with repetitions, then hours of nothing, then a call that comes too late. What is too old for the
    store has left it."""
    rnd = random.Random(3)
    old = T0 - 10 * DAY
    for call in range(700, 720):
        who: dict[str, Any] = {"comp": "MCP", "comp_id": 301, "call": call}
        await stack.post(
            [
                event("call.start", old, 0, **who, tenant_path=[1, 107]),
                event("call.event", old, 1, **who, log_id="begin", level="METRIC", text="x"),
                event("sq.failure", old, 2, **who, cause="OTHER"),
                event("call.end", old + 9, 3, **who, end_state="USER_END"),
            ]
        )
    events = random_events(rnd, 200, span_min=20)
    await stack.post(events + rnd.sample(events, len(events) // 4))
    await stack.post(event("call.update", LATER, 0, call=call, comp="EXT", comp_id=77) for call in range(910, 930))  # in every partition
    await stack.post([event("call.start", T0, 0, call=LATE_CALL, tenant_path=[1, 102], dn="800")], receipt=LATER)
    await stack.stored()
    assert await stack.quarantined() == ["late"]
    keep = Keep.of(stack.settings)
    assert keep is not None
    gone = counted(Purge(dialect_of(stack.settings), keep).run())
    assert gone["events"] == 20
    assert gone["FIVE_MINUTES"] > 0


async def a_rebuild_mends_and_counts_what_was_late(stack: Stack) -> None:
    damaged = "dimension = 'tenant' AND value = '105' AND granularity = 'DAY' AND comp = 'MCP'"
    (before,) = stack.rows(f"SELECT quality_calls FROM bins WHERE {damaged}")
    assert stack.change(f"UPDATE bins SET quality_calls = quality_calls + 5 WHERE {damaged}") == 1
    lost = stack.rows("SELECT guid FROM calls WHERE guid LIKE '00000007-%'")[0][0]
    assert stack.change("DELETE FROM calls WHERE guid = ?", lost) == 1
    said: list[str] = []
    killed: dict[str, bool] = {}
    async with Log(stack.settings.kafka.bootstrap) as log:
        work = Rebuild(stack.settings, log, said.append)
        await work.prepare()
        assert work.live_runs
        async with work.workers():

            def advance(stretch: str, done: int, total: int) -> None:
                # As soon as something is durable, the rest is not. Both at once: each leaves its group only when its session times out.
                if (done or stretch != FOLDED) and not killed:
                    killed.update({name: kill(name) for name in ("agents.g2", "sinks.g2")})

            await work.build(advance)
            found = by_table(await work.compare())
            await work.swap()
        assert await work.taken_over()
        await work.drop_old()
    assert killed == {"agents.g2": True, "sinks.g2": True}
    assert sum("was killed by SIGKILL" in line for line in said) == 2

    late = f"{LATE_CALL:08X}-0000-4000-8000-000000000000"
    assert {key["guid"] for key, _, _ in found["calls"].first} == {late, lost}
    assert (found["calls"].total, found["calls"].only_new, found["sessions"].only_new) == (2, 2, 1)
    assert (found["bins"].only_old, found["bins"].only_new) == (0, 0)
    assert found["bins"].columns["quality_calls"] == 1
    assert found["bins"].columns["arrivals"] > 1  # those of the late call
    assert not any(table.total for name, table in found.items() if name not in ("calls", "sessions", "bins"))

    assert stack.rows(f"SELECT quality_calls FROM bins WHERE {damaged}") == [before]
    assert stack.rows("SELECT count(*) FROM calls WHERE guid IN (?, ?)", late, lost) == [(2,)]
    assert {line.partition(" ended with")[2][:12] for line in stack.said if line.startswith("died")} == {" exit code 0"}
    async with Log(stack.settings.kafka.bootstrap) as log:
        assert await log.partitions(Generation(1).activity) == []
        assert len(await log.partitions(Generation(2).activity)) == len(await log.partitions("rs.billing"))


async def a_swap_that_breaks_off_is_completed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the store and the topic: a worker of the sinks finds out and says it."""

    class Broken(Exception):
        pass

    async def broken(*_: object) -> None:
        raise Broken

    async with Log(stack.settings.kafka.bootstrap) as log:
        work = Rebuild(stack.settings, log, lambda _: None)
        await work.prepare()
        with monkeypatch.context() as patch:
            async with work.workers():
                await work.build(lambda *_: None)
                assert not any(table.total for table in await work.compare())
                patch.setattr(generations, "make_current", broken)
                with pytest.raises(Broken):
                    await work.swap()
        assert not await work.drop_new()
        assert await work.taken_over()
    assert (await generations.read(stack.settings.kafka.bootstrap)).current == 3
    assert stack.rows("SELECT DISTINCT generation FROM calls") == [(3,)]


async def nothing_differs_any_more(stack: Stack) -> None:
    """By the command; and it clears away what the broken one left, and what another never swapped."""
    left = Generation(9, {}, "swapping")
    await generations.write(stack.settings.kafka.bootstrap, generations=[left])
    done = await asyncio.to_thread(rs_rebuild, stack, "--compare-only")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "generation 2 (live) was left by an earlier rebuild" in done.stdout
    assert "generation 9 (swapping) was left by an earlier rebuild" in done.stdout
    assert "generation 10 beside 3" in done.stdout
    assert "\n0 differences in " in done.stdout
    known = await generations.read(stack.settings.kafka.bootstrap)
    assert {number: one.state for number, one in known.all.items()} == {1: "dropped", 2: "dropped", 3: "live", 9: "dropped", 10: "dropped"}
    assert not list(stack.database.parent.glob("reporting.g*"))

    def of_worker(number: int) -> int:
        chosen = stack.settings.model_copy(update={"fold": stack.settings.fold.model_copy(update={"generation": number})})
        return generations.of_worker(chosen)[0].number

    assert [of_worker(number) for number in (0, 3)] == [3, 3]
    for number in (2, 4):  # dropped, never made
        with pytest.raises(WrongSettings, match=f"fold.generation is {number}"):
            of_worker(number)


def test_a_worker_that_cannot_ask_kafka_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    monkeypatch.setattr(generations, "PATIENCE_S", 0)
    with pytest.raises(generations.KafkaAway, match=r"Kafka at 127\.0\.0\.1:1 cannot be asked"):
        generations.of_worker(read(kafka={"bootstrap": "127.0.0.1:1"}))
