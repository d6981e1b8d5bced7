"""The headers of a record of rs.billing: CloudEvents' attributes and the digest, always in this order."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from pipeline.messages.parse import Good

Headers = list[tuple[str, bytes]]

DIGEST = "rs_digest"
ID = "ce_id"
SOURCE = "ce_source"
TYPE = "ce_type"
TIME = "ce_time"


def record_headers(good: Good, message_id: str, source: str, receipt: int) -> Headers:
    """`message_id`: ActiveMQ's; `source`: the queue's name; `receipt`: ms UTC."""
    event_id = message_id if good.index is None else f"{message_id}#{good.index}"
    return [
        (DIGEST, good.digest.to_bytes(4, "big")),
        ("ce_specversion", b"1.0"),
        (ID, event_id.encode()),
        (SOURCE, source.encode()),
        (TYPE, good.kind.encode()),
        (TIME, rfc3339(receipt)),
    ]


@lru_cache(maxsize=256)
def rfc3339(ms: int) -> bytes:
    """UTC with three decimals, such as 2026-11-22T17:52:25.000Z."""
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z".encode()
