"""An independent slow judge, straight from the contract: events in, figures out. Shares no code with `agents`.

Every row is recounted from whole sessions; no row is made from other rows, nothing is carried on or taken away. Which events
count and which sessions have timed out is judged from the log by `tests.agents.log_oracle`; `bins` takes events of which
none is late and no session is silent for too long.

A row, zero entries left out everywhere:

arrivals      call type -> n                    results       UNKNOWN, SUCCESS, FAILED (MCP), REJECTED (RM) -> n
completed     end state -> n                    actions       "action|result" -> runs
durations     end state -> [ms, ...]            last_actions  "action|result" -> sessions
in_progress   call type -> n                    quality       "calls", "failed" -> n
burst         "tenant:level" -> n               failures      cause -> events
peak          n                                 latencies     "category|type" -> [whole microseconds, ...]
peak_at       ms of the first such second, None without peak
peak_by       call type -> n in that second
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

EVERYWHERE = ZoneInfo("UTC")
FIVE = 300_000
MINUTE = 60_000
GRANULARITIES = ("FIVE_MINUTES", "THIRTY_MINUTES", "HOUR", "DAY", "WEEK", "MONTH")
COUNTS = ("arrivals", "completed", "in_progress", "burst", "results", "actions", "last_actions", "quality", "failures")
LISTS = ("durations", "latencies")

Events = list[dict[str, Any]]
Segment = tuple[int, dict[str, int]]  # from this second up to the next segment's -> occupancy by call type


def bins(
    events: Events, now_bin: int, *, zone: ZoneInfo = EVERYWHERE, granularities: tuple[str, ...] = GRANULARITIES
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """(dimension, granularity, bin start) -> row, for every bin with a figure that is not zero (B4).

    Now is the end of base bin `now_bin`: sessions in progress occupy every second before it, and the bin that contains its
    last instant has them in progress; bins wholly after it have none (B2, B3).
    """
    return bins_of(sessions_of(events), now_bin, zone=zone, granularities=granularities)


def bins_of(
    sessions: list[dict[str, Any]],
    now_bin: int,
    *,
    zone: ZoneInfo = EVERYWHERE,
    granularities: tuple[str, ...] = GRANULARITIES,
) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The same from sessions as `session_of` gives them."""
    up_to = now_bin + FIVE
    whole: dict[str, list[dict[str, Any]]] = defaultdict(list)
    bursts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for s in sessions:
        for key in dimensions_of(s):
            whole[key].append(s)
        for key, entry in bursts_of(s):
            bursts[key].append((s["start"], entry))
    times = [t for s in sessions for t in (s["start"], s["end"]) if t is not None]
    if not times:
        return {}
    found = [(granularity, edges(granularity, zone, min(times), max(*times, now_bin))) for granularity in granularities]
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for key in whole.keys() | bursts.keys():
        segments = occupancy(whole[key], up_to)
        for granularity, spans in found:
            present: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
            for s in whole[key]:
                for span in _touched(s, spans, up_to):
                    present[span].append(s)
            for t, _ in bursts[key]:
                present[spans[_index(spans, t)]] += []
            for (start, end), here in present.items():
                row = _row(here, bursts[key], segments, start, end, up_to)
                if any(row.values()):
                    rows[key, granularity, start] = row
    return rows


def _touched(s: dict[str, Any], spans: list[tuple[int, int]], up_to: int) -> list[tuple[int, int]]:
    """The bins that a session can have a figure in: from that of its start to that of its end, or to now."""
    first = s["end"] if s["start"] is None else s["start"]
    last = max(first or 0, up_to - 1) if s["end"] is None else s["end"]
    return [] if first is None else spans[_index(spans, first) : _index(spans, last) + 1]


def _index(spans: list[tuple[int, int]], t: int) -> int:
    return bisect_right(spans, t, key=lambda span: span[0]) - 1


def _row(
    sessions: list[dict[str, Any]], entries: list[tuple[int, str]], segments: list[Segment], start: int, end: int, up_to: int
) -> dict[str, Any]:
    count: dict[str, dict[str, int]] = {name: {} for name in COUNTS}
    values: dict[str, dict[str, list[int]]] = {name: {} for name in LISTS}

    def add(name: str, what: str, n: int = 1) -> None:
        if n:
            count[name][what] = count[name].get(what, 0) + n

    last = min(end, up_to)  # in progress is asked at this instant; a bin that begins after now has nobody
    for s in sessions:
        began, ended = s["start"], s["end"]
        if began is not None and start <= began < end:
            add("arrivals", s["call_type"])
        if began is not None and start < up_to and began < last and (ended is None or ended >= last):
            add("in_progress", s["call_type"])
        if ended is not None and start <= ended < end:
            for name, figures in s["at_end"].items():
                for what, figure in figures.items():
                    if name in LISTS:
                        values[name].setdefault(what, []).extend(figure)
                    else:
                        add(name, what, figure)
    for began, entry in entries:
        if start <= began < end:
            add("burst", entry)
    peak, at, by = peak_of(segments, start // 1000, end // 1000)
    return {**count, **values, "peak": peak, "peak_at": at, "peak_by": by}


# Sessions


def sessions_of(events: Events) -> list[dict[str, Any]]:
    """Distinct events by name (the first stays), folded field by field in seq order."""
    first: dict[Any, dict[str, Any]] = {}
    for e in events:
        first.setdefault((e["guid"], e["comp_id"], e["session"], e["seq"]), {k: v for k, v in e.items() if v is not None})
    by_session = defaultdict(list)
    for (guid, comp_id, session, _), e in first.items():
        by_session[guid, comp_id, session].append(e)
    return [session_of(es) for es in by_session.values()]


def times_of(events: Events, timed_out: int | None = None) -> tuple[int | None, int | None]:
    """Start, None while it is unknown, and end, None while the session is in progress (F4 to F6, F8). Events in seq order.

    timed_out   the instant at which a session without `call.end` is closed by its time-out (X3)
    """
    calls = [e for e in events if e["kind"] in ("call.start", "call.update", "call.end")]
    said: dict[str, Any] = {}
    for e in calls:
        said |= e
    begun = [e["ts"] for e in calls if e["kind"] == "call.start"]
    closed = [e["ts"] for e in calls if e["kind"] == "call.end"]
    over = closed[-1] if closed else timed_out
    start = said.get("start_ts", begun[-1] if begun else None)
    end = None if over is None else said.get("end_ts", over)
    if start is not None and end is not None and end < start:
        end = start
    return start, end


def session_of(events: Events, timed_out: int | None = None) -> dict[str, Any]:
    """The distinct events of a session, in any order, folded; see `times_of`. `timed_out` counts only without `call.end`."""
    events = sorted(events, key=lambda e: e["seq"])
    start, end = times_of(events, timed_out)
    said: dict[str, Any] = {}
    for e in events:
        if e["kind"] in ("call.start", "call.update", "call.end"):
            said |= e
    silent = timed_out is not None and not any(e["kind"] == "call.end" for e in events)
    s = {
        "comp": events[-1]["comp"],
        "comp_id": events[-1]["comp_id"],
        "start": start,
        "end": end,
        "path": said.get("tenant_path"),
        "app": said.get("app"),
        "dn": said.get("dn"),
        "call_type": said.get("call_type", "UNKNOWN"),
        "state": "TIMED_OUT" if silent else said.get("end_state", "UNKNOWN"),
        "burst": said.get("burst", []),
    }
    s["at_end"] = _at_end(s, events) if end is not None else {}
    return s


def _at_end(s: dict[str, Any], events: Events) -> dict[str, dict[str, Any]]:
    """What the session gives to the bin of its end."""
    figures: dict[str, dict[str, Any]] = {"completed": {s["state"]: 1}}
    if s["start"] is not None:
        figures["durations"] = {s["state"]: [s["end"] - s["start"]]}
    if s["comp"] == "RM" and s["state"] == "REJECTED":
        figures["results"] = {"REJECTED": 1}
    if s["comp"] != "MCP":
        return figures
    results = [e["result"] for e in events if e["kind"] == "var.result"]
    figures["results"] = {results[-1] if results else "UNKNOWN": 1}
    runs = runs_of(events)
    figures["actions"] = Counter(runs)
    figures["last_actions"] = {runs[-1]: 1} if runs else {}
    causes = [e["cause"] for e in events if e["kind"] == "sq.failure"]
    figures["quality"] = {"calls": 1, "failed": 1 if causes else 0}
    figures["failures"] = Counter(causes)
    figures["latencies"] = defaultdict(list)
    for e in events:
        for category, kind, ms in e["samples"] if e["kind"] == "sq.latency" else ():
            figures["latencies"][f"{category}|{kind}"].append(math.floor(float(ms) * 1000 + 0.5))
    return figures


def runs_of(events: Events) -> list[str]:
    """ "action|result" of every run in the order of their starts; events in seq order (V1 to V3)."""
    runs: list[list[str | None]] = []
    for e in events:
        if e["kind"] == "var.action_start" and ("parent" not in e or any(e["parent"] == action for action, _ in runs)):
            runs.append([e["action"], None])
        if e["kind"] == "var.action_end":
            still_open = [run for run in runs if run == [e["action"], None]]
            if still_open:
                still_open[-1][1] = e["result"]
    return [f"{action}|{result or 'UNKNOWN'}" for action, result in runs]


# Dimensions


def dimensions_of(s: dict[str, Any]) -> list[str]:
    comp = s["comp"]
    keys = [f"{comp}|component_type|", f"{comp}|component|{s['comp_id']}"]
    if s["path"]:
        keys += [f"{comp}|tenant|{tenant}" for tenant in s["path"]] + [f"{comp}|tenant-own|{s['path'][-1]}"]
    if s["app"] is not None:
        keys.append(f"{comp}|app|{s['app']}")
    if s["dn"] is not None and comp == "RM":
        keys.append(f"{comp}|dn|{s['dn']}")
    return keys


def bursts_of(s: dict[str, Any]) -> list[tuple[str, str]]:
    """(dimension, "tenant:level") for every row an entry counts in (B5): that of its own tenant, be it in the path or not."""
    if s["comp"] != "RM" or s["start"] is None:
        return []
    found = []
    for tenant, level in s["burst"]:
        keys = [key for key in dimensions_of(s) if key.split("|")[1] not in ("tenant", "tenant-own")]
        keys.append(f"RM|tenant|{tenant}")
        if s["path"] and s["path"][-1] == tenant:
            keys.append(f"RM|tenant-own|{tenant}")
        found += [(key, f"{tenant}:{level}") for key in keys]
    return found


# Occupancy


def seconds_of(s: dict[str, Any], up_to: int) -> range:
    """The seconds that a session occupies."""
    if s["start"] is None:
        return range(0)
    first = s["start"] // 1000
    if s["end"] is None:
        return range(first, up_to // 1000)
    return range(first, max(first, (s["end"] - 1) // 1000) + 1)


def occupancy(sessions: list[dict[str, Any]], up_to: int) -> list[Segment]:
    changes: dict[int, Counter[str]] = defaultdict(Counter)
    for s in sessions:
        if seconds := seconds_of(s, up_to):
            changes[seconds.start][s["call_type"]] += 1
            changes[seconds.stop][s["call_type"]] -= 1
    here: Counter[str] = Counter()
    segments = []
    for second in sorted(changes):
        here.update(changes[second])
        segments.append((second, {call_type: n for call_type, n in here.items() if n}))
    return segments


def peak_of(segments: list[Segment], first: int, stop: int) -> tuple[int, int | None, dict[str, int]]:
    """Greatest occupancy of the seconds first <= s < stop, ms of the first such second, its split."""
    peak, at, by = 0, None, {}
    low = max(0, bisect_right(segments, first, key=lambda segment: segment[0]) - 1)
    for second, here in segments[low : bisect_left(segments, stop, key=lambda segment: segment[0])]:
        if sum(here.values()) > peak:
            peak, at, by = sum(here.values()), max(second, first) * 1000, here
    return peak, at, by


# Time


@lru_cache(4096)
def edges(granularity: str, zone: ZoneInfo, first: int, last: int) -> list[tuple[int, int]]:
    """The bins [start, end) that hold the instants from `first` to `last`, ms (section 2, B11)."""
    if granularity in ("FIVE_MINUTES", "THIRTY_MINUTES"):
        length = FIVE if granularity == "FIVE_MINUTES" else 6 * FIVE
        return [(k * length, (k + 1) * length) for k in range(first // length, last // length + 1)]
    starts = _hours(zone, first, last) if granularity == "HOUR" else _dates(granularity, zone, first, last)
    return [(start, end) for start, end in pairwise(starts) if end > first and start <= last]


def _hours(zone: ZoneInfo, first: int, last: int) -> list[int]:
    from_minute, to_minute = first // MINUTE - 180, last // MINUTE + 180
    return [t * MINUTE for t in range(from_minute, to_minute) if _local(t * MINUTE, zone).minute == 0]


def _dates(granularity: str, zone: ZoneInfo, first: int, last: int) -> list[int]:
    """First instants of the dates that begin a day, a week or a month, from before `first` to after `last`."""
    day, stop = _local(first, zone).date() - timedelta(40), _local(last, zone).date() + timedelta(40)
    if granularity == "DAY":
        day, stop = day + timedelta(38), stop - timedelta(38)
    starts = set()
    while day < stop:
        if granularity == "DAY" or (day.weekday() == 0 if granularity == "WEEK" else day.day == 1):
            starts.add(_first_instant(day, zone))
        day += timedelta(1)
    return sorted(starts)


@lru_cache(4096)
def _first_instant(day: date, zone: ZoneInfo) -> int:
    """ms of the first minute whose local date is `day`, or of the day after it where a zone left a whole date out."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    for minute in range(-16 * 60, 16 * 60):
        if _local(midnight + minute * MINUTE, zone).date() == day:
            return midnight + minute * MINUTE
    return _first_instant(day + timedelta(1), zone)


def _local(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms // 1000, zone)
