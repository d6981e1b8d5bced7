"""From a record to rows: what a call, a bin, a tick or an event of the log becomes in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from agents.call import CallSummary, records_of, summary
from agents.figures import EDGES, observe, squares_of
from agents.keys import Dimension, is_tick, split_bin
from agents.session import SessionRecord
from agents.state import Bin, Call, Session, Spread, TenantsRow, Tick
from pipeline import topics
from pipeline.generation import plain
from pipeline.messages.types import BillingEvent, CallEvent, CallResult, Failure, LogEvent
from sinks.sql.buffer import MARK_BYTES, Entry, Record, number
from sinks.sql.errors import Poison
from sinks.sql.rows import (
    ACTIONS,
    BINS,
    CALLS,
    CUSTOM_VARIABLES,
    FAILURES,
    FRESHNESS,
    LATENCIES,
    SESSION_EVENTS,
    SESSIONS,
    Row,
    Table,
)

_call = msgspec.msgpack.Decoder(Call).decode
_tenants_row: Callable[[memoryview], TenantsRow] = msgspec.msgpack.Decoder(TenantsRow).decode
_log_event = msgspec.json.Decoder(LogEvent).decode
_encode = msgspec.json.Encoder(order="sorted").encode  # sorted: the same figures give the same text, whatever their history


Events = Sequence[BillingEvent]  # of a session, in the order of seq


class Bound(NamedTuple):
    """A record and the rows it becomes; they are stored together or not at all."""

    entry: Entry
    rows: tuple[tuple[Table, Row], ...]


class Unstorable(NamedTuple):
    """A record that is put aside, and why."""

    entry: Entry
    fault: Poison


def bind(entry: Entry, generation: int) -> Bound | Unstorable:
    """The rows of a record in the given generation, or the reason why it has none."""
    if entry.fault is not None:
        return Unstorable(entry, entry.fault)
    try:
        rows = _BINDERS[plain(entry.topic)](entry, generation)
        for table, row in rows:
            table.check(row)
    except Poison as fault:
        return Unstorable(entry, fault)
    except (msgspec.DecodeError, ValueError) as exc:
        # Where, but not what: messages of decoders can quote the value.
        where = str(exc).rpartition(" - at ")[2] if isinstance(exc, msgspec.ValidationError) else ""
        return Unstorable(entry, Poison("not_decodable", f"{type(exc).__name__} {where}".rstrip()))
    return Bound(entry, rows)


def _call_rows(entry: Entry, generation: int) -> tuple[tuple[Table, Row], ...]:
    guid = _key(entry.record).decode("ascii")
    call = _call(_payload(entry.record))
    if not call.sessions:
        raise Poison("bad_value", "a call without sessions")
    records = records_of(call)
    guard = (generation, entry.mark)
    rows = [(CALLS, _call_row(entry.partition, guid, summary(records), guard))]
    for session, record in zip(call.sessions, records, strict=True):
        key = (entry.partition, guid, record.comp_id, record.session)
        events = _events(session, guid)
        rows.append((SESSIONS, _session_row(key, session, record, events, guard)))
        rows += _var_rows(key, record, guard)
        rows += _quality_rows(key, events, record, guard)
    return tuple(rows)


def _call_row(partition: int, guid: str, call: CallSummary, guard: tuple[int, int]) -> Row:
    return (
        partition,
        guid,
        call.start_ts,
        call.end_ts,
        int(call.in_progress),
        *_party(call),
        call.end_state,
        call.result,
        call.sessions,
        *guard,
    )


def _session_row(key: Row, session: Session, record: SessionRecord, events: Events, guard: tuple[int, int]) -> Row:
    return (
        *key,
        record.comp,
        record.start_ts,
        record.end_ts,
        int(record.ended),
        int(record.clock_skew),
        *_party(record),
        record.origin,
        _json_or_none(record.usage),
        _json_or_none(record.burst),
        record.end_state,
        record.reason,
        record.sip_status,
        record.mos,
        record.jitter_ms,
        record.loss_pct,
        record.codec,
        record.result,
        *_words_of_result(events),
        record.actions.dropped_starts,
        record.actions.dropped_ends,
        record.dropped_variables,
        session.duplicates,
        session.conflicts,
        _messages(session),
        _payloads(events),
        *guard,
    )


def _events(session: Session, guid: str) -> Events:
    """Everything that was said but for call.events."""
    events = list(session.payloads.values())
    for event in events:
        event.guid = guid
    return events


def _words_of_result(events: Events) -> tuple[str | None, str | None]:
    """Reason and notes of the call result that counts: the one with the highest `seq`, as a whole (rule V6)."""
    last = next((event for event in reversed(events) if isinstance(event, CallResult)), None)
    return (last.reason, last.notes) if last is not None else (None, None)


def _var_rows(key: Row, record: SessionRecord, guard: tuple[int, int]) -> Iterator[tuple[Table, Row]]:
    for run in record.actions.runs:
        yield (
            ACTIONS,
            (*key, run.seq, run.action, run.parent, run.start_ts, run.end_ts, run.result, run.reason, run.notes, *guard),
        )
    for place, (name, value) in enumerate(record.variables.items()):
        yield CUSTOM_VARIABLES, (*key, place, name, value, *guard)


def _quality_rows(key: Row, events: Events, record: SessionRecord, guard: tuple[int, int]) -> Iterator[tuple[Table, Row]]:
    if record.failures:
        whose = (record.comp, *_party(record)[:5])  # tenant, app
        for event in events:
            if isinstance(event, Failure):
                yield FAILURES, (*key, event.seq, event.ts, event.cause, event.detail, *whose, *guard)
    if record.latencies:
        spreads: dict[str, Spread] = {}
        for category, kind, microseconds in record.latencies:
            observe(spreads, f"{category}|{kind}", (microseconds,), 1, EDGES["latencies"])
        for place, (label, spread) in enumerate(sorted(spreads.items())):
            category, _, kind = label.partition("|")
            yield LATENCIES, (*key, place, category, kind, *_latency(spread), *guard)


def _latency(spread: Spread) -> Row:
    buckets = {str(bucket): n for bucket, n in spread.buckets.items()}
    return spread.n, spread.total, str(squares_of(spread)), spread.low, spread.high, _json(buckets)


def _party(of: CallSummary | SessionRecord) -> Row:
    return (
        of.tenant_path[-1] if of.tenant_path else None,
        _json_or_none(of.tenant_path),
        of.tenant_name,
        of.app,
        of.app_name,
        of.dn,
        of.call_type,
        of.remote_uri,
        of.local_uri,
    )


def _messages(session: Session) -> str:
    """Every distinct event of the session in `seq` order, and where it came from."""
    return _json(
        [
            {
                "seq": seq,
                "kind": message.kind,
                "ts": message.ts,
                "receipt": message.receipt,
                "offset": message.offset,
                "source": message.source,
                "message_id": message.message_id,
            }
            for seq, message in session.messages.items()
        ]
    )


def _payloads(events: Events) -> str:
    """The VAR and service quality events."""
    return _json({str(event.seq): event for event in events if not isinstance(event, CallEvent)})


def _tenants_rows(entry: Entry, generation: int) -> tuple[tuple[Table, Row], ...]:
    key = _key(entry.record)
    value = _tenants_row(_payload(entry.record))
    guard = (generation, entry.mark)
    if is_tick(key) and isinstance(value, Tick):
        return ((FRESHNESS, (entry.partition, int(key.removeprefix(b"@/")), value.stream, value.clock, value.folded_to, *guard)),)
    if not is_tick(key) and isinstance(value, Bin):
        return ((BINS, _bin_row(entry.partition, key, value, guard)),)
    raise Poison("bad_value", "key and value are of different kinds")


def _bin_row(partition: int, key: bytes, value: Bin, guard: tuple[int, int]) -> Row:
    packed, granularity, start = split_bin(key)
    dimension = Dimension.unpack(packed)
    figures = value.figures
    spreads = figures.durations.values()
    return (
        partition,
        dimension.comp,
        dimension.kind,
        dimension.value,
        granularity,
        start,
        sum(figures.arrivals.values()),
        sum(figures.completed.values()),
        sum(value.in_progress.values()),
        sum(spread.n for spread in spreads),
        sum(spread.total for spread in spreads),
        str(sum(map(squares_of, spreads))),
        min((spread.low for spread in spreads if spread.low is not None), default=None),
        max((spread.high for spread in spreads if spread.high is not None), default=None),
        _json(figures.arrivals),
        _json(figures.completed),
        _json(value.in_progress),
        _json(_spreads(figures.durations)),
        value.peak,
        value.peak_at,
        _json(value.peak_by),
        _json(figures.burst),
        _json(figures.results),
        _json(figures.actions),
        _json(figures.last_actions),
        figures.quality.get("calls", 0),
        figures.quality.get("failed", 0),
        _json(figures.failures),
        _json(_spreads(figures.latencies)),
        *guard,
    )


def _spreads(spreads: Mapping[str, Spread]) -> dict[str, object]:
    return {label: _spread(spread) for label, spread in spreads.items()}


def _spread(spread: Spread) -> dict[str, object]:
    return {
        "n": spread.n,
        "sum": spread.total,
        "squares": str(squares_of(spread)),  # up to 38 digits: more than readers of JSON keep of a number
        "min": spread.low,
        "max": spread.high,
        "buckets": {str(bucket): n for bucket, n in spread.buckets.items()},
    }


def _event_rows(entry: Entry, generation: int) -> tuple[tuple[Table, Row], ...]:
    event = _log_event(entry.record.value or b"")
    partition = number(entry.record, "partition")
    row = (
        partition,
        event.guid,
        event.comp_id,
        event.session,
        event.seq,
        event.ts,
        event.log_id,
        str(event.level),
        event.text,
        generation,
        entry.mark,
    )
    return ((SESSION_EVENTS, row),)


def _key(record: Record) -> bytes:
    assert record.key is not None, "the buffer lets no changelog record without a key pass"
    return record.key


def _payload(record: Record) -> memoryview:
    assert record.value is not None, "the buffer ignores tombstones"
    return memoryview(record.value)[MARK_BYTES:]


def _json(value: object) -> str:
    return _encode(value).decode()


def _json_or_none(value: object | None) -> str | None:
    return None if value is None else _json(value)


_BINDERS: Mapping[str, Callable[[Entry, int], tuple[tuple[Table, Row], ...]]] = {
    topics.CALLS_CHANGELOG: _call_rows,
    topics.TENANTS_CHANGELOG: _tenants_rows,
    topics.EVENTS: _event_rows,
}
