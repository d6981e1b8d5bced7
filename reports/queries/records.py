"""What belongs to finished sessions: how many there are, their event logs, their VAR data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.queries.calls import SESSIONS, Session, SessionFilter
from reports.queries.paging import Listing, Page, Source
from reports.queries.where import Where
from reports.store.contract import Dialect, Reading, Row

MOST_GUIDS = 500  # of one statement


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions that are alike."""

    call_type: str
    end_state: str | None
    result: str | None
    n: int


def groups(reading: Reading, wanted: SessionFilter) -> tuple[Group, ...]:
    """The sessions of a list, counted."""
    where = wanted.where(reading.dialect)
    alike = "call_type, end_state, result"
    sql = f"SELECT {alike}, count(*) AS n FROM sessions WHERE {where} GROUP BY {alike} ORDER BY {alike}"  # noqa: S608 - names are ours
    return tuple(Group(**row) for row in reading.rows(sql, where.arguments))


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a session's event log."""

    guid: str
    comp_id: int
    session: str
    seq: int
    ts: int
    log_id: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Either a whole call or one session of it, finished, of one component type."""

    comp: str
    guid: str | None = None
    component: int | None = None
    session: str | None = None

    def where(self, dialect: Dialect) -> Where:
        where = Where(dialect, "s.ended = 1")
        where.one_of("s.comp", [self.comp])
        if self.guid is not None:
            where.any_of([dialect.equals("s.guid", self.guid)])
        if self.component is not None:
            where.one_of("s.comp_id", [self.component])
        if self.session is not None:
            where.any_of([dialect.equals("s.session", self.session)])
        return where


LOGGED = "session_events AS e JOIN sessions AS s ON " + " AND ".join(
    f"e.{name} = s.{name}" for name in ("source_partition", "guid", "comp_id", "session")
)


def events(reading: Reading, wanted: EventFilter, page: Page) -> tuple[tuple[Event, ...], int]:
    """Lines of a page in order of time (rule F11), and how many there are in all."""
    where = wanted.where(reading.dialect)
    part, arguments = reading.dialect.part(page.size, (page.number - 1) * page.size)
    sql = (
        f"SELECT e.guid, e.comp_id, e.session, e.seq, e.ts, e.log_id, e.level, e.text FROM {LOGGED} WHERE {where}"  # noqa: S608
        f" ORDER BY e.ts, e.comp_id, e.session, e.seq {part}"
    )
    rows = reading.rows(sql, [*where.arguments, *arguments])
    total = reading.rows(f"SELECT count(*) AS n FROM {LOGGED} WHERE {where}", where.arguments)[0]["n"]  # noqa: S608
    return tuple(Event(**row) for row in rows), int(total)


@dataclass(frozen=True, slots=True)
class VarSession:
    """A finished MCP session with VAR data; reason and notes are those of the call result."""

    session: Session
    reason: str | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class Action:
    """A run of an action."""

    seq: int
    action: str
    parent: str | None
    start_ts: int
    end_ts: int | None
    result: str | None
    reason: str | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class VarData:
    """`variables`: (name, value) in the order in which the names appeared."""

    actions: tuple[Action, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


SessionKey = tuple[int, str, int, str]
"""Partition of rs.billing, guid, comp_id, session."""
KEY = ("source_partition", "guid", "comp_id", "session")


def _var_session(row: Row) -> VarSession:
    values = dict(row)
    reason, notes = values.pop("result_reason"), values.pop("result_notes")
    return VarSession(SESSIONS.make(values), reason, notes)


VAR = Source("sessions", f"{SESSIONS.columns}, result_reason, result_notes", SESSIONS.unique, _var_session)


def _part_of(table: str) -> str:
    same = " AND ".join(f"{table}.{name} = sessions.{name}" for name in KEY)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - names are ours


HAS_VAR = f"(result IS NOT NULL OR {_part_of('actions')} OR {_part_of('custom_variables')})"


def var_sessions(reading: Reading, wanted: SessionFilter, page: Page) -> Listing[VarSession]:
    """Newest first; those with a call result, an action or a custom variable."""
    where = wanted.where(reading.dialect)
    where.add(HAS_VAR)
    return VAR.read(reading, where, page)


def key_of(session: Session) -> SessionKey:
    return session.partition, session.guid, session.comp_id, session.session


def var_data(reading: Reading, sessions: Sequence[Session]) -> dict[SessionKey, VarData]:
    """Of those sessions which have some."""
    actions: dict[SessionKey, list[Action]] = {}
    variables: dict[SessionKey, list[tuple[str, str]]] = {}
    for row in _rows_of(reading, "actions", "seq, action, parent, start_ts, end_ts, result, reason, notes", "seq", sessions):
        values = dict(row)
        actions.setdefault(_key(values), []).append(Action(**{name: values[name] for name in Action.__dataclass_fields__}))
    for row in _rows_of(reading, "custom_variables", "name, value", "place", sessions):
        variables.setdefault(_key(row), []).append((row["name"], row["value"]))
    return {key: VarData(tuple(actions.get(key, ())), tuple(variables.get(key, ()))) for key in {*actions, *variables}}


def _key(row: Row) -> SessionKey:
    return row["source_partition"], row["guid"], row["comp_id"], row["session"]


def _rows_of(reading: Reading, table: str, columns: str, order: str, sessions: Sequence[Session]) -> list[Row]:
    found: list[Row] = []
    guids = sorted({session.guid for session in sessions})
    for at in range(0, len(guids), MOST_GUIDS):
        where = Where(reading.dialect)
        where.one_of("source_partition", sorted({session.partition for session in sessions}))  # leads the key
        where.one_of("guid", guids[at : at + MOST_GUIDS])
        keys = ", ".join(KEY)
        found += reading.rows(f"SELECT {keys}, {columns} FROM {table} WHERE {where} ORDER BY {keys}, {order}", where.arguments)  # noqa: S608
    return found
