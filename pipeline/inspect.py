"""Looking into topic tables: reads a changelog from beginning to end, without a group and without a running worker.

A compacted topic may hold several values of a key, and after a worker was frozen an older one may lie behind a newer one.
Every value carries its mark, and the highest mark wins, as in recovery.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from aiokafka import ConsumerRecord

from agents.state import Activity, Call, Session, Snapshot, TenantsRow
from pipeline import generations, reading, topics
from pipeline.reading import Progress
from pipeline.runtime import codec

TABLES: dict[str, object] = {"calls": Call, "activity": Activity, "parts": Snapshot, "tenants": TenantsRow}


class NoSuchTableError(Exception):
    """Which table is missing, and what to do. One line."""


@dataclass(frozen=True, slots=True)
class Row:
    """The value of one key with the highest mark. `value` None: dropped from the table (a tombstone)."""

    key: bytes
    partition: int
    offset: int
    mark: int
    value: bytes | None


@dataclass(slots=True)
class Summary:
    """A table as a whole. `records`: of its changelog, superseded ones included; `bytes`: of the values that stand."""

    name: str
    partitions: int = 0
    records: int = 0
    keys: int = 0
    bytes: int = 0
    highest_mark: int | None = None


def packed_key(table: str, key: str) -> bytes:
    """A key as it was typed. A call's guid may be in any case and have its tail."""
    return key.partition(";")[0].upper().encode() if table == "calls" else key.encode()


async def rows(
    bootstrap: str, table: str, *, key: str | None = None, partition: int | None = None, progress: Progress | None = None
) -> list[Row]:
    """The rows of a table in the order of partition and key; `key` alone, or those that begin with it if it ends in `*`.

    Raises NoSuchTableError, StuckError, and aiokafka's KafkaError when Kafka can't be reached.
    """
    changelog = await _changelog(bootstrap, table)
    partitions = await _partitions(bootstrap, table, changelog)
    if partition is not None:
        if partition not in partitions:
            raise NoSuchTableError(f"table {table} has no partition {partition}: it has {', '.join(map(str, partitions))}")
        partitions = [partition]
    elif table == "calls" and key is not None and not key.endswith("*"):
        partitions = [topics.partition_of(packed_key(table, key), len(partitions))]
    wanted = _wanted(table, key)
    latest: dict[tuple[int, bytes], Row] = {}
    async for record in reading.records(bootstrap, changelog, partitions, progress=progress):
        if wanted(record.key):
            row = row_of(record)
            if (known := latest.get((row.partition, row.key))) is None or _supersedes(row.mark, known.mark):
                latest[row.partition, row.key] = row
    return sorted((row for row in latest.values() if row.value is not None), key=lambda row: (row.partition, row.key))


async def summary(bootstrap: str, table: str, progress: Progress | None = None) -> Summary:
    """Raises like `rows`."""
    changelog = await _changelog(bootstrap, table)
    partitions = await _partitions(bootstrap, table, changelog)
    found = Summary(table, partitions=len(partitions))
    latest: dict[tuple[int, bytes], tuple[int, int | None]] = {}  # mark and bytes; the values themselves might not fit in memory
    async for record in reading.records(bootstrap, changelog, partitions, progress=progress):
        found.records += 1
        row = row_of(record)
        if _supersedes(row.mark, latest.get((row.partition, row.key), (0, None))[0]):
            latest[row.partition, row.key] = row.mark, None if row.value is None else len(row.value)
    sizes = [size for _, size in latest.values() if size is not None]
    found.keys, found.bytes = len(sizes), sum(sizes)
    found.highest_mark = max((mark for mark, _ in latest.values()), default=None)
    return found


async def existing_tables(bootstrap: str) -> list[str]:
    """The tables whose changelog exists."""
    changelog = (await generations.read(bootstrap)).live.changelog
    present = await reading.partitions_of(bootstrap, map(changelog, TABLES))
    return [table for table in TABLES if changelog(table) in present]


def row_of(record: ConsumerRecord) -> Row:
    """Raises ForeignChangelog when the value has no mark."""
    mark = int.from_bytes(codec.packed_mark(record.value, record.headers), "big")
    value = None if record.value is None else bytes(codec.split(record.value)[1])
    return Row(record.key, record.partition, record.offset, mark, value)


def readable(table: str, row: Row) -> dict[str, object]:
    """The row with names instead of places, ready for JSON. Raises msgspec.MsgspecError when the value isn't one of this table."""
    assert row.value is not None
    value: msgspec.Struct = msgspec.msgpack.decode(row.value, type=TABLES[table])
    shown = _named(value)
    assert isinstance(shown, dict)
    shown.pop("mark", None)  # it is encoded as 0: the true one stands before the value
    return {"key": row.key.decode("utf-8", "backslashreplace"), "partition": row.partition, "offset": row.offset, "mark": row.mark, **shown}


def _named(value: object) -> object:
    if isinstance(value, Session):  # its events are kept encoded
        shown = {name: getattr(value, name) for name in value.__struct_fields__ if name not in ("events", "origins")}
        return _named(shown | {"messages": value.messages, "payloads": value.payloads})
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        kind = {"kind": tag} if isinstance(tag, str) else {"type": type(value).__name__} if tag is not None else {}
        return kind | {name: _named(getattr(value, name)) for name in value.__struct_fields__ if getattr(value, name) is not None}
    if isinstance(value, dict):
        return {str(key): _named(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(inner) for inner in value]
    return value


async def _changelog(bootstrap: str, table: str) -> str:
    """The topic of the current generation."""
    if table not in TABLES:
        raise NoSuchTableError(f"there is no table {table}: the tables are {', '.join(TABLES)}")
    return (await generations.read(bootstrap)).live.changelog(table)


async def _partitions(bootstrap: str, table: str, changelog: str) -> list[int]:
    partitions = (await reading.partitions_of(bootstrap, [changelog])).get(changelog)
    if not partitions:
        raise NoSuchTableError(f"table {table} has no changelog topic {changelog} yet: rs init creates it")
    return partitions


def _supersedes(mark: int, known: int) -> bool:
    """Whether a record stands against an earlier one of its key. Of equal marks the later record counts."""
    return mark >= known


def _wanted(table: str, key: str | None) -> Callable[[bytes], bool]:
    if key is None:
        return lambda _: True
    if key.endswith("*"):
        prefix = packed_key(table, key[:-1])
        return lambda packed: packed.startswith(prefix)
    exact = packed_key(table, key)
    return lambda packed: packed == exact
