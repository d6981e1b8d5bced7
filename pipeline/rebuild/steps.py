"""The steps of a rebuild, one after the other. Whatever breaks off before the swap has changed nothing of the live rows: the next
rebuild drops what is left. docs/adr/0007 says what each step leaves behind when it is cut short."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline import generations, init, topics
from pipeline.generation import Generation, State
from pipeline.generations import Known
from pipeline.local import parts
from pipeline.local.supervisor import Supervisor
from pipeline.rebuild.log import Log
from pipeline.rebuild.reach import Advance, Stalled, stored_all
from pipeline.settings import Settings
from pipeline.topics import BILLING
from sinks.databases import dialect_of
from sinks.sql.compare import Differences, Look, is_moving, look, settled
from sinks.sql.coverage import WHOLE, Coverage, coverage
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Transient
from sinks.sql.migrate import migrate
from sinks.sql.retention import Keep, Purge, counted
from sinks.sql.standing import Standing, standing
from sinks.sql.swap import swap
from sinks.topic_id import topic_id

LOOKS = 3  # at rows that go on changing while they are compared
GONE_S = 70.0  # a worker that was killed leaves its group when its session times out
BUILD_STALLED_S = 300.0  # a worker that dies says so meanwhile, and is started again
TAKEN_OVER_S = 180.0  # for the live workers to start again and recover their tables
PURGED_AT_ONCE = 10_000  # rows a transaction
BUSY_S = 0.5
BUSY_TIMES = 240

T = TypeVar("T")
Say = Callable[[str], None]


class RebuildFault(RuntimeError):
    """Why the rebuild cannot begin or go on, with the step to take. One line."""


class Rebuild:
    """One rebuild. `say` gets a line for whatever the user should know.

    old, new    the generation that is current when it begins, and the one that is made
    coverage    what of the live rows the log covers, known after `build`
    """

    old: Generation
    new: Generation

    def __init__(self, settings: Settings, log: Log, say: Say) -> None:
        self.settings, self.log, self.say = settings, log, say
        self.store = dialect_of(settings)
        self.coverage: Coverage = WHOLE
        self.live_runs = False
        self._supervisor: Supervisor | None = None

    # -- begin

    async def prepare(self) -> None:
        """Look whether a rebuild can begin, drop what an earlier one left, and write down the new generation with its topics.
        Raises RebuildFault, InitError, KafkaError."""
        await init.create_topics(self.settings)
        known = await self._known()
        stands = await self._standing()
        if stands.generation is None:
            raise RebuildFault("nothing is stored yet: there is nothing to rebuild; the sinks fill the store (rs up)")
        if stands.log_id != (log_id := await topic_id(self.log.bootstrap, BILLING)):
            raise RebuildFault(
                f"the store was filled from another log ({stands.log_id}, {BILLING} has {log_id}): take the one that belongs to it"
            )
        known = await self._complete_swap(known, stands.generation)
        if stands.generation > known.current:
            raise RebuildFault(
                f"the store has generation {stands.generation}, {topics.GENERATIONS} knows {known.current}: take the store of this log"
            )
        for left in known.all.values():
            if left.number != known.current and left.state != "dropped":
                await self._drop_left(left)
        for number in await asyncio.to_thread(self.store.shadows):  # of one whose swap was completed by a worker
            await asyncio.to_thread(self.store.drop_shadow, number)
        self.old = known.live
        self.live_runs = bool(await self.log.members(self.old.agents_app) and await self.log.members(self.old.sinks_app))
        ends = await self.log.ends([BILLING])
        history = {partition: offset for (_, partition), offset in ends.items()}
        self.new = Generation(known.next_number, history, "building", round(time.time() * 1000))
        await generations.write(self.log.bootstrap, generations=[self.new])
        wanted = topics.topics_of(self.new, self.settings.sinks.max_outage)
        await init.create(self.settings, wanted, time.monotonic() + 30)

    async def _known(self) -> Known:
        return await generations.read(self.log.bootstrap)

    async def _standing(self) -> Standing:
        return await self._patiently(standing, self.store)

    async def _complete_swap(self, known: Known, stored: int) -> Known:
        found = known.all.get(stored)
        if found is None or found.state != "swapping" or stored <= known.current:
            return known
        self.say(f"an earlier rebuild broke off in the middle of its swap: generation {stored}, which the store has, is made current")
        await generations.make_current(self.log.bootstrap, found)
        return await self._known()

    async def _drop_left(self, left: Generation) -> None:
        await self._nobody_in(left)
        self.say(f"generation {left.number} ({left.state}) was left by an earlier rebuild: dropping it")
        await self._drop(left)

    async def _nobody_in(self, generation: Generation) -> None:
        """Wait until its workers have left. Raises RebuildFault."""
        until = time.monotonic() + GONE_S
        said = False
        while await self.log.members(generation.agents_app) or await self.log.members(generation.sinks_app):
            if not said:
                self.say(f"waiting for workers of generation {generation.number} to go")
                said = True
            if time.monotonic() > until:
                raise RebuildFault(
                    f"workers of generation {generation.number} still run: another rebuild is on its way, or they were started by hand "
                    "with fold.generation; stop them first"
                )
            await asyncio.sleep(1)

    async def _drop(self, generation: Generation) -> None:
        await self.log.delete(generation)
        await asyncio.to_thread(self.store.drop_shadow, generation.number)
        await self._say_state(generation, "dropped")

    async def _say_state(self, generation: Generation, state: State) -> Generation:
        changed = msgspec.structs.replace(generation, state=state)
        await generations.write(self.log.bootstrap, generations=[changed])
        return changed

    # -- build

    @contextlib.asynccontextmanager
    async def workers(self) -> AsyncIterator[None]:
        """The workers of the new generation run inside, and are started again when they die. Raises StackFault."""
        logs = self.settings.stack.data.absolute() / "logs"
        workers = parts.of_generation(self.settings, self.new.number)
        self._supervisor = Supervisor([workers], [part.name for part in workers], logs, self._said)
        try:
            await self._supervisor.start()
            yield
        finally:
            await self._supervisor.stop()
            for part in workers:  # tables on disk are worth nothing without their process
                shutil.rmtree(self.settings.stack.data.absolute() / "faust" / part.name, ignore_errors=True)

    def _said(self, kind: str, text: str) -> None:
        if kind in ("died", "note"):
            self.say(text)

    @property
    def logs(self) -> Path:
        return self.settings.stack.data.absolute() / "logs"

    async def build(self, advance: Advance) -> None:
        """Wait until the new generation has stored the log. Raises Stalled, KafkaError."""
        shadow = self.store.shadow(self.new.number)
        await stored_all(self.log, self.new, shadow, self.new.history, advance, patience_s=BUILD_STALLED_S)
        await self._catch_up(advance)

    async def _catch_up(self, advance: Advance = lambda *_: None) -> None:
        ends = {partition: offset for (_, partition), offset in (await self.log.ends([BILLING])).items()}
        new = stored_all(self.log, self.new, self.store.shadow(self.new.number), ends, advance)
        await asyncio.gather(new, self._live_stored(ends))

    async def _live_stored(self, ends: dict[int, int]) -> None:
        """The live rows are waited for as well, if somebody works on them."""
        if self.live_runs:
            try:
                await stored_all(self.log, self.old, self.store, ends)
            except Stalled as exc:
                self.live_runs = False
                self.say(f"the live workers do not come on ({exc}): compared with what they have stored so far")

    # -- compare

    async def compare(self, doing: Say = lambda _: None) -> list[Differences]:
        """The differences between live and new rows, while both are written to. Raises as `build`, and the store's errors."""
        await self._patiently(migrate, self.store)
        firsts = await self.log.firsts([BILLING])
        reaches = await self.log.reaches(firsts)
        self.coverage = await self._patiently(self._coverage, {partition: at for (_, partition), at in firsts.items()}, reaches)
        before = after = await self._look(doing)
        for _ in range(LOOKS - 1):
            if not any(seen.differs for seen in after):
                break
            await self._catch_up()
            before, after = after, await self._look(doing)
            if not is_moving(before, after):
                break
        return settled(before, after)

    def _purge(self, store: Dialect) -> None:
        if (keep := Keep.of(self.settings)) is not None:
            counted(Purge(store, dataclasses.replace(keep, batch=PURGED_AT_ONCE)).run())

    def _coverage(self, firsts: dict[int, int], reaches_ms: int) -> Coverage:
        connection = self.store.connect()
        try:
            return coverage(connection.cursor(), firsts, reaches_ms)
        finally:
            connection.close()

    async def _look(self, doing: Say) -> list[Look]:
        """What is too old leaves both sides before: the log may reach back further than rows are kept."""
        doing("what is too old")
        for store in (self.store.shadow(self.new.number), self.store):
            await self._patiently(self._purge, store)
        return await self._patiently(look, self.store, self.new.number, self.coverage, doing)

    # -- swap

    async def swap(self) -> dict[str, int]:
        """Put the new generation in place of the live one: the store first, then the topic. Gives the rows by table. The workers of
        the new generation are stopped. Raises the store's errors and KafkaError."""
        assert self._supervisor is not None
        *agents, sinks = self._supervisor.children.values()
        await sinks.stop()
        self.new = await self._say_state(self.new, "swapping")
        rows = await self._patiently(swap, self.store, self.new.number, self.coverage)
        await generations.make_current(self.log.bootstrap, self.new)
        await asyncio.gather(*(child.stop() for child in agents))
        return rows

    async def taken_over(self) -> bool:
        """Wait until the live workers have started again on the new generation and store its rows. False: they have not in time."""
        ends = {partition: offset for (_, partition), offset in (await self.log.ends([BILLING])).items()}
        until = time.monotonic() + TAKEN_OVER_S
        while not (await self.log.members(self.new.agents_app) and await self.log.members(self.new.sinks_app)):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(1)
        try:
            await stored_all(self.log, self.new, self.store, ends, patience_s=TAKEN_OVER_S)
        except Stalled:
            return False
        return True

    # -- end

    async def drop_old(self) -> None:
        """Delete what only the old generation used. Raises RebuildFault, KafkaError."""
        await self._nobody_in(self.old)
        await self.log.delete(self.old)
        await asyncio.to_thread(self.store.drop_shadow, self.new.number)
        await self._say_state(self.old, "dropped")

    async def drop_new(self) -> bool:
        """Give the new generation up; the live rows are as they were. False: nothing was dropped, as the store has its rows already, and
        a worker of the sinks makes it current. Raises RebuildFault, KafkaError."""
        if (await self._standing()).generation == self.new.number:
            return False
        await self._nobody_in(self.new)
        await self._drop(self.new)
        return True

    async def _patiently(self, call: Callable[..., T], *given: object) -> T:
        """Call it in a thread, again while the store is busy."""
        for _ in range(BUSY_TIMES):
            try:
                return await asyncio.to_thread(call, *given)
            except Transient as exc:
                last = exc
                await asyncio.sleep(BUSY_S)
        raise RebuildFault(f"the store does not answer: {last}")
