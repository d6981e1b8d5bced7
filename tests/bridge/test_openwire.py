"""Messages from ActiveMQ's own Java client over OpenWire."""

from __future__ import annotations

from pathlib import Path

from pipeline.topics import BILLING, QUARANTINE
from tests.bridge.conftest import Start
from tests.bridge.support import custom, left_in, numbers_in, post, post_by_java, records, until


def test_text_and_bytes_go_on_all_else_is_set_aside(activemq: int, topics: str, queue: str, start: Start, classes: Path) -> None:
    start(activemq, topics, queue)
    ids = post_by_java(
        classes,
        f"tcp://127.0.0.1:{activemq}",
        queue,
        [
            ("text", custom(1, reason="grüße 😀")),
            ("bytes", custom(2, reason="grüße 😀")),
            ("map", b"x"),
            ("object", b"x"),
            ("stream", b"x"),
            ("plain", b""),
            ("text", custom(3)),
            ("bytes", b""),
        ],
    ).stdout.split()
    good = records(topics, BILLING, queue, 3)
    assert numbers_in(good) == {1, 2, 3}
    assert {dict(record.headers)["ce_id"].decode() for record in good} == {ids[0], ids[1], ids[6]}
    assert all("grüße 😀".encode() in record.value for record in good if numbers_in([record]) < {1, 2})

    bad = records(topics, QUARANTINE, queue, 5)
    by_id = {dict(record.headers)["message_id"].decode(): dict(record.headers) for record in bad}
    assert {by_id[one]["reason"] for one in ids[2:6]} == {b"bad_message_type"}
    assert {by_id[one]["jms_type"] for one in ids[2:6]} == {b"other"}
    assert by_id[ids[7]]["reason"] == b"not_json"
    assert by_id[ids[7]]["jms_type"] == b"BytesMessage"
    until(lambda: left_in(activemq, queue) == [], what="all acknowledged or set aside")
    # Their bodies never reach a STOMP consumer, so the broker keeps them.
    dead = left_in(activemq, f"DLQ.{queue}")
    assert {frame.headers["message-id"] for frame in dead} == set(ids[2:6])


def test_an_empty_text_over_stomp_is_not_json(activemq: int, topics: str, queue: str, start: Start) -> None:
    start(activemq, topics, queue)
    post(activemq, queue, [b""])
    post(activemq, queue, [b'{"map":{"entry":{"string":["session","hello"]}}}'], transformation="jms-map-json")
    rows = sorted(records(topics, QUARANTINE, queue, 2), key=lambda row: row.timestamp)  # they may lie in two partitions
    assert [dict(row.headers)["reason"] for row in rows] == [b"not_json", b"bad_message_type"]
