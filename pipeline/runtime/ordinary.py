"""Topics without a checkpoint: their records go the ordinary Faust way, message by message, with acks and Faust's own commit.

They keep Faust's own promise, which is weaker than that of a checkpoint: a message whose agent raises is acknowledged, and what
an agent sends may be lost in a crash although the message was committed. Good enough for what may be missed or repeated.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.types import TP, ConsumerMessage

from .chunk import Chunk, Record
from .inbox import Inbox

# Faust's streams have queues of their own (stream_buffer_maxsize); behind them one chunk waits.
WAITING = 1


class Ordinary:
    """Hands records to Faust's conductor, in a task of its own: an agent that waits holds up nobody else."""

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.inbox = Inbox(WAITING, consumer.wake)
        self._came = asyncio.Event()

    def offer(self, chunk: Chunk) -> None:
        if chunk.records:
            self.inbox.put(chunk)
            self._came.set()

    async def run(self) -> None:
        while not self.consumer.should_stop:
            while self.inbox:
                await self._deliver(self.inbox.get())
            self._came.clear()
            await self._came.wait()

    async def _deliver(self, chunk: Chunk) -> None:
        consumer, tp, expected = self.consumer, chunk.tp, chunk.start
        for record in chunk.records:
            if chunk.generation != consumer.app.consumer_generation_id:
                return  # a rebalance: read again from the committed offset
            if record.offset > expected:  # offsets nobody will acknowledge must not hold back the commit
                await consumer._add_gap(tp, expected, record.offset - 1)
            consumer._read_offset[tp], expected = record.offset, record.offset + 1
            await consumer.callback(_message(tp, record, chunk.generation))


def _message(tp: TP, record: Record, generation: int) -> ConsumerMessage:
    key, value = record.key, record.value
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        record.offset,
        record.timestamp / 1000,
        0,  # timestamp type: 0 is "set by the producer"
        list(record.headers),
        key,
        value,
        None,
        len(key) if key is not None else -1,
        len(value) if value is not None else -1,
        tp,
        generation_id=generation,
    )
