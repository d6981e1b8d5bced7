"""SQL Server under the contract, and what is its own, on the server that RS_TEST_SQLSERVER names. Skipped without one."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pyodbc

from sinks.sql.errors import Fatal
from sinks.sql.migrate import migrate
from sinks.sql.odbc import Address
from sinks.sql.rows import TABLES
from sinks.sql.sqlserver import SQLServer
from sinks.sql.writer import Writer
from tests.sinks.builders import call_record, calls
from tests.sinks.contract import CALLS_0, StoreContract, offsets, select
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


PASSWORD = f"Aa1-{secrets.token_hex(8)}"


@pytest.fixture
def member(dialect: SQLServer) -> Iterator[Callable[[str], SQLServer]]:
    """The same database as a user who is a member of that role alone."""
    made: list[str] = []

    def member_of(role: str) -> SQLServer:
        name = f"{role}_test"
        try:
            dialect.run(f"CREATE LOGIN {name} WITH PASSWORD = '{PASSWORD}'")
        except pyodbc.Error as error:
            pytest.skip(f"NOT TESTED: the user of {VARIABLE} may make no logins: {error}")
        made.append(name)
        dialect.run(f"CREATE USER {name} FOR LOGIN {name}")
        dialect.run(f"ALTER ROLE {role} ADD MEMBER {name}")
        keywords = tuple((key, name if key.lower() == "uid" else value) for key, value in dialect.address.keywords)
        return SQLServer(Address(keywords, dialect.address.where), PASSWORD)

    yield member_of
    for name in made:
        dialect.run(f"DROP USER {name}")
        dialect.run(f"DROP LOGIN {name}")


def test_the_writer_role_may_write_rows_and_change_no_table(member: Callable[[str], SQLServer]) -> None:
    as_writer = member("rs_writer")
    assert migrate(as_writer) == []
    writer = Writer(as_writer)
    writer.check()
    writer.write(calls(call_record(1, mark=5)), {CALLS_0: 9})
    writer.close()
    assert offsets(as_writer) == {CALLS_0: 9}
    for statement in ("DROP TABLE calls", "ALTER TABLE calls ADD x int", "CREATE TABLE x (a int)"):
        with pytest.raises(pyodbc.Error):
            as_writer.run(statement)


def test_the_reader_role_may_read_and_do_nothing_else(member: Callable[[str], SQLServer]) -> None:
    as_reader = member("rs_reader")
    for name in (*(table.name for table in TABLES), "bin_rows", "call_overview", "cdrs", "bin_figures", "rs_offsets", "rs_meta"):
        as_reader.run(f"SELECT count(*) FROM {name}")
    writer = Writer(as_reader)
    with pytest.raises(Fatal, match="rs_writer"):
        writer.check()
    for statement in ("DELETE FROM calls", "UPDATE rs_meta SET value = '9'", "INSERT INTO rs_meta (name, value) VALUES ('a', 'b')"):
        with pytest.raises(pyodbc.Error):
            as_reader.run(statement)


class TestSQLServerRetention(RetentionContract):
    pass
