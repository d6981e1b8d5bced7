"""A cut: everything that happened up to one position of every partition, taken between two chunks without an await, and how it
is made durable.

    outbox confirmed -> each stage of the order confirmed -> offsets committed

A crash between any two steps, or inside one, replays from the last commit, with other boundaries too; marks and whole-row
snapshots make the replay come out the same. Only this order does: what is committed must be written, and what a later
stage knows an earlier one must know as well.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from .producer import Message
from .tables import StateTable


class Row(NamedTuple):
    """A touched row as it goes into the changelog. `value` is mark and payload, None for a dropped one."""

    partition: int
    key: Any
    packed: bytes
    value: bytes | None


class Outgoing(NamedTuple):
    """A record for another topic, confirmed before any table of the cut."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Start(NamedTuple):
    """Where a partition begins, and what the commit of exactly this offset says ("" if a stage gave the offset)."""

    offset: int
    metadata: str


Write = Callable[[], Awaitable[None]]


@runtime_checkable
class Stage(Protocol):
    """Something durable that is not a table: the SQL store.

    It may also have `async def start(tps) -> dict[TP, int]`, the offsets to begin from instead of Kafka's committed ones (a
    missing tp: committed, or the beginning), and `def revoked()`: forget what is buffered, others will read it.
    `start` has as long as Faust's `broker_request_timeout` (90 s); then the worker stops.
    """

    def cut(self, positions: dict[TP, int]) -> Write | None:
        """Take what is buffered up to `positions` and give the write. No await: it happens inside the cut."""


class Cut:
    """positions: the next offset to fold, of every assigned source partition of the checkpoint."""

    def __init__(self, positions: dict[TP, int]) -> None:
        self.positions = positions
        self._rows: dict[StateTable[Any, Any], dict[int, tuple[list[Any], list[Message]]]] = {}
        self._repairs: dict[StateTable[Any, Any], dict[int, list[Message]]] = {}
        self._outgoing: dict[tuple[str, int], list[Message]] = defaultdict(list)
        self._writes: list[tuple[StateTable[Any, Any] | None, Write | None]] = []

    def rows(self, table: StateTable[Any, Any]) -> Iterator[Row]:
        """The touched rows of a table of this checkpoint as encoded, by partition and in the order of their last touch.
        Empty in `before_cut`: nothing is encoded yet."""
        for partition, (keys, messages) in self._rows.get(table, {}).items():
            for key, message in zip(keys, messages, strict=True):
                yield Row(partition, key, message.key or b"", message.value)

    # -- taking it (no awaits)

    def encode(self, table: StateTable[Any, Any]) -> None:
        """Stamp and encode the touched rows of the assigned partitions."""
        rows, repairs = self._rows.setdefault(table, {}), self._repairs.setdefault(table, {})
        for partition, position in self._positions_by_partition(table).items():
            state = table.state(partition)
            if state.changed:
                rows[partition] = state.cut(position)
                if again := state.repairs():
                    repairs[partition] = again

    def _positions_by_partition(self, table: StateTable[Any, Any]) -> dict[int, int]:
        if table.stamped:
            return {tp.partition: position for tp, position in self.positions.items()}
        return dict.fromkeys((tp.partition for tp in self.positions), 0)

    def send(self, records: Iterable[Outgoing]) -> None:
        for topic, partition, key, value, headers in records:
            self._outgoing[topic, partition].append(Message(key, value, headers))

    def stage(self, stage: StateTable[Any, Any] | Stage) -> None:
        """Put a stage behind those before it."""
        if isinstance(stage, StateTable):
            self._writes.append((stage, None))
        else:
            self._writes.append((None, stage.cut(dict(self.positions))))

    # -- making it durable

    async def write(self, app: Any, commits: Mapping[TP, OffsetAndMetadata]) -> None:
        """The order of the promise, in one place. Raises whatever fails; what comes after it is then not done."""
        consumer = app.consumer
        consumer.check_membership()
        await self._write_outbox(app)
        for table, write in self._writes:
            consumer.check_membership()
            if table is not None:
                await self._write_table(app, table)
            elif write is not None:
                await write()
        consumer.check_membership()
        await consumer.commit_offsets(commits)

    async def _write_outbox(self, app: Any) -> None:
        send = app.producer.send_all
        await asyncio.gather(*(send(topic, n, messages) for (topic, n), messages in self._outgoing.items()))

    async def _write_table(self, app: Any, table: StateTable[Any, Any]) -> None:
        rows, repairs = self._rows[table], self._repairs[table]
        topic = table.changelog_topic_name
        partitions = [n for n in self._rows[table] if rows[n][1] or n in repairs]
        last = await asyncio.gather(*(app.producer.send_all(topic, n, repairs.get(n, []) + rows[n][1]) for n in partitions))
        for n, offset in zip(partitions, last, strict=True):
            app.tables.recovery.wrote(TP(topic, n), offset)
            table.changelog_bytes += sum(len(key or b"") + len(value or b"") for key, value, *_ in repairs.get(n, []) + rows[n][1])
