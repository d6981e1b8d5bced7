"""SQL Server as a store of the reports, on a stand-in for pyodbc: connections, transactions, what is bound, what errors mean."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import pyodbc

from reports.exceptions import NotStored, StoreUnavailable
from reports.store import sqlserver
from reports.store.contract import Instant
from reports.store.lacks import lack_of
from reports.store.sqlserver import VARCHAR, SQLServerStore, bound
from sinks.sql.odbc import address_of
from tests.sinks import fake_odbc
from tests.sinks.fake_odbc import AWAY, FREETDS, LOST, PASSWORD, FakeServer, error

ADDRESS = address_of("mssql://reports@db.example:1433/reporting?driver=ODBC Driver 18 for SQL Server")
ASKED = "SELECT 1 AS one"


class Named(fake_odbc._Cursor):
    """A cursor that names its one column."""

    description = (("one",),)

    def setinputsizes(self, sizes: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setattr(fake_odbc, "_Cursor", Named)
    found = FakeServer(monkeypatch)
    found.answers = {"snapshot_isolation_state": [(1,)], ASKED: [(1,)]}
    return found


@pytest.fixture
def store() -> SQLServerStore:
    return SQLServerStore(ADDRESS, PASSWORD)


def ask(store: SQLServerStore) -> None:
    with store.reading() as reading:
        assert reading.rows(ASKED) == [{"one": 1}]


def sent(server: FakeServer) -> list[tuple[int, str]]:
    return [(number, statement) for number, statement, _ in server.sent]


def test_a_request_is_one_transaction_in_a_snapshot(server: FakeServer, store: SQLServerStore) -> None:
    with store.reading() as reading:
        reading.rows(ASKED)
        reading.rows(ASKED)
    assert [statement for _, statement in sent(server)] == [
        sqlserver.SESSION, sqlserver.ALLOWS_SNAPSHOT, sqlserver.SNAPSHOT, sqlserver.BEGIN, ASKED, ASKED, sqlserver.END,
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [[(0,)], [(3,)], []])
def test_without_snapshots_every_query_is_for_itself(server: FakeServer, store: SQLServerStore, answer: list[tuple[int]]) -> None:
    server.answers["snapshot_isolation_state"] = answer  # type: ignore[assignment]
    ask(store)
    assert sqlserver.SNAPSHOT not in [statement for _, statement in sent(server)]


def test_a_connection_is_used_again(server: FakeServer, store: SQLServerStore) -> None:
    ask(store)
    with pytest.raises(NotStored), store.reading():  # no fault of the connection
        raise NotStored
    ask(store)
    assert (len(server.strings), server.closed) == (1, [])
    assert [statement for _, statement in sent(server)][3:] == [
        sqlserver.BEGIN, ASKED, sqlserver.END,
        sqlserver.BEGIN, sqlserver.END,
        sqlserver.BEGIN, ASKED, sqlserver.END,
    ]  # fmt: skip


def test_two_requests_at_once_have_a_connection_each(server: FakeServer, store: SQLServerStore) -> None:
    with store.reading() as first, store.reading() as second:
        first.rows(ASKED)
        second.rows(ASKED)
    assert [number for number, statement in sent(server) if statement == ASKED] == [1, 2]
    assert server.closed == []
    store.close()
    assert sorted(server.closed) == [1, 2]


def test_after_an_error_the_connection_is_dropped(server: FakeServer, store: SQLServerStore) -> None:
    server.trouble = lambda statement, _: LOST if statement == ASKED else None
    with pytest.raises(StoreUnavailable), store.reading() as reading:
        reading.rows(ASKED)
    assert server.closed == [1]
    assert sent(server)[-1] == (1, ASKED), "nothing is sent behind an error"
    server.trouble = lambda statement, _: None
    ask(store)
    assert len(server.strings) == 2


def test_a_connection_that_died_while_it_waited_costs_no_answer(server: FakeServer, store: SQLServerStore) -> None:
    with store.reading(), store.reading():
        pass
    dead = {1, 2}
    server.trouble = lambda statement, _: LOST if statement == sqlserver.BEGIN and server.sent[-1][0] in dead else None
    ask(store)
    assert sorted(server.closed) == [1, 2], "what waited longer is gone, too"
    assert len(server.strings) == 3


def test_a_connection_that_waited_too_long_is_not_used(server: FakeServer, store: SQLServerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlserver, "IDLE_S", -1.0)
    ask(store)
    ask(store)
    assert (len(server.strings), server.closed) == (2, [1])


def test_few_connections_wait(server: FakeServer, store: SQLServerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlserver, "MOST_IDLE", 1)
    with store.reading(), store.reading():
        pass
    assert server.closed == [1]


def test_a_request_has_an_end(server: FakeServer, store: SQLServerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [1000.0]
    monkeypatch.setattr(sqlserver.time, "monotonic", lambda: at[0])
    with store.reading() as reading:
        at[0] += 15.5
        reading.rows(ASKED)
        assert reading._connection.timeout == 5  # type: ignore[attr-defined]
        at[0] += 4.6
        with pytest.raises(StoreUnavailable, match="longer than 20 s") as raised:
            reading.rows(ASKED)
    assert raised.value.lack == "busy"
    assert server.closed == []


def test_more_values_than_the_server_takes_are_not_sent(server: FakeServer, store: SQLServerStore) -> None:
    with pytest.raises(StoreUnavailable, match="2,100 values"), store.reading() as reading:
        reading.rows(ASKED, [1] * 2_101)
    assert ASKED not in [statement for _, statement in sent(server)]


def test_what_is_bound() -> None:
    values, sizes = bound([7, "ABC", "Ü", "x" * 8_001, Instant(7), Instant(-(2**62)), Instant(2**62)])
    assert values == [
        7, "ABC", "Ü", "x" * 8_001, "1970-01-01T00:00:00.007", "0001-01-01T00:00:00.000", "9999-12-31T23:59:59.999",
    ]  # fmt: skip
    assert sizes == [None, VARCHAR, None, None, VARCHAR, VARCHAR, VARCHAR]


@pytest.mark.parametrize(
    ("raised", "lack", "said"),
    [
        (error(pyodbc.ProgrammingError, "42S02", 208, "Invalid object name 'calls'."), "empty", "no tables yet"),
        (error(pyodbc.ProgrammingError, "42S22", 207, "Invalid column name 'peak'."), "empty", "older version"),
        (
            error(pyodbc.OperationalError, "08004", 911, "Database 'reporting' does not exist.", FREETDS, "SQLDriverConnect"),
            "missing",
            "create",
        ),
        (error(pyodbc.ProgrammingError, "42000", 229, "The SELECT permission was denied on SECRET."), "broken", "rs_reader"),
        (error(pyodbc.ProgrammingError, "42000", 4060, "Cannot open database.", call="SQLDriverConnect"), "busy", "cannot be opened"),
        (error(pyodbc.InterfaceError, "28000", 18456, "Login failed for SECRET.", call="SQLDriverConnect"), "broken", "login is refused"),
        (error(pyodbc.OperationalError, "HYT00", 0, "Query timeout expired"), "busy", "longer than 20 s"),
        (error(pyodbc.OperationalError, "HYT00", 0, "Login timeout expired", call="SQLDriverConnect"), "busy", "does not answer"),
        (error(pyodbc.OperationalError, "S1T00", 20003, "Unexpected timeout", FREETDS), "busy", "longer than 20 s"),
        (error(pyodbc.Error, "HY000", 1222, "Lock request time out period exceeded."), "busy", "lock"),
        (error(pyodbc.ProgrammingError, "42000", 3961, "Snapshot isolation transaction failed."), "busy", "schema"),
        (AWAY, "busy", "does not answer"),
        (LOST, "busy", "does not answer"),
        (error(pyodbc.ProgrammingError, "42000", 99_999, "value SECRET"), "broken", "99999"),
    ],
)
def test_what_errors_mean(raised: pyodbc.Error, lack: str, said: str) -> None:
    found = lack_of("db:1433/reporting", raised)
    assert (found.lack, said in found.detail) == (lack, True), found.detail
    assert "SECRET" not in found.detail


def test_a_server_that_is_away_when_first_asked(server: FakeServer, store: SQLServerStore) -> None:
    server.refuses = [AWAY]
    with pytest.raises(StoreUnavailable, match=r"db\.example:1433/reporting.*does not answer") as raised, store.reading():
        pass
    assert PASSWORD not in raised.value.detail
    ask(store)
