"""Faust's consumer, changed in three things: it delivers chunks, it commits strictly, and it knows where to begin.

A fetch gives one chunk per partition, which goes straight to the checkpoint that owns its topic, to recovery, or, for a topic
without a checkpoint, the ordinary Faust way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

import faust.transport.drivers.aiokafka as driver
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from . import starts
from .checkpoint import SETTLE_TIMEOUT_S, Checkpoint
from .chunk import Chunk, take
from .cut import Start
from .errors import Expelled, Unrecovered
from .ordinary import Ordinary
from .producer import Producer

CHUNK = 4000  # records; a chunk ends at the record batch that reaches this. Larger ones gain nothing and delay the cut.
# ms a fetch waits for new records. While it waits, a partition that was left alone because its inbox was full is not fetched;
# Faust's 1500 would be felt then.
FETCH_WAIT_MS = 500
# A new topic is known to all brokers within moments; on an overloaded one we saw seconds.
KNOWN_TIMEOUT_S, KNOWN_PAUSE_S = 30.0, 0.1


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust ships no types
    """aiokafka's consumer in its own thread: heartbeats go on while a body computes."""

    heard = 0.0  # when the group coordinator last answered a heartbeat
    _room: asyncio.Future[None] | None = None  # to be resolved when an inbox has room again

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._consumer._coordinator
        beat = coordinator._do_heartbeat

        async def heartbeat() -> bool:
            asked = monotonic()
            if ok := bool(await beat()):
                self.heard = asked
            return ok

        coordinator._do_heartbeat = heartbeat

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Join the group only when we know the changelogs: whoever leads it assigns what it knows. Raises Unrecovered."""
        wanted = set(topics)
        await self.call_thread(self._know, wanted, wanted & self.app.tables.changelog_topics)
        await super().subscribe(wanted)

    async def _know(self, topics: set[str], needed: set[str]) -> None:
        """Faust has created the changelogs, but the broker we ask may hear of them later."""
        client = self._ensure_consumer()._client
        await client.set_topics(topics)
        end = monotonic() + KNOWN_TIMEOUT_S
        while missing := [topic for topic in needed if not client.cluster.partitions_for_topic(topic)]:
            if monotonic() > end:
                raise Unrecovered(f"the brokers do not know the topics {', '.join(sorted(missing))}: create them")
            await asyncio.sleep(KNOWN_PAUSE_S)
            await client.force_metadata_update()

    def wake(self) -> None:
        """From the loop of the app: look again, an inbox has room."""
        self.thread_loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,  # noqa: ARG002
    ) -> dict[TP, Chunk]:
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            # made before looking: room that comes while we look must not be missed
            self._room = asyncio.get_running_loop().create_future()
            chunks = self._take(fetcher, active_partitions)
            if not chunks:
                waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([waiter, self._room], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if not waiter.done():
                    waiter.cancel()
                chunks = self._take(fetcher, active_partitions)
        return chunks

    def _take(self, fetcher: Any, active_partitions: set[TP]) -> dict[TP, Chunk]:
        chunks: dict[TP, Chunk] = {}
        generation, is_full = self.app.consumer_generation_id, self.consumer.is_full
        if not self.consumer.flow_active or fetcher._subscriptions.reassignment_in_progress:
            return chunks  # what is taken now would be dropped
        for tp in list(fetcher._records):
            if tp not in active_partitions:
                if not fetcher._subscriptions.is_assigned(tp):
                    del fetcher._records[tp]
                continue
            result = fetcher._records[tp]
            if type(result) is not FetchResult:
                if chunks:
                    break  # hand over what we have; the error comes with the next call
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                result.check_raise()
            if is_full(tp.topic):
                continue
            chunk = take(result, CHUNK, generation)
            if not result.has_more():
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
            if chunk is not None:
                chunks[chunk.tp] = chunk
        return chunks

    async def commit_offsets(self, commits: Mapping[TP, OffsetAndMetadata]) -> None:
        """Commit, or raise KafkaError: Faust's own way logs and goes on."""
        await self.call_thread(self._ensure_consumer().commit, {driver.ensure_aiokafka_TP(tp): commit for tp, commit in commits.items()})

    async def committed(self, tps: Iterable[TP]) -> dict[TP, OffsetAndMetadata]:
        """What the group has committed, with metadata, where it has committed anything."""
        coordinator = self._ensure_consumer()._coordinator
        found = await self.call_thread(coordinator.fetch_committed_offsets, [driver.ensure_aiokafka_TP(tp) for tp in tps])
        return {TP(tp.topic, tp.partition): commit for tp, commit in found.items()}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock warnings look at acks, which checkpoints do not use."""


class Consumer(driver.Consumer):  # type: ignore[misc]  # Faust ships no types
    """Delivers chunks, and commits what checkpoints ask for."""

    _thread: ConsumerThread

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ordinary = Ordinary(self)
        for checkpoint in self.app.checkpoints:
            checkpoint.inbox.on_room = self.wake

    def wake(self) -> None:
        self._thread.wake()

    def is_full(self, topic: str) -> bool:
        """Whether records of the topic should stay in the fetcher. Called from the consumer's thread."""
        if (checkpoint := self.app.checkpoint_of.get(topic)) is not None:
            return bool(checkpoint.inbox.full)
        return self.ordinary.inbox.full and topic not in self.app.tables.changelog_topics

    # -- delivery

    async def _drain_messages(self, fetcher: Any) -> None:
        app, ordinary = self.app, asyncio.ensure_future(self.ordinary.run())
        recovery, changelogs = app.tables.recovery, app.tables.changelog_topics
        try:
            while not (self.should_stop or fetcher.should_stop):
                chunks, _ = await self._wait_next_records(1.0)
                for tp, chunk in chunks.items():
                    if chunk.generation != app.consumer_generation_id or not self.flow_active:
                        continue  # a rebalance: all is read again from the committed offsets
                    if tp.topic in changelogs:
                        recovery.apply(chunk)
                    else:
                        app.checkpoint_of.get(tp.topic, self.ordinary).offer(chunk)
                if ordinary.done():
                    ordinary.result()  # raises: the worker stops
                await asyncio.sleep(0)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not app.should_stop:
                raise
        finally:
            ordinary.cancel()

    def highwater_of(self, tp: TP) -> int | None:
        """The end of the partition as of the last fetch; None: not fetched yet, or not assigned."""
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or tp not in assignment.tps:
            return None
        highwater: int | None = assignment.state_value(tp).highwater
        return highwater

    # -- commits

    async def commit_offsets(self, commits: Mapping[TP, OffsetAndMetadata]) -> None:
        """Raises KafkaError or TimeoutError."""
        if commits:
            await asyncio.wait_for(self._thread.commit_offsets(commits), self.app.conf.broker_request_timeout)

    def check_membership(self) -> None:
        """Raise Expelled if the coordinator has not answered for so long that it may have given our partitions away.

        No fence: a worker may freeze right behind this check. Marks make what it then writes harmless.
        """
        silent = monotonic() - self._thread.heard
        if self._thread.heard and silent > self.app.conf.broker_session_timeout:
            raise Expelled(f"no heartbeat answered for {silent:.1f} s")

    async def wait_empty(self) -> None:
        """Called by Faust when partitions are revoked and when the worker stops: the last cuts, then the ordinary topics."""
        if self.app.crashed:
            return
        self.ordinary.inbox.clear()
        for checkpoint in self.app.checkpoints:
            await checkpoint.settle()
        if self._unacked_messages or self._acked:
            try:
                await asyncio.wait_for(super().wait_empty(), SETTLE_TIMEOUT_S)
            except TimeoutError:
                self.log.warning("messages of ordinary topics were not finished in %s s: they will come again", SETTLE_TIMEOUT_S)

    # -- where to begin

    async def perform_seek(self) -> None:
        """Called by Faust when tables are recovered. The flow is stopped meanwhile (Faust resumes it afterwards): nothing must
        be taken from where we stood before. Raises RecordsGone, Unrecovered, WrongDeclaration."""
        self.stop_flow()
        await super().perform_seek()
        assigned = self.assignment()
        for checkpoint in self.app.checkpoints:
            await self._begin(checkpoint, {tp for tp in assigned if tp.topic in checkpoint.topics}, assigned)

    async def _begin(self, checkpoint: Checkpoint, tps: set[TP], assigned: set[TP]) -> None:
        committed: dict[TP, OffsetAndMetadata] = {}
        found: dict[TP, Start] = {}
        if tps:
            starts.check_partitions(checkpoint, self.topic_partitions)
            starts.check_recovered(checkpoint, tps, assigned)
            committed = await self._thread.committed(tps)
            first, end = await self.earliest_offsets(*tps), await self.highwaters(*tps)
            own = await starts.own(checkpoint.stages, tps)
            found = starts.find(self.app.conf.id, tps, own, committed, first, end)
            await self.seek_wait({tp: start.offset for tp, start in found.items()})  # aiokafka leaves one without a commit where it stands
        self.app.tables.recovery.check_current()  # a checkpoint that begins now with partitions that are gone could only fail
        checkpoint.begin(found, {tp: (commit.offset, commit.metadata) for tp, commit in committed.items()})


class Transport(driver.Transport):  # type: ignore[misc]  # Faust ships no types
    Consumer = Consumer
    Producer = Producer
