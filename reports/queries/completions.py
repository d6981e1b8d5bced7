"""Calls by their result: those of MCP sessions, and the rejected ones, which RM has (rule B8)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from sqlite3 import Connection

from reports.queries.bins import BinFilter
from reports.queries.where import Where

COMPS = ("MCP", "RM")


@dataclass(frozen=True, slots=True)
class Completion:
    """Call result -> calls that ended in the bin that begins at `start`."""

    value: str
    start: int
    by: dict[str, int]


def completions(connection: Connection, wanted: BinFilter, limit: int = -1, offset: int = 0) -> tuple[Completion, ...]:
    """In order of time, then of value; only bins with results. The component type of `wanted` does not matter."""
    where = _where(wanted)
    rows = connection.execute(
        f"SELECT value, bin_start, json_group_array(json(results_by)) AS results FROM bin_rows WHERE {where}"  # noqa: S608 - names are ours
        " GROUP BY bin_start, value ORDER BY bin_start, value LIMIT ? OFFSET ?",
        [*where.arguments, limit, offset],
    )
    return tuple(Completion(row["value"], row["bin_start"], _sum(json.loads(row["results"]))) for row in rows)


def count_completions(connection: Connection, wanted: BinFilter) -> int:
    where = _where(wanted)
    sql = f"SELECT count(*) FROM (SELECT DISTINCT bin_start, value FROM bin_rows WHERE {where})"  # noqa: S608
    return int(connection.execute(sql, where.arguments).fetchone()[0])


def _where(wanted: BinFilter) -> Where:
    where = wanted.where(COMPS)
    where.add("results_by <> '{}'")
    return where


def _sum(parts: list[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for part in parts:
        total.update(part)
    return dict(sorted(total.items()))
