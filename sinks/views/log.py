"""Following the changelog of `tenants` without a group: every partition, from today's beginning on, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from operator import attrgetter
from zoneinfo import ZoneInfo

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from agents.bins import DAY, start_of
from agents.keys import is_tick
from agents.state import Tick
from pipeline import asked, generations, reading
from pipeline.backoff import Backoff
from pipeline.generation import Generation
from pipeline.settings import Settings
from pipeline.topics import GENERATIONS
from sinks.views.figures import AHEAD_MS, MARK_BYTES, Partition, decode
from sinks.views.stored import Stored

LAST = 2_000  # records of a partition among which a tick is looked for
FETCH_MS = 500
LOOK_S = 2.0  # between two looks for another generation
ANSWER_S = 5.0  # that a look may take; a consumer alone would not say that Kafka is lost

log = structlog.get_logger("view")


class Log:
    """`partitions` and `stored` by number; empty until something was read. `trouble`: why they are not what the log says."""

    def __init__(self, settings: Settings) -> None:
        self.bootstrap = settings.kafka.bootstrap
        self.zone = ZoneInfo(settings.reports.time_zone)
        self.most = settings.snmp.max_rows
        self.generation: Generation | None = None
        self.partitions: dict[int, Partition] = {}
        self.stored: dict[int, Stored] = {}
        self.trouble: str | None = "nothing was read yet"
        self.lost = False  # Kafka, when it was asked last

    def folded_to(self) -> int | None:
        """Receipt time up to which every stored message is in these figures, ms UTC. None: not every source has said."""
        ticks = [partition.ticks for partition in self.partitions.values()]
        return oldest([{source: tick.folded_to for source, tick in each.items()} for each in ticks])

    def stored_to(self, committed: Mapping[int, int]) -> int | None:
        """The same of the store. committed: partition -> next offset that the sinks store."""
        return oldest([stored.committed(committed.get(number, 0)) for number, stored in self.stored.items()])

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                known = await generations.read(self.bootstrap)
                await self._follow(known.live, backoff)
            except (KafkaError, OSError, TimeoutError, reading.StuckError, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and asked.to_end():
                    raise
                reason = str(exc) or "no answer in time"
                if not self.lost:
                    log.warning("Kafka cannot be read, trying again", bootstrap=self.bootstrap, reason=reason)
                self.lost = True
                self.trouble = f"Kafka at {self.bootstrap} cannot be read: {reason}"
            await asyncio.sleep(backoff.next())

    async def _follow(self, generation: Generation, backoff: Backoff) -> None:
        """Until another generation is current. Raises KafkaError, OSError, TimeoutError and StuckError."""
        topic = generation.changelog("tenants")
        numbers = (await reading.partitions_of(self.bootstrap, [topic])).get(topic, [])
        if not numbers:
            self.lost, self.trouble = False, f"there is no topic {topic} yet: rs init creates it"
            return
        horizons = await self._horizons(topic, numbers)
        self.generation = generation
        self.partitions = {number: Partition(self.zone, self.most, horizons.get(number, 0)) for number in numbers}
        self.stored = {number: Stored() for number in numbers}
        async with self._consumer() as consumer:
            ends = await self._seek(consumer, topic, horizons)
            total = await _left(consumer, ends)
            begun, looked, pointer = time.monotonic(), time.monotonic(), await self._end_of_generations(consumer)
            self.lost = False
            backoff.reset()
            while True:
                fetched = await consumer.getmany(timeout_ms=FETCH_MS)
                for tp, batch in fetched.items():
                    self._take(tp.partition, batch)
                    await asyncio.sleep(0)  # a long way to today's end must not keep managers waiting
                if self.trouble is not None:
                    left = await _left(consumer, ends)
                    self.trouble = f"reading today's rows: {total - left} of {total} records" if left else None
                    if not left:
                        log.info("ready", generation=generation.number, records=total, seconds=round(time.monotonic() - begun, 1))
                if time.monotonic() - looked >= LOOK_S:
                    looked = time.monotonic()
                    async with asyncio.timeout(ANSWER_S):
                        end = await self._end_of_generations(consumer)
                    if end != pointer:
                        pointer = end
                        if (await generations.read(self.bootstrap)).current != generation.number:
                            self.trouble = "another generation is current"
                            return

    def _take(self, number: int, batch: Sequence[ConsumerRecord]) -> None:
        """Of each source the newest tick alone: most of an idle changelog is ticks. Behind the rows, which may be ahead of it anyway."""
        partition, stored = self.partitions[number], self.stored[number]
        ticks: dict[bytes, ConsumerRecord] = {}
        for record in batch:
            if record.value is None or not is_tick(record.key):
                partition.take(record.key, record.value)
            elif (known := ticks.get(record.key)) is None or record.value[:MARK_BYTES] >= known.value[:MARK_BYTES]:
                ticks[record.key] = record
        for record in sorted(ticks.values(), key=attrgetter("offset")):
            tick = partition.take(record.key, record.value)
            if tick is not None:
                stored.note(record.offset, int(record.key[2:]), tick.folded_to)

    async def _horizons(self, topic: str, numbers: list[int]) -> dict[int, int]:
        """Partition -> greatest clock of its newest ticks, ms UTC. A partition without any has nothing to say of today."""
        clocks: dict[int, int] = {}
        async for record in reading.records(self.bootstrap, topic, numbers, last=LAST):
            if record.value is not None and is_tick(record.key):
                tick = decode(record.value[8:])
                assert isinstance(tick, Tick)
                clocks[record.partition] = max(clocks.get(record.partition, 0), tick.clock)
        return clocks

    async def _seek(self, consumer: AIOKafkaConsumer, topic: str, horizons: dict[int, int]) -> dict[TopicPartition, int]:
        """Begin where today began: a row of today was not written before it, but for senders whose clock is ahead. Gives the ends."""
        assigned = [TopicPartition(topic, number) for number in self.partitions]
        consumer.assign(assigned)
        firsts = await consumer.beginning_offsets(assigned)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(assigned)
        wanted = {tp: start_of(DAY, clock, self.zone) - AHEAD_MS for tp in assigned if (clock := horizons.get(tp.partition, 0))}
        found = await consumer.offsets_for_times({tp: at for tp, at in wanted.items() if at > 0}) if wanted else {}
        for tp in assigned:
            at = found.get(tp)
            consumer.seek(tp, max(at.offset, firsts[tp]) if at is not None else firsts[tp])
        return ends

    @staticmethod
    async def _end_of_generations(consumer: AIOKafkaConsumer) -> int:
        if GENERATIONS not in await consumer.topics():
            return 0
        tp = TopicPartition(GENERATIONS, 0)
        return int((await consumer.end_offsets([tp]))[tp])

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", max_poll_records=5000
        )
        try:
            await consumer.start()
            await asyncio.sleep(0)  # a consumer without group that is stopped before its task ran raises CancelledError
            yield consumer
        finally:
            await consumer.stop()


async def _left(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> int:
    """Records up to `ends` that were not read yet."""
    return sum([max(0, end - await consumer.position(tp)) for tp, end in ends.items()])


def oldest(sources: Sequence[Mapping[int, int]]) -> int | None:
    """The least of all partitions and sources; None unless every partition knows every source."""
    known = {source for each in sources for source in each}
    if not known or any(len(each) < len(known) for each in sources):
        return None
    return min(at for each in sources for at in each.values()) or None
