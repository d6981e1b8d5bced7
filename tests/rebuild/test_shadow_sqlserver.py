"""A shadow on the SQL Server that RS_TEST_SQLSERVER names. Skipped without one."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

from sinks.sql.sqlserver import SQLServer
from tests.rebuild.contract import ShadowContract
from tests.sinks.server import cleared, needs_server, server

pytestmark = needs_server


class TestSQLServer(ShadowContract):
    @pytest.fixture
    def dialect(self) -> SQLServer:
        made = cleared(server())
        for number in made.shadows():
            made.drop_shadow(number)
        return made
