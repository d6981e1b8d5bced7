"""A store with its schema, and RM sessions put into it as the sinks would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from reports.billing.month import DAY_MS, Month
from sinks.sql.migrate import migrate
from sinks.sql.sqlite import SQLite
from sinks.statements import Closed, Statements, Terms

ZONE = ZoneInfo("Europe/Berlin")
MONTH = Month.named("2026-10", ZONE)  # with the hour that comes twice
NOW = MONTH.end + 6 * DAY_MS
MINUTE_MS = 60_000


@dataclass(frozen=True)
class Stored:
    """An RM session; times in ms after the start of the month."""

    n: int
    start: int | None
    end: int | None
    path: tuple[int, ...] | None = (1, 102)
    app: int | None = 310
    end_state: str | None = "USER_END"
    burst: tuple[tuple[int, int], ...] = ()
    session: str = "S"
    receipt: int = 0
    comp: str = "RM"

    @property
    def guid(self) -> str:
        return f"AAAAAAAA-0000-4000-8000-{self.n:012d}"


class Store:
    """The store under test."""

    def __init__(self, path: Path) -> None:
        self.dialect = SQLite(path)
        migrate(self.dialect)
        self.now = NOW
        self.run("INSERT INTO rs_meta (name, value) VALUES ('billing_topic', 'log-1')")
        self.move_on(NOW)

    def run(self, sql: str, *arguments: Any) -> list[Any]:
        connection = self.dialect.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql, arguments)
            return cursor.fetchall()
        finally:
            connection.close()

    def move_on(self, now: int, folded_to: int | None = None) -> None:
        self.now = now
        at = now if folded_to is None else folded_to
        self.run("INSERT OR REPLACE INTO freshness VALUES (0, 0, ?, ?, ?, 1, 1)", now, now, at)

    def put(self, *sessions: Stored) -> None:
        for one in sessions:
            start, end = (None if at is None else MONTH.start + at for at in (one.start, one.end))
            message = {
                "seq": 0, "kind": "call.end", "ts": end or start, "receipt": one.receipt or (end or start or 0) + 20,
                "offset": one.n, "source": "rs.billing", "message_id": f"ID:{one.n}",
            }  # fmt: skip
            row = {
                "source_partition": one.n % 4, "guid": one.guid, "comp_id": 201, "session": one.session, "comp": one.comp,
                "start_ts": start, "end_ts": end, "ended": int(end is not None), "clock_skew": 0,
                "tenant_id": one.path[-1] if one.path else None, "tenant_path": json.dumps(one.path) if one.path else None,
                "tenant_name": "/".join(f"T{tenant}" for tenant in one.path or ()) or None, "app_id": one.app,
                "app_name": None if one.app is None else f"Profile {one.app}", "dn": "800", "call_type": "INBOUND",
                "end_state": one.end_state if end is not None else None, "burst": json.dumps(one.burst) if one.burst else None,
                "duplicates": 0, "conflicts": 0, "messages": json.dumps([message]), "payloads": "{}", "generation": 1, "mark": 1,
            }  # fmt: skip
            self.run(f"INSERT OR REPLACE INTO sessions ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", *row.values())
            call = {
                "source_partition": one.n % 4, "guid": one.guid, "start_ts": start, "end_ts": end, "in_progress": int(end is None),
                "call_type": "INBOUND", "sessions": 1, "generation": 1, "mark": 1,
            }  # fmt: skip
            self.run(f"INSERT OR REPLACE INTO calls ({', '.join(call)}) VALUES ({', '.join('?' * len(call))})", *call.values())

    def forget(self, *sessions: Stored) -> None:
        for one in sessions:
            self.run("DELETE FROM sessions WHERE guid = ?", one.guid)

    def statements(self, **terms: Any) -> Statements:
        kept = Terms(zone=ZONE, rounding="started", close_after=5 * DAY_MS, topic="rs.billing")
        return Statements(self.dialect, replace(kept, **terms), lambda: self.now)

    def close(self, name: str = MONTH.name, reason: str | None = None, **terms: Any) -> Closed:
        closing = self.statements(**terms).close(name, "ann", reason)
        while True:
            try:
                next(closing)
            except StopIteration as done:
                found: Closed = done.value
                return found

    def adjust(self) -> int:
        return sum(n for _, n in self.statements().adjust())

    def everything(self) -> dict[str, list[Any]]:
        names = ("billing_months", "billing_sessions", "billing_lines", "billing_changes", "billing_adjustments")
        return {name: self.run(f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in names}

    def lines(self, tenant: int) -> dict[str, tuple[int, ...]]:
        """line -> calls, sessions, minutes, burst 1 to 3, rejected, peak, seconds of the peak into the month"""
        rows = self.run("SELECT * FROM billing_lines WHERE tenant_id = ? ORDER BY line", tenant)
        return {row[2]: (*row[4:12], row[12] and (row[12] - MONTH.start) // 1000) for row in rows}

    def adjusted(self, tenant: int) -> list[tuple[Any, ...]]:
        """(number, line, calls, sessions, minutes, burst 1 to 3, rejected, peak) in their order"""
        rows = self.run("SELECT * FROM billing_adjustments WHERE tenant_id = ? ORDER BY number, line", tenant)
        return [(row[1], row[3], *row[5:13]) for row in rows]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite3")


def some() -> Sequence[Stored]:
    hour = 60 * MINUTE_MS
    return (
        Stored(1, 10 * hour, 10 * hour + 61_000, burst=((1, 0), (102, 2))),
        Stored(2, 10 * hour + 5_000, 10 * hour + 30_000, path=(1, 102, 110), app=320, burst=((102, 1), (110, 3))),
        Stored(3, 11 * hour, 11 * hour, path=(1, 103), app=None),
        Stored(4, 10 * hour + 6_000, 10 * hour + 6_000, end_state="REJECTED"),
        Stored(5, -hour, 30_000, app=310),  # began before the month
        Stored(6, MONTH.end - MONTH.start - hour, MONTH.end - MONTH.start, app=310),  # ends in the next
        Stored(7, None, 12 * hour, app=None),
        Stored(8, 13 * hour, None),
        Stored(9, 10 * hour, 10 * hour + 9_000, path=None),
        Stored(10, 10 * hour, 10 * hour + 9_000, comp="MCP"),
    )
