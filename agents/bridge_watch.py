"""Does the bridge work? Asked by its readiness: while it is down, silence of a partition says nothing about its sessions."""

from __future__ import annotations

import asyncio
import logging

import aiohttp

ASK_EVERY_S = 5.0
TIMEOUT_S = 3.0

log = logging.getLogger(__name__)


class BridgeWatch:
    """`works`: the bridge said so when it was asked last. Until it was, and whenever it does not answer, it does not."""

    def __init__(self, host: str, port: int) -> None:
        self.url = f"http://{host}:{port}/health/ready"
        self.works = False

    async def run(self) -> None:
        """Ask until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            while True:
                self._heard(await self._ask(session))
                await asyncio.sleep(ASK_EVERY_S)

    async def _ask(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    def _heard(self, works: bool) -> None:
        if works != self.works:
            log.info("the bridge %s: idle partitions %s", *(("works", "time out") if works else ("does not answer", "wait")))
        self.works = works
