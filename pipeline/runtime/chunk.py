"""Chunks: the records of one partition as aiokafka's C parser leaves them, without a Python object more.

Faust's own path makes a ConsumerRecord, a ConsumerMessage and an Event per record and four asyncio tasks to deliver it. Here
a fetch gives one `Chunk` per partition.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from aiokafka.errors import CorruptRecordException
from faust.types import TP


class Record(Protocol):
    """One record. `timestamp` is in ms since 1970 UTC."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> list[tuple[str, bytes]]: ...


class Chunk(NamedTuple):
    """Consecutive records of one partition. `start` is where the fetch stood, `end` where the next one stands: the two tell
    holes in the log (compaction, transaction markers) from records that were dropped on the way."""

    tp: TP
    start: int
    end: int
    records: list[Record]
    generation: int

    def since(self, offset: int) -> Chunk:
        """The part of it that begins at `offset`."""
        return self._replace(start=offset, records=[record for record in self.records if record.offset >= offset])


def take(result: Any, limit: int, generation: int) -> Chunk | None:
    """Take whole record batches off one fetched partition (aiokafka's FetchResult), at least `limit` records if it has them.
    None if the partition is no longer ours. Raises CorruptRecordException."""
    tp = result._topic_partition
    if not result.check_assignment(tp):
        return None
    part = result._partition_records
    # A generator that refers to its own part, which has the bytes of the fetch: megabytes that only the garbage collection could free,
    # and with us that is rare. Nobody else asks for it.
    part._records_iterator = None
    batches, start = part._records, part.next_fetch_offset
    end = start
    records: list[Record] = []
    while len(records) < limit and batches.has_next():
        batch = batches.next_batch()
        if part._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {tp}")
        if not batch.is_control_batch:
            # the broker sends whole batches: the first may begin before the offset that was asked for
            records += batch if batch.base_offset >= end else [record for record in batch if record.offset >= end]
        end = batch.next_offset
    part.next_fetch_offset = end
    result._update_position()
    if not batches.has_next():
        result._partition_records = None
    return Chunk(TP(tp.topic, tp.partition), start, end, records, generation)
