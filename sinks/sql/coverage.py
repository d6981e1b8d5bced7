"""How far back the log reaches, and so which rows a new generation may replace.

Where records were deleted at the beginning of rs.billing, a call that had some of them cannot be folded again, nor a bin in which such
a call counts. Those rows are carried over as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from agents.bins import BASE_MS, base_of
from sinks.sql.dialect import Cursor
from sinks.sql.rows import SESSIONS, Row, Table

AT_ONCE = 5_000  # rows fetched


class _Offset(msgspec.Struct):
    offset: int


_offsets = msgspec.json.Decoder(list[_Offset]).decode


@dataclass(frozen=True, slots=True)
class Coverage:
    """calls       (partition, guid) of the calls that are carried over
    bins_from   bins that begin here or later, ms UTC, are replaced, earlier ones carried over; 0: all are replaced, None: none
    """

    calls: frozenset[tuple[int, str]] = field(default_factory=frozenset)
    bins_from: int | None = 0

    @property
    def is_whole(self) -> bool:
        return not self.calls and self.bins_from == 0

    def has(self, table: Table, key: Row) -> bool:
        """Whether a row of the live table is replaced."""
        if "guid" in table.key_names:
            return key[:2] not in self.calls
        if "bin_start" in table.key_names:
            start = key[table.key_names.index("bin_start")]
            assert isinstance(start, int)
            return self.bins_from is not None and start >= self.bins_from
        return True


WHOLE = Coverage()


def coverage(cursor: Cursor, first: Mapping[int, int], reaches_ms: int) -> Coverage:
    """What the log covers of the live rows.

    `first`: partition of rs.billing -> its first offset; `reaches_ms`: the latest receipt with which a partition begins that lost
    records, 0 if none has.
    """
    cut = {partition: offset for partition, offset in first.items() if offset > 0}
    if not cut:
        return WHOLE
    calls: set[tuple[int, str]] = set()
    last: int | None = reaches_ms
    cursor.execute(f"SELECT source_partition, guid, ended, end_ts, messages FROM {SESSIONS.name}")  # noqa: S608 - a name of this package
    while rows := cursor.fetchmany(AT_ONCE):
        for partition, guid, ended, end_ts, messages in rows:
            if partition in cut and any(message.offset < cut[partition] for message in _offsets(messages)):
                calls.add((partition, guid))
                if not ended:
                    last = None  # it counts in every bin from its start on
                elif last is not None and end_ts is not None:
                    last = max(last, end_ts)
    return Coverage(frozenset(calls), None if last is None else base_of(last) + BASE_MS)
