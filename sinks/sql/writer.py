"""One batch is one transaction: rows and the offsets they reach to become durable together or not at all.

Every call blocks, and all of them belong into one thread. After any error the transaction is rolled back and the connection
dropped: what a server kept of a connection that failed is not worth knowing.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sinks.sql.binder import Bound
from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Connection, Cursor, Dialect
from sinks.sql.errors import Fatal
from sinks.sql.rows import TABLES, Row, Table

GENERATION = "generation"  # names in rs_meta
LOG_ID = "billing_topic"


class Overtaken(Fatal):
    """Another generation has taken the store over since this worker began. Nothing was stored."""

    def __init__(self, stored: int, own: int) -> None:
        super().__init__(f"the store has become that of generation {stored}, this worker is of {own}: it must start again")
        self.stored = stored


class Writer:
    """Writes into one database through one connection, made when it is first needed.

    `generation`: once it is set, nothing is written into a store that another generation has taken over.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.generation: int | None = None
        self._dialect = dialect
        self._connection: Connection | None = None

    def write(self, bound: Iterable[Bound], positions: Mapping[TopicPartition, int]) -> dict[str, int]:
        """Store the rows and the offsets in one transaction. Gives the number of rows sent by table. Raises the errors of
        `sinks.sql.errors`; then nothing was stored."""
        rows = _by_table(bound)
        with self._transaction() as cursor:
            self._check_generation(cursor)
            self._write_rows(cursor, rows)
            self._dialect.write_offsets(cursor, positions)
        return {table.name: len(of_table) for table, of_table in rows.items()}

    def probe(self, bound: Iterable[Bound]) -> None:
        """Find out whether the rows can be stored, without storing them. Raises as `write` does."""
        with contextlib.suppress(_ProbeEnds), self._transaction() as cursor:
            self._write_rows(cursor, _by_table(bound))
            raise _ProbeEnds

    def check(self) -> None:
        """Raises Fatal if the database can't do what is needed, or a right is missing."""
        with self._transaction() as cursor:
            self._dialect.check(cursor)

    def offsets(self) -> dict[TopicPartition, int]:
        """The next offset of each partition that was ever written."""
        with self._transaction() as cursor:
            cursor.execute("SELECT topic, partition, next_offset FROM rs_offsets")
            return {(topic, partition): offset for topic, partition, offset in cursor.fetchall()}

    def meta(self) -> dict[str, str]:
        with self._transaction() as cursor:
            cursor.execute("SELECT name, value FROM rs_meta")
            return dict(cursor.fetchall())

    def claim(self, log_id: str, generation: int) -> None:
        """Say of an empty store which log and which generation of it fills it."""
        with self._transaction() as cursor:
            cursor.execute("UPDATE rs_meta SET value = ? WHERE name = ?", (str(generation), GENERATION))
            cursor.execute("INSERT INTO rs_meta (name, value) VALUES (?, ?)", (LOG_ID, log_id))

    def close(self) -> None:
        """Also harmless when nothing is open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _check_generation(self, cursor: Cursor) -> None:
        if self.generation is not None and (stored := self._dialect.read_generation(cursor)) != self.generation:
            raise Overtaken(stored, self.generation)

    def _write_rows(self, cursor: Cursor, rows: Mapping[Table, Sequence[Row]]) -> None:
        dialect = self._dialect
        for table in TABLES:
            if table in rows:
                dialect.stage(cursor, table, rows[table])
            if table.parent in rows:  # also without children: those of before must go
                dialect.replace_children(cursor, table)
            elif table in rows:
                cursor.execute(dialect.update(table))
                cursor.execute(dialect.insert(table))
        for table in rows:  # only now: children look at the stage of their parents
            dialect.clear_stage(cursor, table)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        try:
            if self._connection is None:
                self._connection = self._dialect.connect()
                for table in TABLES:
                    self._dialect.prepare_stage(self._connection.cursor(), table)
            cursor = self._connection.cursor()
            self._dialect.begin(cursor)
            yield cursor
            self._connection.commit()
        except BaseException as error:
            self._give_up()
            known = self._dialect.meaning(error) if isinstance(error, Exception) else None
            if known is None:
                raise
            raise known from error

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # the error that brought us here is the one to tell
                connection.rollback()
            with contextlib.suppress(Exception):
                connection.close()


class _ProbeEnds(Exception):
    """Rolls a probe back."""


def _by_table(bound: Iterable[Bound]) -> dict[Table, list[Row]]:
    """The rows of each table, sorted by key, parents before children. Of rows of one key the newest is kept: records with
    different keys can become the same row (an event that was accepted twice)."""
    newest: dict[Table, dict[Row, Row]] = defaultdict(dict)
    for record in bound:
        for table, row in record.rows:
            key = table.key_of(row)
            before = newest[table].get(key)
            if before is None or row[-2:] >= before[-2:]:  # (generation, mark)
                newest[table][key] = row
    return {table: [rows[key] for key in sorted(rows)] for table in TABLES if (rows := newest.get(table))}
