"""Where a store stands, for whoever does not write to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Dialect, connected
from sinks.sql.writer import GENERATION, LOG_ID


@dataclass(frozen=True, slots=True)
class Standing:
    """generation, log_id   of the rows; None: nothing was ever stored
    offsets             the next offset of each partition
    """

    generation: int | None = None
    log_id: str | None = None
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


def standing(store: Dialect) -> Standing:
    """Blocks. Raises Transient and Fatal."""
    with connected(store) as connection:
        cursor = connection.cursor()
        if not store.has_table(cursor, "rs_offsets"):
            return Standing()
        cursor.execute("SELECT name, value FROM rs_meta")
        meta = dict(cursor.fetchall())
        cursor.execute("SELECT topic, partition, next_offset FROM rs_offsets")
        offsets = {(str(topic), int(partition)): int(offset) for topic, partition, offset in cursor.fetchall()}
        return Standing(int(meta[GENERATION]), meta[LOG_ID], offsets) if LOG_ID in meta else Standing()
