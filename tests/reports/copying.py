"""The rows of a SQLite store in a SQL Server, so that both can be asked the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sinks.sql.cells import iso
from sinks.sql.migrate import migrate
from sinks.sql.rows import TABLES, Kind, Table
from sinks.sql.sqlserver import SQLServer

MOST_ARGUMENTS = 2_000  # of one statement; SQL Server takes 2,100


def copy(path: Path, server: SQLServer) -> None:
    """`server`: empty. By plain INSERT with every text bound as it is: not by the writer, of which some engines take no long texts."""
    migrate(server)
    source = sqlite3.connect(path)
    connection = server.connect()
    cursor = connection.cursor()
    server.begin(cursor)
    for table in TABLES:
        rows = source.execute(f"SELECT {', '.join(table.names)} FROM {table.name}").fetchall()
        most = MOST_ARGUMENTS // len(table.columns)
        for at in range(0, len(rows), most):
            _insert(cursor, table, rows[at : at + most])
    connection.commit()
    connection.close()
    source.close()


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
