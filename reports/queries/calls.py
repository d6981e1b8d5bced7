"""Calls and their sessions: lists with filters, and one call with everything that is known of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from agents.state import Payload
from reports.exceptions import NotStored
from reports.parameters import Dn, Match
from reports.queries.paging import Listing, Page, Source
from reports.queries.where import Where, match
from reports.store.contract import Condition, Dialect, Reading, Row

SCHEMES = ("sip:", "sips:", "tel:")


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the sinks store it. `partition` is that of rs.billing."""

    guid: str
    partition: int
    start_ts: int | None
    end_ts: int | None
    in_progress: bool
    tenant_id: int | None
    tenant_path: tuple[int, ...]
    tenant_name: str | None
    app_id: int | None
    app_name: str | None
    dn: str | None
    call_type: str
    remote_uri: str | None
    local_uri: str | None
    end_state: str | None
    result: str | None
    sessions: int

    @property
    def duration_ms(self) -> int | None:
        return None if self.start_ts is None or self.end_ts is None else self.end_ts - self.start_ts


@dataclass(frozen=True, slots=True)
class Session:
    """One component's part of a call: a call detail record. `partition` is that of rs.billing."""

    guid: str
    comp: str
    comp_id: int
    session: str
    partition: int
    start_ts: int | None
    end_ts: int | None
    ended: bool
    clock_skew: bool
    tenant_id: int | None
    tenant_path: tuple[int, ...]
    tenant_name: str | None
    app_id: int | None
    app_name: str | None
    dn: str | None
    call_type: str
    remote_uri: str | None
    local_uri: str | None
    origin: str | None
    usage: tuple[tuple[int, int], ...]
    burst: tuple[tuple[int, int], ...]
    end_state: str | None
    reason: str | None
    sip_status: int | None
    mos: float | None
    jitter_ms: float | None
    loss_pct: float | None
    codec: str | None
    result: str | None
    duplicates: int
    conflicts: int

    @property
    def duration_ms(self) -> int | None:
        return None if self.start_ts is None or self.end_ts is None else self.end_ts - self.start_ts


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a session, and where it came from: offset in the call's partition of rs.billing, queue, ActiveMQ message id."""

    comp_id: int
    session: str
    seq: int
    kind: str
    ts: int
    receipt: int
    offset: int
    source: str
    message_id: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a session's event log."""

    comp_id: int
    session: str
    seq: int
    ts: int
    log_id: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class OneCall:
    """`payloads`: (comp_id, session) -> VAR and service quality events in seq order."""

    call: Call
    sessions: tuple[Session, ...]
    messages: tuple[Message, ...]
    log: tuple[LogLine, ...]
    payloads: dict[tuple[int, str], tuple[Payload, ...]]


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Conditions on a list of calls; values of one field are alternatives (rule Q1)."""

    number: Match | None = None
    guid: Match | None = None
    tenants: tuple[int, ...] = ()
    own: bool = False
    apps: tuple[int, ...] = ()
    dns: tuple[Dn, ...] = ()
    started_from: int | None = None
    started_to: int | None = None
    results: tuple[str, ...] = ()
    end_states: tuple[str, ...] = ()
    call_types: tuple[str, ...] = ()
    state: Literal["in-progress", "finished"] | None = None

    def where(self, dialect: Dialect) -> Where:
        where = Where(dialect)
        if self.number is not None:
            inside = [_number_in_uri(dialect, scheme, self.number) for scheme in SCHEMES]
            where.any_of([match(dialect, "dn", self.number), match(dialect, "remote_uri", self.number), *inside])
        if self.guid is not None:
            where.matches("guid", [self.guid])
        where.tenants(self.tenants, own=self.own)
        where.one_of("app_id", self.apps)
        where.dns("dn", self.dns)
        where.between("start_ts", self.started_from, self.started_to)
        where.one_of("result", self.results)
        where.one_of("end_state", self.end_states)
        where.one_of("call_type", self.call_types)
        if self.state is not None:
            where.add("in_progress = 1" if self.state == "in-progress" else "in_progress = 0")
        return where


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Conditions on a list of call detail records of one component type, in progress or finished."""

    comp: str
    ended: bool
    tenants: tuple[int, ...] = ()
    own: bool = False
    apps: tuple[int, ...] = ()
    dns: tuple[Dn, ...] = ()
    components: tuple[int, ...] = ()
    remote_uris: tuple[Match, ...] = ()
    local_uris: tuple[Match, ...] = ()
    started_from: int | None = None
    started_to: int | None = None
    ended_from: int | None = None
    ended_to: int | None = None

    def where(self, dialect: Dialect) -> Where:
        where = Where(dialect, f"ended = {int(self.ended)}")
        where.one_of("comp", [self.comp])
        where.tenants(self.tenants, own=self.own)
        where.one_of("app_id", self.apps)
        where.dns("dn", self.dns)
        where.one_of("comp_id", self.components)
        where.matches("remote_uri", self.remote_uris)
        where.matches("local_uri", self.local_uris)
        where.between("start_ts", self.started_from, self.started_to)
        where.between("end_ts", self.ended_from, self.ended_to)
        return where


def _number_in_uri(dialect: Dialect, scheme: str, number: Match) -> Condition:
    """The user part of a URI: sip:NUMBER@host."""
    return dialect.begins("remote_uri", scheme + number.text + ("" if number.prefix else "@"))


def _numbers(text: str | None) -> tuple[int, ...]:
    return () if text is None else tuple(json.loads(text))


def _pairs(text: str | None) -> tuple[tuple[int, int], ...]:
    return () if text is None else tuple((tenant, n) for tenant, n in json.loads(text))


def _call(row: Row) -> Call:
    values = dict(row) | {"in_progress": bool(row["in_progress"]), "tenant_path": _numbers(row["tenant_path"])}
    return Call(partition=values.pop("source_partition"), **values)


def _session(row: Row) -> Session:
    values = dict(row) | {"ended": bool(row["ended"]), "clock_skew": bool(row["clock_skew"]), "tenant_path": _numbers(row["tenant_path"])}
    values |= {"usage": _pairs(row["usage"]), "burst": _pairs(row["burst"])}
    return Session(partition=values.pop("source_partition"), **values)


def _columns(row_type: type, *besides: str) -> str:
    names = [name for name in row_type.__dataclass_fields__ if name != "partition"]  # type: ignore[attr-defined]
    return ", ".join(["source_partition", *names, *besides])


CALLS = Source("calls", _columns(Call), {"guid": str}, _call)
SESSIONS = Source("sessions", _columns(Session), {"guid": str, "comp_id": int, "session": str}, _session)


def calls(reading: Reading, wanted: CallFilter, page: Page) -> Listing[Call]:
    """Newest first."""
    return CALLS.read(reading, wanted.where(reading.dialect), page)


def sessions(reading: Reading, wanted: SessionFilter, page: Page) -> Listing[Session]:
    """Newest first."""
    return SESSIONS.read(reading, wanted.where(reading.dialect), page)


class _StoredMessage(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    ts: int
    receipt: int
    offset: int
    source: str
    message_id: str


STORED_MESSAGES = msgspec.json.Decoder(list[_StoredMessage])
STORED_PAYLOADS = msgspec.json.Decoder(dict[str, Payload], strict=False)


def one_call(reading: Reading, guid: str) -> OneCall:
    """Everything of a call, in order of time. Raises NotStored."""
    rows = reading.rows(f"SELECT {CALLS.columns} FROM calls WHERE guid = ?", [guid])  # noqa: S608
    if not rows or rows[0]["guid"] != guid:  # SQL Server does not mind blanks at the end
        raise NotStored(guid)
    found: list[Session] = []
    messages: list[Message] = []
    payloads: dict[tuple[int, str], tuple[Payload, ...]] = {}
    unknown_last = "CASE WHEN start_ts IS NULL THEN 1 ELSE 0 END"
    sql = f"SELECT {SESSIONS.columns} FROM sessions WHERE guid = ? ORDER BY {unknown_last}, start_ts, comp_id, session"  # noqa: S608
    for part in reading.rows(sql, [guid]):
        session = _session(part)
        found.append(session)
        (stored,) = reading.rows(
            "SELECT messages, payloads FROM sessions WHERE source_partition = ? AND guid = ? AND comp_id = ? AND session = ?",
            [session.partition, guid, session.comp_id, session.session],
        )
        messages += [
            Message(session.comp_id, session.session, m.seq, m.kind, m.ts, m.receipt, m.offset, m.source, m.message_id)
            for m in STORED_MESSAGES.decode(stored["messages"])
        ]
        events = sorted(STORED_PAYLOADS.decode(stored["payloads"]).values(), key=lambda event: event.seq)
        payloads[session.comp_id, session.session] = tuple(events)
    messages.sort(key=lambda m: (m.ts, m.comp_id, m.session, m.seq))
    return OneCall(_call(rows[0]), tuple(found), tuple(messages), _log(reading, guid), payloads)


def _log(reading: Reading, guid: str) -> tuple[LogLine, ...]:
    """Rule F11."""
    rows = reading.rows(
        "SELECT comp_id, session, seq, ts, log_id, level, text FROM session_events WHERE guid = ? ORDER BY ts, comp_id, session, seq",
        [guid],
    )
    return tuple(LogLine(**row) for row in rows)


@dataclass(frozen=True, slots=True)
class Names:
    """Names of tenants, IVR profiles and components by DBID; calls tell none of components."""

    tenants: dict[int, str] = field(default_factory=dict)
    apps: dict[int, str] = field(default_factory=dict)
    components: dict[int, str] = field(default_factory=dict)

    def of(self, dimension: str) -> dict[int, str]:
        """The names of a dimension's values; empty if they have none."""
        return {"tenant": self.tenants, "tenant-own": self.tenants, "app": self.apps, "component": self.components}.get(dimension, {})


RECENT_CALLS = 5000


def names(reading: Reading) -> Names:
    """From the latest calls. A name path as long as the tenant path names the ancestors, too."""
    found = Names()
    part, arguments = reading.dialect.part(RECENT_CALLS, 0)
    rows = reading.rows(f"SELECT tenant_path, tenant_name, app_id, app_name FROM calls ORDER BY start_ts DESC, guid {part}", arguments)  # noqa: S608
    for row in rows:
        if row["app_name"] is not None and row["app_id"] is not None:
            found.apps.setdefault(row["app_id"], row["app_name"])
        if row["tenant_name"] is None or row["tenant_path"] is None:
            continue
        path, parts = _numbers(row["tenant_path"]), row["tenant_name"].split("/")
        found.tenants.setdefault(path[-1], row["tenant_name"])
        if len(parts) == len(path):
            for depth, tenant in enumerate(path[:-1], 1):
                found.tenants.setdefault(tenant, "/".join(parts[:depth]))
    return found
