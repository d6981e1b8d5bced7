"""How a row travels: 8 bytes mark, big endian, then the payload. A tombstone has no value, so its mark is the header `mark`.

The mark is the source position the row is complete up to. It stands first and big endian so that whoever meets two values
of a key can tell the newer one by comparing eight bytes, without decoding: recovery, the tenants agent, the sinks.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from .errors import ForeignChangelog

MARK = Struct(">Q")
SIZE = MARK.size
HEADER = "mark"
ZERO = MARK.pack(0)

Headers = Iterable[tuple[str, bytes]]


def join(mark: int, payload: bytes) -> bytes:
    """The value of a record: mark, then payload."""
    return MARK.pack(mark) + payload


def split(value: bytes) -> tuple[int, memoryview]:
    """mark, payload. Raises ForeignChangelog if `value` is too short to have a mark."""
    if len(value) < SIZE:
        raise ForeignChangelog(f"a value of {len(value)} bytes has no mark")
    return MARK.unpack_from(value)[0], memoryview(value)[SIZE:]


def tombstone(mark: int) -> list[tuple[str, bytes]]:
    """The headers of a record without value."""
    return [(HEADER, MARK.pack(mark))]


def packed_mark(value: bytes | None, headers: Headers) -> bytes:
    """The mark of a record as its eight bytes, which sort as the numbers do. A tombstone without the header was not written
    here (an operator's tool, say): it counts as the oldest. Raises ForeignChangelog."""
    if value is not None:
        if len(value) < SIZE:
            raise ForeignChangelog(f"a value of {len(value)} bytes has no mark")
        return value[:SIZE]
    for name, mark in headers:
        if name == HEADER:
            return mark
    return ZERO
