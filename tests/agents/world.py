"""A small world for the folds: tables as dicts, records as the bridge writes them, random sessions."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from agents.state import Activity, Bin

T0 = 1_795_000_200_000  # a base bin begins here
MINUTE = 60_000


class Table(dict[Any, Any]):
    """A partition of a table: what `pipeline.runtime.State` is to the folds."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self.make, self.touched = make, {}

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self.make()
        return value

    def touch(self, key: Any) -> None:
        self.touched[key] = None

    def peek(self, key: Any) -> Any:
        return self.get(key)

    def keys_packed(self) -> Iterable[bytes]:
        return list(self)


@dataclass
class Record:
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def record(offset: int, event: dict[str, Any], receipt: int | None = None) -> Record:
    value = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
    digest = zlib.crc32(value).to_bytes(4, "big")
    headers = [
        ("rs_digest", digest), ("ce_id", b"ID:%d" % offset), ("ce_source", b"rs.billing"), ("ce_type", event["kind"].encode())
    ]  # fmt: skip
    return Record(offset, event["ts"] if receipt is None else receipt, event["guid"].encode(), value, headers)


def event(
    kind: str, ts: int, seq: int, *, comp: str = "RM", comp_id: int = 201, session: str = "s1", call: int = 1, **more: Any
) -> dict[str, Any]:
    guid = f"{call:08X}-0000-4000-8000-000000000000"
    return {"v": 1, "kind": kind, "comp": comp, "comp_id": comp_id, "session": session, "guid": guid, "ts": ts, "seq": seq, **more}


def random_events(rnd: random.Random, calls: int, span_min: int = 40) -> list[dict[str, Any]]:
    """Sessions with starts, updates, ends, corrections, unknown starts and open ends; every (session, seq) once."""
    events = []
    for call in range(1, calls + 1):
        for comp, comp_id in rnd.sample([("RM", 201), ("RM", 202), ("MCP", 301), ("MCP", 302), ("CCP", 401)], rnd.randint(1, 3)):
            events += _random_session(rnd, comp, comp_id, call, span_min)
    return events


def _random_session(rnd: random.Random, comp: str, comp_id: int, call: int, span_min: int) -> list[dict[str, Any]]:
    who = {"comp": comp, "comp_id": comp_id, "session": f"{comp}{call}", "call": call}
    start = T0 + rnd.randrange(span_min * MINUTE)
    events, seq = [], rnd.randint(0, 1)

    def say(kind: str, ts: int, **more: Any) -> None:
        nonlocal seq
        events.append(event(kind, ts, seq, **who, **more))
        seq += 1

    if rnd.random() < 0.9:
        tenant = rnd.choice([[1], [1, 102], [1, 103, 104]])
        say("call.start", start, tenant_path=tenant, app=rnd.choice([310, 311]), call_type=rnd.choice(["INBOUND", "OUTBOUND"]), dn="800")
    if rnd.random() < 0.3:
        say("call.event", start + 5, log_id="begin", level="METRIC", text="x")
    if rnd.random() < 0.3:
        say(
            "call.update",
            start + 10,
            **rnd.choice([{"tenant_path": [1, 105]}, {"call_type": "BRIDGED"}, {"start_ts": start - 400_000}, {"app": 312}]),
        )
    if rnd.random() < 0.3:
        say("var.result", start + 20, result=rnd.choice(["SUCCESS", "FAILED"]))
    if rnd.random() < 0.85:
        end = start + rnd.choice([0, 999, rnd.randrange(600_000)])
        more = {"end_ts": start - 1000} if rnd.random() < 0.1 else {}
        say("call.end", end, end_state=rnd.choice(["USER_END", "REJECTED", "SYSTEM_ERROR"]), **more)
    return events


def activity_rows(table: Table) -> dict[Any, bytes]:
    """Rows that say something, without least and greatest (rule X7) and without the mark."""
    return {key: plain(row.figures) for key, row in table.items() if plain(row.figures) != plain(Activity().figures)}


def bin_rows(table: Table) -> dict[bytes, tuple[bytes, dict[str, int]]]:
    empty = plain(Bin().figures)
    return {
        key: (plain(row.figures), row.in_progress)
        for key, row in table.items()
        if isinstance(row, Bin) and (plain(row.figures) != empty or row.in_progress)
    }


def plain(figures: Any) -> bytes:
    built = msgspec.to_builtins(figures)
    arrivals, departures, completed, durations = built
    kept = {
        state: [n, total, squares, {str(k): v for k, v in buckets.items()}]
        for state, (n, total, squares, _, _, buckets) in durations.items()
    }
    return orjson.dumps([arrivals, departures, completed, kept], option=orjson.OPT_SORT_KEYS)
