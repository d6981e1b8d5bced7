"""How long source partitions have been without a record: bins go on meanwhile, and sessions may time out (rule X3)."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class Silence(NamedTuple):
    """Time since the last posted record, ms.

    at_all      whatever the reason
    heard       of it, while a record could have come: the bridge worked, and nothing waited in the log
    """

    at_all: int
    heard: int


class _Stand(Struct):
    posted: int
    seen: float
    at_all: float = 0.0
    heard: float = 0.0


class Idle:
    """Asked at every checkpoint; what lies between two questions counts by the answer to the second. A worker that begins, or gets
    a partition, knows of no silence before."""

    def __init__(self) -> None:
        self._stands: dict[int, _Stand] = {}

    def clear(self) -> None:
        self._stands.clear()

    def silence(self, partition: int, posted: int, now: float, *, listening: bool) -> Silence:
        """`posted`: how many records of senders were folded so far; `now`: seconds of a monotonic clock; `listening`: a record could
        have come."""
        stand = self._stands.get(partition)
        if stand is None or stand.posted != posted:
            stand = self._stands[partition] = _Stand(posted, now)
        passed, stand.seen = now - stand.seen, now
        stand.at_all += passed
        if listening:
            stand.heard += passed
        return Silence(round(stand.at_all * 1000), round(stand.heard * 1000))
