"""The Faust app of the sinks: `faust -A sinks worker --without-web`.

    calls changelog, tenants changelog, rs.events --chunks--> SQLStore --cut--> one transaction, its offsets in it | commit

The store is the only stage of the checkpoint, and its own offsets are the ones that count: a worker begins where the store
stands. Kafka's committed offsets come after and serve tools that show lag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from faust.types import TP

from pipeline import configserver, generations, logs, topics
from pipeline.app import make_app
from pipeline.runtime import Message, Start
from pipeline.settings import load
from sinks import metrics
from sinks.adjusting import Adjusting
from sinks.databases import dialect_of
from sinks.purging import Purging
from sinks.sql.binder import Unstorable
from sinks.sql.buffer import TopicPartition
from sinks.sql.errors import Fatal
from sinks.sql.pace import told
from sinks.sql.retention import Keep
from sinks.sql.task import SQLStore
from sinks.topic_id import topic_id

STAGE = "sinks"


def quarantine_message(record: Unstorable) -> Message:
    """The record as it was, with the reason and where it came from."""
    entry, fault = record
    headers = {
        "reason": fault.reason,
        "detail": fault.detail,
        "stage": STAGE,
        "source": entry.topic,
        "partition": str(entry.partition),
        "offset": str(entry.record.offset),
    }
    return Message(entry.record.key, entry.record.value, [(name, text.encode()) for name, text in headers.items()])


async def put_aside(records: Sequence[Unstorable]) -> None:
    by_partition: dict[int, list[Message]] = defaultdict(list)
    for record in records:
        by_partition[record.entry.partition].append(quarantine_message(record))
    for partition, messages in by_partition.items():
        await app.producer.send_all(topics.SINK_QUARANTINE, partition, messages)


class Log:
    """What the store asks about the topics it is filled from."""

    async def log_id(self) -> str:
        return await topic_id(settings.kafka.bootstrap, generation.billing)

    async def first_offsets(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        first: Mapping[TopicPartition, int] = await app.consumer.earliest_offsets(*partitions)
        return first

    async def overtaken(self, stored: int) -> str:
        """A swap that was interrupted between the store and the topic is completed here (docs/adr/0007)."""
        known = await generations.read(settings.kafka.bootstrap)
        found = known.all.get(stored)
        if found is not None and found.state == "swapping" and stored > known.current:
            await generations.make_current(settings.kafka.bootstrap, found)
        elif stored != known.current:
            raise Fatal(
                f"the store holds generation {stored}, and {topics.GENERATIONS} names {known.current}: bring back the store that belongs "
                "to this log, or make a new generation with rs rebuild"
            )
        return f"the store holds generation {stored}, which is current now: this worker stores nothing more, its next start works on that"


settings = load()
logs.setup(STAGE)
generation, known = generations.of_worker(settings)
live = dialect_of(settings)
store = SQLStore(live.shadow(generation.number) if generation.number > known.current else live, put_aside, Log(), generation.number)
app = make_app(generation.sinks_app, health_port=settings.health.sinks_port)
generations.stop_when_replaced(app, generation, settings)
partitions = generation.partition_count(settings.kafka.partitions)
source = app.topic(*generation.stored, key_type=bytes, value_type=bytes, value_serializer="raw", partitions=partitions)
checkpoint = app.checkpoint(source, [store], interval=settings.sinks.interval, max_events=settings.sinks.max_rows)
app.check_assigned(checkpoint)
app.checks["database"] = lambda: store.trouble
app.facts["store"] = lambda: told(sum(map(behind, assigned)), store.pace.per_second())
assigned: set[TP] = set()
first = TP(generation.stored[0], 0)  # whoever has it looks after retention


@app.agent(source)  # type: ignore[untyped-decorator]  # Faust ships no types
async def store_rows(stream: Any) -> None:
    async for chunk in checkpoint.chunks(stream):
        store.add(chunk.tp, chunk.records)


if (keep := Keep.of(settings)) is not None and generation.number <= known.current:
    purging = Purging(live, keep, lambda: first in assigned and not app.should_stop)

    @app.task  # type: ignore[untyped-decorator]
    async def purge_from_time_to_time() -> None:
        await purging.repeat(configserver.now, app.sleep, lambda: app.should_stop)


if generation.number <= known.current:
    adjusting = Adjusting(live, generation.billing, lambda: first in assigned and not app.should_stop)

    @app.task  # type: ignore[untyped-decorator]
    async def adjust_from_time_to_time() -> None:
        await adjusting.repeat(configserver.now, app.sleep, lambda: app.should_stop)


@checkpoint.on_assigned
def show_lag(starts: Mapping[TP, Start]) -> None:
    assigned.update(starts)
    for tp in starts:
        metrics.BEHIND.labels(*tp).set_function(partial(behind, tp))


@checkpoint.on_revoked
def hide_lag(tps: set[TP]) -> None:
    assigned.difference_update(tps)
    for tp in tps:
        metrics.BEHIND.remove(*tp)


def behind(tp: TP) -> int:
    """Offsets between the end of the partition at the last fetch and the store."""
    end = app.consumer.highwater_of(tp)
    return max(0, end - store.next_offset(tp)) if end is not None else 0
