# ruff: noqa: S608 - names come from this package; values are always bound
"""The shadow of a generation takes the place of the live rows, in one transaction: rows, offsets and the number of the generation."""

from __future__ import annotations

from sinks.sql.coverage import Coverage
from sinks.sql.dialect import Cursor, Dialect, connected
from sinks.sql.errors import Fatal
from sinks.sql.rows import BINS, CALLS, TABLES, Table
from sinks.sql.writer import GENERATION, LOG_ID

# The mark of rows that are carried over: no worker has a higher one, so what it makes of a part of the messages never replaces them.
CARRIED = 2**63 - 1


def swap(dialect: Dialect, generation: int, coverage: Coverage, copy_of: str | None = None) -> dict[str, int]:
    """Replace the live rows; gives the number of new rows by table. Blocks. The shadow stays as it is, and nobody may write to it
    meanwhile. `copy_of`: the id of the log that the shadow's log is a copy of, if it is one: the live rows must be of that. Raises
    Transient and Fatal; then nothing has changed."""
    with connected(dialect) as connection:
        cursor = connection.cursor()
        shadow = dialect.join_shadow(cursor, generation)
        dialect.begin(cursor)
        log_id = _check(dialect, cursor, shadow, generation, copy_of)
        if not coverage.is_whole:
            _carry_over(dialect, cursor, generation, coverage)
        rows = {table.name: _replace(dialect, cursor, table, shadow, generation, coverage) for table in TABLES}
        cursor.execute("DELETE FROM rs_offsets")
        cursor.execute(
            f"INSERT INTO rs_offsets (topic, partition, next_offset) SELECT topic, partition, next_offset FROM {shadow}rs_offsets"
        )
        cursor.execute("UPDATE rs_meta SET value = ? WHERE name = ?", (str(generation), GENERATION))
        cursor.execute("UPDATE rs_meta SET value = ? WHERE name = ?", (log_id, LOG_ID))
        connection.commit()
        return rows


def _check(dialect: Dialect, cursor: Cursor, shadow: str, generation: int, copy_of: str | None) -> str:
    """Gives the id of the log that the shadow is of."""
    if (stored := dialect.read_generation(cursor)) >= generation:
        raise Fatal(f"the store has generation {stored} already: {generation} cannot replace it")
    logs = []
    for prefix in ("", shadow):
        cursor.execute(f"SELECT value FROM {prefix}rs_meta WHERE name = ?", (LOG_ID,))
        logs += [str(value) for (value,) in cursor.fetchall()]
    if len(logs) != 2 or logs[0] != (copy_of or logs[1]):
        raise Fatal("the store and the new generation were made of different logs: nothing was replaced")
    return logs[1]


def _carry_over(dialect: Dialect, cursor: Cursor, generation: int, coverage: Coverage) -> None:
    calls = [(generation, CARRIED, *call) for call in sorted(coverage.calls)]
    for table in TABLES:
        if "guid" in table.key_names and calls:
            cursor.executemany(f"UPDATE {table.name} SET generation = ?, mark = ? WHERE source_partition = ? AND guid = ?", calls)
    if coverage.bins_from is None:
        cursor.execute(f"UPDATE {BINS.name} SET generation = ?, mark = ?", (generation, CARRIED))
    else:
        before = (generation, CARRIED, dialect.instant(coverage.bins_from))
        cursor.execute(f"UPDATE {BINS.name} SET generation = ?, mark = ? WHERE bin_start < ?", before)


def _replace(dialect: Dialect, cursor: Cursor, table: Table, shadow: str, generation: int, coverage: Coverage) -> int:
    """One table; those that carried rows over are found by their guard."""
    columns = ", ".join(table.names)
    copy = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {shadow}{table.name} AS s"
    if coverage.is_whole:
        cursor.execute(f"DELETE FROM {table.name}")
        cursor.execute(copy)
    else:
        carried = (generation, CARRIED)
        cursor.execute(f"DELETE FROM {table.name} WHERE NOT (generation = ? AND mark = ?)", carried)
        if "guid" in table.key_names:
            cursor.execute(
                f"{copy} WHERE NOT EXISTS (SELECT 1 FROM {CALLS.name} AS c WHERE c.source_partition = s.source_partition"
                " AND c.guid = s.guid AND c.generation = ? AND c.mark = ?)",
                carried,
            )
        elif table is not BINS:
            cursor.execute(copy)
        elif coverage.bins_from is not None:
            cursor.execute(f"{copy} WHERE bin_start >= ?", (dialect.instant(coverage.bins_from),))
    cursor.execute(f"SELECT count(*) FROM {table.name} WHERE generation = ? AND mark < ?", (generation, CARRIED))
    return int(cursor.fetchall()[0][0])
