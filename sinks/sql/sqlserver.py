"""SQL Server, 2016 SP1 or later. docs/adr/0008-sql-server.md says what was chosen and measured, and what was proven with what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyodbc

from sinks.sql import cells, tsql
from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Cursor
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.odbc import Address, WrongDatabase, connection_string
from sinks.sql.rows import TABLES, Kind, Row, Table
from sinks.sql.sqlserver_errors import meaning

LOGIN_TIMEOUT_S = 15
STATEMENT_TIMEOUT_S = 180  # a server that takes longer has lost us, or is in more trouble than our waiting mends

LEAST, GREATEST = -(2**63), 2**63 - 1

WRITES = ("SELECT", "INSERT", "UPDATE", "DELETE")

_SEPARATOR = re.compile(r"^GO\s*$", re.MULTILINE)

pyodbc.pooling = False  # a connection that failed is dropped, and must not come back out of a pool


@dataclass(frozen=True)
class SQLServer:
    """A database on a SQL Server. `live`: of a shadow, the database that it is beside."""

    address: Address
    password: str | None = field(default=None, repr=False)
    live: SQLServer | None = None

    @property
    def scripts(self) -> Path:
        return Path(__file__).parent / "schema" / "sqlserver"

    @property
    def database(self) -> str:
        name = self.address.given("database")
        if name is None:
            raise Fatal(f"{self.address.where}: the setting sinks.database must name the database: odbc:DSN=...;Database=NAME")
        return name

    def connect(self) -> Session:
        if self.live is not None:
            self.live.run(tsql.create_database(self.database))
        try:
            text = connection_string(self.address, self.password)
        except WrongDatabase as wrong:
            raise Fatal(f"sinks.database: {wrong}") from None
        connection = Session(pyodbc.connect(text, timeout=LOGIN_TIMEOUT_S, autocommit=True))
        try:
            connection.cursor().execute(tsql.SESSION)
        except pyodbc.Error:
            connection.close()
            raise
        return connection

    def begin(self, cursor: Cursor) -> None:
        cursor.execute(tsql.BEGIN)

    def check(self, cursor: Cursor) -> None:
        """Raises Fatal if the server can't do what is needed, or if a right is missing."""
        try:
            cursor.execute(tsql.OPENS_JSON)
            cursor.fetchall()
        except pyodbc.ProgrammingError as error:
            raise Fatal(
                f"{self.address.where}: OPENJSON is missing: SQL Server 2016 SP1 or later is needed, and a database with compatibility "
                "level 130 or more (ALTER DATABASE ... SET COMPATIBILITY_LEVEL = 130)"
            ) from error
        missing = []
        for name in ("rs_meta", "rs_offsets", *(table.name for table in TABLES)):
            for right in WRITES:
                cursor.execute(tsql.MAY, (name, right))
                if not cursor.fetchall()[0][0]:
                    missing.append(f"{right} on {name}")
        if missing:
            raise Fatal(
                f"{self.address.where}: the user lacks rights ({', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}): "
                "add it to the role rs_writer (docs/sqlserver.md)"
            )

    def lock_schema(self, cursor: Cursor) -> None:
        cursor.execute(tsql.BEGIN)
        cursor.execute(tsql.LOCK_SCHEMA)
        if cursor.fetchall()[0][0] < 0:
            raise Transient(f"{self.address.where}: another process is changing the schema")

    def statements(self, script: str) -> Iterator[str]:
        for part in _SEPARATOR.split(script):
            if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
                yield part.strip()

    def has_table(self, cursor: Cursor, name: str) -> bool:
        cursor.execute(tsql.HAS_TABLE, (name,))
        return bool(cursor.fetchall()[0][0])

    def read_generation(self, cursor: Cursor) -> int:
        cursor.execute(tsql.READ_GENERATION)
        return int(cursor.fetchall()[0][0])

    def run(self, statement: str) -> list[Any]:
        """Execute it on a connection of its own, outside a transaction; gives its rows, if it has any."""
        connection = self.connect()
        try:
            cursor = connection.cursor().execute(statement)
            return cursor.fetchall() if cursor.has_rows else []
        finally:
            connection.close()

    def shadow(self, generation: int) -> SQLServer:
        # A database of its own, beside the live one: a rebuild takes no lock there, and dropping it is quick and whole.
        name = f"{self.database}_g{generation}"
        keywords = tuple((key, name if key.lower() == "database" else value) for key, value in self.address.keywords)
        return SQLServer(Address(keywords, f"{self.address.where}_g{generation}"), self.password, self)

    def shadows(self) -> set[int]:
        named = re.compile(rf"{re.escape(self.database)}_g(\d+)", re.IGNORECASE)
        return {int(found[1]) for (name,) in self.run(tsql.DATABASES) if (found := named.fullmatch(name))}

    def drop_shadow(self, generation: int) -> None:
        self.run(tsql.drop_database(self.shadow(generation).database))

    def join_shadow(self, cursor: Cursor, generation: int) -> str:  # noqa: ARG002 - a server needs no joining
        return f"{tsql.quoted(self.shadow(generation).database)}.dbo."

    def instant(self, ms: int) -> str:
        return iso(ms)

    def prepare_stage(self, cursor: Cursor, table: Table) -> None:
        cursor.execute(tsql.create_stage(table))

    def stage(self, cursor: Cursor, table: Table, rows: Sequence[Row]) -> None:
        cursor.execute(tsql.fill_stage(table), (as_json(table, rows),))

    def clear_stage(self, cursor: Cursor, table: Table) -> None:
        cursor.execute(tsql.clear_stage(table))

    def update(self, table: Table) -> str:
        return tsql.update(table)

    def insert(self, table: Table) -> str:
        return tsql.insert(table)

    def replace_children(self, cursor: Cursor, table: Table) -> None:
        for statement in tsql.replace_children(table):
            cursor.execute(statement)

    def delete_some(self, cursor: Cursor, table: Table, condition: str, parameters: Sequence[Any], most: int) -> int:
        cursor.execute(tsql.delete_some(table.name, condition, most), parameters)
        return cursor.rowcount

    def select_some(self, columns: str, table: str, condition: str, order: str, most: int) -> str:
        return tsql.select_some(columns, table, condition, order, most)

    def change_calls(self, cursor: Cursor, change: str, table: Table, calls: Sequence[tuple[int, str]]) -> None:
        cursor.execute(f"{change} WHERE {tsql.of_calls(table.name)}", (orjson.dumps(calls).decode(),))

    def write_offsets(self, cursor: Cursor, positions: Mapping[TopicPartition, int]) -> None:
        rows = orjson.dumps([(*tp, offset) for tp, offset in sorted(positions.items())]).decode()
        cursor.execute(tsql.UPDATE_OFFSETS, (rows,))
        cursor.execute(tsql.INSERT_OFFSETS, (rows,))

    def meaning(self, error: Exception) -> Transient | Poison | Fatal | None:
        if isinstance(error, Transient | Poison | Fatal):
            return error
        return meaning(self.address.where, error)


class Session:
    """A connection whose transactions are begun and ended by statements: a commit that has nothing to commit is an error then (3902)."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._connection.timeout = STATEMENT_TIMEOUT_S

    def cursor(self) -> Reading:
        return Reading(self._connection.cursor())

    def commit(self) -> None:
        self._connection.cursor().execute(tsql.COMMIT)

    def rollback(self) -> None:
        self._connection.cursor().execute(tsql.ROLLBACK)

    def close(self) -> None:
        """The server rolls back what was not committed."""
        self._connection.close()


class Reading:
    """A cursor that gives cells as the binder made them: instants as ms UTC, decimals as text, flags as 0 or 1."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Reading:
        self._cursor.execute(sql, *parameters)
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        self._cursor.executemany(sql, rows)

    def fetchall(self) -> list[Any]:
        return [tuple(map(cells.plain, row)) for row in self._cursor.fetchall()]

    def fetchmany(self, size: int, /) -> list[Any]:
        return [tuple(map(cells.plain, row)) for row in self._cursor.fetchmany(size)]

    @property
    def rowcount(self) -> int:
        return int(self._cursor.rowcount)

    @property
    def has_rows(self) -> bool:
        return self._cursor.description is not None


def as_json(table: Table, rows: Sequence[Row]) -> str:
    """The rows as OPENJSON takes them. Instants as ISO 8601 with milliseconds: a bound datetime loses its fraction in Microsoft's driver.
    Raises Poison for an instant or a number that SQL Server has no place for."""
    kinds = [(at, column.kind) for at, column in enumerate(table.columns)]
    instants = [at for at, kind in kinds if kind is Kind.MILLIS]
    integers = [at for at, kind in kinds if kind is Kind.INT]
    made = []
    for row in rows:
        copied = list(row)
        for at in instants:
            if (cell := copied[at]) is not None:
                copied[at] = iso(cell)  # type: ignore[arg-type]  # columns of this kind hold ints
        made.append(copied)
    for at in integers:
        if any(cell is not None and not LEAST <= cell <= GREATEST for cell in (copied[at] for copied in made)):  # type: ignore[operator]
            raise Poison("refused", f"{table.name}.{table.columns[at].name}: a number beyond 64 bits")
    try:
        return orjson.dumps(made).decode()
    except TypeError as error:
        raise Poison("bad_value", type(error).__name__) from error


def iso(ms: int) -> str:
    if not cells.FIRST_MS <= ms <= cells.LAST_MS:
        raise Poison("bad_value", "an instant before year 1 or after year 9999")
    return cells.iso(ms)
