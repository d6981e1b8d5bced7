"""ActiveMQ to Kafka: take, check, send, and only then acknowledge (architecture, the promise, point 1).

Every message taken is in exactly one place: the inbox, or a Delivery whose records are in the lanes of the sender, or settled. It is
settled when Kafka has confirmed every record of it, and then acknowledged on the connection it came from; if that is gone, ActiveMQ
gives it out again, and its repetition is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from pipeline import generations, quarantine
from pipeline.backoff import LONGEST_S, Backoff
from pipeline.bridge import metrics
from pipeline.bridge.inbox import Inbox, Taken
from pipeline.bridge.link import OTHER, Link, LinkLost
from pipeline.bridge.sender import Record, Sender, watched
from pipeline.generation import FIRST
from pipeline.messages import Bad, Good, parse, record_headers
from pipeline.settings import Settings, WrongSettings
from pipeline.stomp_connection import place
from pipeline.topics import QUARANTINE, partition_of

TAKE_MESSAGES = 200  # read in one go, so that the loop can send heart-beats and acknowledgements in between
TAKE_BYTES = 1024 * 1024
FINISH_S = 10.0  # how long a stop waits for Kafka to confirm what was taken

log = structlog.get_logger("bridge")


class Delivery:
    """A message on its way to Kafka."""

    __slots__ = ("message", "open")

    def __init__(self, message: Taken, records: int) -> None:
        self.message = message
        self.open = records  # not yet confirmed


class Bridge:
    """Between start() and stop() in one event loop. `failed` gets an exception that must end the process.

    `generation` is the one that was current at the first connection, once `connected` is set: its log is written to until the end.
    """

    def __init__(self, settings: Settings, sender: Sender | None = None) -> None:
        self._settings = settings
        self._sender = sender or Sender(settings.kafka.bootstrap, self._topics)
        self.failed = self._sender.failed
        self.connected = self._sender.connected
        self.generation = FIRST
        self._has_asked = False
        self._inbox = Inbox(asyncio.get_running_loop())
        self._link: Link | None = None
        self._settled: list[Taken] = []
        self._some_settled = asyncio.Event()
        self._settling = False
        self._on_their_way = 0  # messages handed to the sender
        self._fault: str | None = "not connected to ActiveMQ yet"
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns at once; connects in the background and goes on for ever."""
        await self._sender.start()
        self._tasks = [watched(run(), self.failed) for run in (self._stay_connected, self._read, self._acknowledge)]

    async def _topics(self) -> tuple[str, ...]:
        if not self._has_asked:
            self.generation, self._has_asked = (await generations.read(self._settings.kafka.bootstrap)).live, True
        return self.generation.billing, QUARANTINE

    async def stop(self) -> None:
        """Take nothing more, finish what was taken as far as Kafka lets us, disconnect."""
        if not self._tasks:
            return
        connecting, *others = self._tasks
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        if self._link is not None:
            self._link.taking = False
        end = time.monotonic() + FINISH_S
        while self.window and time.monotonic() < end and not (self._link is None or self._link.lost.is_set()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # four places to wait for, once in a lifetime: looking is simpler than four events
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._link is not None:
            await asyncio.to_thread(self._link.close)
        await self._sender.stop()
        self._tasks = []
        log.info("stopped", unacknowledged=self.window)

    @property
    def window(self) -> int:
        """Messages taken and not yet acknowledged."""
        return len(self._inbox) + self._on_their_way + len(self._settled) + self._settling

    def activemq_fault(self) -> str | None:
        return self._fault

    def kafka_fault(self) -> str | None:
        return self._sender.fault()

    async def _stay_connected(self) -> None:
        backoff, said = Backoff(), ""
        await self._sender.connected.wait()  # nothing is taken that could not go on
        while True:
            try:
                link = self._link = Link(self._settings.activemq, self._settings.bridge.window, self._inbox, asyncio.get_running_loop())
                # A new thread each time: stomp.py must not connect from the thread that lost the connection.
                await asyncio.to_thread(link.open)
            except (LinkLost, WrongSettings) as exc:  # a file with a certificate or a password may be renewed under us
                self._fault = str(exc)
                if said != self._fault:
                    log.warning("activemq unreachable", error=self._fault)
                    said = self._fault
                await asyncio.sleep(backoff.next())
                continue
            self._fault, said = None, ""
            since = time.monotonic()
            metrics.CONNECTED.set(1)
            log.info("ready", activemq=place(self._settings.activemq), queues=self._settings.activemq.queues)
            await link.lost.wait()
            metrics.CONNECTED.set(0)
            metrics.LOST.inc()
            self._fault = f"connection to ActiveMQ lost: {link.reason}"
            log.warning("activemq lost", error=link.reason)
            await asyncio.to_thread(link.close)
            if time.monotonic() - since > LONGEST_S:  # a broker that throws us out at once is not asked at once
                backoff.reset()
            await asyncio.sleep(backoff.next())

    async def _read(self) -> None:
        while True:
            messages = await self._inbox.take(TAKE_MESSAGES, TAKE_BYTES)
            for message in messages:
                if not message.link.lost.is_set():  # else ActiveMQ gives it out again anyway
                    self._hand_on(message)
            metrics.TAKEN.inc(len(messages))
            metrics.WINDOW.set(self.window)
            await asyncio.sleep(0)

    def _hand_on(self, message: Taken) -> None:
        limits = self._settings.bridge
        good, bad = parse(
            message.body,
            message.receipt,
            decodable=message.jms_type != OTHER,
            max_message_bytes=limits.max_message_bytes,
            max_event_bytes=limits.max_event_bytes,
        )
        delivery = Delivery(message, len(good) + len(bad))
        self._on_their_way += 1
        for event in good:
            self._send_event(event, delivery)
        for fault in bad:
            self._send_fault(fault, delivery)

    def _send_event(self, event: Good, delivery: Delivery) -> None:
        message = delivery.message
        counter = metrics.BRIDGED.labels(event.kind)

        def confirmed() -> None:
            counter.inc()
            self._confirmed(delivery)

        headers = record_headers(event, message.message_id, message.queue, message.receipt)
        topic = self.generation.billing
        partition = partition_of(event.key, self._sender.partitions[topic])
        self._sender.send(topic, partition, Record(event.key, event.value, headers, message.receipt, confirmed))

    def _send_fault(self, fault: Bad, delivery: Delivery) -> None:
        message = delivery.message

        def confirmed() -> None:
            metrics.QUARANTINED.labels(fault.reason).inc()
            self._confirmed(delivery)

        key, value, headers = quarantine.record(
            key=fault.key,
            value=fault.original,
            reason=fault.reason,
            detail=fault.detail,
            stage=quarantine.BRIDGE,
            source=message.queue,
            message_id=message.message_id,
            element=fault.index,
            jms_type=message.jms_type,
            receipt=message.receipt,
        )
        partition = partition_of(key or message.message_id.encode(), self._sender.partitions[QUARANTINE])
        self._sender.send(QUARANTINE, partition, Record(key, value, headers, message.receipt, confirmed))

    def _confirmed(self, delivery: Delivery) -> None:
        delivery.open -= 1
        if not delivery.open:
            self._on_their_way -= 1
            self._settled.append(delivery.message)
            self._some_settled.set()

    async def _acknowledge(self) -> None:
        while True:
            await self._some_settled.wait()
            self._some_settled.clear()
            settled, self._settled, self._settling = self._settled, [], True
            for link in {message.link for message in settled}:
                await self._settle(link, [message for message in settled if message.link is link])
            self._settling = False
            metrics.WINDOW.set(self.window)

    async def _settle(self, link: Link, messages: list[Taken]) -> None:
        # What has no body over STOMP still has one in the broker: its dead letter queue keeps the original.
        acks = [message.ack_id for message in messages if message.jms_type != OTHER]
        nacks = [message.ack_id for message in messages if message.jms_type == OTHER]
        with contextlib.suppress(LinkLost):  # ActiveMQ gives them out again; _stay_connected says so
            await asyncio.to_thread(link.settle, acks, nacks)
            metrics.ACKNOWLEDGED.inc(len(messages))
            now = time.time()
            for message in messages:
                metrics.LATENCY.observe(max(0.0, now - message.receipt / 1000))
