"""Which generation is current, and what is known of the others: the compacted topic rs.generations.

    "current" -> {"number": 2}        "2" -> {"number": 2, "history": {...}, "state": "live", "made": ...}

Workers read it before they start, and stop when another generation becomes current; whoever supervises them starts them again.
A topic that is absent or empty means generation 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct, field

from pipeline import reading
from pipeline.generation import FIRST, Generation
from pipeline.settings import Settings, WrongSettings
from pipeline.topics import GENERATIONS

CURRENT = b"current"
LOOK_S = 2.0  # between two looks of a worker that runs
MISSING_S = 30.0  # between two looks for a topic that is not there
PATIENCE_S = 60.0  # how long a worker that starts waits for Kafka
PAUSE_S = 1.0

log = structlog.get_logger("generations")


class _Pointer(Struct):
    number: int


class Known(Struct, frozen=True):
    """What the topic says. `current`: the number of the generation whose rows people read."""

    current: int = FIRST.number
    all: dict[int, Generation] = field(default_factory=lambda: {FIRST.number: FIRST})

    @property
    def live(self) -> Generation:
        return self.all[self.current]

    @property
    def next_number(self) -> int:
        return max(self.all) + 1


class KafkaAway(RuntimeError):
    """Kafka could not be asked, and what to do. One line."""


async def read(bootstrap: str) -> Known:
    """Raises aiokafka's KafkaError and StuckError."""
    partitions = (await reading.partitions_of(bootstrap, [GENERATIONS])).get(GENERATIONS, [])
    current, found = FIRST.number, {FIRST.number: FIRST}
    async for record in reading.records(bootstrap, GENERATIONS, partitions):
        if record.key == CURRENT:
            current = msgspec.json.decode(record.value, type=_Pointer).number
        else:
            generation = msgspec.json.decode(record.value, type=Generation)
            found[generation.number] = generation
    return Known(current, found)


async def write(bootstrap: str, *, generations: Iterable[Generation] = (), current: int | None = None) -> None:
    """Say it and wait until it is confirmed, the generations first. Raises KafkaError."""
    records = [(b"%d" % generation.number, msgspec.json.encode(generation)) for generation in generations]
    if current is not None:
        records.append((CURRENT, msgspec.json.encode(_Pointer(current))))
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for key, value in records:
            await producer.send_and_wait(GENERATIONS, value, key, partition=0)


async def make_current(bootstrap: str, generation: Generation) -> None:
    """Say that the store has the rows of this generation now. Raises KafkaError."""
    await write(bootstrap, generations=[msgspec.structs.replace(generation, state="live")], current=generation.number)


def of_worker(settings: Settings) -> tuple[Generation, Known]:
    """The generation that a worker with these settings belongs to, and all that is known; waits until Kafka can be asked.
    Raises KafkaAway and WrongSettings."""
    known = _blocking(lambda: _patiently(settings.kafka.bootstrap))
    wanted = settings.fold.generation or known.current
    if wanted not in known.all or known.all[wanted].state == "dropped":
        raise WrongSettings(
            f"setting fold.generation is {wanted}: there is no such generation; leave it 0, rs rebuild alone starts workers with another"
        )
    return known.all[wanted], known


def stop_when_replaced(app: Any, generation: Generation, settings: Settings) -> None:
    """Have the Faust app stop in order when another generation than its own becomes current. Workers of a generation that was
    asked for by number are stopped by whoever asked."""
    if settings.fold.generation:
        return

    @app.task  # type: ignore[untyped-decorator]  # Faust ships no types
    async def watch() -> None:
        await stop_process_when_replaced(settings.kafka.bootstrap, generation, lambda: app.should_stop)


async def stop_process_when_replaced(bootstrap: str, generation: Generation, should_stop: Callable[[], bool]) -> None:
    """Have this process stop in order when another generation becomes current; returns then, or when told to stop."""
    known = await _replaced(bootstrap, generation, should_stop)
    if known is not None:
        log.info("another generation is current: stopping, the next start works on it", own=generation.number, current=known.current)
        os.kill(os.getpid(), signal.SIGTERM)  # as the supervisor would: last cuts, then out


async def _replaced(bootstrap: str, generation: Generation, should_stop: Callable[[], bool]) -> Known | None:
    """Waits until another one is current. None: told to stop."""
    log_of = TopicPartition(GENERATIONS, 0)
    seen = -1
    while not should_stop():
        try:
            async with reading.consuming(bootstrap) as consumer:
                if GENERATIONS not in await consumer.topics():  # made by an earlier version, and rs init has not been called since
                    await asyncio.sleep(MISSING_S)
                    continue
                while not should_stop():
                    end = (await consumer.end_offsets([log_of]))[log_of]
                    if end != seen and (known := await read(bootstrap)).current != generation.number:
                        return known
                    seen = end
                    await asyncio.sleep(LOOK_S)
        except (KafkaError, OSError, reading.StuckError):
            await asyncio.sleep(LOOK_S)  # the worker itself says that Kafka is away
    return None


async def _patiently(bootstrap: str) -> Known:
    until = time.monotonic() + PATIENCE_S
    said = False
    while True:
        try:
            return await read(bootstrap)
        except (KafkaError, OSError, reading.StuckError) as exc:
            if time.monotonic() > until:
                raise KafkaAway(
                    f"Kafka at {bootstrap} cannot be asked which generation is current ({exc}): start it, or correct kafka.bootstrap"
                ) from None
            if not said:
                log.warning("waiting for Kafka", bootstrap=bootstrap, reason=str(exc))
                said = True
        await asyncio.sleep(PAUSE_S)


def _blocking(ask: Callable[[], Coroutine[Any, Any, Known]]) -> Known:
    """Run a coroutine to its end from wherever a module is imported: in a loop of its own, in a thread of its own."""
    outcome: list[Known] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(ask()))
        except BaseException as exc:
            failure.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
