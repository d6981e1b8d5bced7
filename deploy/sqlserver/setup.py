"""Make the store on a new SQL Server, or bring one up to date: database, schema, and a user each for sinks and reports.

Run as the server's administrator, by the same settings as everybody else (RS_SINKS__DATABASE, RS_SINKS__PASSWORD); the passwords of the
two users come from SINKS_PASSWORD and REPORTS_PASSWORD. Harmless when repeated: passwords are set anew, the rest is left as it is.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

import pyodbc

from pipeline import settings
from sinks.server import server_of
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.migrate import migrate
from sinks.sql.odbc import Address, connection_string
from sinks.sql.sqlserver import SQLServer

WAIT_S = 180  # a first start makes the system databases
USERS = {"rs_sinks": ("SINKS_PASSWORD", "rs_writer"), "rs_reports": ("REPORTS_PASSWORD", "rs_reader")}


def connect(address: Address, password: str | None) -> pyodbc.Cursor:
    """Waits for a server that starts. Raises pyodbc.Error when it does not answer in time."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return pyodbc.connect(connection_string(address, password), timeout=5, autocommit=True).cursor()
        except pyodbc.Error as error:
            if time.monotonic() > until:
                raise
            sys.stdout.write(f"waiting for {address.where}: {error.args[0]}\n")
            time.sleep(2)


def in_database(address: Address, name: str) -> Address:
    keywords = tuple((key, name if key.lower() == "database" else value) for key, value in address.keywords)
    return replace(address, keywords=keywords)


def text(value: str) -> str:
    return "N'" + value.replace("'", "''") + "'"


def make_database(cursor: pyodbc.Cursor, name: str) -> None:
    cursor.execute(f"IF DB_ID({text(name)}) IS NULL CREATE DATABASE [{name}]")
    row = cursor.execute("SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = ?", (name,)).fetchone()
    if not row[0]:  # who reads never waits for who writes
        cursor.execute(f"ALTER DATABASE [{name}] SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE")


def make_login(cursor: pyodbc.Cursor, name: str, password: str) -> None:
    exists = cursor.execute("SELECT SUSER_ID(?)", (name,)).fetchone()[0] is not None
    cursor.execute(f"{'ALTER' if exists else 'CREATE'} LOGIN [{name}] WITH PASSWORD = {text(password)}")


def make_user(cursor: pyodbc.Cursor, name: str, role: str) -> None:
    cursor.execute(f"IF USER_ID({text(name)}) IS NULL CREATE USER [{name}] FOR LOGIN [{name}]")
    cursor.execute(f"ALTER ROLE [{role}] ADD MEMBER [{name}]")


def main() -> int:
    current = settings.load()
    address, password = server_of(current)
    store = SQLServer(address, password)
    try:
        with connect(in_database(address, "master"), password) as cursor:
            make_database(cursor, store.database)
            for name, (variable, _) in USERS.items():
                make_login(cursor, name, os.environ[variable])
        applied = migrate(store)
        with connect(address, password) as cursor:
            for name, (_, role) in USERS.items():
                make_user(cursor, name, role)
    except (pyodbc.Error, Fatal, Poison, Transient) as error:
        sys.stderr.write(f"{address.where} is not set up: {error}\n")
        return 1
    sys.stdout.write(f"{address.where}: {len(applied)} schema scripts applied; users {', '.join(USERS)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
