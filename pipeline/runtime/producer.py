"""Grouped producing: what a cut has for one partition goes out in as few record batches as fit, and is confirmed as a whole.

One `send` a record costs 10 us; appending to a batch costs half a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import faust.transport.drivers.aiokafka as driver

NO_RECORDS = -1


class Message(NamedTuple):
    """A record to be sent. `timestamp_ms` None: now."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None


class Producer(driver.Producer):  # type: ignore[misc]  # Faust ships no types
    """Idempotent, acks=all: a retry neither doubles nor reorders."""

    def _settings_extra(self) -> dict[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send_all(
        self, topic: str, partition: int, messages: Iterable[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]], int | None]]
    ) -> int:
        """Send to one partition, in this order, and wait until the broker has confirmed all of it.

        Gives the offset of the last record, NO_RECORDS if there was none. Raises KafkaError: then any part of it may be in
        the topic. A batch ends where the next record no longer fits; a record larger than a batch travels alone.
        """
        producer = self._ensure_producer()
        waiting, batch = [], producer.create_batch()
        for key, value, headers, timestamp_ms in messages:
            if batch.append(timestamp=timestamp_ms, key=key, value=value, headers=list(headers) if headers else []) is None:
                waiting.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=timestamp_ms, key=key, value=value, headers=list(headers) if headers else [])
        last = batch.record_count()
        if last:
            batch.close()
            waiting.append(await producer.send_batch(batch, topic, partition=partition))
        sent = [await future for future in waiting]
        return int(sent[-1].offset) + last - 1 if sent else NO_RECORDS
