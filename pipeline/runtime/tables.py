"""Tables kept per partition: encoded bytes for every key, decoded values for the keys in use.

A body changes decoded values and touches their keys; a cut encodes the touched ones once, however often they changed, and
sends them to Faust's changelog topic in the order in which they were last touched. Recovery fills the bytes; of several values
of a key the one with the highest mark wins, and of equal marks the later.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import faust
import msgspec
from faust.stores.memory import Store as MemoryStore
from faust.types import TP

from . import codec
from .chunk import Chunk, Record
from .errors import WrongDeclaration
from .producer import Message
from .rows import MEMORY, ROCKSDICT, MemoryRows, Rows


class Marked(Protocol):
    """A value of a table: a msgspec Struct with the source position it is complete up to."""

    mark: int


K = TypeVar("K")
V = TypeVar("V", bound=Marked)

PackKey = Callable[[Any, int], bytes]
UnpackKey = Callable[[bytes], Any]

# A decoded value costs about 276 bytes more than its encoded form: 200,000 of them in one partition are 55 MB.
CACHE = 200_000


class State(dict[K, V]):
    """Decoded values of one partition of a table.

    `state[key]` loads the value or makes a fresh one; after changing it, `state.touch(key)`. `state.drop(key)` deletes,
    `state.peek(key)` looks without making. Nothing here awaits, and nothing is sent before the cut.
    `rows` and `encoded_bytes` say what the last cut left, `len(state)` how many values are decoded.
    """

    touch: Callable[[K], None]

    def __init__(self, table: StateTable[K, V], partition: int) -> None:
        self.table, self.partition = table, partition
        self.raw: MemoryRows | Rows = table.open_rows(partition)
        self.rows = self._size = 0  # encoded rows, and their bytes with the marks
        self._touched: list[K] = []
        self.touch = self._touched.append  # C speed: a body touches once an event, the cut sorts it out once a key
        self._dropped: dict[bytes, int] = {}  # packed key -> mark the row had
        self._buried: dict[bytes, bytes] = {}  # packed key -> mark of its tombstone, while recovery reads
        self._beaten: dict[bytes, None] = {}  # packed keys with a lower mark behind a higher one in the changelog

    def __missing__(self, key: K) -> V:
        value = self._load(key)
        if value is None:
            if self.table.make is None:
                raise KeyError(key)
            value = self.table.make()
        self[key] = value
        return value

    def peek(self, key: K) -> V | None:
        """The value, or None: nothing is made."""
        value = self.get(key)
        if value is None and (value := self._load(key)) is not None:
            self[key] = value
        return value

    def drop(self, key: K) -> None:
        """Delete: the next cut writes a tombstone. A key that was never written leaves no trace."""
        value, packed = self.pop(key, None), self.table.pack_key(key, self.partition)
        data = self.raw.pop(packed, None)
        if data is not None:
            self.rows -= 1
            self._size -= len(data)
            self._dropped[packed] = max(codec.split(data)[0], 0 if value is None else value.mark)
            self.touch(key)

    @property
    def encoded_bytes(self) -> int:
        """Encoded bytes of the rows that stand, without keys and marks."""
        return self._size - codec.SIZE * self.rows

    def raw_of(self, key: K) -> tuple[int, memoryview] | None:
        """Mark and encoded payload of a row as of the last cut or the end of recovery, without decoding or keeping it; None:
        there is no such row. What has changed since is in the decoded value alone: ask `get(key)` first."""
        data = self.raw.get(self.table.pack_key(key, self.partition))
        return None if data is None else codec.split(data)

    def keys_packed(self) -> Iterator[bytes]:
        """All keys as of the last cut or the end of recovery, packed."""
        return iter(self.raw)

    def _load(self, key: K) -> V | None:
        data = self.raw.get(self.table.pack_key(key, self.partition))
        if data is None:
            return None
        mark, payload = codec.split(data)
        value = self.table.decode(payload)
        value.mark = mark
        return value

    # -- the cut

    @property
    def changed(self) -> bool:
        return bool(self._touched or self._beaten)

    def touched(self) -> list[K]:
        """The touched keys, each once, in the order of their last touch."""
        keys = list(dict.fromkeys(reversed(self._touched)))
        keys.reverse()
        return keys

    def cut(self, position: int) -> tuple[list[K], list[Message]]:
        """Stamp what was touched with the position it is complete up to, encode it, and start afresh.
        Gives the keys, and the changelog records in the same order."""
        encode, pack, raw, partition = self.table.encode, self.table.pack_key, self.raw, self.partition
        stamp = position if self.table.stamped else 0
        dropped, beaten = self._dropped, self._beaten
        keys, messages = [], []
        new = grown = 0
        touched = self.touched()
        packed_keys = [pack(key, partition) for key in touched]
        raw.expect(packed_keys)
        for key, packed in zip(touched, packed_keys, strict=True):
            value = self.get(key)
            if value is None and packed not in dropped:
                value = self.peek(key)  # touched without being looked at: to be sent again
            if value is None:
                if packed not in dropped:
                    continue  # never written
                mark = max(dropped.pop(packed), stamp)
                messages.append(Message(packed, None, codec.tombstone(mark)))
            else:
                mark = max(value.mark, stamp, dropped.pop(packed, 0) if dropped else 0)  # never back: a replay cuts elsewhere
                value.mark = 0
                data = codec.join(mark, encode(value))
                value.mark = mark
                if (old := raw.get(packed)) is None:
                    new += 1
                    grown += len(data)
                else:
                    grown += len(data) - len(old)
                raw[packed] = data
                messages.append(Message(packed, data))
            if beaten:
                beaten.pop(packed, None)
            keys.append(key)
        raw.flush()
        self.rows += new
        self._size += grown
        if len(self) > self.table.cache:
            hot = {key: self[key] for key in keys if key in self}
            self.clear()
            self.update(hot)
        self._touched.clear()
        return keys, messages

    def repairs(self) -> list[Message]:
        """Rows that recovery found beaten by position but not by mark: to be written again as they are, once."""
        raw, again = self.raw, []
        for packed in self._beaten:
            data = raw.get(packed)
            again.append(Message(packed, data, [] if data is not None else [(codec.HEADER, self._buried[packed])]))
        self._beaten.clear()
        self._buried.clear()
        return again

    # -- recovery

    def load(self, records: Sequence[Record]) -> None:
        """Apply changelog records. Raises ForeignChangelog."""
        raw, buried, beaten, size = self.raw, self._buried, self._beaten, codec.SIZE
        rows = grown = 0
        raw.expect(cast(bytes, record.key) for record in records)
        for record in records:
            packed, value = cast(bytes, record.key), record.value
            old = raw.get(packed)
            standing = old[:size] if old is not None else buried.get(packed) if buried else None
            mark = value[:size] if value is not None else codec.packed_mark(None, record.headers)
            if standing is not None and mark < standing:
                beaten[packed] = None
                continue
            if beaten:
                beaten.pop(packed, None)
            if value is None:
                if old is not None:
                    del raw[packed]
                    rows -= 1
                    grown -= len(old)
                buried[packed] = mark
            elif len(value) < size:
                codec.split(value)  # raises
            else:
                if old is None:
                    rows += 1
                    grown += len(value)
                else:
                    grown += len(value) - len(old)
                raw[packed] = value
                if buried:
                    buried.pop(packed, None)
        raw.flush()
        self.rows += rows
        self._size += grown

    def recovered(self) -> None:
        """The changelog has been read to its end."""
        self._buried = {packed: mark for packed, mark in self._buried.items() if packed in self._beaten}


class Store(MemoryStore):  # type: ignore[misc]  # Faust ships no types
    """What Faust sees: one read-only mapping over the bytes of all partitions."""

    def __post_init__(self) -> None:
        self.states: dict[int, State[Any, Any]] = {}
        self.data = ChainMap[bytes, bytes]()
        self._key_partition: dict[bytes, int] = {}

    def state(self, partition: int) -> State[Any, Any]:
        state = self.states.get(partition)
        if state is None:
            state = self.states[partition] = State(self.table, partition)
            self.data.maps.append(state.raw)
        return state

    def forget(self, partition: int) -> None:
        """Begin again with an empty partition."""
        if (gone := self.states.pop(partition, None)) is not None:
            self.data.maps = [{}, *(state.raw for state in self.states.values())]
            gone.raw.close()

    async def on_rebalance(self, _assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:  # noqa: ARG002
        """Partitions that went, or came anew, start empty: recovery reads them whole."""
        for tp in revoked | newly_assigned:
            if tp.topic == self.table.changelog_topic_name:
                self.forget(tp.partition)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:  # noqa: ARG002
        """Nothing to prune: on_rebalance did."""
        for state in self.states.values():
            state.recovered()


class StateTable(faust.Table, Generic[K, V]):  # type: ignore[misc]  # Faust ships no types
    """A Faust table (same changelog topic, listed by `faust tables`) for values that are msgspec Structs.

    value       the Struct type, or a union of tagged ones
    make        what a missing key gives; default `value()`, and KeyError for a union
    pack_key    (key, partition) -> bytes; default: the key is bytes
    unpack_key  bytes -> key, for those who read `keys_packed`
    stamped     a cut sets the mark to max(old, position). False: marks are the body's own (rows that carry somebody else's)
    cache       decoded values kept per partition
    """

    def __init__(
        self,
        app: Any,
        *,
        value: Any,
        make: Callable[[], V] | None = None,
        pack_key: PackKey | None = None,
        unpack_key: UnpackKey | None = None,
        stamped: bool = True,
        cache: int = CACHE,
        **options: Any,
    ) -> None:
        super().__init__(app, key_type=bytes, value_type=bytes, **options)
        self.make: Callable[[], V] | None = make or (value if isinstance(value, type) else None)
        self.stamped, self.cache = stamped, cache
        self.changelog_bytes = 0  # keys and values written, a total for metrics
        self._wiped = False
        self.pack_key: PackKey = pack_key or (lambda key, _partition: key)
        self.unpack_key: UnpackKey = unpack_key or (lambda packed: packed)
        self.encode: Callable[[V], bytes] = msgspec.msgpack.Encoder().encode
        self.decode: Callable[[Any], V] = msgspec.msgpack.Decoder(value).decode

    def of(self, chunk: Chunk) -> State[K, V]:
        """The state that belongs to the partition of this chunk."""
        return self.state(chunk.tp.partition)

    def state(self, partition: int) -> State[K, V]:
        return cast("State[K, V]", self.data.state(partition))

    @property
    def states(self) -> dict[int, State[K, V]]:
        """The partitions that are here."""
        return cast("dict[int, State[K, V]]", self.data.states)

    def open_rows(self, partition: int) -> MemoryRows | Rows:
        """An empty place for the encoded rows of a partition, as the app's `store` says. Raises FolderInUse, WrongDeclaration."""
        where = self.app.conf.store.scheme
        if where == MEMORY:
            return MemoryRows()
        if where != ROCKSDICT:
            raise WrongDeclaration(f"store {where}: tables are kept in {MEMORY} or in {ROCKSDICT}")
        from . import rocks  # the library is loaded where it is used

        folder = Path(self.app.conf.tabledir) / self.name
        if not self._wiped:
            rocks.wipe(folder)  # also partitions that others have now
            self._wiped = True
        return rocks.RocksRows(folder / str(partition))

    def info(self) -> dict[str, Any]:
        raise NotImplementedError("a StateTable is not cloned")

    def _new_store(self) -> Store:
        return Store("memory://", self.app, self, table_name=self.name, key_type=bytes, value_type=bytes, loop=self.loop)

    def on_key_set(self, _key: Any, _value: Any) -> None:
        raise TypeError("change values through table.of(chunk): the checkpoint writes them")

    def on_key_del(self, _key: Any) -> None:
        self.on_key_set(None, None)
