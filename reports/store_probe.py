"""Whether the store answers, said soon: the question itself may take as long as a login to a server that is gone."""

from __future__ import annotations

import asyncio
import time

from reports.exceptions import StoreUnavailable
from reports.queries import live
from reports.store.contract import Store

SOON_S = 1.0  # whoever asks for all processes waits two seconds


class StoreProbe:
    """One question at a time, whoever asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking: asyncio.Task[str | None] | None = None
        self._since = 0.0

    async def reason(self) -> str | None:
        """Why the store cannot be read, in words; None if it can. Takes SOON_S at most."""
        if self._asking is None:
            self._asking, self._since = asyncio.create_task(asyncio.to_thread(self._ask)), time.monotonic()
        asking = self._asking
        await asyncio.wait([asking], timeout=SOON_S)
        if not asking.done():
            return f"The store has not answered for {time.monotonic() - self._since:.0f} s."
        if self._asking is asking:
            self._asking = None
        return asking.result()

    def _ask(self) -> str | None:
        try:
            with self._store.reading() as reading:
                live.has_calls(reading)
        except StoreUnavailable as exc:
            return exc.detail
        return None
