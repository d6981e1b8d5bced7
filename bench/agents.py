"""What the agents cost: microseconds of CPU an event, bytes of changelog an event, memory a row, on the real folds and tables.

    python -m bench.agents [--calls 20000] [--runs 5] [--tenants 20] [--write]

A call is an RM and an MCP session, 12 events as the simulator sends them, 200 calls begin a second. Short calls last 1.2 s, so that
the events of a call lie near one another; long ones 120 s, so that each event is of another call of some 24,000 open ones, many more than
stay decoded. A cut comes every 500 events (a live system) or 5,000 (one that catches up). Time is CPU time of this process; a
loop of plain Python is timed beside it, because other work on the machine makes everything slower.

`--write` adds the figures to bench/results/. The worker itself, with Kafka: bench.agents_worker.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson
import psutil

from agents.calls import CALLS_DECODED, TableFold
from agents.calls import ROWS_DECODED as ACTIVITY_DECODED
from agents.calls import _pack_activity as pack_activity
from agents.calls import _unpack_activity as unpack_activity
from agents.chains import Chains
from agents.keys import tick_key
from agents.lifetime import HOUR_MS, Terms
from agents.state import Activity, Call, Snapshot, TenantsRow, Tick
from agents.stream_time import StreamTime
from agents.tenants import ROWS_DECODED as BINS_DECODED
from pipeline.messages import parse, record_headers
from pipeline.runtime import App, State, codec

T0 = 1_795_000_200_000
HISTORY = 1_000_000  # number of the first call of history
CALLS_A_SECOND = 200
SHORT_S, LONG_S = 1.2, 120.0
LIVE, CATCHING_UP = 500, 5_000  # events a cut
CUTS_A_TICK = 5
TERMS = Terms(lateness=24 * HOUR_MS)
RESULTS = Path(__file__).parent / "results"

decode = msgspec.msgpack.Decoder(Snapshot).decode


@dataclass(slots=True)
class Record:
    """As aiokafka gives it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


# -- traffic


def traffic(calls: int, seconds: float, tenants: int) -> list[Record]:
    """Records as the bridge writes them, in the order of their `ts`, which is their receipt too."""
    return _records(event for n in range(calls) for event in _call(n, T0 + n * 1000 // CALLS_A_SECOND, seconds, tenants))


def history(tenants: int) -> list[Record]:
    """Some calls of every tenant in the five minutes, the hours and the days before, so that longer bins have more than one child."""
    times = [T0 - minutes * 60_000 for minutes in (4 * 1440, 1440, 180, 60, 7)]
    return _records(event for t in times for n in range(10 * tenants) for event in _call(HISTORY + n + t % 997, t, 1.2, tenants))


def _records(events: Iterable[dict[str, Any]]) -> list[Record]:
    return [_record(offset, event) for offset, event in enumerate(sorted(events, key=lambda event: event["ts"]))]


def _record(offset: int, event: dict[str, Any]) -> Record:
    (good,) = parse(orjson.dumps(event), event["ts"]).good
    said = record_headers(good, f"ID:ivr-{event['comp_id']}-40637-1795000000000-3:1:1:1:{offset}", "rs.billing", event["ts"])
    return Record(offset, event["ts"], good.key, good.value, said)


def _call(n: int, t: int, seconds: float, tenants: int) -> Iterator[dict[str, Any]]:
    rnd = Random(n)
    tenant = 100 + rnd.randrange(tenants)
    guid = f"{n:08X}-2B7D-4E55-9C3A-5D1E77AB0C42"
    rm = {"v": 1, "comp": "RM", "comp_id": 201, "session": f"7A10F2{n:06X}", "guid": guid}
    mcp = {"v": 1, "comp": "MCP", "comp_id": 301 + rnd.randrange(4), "session": f"00C0FFEE-1000{n:05X}", "guid": guid}
    of = {
        "tenant_path": [1, tenant], "tenant_name": "Environment/Acme", "app": 300 + tenant % 100, "app_name": "Banking",
        "call_type": "INBOUND", "remote_uri": "sip:+15551230001@gw1.example.com", "local_uri": "sip:8005550123@rm.example.com",
    }  # fmt: skip

    def say(kind: str, at: float, who: dict[str, Any], seq: int, **more: Any) -> dict[str, Any]:
        return {"kind": kind, **who, "ts": t + round(at * seconds * 1000), "seq": seq, **more}

    yield say("call.start", 0, rm, 0, **of, dn=f"8005{tenant:04}{rnd.randrange(3)}", usage=[[1, 41], [tenant, 7]])
    yield say("call.start", 0.006, mcp, 0, **of)
    yield say("call.event", 0.01, mcp, 1, log_id="incall_begin", level="METRIC", text="310|sip:+15551230001@gw1.example.com")
    yield say("var.action_start", 0.12, mcp, 2, action="balance")
    yield say("sq.latency", 0.13, mcp, 3, samples=[["RESPONSE", "first_prompt", 96 + n % 50]])
    yield say("var.action_end", 0.7, mcp, 4, action="balance", result="SUCCESS")
    yield say("var.action_start", 0.75, mcp, 5, action="transfer")
    yield say("var.action_end", 0.9, mcp, 6, action="transfer", result="SUCCESS")
    yield say("call.event", 0.95, mcp, 7, log_id="incall_end", level="METRIC", text="310|user hung up")
    yield say("var.result", 0.96, mcp, 8, result="SUCCESS")
    yield say("call.end", 0.98, mcp, 9, end_state="USER_END")
    yield say("call.end", 1, rm, 1, end_state="USER_END", sip_status=200)


# -- the agents in this process


class Clock:
    """CPU time by what it went to, s."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._at = process_time()

    def start(self) -> None:
        self._at = process_time()

    def stop(self, what: str) -> None:
        now = process_time()
        self.spent[what] = self.spent.get(what, 0.0) + now - self._at
        self._at = now


class Tables:
    """One partition of each table, as the agents declare them."""

    def __init__(self, folder: str) -> None:
        app = App("bench", datadir=folder, store="memory://")
        one: Any = {"partitions": 1}
        self.activity: State[Any, Activity] = app.Table(
            "activity", value=Activity, cache=ACTIVITY_DECODED, pack_key=pack_activity, unpack_key=unpack_activity, **one
        ).state(0)
        self.calls: State[bytes, Call] = app.Table("calls", value=Call, cache=CALLS_DECODED, **one).state(0)
        self.parts: State[bytes, Any] = app.Table("parts", value=Snapshot, stamped=False, **one).state(0)
        self.tenants: State[bytes, Any] = app.Table("tenants", value=TenantsRow, cache=BINS_DECODED, **one).state(0)

    @property
    def all(self) -> dict[str, State[Any, Any]]:
        return {"calls": self.calls, "activity": self.activity, "parts": self.parts, "tenants": self.tenants}


STEPS = ("fold", "encode", "take", "settle", "encode bins")


@dataclass
class Run:
    """us: CPU an event, by step; bytes and written: of changelog, an event, by table; rows: that stand, with their bytes."""

    us: dict[str, float]
    bytes: dict[str, float]
    written: dict[str, float]
    rows: dict[str, tuple[int, int]]
    yardstick: float

    @property
    def calls_agent(self) -> float:
        return self.us["fold"] + self.us["encode"]

    @property
    def tenants_agent(self) -> float:
        return self.us["take"] + self.us["settle"] + self.us["encode bins"]


def run(records: list[Record], cut: int, tenants_known: int) -> Run:
    """Both agents over the records, without Kafka."""
    with tempfile.TemporaryDirectory() as folder:
        tables, clock = Tables(folder), Clock()
        fold = TableFold(tables.calls, tables.activity, StreamTime(TERMS.lateness), TERMS)
        chains = Chains(tables.parts, tables.tenants, ZoneInfo("UTC"), sources=1)
        before = history(tenants_known)
        fold.fold(before)
        for key, message in zip(*tables.activity.cut(0), strict=True):
            chains.take(message.key, Activity(tables.activity[key].figures, 1))
        chains.take(tick_key(0), Tick(fold.time.now, fold.time.now, 0, 1))
        chains.settle(0)
        for state in tables.all.values():
            state.cut(0)
        for _ in fold.drain():
            pass
        fold.counts.clear()
        size, written = dict.fromkeys(tables.all, 0), dict.fromkeys(tables.all, 0)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)  # as in the worker
        edges = [*range(0, len(records), cut), len(records)]
        for n, (begin, end) in enumerate(pairwise(edges)):
            clock.start()
            fold.fold(records[begin:end])
            fold.settle(end)
            clock.stop("fold")
            sent: dict[str, Any] = {}
            for name in ("activity", "calls"):
                sent[name] = tables.all[name].cut(end)[1]
            for _ in fold.drain():
                pass
            clock.stop("encode")
            for message in sent["activity"]:
                if message.value is None:
                    continue  # left: old history
                mark, payload = codec.split(message.value)
                snapshot = decode(payload)
                snapshot.mark = mark
                chains.take(message.key, snapshot)
            if n % CUTS_A_TICK == 0:
                now = fold.time.now
                chains.take(tick_key(0), Tick(now, now, now, end, fold.time.floor))
            clock.stop("take")
            chains.settle(end)
            clock.stop("settle")
            for name in ("parts", "tenants"):
                sent[name] = tables.all[name].cut(end)[1]
            clock.stop("encode bins")
            for name, messages in sent.items():
                written[name] += len(messages)
                size[name] += sum(len(message.key or b"") + len(message.value or b"") for message in messages)
        assert fold.counts["added"] == len(records)
        gc.unfreeze()
        n = len(records)
        return Run(
            {what: spent / n * 1e6 for what, spent in clock.spent.items()},
            {name: total / n for name, total in size.items()},
            {name: total / n for name, total in written.items()},
            {name: (state.rows, state.encoded_bytes) for name, state in tables.all.items()},
            yardstick(),
        )


def yardstick() -> float:
    """ns a step of a loop of plain Python takes: what the machine can do just now."""
    counts: dict[int, int] = {}
    steps = 300_000
    began = process_time()
    for i in range(steps):
        counts[i & 255] = counts.get(i & 255, 0) + 1
    return (process_time() - began) / steps * 1e9


# -- telling it


def medians(runs: list[Run]) -> Run:
    def of(get: Any) -> dict[str, float]:
        return {name: statistics.median(get(one)[name] for one in runs) for name in get(runs[0])}

    middle = statistics.median(one.yardstick for one in runs)
    return Run(of(lambda one: one.us), runs[0].bytes, runs[0].written, runs[0].rows, middle)


def report(title: str, found: Run) -> list[str]:
    parts = ", ".join(f"{name} {found.us[name]:.1f}" for name in STEPS)
    rows = ", ".join(f"{name} {found.bytes[name]:.0f} ({found.written[name]:.2f} rows)" for name in found.bytes)
    stand = ", ".join(f"{name} {n:,} of {size / n:.0f}" for name, (n, size) in found.rows.items() if n)
    return [
        f"| {title} | {found.calls_agent:.1f} | {found.tenants_agent:.1f} | {parts} | {rows} | {stand} | {found.yardstick:.0f} |",
    ]


HEAD = [
    "| calls, events a cut | calls agent | tenants agent | us CPU an event by step | bytes of changelog an event | rows that stand, bytes each | ns a step of plain Python |",  # noqa: E501
    "|---|---|---|---|---|---|---|",
]


def environment() -> str:
    at = datetime.now(UTC)
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return f"{at:%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f}"


def measure(calls: int, runs: int, tenants: int) -> list[str]:
    lines = [f"{environment()}; {calls:,} calls of 12 events, {tenants} tenants, medians of {runs}", "", *HEAD]
    for name, seconds in (("short", SHORT_S), ("long", LONG_S)):
        records = traffic(calls, seconds, tenants)
        for cut in (LIVE, CATCHING_UP):
            lines += report(f"{name}, {cut:,}", medians([run(records, cut, tenants) for _ in range(runs)]))
    return lines


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--calls", type=int, default=20_000)
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--tenants", type=int, default=20)
    asked.add_argument("--write", action="store_true", help="add the figures to bench/results/")
    given = asked.parse_args()
    lines = measure(given.calls, given.runs, given.tenants)
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if given.write:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"agents-{datetime.now(UTC):%Y-%m-%d}.md").open("a") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
