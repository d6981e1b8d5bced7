"""What a record of rs.quarantine looks like. The bridge and the agents write it, `rs quarantine` reads it."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.topics import MAX_RECORD_BYTES

MAX_VALUE_BYTES = MAX_RECORD_BYTES - 64 * 1024  # room for key, headers and what Kafka adds to a record
MAX_DETAIL_BYTES = 2000
BRIDGE = "bridge"
AGENTS = "agents"


class Record(NamedTuple):
    """key: guid in its stored form, or None; value: the original bytes; headers: why, and where it came from, in fixed order."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


def record(
    *,
    key: bytes | None,
    value: bytes,
    reason: str,
    detail: str,
    stage: str,
    source: str,
    message_id: str,
    element: int | None,
    jms_type: str,
    receipt: int,
    partition: int | None = None,
    offset: int | None = None,
) -> Record:
    """Build a record.

    `reason`: one of pipeline.messages.REASONS; `stage`: BRIDGE or AGENTS; `source`: queue or topic; `message_id`: ActiveMQ's; `element`:
    index in the array; `receipt`: ms UTC; `partition`, `offset`: in `source`, from the agents alone. A value that no Kafka record
    can hold is cut, and the detail says so.
    """
    if len(value) > MAX_VALUE_BYTES:
        detail += f"; kept: the first {MAX_VALUE_BYTES} of {len(value)} bytes"
        value = value[:MAX_VALUE_BYTES]
    headers = [
        ("reason", reason.encode()),
        ("detail", detail.encode()[:MAX_DETAIL_BYTES]),
        ("stage", stage.encode()),
        ("source", source.encode()),
        ("message_id", message_id.encode()),
        ("element", b"" if element is None else b"%d" % element),
        ("jms_type", jms_type.encode()),
        ("receipt", b"%d" % receipt),
    ]
    if partition is not None and offset is not None:
        headers += [("partition", b"%d" % partition), ("offset", b"%d" % offset)]
    return Record(key, value, headers)
