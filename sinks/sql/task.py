"""The store as a stage of a checkpoint: what happens when a transaction succeeds, may succeed later, or never will.

committed   the offsets are in the store; Kafka's own are committed afterwards and only for show
Transient   tried again with back-off, for as long as it takes; nothing more is read meanwhile, so memory stays bounded
Poison      found by halving, confirmed in rs.sink.quarantine, and the rest stored with the offsets, in one transaction
Fatal       raised: the worker stops
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Protocol, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from sinks import metrics
from sinks.sql.binder import Bound, Unstorable, bind
from sinks.sql.buffer import Batch, Buffer, Record, TopicPartition
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Fatal, Poison, Race, Transient, Unclear
from sinks.sql.migrate import migrate
from sinks.sql.pace import Pace
from sinks.sql.writer import GENERATION, LOG_ID, Overtaken, Writer

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
MOST_RACES = 5  # in a row: whoever was first would be done by then
MOST_UNCLEAR = 20  # in a row, so over minutes: a server that is away is known by other errors in between

PutAside = Callable[[Sequence[Unstorable]], Awaitable[None]]
"""Makes records durable in the quarantine before it returns."""


class Source(Protocol):
    """Where the records come from."""

    async def log_id(self) -> str:
        """The id of the topic, the log of the worker's generation, that everything was made of."""
        ...

    async def first_offsets(self, partitions: set[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where each partition begins."""
        ...

    async def overtaken(self, stored: int) -> str:
        """The store holds the rows of another generation than the worker's. Gives the line to say if the worker will be stopped for it,
        as the next start works on that one; else raises Fatal."""
        ...


T = TypeVar("T")
log = structlog.get_logger("sinks")


class SQLStore:
    """Buffers records and writes them at each cut. A stage of `pipeline.runtime`: `start`, `cut`, `revoked`.

    `trouble`: why nothing can be written at the moment, in words, else None. `pace`: how quickly records come in.
    """

    def __init__(self, dialect: Dialect, put_aside: PutAside, source: Source, generation: int = 1) -> None:
        self.trouble: str | None = None
        self.pace = Pace()
        self._dialect = dialect
        self._put_aside = put_aside
        self._source = source
        self._buffer = Buffer()
        self._writer = Writer(dialect)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sql")  # database calls block
        self._stored: dict[TopicPartition, int] = {}
        self._counted: dict[TopicPartition, int] = {}  # as `_stored`, with those of which the store knows nothing yet
        self._generation = generation
        self._is_open = False
        self._is_overtaken = False  # until the worker is stopped

    def __len__(self) -> int:
        """Records buffered."""
        return len(self._buffer)

    def next_offset(self, tp: TopicPartition) -> int:
        """Everything below it is in the store, as far as this worker knows."""
        return self._stored.get(tp, 0)

    async def start(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to begin reading: the offsets in the store, or the beginning of a partition that the store does not know. Kafka's
        committed offsets do not count: the store may be a new one. The first time, the schema is brought up to date before.
        Raises Fatal if it can't be, or if the store belongs to another log or another generation."""
        if not self._is_open:
            await self._open()
            self._is_open = True
        wanted = set(partitions)
        stored = await self._patiently(self._writer.offsets)
        self._stored = {tp: stored[tp] for tp in wanted if tp in stored}
        unknown = wanted - stored.keys()
        self._counted = {**self._stored, **(await self._source.first_offsets(unknown) if unknown else {})}
        return dict(self._counted)

    async def _open(self) -> None:
        for name in await self._patiently(migrate, self._dialect):
            log.info("schema script applied", script=name)
        await self._patiently(self._writer.check)
        meta = await self._patiently(self._writer.meta)
        known, log_id = meta.get(LOG_ID), await self._source.log_id()
        if known is None:
            await self._patiently(self._writer.claim, log_id, self._generation)
        elif (stored := int(meta[GENERATION])) != self._generation:  # perhaps with a log of its own
            raise Fatal(await self._source.overtaken(stored))
        elif known != log_id:
            raise Fatal(
                f"the store was filled from another log (its topic had id {known}, now {log_id}): "
                "start both afresh (rs up --fresh), or take the --data folder or sinks.database that belongs to this log"
            )
        self._writer.generation = self._generation

    def add(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        self._buffer.add(tp, records)

    def cut(self, positions: Mapping[TopicPartition, int]) -> Callable[[], Awaitable[None]] | None:
        """Take what is buffered; the result writes it. None if there is nothing to write."""
        moved = {tp: offset for tp, offset in positions.items() if self._stored.get(tp) != offset}
        entries = self._buffer.take()
        if self._is_overtaken or not (moved or entries):
            return None
        batch = Batch(entries, moved)
        return lambda: self._write(batch)

    def revoked(self) -> None:
        """Partitions go to another worker: what was not written is read again there."""
        self._buffer.clear()
        self._stored = {}

    async def close(self) -> None:
        await self._in_thread(self._writer.close)
        self._thread.shutdown()

    async def _write(self, batch: Batch) -> None:
        bound, unstorable = await self._in_thread(self._bind, batch)
        await self._set_aside(unstorable)
        try:
            await self._store_or_halve(bound, batch.positions)
        except Overtaken as taken:
            # The rows would say nothing new to whoever has it now; that worker has read the same log.
            log.info(await self._source.overtaken(taken.stored))
            self._is_overtaken = True
        else:
            self._stored.update(batch.positions)
            self._count(batch.positions)

    def _count(self, positions: Mapping[TopicPartition, int]) -> None:
        moved = sum(max(0, offset - self._counted.get(tp, offset)) for tp, offset in positions.items())
        self._counted.update(positions)
        self.pace.note(moved)
        metrics.RECORDS.inc(moved)

    async def _store_or_halve(self, bound: Sequence[Bound], positions: Mapping[TopicPartition, int]) -> None:
        try:
            await self._store(bound, positions)
        except Poison:
            found = await self._patiently(self._halve, bound)
            await self._set_aside(found)
            aside = {id(record.entry) for record in found}
            await self._store([record for record in bound if id(record.entry) not in aside], positions)

    def _bind(self, batch: Batch) -> tuple[list[Bound], list[Unstorable]]:
        bound, unstorable = [], []
        for entry in batch.entries:
            made = bind(entry, self._generation)
            if isinstance(made, Bound):
                bound.append(made)
            else:
                unstorable.append(made)
        return bound, unstorable

    async def _store(self, bound: Sequence[Bound], positions: Mapping[TopicPartition, int]) -> None:
        for table, rows in (await self._patiently(self._timed_write, bound, positions)).items():
            metrics.ROWS.labels(table).inc(rows)
        metrics.TRANSACTIONS.inc()

    def _timed_write(self, bound: Sequence[Bound], positions: Mapping[TopicPartition, int]) -> dict[str, int]:
        begun = monotonic()
        written = self._writer.write(bound, positions)
        metrics.SECONDS.observe(monotonic() - begun)
        return written

    def _halve(self, bound: Sequence[Bound]) -> list[Unstorable]:
        """The records that cannot be stored, found by trying halves, and halves of the halves that fail."""
        if not bound:
            return []
        try:
            self._writer.probe(bound)
        except (Poison, Race) as fault:
            if len(bound) == 1:
                return [Unstorable(bound[0].entry, fault if isinstance(fault, Poison) else Poison("refused", str(fault)))]
            middle = len(bound) // 2
            return self._halve(bound[:middle]) + self._halve(bound[middle:])
        return []

    async def _set_aside(self, unstorable: Sequence[Unstorable]) -> None:
        if not unstorable:
            return
        await self._put_aside(unstorable)
        for entry, fault in unstorable:
            metrics.QUARANTINED.labels(fault.reason).inc()
            log.warning(
                "record put aside", reason=fault.reason, detail=fault.detail,
                topic=entry.topic, partition=entry.partition, offset=entry.record.offset,
            )  # fmt: skip

    async def _patiently(self, call: Callable[..., T], *args: object) -> T:
        """Call it in the database's thread, again and again while its error is Transient. Raises Poison for a Race without end, and
        Fatal for what stays Unclear."""
        races = unclear = 0

        def again(error: BaseException) -> bool:
            nonlocal races, unclear
            races = races + 1 if isinstance(error, Race) else 0
            unclear = unclear + 1 if isinstance(error, Unclear) else 0
            return isinstance(error, Transient) and races < MOST_RACES and unclear < MOST_UNCLEAR

        retrying = AsyncRetrying(
            retry=retry_if_exception(again),
            wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S),
            before_sleep=self._note,
            reraise=True,
        )
        try:
            result: T = await retrying(self._in_thread, call, *args)
        except Race as error:
            raise Poison("refused", str(error)) from error
        except Unclear as error:
            raise Fatal(f"{error}; so {unclear} times in a row: see the log of the server") from error
        if self.trouble is not None:
            log.info("the store works", trouble_before=self.trouble)
            self.trouble = None
        return result

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        metrics.RETRIES.inc()
        if self.trouble != str(error):
            log.warning("the store does not work: trying again until it does", reason=str(error))
        self.trouble = str(error)

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
