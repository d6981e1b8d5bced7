"""An independent slow judge, straight from the contract: events in, figures out. Shares no code with `agents`.

Bins are recounted from whole sessions for every row; nothing is carried on, merged or taken away. Time zone UTC only.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

FIVE = 300_000
LENGTH = {"FIVE_MINUTES": FIVE, "HOUR": 3_600_000, "DAY": 86_400_000}


def sessions_of(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Distinct events by name (the first stays), folded field by field in seq order."""
    first: dict[Any, dict[str, Any]] = {}
    for e in events:
        first.setdefault((e["guid"], e["comp_id"], e["session"], e["seq"]), e)
    by_session = defaultdict(list)
    for (guid, comp_id, session, _), e in first.items():
        by_session[guid, comp_id, session].append(e)
    return [_one(sorted(es, key=lambda e: e["seq"])) for es in by_session.values()]


def _one(events: list[dict[str, Any]]) -> dict[str, Any]:
    s: dict[str, Any] = {
        "call_type": "UNKNOWN",
        "state": "UNKNOWN",
        "start": None,
        "end": None,
        "ended": False,
        "path": None,
        "app": None,
        "dn": None,
    }
    explicit: dict[str, int] = {}
    for e in events:
        s["comp"], s["comp_id"] = e["comp"], e["comp_id"]
        if not e["kind"].startswith("call.") or e["kind"] == "call.event":
            continue
        if e["kind"] == "call.start":
            s["start"] = e["ts"]
        if e["kind"] == "call.end":
            s["end"], s["ended"] = e["ts"], True
        for name in ("start_ts", "end_ts"):
            if name in e:
                explicit[name] = e[name]
        s["path"] = e.get("tenant_path", s["path"])
        s["app"] = e.get("app", s["app"])
        s["dn"] = e.get("dn", s["dn"])
        s["call_type"] = e.get("call_type", s["call_type"])
        s["state"] = e.get("end_state", s["state"])
    s["start"] = explicit.get("start_ts", s["start"])
    if s["ended"]:
        s["end"] = explicit.get("end_ts", s["end"])
        if s["start"] is not None:
            s["end"] = max(s["end"], s["start"])
    return s


def dimensions_of(s: dict[str, Any]) -> list[str]:
    comp = s["comp"]
    keys = [f"{comp}|component_type|", f"{comp}|component|{s['comp_id']}"]
    if s["path"]:
        keys += [f"{comp}|tenant|{tenant}" for tenant in s["path"]] + [f"{comp}|tenant-own|{s['path'][-1]}"]
    if s["app"]:
        keys.append(f"{comp}|app|{s['app']}")
    if s["dn"] and comp == "RM":
        keys.append(f"{comp}|dn|{s['dn']}")
    return keys


def bins(events: list[dict[str, Any]], now_bin: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(dimension, granularity, bin start) -> figures, for every bin with a figure that is not zero, up to base bin `now_bin`."""
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    by_dimension = defaultdict(list)
    for s in sessions_of(events):
        for key in dimensions_of(s):
            by_dimension[key].append(s)
    for key, sessions in by_dimension.items():
        times = [t for s in sessions for t in (s["start"], s["end"]) if t is not None]
        if not times:
            continue
        for granularity, length in LENGTH.items():
            first = min(times) // length
            last = max(max(times), now_bin) // length
            for k in range(first, last + 1):
                row = _row(sessions, k * length, (k + 1) * length, now_bin)
                if any(row.values()):
                    rows[key, granularity, k * length] = row
    return rows


def _row(sessions: list[dict[str, Any]], start: int, end: int, now_bin: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "arrivals": defaultdict(int),
        "completed": defaultdict(int),
        "durations": defaultdict(list),
        "in_progress": defaultdict(int),
    }
    up_to = min(end, now_bin + FIVE)
    for s in sessions:
        if s["start"] is not None and start <= s["start"] < end:
            row["arrivals"][s["call_type"]] += 1
        if s["ended"] and start <= s["end"] < end:
            row["completed"][s["state"]] += 1
            if s["start"] is not None:
                row["durations"][s["state"]].append(s["end"] - s["start"])
        if s["start"] is not None and start < up_to and s["start"] < up_to and (not s["ended"] or s["end"] >= up_to):
            row["in_progress"][s["call_type"]] += 1
    return {name: dict(value) for name, value in row.items()}
