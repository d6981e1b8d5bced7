"""What goes on now: calls and sessions in progress, and how fresh the store is."""

from __future__ import annotations

import json
from dataclasses import dataclass

from reports.store.contract import Instant, Reading


@dataclass(frozen=True, slots=True)
class InProgress:
    """Sessions in progress that are alike. `tenant_path` from the root, empty if unknown."""

    comp: str
    comp_id: int
    tenant_path: tuple[int, ...]
    app_id: int | None
    call_type: str
    n: int


def calls_in_progress(reading: Reading, now: int) -> dict[str, int]:
    """Call type -> calls in progress. Those of unknown start count in no figure (rule F6), nor do those that start after `now`."""
    rows = reading.rows(
        "SELECT call_type, count(*) AS n FROM calls WHERE in_progress = 1 AND start_ts <= ? GROUP BY call_type ORDER BY n DESC, call_type",
        [Instant(now)],
    )
    return {row["call_type"]: row["n"] for row in rows}


def sessions_in_progress(reading: Reading, now: int) -> tuple[InProgress, ...]:
    """Of all component types; which count as with calls."""
    rows = reading.rows(
        "SELECT comp, comp_id, tenant_path, app_id, call_type, count(*) AS n FROM sessions"
        " WHERE ended = 0 AND start_ts <= ? GROUP BY comp, comp_id, tenant_path, app_id, call_type",
        [Instant(now)],
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


def freshness(reading: Reading) -> Freshness:
    (row,) = reading.rows(
        "SELECT min(folded_to) AS folded_to, max(nullif(stream, ?)) AS stream, max(nullif(clock, ?)) AS clock FROM freshness"
        " WHERE generation = (SELECT max(generation) FROM freshness)",
        [Instant(0), Instant(0)],
    )
    return Freshness(row["folded_to"] or None, row["stream"], row["clock"])


def has_calls(reading: Reading) -> bool:
    return bool(reading.rows("SELECT CASE WHEN EXISTS (SELECT 1 FROM calls) THEN 1 ELSE 0 END AS has")[0]["has"])


def state(reading: Reading) -> tuple[object, ...]:
    """What changes whenever a record is stored: how far each topic has come into the store, and the store's generation."""
    rows = reading.rows("SELECT topic, partition, next_offset FROM rs_offsets ORDER BY topic, partition")
    meta = reading.rows("SELECT name, value FROM rs_meta ORDER BY name")
    return tuple((row["topic"], row["partition"], row["next_offset"]) for row in rows), tuple((row["name"], row["value"]) for row in meta)
