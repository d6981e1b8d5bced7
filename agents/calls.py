"""The calls agent: rs.billing folded into the tables `activity` and `calls`.

    rs.billing --chunks--> CallsFold --cut--> rs.activity, rs.events, rs.quarantine, rs.billing (time-outs)
                                              | activity changelog | calls changelog | commit

The order of the tables below is the order in which they become durable, and it is what makes a crash harmless: a call
that has an event must never be durable before the activity rows that count it (docs/adr/0002).
"""

from __future__ import annotations

from collections import Counter as TallyCounter
from collections.abc import Iterator, Mapping
from time import monotonic, time
from typing import Any, cast

import msgspec
from faust.types import TP
from prometheus_client import Counter, Gauge

from agents.bins import base_of
from agents.bridge_watch import BridgeWatch
from agents.calls_fold import TIMEOUT, ActivityRow, CallsFold, Closing, Record, Refused
from agents.idle import Idle, Silence
from agents.keys import activity_key, split_activity, tick_key
from agents.lifetime import Stay
from agents.state import Activity, Call, CallHead, Tick
from agents.stream_time import StreamTime
from agents.terms import terms_of
from pipeline import quarantine, topics
from pipeline.app import ReportingApp
from pipeline.generation import FIRST, Generation
from pipeline.messages import headers
from pipeline.runtime import Checkpoint, Cut, Outgoing, Start, State, StateTable, codec
from pipeline.settings import Settings

TICK_S = 1.0  # a partition speaks at least this often: freshness on the pages is no older
UNSEEN_MS = 1_000  # a record may be in the log this long before a fetch shows it: freshness must not promise more

ROWS_DECODED = 4_000  # a partition: the rows of the bins that are open
CALLS_DECODED = 2_000  # a partition; a call of twelve events takes some 3 KB decoded, 1.1 KB encoded

encode = msgspec.msgpack.Encoder().encode
encode_json = msgspec.json.Encoder().encode
head_of = msgspec.msgpack.Decoder(CallHead).decode

EVENTS = Counter("rs_billing_events", "Records of rs.billing by what they did", ["outcome"])
MISSING = Gauge("rs_missing_events", "Events that ended sessions of the calls in the table lack by their numbers")
QUARANTINED = Counter("rs_agents_quarantined", "Records of rs.billing set aside", ["reason"])


def install(app: ReportingApp, settings: Settings, generation: Generation = FIRST) -> Checkpoint:
    """Declare topic, tables, checkpoint and agent on `app`."""
    n = generation.partition_count(settings.kafka.partitions)
    billing = app.topic(generation.billing, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=n)
    activity: StateTable[ActivityRow, Activity] = app.Table(
        "activity", value=Activity, partitions=n, cache=ROWS_DECODED, pack_key=_pack_activity, unpack_key=_unpack_activity
    )
    calls: StateTable[bytes, Call] = app.Table("calls", value=Call, partitions=n, cache=CALLS_DECODED)
    checkpoint = app.checkpoint(
        billing, order=[activity, calls], interval=settings.checkpoint.interval, max_events=settings.checkpoint.max_events, beat=TICK_S
    )
    folds: dict[int, TableFold] = {}
    idle, silences = Idle(), dict[int, Silence]()
    bridge = BridgeWatch(settings.health.bridge_host or settings.health.host, settings.health.bridge_port)
    ticks = Ticks(generation, n)
    terms = terms_of(settings)
    told: TallyCounter[str] = TallyCounter()
    app.task(bridge.run)
    MISSING.set_function(lambda: sum(fold.roster.missing for fold in folds.values()))
    app.facts["records of rs.billing since the start"] = lambda: told
    app.facts["calls in the table"] = lambda: {"missing events": sum(fold.roster.missing for fold in folds.values())}

    @checkpoint.on_assigned
    def begin(starts: Mapping[TP, Start]) -> None:
        folds.clear()
        idle.clear()
        for tp, start in starts.items():
            clock = StreamTime.unpack(start.metadata, terms.lateness)
            history_to = generation.history_to(tp.partition)
            fold = TableFold(calls.state(tp.partition), activity.state(tp.partition), clock, terms, history_to)
            fold.recovered()
            folds[tp.partition] = fold

    @checkpoint.before_cut
    def settle(cut: Cut) -> None:
        now = monotonic()
        for tp, position in cut.positions.items():
            fold = folds[tp.partition]
            listening = bridge.works and checkpoint.caught_up(tp)
            silences[tp.partition] = silence = idle.silence(tp.partition, fold.posted, now, listening=listening)
            fold.settle(position, silence.heard)

    @checkpoint.metadata
    def stream_time(tp: TP) -> str:
        return folds[tp.partition].time.pack()

    @checkpoint.outbox
    def outbox(cut: Cut) -> Iterator[Outgoing]:
        for row in cut.rows(activity):
            if row.value is None:
                continue  # it lies below the floor: the tenants agent drops its part by the tick
            dimension, _, _ = split_activity(row.packed)
            yield Outgoing(generation.activity, topics.partition_of(dimension, n), row.packed, row.value)
        for tp, position in cut.positions.items():
            fold = folds[tp.partition]
            yield from _leave(fold, tp, generation, n)
            yield from ticks.due(tp.partition, position, tick_of(fold, silences[tp.partition], caught_up=checkpoint.caught_up(tp)))

    @app.agent(billing)  # type: ignore[untyped-decorator]  # Faust ships no types
    async def fold_calls(stream: Any) -> None:
        async for chunk in checkpoint.chunks(stream):
            fold = folds[chunk.tp.partition]
            fold.fold(cast("list[Record]", chunk.records))  # the bridge gives every record key and value
            for outcome, count in fold.counts.items():
                EVENTS.labels(outcome).inc(count)
            told.update(fold.counts)
            fold.counts.clear()

    app.check_assigned(checkpoint)
    return checkpoint


def tick_of(fold: CallsFold, silence: Silence, *, caught_up: bool) -> Tick:
    stream = fold.time
    clock = stream.now + silence.at_all if stream.now else 0
    # An empty backlog counts as now (rule X10).
    folded_to = round(time() * 1000) - UNSEEN_MS if caught_up else stream.receipt
    return Tick(stream.now, clock, folded_to, floor=stream.floor)


class TableFold(CallsFold):
    """A fold over tables of the runtime."""

    calls: State[bytes, Call]
    activity: State[ActivityRow, Activity]

    def recovered(self) -> None:
        """Begin with what recovery read. Of a call only the head is decoded."""
        stays = ((key, stay) for key in self.calls.keys_packed() if (stay := self.stay_of(key)) is not None)
        counted_to = max((codec.split(value)[0] for value in self.activity.raw.values()), default=0)
        self.resume(stays, (_unpack_activity(packed) for packed in self.activity.keys_packed()), counted_to)

    def stay_of(self, key: bytes) -> Stay | None:
        decoded = self.calls.get(key)
        if decoded is not None:
            return decoded
        found = self.calls.raw_of(key)
        return head_of(found[1]) if found is not None else None


class Ticks:
    """Each source partition's word about itself, to every partition of rs.activity (`agents.state.Tick`)."""

    def __init__(self, generation: Generation, partitions: int) -> None:
        self.topic, self.partitions = generation.activity, partitions
        self._said: dict[int, tuple[float, int]] = {}  # partition -> when, clock

    def due(self, partition: int, position: int, tick: Tick) -> Iterator[Outgoing]:
        """The tick, to all, if it is time for one."""
        now = monotonic()
        when, clock = self._said.get(partition, (-TICK_S, 0))
        if now - when < TICK_S and base_of(clock) == base_of(tick.clock):
            return
        self._said[partition] = now, tick.clock
        value = codec.join(position, encode(tick))
        for target in range(self.partitions):
            yield Outgoing(self.topic, target, tick_key(partition), value)


def _leave(fold: CallsFold, tp: TP, generation: Generation, partitions: int) -> Iterator[Outgoing]:
    """What a fold leaves for other topics than rs.activity."""
    for left in fold.drain():
        if isinstance(left, Refused):
            QUARANTINED.labels(left.reason).inc()
            yield _quarantined(left, tp, partitions)
        elif isinstance(left, Closing):
            yield _closing(left, tp)
        else:
            where = (("partition", b"%d" % tp.partition), ("offset", b"%d" % left.offset))
            yield Outgoing(generation.events, topics.partition_of(left.key, partitions), left.key, left.value, where)


def _closing(closing: Closing, tp: TP) -> Outgoing:
    """A record of the server's own: it lies in the log, so that a replay closes the session at the same place."""
    name = f"{closing.guid}/{closing.comp_id}/{closing.session}/{closing.ts}"
    said = ((headers.ID, name.encode()), (headers.SOURCE, topics.AGENTS_APP.encode()), (headers.TYPE, TIMEOUT.encode()))
    return Outgoing(tp.topic, tp.partition, closing.guid.encode(), encode_json(closing), said)


def _quarantined(refused: Refused, tp: TP, partitions: int) -> Outgoing:
    record = refused.record
    key, value, said = quarantine.record(
        key=record.key,
        value=record.value,
        reason=refused.reason,
        detail=refused.detail,
        stage=quarantine.AGENTS,
        source=tp.topic,
        message_id=dict(record.headers)[headers.ID].decode(),
        element=None,
        jms_type="",
        receipt=record.timestamp,
        partition=tp.partition,
        offset=record.offset,
    )
    return Outgoing(topics.QUARANTINE, topics.partition_of(record.key, partitions), key, value, said)


def _pack_activity(key: ActivityRow, partition: int) -> bytes:
    return activity_key(*key, partition)


def _unpack_activity(packed: bytes) -> ActivityRow:
    dimension, start, _ = split_activity(packed)
    return dimension, start
