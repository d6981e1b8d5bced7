"""Messages from ActiveMQ's own Java client over OpenWire."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.topics import BILLING, QUARANTINE
from tests.bridge.conftest import Start
from tests.bridge.support import custom, left_in, numbers_in, post, records
from tests.conftest import JARS

SOURCE = Path(__file__).parent / "openwire" / "Post.java"
CLASSPATH = f"{JARS / 'activemq'}/*"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-cp", CLASSPATH, "-d", str(folder), str(SOURCE)], check=True)
    return folder


def post_by_java(classes: Path, port: int, queue: str, messages: list[tuple[str, bytes]]) -> list[str]:
    """Gives the message ids."""
    lines = "".join(f"{kind} {base64.b64encode(body).decode()}\n" for kind, body in messages)
    command = ["java", "-cp", f"{classes}{os.pathsep}{CLASSPATH}", "Post", f"tcp://127.0.0.1:{port}", queue]
    return subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=60).stdout.split()


def test_text_and_bytes_go_on_all_else_is_set_aside(activemq: int, topics: str, queue: str, start: Start, classes: Path) -> None:
    start(activemq, topics, queue)
    ids = post_by_java(
        classes,
        activemq,
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
    )
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
    assert left_in(activemq, queue) == []
    # Their bodies never reach a STOMP consumer, so the broker keeps them.
    assert {frame.headers["message-id"] for frame in left_in(activemq, f"DLQ.{queue}")} == set(ids[2:6])


def test_an_empty_text_over_stomp_is_not_json(activemq: int, topics: str, queue: str, start: Start) -> None:
    start(activemq, topics, queue)
    post(activemq, queue, [b""])
    post(activemq, queue, [b'{"map":{"entry":{"string":["session","hello"]}}}'], transformation="jms-map-json")
    rows = sorted(records(topics, QUARANTINE, queue, 2), key=lambda row: row.timestamp)  # they may lie in two partitions
    assert [dict(row.headers)["reason"] for row in rows] == [b"not_json", b"bad_message_type"]
