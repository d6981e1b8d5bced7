"""Retention beside the writer: from time to time what is too old leaves the store, in pauses that leave the writer the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep

import structlog

from pipeline.settings import Settings
from sinks import metrics
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Transient
from sinks.sql.retention import Keep, Purge, Removed

LOOK_S = 1.0
LONGEST_PAUSE_S = 2.0

log = structlog.get_logger("sinks")


class Purging:
    """`may_go_on`: asked between two transactions; one of several workers is enough."""

    def __init__(self, dialect: Dialect, keep: Keep, may_go_on: Callable[[], bool]) -> None:
        self._dialect, self._keep = dialect, keep
        self._purge = Purge(dialect, keep)
        self._may_go_on = may_go_on
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="purge")

    def keep(self, keep: Keep) -> None:
        """What stays from the next purge on."""
        if keep != self._keep:
            self._keep, self._purge = keep, Purge(self._dialect, keep)

    async def repeat(self, now: Callable[[], Settings], pause: Callable[[float], Awaitable[None]], ended: Callable[[], bool]) -> None:
        """Every retention.interval, and when an age changes. `now`: the settings of the moment; `pause`: seconds. Raises Fatal."""
        done = monotonic()
        while not ended():
            await pause(LOOK_S)
            settings = now()
            interval, keep = settings.retention.interval, Keep.of(settings)
            if keep is not None and interval and (keep != self._keep or monotonic() >= done + interval):
                self.keep(keep)
                await self.once()
                done = monotonic()

    async def once(self) -> dict[str, int]:
        """Remove what is too old; gives rows by class. What a database that is away leaves undone is done the next time. Raises Fatal."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run)
        except Transient as error:
            log.warning("retention goes on later", reason=str(error))
            return {}

    def _run(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        if not self._may_go_on():
            return rows
        removed = self._purge.run()
        try:
            begun = monotonic()
            for batch in removed:
                self.look(batch, monotonic() - begun)
                rows[batch.kind] = rows.get(batch.kind, 0) + batch.rows
                if not self._may_go_on():
                    return rows
                sleep(min(monotonic() - begun, LONGEST_PAUSE_S))  # half of the time belongs to the writer
                begun = monotonic()
        finally:
            removed.close()
        metrics.PURGE_COMPLETED.set_to_current_time()
        return rows

    def look(self, removed: Removed, seconds: float) -> None:
        """Called after each transaction, from the thread it ran in."""
        metrics.PURGED.labels(removed.kind).inc(removed.rows)
        metrics.PURGE_SECONDS.observe(seconds)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
