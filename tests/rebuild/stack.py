"""Agents and sinks on a Kafka of their own, kept running as `rs up` keeps them, and what a test does to them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import psutil
from aiokafka import AIOKafkaProducer

from pipeline import generations, reading, topics
from pipeline.init import create_topics
from pipeline.local import parts
from pipeline.local.supervisor import Supervisor
from pipeline.rebuild.log import Log
from pipeline.rebuild.reach import stored_all
from pipeline.settings import Settings, read
from sinks.databases import dialect_of
from tests.agents.world import record
from tests.conftest import free_port

PARTITIONS = 3


class Stack:
    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.settings, self.supervisor = settings, supervisor
        self.said: list[str] = []
        self.posted = 0
        assert settings.database_file is not None
        self.database: Path = settings.database_file

    async def post(self, events: Iterable[dict[str, Any]], receipt: int | None = None) -> None:
        """Events as the bridge writes them."""
        async with AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap) as producer:
            for event in events:
                made = record(self.posted, event, receipt)
                self.posted += 1
                partition = topics.partition_of(made.key, PARTITIONS)
                await producer.send(topics.BILLING, made.value, made.key, partition, made.timestamp, made.headers)

    async def stored(self) -> None:
        """Wait until the current generation has stored all that is in the log."""
        async with Log(self.settings.kafka.bootstrap) as log:
            ends = {partition: offset for (_, partition), offset in (await log.ends([topics.BILLING])).items()}
            known = await generations.read(self.settings.kafka.bootstrap)
            await stored_all(log, known.live, dialect_of(self.settings), ends)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as store:
            return store.execute(query, parameters).fetchall()

    def change(self, statement: str, *parameters: Any) -> int:
        """Damage the store; gives the number of rows hit."""
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as store, store:
            return store.execute(statement, parameters).rowcount

    async def quarantined(self) -> list[str]:
        """The reasons of what is in rs.quarantine."""
        found = reading.records(self.settings.kafka.bootstrap, topics.QUARANTINE, range(PARTITIONS))
        return sorted([dict(made.headers)["reason"].decode() async for made in found])


def kill(part: str) -> bool:
    """kill -9 of a child of this process by its folder; False if it does not run."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(word.endswith(f"/faust/{part}") for word in child.cmdline()):
                child.kill()
                return True
    return False


@contextlib.asynccontextmanager
async def running(bootstrap: str, data: Path, partitions: int = PARTITIONS, **sections: Any) -> AsyncIterator[Stack]:
    settings = read(
        kafka={"bootstrap": bootstrap, "partitions": partitions},
        stack={"data": str(data)},
        health={"bridge_port": free_port(), "agents_port": free_port(), "sinks_port": free_port()},
        checkpoint={"interval": 0.05},
        sinks={"interval": 0.05},
        **sections,
    )
    await create_topics(settings)
    said: list[str] = []
    workers = [*parts._agents(settings, data), parts._sinks(settings, data)]
    supervisor = Supervisor([workers], [part.name for part in workers], data / "logs", lambda kind, text: said.append(f"{kind}: {text}"))
    stack = Stack(settings, supervisor)
    stack.said = said
    try:
        await supervisor.start()
        yield stack
    finally:
        await supervisor.stop()
        await asyncio.sleep(0)
