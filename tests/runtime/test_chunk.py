"""Chunks from what aiokafka fetched, without a broker."""

from __future__ import annotations

import gc
import weakref

from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from pipeline.runtime.chunk import take

TP = TopicPartition("t", 0)


def fetched(batches: int, records: int) -> FetchResult:
    """What a fetch of `batches` batches of `records` records each leaves."""
    data = b""
    for number in range(batches):
        builder = DefaultRecordBatchBuilder(2, 0, 0, 0, 0, 0, 1 << 20)
        for offset in range(records):
            builder.append(offset, 1_000, b"key", b"value %d" % (number * records + offset), [])
        batch = bytearray(builder.build())
        batch[:8] = (number * records).to_bytes(8, "big")  # the base offset, which the broker sets; the checksum begins behind it
        data += bytes(batch)
    subscriptions = SubscriptionState()
    subscriptions.assign_from_user([TP])
    assignment = subscriptions.subscription.assignment
    assignment.state_value(TP).reset_to(0)
    part = PartitionRecords(TP, MemoryRecords(data), [], 0, None, None, True, READ_UNCOMMITTED)
    return FetchResult(TP, assignment=assignment, partition_records=part, backoff=0)


async def test_a_chunk_ends_with_the_batch_that_reaches_the_limit() -> None:
    result = fetched(3, 10)
    first = take(result, 15, 7)
    assert first is not None
    assert (first.start, first.end, first.generation) == (0, 20, 7)
    assert [record.value for record in first.records] == [b"value %d" % n for n in range(20)]
    assert result.has_more()
    second = take(result, 15, 7)
    assert second is not None
    assert (second.start, second.end, [record.offset for record in second.records]) == (20, 30, list(range(20, 30)))
    assert not result.has_more()


async def test_what_was_fetched_goes_when_it_is_taken() -> None:
    """A worker collects garbage rarely: a cycle would keep the bytes of every fetch."""
    result = fetched(2, 10)
    part = weakref.ref(result._partition_records)
    gc.disable()
    try:
        assert take(result, 10, 1) is not None
        assert part() is not None
        assert take(result, 10, 1) is not None
        assert part() is None
    finally:
        gc.enable()
