"""What was taken from ActiveMQ and waits to be read: the border between stomp.py's receiver thread and the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pipeline.bridge.link import Link


class Taken(NamedTuple):
    """A message as ActiveMQ gave it to us."""

    link: Link
    ack_id: str
    message_id: str
    queue: str
    jms_type: str
    receipt: int  # ms UTC
    body: bytes


class Inbox:
    """Filled by one thread, emptied by the event loop. Bounded by the window: ActiveMQ sends no more than that unacknowledged."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._messages: deque[Taken] = deque()
        self._filled = asyncio.Event()
        self._woken = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Taken) -> None:
        """From the receiver thread; never blocks. Waking the loop is dear, so it is done once for all that comes until it looks."""
        self._messages.append(message)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._filled.set)

    async def take(self, most: int, most_bytes: int) -> list[Taken]:
        """Wait for messages; give up to `most` of them, and no further one once their bodies reach `most_bytes`."""
        while not self._messages:
            self._filled.clear()
            self._woken = False  # before looking again: a message put in between is seen either by us or by put()
            if not self._messages:
                await self._filled.wait()
        taken: list[Taken] = []
        size = 0
        while self._messages and len(taken) < most and size < most_bytes:
            taken.append(self._messages.popleft())
            size += len(taken[-1].body)
        return taken
