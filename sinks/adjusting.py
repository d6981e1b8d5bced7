"""Closed months beside the writer: from time to time the sinks worker looks for sessions that changed after their month was closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

import structlog

from pipeline.settings import Settings
from reports.billing.month import DAY_MS
from sinks import metrics
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Transient
from sinks.statements import Statements, Terms

LOOK_S = 1.0

log = structlog.get_logger("sinks")


def terms_of(settings: Settings, topic: str) -> Terms:
    """`topic`: the log that the store is filled from."""
    return Terms(ZoneInfo(settings.reports.time_zone), settings.billing.rounding, round(settings.billing.close_after * DAY_MS), topic)


def wall_clock() -> int:
    """ms UTC"""
    return time.time_ns() // 1_000_000


class Adjusting:
    """`may_go_on`: asked between two transactions; one of several workers is enough."""

    def __init__(self, dialect: Dialect, topic: str, may_go_on: Callable[[], bool]) -> None:
        self._dialect, self._topic, self._may_go_on = dialect, topic, may_go_on
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="adjust")

    async def repeat(self, now: Callable[[], Settings], pause: Callable[[float], Awaitable[None]], ended: Callable[[], bool]) -> None:
        """Every billing.adjust_interval. `now`: the settings of the moment; `pause`: seconds. Raises Fatal."""
        done = time.monotonic()
        while not ended():
            await pause(LOOK_S)
            interval = now().billing.adjust_interval
            if interval and time.monotonic() >= done + interval:
                await self.once(now())
                done = time.monotonic()

    async def once(self, settings: Settings) -> int:
        """Gives the number of changes. What a database that is away leaves undone is done the next time. Raises Fatal."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, settings)
        except Transient as error:
            log.warning("closed months are looked at later", reason=str(error))
            return 0

    def _run(self, settings: Settings) -> int:
        found = 0
        if self._may_go_on():
            for month, n in Statements(self._dialect, terms_of(settings, self._topic), wall_clock).adjust():
                found += n
                metrics.ADJUSTED.inc(n)
                log.info("a closed month is adjusted", month=month, sessions=n)
                if not self._may_go_on():
                    break
        return found
