"""What was read since the last cut: of each key the value with the highest mark, still as bytes.

A table's changelog carries a value again and again; only the last state of it is worth decoding. Values begin with their mark
(`pipeline.runtime.codec`), so the choice needs no decoding either. Tombstones are ignored: the store keeps what a table drops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pipeline import topics
from pipeline.generation import plain
from sinks.sql.errors import Poison

TopicPartition = tuple[str, int]

MARK_BYTES = 8


class Record(Protocol):
    """A record as the consumer gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Entry(NamedTuple):
    """A record that is to be stored. `fault` is set if it can't be: not even a mark could be read."""

    topic: str
    partition: int
    mark: int
    record: Record
    fault: Poison | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction makes durable: the rows of `entries` and `positions`, the next offset of each partition."""

    entries: list[Entry]
    positions: dict[TopicPartition, int]


def header(record: Record, name: str) -> bytes:
    """Raises Poison if there is no such header."""
    for key, value in record.headers:
        if key == name:
            return value
    raise Poison("missing_header", name)


def number(record: Record, name: str) -> int:
    """A decimal header. Raises Poison."""
    text = header(record, name)
    if not text.isdigit():
        raise Poison("bad_header", f"{name} is not a decimal number")
    return int(text)


class Buffer:
    """Of each key the value with the highest mark; of equal marks the later one. Bounded by whoever cuts."""

    def __init__(self) -> None:
        self._kept: dict[TopicPartition, dict[bytes, Entry]] = {}
        self._faulty: list[Entry] = []

    def __len__(self) -> int:
        return sum(map(len, self._kept.values())) + len(self._faulty)

    def add(self, tp: TopicPartition, records: Sequence[Record]) -> None:
        """Take consecutive records of one partition."""
        topic, partition = tp
        kept = self._kept.setdefault(tp, {})
        read = _read_event if plain(topic) == topics.EVENTS else _read_changelog
        for record in records:
            if record.value is None:
                continue
            try:
                key, mark = read(record)
            except Poison as fault:
                self._faulty.append(Entry(topic, partition, -1, record, fault))
                continue
            before = kept.get(key)
            if before is None or mark >= before.mark:
                kept[key] = Entry(topic, partition, mark, record)

    def take(self) -> list[Entry]:
        """All that is kept, ordered by partition; the buffer is empty afterwards."""
        entries = [entry for tp in sorted(self._kept) for entry in self._kept[tp].values()] + self._faulty
        self.clear()
        return entries

    def clear(self) -> None:
        self._kept = {}
        self._faulty = []


def _read_changelog(record: Record) -> tuple[bytes, int]:
    """key, mark"""
    if record.key is None:
        raise Poison("no_key", "a changelog record without a key")
    if record.value is None or len(record.value) <= MARK_BYTES:
        raise Poison("not_decodable", "value is shorter than its mark")
    return record.key, int.from_bytes(record.value[:MARK_BYTES], "big")


def _read_event(record: Record) -> tuple[bytes, int]:
    """An event is written once and never changes: its offset in rs.billing names it, and the mark follows from it."""
    offset = number(record, "offset")
    return header(record, "offset"), offset + 1
