"""Stream time of a log partition: the only clock that lateness knows (docs/ARCHITECTURE.md, "Time"). Pure."""

from __future__ import annotations

from msgspec import Struct


class StreamTime(Struct):
    """The greatest min(ts, receipt) of the records folded so far, ms UTC; 0: none. A sender whose clock is ahead moves nothing.

    lateness_ms     an event older than stream time by more than this is late; 0: never
    receipt         of the record folded last
    floor           start of the earliest base bin that records to come can change, as of the last checkpoint; 0: any. It never
                    goes back, whatever the setting says later: what lies below has left the tables
    """

    lateness_ms: int
    now: int = 0
    receipt: int = 0
    floor: int = 0

    def is_late(self, ts: int) -> bool:
        return ts < self.floor or (bool(self.lateness_ms) and ts < self.now - self.lateness_ms)

    def advance(self, ts: int, receipt: int) -> None:
        self.receipt = receipt
        self.now = max(self.now, min(ts, receipt))

    def pack(self) -> str:
        """As it stands in the metadata of a commit, so that a replay starts with exactly this stream time."""
        return f"{self.now} {self.receipt} {self.floor}"

    @staticmethod
    def unpack(metadata: str, lateness_ms: int) -> StreamTime:
        """Raises ValueError for metadata that is not ours; empty metadata is the beginning."""
        if not metadata:
            return StreamTime(lateness_ms)
        now, receipt, *floor = metadata.split()
        return StreamTime(lateness_ms, int(now), int(receipt), *map(int, floor))
