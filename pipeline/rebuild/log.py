"""What Kafka says of the log, of topics and of groups, and deleting what a generation leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import DeleteGroupsRequest

from pipeline.generation import Generation

FIRST_RECORD_MS = 10_000
NO_RECORD = "1"  # max.message.bytes that nothing is below
SET_BY_TOPIC = 1  # ConfigSource DYNAMIC_TOPIC_CONFIG
QUIET_S = 2.0

Offsets = dict[tuple[str, int], int]
GONE = 69  # GROUP_ID_NOT_FOUND; aiokafka has no class for it


class Log:
    """An open connection to the brokers, as an async context manager. Every method raises aiokafka's KafkaError."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="rs-rebuild")
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, client_id="rs-rebuild", enable_auto_commit=False)

    async def __aenter__(self) -> Log:
        await self._admin.start()
        try:
            await self._consumer.start()
        except BaseException:
            await self._admin.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def partitions(self, topic: str) -> list[int]:
        """Empty if there is no such topic."""
        (found,) = await self._admin.describe_topics([topic])
        return sorted(part["partition"] for part in found["partitions"])

    async def ends(self, topics: Iterable[str]) -> Offsets:
        """The end of each partition of each topic that is there."""
        tps = [TopicPartition(topic, n) for topic in topics for n in await self.partitions(topic)]
        return {(tp.topic, tp.partition): offset for tp, offset in (await self._consumer.end_offsets(tps)).items()} if tps else {}

    async def firsts(self, topics: Iterable[str]) -> Offsets:
        """The first offset of each partition of each topic that is there."""
        tps = [TopicPartition(topic, n) for topic in topics for n in await self.partitions(topic)]
        return {(tp.topic, tp.partition): offset for tp, offset in (await self._consumer.beginning_offsets(tps)).items()} if tps else {}

    async def reaches(self, firsts: Offsets) -> int:
        """The latest receipt with which a partition begins that has lost records; 0: none has."""
        latest = 0
        for (topic, partition), offset in firsts.items():
            if offset > 0:
                tp = TopicPartition(topic, partition)
                self._consumer.assign([tp])
                self._consumer.seek(tp, offset)
                for record in (await self._consumer.getmany(tp, timeout_ms=FIRST_RECORD_MS, max_records=1)).get(tp, []):
                    latest = max(latest, record.timestamp)
        self._consumer.unsubscribe()
        return latest

    async def committed(self, group: str) -> Offsets:
        try:
            told = await self._admin.list_consumer_group_offsets(group)
        except GroupCoordinatorNotAvailableError:  # so a broker answers that never had a group
            return {}
        return {(tp.topic, tp.partition): at.offset for tp, at in told.items() if at.offset >= 0}

    async def members(self, group: str) -> int:
        """How many workers are in a group."""
        try:
            (response,) = await self._admin.describe_consumer_groups([group])
        except GroupCoordinatorNotAvailableError:
            return 0
        return sum(len(members) for _, _, _, _, _, members, *_ in response.groups)

    async def count(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(await self.partitions(topic))

    async def config(self, topic: str) -> dict[str, str]:
        """What was set for this topic itself."""
        (answer,) = await self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {name: value for name, value, _, source, *_ in answer.resources[0][4] if source == SET_BY_TOPIC}

    async def seal(self, topic: str) -> None:
        """Have the brokers refuse every further record of a topic; what is in it stays. Returns once nothing more has come for a while:
        brokers hear of it in their own time."""
        # What is not said is reset by AlterConfigs.
        own = {**await self.config(topic), "max.message.bytes": NO_RECORD}
        sealed = ConfigResource(ConfigResourceType.TOPIC, topic, configs=own)
        (done,) = await self._admin.alter_configs([sealed])
        for code, message, *_ in done.resources:
            if code:
                raise for_code(code)(f"{topic}: {message}")
        quiet, ends = time.monotonic(), await self.ends([topic])
        while time.monotonic() - quiet < QUIET_S:
            await asyncio.sleep(QUIET_S / 10)
            if (now := await self.ends([topic])) != ends:
                quiet, ends = time.monotonic(), now

    async def delete(self, generation: Generation, *, its_log: bool = False) -> None:
        """Delete the topics and groups of a generation, with the log that was made for it if told so; what is gone already does no harm."""
        there = set(await self._admin.list_topics())
        topics = (*generation.topics, generation.own_log) if its_log and generation.billing == generation.own_log else generation.topics
        if mine := [topic for topic in topics if topic in there]:
            answer = await self._admin.delete_topics(mine)
            for topic, code, *_ in answer.topic_error_codes:
                if code and for_code(code) is not UnknownTopicOrPartitionError:
                    raise for_code(code)(topic)
        for group in (generation.agents_app, generation.sinks_app):
            await self._delete_group(group)

    async def _delete_group(self, group: str) -> None:
        coordinator = await self._admin.find_coordinator(group)
        response = await self._admin._send_request(DeleteGroupsRequest([group]), coordinator)
        for name, code, *_ in response.results:
            if code and code != GONE:
                raise for_code(code)(name)
