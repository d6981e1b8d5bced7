"""A worker hears of a swap also when Kafka was away meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline import generations, reading
from pipeline.generation import FIRST, Generation
from pipeline.init import create_topics
from pipeline.local.kafka import KafkaNode
from pipeline.settings import read
from tests.conftest import JARS, PATIENCE_S, free_port, need_brokers, running

AWAY_S = 6.0  # longer than the pauses of a client that reads


async def test_the_watch_goes_on_after_kafka_was_away(tmp_path: Path) -> None:
    need_brokers()
    node = KafkaNode(JARS / "kafka", tmp_path / "kafka", free_port(), free_port())
    node.configure()
    bootstrap = f"127.0.0.1:{node.port}"
    with running(node.command(), tmp_path / "before.log", node.port) as process:
        await create_topics(read(kafka={"bootstrap": bootstrap, "partitions": 1}))
        watch = asyncio.create_task(generations._replaced(bootstrap, FIRST, lambda: False))
        await asyncio.sleep(3)
        process.kill()
        process.wait()
    await asyncio.sleep(AWAY_S)
    assert not watch.done()
    with running(node.command(), tmp_path / "after.log", node.port):
        await generations.make_current(bootstrap, Generation(2))
        known = await asyncio.wait_for(watch, PATIENCE_S)
    assert known is not None
    assert known.current == 2


class CancelsItself:
    """aiokafka's consumer as it is now and then when the broker is away."""

    def __init__(self, **_: object) -> None:
        pass

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        raise asyncio.CancelledError


async def test_a_client_that_cancels_itself_cancels_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AIOKafkaConsumer", CancelsItself)
    async with reading.consuming("nowhere"):
        pass

    async def wait() -> None:
        async with reading.consuming("nowhere"):
            await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
