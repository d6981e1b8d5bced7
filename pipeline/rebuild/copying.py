"""The log copied into one with another number of partitions, and followed for as long as somebody writes to the old one.

Key, value, headers and time of receipt stay. A record gets the partition of its key, and one header more, which says where it was copied
from. Records of one old partition come to one new partition in their order, so the order of a key stays; those of several old partitions
are merged by receipt, so that stream time goes on in the copy as it did in the log.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from pipeline import reading
from pipeline.topics import MAX_RECORD_BYTES, partition_of

COPIED = "rs_copied"  # header: old partition:offset
AT_ONCE = 2_000  # records of each old partition in memory
WAIT_MS = 200
BATCH_BYTES = 512 * 1024
REQUEST_BYTES = MAX_RECORD_BYTES + 64 * 1024

Came = dict[tuple[int, int], int]
"""(old partition, new partition) -> the last offset of the old one that has come to the new one."""


class Standing(NamedTuple):
    """Where to go on. `next`: old partition -> all below is copied; of what lies above, `came` says what is copied as well."""

    next: dict[int, int]
    came: Came


def came_from(headers: object) -> tuple[int, int] | None:
    """Old partition and offset of a record of a copy; None: it was written to it at first."""
    for name, value in headers:  # type: ignore[attr-defined]  # aiokafka has no type for them
        if name == COPIED:
            partition, _, offset = value.decode().partition(":")
            return int(partition), int(offset)
    return None


async def stands(bootstrap: str, new: str, history: Mapping[int, int], copied: Mapping[int, int]) -> Standing:
    """Where a copy that was broken off stands. `history`, `copied`: of its generation. Raises KafkaError and StuckError."""
    came: Came = {}
    async for record in reading.records(bootstrap, new, sorted(history), begin=history):
        if (source := came_from(record.headers)) is not None:
            came[source[0], record.partition] = source[1]
    return Standing(dict(copied), came)


class Copier:
    """`run` copies until it is cancelled; `reached` waits until it has copied so far.

    `next`: old partition -> all below is confirmed in the new log.
    """

    def __init__(self, bootstrap: str, old: str, new: str, partitions: int, begin: Standing) -> None:
        self.next = dict(begin.next)
        self._bootstrap, self._old, self._new, self._partitions = bootstrap, old, new, partitions
        self._came = begin.came
        self._goal: dict[int, int] = {}  # while a partition is below it, the others wait for its records
        self._moved = asyncio.Event()
        self._going = asyncio.Lock()  # held by who copies, or by who has it paused
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def pause(self) -> None:
        """Afterwards what lies in the new log is all below `next`, until `resume`."""
        await self._going.acquire()

    def resume(self) -> None:
        self._going.release()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def reached(self, ends: Mapping[int, int], timeout_s: float | None = None) -> bool:
        """Wait until all below `ends` (old partition -> offset) is in the new log. False: not within `timeout_s`. Raises what ended the
        copying: KafkaError."""
        assert self._task is not None
        self._goal = {partition: max(end, self._goal.get(partition, 0)) for partition, end in ends.items()}
        until = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        while any(self.next[partition] < end for partition, end in ends.items()):
            left = None if until is None else until - asyncio.get_running_loop().time()
            if left is not None and left <= 0:
                return False
            self._moved.clear()
            moved = asyncio.ensure_future(self._moved.wait())
            try:
                await asyncio.wait({self._task, moved}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                moved.cancel()
            if self._task.done():
                self._task.result()
        return True

    async def _run(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="rs-rebuild",
            acks="all",
            enable_idempotence=True,  # order, and no repetition, also when a request is sent again
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            linger_ms=2,
        )
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, client_id="rs-rebuild", enable_auto_commit=False)
        async with producer, consumer:
            tps = [TopicPartition(self._old, partition) for partition in self.next]
            consumer.assign(tps)
            for tp in tps:
                consumer.seek(tp, self.next[tp.partition])
            waiting: dict[int, deque[ConsumerRecord]] = {partition: deque() for partition in self.next}
            while True:
                hungry = [tp for tp in tps if len(waiting[tp.partition]) < AT_ONCE]
                for tp, records in (await consumer.getmany(*hungry, timeout_ms=WAIT_MS, max_records=AT_ONCE)).items():
                    waiting[tp.partition].extend(records)
                async with self._going:
                    await self._copy(producer, self._merged(waiting))

    def _merged(self, waiting: dict[int, deque[ConsumerRecord]]) -> list[ConsumerRecord]:
        """What can be copied now, the earliest receipt first, and each partition in its order."""
        merged: list[ConsumerRecord] = []
        reached = dict(self.next)
        heads = [(records[0].timestamp, partition) for partition, records in waiting.items() if records]
        heapq.heapify(heads)
        missing = {p for p, records in waiting.items() if not records and reached[p] < self._goal.get(p, 0)}
        while heads and not missing:
            _, partition = heapq.heappop(heads)
            record = waiting[partition].popleft()
            merged.append(record)
            reached[partition] = record.offset + 1
            if waiting[partition]:
                heapq.heappush(heads, (waiting[partition][0].timestamp, partition))
            elif reached[partition] < self._goal.get(partition, 0):
                missing.add(partition)
        return merged

    async def _copy(self, producer: AIOKafkaProducer, records: list[ConsumerRecord]) -> None:
        sent = []
        for record in records:
            partition = partition_of(record.key, self._partitions)
            if record.offset <= self._came.get((record.partition, partition), -1):
                continue
            headers = [*(pair for pair in record.headers if pair[0] != COPIED), (COPIED, b"%d:%d" % (record.partition, record.offset))]
            sent.append(await producer.send(self._new, record.value, record.key, partition, record.timestamp, headers))
        for confirmed in sent:
            await confirmed
        for record in records:
            self.next[record.partition] = record.offset + 1
        if records:
            self._moved.set()
