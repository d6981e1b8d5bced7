"""What goes on now: calls and sessions in progress, and how fresh the store is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from sqlite3 import Connection


@dataclass(frozen=True, slots=True)
class InProgress:
    """Sessions in progress that are alike. `tenant_path` from the root, empty if unknown."""

    comp: str
    comp_id: int
    tenant_path: tuple[int, ...]
    app_id: int | None
    call_type: str
    n: int


def calls_in_progress(connection: Connection, now: int) -> dict[str, int]:
    """Call type -> calls in progress. Those of unknown start count in no figure (rule F6), nor do those that start after `now`."""
    rows = connection.execute(
        "SELECT call_type, count(*) AS n FROM calls WHERE in_progress = 1 AND start_ts <= ? GROUP BY call_type ORDER BY n DESC, call_type",
        [now],
    )
    return {row["call_type"]: row["n"] for row in rows}


def sessions_in_progress(connection: Connection, now: int) -> tuple[InProgress, ...]:
    """Of all component types; which count as with calls."""
    rows = connection.execute(
        "SELECT comp, comp_id, tenant_path, app_id, call_type, count(*) AS n FROM sessions"
        " WHERE ended = 0 AND start_ts <= ? GROUP BY comp, comp_id, tenant_path, app_id, call_type",
        [now],
    )
    return tuple(
        InProgress(row["comp"], row["comp_id"], tuple(json.loads(row["tenant_path"] or "[]")), row["app_id"], row["call_type"], row["n"])
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the store says of itself, ms UTC; None while nothing was folded.

    folded_to   receipt time up to which every stored message is in the figures (rule X10)
    stream      greatest stream time of a partition: how far the calls themselves have come
    clock       the same plus the time since the last record
    """

    folded_to: int | None
    stream: int | None
    clock: int | None


def freshness(connection: Connection) -> Freshness:
    row = connection.execute(
        "SELECT min(folded_to) AS folded_to, max(nullif(stream, 0)) AS stream, max(nullif(clock, 0)) AS clock FROM freshness"
        " WHERE generation = (SELECT max(generation) FROM freshness)"
    ).fetchone()
    return Freshness(row["folded_to"] or None, row["stream"], row["clock"])


def has_calls(connection: Connection) -> bool:
    return connection.execute("SELECT 1 FROM calls LIMIT 1").fetchone() is not None
