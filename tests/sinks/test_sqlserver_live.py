"""SQL Server under the contract, and what is its own, on the server that RS_TEST_SQLSERVER names. Skipped without one."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import os
from pathlib import Path

from sinks.sql.sqlserver import SQLServer
from tests.sinks.contract import StoreContract, select
from tests.sinks.kills import kills
from tests.sinks.retention_contract import RetentionContract
from tests.sinks.server import VARIABLE, cleared, emptied, needs_server, server

pytestmark = needs_server


FROM_NOTHING = "scripts_make"


@pytest.fixture
def dialect(request: pytest.FixtureRequest) -> SQLServer:
    return emptied(server()) if FROM_NOTHING in request.node.name else cleared(server())


class TestSQLServer(StoreContract):
    def columns(self, dialect: SQLServer, table: str) -> list[tuple[str, bool]]:  # type: ignore[override]
        sql = f"SELECT COLUMN_NAME, IS_NULLABLE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{table}'"
        return [(name, nullable == "YES") for name, nullable in select(dialect, sql)]


@pytest.mark.slow
async def test_kill_9_in_the_middle_of_transactions(dialect: SQLServer, tmp_path: Path, kafka: str) -> None:
    """Only two kills: `python -m tests.sinks.kills` has more, and those that know JSON."""
    result = await kills(kafka, tmp_path, dialect, os.environ[VARIABLE], rounds=2, also_json=False)
    assert (result.different, result.inside) == ([], 2)


class TestSQLServerRetention(RetentionContract):
    pass
