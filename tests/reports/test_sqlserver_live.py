"""What only a server can show, on the one that RS_TEST_SQLSERVER names: snapshots, the time limit, rights. Skipped without one."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

from collections.abc import Iterator
from dataclasses import replace

import pyodbc

from reports.exceptions import StoreUnavailable
from reports.queries import live
from reports.store import sqlserver as module
from reports.store.sqlserver import ALLOWS_SNAPSHOT, SQLServerStore
from sinks.sql.odbc import Address
from tests.reports import questions
from tests.reports.conftest import client, needs_server, site
from tests.sinks.server import server

pytestmark = needs_server
LOGIN, PASSWORD = "rs_test_reports", "Only-4-tests"


def test_a_request_sees_one_state_of_the_store(sqlserver: SQLServerStore) -> None:
    dialect = server()
    if dialect.run(ALLOWS_SNAPSHOT)[0][0] != 1:
        pytest.skip("NOT TESTED: snapshots: ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON on the database of the tests")
    with sqlserver.reading() as reading:
        before = live.freshness(reading)
        dialect.run("UPDATE freshness SET generation = generation + 1 WHERE source_partition = 0")
        try:
            with sqlserver.reading() as later:
                assert len(later.rows("SELECT DISTINCT generation FROM freshness")) == 2
            assert len(reading.rows("SELECT DISTINCT generation FROM freshness")) == 1
            assert live.freshness(reading) == before
        finally:
            dialect.run("UPDATE freshness SET generation = generation - 1 WHERE source_partition = 0")


def test_a_query_that_takes_too_long_is_given_up(sqlserver: SQLServerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_S", 1.0)
    # It does end: some engines go on with what nobody waits for any more.
    long = "SELECT count(*) AS n FROM bins a CROSS JOIN bins b WHERE a.peak + b.peak < 0"
    with pytest.raises(StoreUnavailable, match="longer than") as raised, sqlserver.reading() as reading:
        reading.rows(long)
    assert raised.value.lack == "busy"
    with sqlserver.reading() as reading:
        assert live.has_calls(reading), "the next request has a connection that works"


@pytest.fixture
def reader(sqlserver: SQLServerStore) -> Iterator[SQLServerStore]:
    """The store for a user with no other right than rs_reader."""
    dialect = server()
    undo = [f"DROP USER {LOGIN}", f"DROP LOGIN {LOGIN}"]
    for statement in undo:  # of a run that was broken off
        try:
            dialect.run(statement)
        except pyodbc.Error:
            continue
    try:
        dialect.run(f"CREATE LOGIN {LOGIN} WITH PASSWORD = '{PASSWORD}'")
    except pyodbc.Error as error:
        pytest.skip(f"NOT TESTED: rights: the user of the tests may not create a login ({error.args[0]})")
    dialect.run(f"CREATE USER {LOGIN} FOR LOGIN {LOGIN}")
    dialect.run(f"ALTER ROLE rs_reader ADD MEMBER {LOGIN}")
    own: Address = dialect.address
    keywords = tuple((key, LOGIN if key == "UID" else value) for key, value in own.keywords)
    found = SQLServerStore(replace(own, keywords=keywords), PASSWORD)
    yield found
    found.close()
    for statement in undo:
        dialect.run(statement)


async def test_the_role_rs_reader_is_enough_and_no_more(reader: SQLServerStore, sqlserver: SQLServerStore) -> None:
    async with client(site(reader)) as web:
        for path in (*questions.PAGES, *questions.USAGE, questions.CALLS[0], questions.DETAILS[0], questions.BINS[0]):
            got = await web.get(path)
            assert got.status_code == 200, (path, got.text)
    with pytest.raises(StoreUnavailable) as raised, reader.reading() as reading:
        reading.rows("DELETE FROM calls")
    assert raised.value.lack == "broken"
    with sqlserver.reading() as reading:
        assert live.has_calls(reading)
