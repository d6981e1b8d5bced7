"""The number of partitions is changed: the log copied exactly, also when that is broken off, and a whole stack moved to the copy under
traffic."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.errors import MessageSizeTooLargeError

from pipeline import generations, init, reading, topics
from pipeline.doctor import kafka as kafka_look
from pipeline.generation import FIRST, Generation
from pipeline.rebuild.copying import COPIED, Copier, Standing, stands
from pipeline.rebuild.log import Log
from pipeline.rebuild.steps import Rebuild, RebuildFault
from pipeline.settings import Settings, read
from sinks.databases import dialect_of
from sinks.sql.migrate import migrate
from sinks.sql.writer import Writer
from sinks.topic_id import topic_id
from tests.bridge.support import Worker, custom, left_in
from tests.bridge.support import post as post_messages
from tests.conftest import PATIENCE_S, kafka_node
from tests.e2e.stack import RS, Stack, stack
from tests.e2e.test_spine import judge, scenario
from tests.topics import without_topics

OLD, NEW = 4, 6
COPY = Generation(2).own_log
PART = 100  # messages a command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with kafka_node(tmp_path_factory.mktemp("kafka")) as bootstrap:
        yield bootstrap


# -- the copy


async def fresh_topics(settings: Settings) -> None:
    """Those of generation 1, empty, and nothing that an earlier test left."""
    await without_topics(settings.kafka.bootstrap)
    await init.create_topics(settings)


async def with_log_of_its_own(settings: Settings, number: int, **more: Any) -> Generation:
    """A generation with its topics; of its log there is nothing yet."""
    made = Generation(number, {}, billing=Generation(number).own_log, partitions=NEW, **more)
    made = msgspec.structs.replace(made, history=dict.fromkeys(range(NEW), 0))
    await init.create(settings, topics.all_topics(0, made), made, time.monotonic() + PATIENCE_S)
    return made


async def post(bootstrap: str, numbers: range) -> None:
    """Records of a few keys; receipts of one partition are not in order."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for n in numbers:
            key = b"KEY-%d" % (n % 41)
            headers = [("ce_id", b"ID:%d" % n)]
            await producer.send(topics.BILLING, b"%d" % n, key, topics.partition_of(key, OLD), 1_795_000_000_000 + n - n % 3 * 5, headers)


async def all_of(bootstrap: str, topic: str, partitions: int) -> list[ConsumerRecord]:
    return [record async for record in reading.records(bootstrap, topic, range(partitions))]


async def ends_of(bootstrap: str, topic: str) -> dict[int, int]:
    async with Log(bootstrap) as log:
        return {partition: end for (_, partition), end in (await log.ends([topic])).items()}


async def test_a_copy_that_is_broken_off_goes_on_where_it_was(own_kafka: str) -> None:
    settings = read(kafka={"bootstrap": own_kafka, "partitions": OLD})
    await fresh_topics(settings)
    await with_log_of_its_own(settings, 2)
    await post(own_kafka, range(3000))
    first = Copier(own_kafka, topics.BILLING, COPY, NEW, Standing(dict.fromkeys(range(OLD), 0), {}))
    first.start()
    await first.reached(await ends_of(own_kafka, topics.BILLING))
    history, copied = await ends_of(own_kafka, COPY), dict(first.next)
    await post(own_kafka, range(3000, 4000))
    await first.reached(await ends_of(own_kafka, topics.BILLING))
    await first.stop()
    await post(own_kafka, range(4000, 5000))
    # What was sent after `copied` was written down is found in the copy itself.
    again = await stands(own_kafka, COPY, history, copied)
    assert again.next == copied
    second = Copier(own_kafka, topics.BILLING, COPY, NEW, again)
    second.start()
    await second.reached(await ends_of(own_kafka, topics.BILLING))
    await second.stop()

    old, new = await all_of(own_kafka, topics.BILLING, OLD), await all_of(own_kafka, COPY, NEW)
    assert sorted(int(record.value) for record in new) == list(range(5000))
    was = {int(record.value): record for record in old}
    for record in new:
        source = was[int(record.value)]
        assert (record.key, record.timestamp, record.partition) == (source.key, source.timestamp, topics.partition_of(source.key, NEW))
        assert record.headers == (*source.headers, (COPIED, b"%d:%d" % (source.partition, source.offset)))
    for key in {record.key for record in old}:
        assert [r.value for r in new if r.key == key] == [r.value for r in old if r.key == key]
    # Stream time goes on in the copy as it did: no partition of the old log runs ahead of the others.
    for partition in range(NEW):
        times = [r.timestamp for r in new if r.partition == partition and int(r.value) < 3000]
        assert max(latest - time for latest, time in zip(itertools.accumulate(times, max), times, strict=True)) <= 15


async def test_a_sealed_topic_takes_nothing_and_keeps_all(own_kafka: str) -> None:
    settings = read(kafka={"bootstrap": own_kafka, "partitions": OLD})
    await fresh_topics(settings)
    await post(own_kafka, range(10))
    before = await ends_of(own_kafka, topics.BILLING)
    async with Log(own_kafka) as log:
        await log.seal(topics.BILLING)
    async with AIOKafkaProducer(bootstrap_servers=own_kafka) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topics.BILLING, b"1", b"K", partition=0)
    assert await ends_of(own_kafka, topics.BILLING) == before
    async with Log(own_kafka) as log:
        kept = await log.config(topics.BILLING)
    assert (kept["retention.ms"], kept["cleanup.policy"]) == ("-1", "delete")


# -- the bridge


async def test_a_bridge_that_knows_nothing_of_the_swap_acknowledges_nothing(own_kafka: str, activemq: int, tmp_path: Path) -> None:
    """Its log is sealed before it looks: what it took goes into the new log by the next one."""
    settings = read(kafka={"bootstrap": own_kafka, "partitions": OLD})
    await fresh_topics(settings)
    queue = "rs.rebuild.partitions"
    bridge = Worker(tmp_path / "bridge.log", activemq, own_kafka, queue)
    bridge.start()
    try:
        await asyncio.to_thread(post_messages, activemq, queue, map(custom, range(50)))
        await until(lambda: queue_reached(own_kafka, topics.BILLING, 50))
        async with Log(own_kafka) as log:
            await log.seal(topics.BILLING)
        await asyncio.to_thread(post_messages, activemq, queue, map(custom, range(50, 120)))
        await until(lambda: asyncio.to_thread(lambda: "kafka" in (bridge.unready() or {})))
        copy = await with_log_of_its_own(settings, 2)
        await generations.make_current(own_kafka, copy)
        assert bridge.process is not None
        assert await asyncio.to_thread(bridge.process.wait, PATIENCE_S) == 0
        bridge.start()
        await until(lambda: queue_reached(own_kafka, COPY, 70))
        numbers = sorted(int(orjson.loads(record.value)["value"]) for record in await all_of(own_kafka, COPY, NEW))
        assert numbers == list(range(50, 120))
        assert sum((await ends_of(own_kafka, topics.BILLING)).values()) == 50
        await asyncio.to_thread(bridge.stop)
        assert await asyncio.to_thread(left_in, activemq, queue) == []  # after its stop nothing is on its way
    finally:
        bridge.kill()


async def queue_reached(bootstrap: str, topic: str, count: int) -> bool:
    return sum((await ends_of(bootstrap, topic)).values()) >= count


async def until(true: Callable[[], Awaitable[bool]], timeout_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(timeout_s):
        while not await true():  # noqa: ASYNC110 - what is asked has no event to wait for
            await asyncio.sleep(0.2)


# -- what comes before and after


async def test_what_a_rebuild_makes_of_a_log_that_was_copied(own_kafka: str, tmp_path: Path) -> None:
    settings = read(kafka={"bootstrap": own_kafka, "partitions": OLD}, stack={"data": str(tmp_path)})
    await fresh_topics(settings)
    await post(own_kafka, range(1000))
    live = await with_log_of_its_own(settings, 2, copy_of=topics.BILLING, copied=dict.fromkeys(range(OLD), 0))
    await generations.make_current(own_kafka, live)
    store = dialect_of(settings)
    migrate(store)
    writer = Writer(store)
    writer.claim(await topic_id(own_kafka, COPY), 2)
    writer.close()
    said: list[str] = []
    found = {finding.part: finding for finding in await kafka_look.look(settings)}
    assert "not all of rs.billing is copied into rs.billing.g2" in found["generation"].mend
    async with Log(own_kafka) as log:
        # The one before broke off after its swap: the rest is copied.
        plain = Rebuild(settings, log, said.append)
        await plain.prepare()
        assert "before all of rs.billing was copied into rs.billing.g2" in said[0]
        assert sorted(int(record.value) for record in await all_of(own_kafka, COPY, NEW)) == list(range(1000))
        assert (await generations.read(own_kafka)).live.copy_of == ""
        assert {f.part: f.said for f in await kafka_look.look(settings)}["topics"] == "10 of 10, 6 partitions each"
        # Without a number: the same log and as many partitions.
        assert (plain.new.number, plain.new.billing, plain.new.partitions) == (3, COPY, NEW)
        assert plain.new.history == await ends_of(own_kafka, COPY)
        assert len(await log.partitions(plain.new.activity)) == NEW
        assert await plain.drop_new()
        assert await log.count(COPY) == NEW
        with pytest.raises(RebuildFault, match="has 6 partitions already"):
            await Rebuild(settings, log, said.append, NEW).prepare()
        # With one: a copy of the copy, dropped with its generation, and the log that is in use stays.
        third = Rebuild(settings, log, said.append, 2)
        await third.prepare()
        assert (third.new.billing, third.new.copy_of, await log.count(third.new.billing)) == ("rs.billing.g4", COPY, 2)
        async with third.copying():
            pass
        records = await all_of(own_kafka, third.new.billing, 2)
        assert sorted(int(record.value) for record in records) == list(range(1000))
        assert all([name for name, _ in record.headers].count(COPIED) == 1 for record in records)
        assert third.new.history == await ends_of(own_kafka, third.new.billing)
        assert await third.drop_new()
        assert await log.count(third.new.billing) == 0
        assert (await log.count(COPY), await log.count(topics.BILLING)) == (NEW, OLD)


async def test_a_log_without_its_beginning_is_not_copied(own_kafka: str, tmp_path: Path) -> None:
    settings = read(kafka={"bootstrap": own_kafka, "partitions": OLD}, stack={"data": str(tmp_path)})
    await fresh_topics(settings)
    await post(own_kafka, range(100))
    store = dialect_of(settings)
    migrate(store)
    writer = Writer(store)
    writer.claim(await topic_id(own_kafka, topics.BILLING), 1)
    writer.close()
    async with Log(own_kafka) as log:
        await log._admin.delete_records({TopicPartition(topics.BILLING, 0): RecordsToDelete(before_offset=5)})
        with pytest.raises(RebuildFault, match="lost its beginning"):
            await Rebuild(settings, log, lambda _: None, NEW).prepare()
        assert await log.count(COPY) == 0


# -- the stack


class Traffic(threading.Thread):
    """Posts the lines of a file, a part after the other without a pause, and what is left at once when it is told that it may end.
    `behind`: lines posted."""

    def __init__(self, made: Stack, lines: list[bytes], folder: Path) -> None:
        super().__init__(daemon=True)
        self.made, self.lines, self.file = made, lines, folder / "part.ndjson"
        self.behind = 0
        self.may_end = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self.behind < len(self.lines):
                count = len(self.lines) if self.may_end.is_set() else PART
                self.file.write_bytes(b"".join(self.lines[self.behind :][:count]))
                self.made.rs("send", str(self.file))
                self.behind += count
        except BaseException as exc:
            self.failure = exc


def test_from_four_to_six_partitions_under_traffic(tmp_path: Path) -> None:
    events = scenario(tmp_path / "calls.ndjson")
    lines = (tmp_path / "calls.ndjson").read_bytes().splitlines(keepends=True)
    with stack(tmp_path / "data", RS_FOLD__LATENESS="0", RS_KAFKA__PARTITIONS=str(OLD)) as made:
        bootstrap = made.environment["RS_KAFKA__BOOTSTRAP"]
        traffic = Traffic(made, lines, tmp_path)
        traffic.start()
        while not made.rows("SELECT 1 FROM calls LIMIT 1"):
            traffic.join(0.2)
        begun = traffic.behind
        done = subprocess.run(
            [*RS, "rebuild", "--yes", "--partitions", str(NEW)],
            env=made.environment,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_S,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert begun < traffic.behind < len(lines) - PART  # it went on from before to after
        assert "\n0 differences in " in done.stdout
        traffic.may_end.set()
        traffic.join(PATIENCE_S)
        assert traffic.failure is None
        judge(made, events)

        asyncio.run(nothing_is_lost(bootstrap, events))
        told = orjson.loads(made.rs("explain", events[-1]["guid"], "--json"))
        assert (told["topic"], told["partition"]) == (COPY, topics.partition_of(events[-1]["guid"].encode(), NEW))
        of_the_call = [event for event in events if event["guid"] == events[-1]["guid"]]
        assert sorted(step["outcome"] for step in told["steps"]) == ["added"] * len(of_the_call)
        assert made.rows("SELECT DISTINCT source_partition AS p FROM calls ORDER BY p")[-1]["p"] == NEW - 1
        assert made.stop() == 0


async def nothing_is_lost(bootstrap: str, events: list[dict[str, object]]) -> None:
    known = await generations.read(bootstrap)
    assert (known.current, known.live.billing, known.live.partitions, known.live.copy_of) == (2, COPY, NEW, "")
    old, new = await all_of(bootstrap, FIRST.billing, OLD), await all_of(bootstrap, COPY, NEW)
    copied = Counter(dict(record.headers).get(COPIED) for record in new)
    of_the_bridge = copied.pop(None)
    assert copied == Counter(b"%d:%d" % (record.partition, record.offset) for record in old)
    assert of_the_bridge > 0
    # What was sent to the old log and not confirmed comes again, and may have come twice: no more than a window of it.
    assert {(r.key, r.value) for r in new} == {(r.key, r.value) for r in new if b"kind" in r.value}
    assert len({r.value for r in new}) == len(events)
