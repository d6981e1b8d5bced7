"""A small world for the folds: tables as dicts, records as the bridge writes them, random sessions."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from agents.figures import COUNTS, SPREADS, squares_of
from agents.keys import split_bin
from agents.state import Bin, Figures

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

    def drop(self, key: Any) -> None:
        if self.pop(key, None) is not None:
            self.touched[key] = None

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


def closing(offset: int, guid: str, comp_id: int, session: str, ts: int, receipt: int) -> Record:
    """The server's own record of a time-out."""
    value = orjson.dumps({"kind": "call.timeout", "guid": guid, "comp_id": comp_id, "session": session, "ts": ts})
    return Record(offset, receipt, guid.encode(), value, [("rs_digest", bytes(4)), ("ce_type", b"call.timeout")])


def event(
    kind: str, ts: int, seq: int, *, comp: str = "RM", comp_id: int = 201, session: str = "s1", call: int = 1, **more: Any
) -> dict[str, Any]:
    guid = f"{call:08X}-0000-4000-8000-000000000000"
    return {"v": 1, "kind": kind, "comp": comp, "comp_id": comp_id, "session": session, "guid": guid, "ts": ts, "seq": seq, **more}


def random_events(rnd: random.Random, calls: int, span_min: int = 40) -> list[dict[str, Any]]:
    """Sessions with every kind of event, corrections, unknown starts and open ends; every (session, seq) once, seq without gaps.

    Starts lie in `span_min` minutes from T0 (a correction: up to 400 s before), ends up to 10 minutes later.
    """
    events = []
    for call in range(1, calls + 1):
        for comp, comp_id in rnd.sample([("RM", 201), ("RM", 202), ("MCP", 301), ("MCP", 302), ("CCP", 401)], rnd.randint(1, 3)):
            events += _random_session(rnd, comp, comp_id, call, span_min)
    return events


def _random_session(rnd: random.Random, comp: str, comp_id: int, call: int, span_min: int) -> list[dict[str, Any]]:
    who: dict[str, Any] = {"comp": comp, "comp_id": comp_id, "session": f"{comp}{call}", "call": call}
    start = _on_an_edge(rnd, T0 + rnd.randrange(span_min * MINUTE))
    end = _on_an_edge(rnd, start + rnd.choice([0, 1, 999, 1000, rnd.randrange(20_000), rnd.randrange(600_000)]), at_least=start)
    body = _random_measures(rnd, start, end)
    if rnd.random() < 0.3:
        body.append(("call.event", start + 5, {"log_id": "begin", "level": "METRIC", "text": "x"}))
    if rnd.random() < 0.35:
        body.append(("call.update", start + 10, _random_correction(rnd, start, end)))
    rnd.shuffle(body)
    said: list[tuple[str, int, dict[str, Any]]] = []
    if rnd.random() < 0.9:
        said.append(("call.start", start, _random_start(rnd, comp)))
    said += body
    if rnd.random() < 0.85:
        place = len(said) if rnd.random() < 0.8 else rnd.randint(0, len(said))
        said.insert(place, ("call.end", end, _random_end(rnd, start, end)))
    if not said:
        said.append(("call.update", start, {"call_type": "INBOUND"}))
    first = rnd.randint(0, 1)
    events = [event(kind, ts, first + i, **who, **more) for i, (kind, ts, more) in enumerate(said)]
    if rnd.random() < 0.03:
        rnd.choice(events)["comp"] = rnd.choice(["RM", "MCP", "EXT"])  # counts if it is the last one (rule M14)
    return events


def _on_an_edge(rnd: random.Random, ts: int, at_least: int = 0) -> int:
    """The instant itself, or one near by where a second or a bin begins or has its last instant."""
    edge = rnd.choice([ts, ts, ts - ts % 1000, ts - ts % 1000 + 999, ts - ts % 60_000, ts - ts % 300_000, ts - ts % 300_000 + 299_999])
    return edge if edge >= at_least else ts


def _random_start(rnd: random.Random, comp: str) -> dict[str, Any]:
    path = rnd.choice([[1], [1, 102], [1, 103, 104]])
    more: dict[str, Any] = {"tenant_path": path, "app": rnd.choice([310, 311]), "dn": rnd.choice(["800", "801"])}
    more["call_type"] = rnd.choice(["INBOUND", "OUTBOUND"])
    for name in ("tenant_path", "app", "dn", "call_type"):
        if rnd.random() < 0.05:
            del more[name]
    if rnd.random() < (0.6 if comp == "RM" else 0.1):
        tenants = path if rnd.random() < 0.6 else rnd.sample([1, 102, 103, 104, 105, 106], rnd.randint(0, 3))
        more["burst"] = [[tenant, rnd.randint(1, 3)] for tenant in tenants]
        more["usage"] = [[tenant, rnd.randint(0, 50)] for tenant in tenants]
    return more


def _random_correction(rnd: random.Random, start: int, end: int) -> dict[str, Any]:
    return rnd.choice(
        [
            {"tenant_path": [1, 105]},
            {"call_type": "BRIDGED"},
            {"start_ts": start - 400_000},
            {"start_ts": start - start % 1000},
            {"start_ts": end + 1},
            {"app": 312},
            {"burst": [[1, 3], [106, 2]]},
        ]
    )


def _random_end(rnd: random.Random, start: int, end: int) -> dict[str, Any]:
    more: dict[str, Any] = {"end_state": rnd.choice(["USER_END", "REJECTED", "SYSTEM_ERROR"])}
    if rnd.random() < 0.1:
        del more["end_state"]
    if rnd.random() < 0.15:
        more["end_ts"] = rnd.choice([start - 1000, start, end - end % 1000])
    return more


def _random_measures(rnd: random.Random, start: int, end: int) -> list[tuple[str, int, dict[str, Any]]]:
    """VAR and SQ events in no order: of a few actions, so that parents, runs and ends meet and miss one another."""
    found: list[tuple[str, int, dict[str, Any]]] = []

    def say(kind: str, **more: Any) -> None:
        found.append((kind, rnd.randint(start, max(start, end)), more))

    if rnd.random() < 0.3:
        return found
    actions = ["menu", "balance", "transfer"]
    for _ in range(rnd.choice([0, 1, 2, 6])):
        nested = {"parent": rnd.choice([*actions, "nobody"])} if rnd.random() < 0.4 else {}
        say("var.action_start", action=rnd.choice(actions), **nested)
    for _ in range(rnd.choice([0, 1, 2, 4])):
        say("var.action_end", action=rnd.choice([*actions, "nobody"]), result=rnd.choice(["UNKNOWN", "SUCCESS", "FAILED"]))
    for _ in range(rnd.choice([0, 0, 1, 2])):
        say("var.result", result=rnd.choice(["UNKNOWN", "SUCCESS", "FAILED"]))
    for _ in range(rnd.choice([0, 0, 1])):
        say("var.custom", name=rnd.choice(["lang", "menu"]), value=rnd.choice(["", "en"]))
    for _ in range(rnd.choice([0, 1, 2])):
        say("sq.latency", samples=[_random_sample(rnd) for _ in range(rnd.randint(1, 4))])
    for _ in range(rnd.choice([0, 0, 0, 1, 2])):
        say("sq.failure", cause=rnd.choice(["START_FAILED", "AUDIO_GAP", "OTHER"]))
    return found


def _random_sample(rnd: random.Random) -> list[Any]:
    category, kind = rnd.choice([("RESPONSE", "first_prompt"), ("FETCHING", "initial_page"), ("MRCP", "a|b")])
    return [category, kind, rnd.choice([0, 96, 44.5, 0.0005, 1.0005, 2.6755, round(rnd.uniform(0, 12_000), 4), 86_400_000])]


def activity_rows(table: Table) -> dict[Any, bytes]:
    """Rows that say something, without least and greatest (rule X7) and without the mark."""
    return {key: plain(row.figures) for key, row in table.items() if plain(row.figures) != EMPTY}


def plain(figures: Figures) -> bytes:
    said: dict[str, Any] = {name: getattr(figures, name) for name in figures.__struct_fields__}
    for name in ("durations", "latencies"):
        said[name] = {label: [s.n, s.total, str(squares_of(s)), s.buckets] for label, s in said[name].items()}
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


EMPTY = plain(Figures())


def said(tables: Iterable[dict[bytes, Any]]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The bins of `tenants` as the oracle gives them, zero rows left out, spreads as (n, total, sum of squares)."""
    rows = {}
    for table in tables:
        for key, row in table.items():
            if isinstance(row, Bin) and (row.peak or row.in_progress or plain(row.figures) != EMPTY):
                dimension, granularity, start = split_bin(key)
                rows[dimension.decode(), granularity, start] = _said(row)
    return rows


def _said(row: Bin) -> dict[str, Any]:
    shown = {name: getattr(row.figures, name) for name in COUNTS if name != "departures"}
    for name in SPREADS:
        shown[name] = {label: (s.n, s.total, squares_of(s)) for label, s in getattr(row.figures, name).items()}
    return shown | {"in_progress": row.in_progress, "peak": row.peak, "peak_at": row.peak_at, "peak_by": row.peak_by}


def wanted(rows: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """What the oracle gives, its lists of values as (n, total, sum of squares)."""
    return {key: row | {name: _sums(row[name]) for name in SPREADS} for key, row in rows.items()}


def _sums(values: dict[str, list[int]]) -> dict[str, tuple[int, int, int]]:
    return {label: (len(found), sum(found), sum(x * x for x in found)) for label, found in values.items()}


def differences(got: dict[Any, Any], want: dict[Any, Any]) -> dict[Any, Any]:
    """Rows that differ, with what is there and what should be, figure by figure."""
    wrong = {}
    for key in got.keys() | want.keys():
        here, there = got.get(key, {}), want.get(key, {})
        if here != there:
            names = here.keys() | there.keys()
            wrong[key] = {name: (here.get(name), there.get(name)) for name in names if here.get(name) != there.get(name)}
    return wrong
