"""Billing statements: those of closed months as frozen, those of open months computed from the stored sessions; and what is behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from agents.bins import DAY, end_of
from reports.billing.ledger import COUNTED, NO_PROFILE, TOTAL, ZERO, Figures, Ledger, LineName, counts_in, order_of, plus
from reports.billing.month import Month
from reports.billing.rows import COLUMNS, ENDED, IN_PROGRESS, PASSED, RM, RM_BY_END, SHOWN, Position, billed, positions
from reports.billing.sessions import REJECTED, Billed, Figure
from reports.queries import live
from reports.queries.calls import Names
from reports.queries.where import Where
from reports.store.contract import Argument, Instant, Reading, Row

OPEN, CLOSED = "open", "closed"
KEPT = f"(end_state IS NULL OR end_state <> '{REJECTED}')"
ORDER = "end_ts, guid, comp_id, session"


@dataclass(frozen=True, slots=True)
class Closing:
    """How a month was closed. `state`: closed, or closing while not all of it is there; such a month is still open."""

    month: Month
    zone: str
    rounding: str
    state: str
    closed_at: int | None
    closed_by: str
    reason: str | None
    folded_to: int | None
    as_of: int
    log_id: str | None
    topic: str


@dataclass(frozen=True, slots=True)
class StatementLine:
    """`figures`: as closed, or as they are; `adjusted`: with all adjustments. `shown`: the profile's name, if one is known."""

    name: LineName
    shown: str | None
    figures: Figures
    adjusted: Figures


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a session that changed after the closing changes in a line. `receipt`: of its latest message; `peak_at`: then."""

    number: int
    receipt: int
    noted_at: int
    guid: str
    comp_id: int
    session: str
    line: LineName
    figures: Mapping[str, int]
    peak_at: int | None


@dataclass(frozen=True, slots=True)
class Statement:
    """`lines`: by profile, the total last. `folded_to`: freshness of the figures. `since`: of an open month the end of the oldest session
    in the store, if that is after the month's start: what ended before it is not counted."""

    tenant: int
    tenant_name: str | None
    month: Month
    rounding: str
    closing: Closing | None
    folded_to: int | None
    lines: tuple[StatementLine, ...]
    adjustments: tuple[Adjustment, ...] = ()
    since: int | None = None
    now: int = 0

    @property
    def state(self) -> str:
        return OPEN if self.closing is None else CLOSED

    @property
    def total(self) -> StatementLine:
        return self.lines[-1]

    def line(self, name: LineName) -> StatementLine:
        return next((line for line in self.lines if line.name == name), StatementLine(name, None, ZERO, ZERO))


@dataclass(frozen=True, slots=True)
class Behind:
    """A session behind a figure; of a closed month as it was then. `positions`: of its messages, in `partition` of the log."""

    session: Billed
    app_name: str | None
    dn: str | None
    partition: int
    positions: tuple[Position, ...] = field(default=())


def months(reading: Reading) -> tuple[Closing, ...]:
    """Newest first."""
    rows = reading.rows(
        "SELECT month, starts, ends, zone, rounding, state, closed_at, closed_by, reason, folded_to, as_of, log_id, topic"
        " FROM billing_months ORDER BY starts DESC"
    )
    return tuple(_closing(row) for row in rows)


def _closing(row: Row) -> Closing:
    values = dict(row)
    return Closing(Month(values.pop("month"), values.pop("starts"), values.pop("ends")), **values)


def closing_of(reading: Reading, name: str) -> Closing | None:
    """None: the month is open."""
    return next((one for one in months(reading) if one.month.name == name and one.state == CLOSED), None)


def statement(reading: Reading, tenant: int, name: str, zone: ZoneInfo, rounding: str, names: Names | None) -> Statement:
    """`rounding`: of months that are not closed; `names`: of now. Raises ValueError for what is no month."""
    month = Month.named(name, zone)
    known = names or Names()
    closing = closing_of(reading, name)
    return _open(reading, tenant, month, zone, rounding, known) if closing is None else _frozen(reading, tenant, closing, known)


def _frozen(reading: Reading, tenant: int, closing: Closing, known: Names) -> Statement:
    name = closing.month.name
    figures = ", ".join(COUNTED)
    rows = reading.rows(f"SELECT line, name, {figures}, peak_at FROM billing_lines WHERE month = ? AND tenant_id = ?", [name, tenant])  # noqa: S608
    frozen = {row["line"]: _figures(row) for row in rows}
    named = {row["line"]: row["name"] for row in rows}
    moved = reading.rows(
        "SELECT a.number, c.receipt, c.noted_at, c.guid, c.comp_id, c.session, a.line,"  # noqa: S608
        f" {', '.join(f'a.{figure}' for figure in COUNTED)}, a.peak_at"
        " FROM billing_adjustments AS a JOIN billing_changes AS c ON c.month = a.month AND c.number = a.number"
        " WHERE a.month = ? AND a.tenant_id = ? ORDER BY a.number",
        [name, tenant],
    )
    adjustments = sorted((_adjustment(row) for row in moved), key=lambda one: (one.number, order_of(one.line)))
    lines = []
    for line in sorted({TOTAL, *frozen, *(one.line for one in adjustments)}, key=order_of):
        changes = [(dict(one.figures), one.peak_at) for one in adjustments if one.line == line]
        before = frozen.get(line, ZERO)
        lines.append(StatementLine(line, named.get(line) or _shown(line, known), before, plus(before, changes)))
    return Statement(
        tenant, named.get(TOTAL) or known.tenants.get(tenant), closing.month, closing.rounding, closing, closing.folded_to, tuple(lines),
        tuple(adjustments), now=closing.as_of,
    )  # fmt: skip


def _figures(row: Row) -> Figures:
    return Figures(**{name: row[name] for name in COUNTED}, peak_at=row["peak_at"])


def _adjustment(row: Row) -> Adjustment:
    values = dict(row)
    return Adjustment(figures={name: values.pop(name) for name in COUNTED}, **values)


def _shown(line: LineName, known: Names) -> str | None:
    return known.apps.get(int(line)) if line.isdecimal() else None


def _open(reading: Reading, tenant: int, month: Month, zone: ZoneInfo, rounding: str, known: Names) -> Statement:
    fresh = live.freshness(reading)
    now = fresh.clock or month.end
    ledger = Ledger(tenant, month, rounding, now)
    for session in _sessions(reading, tenant, month, zone):
        ledger.add(session)
    lines = tuple(StatementLine(line.name, _shown(line.name, known), line.figures, line.figures) for line in ledger.lines())
    return Statement(
        tenant, known.tenants.get(tenant), month, rounding, None, fresh.folded_to, lines, since=_since(reading, month), now=now
    )  # fmt: skip


def _sessions(reading: Reading, tenant: int, month: Month, zone: ZoneInfo) -> Iterator[Billed]:
    """Day by day, so that not all rows are held at once."""
    start = month.start
    walks: list[tuple[str, tuple[int, ...]]] = []
    while start < month.end:
        end = min(end_of(DAY, start, zone), month.end)
        walks.append((ENDED, (start, end)))
        start = end
    walks += [(PASSED, (month.end, month.end)), (IN_PROGRESS, (month.end,))]
    of_tenant, numbers = reading.dialect.holds_any("tenant_path", [tenant])
    for condition, instants in walks:
        arguments: list[Argument] = [*map(Instant, instants), *numbers]
        for row in reading.rows(f"SELECT {', '.join(COLUMNS)} FROM sessions WHERE {condition} AND {of_tenant}", arguments):  # noqa: S608
            yield billed(**row)


def _since(reading: Reading, month: Month) -> int | None:
    part, arguments = reading.dialect.part(1, 0)
    rows = reading.rows(f"SELECT end_ts FROM sessions WHERE {RM_BY_END} AND ended = 1 ORDER BY end_ts {part}", arguments)  # noqa: S608
    return rows[0]["end_ts"] if rows and rows[0]["end_ts"] > month.start else None


# -- what is behind a figure


def behind(reading: Reading, of: Statement, line: LineName, figure: Figure, size: int | None, offset: int) -> tuple[list[Behind], int]:
    """Sessions that a figure as it was closed counts, by their end: so many of them behind the first `offset`, and the number of all."""
    if not is_column(figure):
        at = of.line(line).figures.peak_at
        found = [
            one
            for one in _read(reading, *_where(reading, of, line, figure, at), _ordered(reading, None, 0))
            if counts_in(one.session, figure, of.tenant, of.month, at, of.now)
        ]
        found.sort(key=lambda one: (one.session.end_ts is None, one.session.end_ts or 0, one.session.key))
        return found[offset:] if size is None else found[offset : offset + size], len(found)
    where, table = _where(reading, of, line, figure, None)
    total = reading.rows(f"SELECT count(*) AS n FROM {table} WHERE {where}", where.arguments)[0]["n"]  # noqa: S608
    return _read(reading, where, table, _ordered(reading, size, offset)), total


def is_column(figure: Figure) -> bool:
    """Whether columns alone say who counts; else every session in question is looked at."""
    return figure != "peak" and not figure.startswith("burst-")


def _where(reading: Reading, of: Statement, line: LineName, figure: Figure, at: int | None) -> tuple[Where, str]:
    """For the peak and burst levels: those among which the ones are that count."""
    table = "sessions" if of.closing is None else "billing_sessions"
    where = Where(reading.dialect)
    if of.closing is None:
        where.add(RM if figure == "peak" else RM_BY_END)
    else:
        where.add("month = ?", of.month.name)
    where.tenants([of.tenant], own=False)
    if line == NO_PROFILE:
        where.add("app_id IS NULL")
    elif line != TOTAL:
        where.one_of("app_id", [int(line)])
    if figure == "peak":
        second = 0 if at is None else at
        where.add("start_ts < ?", Instant(second + 1000))
        where.add("(end_ts IS NULL OR end_ts >= ?)", Instant(second))
        return where, table
    if of.closing is None:
        where.add("ended = 1")
    where.between("end_ts", of.month.start, of.month.end)
    where.add(f"end_state = '{REJECTED}'" if figure == "rejected" else KEPT)
    if figure.startswith("burst-"):
        where.add("burst IS NOT NULL")
    return where, table


def _ordered(reading: Reading, size: int | None, offset: int) -> tuple[str, Sequence[Argument]]:
    part, arguments = reading.dialect.part(size, offset)
    return f"ORDER BY {ORDER} {part}", arguments


def _read(reading: Reading, where: Where, table: str, order: tuple[str, Sequence[Argument]]) -> list[Behind]:
    sql = f"SELECT {', '.join(SHOWN)} FROM {table} WHERE {where} {order[0]}"  # noqa: S608
    return [_behind(row) for row in reading.rows(sql, [*where.arguments, *order[1]])]


def _behind(row: Row) -> Behind:
    session = billed(**{name: row[name] for name in COLUMNS})
    return Behind(session, row["app_name"], row["dn"], row["source_partition"], positions(row["messages"]))


def log_of(reading: Reading, of: Statement) -> tuple[str | None, str | None]:
    """Id and name of the log that the positions are of. Of an open month the name stands in no store."""
    if of.closing is not None:
        return of.closing.log_id, of.closing.topic
    rows = reading.rows("SELECT value FROM rs_meta WHERE name = 'billing_topic'")
    return (rows[0]["value"] if rows else None), None


def tenants(reading: Reading, known: Names) -> dict[int, str | None]:
    """Who has or had a statement: tenants with names of now, and those of closed months."""
    found: dict[int, str | None] = dict(known.tenants)
    for row in reading.rows("SELECT tenant_id, max(name) AS name FROM billing_lines WHERE line = 'total' GROUP BY tenant_id"):
        found[row["tenant_id"]] = found.get(row["tenant_id"]) or row["name"]
    return found
