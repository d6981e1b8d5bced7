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
from pipeline.rebuild import copying
from pipeline.rebuild.copying import Copier
from pipeline.rebuild.log import Log
from pipeline.rebuild.reach import ASK_EVERY_S, COPIED, Advance, Stalled, stored_all
from pipeline.settings import Settings
from sinks.databases import dialect_of
from sinks.sql.compare import Differences, Look, Repartition, is_moving, look, settled
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
    """One rebuild. `say` gets a line for whatever the user should know. `partitions`: with a copy of the log that has so many of them;
    None: with the log as it is.

    old, new    the generation that is current when it begins, and the one that is made
    coverage    what of the live rows the log covers, known after `build`
    """

    old: Generation
    new: Generation

    def __init__(self, settings: Settings, log: Log, say: Say, partitions: int | None = None) -> None:
        self.settings, self.log, self.say, self.partitions = settings, log, say, partitions
        self.store = dialect_of(settings)
        self.coverage: Coverage = WHOLE
        self.live_runs = False
        self._supervisor: Supervisor | None = None
        self._copier: Copier | None = None
        self._moved: Repartition | None = None

    # -- begin

    async def prepare(self) -> None:
        """Look whether a rebuild can begin, drop what an earlier one left, and write down the new generation with its topics.
        Raises RebuildFault, InitError, KafkaError."""
        await init.create_topics(self.settings)
        known = await self._known()
        stands = await self._standing()
        if stands.generation is None:
            raise RebuildFault("nothing is stored yet: there is nothing to rebuild; the sinks fill the store (rs up)")
        known = await self._complete_swap(known, stands)
        live_log = known.live.billing
        if stands.log_id != (log_id := await topic_id(self.log.bootstrap, live_log)):
            raise RebuildFault(
                f"the store was filled from another log ({stands.log_id}, {live_log} has {log_id}): take the one that belongs to it"
            )
        if stands.generation > known.current:
            raise RebuildFault(
                f"the store has generation {stands.generation}, {topics.GENERATIONS} knows {known.current}: take the store of this log"
            )
        if known.live.copy_of:
            await self._complete_copy(known.live)
            known = await self._known()
        for left in known.all.values():
            if left.number != known.current and left.state != "dropped":
                await self._drop_left(left, known.live)
        for number in await asyncio.to_thread(self.store.shadows):  # of one whose swap was completed by a worker
            await asyncio.to_thread(self.store.drop_shadow, number)
        self.old = known.live
        self.live_runs = bool(await self.log.members(self.old.agents_app) and await self.log.members(self.old.sinks_app))
        history = await self._ends(self.old.billing)
        self.new = Generation(
            known.next_number, history, "building", round(time.time() * 1000), self.old.billing, partitions=self.old.partitions
        )
        if self.partitions is not None:
            await self._repartition(self.partitions)
        await generations.write(self.log.bootstrap, generations=[self.new])
        wanted = topics.all_topics(self.settings.sinks.max_outage, self.new)
        await init.create(self.settings, wanted, self.new, time.monotonic() + 30)

    async def _repartition(self, count: int) -> None:
        """The new generation gets a log of its own, which begins empty."""
        if count == (has := await self.log.count(self.old.billing)):
            raise RebuildFault(f"{self.old.billing} has {count} partitions already: leave --partitions out")
        firsts = await self.log.firsts([self.old.billing])
        if any(firsts.values()):
            raise RebuildFault(
                f"{self.old.billing} has lost its beginning, and rows that are older than the log cannot be moved to other partitions: "
                "the number of partitions can no longer be changed"
            )
        self._moved = Repartition(has, count)
        self.new = msgspec.structs.replace(
            self.new,
            history={},
            billing=self.new.own_log,
            partitions=count,
            copy_of=self.old.billing,
            copied={partition: offset for (_, partition), offset in firsts.items()},
        )

    async def _ends(self, topic: str) -> dict[int, int]:
        return {partition: offset for (_, partition), offset in (await self.log.ends([topic])).items()}

    # -- the copy of the log

    @contextlib.asynccontextmanager
    async def copying(self, advance: Advance = lambda *_: None) -> AsyncIterator[None]:
        """If the new generation has a log of its own: all that the old log holds is in it when the block begins, as history, and it goes
        on being copied inside. Raises KafkaError."""
        if self._moved is None:
            yield
            return
        self._copier = Copier(
            self.log.bootstrap, self.old.billing, self.new.billing, self._moved.new, copying.Standing(self.new.copied, {})
        )
        self._copier.start()
        try:
            begun, ends = self.new.copied, await self._ends(self.old.billing)
            total = sum(ends.values()) - sum(begun.values())
            while not await self._copier.reached(ends, ASK_EVERY_S):
                advance(COPIED, sum(self._copier.next.values()) - sum(begun.values()), total)
            advance(COPIED, total, total)
            # Both at one moment: a copy that was broken off goes on from there.
            await self._copier.pause()
            self.new = msgspec.structs.replace(self.new, history=await self._ends(self.new.billing), copied=dict(self._copier.next))
            await generations.write(self.log.bootstrap, generations=[self.new])
            self._copier.resume()
            yield
        finally:
            await self._copier.stop()

    async def complete_copy(self) -> int:
        """After the swap: nobody can write into the old log any more, and all it holds is in the new one. Gives how many records the old
        one has. Raises KafkaError."""
        assert self._copier is not None
        return await self._sealed_and_copied(self._copier, self.new)

    async def _sealed_and_copied(self, copier: Copier, generation: Generation) -> int:
        await self.log.seal(generation.copy_of)
        ends = await self._ends(generation.copy_of)
        await copier.reached(ends)
        await generations.write(self.log.bootstrap, generations=[msgspec.structs.replace(generation, state="live", copy_of="", copied={})])
        return sum(ends.values())

    async def _complete_copy(self, live: Generation) -> None:
        """That of an earlier rebuild, which broke off after its swap."""
        self.say(f"an earlier rebuild broke off before all of {live.copy_of} was copied into {live.billing}: copying the rest")
        stands = await copying.stands(self.log.bootstrap, live.billing, live.history, live.copied)
        copier = Copier(self.log.bootstrap, live.copy_of, live.billing, live.partitions, stands)
        copier.start()
        try:
            await self._sealed_and_copied(copier, live)
        finally:
            await copier.stop()

    async def _known(self) -> Known:
        return await generations.read(self.log.bootstrap)

    async def _standing(self) -> Standing:
        return await self._patiently(standing, self.store)

    async def _complete_swap(self, known: Known, stands: Standing) -> Known:
        stored = stands.generation
        found = known.all.get(stored or 0)
        if found is None or found.state != "swapping" or found.number <= known.current:
            return known
        if stands.log_id != await topic_id(self.log.bootstrap, found.billing):
            return known  # the store of another log
        self.say(f"an earlier rebuild broke off in the middle of its swap: generation {stored}, which the store has, is made current")
        await generations.make_current(self.log.bootstrap, found)
        return await self._known()

    async def _drop_left(self, left: Generation, live: Generation) -> None:
        await self._nobody_in(left)
        self.say(f"generation {left.number} ({left.state}) was left by an earlier rebuild: dropping it")
        await self._drop(left, live)

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

    async def _drop(self, generation: Generation, live: Generation) -> None:
        """A log that was ever the one that senders' messages went to is kept."""
        never_used = generation.state in ("building", "swapping") and generation.billing != live.billing
        await self.log.delete(generation, its_log=never_used)
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
        ends = await self._ends(self.old.billing)
        if self._copier is not None:
            await self._copier.reached(ends)
        new_ends = await self._ends(self.new.billing)
        new = stored_all(self.log, self.new, self.store.shadow(self.new.number), new_ends, advance)
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
        firsts = await self.log.firsts([self.old.billing])
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
        return await self._patiently(look, self.store, self.new.number, self.coverage, doing, self._moved)

    # -- swap

    async def swap(self) -> dict[str, int]:
        """Put the new generation in place of the live one: the store first, then the topic. Gives the rows by table. The workers of
        the new generation are stopped. With a log of its own: `complete_copy` comes next. Raises the store's errors and KafkaError."""
        assert self._supervisor is not None
        *agents, sinks = self._supervisor.children.values()
        await sinks.stop()
        self.new = await self._say_state(self.new, "swapping")
        copied_id = await topic_id(self.log.bootstrap, self.old.billing) if self._moved else None
        rows = await self._patiently(swap, self.store, self.new.number, self.coverage, copied_id)
        await generations.make_current(self.log.bootstrap, self.new)
        await asyncio.gather(*(child.stop() for child in agents))
        return rows

    async def taken_over(self) -> bool:
        """Wait until the live workers have started again on the new generation and store its rows. False: they have not in time."""
        ends = await self._ends(self.new.billing)
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
        await self._drop(self.new, self.old)
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
