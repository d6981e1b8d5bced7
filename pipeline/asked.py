"""Telling our own end from that of a task inside a client: aiokafka's consumer raises the CancelledError of its fetching task when it is
stopped while the broker is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


def to_end() -> bool:
    """Whether the task that runs was asked to end. In an `except asyncio.CancelledError`: if not, it is the client's."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def for_ever(run: Callable[[], Awaitable[None]]) -> None:
    """Run what has no end of its own. Raises RuntimeError if it ends all the same: nothing stops silently."""
    try:
        await run()
    except asyncio.CancelledError:
        if to_end():
            raise
    raise RuntimeError(f"{run.__qualname__} has ended by itself")
