"""SQL Server: few connections, used again and again, each request in one transaction.

Where the database allows it (ALLOW_SNAPSHOT_ISOLATION ON), all queries of a request see one state. Else each query sees one, but two
queries may see two. Nothing is ever written, and no lock is held after a query.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyodbc
import structlog

from reports.exceptions import StoreUnavailable
from reports.store.contract import LONGEST_S, Argument, Instant, Row, took_too_long
from reports.store.lacks import lack_of
from reports.store.tsql import TSQLDialect
from sinks.sql import cells
from sinks.sql.odbc import OPTIONS, Address, WrongDatabase, connection_string

LOGIN_TIMEOUT_S = 5
LOCK_TIMEOUT_MS = 5_000  # waited for only where the database keeps no row versions
MOST_IDLE = 8
IDLE_S = 60.0  # longer than pages wait between two questions, shorter than firewalls and servers keep a silent connection
MOST_ARGUMENTS = 2_100
VARCHAR = (pyodbc.SQL_VARCHAR, 8_000, 0)

SESSION = f"SET LOCK_TIMEOUT {LOCK_TIMEOUT_MS}; {OPTIONS}"
ALLOWS_SNAPSHOT = "SELECT snapshot_isolation_state FROM sys.databases WHERE database_id = DB_ID()"
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT"
BEGIN = "BEGIN TRANSACTION"
STEP = "ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON (docs/sqlserver.md)"
END = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"

pyodbc.pooling = False  # a connection that failed is dropped, and must not come back out of the driver manager's pool

log = structlog.get_logger("reports")


class SQLServerReading:
    dialect = TSQLDialect()

    def __init__(self, connection: Any, end: float) -> None:
        self._connection = connection
        self._end = end

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> list[Row]:
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise StoreUnavailable("busy", took_too_long())
        if len(arguments) > MOST_ARGUMENTS:
            raise StoreUnavailable("busy", f"SQL Server takes {MOST_ARGUMENTS:,} values at once: ask for fewer.")
        self._connection.timeout = math.ceil(left_s)  # of the cursors made from now on
        cursor = self._connection.cursor()
        values, sizes = bound(arguments)
        if sizes:
            cursor.setinputsizes(sizes)
        cursor.execute(sql, *values)
        names = [column[0] for column in cursor.description]
        rows: list[Row] = [dict(zip(names, map(cells.plain, row), strict=True)) for row in cursor.fetchall()]
        cursor.close()
        return rows


def bound(arguments: Sequence[Argument]) -> tuple[list[int | str | None], list[tuple[int, int, int] | None]]:
    """Values, and the types that the driver would not choose by itself. It binds texts as nvarchar, which turns a search for a varchar
    into a scan in databases of an old collation; so what is ASCII is bound as varchar. Instants are text, see cells.iso."""
    values: list[int | str | None] = []
    sizes: list[tuple[int, int, int] | None] = []
    for argument in arguments:
        value = cells.iso(min(max(argument.ms, cells.FIRST_MS), cells.LAST_MS)) if isinstance(argument, Instant) else argument
        values.append(value)
        sizes.append(VARCHAR if isinstance(value, str) and value.isascii() and len(value) <= VARCHAR[1] else None)
    return values, sizes


@dataclass(frozen=True, slots=True)
class Idle:
    connection: Any
    since: float


class SQLServerStore:
    """The database at `address`, which need not be there yet."""

    def __init__(self, address: Address, password: str | None) -> None:
        self.address = address
        self._password = password
        self._idle: list[Idle] = []  # the one used last comes last
        self._lock = threading.Lock()
        self._said = False

    @contextmanager
    def reading(self) -> Iterator[SQLServerReading]:
        """One state of the store, where it can be had. Raises StoreUnavailable."""
        end = time.monotonic() + LONGEST_S
        connection = None
        try:
            connection = self._begun()
            yield SQLServerReading(connection, end)
        except pyodbc.Error as error:
            if connection is not None:
                _drop(connection)
                connection = None
            raise lack_of(self.address.where, error) from error
        finally:
            if connection is not None:
                self._give_back(connection)

    def close(self) -> None:
        """Drop the connections that wait."""
        with self._lock:
            waiting, self._idle = self._idle, []
        for idle in waiting:
            _drop(idle.connection)

    def _begun(self) -> Any:
        """A connection in a new transaction."""
        connection = self._waiting()
        if connection is not None:
            try:
                connection.cursor().execute(BEGIN)
            except pyodbc.Error:  # the server has gone meanwhile, and the others have waited longer
                _drop(connection)
                self.close()
            else:
                return connection
        connection = self._open()
        try:
            connection.cursor().execute(BEGIN)
        except pyodbc.Error:
            _drop(connection)
            raise
        return connection

    def _waiting(self) -> Any:
        """The connection that was used last, None if there is none. Those that have waited too long are dropped."""
        oldest = time.monotonic() - IDLE_S
        with self._lock:
            old = [idle for idle in self._idle if idle.since < oldest]
            self._idle = self._idle[len(old) :]
            found = self._idle.pop().connection if self._idle else None
        for idle in old:
            _drop(idle.connection)
        return found

    def _open(self) -> Any:
        try:
            text = connection_string(self.address, self._password)
        except WrongDatabase as wrong:
            raise StoreUnavailable("broken", f"The setting sinks.database: {wrong}.") from None
        connection = pyodbc.connect(text, timeout=LOGIN_TIMEOUT_S, autocommit=True)
        try:
            connection.timeout = LOGIN_TIMEOUT_S
            cursor = connection.cursor()
            cursor.execute(SESSION)
            cursor.execute(ALLOWS_SNAPSHOT)
            found = cursor.fetchall()
            if found and found[0][0] == 1:
                cursor.execute(SNAPSHOT)
            elif not self._said:
                self._said = True
                log.warning("no snapshots", database=self.address.where, step=STEP)
        except pyodbc.Error:
            _drop(connection)
            raise
        return connection

    def _give_back(self, connection: Any) -> None:
        try:
            connection.cursor().execute(END)
        except pyodbc.Error:
            _drop(connection)
            return
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(Idle(connection, time.monotonic()))
                return
        _drop(connection)


def _drop(connection: Any) -> None:
    with suppress(pyodbc.Error):
        connection.close()
