"""The rows of a SQLite store in a SQL Server, so that both can be asked the same.

By plain INSERT with every cell bound as it is: not by the writer, from whose OPENJSON some engines take no long texts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sinks.sql.cells import iso
from sinks.sql.rows import TABLES, Kind, Table
from sinks.sql.sqlserver import SQLServer

MOST_ARGUMENTS = 2_000  # of one statement; SQL Server takes 2,100
OF_CALLS = ("calls", "sessions", "session_events")


def copy(path: Path, server: SQLServer) -> None:
    """Everything into empty tables."""
    _copy(path, server, TABLES, "1 = 1")


def copy_calls(path: Path, server: SQLServer, guids: Sequence[str]) -> None:
    _copy(path, server, [table for table in TABLES if table.name in OF_CALLS], _among(guids))


def remove_calls(server: SQLServer, guids: Sequence[str]) -> None:
    for name in OF_CALLS:
        server.run(f"DELETE FROM {name} WHERE {_among(guids)}")


def _among(guids: Sequence[str]) -> str:
    return f"guid IN ({', '.join(repr(guid) for guid in guids)})"


def _copy(path: Path, server: SQLServer, tables: Sequence[Table], condition: str) -> None:
    with closing(sqlite3.connect(path)) as source, closing(server.connect()) as connection:
        cursor = connection.cursor()
        server.begin(cursor)
        for table in tables:
            rows = source.execute(f"SELECT {', '.join(table.names)} FROM {table.name} WHERE {condition}").fetchall()
            most = MOST_ARGUMENTS // len(table.columns)
            for at in range(0, len(rows), most):
                _insert(cursor, table, rows[at : at + most])
        connection.commit()


def _insert(cursor: Any, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    # NULL as a word: to bind one, Microsoft's driver asks the server for its type, which some engines answer by ending the transaction.
    marks = ", ".join("(" + ", ".join("NULL" if cell is None else "?" for cell in row) + ")" for row in rows)
    cells = [
        iso(cell) if column.kind is Kind.MILLIS else cell
        for row in rows
        for column, cell in zip(table.columns, row, strict=True)
        if cell is not None
    ]
    cursor.execute(f"INSERT INTO {table.name} ({', '.join(table.names)}) VALUES {marks}", cells)
