"""Create the project's topics, or check those that exist: what `rs init` and the start of the local stack do."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from pipeline import generations
from pipeline.generation import FIRST, Generation
from pipeline.reading import StuckError
from pipeline.settings import Settings
from pipeline.topics import Topic, all_topics


class InitError(RuntimeError):
    """The topics cannot be what they must be; the message has a line for each fault with the mending step."""


class Outcome(NamedTuple):
    created: list[str]
    existing: list[str]


async def create_topics(settings: Settings, *, wait_s: float = 30) -> Outcome:
    """Make every topic of pipeline.topics exist, those of the current generation among them: with as many partitions as that has,
    which of a first log is kafka.partitions. Several at once do no harm.

    Waits up to `wait_s` seconds for the brokers, and for each topic to have leaders. Raises InitError.
    """
    until = time.monotonic() + wait_s
    await (await _connect(settings.kafka.bootstrap, until)).close()
    current = await _current(settings.kafka.bootstrap, until)
    return await create(settings, all_topics(settings.sinks.max_outage, current), current, until)


async def create(settings: Settings, topics: list[Topic], generation: Generation, until: float) -> Outcome:
    """Make these topics exist, with the generation's number of partitions. `until`: monotonic seconds. Raises InitError."""
    count = generation.partition_count(settings.kafka.partitions)
    admin = await _connect(settings.kafka.bootstrap, until)
    try:
        before = await partitions(admin, [topic.name for topic in topics])
        created = await _create(admin, [topic for topic in topics if topic.name not in before], settings, count)
        after = await _led(admin, [topic.name for topic in topics], until)
        if faults := partition_faults(after, topics, generation, settings.kafka.partitions):
            raise InitError("\n".join(faults))
        await _grow(admin, {topic.name for topic in topics if topic.or_more and after[topic.name] < count}, count, until)
        await _coordinated(admin, until)
    finally:
        await admin.close()
    return Outcome(created, sorted(before))


def partition_faults(found: dict[str, int], topics: list[Topic], generation: Generation, setting: int) -> list[str]:
    """One line for each topic whose number of partitions is not the generation's, those aside that have a number of their own.
    `setting`: kafka.partitions."""
    free = {topic.name for topic in topics if topic.partitions is not None or topic.or_more}
    wanted = generation.partition_count(setting)
    mend = (
        f"kafka.partitions is {wanted}: set RS_KAFKA__PARTITIONS={{count}}, or begin a new log (rs up --data DIR, rs up --fresh); keys "
        f"would move to other partitions, which only rs rebuild --partitions {wanted} can do"
        if not generation.partitions
        else f"generation {generation.number} has {wanted}: somebody has changed it; make another generation with rs rebuild --partitions"
    )
    return [
        f"topic {name} has {count} partitions, {mend.format(count=count)}"
        for name, count in sorted(found.items())
        if count != wanted and name not in free
    ]


async def partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Number of partitions of those topics that exist and whose partitions all have a leader."""
    described = await admin.describe_topics(names)
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in described
        if not topic["error_code"] and topic["partitions"] and all(part["leader"] >= 0 for part in topic["partitions"])
    }


async def _connect(bootstrap: str, until: float) -> AIOKafkaAdminClient:
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="rs-init")
        try:
            await admin.start()
        except (KafkaConnectionError, KafkaError) as exc:
            await admin.close()
            if time.monotonic() > until:
                raise InitError(f"no Kafka answers on {bootstrap} ({exc}): start it, or name another with RS_KAFKA__BOOTSTRAP") from None
            await asyncio.sleep(0.3)
        else:
            return admin


async def _current(bootstrap: str, until: float) -> Generation:
    while True:
        try:
            return (await generations.read(bootstrap)).live
        except (KafkaError, StuckError) as exc:
            if time.monotonic() > until:
                raise InitError(f"Kafka at {bootstrap} cannot be asked which generation is current ({exc}): look at its log") from None
            await asyncio.sleep(0.3)


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], settings: Settings, count: int) -> list[str]:
    if not topics:
        return []
    replication = settings.kafka.replication
    response = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions or count, replication, topic_configs=topic.config) for topic in topics]
    )
    created, faults = [], []
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:  # another init was quicker: the check afterwards judges its work
            faults.append(f"topic {name} cannot be created: {error.__name__} {message[0] if message and message[0] else ''}".rstrip())
    if faults:
        raise InitError("\n".join(faults))
    return sorted(created)


async def _led(admin: AIOKafkaAdminClient, names: list[str], until: float) -> dict[str, int]:
    """Wait until every topic is there for clients, too."""
    while True:
        found = await partitions(admin, names)
        missing = set(names) - set(found)
        if not missing:
            return found
        if time.monotonic() > until:
            raise InitError(f"topics without a leader: {', '.join(sorted(missing))}; look at the log of Kafka")
        await asyncio.sleep(0.1)


async def _grow(admin: AIOKafkaAdminClient, names: set[str], count: int, until: float) -> None:
    """Records are set aside under the number of a partition that their source has."""
    for name in sorted(names):
        try:
            await admin.create_partitions({name: NewPartitions(count)})
        except KafkaError as exc:  # another init may have been quicker
            if (await partitions(admin, [name])).get(name, 0) < count:
                raise InitError(f"topic {name} does not get {count} partitions ({exc}): look at the log of Kafka") from None
    while names and not await _have(admin, names, count):
        if time.monotonic() > until:
            raise InitError(f"topics whose new partitions have no leader: {', '.join(sorted(names))}; look at the log of Kafka")
        await asyncio.sleep(0.1)


async def _have(admin: AIOKafkaAdminClient, names: set[str], count: int) -> bool:
    found = await partitions(admin, sorted(names))
    return all(found.get(name, 0) >= count for name in names)


async def _coordinated(admin: AIOKafkaAdminClient, until: float) -> None:
    """Have the brokers make their topic of group offsets now: on a new log the first workers would complain and wait."""
    while time.monotonic() < until:
        try:
            await admin.find_coordinator(FIRST.agents_app)
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(0.1)
        else:
            return
