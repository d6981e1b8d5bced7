"""How far stages are, by the offsets that Kafka knows: ends of topics, commits of groups."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from pipeline import asked, reading
from pipeline.backoff import Backoff
from pipeline.generation import Generation
from pipeline.topics import QUARANTINE, SINK_QUARANTINE

ASK_S = 2.0
LONGEST_S = 10.0

Place = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class Offsets:
    """One moment. ends: next offset of each partition; committed: stage -> next offset to read of what it reads."""

    ends: dict[Place, int] = field(default_factory=dict)
    committed: dict[str, dict[Place, int]] = field(default_factory=dict)

    def lag(self, stage: str) -> int | None:
        """Records before the stage; None while it has committed nothing."""
        committed = self.committed.get(stage)
        if not committed:
            return None
        return sum(max(0, self.ends.get(place, 0) - at) for place, at in committed.items())

    def done(self, stage: str) -> int:
        return sum(self.committed.get(stage, {}).values())

    def lag_of(self, place: Place) -> int | None:
        """Of the stage behind a partition."""
        behind = [self.ends[place] - committed[place] for committed in self.committed.values() if place in committed]
        return max(0, *behind) if behind else None


class Lags:
    """`now` is the moment asked last; `trouble`: why it is old."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.generation: Generation | None = None
        self.now = Offsets()
        self.trouble: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff()
        while True:
            try:
                await self._ask_on(backoff)
            except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and asked.to_end():
                    raise
                self.trouble = f"Kafka at {self.bootstrap} does not tell offsets: {exc}"
            await asyncio.sleep(backoff.next())

    async def _ask_on(self, backoff: Backoff) -> None:
        """Raises KafkaError, OSError, TimeoutError."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        try:
            await admin.start()
            await consumer.start()
            while True:
                if self.generation is not None:
                    async with asyncio.timeout(LONGEST_S):
                        self.now = await self._asked(admin, consumer, self.generation)
                    self.trouble = None
                    backoff.reset()
                await asyncio.sleep(ASK_S)
        finally:
            await consumer.stop()
            await admin.close()

    async def _asked(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, generation: Generation) -> Offsets:
        topics = (generation.billing, QUARANTINE, SINK_QUARANTINE, *generation.topics)
        known = await reading.partitions_of(self.bootstrap, topics)
        tps = [TopicPartition(topic, number) for topic, numbers in known.items() for number in numbers]
        ends = {(tp.topic, tp.partition): end for tp, end in (await consumer.end_offsets(tps)).items()} if tps else {}
        agents, sinks = await _committed(admin, generation.agents_app), await _committed(admin, generation.sinks_app)
        return Offsets(
            ends,
            {
                "calls": {place: at for place, at in agents.items() if place[0] == generation.billing},
                "tenants": {place: at for place, at in agents.items() if place[0] == generation.activity},
                "sinks": sinks,
            },
        )


async def _committed(admin: AIOKafkaAdminClient, group: str) -> dict[Place, int]:
    try:
        told = await admin.list_consumer_group_offsets(group)
    except GroupCoordinatorNotAvailableError:  # so a broker answers that never had a group
        return {}
    return {(tp.topic, tp.partition): at.offset for tp, at in told.items() if at.offset >= 0}
