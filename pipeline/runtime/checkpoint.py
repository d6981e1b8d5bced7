"""Checkpoints: the one place where offsets are committed.

    chunk -> body -> chunk -> body ... | cut | outbox, stages written and confirmed (cut.py) | offsets committed

A cut happens between two chunks. It is written in the background while bodies fold the next chunks; there is at most one on
its way. Whatever goes wrong on that way stops the worker with nothing committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from .chunk import Chunk
from .cut import Cut, Outgoing, Stage, Start
from .errors import BodyGone, LostRecords, WrongDeclaration
from .inbox import Inbox
from .tables import StateTable

# The last cut of a revoked partition must be through before the group goes on without us (Faust's rebalance time-out: 60 s).
SETTLE_TIMEOUT_S = 30.0
# With a shorter interval the timer would only burn CPU: a chunk that comes after the interval is cut by the body anyway.
SHORTEST_PAUSE_S = 0.05

BeforeCut = Callable[[Cut], None]
Outbox = Callable[[Cut], Iterable[Outgoing]]
Metadata = Callable[[TP], str]
OnAssigned = Callable[[Mapping[TP, Start]], None]
OnRevoked = Callable[[set[TP]], None]


class Checkpoint:
    """Folds source topics into stages. Made by `App.checkpoint`.

    sources     a Faust topic (it may name several topics), or a list of them
    order       the stages in the order they must be durable: StateTables and Stages
    interval    seconds between two cuts while positions move or rows are touched
    max_events  records folded at most between two cuts
    beat        seconds after which a cut is made even if nothing moved, while partitions are assigned
    """

    def __init__(
        self,
        app: Any,
        sources: Any,
        order: Sequence[StateTable[Any, Any] | Stage],
        *,
        interval: float,
        max_events: int,
        beat: float | None = None,
    ) -> None:
        self.app, self.order = app, list(order)
        self.sources = list(sources) if isinstance(sources, list | tuple) else [sources]
        self.topics = [name for source in self.sources for name in source.topics]
        self.tables = [stage for stage in self.order if isinstance(stage, StateTable)]
        self.stages = [stage for stage in self.order if not isinstance(stage, StateTable)]
        self.interval, self.max_events, self.beat = interval, max_events, beat
        self.events = self.cuts = 0  # totals, for metrics
        self.inbox = Inbox()
        self._before_cut: list[BeforeCut] = []
        self._outbox: list[Outbox] = []
        self._metadata: Metadata = lambda _tp: ""
        self._on_assigned: list[OnAssigned] = []
        self._on_revoked: list[OnRevoked] = []
        self._moved = asyncio.Event()  # the inbox changed, or the body came back
        self._busy = False  # a body holds a chunk
        self._left = False  # a body went away in the middle of its chunk
        self._open = False  # between assignment and revocation
        self._position: dict[TP, int] = {}  # next offset to fold
        self._committed: dict[TP, tuple[int, str]] = {}
        self._since, self._last = 0, monotonic()
        self._writing: asyncio.Task[None] | None = None
        if len(self.topics) > 1 and (marked := [table.name for table in self.tables if table.stamped]):
            raise WrongDeclaration(f"{', '.join(marked)}: a mark is a position in one topic, but the sources are {self.topics}")
        app.task(self._timer)

    # -- hooks: plain functions, run inside the cut without an await

    def before_cut(self, hook: BeforeCut) -> BeforeCut:
        """hook(cut) may change and touch rows of this checkpoint's tables: time-outs, expiry, ticks."""
        self._before_cut.append(hook)
        return hook

    def outbox(self, hook: Outbox) -> Outbox:
        """hook(cut) gives records for other topics, made from `cut.rows(table)`: confirmed before any stage."""
        self._outbox.append(hook)
        return hook

    def metadata(self, hook: Metadata) -> Metadata:
        """hook(tp) gives what the commit of the current position says; `on_assigned` gets it back. Kafka takes up to 4096 bytes."""
        self._metadata = hook
        return hook

    def on_assigned(self, hook: OnAssigned) -> OnAssigned:
        """hook({tp: Start}) after recovery, before the first chunk. After every rebalance, with all partitions."""
        self._on_assigned.append(hook)
        return hook

    def on_revoked(self, hook: OnRevoked) -> OnRevoked:
        """hook(tps) after the last cut of a rebalance or of the worker."""
        self._on_revoked.append(hook)
        return hook

    # -- where it stands

    def position(self, tp: TP) -> int:
        """The next offset to fold. Raises KeyError if the partition is not assigned."""
        return self._position[tp]

    def committed(self, tp: TP) -> int:
        """The offset a replay would begin at: the one last committed, or where the partition began if nothing is committed yet.
        Raises KeyError if the partition is not assigned."""
        return self._committed[tp][0]

    @property
    def assigned(self) -> set[TP]:
        return set(self._position)

    def caught_up(self, tp: TP) -> bool:
        """Everything is folded that the partition held at the last fetch."""
        highwater = self.app.consumer.highwater_of(tp)
        return highwater is not None and self._position.get(tp, -1) >= highwater

    # -- delivery

    def offer(self, chunk: Chunk) -> None:
        """Called by the consumer. Between revocation and assignment chunks are dropped: their records are read again from
        the committed offset."""
        if self._open and chunk.generation == self.app.consumer_generation_id:
            self.inbox.put(chunk)
            self._moved.set()

    async def chunks(self, stream: Any) -> AsyncIterator[Chunk]:
        """`async for chunk in checkpoint.chunks(stream)`: a chunk counts as folded when the body asks for the next one; a body
        that raises leaves it unfolded, and the worker stops. Raises LostRecords."""
        await stream.maybe_start()
        while not stream.should_stop:
            while not self.inbox:
                self._moved.clear()
                await self._moved.wait()
            chunk = self._next()
            self._busy = True
            try:
                yield chunk
            except BaseException:
                self._left = True  # and busy for ever: a chunk that is half folded must not be cut
                self._moved.set()
                raise
            self._busy = False
            self._position[chunk.tp] = chunk.end
            self.events += len(chunk.records)
            self._since += len(chunk.records)
            self._moved.set()
            if self._since >= self.max_events or monotonic() - self._last >= self.interval:
                await self.cut()
            else:
                await asyncio.sleep(0)

    def _next(self) -> Chunk:
        chunk = self.inbox.get()
        at = self._position[chunk.tp]
        if chunk.start > at:
            raise LostRecords(f"{chunk.tp}: stood at {at}, got {chunk.start}")
        if chunk.start == at:
            return chunk
        return chunk.since(at)._replace(end=max(at, chunk.end))

    # -- the checkpoint

    async def cut(self) -> None:
        """Take a cut if there is reason to, and start writing it. Waits for the cut before."""
        while (writing := self._writing) is not None:
            await asyncio.shield(writing)  # raises if it failed: then there is no next one
            if writing is self._writing:
                break  # else somebody else made a cut meanwhile
        if self._busy or not self._due():
            return
        cut, commits = self._take()
        self._writing = asyncio.get_running_loop().create_task(self._write(cut, commits))

    def _due(self) -> bool:
        if not self._position:
            return False
        if any(at != self._committed[tp][0] for tp, at in self._position.items()):
            return True
        if any(table.state(tp.partition).changed for table in self.tables for tp in self._position):
            return True
        return self.beat is not None and monotonic() - self._last >= self.beat

    def _take(self) -> tuple[Cut, dict[TP, OffsetAndMetadata]]:
        """One moment: nothing in here awaits."""
        cut = Cut(dict(self._position))
        for change in self._before_cut:
            change(cut)
        for table in self.tables:
            cut.encode(table)
        for outgoing in self._outbox:
            cut.send(outgoing(cut))
        for stage in self.order:
            cut.stage(stage)
        commits = {}
        for tp, at in cut.positions.items():
            if (at, metadata := self._metadata(tp)) != self._committed[tp]:
                commits[tp] = OffsetAndMetadata(at, metadata)
        self._since, self._last = 0, monotonic()
        self.cuts += 1
        return cut, commits

    async def _write(self, cut: Cut, commits: dict[TP, OffsetAndMetadata]) -> None:
        try:
            await cut.write(self.app, commits)
        except Exception as exc:
            await self.app.crash(exc)
            raise
        self._committed.update((tp, (commit.offset, commit.metadata)) for tp, commit in commits.items())

    async def settle(self) -> None:
        """Commit all that was folded. Called when partitions are revoked and at the end; raises if that is not possible."""
        self._open = False
        self._forget()
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while self._busy:
                if self.app.crashed:
                    return
                if self._left:
                    raise BodyGone(f"the body that folds {', '.join(self.topics)} ended in the middle of a chunk")
                self._moved.clear()
                await self._moved.wait()
            await self.cut()
            if self._writing is not None:
                await asyncio.shield(self._writing)
        self._revoked()

    def _revoked(self) -> None:
        gone = set(self._position)
        self._position, self._committed = {}, {}
        for stage in self.stages:
            if (forget := getattr(stage, "revoked", None)) is not None:
                forget()
        if gone:
            for hook in self._on_revoked:
                hook(gone)

    def begin(self, starts: Mapping[TP, Start], committed: Mapping[TP, tuple[int, str]]) -> None:
        """Partitions were assigned and tables are recovered. `committed`: what Kafka has, where it has something."""
        self._forget()
        self._position = {tp: start.offset for tp, start in starts.items()}
        self._committed = {tp: committed.get(tp, (start.offset, start.metadata)) for tp, start in starts.items()}
        self._since, self._last = 0, monotonic()
        if starts:
            for hook in self._on_assigned:
                hook(starts)
            self._open = True

    def _forget(self) -> None:
        """Drop chunks nobody has begun: they will be read again."""
        self.inbox.clear()
        self._moved.set()

    async def _timer(self) -> None:
        """Cuts when no chunk comes to do it."""
        while not self.app.should_stop:
            left = self._last + self.interval - monotonic()
            await asyncio.sleep(left if left > 0 else max(self.interval, SHORTEST_PAUSE_S))
            if self._open and not self._busy and monotonic() - self._last >= self.interval:
                await self.cut()
