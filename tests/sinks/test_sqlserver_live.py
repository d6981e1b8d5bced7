"""SQL Server under the contract, and what is its own, on the server that RS_TEST_SQLSERVER names. Skipped without one."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import os
from pathlib import Path

from sinks.sql.migrate import migrate
from sinks.sql.sqlserver import SQLServer
from tests.sinks.contract import StoreContract, select
from tests.sinks.kills import kill_and_compare
from tests.sinks.retention_contract import RetentionContract
from tests.sinks.server import emptied, needs_server, server

pytestmark = needs_server


@pytest.fixture
def dialect() -> SQLServer:
    return emptied(server())


class TestSQLServer(StoreContract):
    def columns(self, dialect: SQLServer, table: str) -> list[tuple[str, bool]]:  # type: ignore[override]
        sql = f"SELECT COLUMN_NAME, IS_NULLABLE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{table}'"
        return [(name, nullable == "YES") for name, nullable in select(dialect, sql)]


@pytest.mark.slow
def test_kill_9_in_the_middle_of_transactions(dialect: SQLServer, tmp_path: Path) -> None:
    migrate(dialect)
    kill_and_compare(dialect, "server", tmp_path / "ledger", turns=int(os.environ.get("RS_TEST_KILLS", "10")))


class TestSQLServerRetention(RetentionContract):
    pass
