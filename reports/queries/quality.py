"""Service quality and latencies of MCP sessions: from bins, or from the sessions themselves where a component is named together with
profiles or tenants (rule X9)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from reports.queries import bins
from reports.queries.bins import BinFilter, Counts, Spread
from reports.queries.paging import Listing, Page, Source
from reports.queries.where import Where
from reports.store.contract import Dialect, Reading, Row

COMP = "MCP"


@dataclass(frozen=True, slots=True)
class Quality:
    """Sessions that ended in the bin that begins at `start`.

    value       of the dimension
    component   DBID, where the sessions are those of one component besides the value
    failed      sessions with at least one failure
    failures    cause -> failures
    latencies   "category|type" -> microseconds
    """

    value: str
    start: int
    component: int | None = None
    calls: int = 0
    failed: int = 0
    failures: Counts = field(default_factory=dict)
    latencies: dict[str, Spread] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QualityFilter:
    """`bins`: what is asked of the bins; with `components`, of the sessions of these components by the values of `bins`."""

    bins: BinFilter
    components: tuple[int, ...] = ()


def from_bins(reading: Reading, wanted: BinFilter, limit: int | None = None, offset: int = 0) -> tuple[Quality, ...]:
    """In order of time, then of value."""
    return tuple(
        Quality(row.value, row.start, None, row.quality_calls, row.quality_failed, row.failures_by, row.latencies_by)
        for row in bins.bins(reading, wanted, limit, offset)
    )


def from_sessions(reading: Reading, wanted: QualityFilter, bounds: Iterable[tuple[int, int]]) -> tuple[Quality, ...]:
    """Every value and component in every bin that has sessions; `bounds`: start and end of each bin, ms UTC."""
    found: list[Quality] = []
    for start, end in bounds:
        for value in wanted.bins.values:
            of_bin = _of_sessions(reading, wanted, value, start, end)
            found += [of_bin[component] for component in sorted(of_bin)]
    return tuple(found)


def _of_sessions(reading: Reading, wanted: QualityFilter, value: str, start: int, end: int) -> dict[int, Quality]:
    """Component -> what its sessions that ended in [start, end) give."""
    where = _sessions_where(reading.dialect, wanted, value, start, end)
    failed_too = "EXISTS (SELECT 1 FROM failures AS f WHERE " + _same("f") + ")"  # noqa: S608 - names are ours
    calls = _counted(reading, f"SELECT s.comp_id, count(*) AS n FROM sessions AS s WHERE {where} GROUP BY s.comp_id", where)  # noqa: S608
    if not calls:
        return {}
    failed = _counted(
        reading,
        f"SELECT s.comp_id, count(*) AS n FROM sessions AS s WHERE {where} AND {failed_too} GROUP BY s.comp_id",  # noqa: S608
        where,
    )
    causes: dict[int, Counts] = defaultdict(dict)
    sql = (
        f"SELECT s.comp_id, f.cause, count(*) AS n FROM sessions AS s JOIN failures AS f ON {_same('f')} WHERE {where}"  # noqa: S608
        " GROUP BY s.comp_id, f.cause ORDER BY s.comp_id, f.cause"
    )
    for row in reading.rows(sql, where.arguments):
        causes[row["comp_id"]][row["cause"]] = row["n"]
    latencies = _latencies(reading, where)
    return {
        component: Quality(value, start, component, n, failed.get(component, 0), causes.get(component, {}), latencies.get(component, {}))
        for component, n in calls.items()
    }


def _latencies(reading: Reading, where: Where) -> dict[int, dict[str, Spread]]:
    parts: dict[int, dict[str, list[Spread]]] = defaultdict(lambda: defaultdict(list))
    sql = (
        "SELECT s.comp_id, l.category, l.type, l.samples, l.total_us, l.squares, l.low_us, l.high_us, l.buckets"  # noqa: S608 - names are ours, values are bound
        f" FROM sessions AS s JOIN latencies AS l ON {_same('l')} WHERE {where}"
    )
    for row in reading.rows(sql, where.arguments):  # sums of squares are decimal text: no database adds them exactly
        known = parts[row["comp_id"]][f"{row['category']}|{row['type']}"]
        known.append(_spread(row))
    return {component: {label: Spread.merged(of[label]) for label in sorted(of)} for component, of in parts.items()}


def _spread(row: Row) -> Spread:
    return Spread(row["samples"], row["total_us"], int(row["squares"]), row["low_us"], row["high_us"], json.loads(row["buckets"]))


def _counted(reading: Reading, sql: str, where: Where) -> dict[int, int]:
    return {row["comp_id"]: row["n"] for row in reading.rows(sql, where.arguments)}


def _same(table: str) -> str:
    return " AND ".join(f"{table}.{name} = s.{name}" for name in ("source_partition", "guid", "comp_id", "session"))


def _sessions_where(dialect: Dialect, wanted: QualityFilter, value: str, start: int, end: int) -> Where:
    where = Where(dialect, "s.ended = 1")
    where.one_of("s.comp", [COMP])
    where.between("s.end_ts", start, end)
    where.one_of("s.comp_id", wanted.components)
    match wanted.bins.dimension:
        case "app":
            where.one_of("s.app_id", [int(value)])
        case "tenant-own":
            where.one_of("s.tenant_id", [int(value)])
        case _:
            where.any_of([dialect.holds_any("s.tenant_path", [int(value)])])
    return where


def together(rows: Sequence[Quality]) -> Quality:
    """Of all sessions of the rows; value, start and component are those of the first. Exact: a session ends once and in one component."""
    failures: Counts = {}
    latencies: dict[str, list[Spread]] = {}
    for row in rows:
        for cause, n in row.failures.items():
            failures[cause] = failures.get(cause, 0) + n
        for label, spread in row.latencies.items():
            latencies.setdefault(label, []).append(spread)
    return replace(
        rows[0],
        calls=sum(row.calls for row in rows),
        failed=sum(row.failed for row in rows),
        failures=dict(sorted(failures.items())),
        latencies={label: Spread.merged(latencies[label]) for label in sorted(latencies)},
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure of an MCP session."""

    guid: str
    comp_id: int
    session: str
    seq: int
    ts: int
    cause: str
    detail: str | None
    tenant_id: int | None
    tenant_name: str | None
    app_id: int | None
    app_name: str | None


@dataclass(frozen=True, slots=True)
class FailureFilter:
    """Failures with start <= their time < end; values of one field are alternatives."""

    start: int | None = None
    end: int | None = None
    tenants: tuple[int, ...] = ()
    own: bool = False
    apps: tuple[int, ...] = ()
    components: tuple[int, ...] = ()
    sessions: tuple[str, ...] = ()

    def where(self, dialect: Dialect) -> Where:
        where = Where(dialect)
        where.one_of("comp", [COMP])
        where.between("ts", self.start, self.end)
        where.tenants(self.tenants, own=self.own)
        where.one_of("app_id", self.apps)
        where.one_of("comp_id", self.components)
        where.any_of([dialect.equals("session", session) for session in self.sessions])
        return where


FAILURES = Source(
    "failures",
    ", ".join(Failure.__dataclass_fields__),
    {"guid": str, "comp_id": int, "session": str, "seq": int},
    lambda row: Failure(**row),
    instant="ts",
)


def failures(reading: Reading, wanted: FailureFilter, page: Page) -> Listing[Failure]:
    """Newest first."""
    return FAILURES.read(reading, wanted.where(reading.dialect), page)
