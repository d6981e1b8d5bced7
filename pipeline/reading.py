"""Reading a topic from outside: without a group, from any offset to what is the end now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.asked import to_end

FETCH_MS = 1_000
SILENCE = 10  # fetches in a row without a record before Kafka is taken for stuck

Progress = Callable[[int, int], None]  # records read, records to read


class StuckError(Exception):
    """Kafka stopped answering in the middle of a topic. One line."""


async def partitions_of(bootstrap: str, topics: Iterable[str]) -> dict[str, list[int]]:
    """The partitions of each topic that exists. Raises aiokafka's KafkaError when Kafka can't be reached."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        present = set(topics) & set(await admin.list_topics())
        described = await admin.describe_topics(sorted(present)) if present else []
    finally:
        await admin.close()
    return {topic["topic"]: sorted(partition["partition"] for partition in topic["partitions"]) for topic in described}


async def records(
    bootstrap: str,
    topic: str,
    partitions: Iterable[int],
    *,
    last: int | None = None,
    begin: Mapping[int, int] | None = None,
    progress: Progress | None = None,
) -> AsyncIterator[ConsumerRecord]:
    """Every record, or the `last` of each partition, or those from `begin` (partition -> offset) on, up to what is the end when
    reading begins.

    Raises StuckError, and aiokafka's KafkaError when Kafka can't be reached.
    """
    assigned = [TopicPartition(topic, n) for n in partitions]
    async with consuming(bootstrap) as consumer:
        first, end = await consumer.beginning_offsets(assigned), await consumer.end_offsets(assigned)
        if last is not None:
            first = {tp: max(offset, end[tp] - last) for tp, offset in first.items()}
        if begin is not None:
            first = {tp: max(offset, min(begin.get(tp.partition, 0), end[tp])) for tp, offset in first.items()}
        unread = {tp for tp in assigned if end[tp] > first[tp]}
        total = sum(end[tp] - first[tp] for tp in unread)
        consumer.assign(list(unread))
        for tp in unread:
            consumer.seek(tp, first[tp])
        silent = 0
        while unread:
            fetched = await consumer.getmany(timeout_ms=FETCH_MS)
            silent = 0 if fetched else silent + 1
            for tp, batch in fetched.items():
                for record in batch:
                    if record.offset < end[tp]:
                        yield record
            left = {tp: end[tp] - await consumer.position(tp) for tp in unread}
            for tp in [tp for tp in unread if left[tp] <= 0]:
                consumer.pause(tp)
                unread.discard(tp)
            if progress is not None:
                progress(total - sum(max(n, 0) for n in left.values()), total)
            if unread and silent == SILENCE:
                raise StuckError(f"Kafka has sent nothing of {topic} for {SILENCE} s: look at its log, or try again")


@asynccontextmanager
async def consuming(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without group. Raises aiokafka's KafkaError when Kafka can't be reached."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=5000)
    try:
        await consumer.start()
        await asyncio.sleep(0)  # a consumer without group that is stopped before its task ran raises CancelledError
        yield consumer
    finally:
        try:
            await consumer.stop()
        except asyncio.CancelledError:  # also of its own fetching task, when the broker is away
            if to_end():
                raise
