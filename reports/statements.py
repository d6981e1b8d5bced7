"""A billing statement as JSON, as rows for CSV, and in words."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from reports.billing.ledger import COUNTED, NO_PROFILE, TOTAL, Figures
from reports.billing.sessions import ROUNDING_SAID, Billed, minutes
from reports.formats import instant
from reports.queries.statements import Adjustment, Behind, Closing, Statement, StatementLine

Json = dict[str, object]


def label(line: str, shown: str | None) -> str:
    """A line's name for people."""
    return {TOTAL: "Total", NO_PROFILE: "Without profile"}.get(line) or shown or line


def figures(of: Figures, zone: ZoneInfo) -> Json:
    counts = {name.replace("_", "-"): getattr(of, name) for name in COUNTED}
    return counts | {"peak-time": instant(of.peak_at, zone)}


def _line(of: StatementLine, zone: ZoneInfo) -> Json:
    app = {} if of.name == TOTAL else {"app-id": int(of.name) if of.name.isdecimal() else None, "app-name": of.shown}
    return {"profile": of.name, **app, "figures": figures(of.figures, zone), "adjusted": figures(of.adjusted, zone)}


def _adjustment(of: Adjustment, zone: ZoneInfo) -> Json:
    return {
        "number": of.number, "date": instant(of.receipt, zone), "noted": instant(of.noted_at, zone), "profile": of.line, "guid": of.guid,
        "comp-id": of.comp_id, "session": of.session,
        "differences": {name.replace("_", "-"): n for name, n in of.figures.items()}, "peak-time": instant(of.peak_at, zone),
    }  # fmt: skip


def closing(of: Closing, zone: ZoneInfo) -> Json:
    return {
        "at": instant(of.closed_at, zone), "by": of.closed_by, "reason": of.reason, "figures-up-to": instant(of.folded_to, zone),
        "rounding": of.rounding, "zone": of.zone, "topic": of.topic, "log": of.log_id,
    }  # fmt: skip


def as_json(of: Statement, zone: ZoneInfo) -> Json:
    return {
        "tenant-id": of.tenant,
        "tenant-name": of.tenant_name,
        "month": of.month.name,
        "from": instant(of.month.start, zone),
        "to": instant(of.month.end, zone),
        "state": of.state,
        "rounding": {"rule": of.rounding, "said": ROUNDING_SAID[of.rounding]},
        "figures-up-to": instant(of.folded_to, zone),
        "stored-since": instant(of.since, zone),
        "closed": None if of.closing is None else closing(of.closing, zone),
        "lines": [_line(line, zone) for line in of.lines[:-1]],
        "total": _line(of.total, zone),
        "adjustments": [_adjustment(one, zone) for one in of.adjustments],
    }


def as_rows(of: Statement, zone: ZoneInfo) -> Iterator[Json]:
    """`row`: line (as closed, or as it is), adjustment, adjusted (a line with its adjustments)."""
    common: Json = {"tenant-id": of.tenant, "tenant-name": of.tenant_name, "month": of.month.name, "state": of.state}
    shown = {line.name: line.shown for line in of.lines}
    for line in of.lines:
        yield {**common, "row": "line", "profile": line.name, "profile-name": line.shown, **figures(line.figures, zone)}
    for one in of.adjustments:
        differences = {name.replace("_", "-"): n for name, n in one.figures.items()} | {"peak-time": instant(one.peak_at, zone)}
        told: Json = {"date": instant(one.receipt, zone), "guid": one.guid, "comp-id": one.comp_id, "session": one.session}
        yield {**common, "row": "adjustment", "profile": one.line, "profile-name": shown.get(one.line), **told, **differences}
    if of.adjustments:
        for line in of.lines:
            yield {**common, "row": "adjusted", "profile": line.name, "profile-name": line.shown, **figures(line.adjusted, zone)}


def behind(one: Behind, of: Statement, zone: ZoneInfo, log_id: str | None, topic: str | None) -> Json:
    """A session behind a figure, with where its messages came from."""
    session: Billed = one.session
    return {
        "guid": session.guid, "comp-id": session.comp_id, "session": session.session, "start": instant(session.start_ts, zone),
        "end": instant(session.end_ts, zone), "duration-ms": session.duration_ms, "minutes": minutes(session, of.rounding),
        "tenant-path": list(session.path), "app-id": session.app_id, "app-name": one.app_name, "dn": one.dn,
        "end-state": session.end_state, "burst": session.level(of.tenant), "log": log_id, "topic": topic, "partition": one.partition,
        "messages": [
            {
                "queue": message.source, "message-id": message.message_id, "offset": message.offset, "seq": message.seq,
                "kind": message.kind, "ts": instant(message.ts, zone), "receipt": instant(message.receipt, zone),
            }
            for message in one.positions
        ],
    }  # fmt: skip
