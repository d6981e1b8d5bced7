"""Calls by their result: those of MCP sessions, and the rejected ones, which RM has (rule B8)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from reports.queries.bins import BinFilter
from reports.queries.where import Where
from reports.store.contract import Reading

COMPS = ("MCP", "RM")


@dataclass(frozen=True, slots=True)
class Completion:
    """Call result -> calls that ended in the bin that begins at `start`."""

    value: str
    start: int
    by: dict[str, int]


def completions(reading: Reading, wanted: BinFilter, limit: int | None = None, offset: int = 0) -> tuple[Completion, ...]:
    """In order of time, then of value; only bins with results. The component type of `wanted` does not matter."""
    where = _where(reading, wanted)
    part, arguments = reading.dialect.part(limit, offset)
    sql = f"SELECT DISTINCT bin_start, value FROM bin_rows WHERE {where} ORDER BY bin_start, value {part}"  # noqa: S608 - names are ours
    found = {(row["bin_start"], row["value"]): Counter[str]() for row in reading.rows(sql, [*where.arguments, *arguments])}
    if not found:
        return ()
    where.between("bin_start", min(start for start, _ in found), max(start for start, _ in found) + 1)
    for row in reading.rows(f"SELECT bin_start, value, results_by FROM bin_rows WHERE {where}", where.arguments):  # noqa: S608
        if (total := found.get((row["bin_start"], row["value"]))) is not None:  # else: of another page
            total.update(json.loads(row["results_by"]))
    return tuple(Completion(value, start, dict(sorted(total.items()))) for (start, value), total in found.items())


def count_completions(reading: Reading, wanted: BinFilter) -> int:
    where = _where(reading, wanted)
    sql = f"SELECT count(*) AS n FROM (SELECT DISTINCT bin_start, value FROM bin_rows WHERE {where}) AS found"  # noqa: S608
    return int(reading.rows(sql, where.arguments)[0]["n"])


def _where(reading: Reading, wanted: BinFilter) -> Where:
    where = wanted.where(reading.dialect, COMPS)
    where.add("results_by <> '{}'")
    return where
