"""The topics, against a Kafka of this module's own: other tests make the same topics with other partitions."""

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline import init, settings
from pipeline.init import InitError, create_topics
from pipeline.topics import BILLING, CALLS_CHANGELOG, Topic, all_topics
from tests.conftest import kafka_node

NAMES = sorted(topic.name for topic in all_topics(0))


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with kafka_node(tmp_path_factory.mktemp("init")) as bootstrap:
        yield bootstrap


def of(bootstrap: str, partitions: int = 3) -> settings.Settings:
    return settings.read(kafka={"bootstrap": bootstrap, "partitions": partitions})


async def test_two_at_once_make_each_topic_once_and_a_third_finds_them(own_kafka: str) -> None:
    first, second = await asyncio.gather(create_topics(of(own_kafka)), create_topics(of(own_kafka)))
    assert sorted(first.created + second.created) == NAMES
    third = await create_topics(of(own_kafka))
    assert (third.created, third.existing) == ([], NAMES)


async def test_topics_are_kept_as_the_list_says(own_kafka: str) -> None:
    await create_topics(of(own_kafka))
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, CALLS_CHANGELOG)])
    finally:
        await admin.close()
    kept = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert kept["cleanup.policy"] == "compact"
    assert kept["min.compaction.lag.ms"] == str(7 * 86_400_000)
    assert kept["max.message.bytes"] == str(16 * 1024 * 1024)


async def test_another_number_of_partitions_is_refused_with_both_ways_out(own_kafka: str) -> None:
    await create_topics(of(own_kafka))
    with pytest.raises(InitError) as caught:
        await create_topics(of(own_kafka, partitions=4))
    line = next(line for line in str(caught.value).splitlines() if line.startswith(f"topic {BILLING} "))
    assert "has 3 partitions, kafka.partitions is 4: set RS_KAFKA__PARTITIONS=3, or begin a new log" in line


async def test_more_replicas_than_brokers_are_said_by_topic(own_kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "all_topics", lambda *_: [Topic("rs.more", "none")])
    current = settings.read(kafka={"bootstrap": own_kafka, "replication": 3})
    with pytest.raises(InitError, match=r"topic rs\.more cannot be created: InvalidReplicationFactorError"):
        await create_topics(current)


async def test_no_broker_is_said_with_the_setting() -> None:
    with pytest.raises(InitError, match=r"no Kafka answers on 127\.0\.0\.1:1 .*RS_KAFKA__BOOTSTRAP"):
        await create_topics(of("127.0.0.1:1"), wait_s=0)
