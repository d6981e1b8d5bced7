"""The parts of the bridge without processes around them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber

from pipeline import quarantine
from pipeline.backoff import LONGEST_S, Backoff
from pipeline.bridge.bridge import Bridge
from pipeline.bridge.inbox import Inbox, Taken
from pipeline.bridge.link import BYTES, OTHER, TEXT, Link, jms_type
from pipeline.bridge.sender import MAX_BATCH_BYTES, Record, Retired, Sender
from pipeline.settings import read
from pipeline.topics import BILLING, QUARANTINE
from tests.bridge.support import custom, left_in, post
from tests.conftest import PATIENCE_S

STOMP_ID = "ID:host-45527-1795370283963-4:10:-1:1:1"
OPENWIRE_ID = "ID:host-36063-1795370290839-1:1:1:1:1"


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"message-id": STOMP_ID}, b"{}", TEXT),
        ({"message-id": STOMP_ID, "content-length": "2"}, b"{}", BYTES),
        ({"message-id": STOMP_ID, "content-length": "0"}, b"", BYTES),
        ({"message-id": STOMP_ID}, b"", TEXT),
        ({"message-id": STOMP_ID, "transformation": "jms-map-json"}, b"", OTHER),
        ({"message-id": OPENWIRE_ID}, b"{}", TEXT),
        ({"message-id": OPENWIRE_ID, "content-length": "0"}, b"", BYTES),
        ({"message-id": OPENWIRE_ID}, b"", OTHER),
        ({}, b"", OTHER),
    ],
)
def test_jms_types(headers: dict[str, str], body: bytes, expected: str) -> None:
    assert jms_type(headers, body) == expected


def taken(number: int, size: int = 1) -> Taken:
    return Taken(cast(Link, None), str(number), "", "", TEXT, 0, b"x" * size)


async def test_inbox_loses_no_wake_up() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    count = 20_000

    def fill() -> None:
        for number in range(count):
            inbox.put(taken(number))
            if number % 300 == 0:
                time.sleep(0.002)  # lets the reader empty it and wait

    thread = threading.Thread(target=fill)
    thread.start()
    got: list[Taken] = []
    while len(got) < count:
        got += await asyncio.wait_for(inbox.take(50, 10_000), PATIENCE_S)
    thread.join()
    assert [int(message.ack_id) for message in got] == list(range(count))


async def test_inbox_gives_out_by_count_and_by_size() -> None:
    inbox = Inbox(asyncio.get_running_loop())
    for number in range(10):
        inbox.put(taken(number, size=100))
    assert len(await inbox.take(3, 10_000)) == 3
    assert len(await inbox.take(100, 250)) == 3
    assert len(await inbox.take(100, 10_000)) == 4


def test_backoff_grows_to_its_limit_and_starts_anew() -> None:
    backoff = Backoff()
    pauses = [backoff.next() for _ in range(20)]
    assert pauses[0] <= 0.1
    assert all(LONGEST_S / 2 <= pause <= LONGEST_S for pause in pauses[10:])
    assert len(set(pauses[10:])) > 1, "no jitter"
    backoff.reset()
    assert backoff.next() <= 0.1


def test_quarantine_record() -> None:
    where: dict[str, Any] = {"stage": quarantine.AGENTS, "source": BILLING, "message_id": "ID:1#2", "jms_type": "", "receipt": 17}
    key, value, headers = quarantine.record(key=b"K", value=b"V", reason="late", detail="d", element=None, partition=3, offset=99, **where)
    assert (key, value) == (b"K", b"V")
    assert headers == [
        ("reason", b"late"),
        ("detail", b"d"),
        ("stage", b"agents"),
        ("source", b"rs.billing"),
        ("message_id", b"ID:1#2"),
        ("element", b""),
        ("jms_type", b""),
        ("receipt", b"17"),
        ("partition", b"3"),
        ("offset", b"99"),
    ]


async def none() -> tuple[str, ...]:
    return ()


class HeldSender(Sender):
    """Takes records and confirms them only when told to."""

    def __init__(self) -> None:
        super().__init__("", none)
        self.partitions = {BILLING: 4, QUARANTINE: 4}
        self.held: list[Record] = []

    async def start(self) -> None:
        self.connected.set()

    def send(self, topic: str, partition: int, record: Record) -> None:
        self.held.append(record)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_only_what_is_confirmed_is_acknowledged(activemq: int, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bridge.bridge.FINISH_S", 0.5)
    array = b"[%s,%s,5]" % (custom(100), custom(101))
    await asyncio.to_thread(post, activemq, queue, [*(custom(number) for number in range(4)), array, custom(200)])
    sender = HeldSender()
    bridge = Bridge(read(activemq={"port": activemq, "queues": [queue]}), sender)
    await bridge.start()
    await _until(lambda: len(sender.held) == 8)
    for place in (0, 2, 4, 5, 7):  # messages 0, 2 and 200, of the array two elements of three
        sender.held[place].confirmed()
    await bridge.stop()
    left = await asyncio.to_thread(left_in, activemq, queue)
    bodies = [json.loads(frame.body) for frame in left]
    assert [body["value"] if isinstance(body, dict) else "array" for body in bodies] == ["1", "3", "array"]


async def test_what_nobody_understands_ends_the_bridge(activemq: int, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bridge.bridge.FINISH_S", 0.5)
    monkeypatch.setattr("pipeline.bridge.bridge.parse", lambda *_, **__: 1 / 0)
    await asyncio.to_thread(post, activemq, queue, [custom(1)])
    bridge = Bridge(read(activemq={"port": activemq, "queues": [queue]}), HeldSender())
    await bridge.start()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(bridge.failed, PATIENCE_S)
    await bridge.stop()
    assert len(await asyncio.to_thread(left_in, activemq, queue)) == 1


class FailingSender(Sender):
    """Fails the first deliveries, then confirms."""

    def __init__(self, failures: int, error: Exception) -> None:
        super().__init__("", none)
        self.delivered: list[list[int]] = []
        self.attempts: Counter[int] = Counter()
        self.renewals = 0
        self._failures = failures
        self._error = error

    async def deliver(self, topic: str, partition: int, records: list[Record]) -> None:
        self.attempts[partition] += 1
        await asyncio.sleep(0)
        if self.attempts[partition] <= self._failures:
            raise self._error
        self.delivered.append([int(record.value) for record in records])

    async def renew(self, failed: str) -> None:
        self.renewals += 1


@pytest.mark.parametrize("error", [KafkaTimeoutError(), OutOfOrderSequenceNumber(), Retired()])
async def test_a_failed_batch_is_sent_again_before_the_next(error: Exception) -> None:
    sender = FailingSender(2, error)
    confirmed: list[int] = []
    for number in range(3):
        sender.send(BILLING, 0, Record(b"k", b"%d" % number, [], 0, lambda number=number: confirmed.append(number)))
    await asyncio.sleep(0)
    sender.send(BILLING, 0, Record(b"k", b"3", [], 0, lambda: confirmed.append(3)))
    assert confirmed == []
    await _until(lambda: len(confirmed) == 4)
    assert sender.delivered == [[0, 1, 2], [3]]
    assert confirmed == [0, 1, 2, 3]
    assert sender.renewals == (0 if isinstance(error, Retired) else 2)
    await sender.stop()


async def test_batches_end_where_the_next_record_does_not_fit(kafka: str) -> None:
    """Also that no batch refuses what the lane put into it: every record is there afterwards."""
    sender = FailingSender(0, Retired())
    sizes = [MAX_BATCH_BYTES // 3] * 5 + [MAX_BATCH_BYTES * 2] + [10] * 3
    for size in sizes:
        sender.send(BILLING, 0, Record(b"k" * 36, b"1" * size, [("h", b"v" * 50)] * 6, 1_795_000_000_000, lambda: None))
    lane = sender._lanes[BILLING, 0]
    lane.task.cancel()
    async with AIOKafkaProducer(bootstrap_servers=kafka, max_batch_size=MAX_BATCH_BYTES) as producer:
        counts = []
        while lane._waiting:
            records, batch = lane._next(), producer.create_batch()
            assert all(batch.append(key=one.key, value=one.value, headers=one.headers, timestamp=one.timestamp_ms) for one in records)
            counts.append(len(records))
    assert counts == [2, 2, 1, 1, 3]
    await sender.stop()
