"""A SQL Server for tests: any that RS_TEST_SQLSERVER names, as sinks.database is spelled; its password in RS_TEST_SQLSERVER_PASSWORD.

Everything in that database is dropped. So that this never hits a database that somebody needs, its name must end in `test`.
"""

from __future__ import annotations

import os

import pyodbc
import pytest

from sinks.sql.dialect import Cursor
from sinks.sql.errors import Fatal
from sinks.sql.migrate import migrate
from sinks.sql.odbc import address_of
from sinks.sql.rows import TABLES
from sinks.sql.sqlserver import SQLServer
from sinks.sql.writer import GENERATION

VARIABLE = "RS_TEST_SQLSERVER"

needs_server = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"NO SQL SERVER: {VARIABLE}=mssql://USER@HOST:1433/DATABASE_test is not set, nothing here was tried"
)


def server() -> SQLServer:
    address = address_of(os.environ[VARIABLE])
    database = address.given("database") or ""
    assert database.endswith("test"), (
        f"the database of {VARIABLE} is called {database!r}: tests drop everything, its name must end in 'test'"
    )
    return SQLServer(address, os.environ.get(f"{VARIABLE}_PASSWORD"))


def emptied(dialect: SQLServer) -> SQLServer:
    """The same, with nothing in it."""
    connection = dialect.connect()
    cursor = connection.cursor()
    for kind, drop in (("VIEW", "VIEW"), ("BASE TABLE", "TABLE")):
        cursor.execute("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = ? AND TABLE_SCHEMA = 'dbo'", (kind,))
        left = {name for (name,) in cursor.fetchall()}
        while left:  # some stand on others
            left -= (gone := {name for name in left if dropped(cursor, f"DROP {drop} {name}")})
            assert gone, f"{left} cannot be dropped"
    connection.close()
    return dialect


def cleared(dialect: SQLServer) -> SQLServer:
    """The same, with the schema and no row: quicker than to make it anew for every test."""
    try:
        migrate(dialect)
    except Fatal:  # another state of the scripts made it
        migrate(emptied(dialect))
    connection = dialect.connect()
    cursor = connection.cursor()
    for name in (*(table.name for table in TABLES), "rs_offsets", "rs_meta"):
        cursor.execute(f"DELETE FROM {name}")
    cursor.execute("INSERT INTO rs_meta (name, value) VALUES (?, '1')", (GENERATION,))
    connection.close()
    return dialect


def dropped(cursor: Cursor, statement: str) -> bool:
    try:
        cursor.execute(statement)
    except pyodbc.Error:
        return False
    return True
