"""The bridge as a process between real brokers."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from pipeline.messages import parse
from pipeline.topics import BILLING, QUARANTINE, partition_of
from tests.bridge.conftest import Start
from tests.bridge.support import custom, guid, left_in, numbers_in, post, records, records_now, take_from, until
from tests.messages.examples import contract_examples, event


def test_text_and_bytes_arrive_with_exact_headers(activemq: int, topics: str, queue: str, start: Start) -> None:
    start(activemq, topics, queue)
    before = time.time_ns() // 1_000_000
    post(activemq, queue, [custom(1, seq=1)])
    post(activemq, queue, [custom(1, seq=2, guid=guid(1).lower() + ";tail", reason="grüße 😀")], as_bytes=True)
    post(activemq, queue, [b"[%s]" % b",".join([custom(1, seq=3), custom(1, seq=4)])])
    found = records(topics, BILLING, queue, 4)
    after = time.time_ns() // 1_000_000

    assert [json.loads(record.value)["seq"] for record in found] == [1, 2, 3, 4]
    assert {record.key for record in found} == {guid(1).encode()}
    assert {record.partition for record in found} == {partition_of(guid(1).encode(), 8)}
    assert all(before <= record.timestamp <= after for record in found)
    assert json.loads(found[1].value)["reason"] == "grüße 😀"
    assert json.loads(found[1].value)["guid"] == guid(1)
    for record in found:
        assert [name for name, _ in record.headers] == ["rs_digest", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"]
        headers = dict(record.headers)
        (good,) = parse(record.value, record.timestamp).good
        assert headers["rs_digest"] == good.digest.to_bytes(4, "big")
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_type"] == b"var.custom"
        assert headers["ce_time"].endswith(b"Z")
        assert datetime.fromisoformat(headers["ce_time"].decode()) == datetime.fromtimestamp(record.timestamp / 1000, UTC)
    ids = [dict(record.headers)["ce_id"].decode() for record in found]
    assert all(one.startswith("ID:") for one in ids)
    assert "#" not in ids[0] + ids[1]
    assert ids[2].partition("#")[0] == ids[3].partition("#")[0]
    assert [ids[2].partition("#")[2], ids[3].partition("#")[2]] == ["0", "1"]
    until(lambda: left_in(activemq, queue) == [], what="all acknowledged")


def test_the_bad_is_set_aside_and_the_good_goes_on(activemq: int, topics: str, queue: str, start: Start) -> None:
    start(activemq, topics, queue)
    over = custom(9) + b" " * 1_048_576
    late_fault = custom(7, ts=5)
    post(activemq, queue, [b"", b"nope", b"[]", over, b"[%s, 5 ,%s]" % (custom(8), late_fault), *contract_examples()])
    good = records(topics, BILLING, queue, 10)
    bad = records(topics, QUARANTINE, queue, 6)
    assert len(good) == 10
    rows = {(dict(record.headers)["reason"].decode(), dict(record.headers)["element"].decode()): record for record in bad}
    assert set(rows) == {("not_json", ""), ("bad_batch", ""), ("too_large", ""), ("not_object", "1"), ("ts_range", "2")}
    assert len(bad) == 6  # two are not_json
    assert rows["too_large", ""].value == over
    assert rows["not_object", "1"].value == b"5"
    assert rows["ts_range", "2"].value == late_fault
    assert rows["ts_range", "2"].key == guid(7).encode()
    assert rows["bad_batch", ""].key is None
    headers = [("reason", b"ts_range"), ("stage", b"bridge"), ("source", queue.encode()), ("element", b"2"), ("jms_type", b"TextMessage")]
    row = rows["ts_range", "2"]
    assert [name for name, _ in row.headers] == ["reason", "detail", "stage", "source", "message_id", "element", "jms_type", "receipt"]
    assert set(headers) <= set(row.headers)
    assert dict(row.headers)["receipt"] == str(row.timestamp).encode()
    assert dict(row.headers)["message_id"].startswith(b"ID:")
    until(lambda: left_in(activemq, queue) == [], what="all acknowledged")


def test_a_body_that_no_record_holds_is_cut(activemq: int, topics: str, queue: str, start: Start) -> None:
    worker = start(activemq, topics, queue)
    post(activemq, queue, [b" " * (16 * 1024 * 1024 - 2000), custom(1)], as_bytes=True)
    assert numbers_in(records(topics, BILLING, queue, 1)) == {1}
    (row,) = records(topics, QUARANTINE, queue, 1)
    assert dict(row.headers)["reason"] == b"too_large"
    assert len(row.value) == 16 * 1024 * 1024 - 64 * 1024
    assert b"kept: the first" in dict(row.headers)["detail"]
    until(lambda: worker.metric("rs_bridge_messages_acknowledged_total") == 2, what="both acknowledged")


ROUNDS = 5  # how often a stop may come too late to show anything, on a machine that was busy elsewhere


def test_killed_in_the_middle_nothing_is_lost(activemq: int, topics: str, queue: str, start: Start) -> None:
    posted = 0
    for _ in range(ROUNDS):
        post(activemq, queue, (custom(number) for number in range(posted, posted + 5000)))
        posted += 5000
        worker = start(activemq, topics, queue, ready=False, RS_BRIDGE__WINDOW="500")
        until(lambda worker=worker: worker.taken() > 300, what="under way")
        worker.kill()
        arrived = len(numbers_in(records_now(topics, BILLING, queue)))
        if arrived < posted:
            break
    assert 0 < arrived < posted, "killed too early or too late to show anything"
    start(activemq, topics, queue)
    until(lambda: numbers_in(records(topics, BILLING, queue, posted)) == set(range(posted)), what="all events")


def test_sigterm_finishes_what_was_taken(activemq: int, topics: str, queue: str, start: Start) -> None:
    posted, left = 0, set[int]()
    for _ in range(ROUNDS):
        post(activemq, queue, (custom(number) for number in range(posted, posted + 4000)))
        posted += 4000
        worker = start(activemq, topics, queue, ready=False)
        until(lambda worker=worker: worker.taken() > 300, what="under way")
        assert worker.stop() == 0
        arrived = numbers_in(records_now(topics, BILLING, queue))
        left = {int(json.loads(frame.body)["value"]) for frame in take_from(activemq, queue)}
        if left:
            break
    assert left, "stopped too late to show anything"
    assert arrived | left == set(range(posted))
    assert not arrived & left, "what Kafka has was acknowledged"
    assert b"unacknowledged=0" in worker.log.read_bytes()


def test_starts_without_brokers_and_says_what_is_missing(queue: str, start: Start) -> None:
    worker = start(1, "127.0.0.1:1", queue, ready=False)
    until(lambda: worker.unready() is not None, what="health answers")
    until(lambda: "127.0.0.1:1" in (worker.unready() or {}).get("kafka", ""), what="says which Kafka")
    assert worker.stop() == 0


def test_two_kinds_of_jms_types_of_one_event_are_duplicates(activemq: int, topics: str, queue: str, start: Start) -> None:
    start(activemq, topics, queue)
    message = json.dumps(event("call.end", ts=time.time_ns() // 1_000_000)).encode()
    post(activemq, queue, [message])
    post(activemq, queue, [message], as_bytes=True)
    one, other = records(topics, BILLING, queue, 2)
    assert dict(one.headers)["rs_digest"] == dict(other.headers)["rs_digest"]
    assert one.value == other.value
