"""Sending to Kafka so that every record is confirmed at last, and those of a partition stay in order.

A lane for each partition: while one batch of it is on its way, the next records gather; when it is confirmed, they go as one
batch. A failed batch is sent again by a fresh producer, for as long as it takes: nobody else has these records, and the window keeps
their number bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline.backoff import Backoff
from pipeline.bridge import metrics
from pipeline.reading import StuckError

MAX_BATCH_BYTES = 512 * 1024
REQUEST_TIMEOUT_MS = 15_000
PROBE_PAUSE_S = 5.0
STUCK_S = 10.0  # a batch that is on its way for longer makes the bridge unready
STOP_TIMEOUT_S = 3.0

log = structlog.get_logger("bridge")


class Record(NamedTuple):
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    confirmed: Callable[[], None]  # called in the event loop once Kafka has confirmed the record


Topics = Callable[[], Awaitable[tuple[str, ...]]]


class Sender:
    """Connects when started, in the background, and again whenever it must. `fault()` says whether Kafka answers; `failed` gets
    what nobody here understands: it must end the process, before anything is acknowledged that was not confirmed."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        """`topics`: asked at each connection which ones are sent to; may raise KafkaError and StuckError, and is asked again then."""
        self.partitions: dict[str, int] = {}  # topic -> number of partitions, known once connected
        self.connected = asyncio.Event()
        self._bootstrap = bootstrap
        self._topics = topics
        self._producer: AIOKafkaProducer | None = None
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._renewal = asyncio.Lock()
        self._retired = asyncio.Event()  # set when the present producer is given up
        self._fault: str | None = "not connected to Kafka yet"
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self._tasks = [watched(self._connect(), self.failed), watched(self._probe(), self.failed)]

    async def stop(self) -> None:
        """Give up what is not confirmed; whoever must not lose it waits for the confirmations first."""
        for task in [*self._tasks, *(lane.task for lane in self._lanes.values())]:
            task.cancel()
        await asyncio.gather(*self._tasks, *(lane.task for lane in self._lanes.values()), return_exceptions=True)
        await _close(self._producer)

    def send(self, topic: str, partition: int, record: Record) -> None:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(self, topic, partition)
        lane.add(record)

    def fault(self) -> str | None:
        """Why Kafka cannot be relied on at the moment; None if it can."""
        oldest = min((lane.since for lane in self._lanes.values() if lane.since is not None), default=None)
        if oldest is not None and time.monotonic() - oldest > STUCK_S:
            return f"Kafka has not confirmed a batch for {time.monotonic() - oldest:.0f} s"
        return self._fault

    async def deliver(self, topic: str, partition: int, records: list[Record]) -> None:
        """Send a batch once. Raises KafkaError, or Retired if the producer was given up meanwhile: then any part may be in the topic."""
        await self.connected.wait()
        producer, retired = self._producer, self._retired
        assert producer is not None
        batch = producer.create_batch()
        for record in records:
            batch.append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers)
        batch.close()
        sent = asyncio.ensure_future(_sent(producer, batch, topic, partition))
        gone = asyncio.ensure_future(retired.wait())
        try:
            await asyncio.wait({sent, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                raise Retired
            sent.result()
        finally:
            gone.cancel()
            sent.cancel()

    async def renew(self, failed: str) -> None:
        """Replace the producer after a failure; several lanes may ask at once."""
        retired = self._retired
        async with self._renewal:
            if retired is not self._retired:
                return  # another lane has done it
            self._fault = failed
            self.connected.clear()
            self._retired.set()
            await _close(self._producer)
            self._retired = asyncio.Event()
            await self._connect()

    async def _connect(self) -> None:
        backoff, said = Backoff(), ""
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id="rs-bridge",
                acks="all",
                enable_idempotence=True,
                max_batch_size=MAX_BATCH_BYTES,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
            )
            try:
                await producer.start()
                self.partitions = {topic: len(await producer.partitions_for(topic)) for topic in await self._topics()}
            except (KafkaError, OSError, StuckError) as exc:
                await _close(producer)
                self._fault = f"Kafka on {self._bootstrap}: {type(exc).__name__} {exc}; start it, or create the topics with rs init"
                if said != type(exc).__name__:
                    log.warning("kafka unreachable", bootstrap=self._bootstrap, error=f"{type(exc).__name__} {exc}".strip())
                    said = type(exc).__name__
                await asyncio.sleep(backoff.next())
            except asyncio.CancelledError:
                await _close(producer)
                raise
            else:
                self._producer, self._fault = producer, None
                self.connected.set()
                log.info("connected to kafka", bootstrap=self._bootstrap, partitions=self.partitions)
                return

    async def _probe(self) -> None:
        """Notice a Kafka that has gone, also while nothing is being sent, and say so once: aiokafka tries again in silence."""
        said = False
        while True:
            await asyncio.sleep(PROBE_PAUSE_S)
            if not self.connected.is_set() or self._producer is None:
                continue
            try:
                await asyncio.wait_for(self._producer.client.fetch_all_metadata(), PROBE_PAUSE_S)
            except (KafkaError, OSError, TimeoutError) as exc:
                self._fault = f"Kafka on {self._bootstrap} does not answer: {type(exc).__name__}"
            else:
                self._fault = None
            if (self._fault is not None) != said:
                said = not said
                log.warning("kafka does not answer" if said else "kafka answers again", bootstrap=self._bootstrap)


class Retired(Exception):  # transient
    """The producer that had the batch was given up."""


class _Lane:
    """The records of one partition, in order."""

    def __init__(self, sender: Sender, topic: str, partition: int) -> None:
        self.since: float | None = None  # monotonic time at which the batch on its way was first sent
        self._sender = sender
        self._topic = topic
        self._partition = partition
        self._waiting: deque[Record] = deque()
        self._filled = asyncio.Event()
        self.task = watched(self._run(), sender.failed)

    def add(self, record: Record) -> None:
        self._waiting.append(record)
        self._filled.set()

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            batch = self._next()
            self.since = time.monotonic()
            await self._deliver(batch)
            self.since = None
            for record in batch:
                record.confirmed()
            if not self._waiting:
                self._filled.clear()

    def _next(self) -> list[Record]:
        """What fits into one batch; a record larger than that goes alone."""
        batch: list[Record] = []
        size = 0
        while self._waiting and (not batch or size + _size(self._waiting[0]) <= MAX_BATCH_BYTES):
            size += _size(self._waiting[0])
            batch.append(self._waiting.popleft())
        return batch

    async def _deliver(self, batch: list[Record]) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._sender.deliver(self._topic, self._partition, batch)
            except Retired:
                continue
            except KafkaError as exc:
                metrics.RESENT.inc()
                log.warning(
                    "kafka did not confirm", topic=self._topic, partition=self._partition, error=f"{type(exc).__name__} {exc}".strip()
                )
                await asyncio.sleep(backoff.next())
                await self._sender.renew(f"{self._topic}[{self._partition}]: {type(exc).__name__}")
            else:
                return


def watched(work: Coroutine[None, None, None], failed: asyncio.Future[None]) -> asyncio.Task[None]:
    """A task whose exception ends up in `failed`."""

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not failed.done():
            failed.set_exception(error)

    task = asyncio.create_task(work)
    task.add_done_callback(done)
    return task


def _size(record: Record) -> int:
    """An upper bound of the record in a batch, so that the batch never refuses it."""
    return 64 + len(record.key or b"") + len(record.value) + sum(len(name) + len(value) + 10 for name, value in record.headers)


async def _sent(producer: AIOKafkaProducer, batch: object, topic: str, partition: int) -> None:
    await (await producer.send_batch(batch, topic, partition=partition))


async def _close(producer: AIOKafkaProducer | None) -> None:
    """aiokafka waits until everything is sent, which never comes while Kafka is away."""
    if producer is not None:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)
