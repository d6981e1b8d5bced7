"""Plausible calls straight into a SQLite store, always the same for the same arguments; and the sessions themselves, for judging figures.

python -m tests.reports.seed FILE [HOURS] [--live]   (--live: ends now instead of at a fixed time)
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from agents.bins import GRANULARITIES, end_of, start_of
from pipeline.topics import partition_of

SCHEMA = Path(__file__).parents[2] / "sinks" / "sql" / "schema" / "sqlite"
END = 1_795_003_384_000  # 2026-11-18 12:03:04 UTC
PARTITIONS = 4
MINUTE = 60_000

TENANTS = {
    (1, 102, 110): ("Environment/Acme/Support", 5),
    (1, 102, 111): ("Environment/Acme/Billing", 4),
    (1, 103): ("Environment/Globex", 3),
    (1, 104): ("Environment/Initech", 1),
}
PROFILES = {102: [(310, "Billing IVR"), (311, "Support line")], 103: [(320, "Flight status")], 104: [(330, "Survey")]}
DNS = {310: "8005550123", 311: "8005550124", 320: "8005550199", 330: "3005550100"}
OF_FAILURES = ("tenant_id", "tenant_path", "tenant_name", "app_id", "app_name")
EDGES_US = (10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000)
ACTIONS = ("welcome", "balance", "payment", "transfer")


@dataclass
class Session:
    """What the seed knows of a session; the names are those of the columns."""

    guid: str
    comp: str
    comp_id: int
    session: str
    start_ts: int | None
    end_ts: int | None
    path: tuple[int, ...]
    tenant_name: str
    app: tuple[int, str]
    dn: str | None
    call_type: str
    remote_uri: str
    end_state: str | None
    result: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Seeded:
    """The sessions behind the rows, and the instant they end at."""

    end: int
    sessions: list[Session]

    def of(self, comp: str) -> list[Session]:
        return [session for session in self.sessions if session.comp == comp]

    @property
    def guids(self) -> set[str]:
        return {session.guid for session in self.sessions}


def fill(path: Path, *, end: int = END, hours: int = 6, rate: float = 2.0, zone: str = "UTC", seed: int = 7) -> Seeded:
    """Make the store and fill it with calls of `hours` up to `end`, about `rate` a minute."""
    chance = random.Random(seed)
    sessions: list[Session] = []
    start = end - hours * 60 * MINUTE
    at = float(start)
    while True:
        busy = 0.45 + 0.55 * abs(1 - ((at / (60 * MINUTE)) % 12) / 6)
        at += chance.expovariate(rate * busy) * MINUTE
        if at >= end - 500:
            break
        sessions += _call(chance, int(at), end)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    for script in sorted(SCHEMA.glob("*.sql")):
        connection.executescript(script.read_text())
    seeded = Seeded(end, sessions)
    write(connection, sessions, end)
    _write_bins(connection, sessions, end, ZoneInfo(zone))
    connection.commit()
    connection.close()
    return seeded


def _call(chance: random.Random, start: int, now: int) -> list[Session]:
    guid = str(UUID(int=chance.getrandbits(128))).upper()
    path = chance.choices(list(TENANTS), [weight for _, weight in TENANTS.values()])[0]
    app = chance.choice(PROFILES[path[1]])
    call_type = chance.choices(["INBOUND", "OUTBOUND", "BRIDGED"], [80, 13, 7])[0]
    end_state = chance.choices(["USER_END", "APPLICATION_END", "SYSTEM_ERROR", "REJECTED"], [60, 30, 6, 4])[0]
    length = 0 if end_state == "REJECTED" else round(chance.lognormvariate(4.6, 0.8) * 1000)
    end = start + length if start + length < now else None
    remote = f"sip:+1555{chance.randrange(10**7):07d}@gw{chance.randint(1, 2)}"
    name = TENANTS[path][0]
    rm = Session(guid, "RM", 201, f"{chance.getrandbits(48):012X}", start, end, path, name, app, DNS[app[0]], call_type, remote, None)
    rm.end_state = None if end is None else end_state
    rm.events = [_event("call.start", start), *([] if end is None else [_event("call.end", end)])]
    if end_state == "REJECTED":
        return [rm]
    ended = None if end is None else max(start, end - chance.randint(10, 60))
    mcp = Session(
        guid,
        "MCP",
        chance.choice([301, 302]),
        f"{chance.getrandbits(64):016X}",
        start + 140,
        ended,
        path,
        name,
        app,
        None,
        call_type,
        remote,
        None,
    )
    if ended is not None:
        ended = mcp.end_ts = max(ended, start + 140)
        mcp.end_state = end_state
        mcp.result = "FAILED" if end_state == "SYSTEM_ERROR" else chance.choices(["SUCCESS", "FAILED", "UNKNOWN"], [7, 1, 2])[0]
    mcp.events = _mcp_events(chance, mcp, ended or now)
    return [rm, mcp]


def _event(kind: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "ts": ts, **fields}


def _mcp_events(chance: random.Random, mcp: Session, until: int) -> list[dict[str, Any]]:
    start = mcp.start_ts or 0
    events = [
        _event("call.start", start),
        _event("call.event", start + 10, log_id="incall_begin", level="METRIC", text=f"{mcp.app[0]}|{mcp.remote_uri}"),
    ]
    events.append(_event("sq.latency", start + 100, samples=[["RESPONSE", "first_prompt", 96], ["FETCHING", "initial_page", 44.5]]))
    at = start + 1000
    for action in ACTIONS[: chance.randint(0, len(ACTIONS))]:
        took = round(chance.lognormvariate(2.6, 0.6) * 1000)
        if at + took >= until:
            break
        events += [
            _event("var.action_start", at, action=action),
            _event("call.event", at + took // 2, log_id="input_end", level="METRIC", text=f"{action}|1"),
            _event("var.action_end", at + took, action=action, result=chance.choice(["SUCCESS", "SUCCESS", "FAILED"])),
        ]
        at += took + 400
    if at < until:
        events.append(_event("var.custom", at, name="language", value="en"))
    if mcp.end_state == "SYSTEM_ERROR":
        events.append(_event("sq.failure", until, cause="SYSTEM_ERROR"))
    if mcp.result is not None and mcp.end_ts is not None:
        events.append(_event("var.result", mcp.end_ts, result=mcp.result))
    if mcp.end_ts is not None:
        events.append(_event("call.end", mcp.end_ts))
    return [event for event in events if event["ts"] <= until]


def write(connection: sqlite3.Connection, sessions: Iterable[Session], now: int) -> None:
    """Rows of calls, sessions and session_events, replacing those that are there."""
    calls: dict[str, list[Session]] = defaultdict(list)
    for session in sessions:
        calls[session.guid].append(session)
    for guid, parts in calls.items():
        partition = partition_of(guid.encode(), PARTITIONS)
        for part in parts:
            _write_session(connection, partition, part)
        first = parts[0]
        starts = [part.start_ts for part in parts if part.start_ts is not None]
        running = first.end_ts is None
        _insert(
            connection,
            "calls",
            source_partition=partition,
            guid=guid,
            start_ts=min(starts, default=None),
            end_ts=first.end_ts,
            in_progress=int(running),
            **_party(first),
            end_state=first.end_state,
            result=None if running else next((part.result for part in parts if part.result), "UNKNOWN"),
            sessions=len(parts),
        )


def _party(session: Session) -> dict[str, Any]:
    return {
        "tenant_id": session.path[-1],
        "tenant_path": json.dumps(session.path),
        "tenant_name": session.tenant_name,
        "app_id": session.app[0],
        "app_name": session.app[1],
        "dn": session.dn,
        "call_type": session.call_type,
        "remote_uri": session.remote_uri,
        "local_uri": None,
    }


def _write_session(connection: sqlite3.Connection, partition: int, session: Session) -> None:
    messages, payloads = [], {}
    envelope = {"v": 1, "comp": session.comp, "comp_id": session.comp_id, "session": session.session, "guid": session.guid}
    key = {"source_partition": partition, "guid": session.guid, "comp_id": session.comp_id, "session": session.session}
    for seq, event in enumerate(session.events):
        offset = event["ts"] // 100 % 1_000_000
        messages.append(
            {
                "seq": seq,
                "kind": event["kind"],
                "ts": event["ts"],
                "receipt": event["ts"] + 12,
                "offset": offset,
                "source": "rs.billing",
                "message_id": f"ID:gw-{session.comp_id}-{offset}:1:1:1:{seq + 1}",
            }
        )
        if event["kind"] == "call.event":
            _insert(
                connection,
                "session_events",
                **key,
                seq=seq,
                ts=event["ts"],
                log_id=event["log_id"],
                level=event["level"],
                text=event["text"],
            )
        elif not event["kind"].startswith("call."):
            payloads[str(seq)] = {**envelope, **event, "seq": seq}
    _write_var_and_quality(connection, key, session)
    rm = session.comp == "RM"
    _insert(
        connection,
        "sessions",
        **key,
        comp=session.comp,
        start_ts=session.start_ts,
        end_ts=session.end_ts,
        ended=int(session.end_ts is not None),
        clock_skew=0,
        **_party(session),
        origin=None,
        usage=json.dumps([[t, 1] for t in session.path]) if rm else None,
        burst=None,
        end_state=session.end_state,
        reason=None,
        sip_status=200 if rm and session.end_ts is not None else None,
        mos=None if rm else 4.2,
        jitter_ms=None,
        loss_pct=None,
        codec=None if rm else "PCMU",
        result=session.result,
        duplicates=0,
        conflicts=0,
        messages=json.dumps(messages),
        payloads=json.dumps(payloads),
    )


def _write_var_and_quality(connection: sqlite3.Connection, key: dict[str, Any], session: Session) -> None:
    latencies: dict[tuple[str, str], list[int]] = defaultdict(list)
    open_run: dict[str, Any] = {}
    for seq, event in enumerate(session.events):
        match event["kind"]:
            case "var.action_start":
                open_run = {"seq": seq, "action": event["action"], "start_ts": event["ts"], "end_ts": session.end_ts}
                open_run["result"] = None if session.end_ts is None else "UNKNOWN"
                _insert(connection, "actions", **key, **open_run)
            case "var.action_end":
                _insert(connection, "actions", **key, **{**open_run, "end_ts": event["ts"], "result": event["result"]})
            case "var.custom":
                _insert(connection, "custom_variables", **key, place=0, name=event["name"], value=event["value"])
            case "sq.failure":
                about = {name: value for name, value in _party(session).items() if name in OF_FAILURES}
                _insert(connection, "failures", **key, seq=seq, ts=event["ts"], cause=event["cause"], comp=session.comp, **about)
            case "sq.latency":
                for category, kind, ms in event["samples"]:
                    latencies[category, kind].append(round(ms * 1000))
    for place, ((category, kind), values) in enumerate(sorted(latencies.items())):
        _insert(
            connection,
            "latencies",
            **key,
            place=place,
            category=category,
            type=kind,
            samples=len(values),
            total_us=sum(values),
            squares=str(sum(x * x for x in values)),
            low_us=min(values),
            high_us=max(values),
            buckets=json.dumps(buckets(values)),
        )


def buckets(values: Iterable[int]) -> dict[str, int]:
    """By the default edges of latencies (rule B10)."""
    return {str(at): n for at, n in sorted(Counter(sum(edge <= value for edge in EDGES_US) for value in values).items())}


def _insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    values |= {"generation": 1, "mark": 1}
    connection.execute(
        f"INSERT OR REPLACE INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
    )


def dimensions(session: Session) -> list[tuple[str, str]]:
    """(dimension, value) of every row that the session counts in."""
    found = [
        ("component_type", ""),
        ("component", str(session.comp_id)),
        ("app", str(session.app[0])),
        ("tenant-own", str(session.path[-1])),
    ]
    found += [("tenant", str(tenant)) for tenant in session.path]
    return found + ([("dn", session.dn)] if session.dn is not None and session.comp == "RM" else [])


def _write_bins(connection: sqlite3.Connection, sessions: Sequence[Session], now: int, zone: ZoneInfo) -> None:
    """By the plain definitions of the contract, section 2, session by session."""
    arrivals: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    completed: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    durations: dict[tuple[str, ...], list[int]] = defaultdict(list)
    running: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for session in sessions:
        for granularity in GRANULARITIES:
            for dimension, value in dimensions(session):
                row = (session.comp, dimension, value, granularity)
                assert session.start_ts is not None
                first = start_of(granularity, session.start_ts, zone)
                arrivals[*row, str(first)][session.call_type] += 1
                if session.end_ts is not None and session.end_state is not None:
                    last = (*row, str(start_of(granularity, session.end_ts, zone)))
                    completed[last][session.end_state] += 1
                    durations[last].append(session.end_ts - session.start_ts)
                at = first
                while at <= now and (stop := end_of(granularity, at, zone)) and (session.end_ts is None or at <= session.end_ts):
                    if session.end_ts is None or session.end_ts >= stop:
                        running[*row, str(at)][session.call_type] += 1
                    at = stop
    measures = _measures(sessions, zone)
    peaks = _peaks(sessions, now, zone)
    for key in {*arrivals, *completed, *running, *measures, *peaks}:
        spread = durations[key]
        of = measures.get(key, Measures())
        peak, peak_at, peak_by = peaks.get(key, (0, None, Counter()))
        _insert(
            connection,
            "bins",
            source_partition=partition_of("|".join(key[:3]).encode(), PARTITIONS),
            comp=key[0],
            dimension=key[1],
            value=key[2],
            granularity=key[3],
            bin_start=int(key[4]),
            arrivals=arrivals[key].total(),
            completed=completed[key].total(),
            in_progress=running[key].total(),
            duration_n=len(spread),
            duration_sum=sum(spread),
            duration_squares=str(sum(x * x for x in spread)),
            duration_min=min(spread, default=None),
            duration_max=max(spread, default=None),
            arrivals_by=json.dumps(arrivals[key]),
            completed_by=json.dumps(completed[key]),
            in_progress_by=json.dumps(running[key]),
            durations_by="{}",
            peak=peak,
            peak_at=peak_at,
            peak_by=json.dumps(peak_by),
            burst_by="{}",
            results_by=json.dumps(of.results),
            actions_by=json.dumps(of.actions),
            last_actions_by=json.dumps(of.last_actions),
            quality_calls=of.quality_calls,
            quality_failed=of.quality_failed,
            failures_by=json.dumps(of.failures),
            latencies_by=json.dumps({label: _spread(values) for label, values in of.latencies.items()}),
        )
    for at in range(PARTITIONS):
        for billing in range(PARTITIONS):
            _insert(
                connection,
                "freshness",
                source_partition=at,
                billing_partition=billing,
                stream=now - 40 * billing,
                clock=now,
                folded_to=now - 300 - billing,
            )


@dataclass
class Measures:
    """What is counted in the bin of a session's end besides end state and duration; latencies in microseconds."""

    results: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    last_actions: Counter[str] = field(default_factory=Counter)
    quality_calls: int = 0
    quality_failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))


def _measures(sessions: Sequence[Session], zone: ZoneInfo) -> dict[tuple[str, ...], Measures]:
    found: dict[tuple[str, ...], Measures] = defaultdict(Measures)
    for session in sessions:
        if session.end_ts is None or (session.comp == "RM" and session.end_state != "REJECTED"):
            continue
        runs = [f"{event['action']}|{event['result']}" for event in session.events if event["kind"] == "var.action_end"]
        failures = [event["cause"] for event in session.events if event["kind"] == "sq.failure"]
        samples = [sample for event in session.events if event["kind"] == "sq.latency" for sample in event["samples"]]
        for granularity in GRANULARITIES:
            start = start_of(granularity, session.end_ts, zone)
            for dimension, value in dimensions(session):
                of = found[session.comp, dimension, value, granularity, str(start)]
                if session.comp == "RM":
                    of.results["REJECTED"] += 1
                    continue
                of.results[session.result or "UNKNOWN"] += 1
                of.actions.update(runs)
                of.last_actions.update(runs[-1:])
                of.quality_calls += 1
                of.quality_failed += bool(failures)
                of.failures.update(failures)
                for category, kind, ms in samples:
                    of.latencies[f"{category}|{kind}"].append(round(ms * 1000))
    return found


def _spread(values: Sequence[int]) -> dict[str, Any]:
    return {
        "n": len(values),
        "sum": sum(values),
        "squares": str(sum(x * x for x in values)),
        "min": min(values),
        "max": max(values),
        "buckets": buckets(values),
    }


def occupied(session: Session, now: int) -> range:
    """The seconds that a session occupies (contract, section 2; rule B3)."""
    assert session.start_ts is not None
    first = session.start_ts // 1000
    last = now // 1000 if session.end_ts is None else (session.end_ts - 1) // 1000
    return range(first, max(first, last) + 1)


def _peaks(sessions: Sequence[Session], now: int, zone: ZoneInfo) -> dict[tuple[str, ...], tuple[int, int, Counter[str]]]:
    """Peak, its time in ms and its split, second by second."""
    inside: dict[tuple[str, ...], list[Session]] = defaultdict(list)
    for session in sessions:
        for dimension, value in dimensions(session):
            inside[session.comp, dimension, value].append(session)
    found: dict[tuple[str, ...], tuple[int, int, Counter[str]]] = {}
    for row, mine in inside.items():
        seconds = Counter(second for session in mine for second in occupied(session, now))
        for granularity in GRANULARITIES:
            best: dict[int, tuple[int, int]] = {}  # bin -> (peak, -second)
            start = end = 0
            for second in sorted(seconds):
                if second * 1000 >= end:
                    start = start_of(granularity, second * 1000, zone)
                    end = end_of(granularity, start, zone)
                best[start] = max(best.get(start, (0, 0)), (seconds[second], -second))
            for start, (peak, second) in best.items():
                by = Counter(session.call_type for session in mine if -second in occupied(session, now))
                found[*row, granularity, str(start)] = (peak, -second * 1000, by)
    return found


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--live"]
    target = Path(arguments[0])
    target.unlink(missing_ok=True)
    made = fill(target, end=int(time.time() * 1000) if "--live" in sys.argv else END, hours=int(arguments[1]) if len(arguments) > 1 else 30)
    sys.stdout.write(f"{target}: {len(made.guids)} calls, {len(made.sessions)} sessions\n")
