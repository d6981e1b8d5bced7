"""How fast the reports answer: `python -m bench.reports [--sessions 1000000] [--rounds 15] [--file FILE] [--without INDEX]`.

A SQLite store is filled by SQL: sessions of a month, half of RM and half of MCP, and a year of days of 20 tenants and 40 profiles with
the hours and minutes that are kept. Then the app is asked in this process, without a network. A line gives the median, the least and
the most of the rounds, and their CPU, which is the figure to compare on a machine that does other things besides. With FILE the store
stays there and is used again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

import httpx

from reports.now import now
from reports.server import app_of
from reports.site import Site
from reports.store.sqlite import SQLiteStore

SCRIPTS = Path(__file__).parents[1] / "sinks" / "sql" / "schema" / "sqlite"
END = 1_795_003_384_000  # 2026-11-18 12:03:04 UTC
DAY = 86_400_000
SPAN = 30 * DAY
TENANTS, APPS, PARTITIONS = 20, 40, 16
RUNNING = 400  # sessions in progress
ZONE = ZoneInfo("UTC")

GUID = "printf('%08X-0000-4000-8000-%012X', (n / 2 * 2654435761) & 4294967295, n / 2)"
TENANT = f"(101 + n / 2 * 7 % {TENANTS})"
SESSIONS = f"""
WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :sessions),
rows AS (
    SELECT n, {GUID} AS guid, {TENANT} AS tenant, 301 + n / 2 * 11 % {APPS} AS app, n / 2 % {PARTITIONS} AS place,
        :end - (n / 2) * :gap - n % 2 * 140 AS start_ts, n >= :running AS ended
    FROM numbers
)
INSERT INTO sessions (source_partition, guid, comp_id, session, comp, start_ts, end_ts, ended, clock_skew, tenant_id,
    tenant_path, tenant_name, app_id, app_name, dn, call_type, remote_uri, end_state, result, duplicates, conflicts,
    messages, payloads, generation, mark)
SELECT place, guid, CASE n % 2 WHEN 0 THEN 201 ELSE 301 + n / 2 % 8 END, printf('%016X', n),
    CASE n % 2 WHEN 0 THEN 'RM' ELSE 'MCP' END, start_ts, CASE WHEN ended THEN start_ts + 20000 + n * 37 % 300000 END,
    ended, 0, tenant, '[1, ' || tenant || ']',
    'Environment/Tenant ' || tenant, app, 'Profile ' || app, CASE n % 2 WHEN 0 THEN printf('800555%04d', app) END,
    CASE n / 2 % 10 WHEN 9 THEN 'OUTBOUND' ELSE 'INBOUND' END, printf('sip:+1555%07d@gw%d', n / 2 * 7919 % 10000000, n % 2),
    CASE WHEN ended THEN CASE n / 2 % 20 WHEN 19 THEN 'SYSTEM_ERROR' ELSE 'USER_END' END END,
    CASE WHEN ended AND n % 2 THEN CASE n / 2 % 20 WHEN 19 THEN 'FAILED' ELSE 'SUCCESS' END END, 0, 0, :messages, '{{}}', 1, 1
FROM rows ORDER BY place, guid
"""
CALLS = """
INSERT INTO calls (source_partition, guid, start_ts, end_ts, in_progress, tenant_id, tenant_path, tenant_name, app_id, app_name, dn,
    call_type, remote_uri, end_state, result, sessions, generation, mark)
SELECT source_partition, guid, start_ts - 140, end_ts, 1 - ended, tenant_id, tenant_path, tenant_name, app_id, app_name, dn, call_type,
    remote_uri, end_state, CASE WHEN ended THEN 'SUCCESS' END, 2, 1, 1
FROM sessions WHERE comp = 'RM'
"""
MESSAGE = {
    "seq": 0,
    "kind": "call.start",
    "ts": END,
    "receipt": END,
    "offset": 1,
    "source": "rs.billing",
    "message_id": "ID:gw-1-2:1:1:1:1",
}
# (dimension, least value, how many values, granularity, length, bins)
BINS = (
    ("component_type", None, 1, "DAY", DAY, 365),
    ("component_type", None, 1, "HOUR", 3_600_000, 168),
    ("component_type", None, 1, "FIVE_MINUTES", 300_000, 576),
    ("component_type", None, 1, "MONTH", 30 * DAY, 12),
    ("component", 301, 8, "DAY", DAY, 365),
    ("component", 301, 8, "HOUR", 3_600_000, 168),
    ("component", 301, 8, "FIVE_MINUTES", 300_000, 576),
    ("tenant", 101, TENANTS, "DAY", DAY, 365),
    ("tenant", 101, TENANTS, "HOUR", 3_600_000, 168),
    ("tenant", 101, TENANTS, "FIVE_MINUTES", 300_000, 576),
    ("app", 301, APPS, "DAY", DAY, 365),
    ("app", 301, APPS, "HOUR", 3_600_000, 168),
    ("app", 301, APPS, "FIVE_MINUTES", 300_000, 576),
    ("dn", 8_005_550_301, 200, "DAY", DAY, 365),
)
FILL_BINS = """
WITH RECURSIVE bins_of (k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM bins_of WHERE k + 1 < :bins),
numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :values)
INSERT INTO bins (source_partition, comp, dimension, value, granularity, bin_start, arrivals, completed, in_progress, duration_n,
    duration_sum, duration_squares, duration_min, duration_max, arrivals_by, completed_by, in_progress_by, durations_by, peak, peak_at,
    peak_by, results_by, actions_by, quality_calls, quality_failed, latencies_by, generation, mark)
SELECT n % 16, :comp, :dimension, CASE WHEN :least IS NULL THEN '' ELSE :least + n END, :granularity, :last - k * :length,
    900 + k + n, 900, 7, 900, 90000000,
    '9000000000000', 10, 500000, :calls, :ends, '{"INBOUND": 7}', '{}', 40 + n, :last - k * :length + 60000, '{"INBOUND": 40}',
    '{"SUCCESS": 800, "FAILED": 100}', :actions, 900, 45, :latencies, 1, 1
FROM bins_of, numbers
"""
LATENCY = {"n": 900, "sum": 86_400_000, "squares": "8294400000000", "min": 96_000, "max": 96_000, "buckets": {"3": 900}}


def fill(path: Path, sessions: int, *, bins: bool = True) -> None:
    """Make the store. Indexes are made after the rows, which come in the order of their key."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")
        for script in sorted(SCRIPTS.glob("*.sql")):
            connection.executescript(script.read_text())
        indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        messages = json.dumps([{**MESSAGE, "seq": seq} for seq in range(2)])
        gap = SPAN // max(1, sessions // 2)
        connection.execute(SESSIONS, {"sessions": sessions, "end": END, "gap": gap, "running": RUNNING, "messages": messages})
        connection.execute(CALLS)
        if bins:
            _fill_bins(connection)
        connection.execute("INSERT INTO freshness VALUES (0, 0, ?, ?, ?, 1, 1)", (END, END, END))
        connection.execute("INSERT INTO rs_offsets VALUES ('rs.calls', 0, ?)", (sessions,))
        for _, sql in indexes:
            connection.execute(sql)
        connection.executescript("PRAGMA journal_mode = WAL;")
        connection.commit()


def _fill_bins(connection: sqlite3.Connection) -> None:
    calls = json.dumps({"INBOUND": 800, "OUTBOUND": 100})
    ends = json.dumps({"USER_END": 850, "SYSTEM_ERROR": 50})
    actions = json.dumps({f"action {n}|SUCCESS": 100 for n in range(8)})
    latencies = json.dumps({f"RESPONSE|type {n}": LATENCY for n in range(6)})
    for comp in ("RM", "MCP"):
        for dimension, least, values, granularity, length, count in BINS:
            if (dimension == "dn" and comp == "MCP") or (dimension == "component" and comp == "RM"):
                continue
            connection.execute(
                FILL_BINS,
                {
                    "comp": comp, "dimension": dimension, "least": least, "values": values, "granularity": granularity, "length": length,
                    "bins": count, "last": END - END % length, "calls": calls, "ends": ends, "actions": actions if comp == "MCP" else "{}",
                    "latencies": latencies if comp == "MCP" else "{}",
                },
            )  # fmt: skip


CDRS = "/ems-rs/HIST/CDRs/RM/details"
YEAR = f"granularity=DAY&from={datetime.fromtimestamp(END / 1000 - 364 * 86_400, UTC):%Y-%m-%dT00:00:00Z}"
OF_TENANTS = "&".join(f"tenant-id={101 + n}" for n in range(TENANTS))
QUESTIONS = {
    "call detail records, newest": CDRS,
    "call detail records behind a cursor": f"{CDRS}?cursor=CURSOR",
    "call detail records of an hour": f"{CDRS}?started-from=2026-11-10T10:00:00Z&started-to=2026-11-10T11:00:00Z",
    "call detail records of a tenant": f"{CDRS}?tenant-id=107",
    "call detail records of a caller, a prefix": f"{CDRS}?remote-uri=sip:%2B1555000*",
    "MCP records of a component": "/ems-rs/HIST/CDRs/MCP/details?comp-id=303",
    "calls, newest": "/ems-rs/calls",
    "year of days of 20 tenants, a page of 1,000": f"/ems-rs/operations/arrivals/RM?{YEAR}&{OF_TENANTS}",
    "year of days of 20 tenants, all as CSV": f"/ems-rs/operations/arrivals/RM?{YEAR}&{OF_TENANTS}&format=csv",
    "the same with a moving average": f"/ems-rs/operations/arrivals/RM?{YEAR}&{OF_TENANTS}&sma-period=7&format=csv",
    "usage of tenants": "/ems-rs/RT/tenants/usage",
    "usage of tenants, not changed": "/ems-rs/RT/tenants/usage",
}


async def took(rounds: int, ask: Callable[[], Awaitable[object]]) -> tuple[list[float], float]:
    """Seconds of each round, and seconds of CPU of one."""
    await ask()
    before, times = time.process_time(), []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began)
    return times, (time.process_time() - before) / rounds


def say(name: str, times: list[float], cpu: float) -> None:
    sys.stdout.write(f"{name:<62} {median(times) * 1e3:8.1f} {min(times) * 1e3:8.1f} {max(times) * 1e3:8.1f} {cpu * 1e3:8.1f}\n")
    sys.stdout.flush()


async def measure(path: Path, rounds: int) -> None:
    store = SQLiteStore(path)
    app = app_of(Site(store, ZONE, clock=lambda: END), Path("no-assets"))
    sys.stdout.write(f"{'ms':<62} {'median':>8} {'least':>8} {'most':>8} {'CPU':>8}\n")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as web:
        first = await web.get(CDRS)
        cursor = first.json()["manifest"]["pages"]["next-cursor"]
        for name, question in QUESTIONS.items():
            url = question.replace("CURSOR", cursor)
            headers = {"If-None-Match": (await web.get(url)).headers["etag"]} if "not changed" in name else {}
            expected = 304 if headers else 200

            async def ask(url: str = url, headers: dict[str, str] = headers, expected: int = expected) -> None:
                got = await web.get(url, headers=headers)
                assert got.status_code == expected, got.text

            try:
                say(name, *await took(rounds, ask))
            except AssertionError as refused:
                sys.stdout.write(f"{name}: {refused}\n")

    async def ask_now() -> None:
        with store.reading() as reading:
            assert now(reading, END, ZONE, 6, None).today.total

    say("Now, all of the page", *await took(rounds, ask_now))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="INDEX", help="drop this index first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "bench.sqlite3"
        if not path.exists():
            began = time.perf_counter()
            fill(path, given.sessions)
            sys.stdout.write(f"filled in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:,.0f} MB\n")
        for index in given.without:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute(f"DROP INDEX {index}")
        asyncio.run(measure(path, given.rounds))
    sys.stdout.write(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB\n")


if __name__ == "__main__":
    main()
