"""How far a generation has come with the log, and waiting for it.

    the log --agents--> rs.activity --agents--> changelogs, rs.events --sinks--> store

Each stretch is asked for what lay behind it when the stretch before had passed: then all of it is stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from pipeline.generation import Generation
from pipeline.rebuild.log import Log, Offsets
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Transient
from sinks.sql.standing import standing

ASK_EVERY_S = 0.5
STALLED_S = 60.0  # without any movement

Advance = Callable[[str, int, int], None]
"""Told now and then: stretch (COPIED, FOLDED, MERGED, STORED), records behind us, records in all."""

COPIED, FOLDED, MERGED, STORED = "copied", "folded", "merged", "stored"


class Stalled(Exception):
    """A generation does not come on. One line."""


async def stored_all(
    log: Log,
    generation: Generation,
    store: Dialect,
    ends: Mapping[int, int],
    advance: Advance = lambda *_: None,
    patience_s: float = STALLED_S,
) -> None:
    """Wait until everything of its log below `ends` (partition -> offset) is in the store. Raises Stalled, KafkaError."""

    async def committed() -> Offsets:
        return await log.committed(generation.agents_app)

    async def stored() -> Offsets:
        try:
            return (await asyncio.to_thread(standing, store)).offsets
        except Transient:
            return {}  # asked again

    billing = {(generation.billing, partition): offset for partition, offset in ends.items()}
    await _passed(FOLDED, committed, billing, await log.firsts([generation.billing]), advance, patience_s)
    activity = [generation.activity]
    await _passed(MERGED, committed, await log.ends(activity), await log.firsts(activity), advance, patience_s)
    await _passed(STORED, stored, await log.ends(generation.stored), await log.firsts(generation.stored), advance, patience_s)


async def _passed(
    stretch: str, reached: Callable[[], Awaitable[Offsets]], goal: Offsets, begun: Offsets, advance: Advance, patience_s: float
) -> None:
    total = sum(end - begun[tp] for tp, end in goal.items())
    best, moved = -1, time.monotonic()
    while True:
        at = await reached()
        done = sum(min(max(at.get(tp, 0), begun[tp]), end) - begun[tp] for tp, end in goal.items())
        advance(stretch, done, total)
        if done >= total:
            return
        if done > best:
            best, moved = done, time.monotonic()
        elif time.monotonic() - moved > patience_s:
            raise Stalled(f"nothing more was {stretch} for {patience_s:.0f} s, {total - done:,} records are left")
        await asyncio.sleep(ASK_EVERY_S)
