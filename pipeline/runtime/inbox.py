"""A bounded queue of chunks. When it is full the fetcher leaves the partitions of its topics alone, so that one consumer that
waits does not hold up the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .chunk import Chunk

# Records waiting. Four chunks of the largest size: enough that the fetcher works while bodies fold, and 10 MB at 500 bytes each.
SIZE = 16_000


class Inbox:
    """`full` is read by the consumer's thread, everything else happens on the loop of the app."""

    def __init__(self, size: int = SIZE, on_room: Callable[[], None] = lambda: None) -> None:
        self.size, self.on_room = size, on_room
        self.full = False
        self._chunks: deque[Chunk] = deque()
        self._records = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def put(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._records += len(chunk.records)
        self.full = self.full or self._records >= self.size

    def get(self) -> Chunk:
        chunk = self._chunks.popleft()
        self._records -= len(chunk.records)
        self._make_room()
        return chunk

    def clear(self) -> None:
        self._chunks.clear()
        self._records = 0
        self._make_room()

    def _make_room(self) -> None:
        # half empty, not one place free: waking the fetcher for every chunk would cost more than it brings
        if self.full and self._records <= self.size // 2:
            self.full = False
            self.on_room()
