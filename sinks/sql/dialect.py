"""What a database must say of itself to be a store: its SQL text, how rows are staged, what its errors mean.

How to add one: a module like `sqlite.py`, numbered scripts in `schema/NAME/`, one line in `sinks/databases.py`, and a subclass of the
contract tests in `tests/sinks/contract.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sinks.sql.buffer import TopicPartition
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.rows import Row, Table


class Cursor(Protocol):
    """The part of a DB-API cursor that the writer uses."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> object: ...
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object: ...
    def fetchall(self) -> list[Any]: ...
    def fetchmany(self, size: int, /) -> list[Any]: ...
    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""
        ...


class Connection(Protocol):
    """The part of a DB-API connection that the writer uses."""

    def cursor(self) -> Cursor: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class Dialect(Protocol):
    """One kind of database.

    A row is written by the same three steps everywhere: staged in a table that only this connection sees, then the rows that
    are there and not newer are updated, then those that are missing are inserted.
    """

    @property
    def scripts(self) -> Path:
        """The folder of the numbered schema scripts."""
        ...

    def connect(self) -> Connection:
        """A new connection, outside a transaction."""
        ...

    def begin(self, cursor: Cursor) -> None:
        """Begin a transaction that may write."""
        ...

    def check(self, cursor: Cursor) -> None:
        """Raises Fatal, with the step to take, if the server cannot do what is needed or a right is missing. The schema must be there."""
        ...

    def instant(self, ms: int) -> int | str:
        """An instant as a parameter that is compared with a column of kind MILLIS."""
        ...

    def lock_schema(self, cursor: Cursor) -> None:
        """Begin a transaction in which nobody else changes the schema."""
        ...

    def statements(self, script: str) -> Iterator[str]:
        """The statements of a schema script one by one."""
        ...

    def has_table(self, cursor: Cursor, name: str) -> bool: ...

    def prepare_stage(self, cursor: Cursor, table: Table) -> None:
        """Make the empty stage of a table, once for each connection. The schema must be there."""
        ...

    def stage(self, cursor: Cursor, table: Table, rows: Sequence[Row]) -> None:
        """Put the rows, sorted by key, into the empty stage of the table."""
        ...

    def clear_stage(self, cursor: Cursor, table: Table) -> None: ...

    def update(self, table: Table) -> str:
        """Overwrite the rows that the stage has as new or newer."""
        ...

    def insert(self, table: Table) -> str:
        """Add the rows of the stage that are not there."""
        ...

    def replace_children(self, cursor: Cursor, table: Table) -> None:
        """Replace the children of each parent whose staged row is the one in the store. Parents are written before, and both
        are staged."""
        ...

    def delete_some(self, cursor: Cursor, table: Table, condition: str, parameters: Sequence[Any], most: int) -> int:
        """Delete at most so many of the rows for which the condition holds; gives their number."""
        ...

    def select_some(self, columns: str, table: str, condition: str, order: str, most: int) -> str:
        """The first so many rows for which the condition holds."""
        ...

    def change_calls(self, cursor: Cursor, change: str, table: Table, calls: Sequence[tuple[int, str]]) -> None:
        """Execute `change`, a DELETE or UPDATE of the table without its WHERE, for the rows of these calls: (source partition, guid)."""
        ...

    def write_offsets(self, cursor: Cursor, positions: Mapping[TopicPartition, int]) -> None:
        """Raise the stored offsets to these."""
        ...

    def read_generation(self, cursor: Cursor) -> int:
        """The generation of the store, which stays so until the transaction ends."""
        ...

    # -- the shadow of a generation that is being built: the same schema, filled by the same writer, beside the live tables

    def shadow(self, generation: int) -> Dialect:
        """The shadow as a store of its own: own rows, offsets and meta. Nothing is made by asking."""
        ...

    def shadows(self) -> set[int]:
        """The generations whose shadow is there."""
        ...

    def drop_shadow(self, generation: int) -> None:
        """Remove it with all it holds; also harmless when there is none."""
        ...

    def join_shadow(self, cursor: Cursor, generation: int) -> str:
        """Make the shadow readable on a connection to the live tables, outside a transaction; gives what stands before the names of its
        tables and views."""
        ...

    def meaning(self, error: Exception) -> Transient | Poison | Fatal | None:
        """What an exception of the driver means; None if it is none of the driver's."""
        ...


@contextmanager
def connected(dialect: Dialect) -> Iterator[Connection]:
    """A connection that is closed in the end, which rolls back what was not committed. What the driver raises inside becomes what it
    means: Transient, Poison or Fatal."""
    connection = None
    try:
        connection = dialect.connect()
        yield connection
    except Exception as error:
        if (known := dialect.meaning(error)) is None:
            raise
        raise known from error
    finally:
        if connection is not None:
            connection.close()
