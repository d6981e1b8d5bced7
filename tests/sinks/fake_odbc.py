"""A stand-in for pyodbc.connect: it notes what is sent to the server and raises real pyodbc exceptions where it is told to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyodbc
import pytest

from sinks.sql.odbc import address_of
from sinks.sql.sqlserver import SQLServer

PASSWORD = "not-to-be-seen"

MICROSOFT = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
FREETDS = "[FreeTDS][SQL Server]"

Trouble = Callable[[str, tuple[Any, ...]], Exception | None]
"""What a statement with its parameters raises."""


def error(
    kind: type[pyodbc.Error], state: str, number: int, text: str = "said the server", driver: str = MICROSOFT, call: str = "SQLExecDirectW"
) -> pyodbc.Error:
    """As pyodbc makes it of what a driver says."""
    return kind(state, f"[{state}] {driver}{text} ({number}) ({call})")


DEADLOCK = error(pyodbc.Error, "40001", 1205, "Transaction (Process ID 62) was deadlocked on lock resources with another process.")
DUPLICATE = error(
    pyodbc.IntegrityError,
    "23000",
    2627,
    "Violation of PRIMARY KEY constraint 'PK__calls'. Cannot insert duplicate key. The duplicate key value is (0, SECRET).",
)
OVERFLOW = error(pyodbc.DataError, "22003", 8115, "Arithmetic overflow error converting nvarchar to data type bigint.")
AWAY = error(pyodbc.OperationalError, "08001", 10061, "TCP Provider: Error code 0x274D", call="SQLDriverConnect")
LOST = error(pyodbc.OperationalError, "08S01", 10054, "TCP Provider: Error code 0x68")
NOT_BEGUN = error(pyodbc.ProgrammingError, "25000", 3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
NOTHING_TO_ROLL_BACK = error(
    pyodbc.ProgrammingError, "25000", 3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION."
)


class FakeServer:
    """sent: (number of the connection, statement, parameters). `answers`: what the next rows are, by a part of the statement."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[tuple[int, str, tuple[Any, ...]]] = []
        self.strings: list[str] = []
        self.closed: list[int] = []
        self.trouble: Trouble = lambda statement, parameters: None
        self.refuses: list[Exception] = []  # connections, one after the other
        self.answers: dict[str, list[tuple[Any, ...]]] = {
            "HAS_PERMS_BY_NAME": [(1,)],
            "FROM OPENJSON('[1]')": [(1,)],
            "sp_getapplock": [(0,)],
            "INFORMATION_SCHEMA.TABLES": [(1,)],
            "SELECT name, value FROM rs_meta": [("generation", "1"), ("billing_topic", "log-1")],
            "WITH (HOLDLOCK) WHERE name": [("1",)],
        }
        monkeypatch.setattr(pyodbc, "connect", self._connect)

    @property
    def statements(self) -> list[str]:
        """What was sent, shortened to verb and table."""
        return [short(statement) for _, statement, _ in self.sent]

    def _connect(self, text: str, **_: Any) -> Any:
        self.strings.append(text)
        if self.refuses:
            raise self.refuses.pop(0)
        return _Connection(self, len(self.strings))


class _Connection:
    timeout = 0

    def __init__(self, server: FakeServer, number: int) -> None:
        self._server, self._number = server, number

    def cursor(self) -> _Cursor:
        return _Cursor(self._server, self._number)

    def close(self) -> None:
        self._server.closed.append(self._number)


class _Cursor:
    description = None
    rowcount = 0

    def __init__(self, server: FakeServer, number: int) -> None:
        self._server, self._number = server, number
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, statement: str, *parameters: Any) -> None:
        self._server.sent.append((self._number, statement, parameters))
        if (raised := self._server.trouble(statement, parameters)) is not None:
            raise raised
        self._rows = next((rows for part, rows in self._server.answers.items() if part in statement), [])

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def short(statement: str) -> str:
    if found := re.match(r"UPDATE t SET .*? FROM (\w+)|DELETE c FROM (\w+)|(?:INSERT INTO|TRUNCATE TABLE|CREATE TABLE) (#?\w+)", statement):
        return f"{statement.split()[0]} {found[1] or found[2] or found[3]}"
    return " ".join(statement.split()[:2])


def dialect() -> SQLServer:
    return SQLServer(address_of("mssql://rs@db.example:1433/reporting?driver=ODBC Driver 18 for SQL Server"), PASSWORD)
