"""The brokers themselves: what everything else stands on."""

import asyncio

import stomp
from aiokafka import AIOKafkaProducer


def test_kafka_answers(kafka: str) -> None:
    async def ask() -> int:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            return len(producer.client.cluster.brokers())

    assert asyncio.run(ask()) == 1


def test_activemq_takes_stomp(activemq: int) -> None:
    link = stomp.Connection12([("127.0.0.1", activemq)])
    link.connect(wait=True)
    assert link.is_connected()
    link.disconnect()
