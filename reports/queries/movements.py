"""Arrivals and peaks of bins, without their other figures: those are large, and a year of days is read at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from reports.queries.bins import BinFilter, Counts, Peak
from reports.store.contract import Reading


@dataclass(frozen=True, slots=True)
class Movement:
    """A bin begins at `start`."""

    value: str
    start: int
    arrivals: int = 0
    arrivals_by: Counts = field(default_factory=dict)
    peak: Peak = field(default_factory=Peak)


def movements(reading: Reading, wanted: BinFilter, limit: int | None = None, offset: int = 0) -> tuple[Movement, ...]:
    """In order of time, then of value."""
    where = wanted.where(reading.dialect)
    part, arguments = reading.dialect.part(limit, offset)
    columns = "value, bin_start, arrivals, arrivals_by, peak, peak_at, peak_by"
    sql = f"SELECT {columns} FROM bin_rows WHERE {where} ORDER BY bin_start, value {part}"  # noqa: S608 - names are ours, values are bound
    return tuple(
        Movement(
            row["value"],
            row["bin_start"],
            row["arrivals"],
            json.loads(row["arrivals_by"]),
            Peak(row["peak"], row["peak_at"], json.loads(row["peak_by"])),
        )
        for row in reading.rows(sql, [*where.arguments, *arguments])
    )
