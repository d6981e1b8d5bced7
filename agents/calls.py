"""The calls agent: rs.billing folded into the tables `activity` and `calls`.

    rs.billing --chunks--> CallsFold --cut--> rs.activity, rs.events, rs.quarantine | activity changelog | calls changelog | commit

The order of the tables below is the order in which they become durable, and it is what makes a crash harmless: a call
that has an event must never be durable before the activity rows that count it (docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic, time
from typing import Any, cast

import msgspec
from faust.types import TP
from prometheus_client import Counter

from agents.bins import base_of
from agents.calls_fold import ActivityRow, CallsFold, Record, Refused
from agents.keys import activity_key, split_activity, tick_key
from agents.state import Activity, Call, Tick
from agents.stream_time import StreamTime
from pipeline import quarantine, topics
from pipeline.app import ReportingApp
from pipeline.messages import headers
from pipeline.runtime import Checkpoint, Cut, Outgoing, Start, StateTable, codec
from pipeline.settings import Settings

TICK_S = 1.0  # a partition speaks at least this often: freshness on the pages is no older
UNSEEN_MS = 1_000  # a record may be in the log this long before a fetch shows it: freshness must not promise more

ROWS_DECODED = 4_000  # a partition: the rows of the bins that are open
CALLS_DECODED = 2_000  # a partition; a call of twelve events takes some 10 KB decoded, a fifth of that encoded

encode = msgspec.msgpack.Encoder().encode

EVENTS = Counter("rs_billing_events", "Records of rs.billing by what they did", ["outcome"])


def install(app: ReportingApp, settings: Settings) -> Checkpoint:
    """Declare topic, tables, checkpoint and agent on `app`."""
    n = settings.kafka.partitions
    billing = app.topic(topics.BILLING, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=n)
    activity: StateTable[ActivityRow, Activity] = app.Table(
        "activity", value=Activity, partitions=n, cache=ROWS_DECODED, pack_key=_pack_activity, unpack_key=_unpack_activity
    )
    calls: StateTable[bytes, Call] = app.Table("calls", value=Call, partitions=n, cache=CALLS_DECODED)
    checkpoint = app.checkpoint(
        billing, order=[activity, calls], interval=settings.checkpoint.interval, max_events=settings.checkpoint.max_events, beat=TICK_S
    )
    folds: dict[int, CallsFold] = {}
    ticks = Ticks(checkpoint, folds, n)

    @checkpoint.on_assigned
    def begin(starts: Mapping[TP, Start]) -> None:
        folds.clear()
        for tp, start in starts.items():
            clock = StreamTime.unpack(start.metadata, round(settings.fold.lateness * 1000))
            folds[tp.partition] = CallsFold(calls.state(tp.partition), activity.state(tp.partition), clock)

    @checkpoint.metadata
    def stream_time(tp: TP) -> str:
        return folds[tp.partition].time.pack()

    @checkpoint.outbox
    def outbox(cut: Cut) -> Iterator[Outgoing]:
        for row in cut.rows(activity):
            dimension, _, _ = split_activity(row.packed)
            yield Outgoing(topics.ACTIVITY, topics.partition_of(dimension, n), row.packed, row.value)
        for tp in cut.positions:
            yield from _leave(folds[tp.partition], tp.partition, n)
        yield from ticks.due(cut)

    @app.agent(billing)  # type: ignore[untyped-decorator]  # Faust ships no types
    async def fold_calls(stream: Any) -> None:
        async for chunk in checkpoint.chunks(stream):
            fold = folds[chunk.tp.partition]
            fold.fold(cast("list[Record]", chunk.records))  # the bridge gives every record key and value
            for outcome, count in fold.counts.items():
                EVENTS.labels(outcome).inc(count)
            fold.counts.clear()

    app.check_assigned(checkpoint)
    return checkpoint


class Ticks:
    """Each source partition's word about itself, to every partition of rs.activity (`agents.state.Tick`)."""

    def __init__(self, checkpoint: Checkpoint, folds: dict[int, CallsFold], partitions: int) -> None:
        self.checkpoint, self.folds, self.partitions = checkpoint, folds, partitions
        self._said: dict[int, tuple[float, int]] = {}  # partition -> when, clock
        self._moved: dict[int, tuple[int, float]] = {}  # partition -> position, since when it stands there

    def due(self, cut: Cut) -> Iterator[Outgoing]:
        now = monotonic()
        for tp, position in cut.positions.items():
            tick = self._tick(tp, position, now)
            when, clock = self._said.get(tp.partition, (-TICK_S, 0))
            if now - when < TICK_S and base_of(clock) == base_of(tick.clock):
                continue
            self._said[tp.partition] = now, tick.clock
            value = codec.join(position, encode(tick))
            for target in range(self.partitions):
                yield Outgoing(topics.ACTIVITY, target, tick_key(tp.partition), value)

    def _tick(self, tp: TP, position: int, now: float) -> Tick:
        stream = self.folds[tp.partition].time
        stood, since = self._moved.get(tp.partition, (-1, now))
        if stood != position:
            stood, since = self._moved[tp.partition] = position, now
        clock = stream.now + round((now - since) * 1000) if stream.now else 0
        # An empty backlog counts as now (rule X10).
        folded_to = round(time() * 1000) - UNSEEN_MS if self.checkpoint.caught_up(tp) else stream.receipt
        return Tick(stream.now, clock, folded_to)


def _leave(fold: CallsFold, partition: int, partitions: int) -> Iterator[Outgoing]:
    """What a fold leaves for other topics than rs.activity."""
    for left in fold.drain():
        if isinstance(left, Refused):
            yield _quarantined(left, partition, partitions)
        else:
            where = (("partition", b"%d" % partition), ("offset", b"%d" % left.offset))
            yield Outgoing(topics.EVENTS, topics.partition_of(left.key, partitions), left.key, left.value, where)


def _quarantined(refused: Refused, partition: int, partitions: int) -> Outgoing:
    record = refused.record
    key, value, said = quarantine.record(
        key=record.key,
        value=record.value,
        reason=refused.reason,
        detail=refused.detail,
        stage=quarantine.AGENTS,
        source=topics.BILLING,
        message_id=dict(record.headers)[headers.ID].decode(),
        element=None,
        jms_type="",
        receipt=record.timestamp,
        partition=partition,
        offset=record.offset,
    )
    return Outgoing(topics.QUARANTINE, topics.partition_of(record.key, partitions), key, value, said)


def _pack_activity(key: ActivityRow, partition: int) -> bytes:
    return activity_key(*key, partition)


def _unpack_activity(packed: bytes) -> ActivityRow:
    dimension, start, _ = split_activity(packed)
    return dimension, start
