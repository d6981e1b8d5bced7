# ruff: noqa: S608 - names come from this package; values are always bound
"""SQLite: the store of the local stack and of the tests. docs/adr/0004-one-writer-design.md says what was chosen and measured."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Connection, Cursor
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.rows import Kind, Row, Table

LOCK_TIMEOUT_S = 5.0  # readers never block the writer in WAL mode; only another writer or a backup does

TYPES = {
    Kind.INT: "INTEGER",
    Kind.FLAG: "INTEGER",
    Kind.MILLIS: "INTEGER",
    Kind.REAL: "REAL",
    Kind.TEXT: "TEXT",
    Kind.CODE: "TEXT",
    Kind.DECIMAL: "TEXT",
    Kind.JSON: "TEXT",
}

# Primary result codes (https://sqlite.org/rescode.html) that may go away by themselves or by somebody's hand.
MENDED_BY_TIME = {
    sqlite3.SQLITE_BUSY: "another process writes to it",
    sqlite3.SQLITE_LOCKED: "another process writes to it",
    sqlite3.SQLITE_PROTOCOL: "another process locks it",
    sqlite3.SQLITE_IOERR: "the disk gives errors",
    sqlite3.SQLITE_NOMEM: "no memory is left",
    sqlite3.SQLITE_FULL: "the disk is full: free space, the sink goes on by itself",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look whether its folder exists and may be written to",
}
FAULT_OF_A_ROW = {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE}


@dataclass(frozen=True, slots=True)
class SQLite:
    """A database in one file."""

    path: Path

    @property
    def scripts(self) -> Path:
        return Path(__file__).parent / "schema" / "sqlite"

    def connect(self) -> Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Transactions are begun by hand, and the one executor thread of the task is not the one that connects in tests.
        connection = sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")  # readers see the last commit and are never blocked
            # Power cut: the last transactions may be gone, but wholly, and with them their offsets: they are read again.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute("PRAGMA cache_size = -65536")  # 64 MiB: keys of calls are spread over the whole tree
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def begin(self, cursor: Cursor) -> None:
        cursor.execute("BEGIN IMMEDIATE")  # a transaction that begins by reading could not always go on to write

    def check(self, cursor: Cursor) -> None:
        """Whoever may write to the file may do everything."""

    def instant(self, ms: int) -> int:
        return ms

    def lock_schema(self, cursor: Cursor) -> None:
        cursor.execute("BEGIN IMMEDIATE")

    def statements(self, script: str) -> Iterator[str]:
        statement = ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""

    def has_table(self, cursor: Cursor, name: str) -> bool:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        return bool(cursor.fetchall())

    def prepare_stage(self, cursor: Cursor, table: Table) -> None:
        columns = ", ".join(f"{column.name} {TYPES[column.kind]}" for column in table.columns)
        # Without an index: so it is always the stage that is walked, in its order, and the table that is looked up.
        cursor.execute(f"CREATE TEMP TABLE stage_{table.name} ({columns})")

    def stage(self, cursor: Cursor, table: Table, rows: Sequence[Row]) -> None:
        places = ", ".join("?" * len(table.columns))
        cursor.executemany(f"INSERT INTO temp.stage_{table.name} VALUES ({places})", rows)

    def clear_stage(self, cursor: Cursor, table: Table) -> None:
        cursor.execute(f"DELETE FROM temp.stage_{table.name}")

    def update(self, table: Table) -> str:
        changes = ", ".join(f"{name} = s.{name}" for name in table.names[len(table.key) :])
        return (
            f"UPDATE {table.name} AS t SET {changes} FROM temp.stage_{table.name} AS s WHERE {_same(table.key_names, 't', 's')}"
            " AND (s.generation > t.generation OR s.generation = t.generation AND s.mark >= t.mark)"
        )

    def insert(self, table: Table) -> str:
        return (
            f"INSERT INTO {table.name} ({', '.join(table.names)}) SELECT {', '.join(table.names)} FROM temp.stage_{table.name} AS s"
            f" WHERE NOT EXISTS (SELECT 1 FROM {table.name} AS t WHERE {_same(table.key_names, 't', 's')})"
        )

    def replace_children(self, cursor: Cursor, table: Table) -> None:
        assert table.parent is not None, f"{table.name} has no parent"
        parent, key = table.parent, table.parent.key_names
        stored = f"JOIN {parent.name} AS p ON {_same((*key, 'generation', 'mark'), 'p', 's')}"
        # Key by key: of a list of keys SQLite looks up the first column alone, and would walk through the whole partition.
        cursor.execute(f"SELECT {', '.join(f's.{name}' for name in key)} FROM temp.stage_{parent.name} AS s {stored}")
        cursor.executemany(f"DELETE FROM {table.name} WHERE {_given(key)}", cursor.fetchall())
        cursor.execute(
            f"INSERT INTO {table.name} ({', '.join(table.names)})"
            f" SELECT {', '.join(f's.{name}' for name in table.names)} FROM temp.stage_{table.name} AS s {stored}"
        )

    def delete_some(self, cursor: Cursor, table: Table, condition: str, parameters: Sequence[Any], most: int) -> int:
        cursor.execute(f"SELECT {', '.join(table.key_names)} FROM {table.name} WHERE {condition} LIMIT {most}", parameters)
        keys = cursor.fetchall()
        cursor.executemany(f"DELETE FROM {table.name} WHERE {_given(table.key_names)}", keys)
        return len(keys)

    def select_some(self, columns: str, table: str, condition: str, order: str, most: int) -> str:
        return f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {order} LIMIT {most}"

    def change_calls(self, cursor: Cursor, change: str, table: Table, calls: Sequence[tuple[int, str]]) -> None:
        cursor.executemany(f"{change} WHERE {_given(table.key_names[:2])}", calls)

    def write_offsets(self, cursor: Cursor, positions: Mapping[TopicPartition, int]) -> None:
        cursor.executemany(
            "INSERT INTO rs_offsets (topic, partition, next_offset) VALUES (?, ?, ?) ON CONFLICT (topic, partition)"
            " DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)",
            [(*tp, offset) for tp, offset in positions.items()],
        )

    def read_generation(self, cursor: Cursor) -> int:
        cursor.execute("SELECT value FROM rs_meta WHERE name = 'generation'")  # `begin` keeps every other writer out
        return int(cursor.fetchall()[0][0])

    def shadow(self, generation: int) -> SQLite:
        # A file of its own: a rebuild never makes the live writer wait, and dropping it leaves no holes behind.
        return SQLite(self.path.with_name(f"{self.path.stem}.g{generation}{self.path.suffix}"))

    def shadows(self) -> set[int]:
        named = re.compile(rf"{re.escape(self.path.stem)}\.g(\d+){re.escape(self.path.suffix)}")
        return {int(found[1]) for path in self.path.parent.glob("*") if (found := named.fullmatch(path.name))}

    def drop_shadow(self, generation: int) -> None:
        for path in files(self.shadow(generation).path):
            path.unlink(missing_ok=True)

    def join_shadow(self, cursor: Cursor, generation: int) -> str:
        cursor.execute("ATTACH DATABASE ? AS shadow", (str(self.shadow(generation).path),))
        return "shadow."

    def meaning(self, error: Exception) -> Transient | Poison | Fatal | None:
        if isinstance(error, OverflowError | UnicodeEncodeError):  # what sqlite3 raises while it binds a cell
            return Poison("bad_value", type(error).__name__)
        if isinstance(error, OSError):
            return Transient(f"{self.path}: {error.strerror}")
        if not isinstance(error, sqlite3.Error):
            return None
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in MENDED_BY_TIME:
            return Transient(f"{self.path}: {MENDED_BY_TIME[code]} ({error})")
        if code in FAULT_OF_A_ROW or isinstance(error, sqlite3.DataError):
            return Poison("refused", str(error))  # names the table and column, not the value
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Fatal(
                f"{self.path} is damaged ({error}): put a backup there, or move it away: "
                "a new one is filled with what the tables still hold, the rest by a rebuild"
            )
        if code == sqlite3.SQLITE_READONLY:
            return Fatal(f"{self.path} may not be written to ({error}): mend its permissions, or choose another with sinks.database")
        return Fatal(f"{self.path}: {error}")


def files(database: Path) -> list[Path]:
    """The files that a database is made of; some are there only while it is open."""
    return [database.with_name(database.name + tail) for tail in ("", "-wal", "-shm", "-journal")]


def _same(names: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)


def _given(names: Sequence[str]) -> str:
    return " AND ".join(f"{name} = ?" for name in names)
