"""The SQL Server dialect against a stand-in that raises what real drivers raise: order of statements, meanings of errors, what is done
after one. What only a server can prove is in test_sqlserver_live.py."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pyodbc

from sinks.sql.errors import Fatal, Poison, Race, Transient, Unclear
from sinks.sql.rows import BINS, FRESHNESS, TABLES
from sinks.sql.sqlserver import SQLServer, as_json, iso
from sinks.sql.task import MOST_UNCLEAR
from sinks.sql.writer import Writer
from tests.sinks.builders import T0, bin_record, bound, call_record, calls, guid
from tests.sinks.contract import CALLS_0, TENANTS_0, opened, write
from tests.sinks.fake_odbc import (
    AWAY,
    DEADLOCK,
    DUPLICATE,
    FREETDS,
    LOST,
    MICROSOFT,
    NOT_BEGUN,
    NOTHING_TO_ROLL_BACK,
    OVERFLOW,
    PASSWORD,
    FakeServer,
    Trouble,
    dialect,
    error,
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setattr("sinks.sql.task.FIRST_PAUSE_S", 0.0001)
    monkeypatch.setattr("sinks.sql.task.LONGEST_PAUSE_S", 0.001)
    server = FakeServer(monkeypatch)
    server.answers["SELECT version, digest"] = [(script.version, script.digest) for script in scripts_of(dialect())]
    return server


def scripts_of(of: SQLServer) -> list[Any]:
    from sinks.sql.migrate import scripts

    return scripts(of)


def once(part: str, *errors: Exception) -> Trouble:
    """Statements with that part raise these, one after the other, and then nothing any more."""
    left = list(errors)
    return lambda statement, _: left.pop(0) if left and part in statement else None


# -- one batch, one transaction


def test_a_batch_is_one_transaction_in_the_order_that_guards_it(server: FakeServer) -> None:
    writer = Writer(dialect())
    writer.write([*calls(call_record(1, mark=5)), *bound(TENANTS_0[0], [bin_record(102, T0, mark=5)])], {CALLS_0: 9})
    sent = server.statements
    assert sent[0] == "SET XACT_ABORT"
    assert sent[1:10] == [f"CREATE #stage_{table.name}" for table in TABLES]
    children = [
        step
        for name, staged in (("sessions", True), ("actions", False), ("custom_variables", True), ("failures", False), ("latencies", False))
        for step in ([f"INSERT #stage_{name}"] if staged else []) + [f"DELETE {name}", f"INSERT {name}"]
    ]
    assert sent[10:] == [
        "BEGIN TRANSACTION",
        "INSERT #stage_calls", "UPDATE calls", "INSERT calls",
        *children,
        "INSERT #stage_bins", "UPDATE bins", "INSERT bins",
        "TRUNCATE #stage_calls", "TRUNCATE #stage_sessions", "TRUNCATE #stage_custom_variables", "TRUNCATE #stage_bins",
        "UPDATE rs_offsets", "INSERT rs_offsets",
        "COMMIT TRANSACTION",
    ]  # fmt: skip
    server.sent.clear()
    writer.write([], {CALLS_0: 10})
    assert server.statements == ["BEGIN TRANSACTION", "UPDATE rs_offsets", "INSERT rs_offsets", "COMMIT TRANSACTION"]
    assert [parameters for *_, parameters in server.sent[1:3]] == [('[["rs-agents-calls-changelog",0,10]]',)] * 2


def test_rows_come_as_one_json_parameter_sorted_by_key(server: FakeServer) -> None:
    Writer(dialect()).write(calls(call_record(7, mark=5), call_record(3, mark=6)), {})
    (staged,) = [parameters[0] for _, statement, parameters in server.sent if statement.startswith("INSERT INTO #stage_calls")]
    assert [row[1] for row in json.loads(staged)] == [guid(3), guid(7)]
    assert json.loads(staged)[0][2] == iso(T0 + 3)


def test_instants_are_text_with_milliseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000"
    assert iso(T0 + 7) == "2026-11-18T11:06:40.007"
    assert json.loads(as_json(FRESHNESS, [(0, 1, 0, 1, 2, 3, 4)])) == [[0, 1, iso(0), iso(1), iso(2), 3, 4]]
    with pytest.raises(Poison):
        iso(253_402_300_800_000)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64])
def test_a_number_beyond_64_bits_is_never_sent(number: int) -> None:
    row = bound(TENANTS_0[0], [bin_record(1, T0, mark=5)])[0].rows[0][1]
    assert as_json(BINS, [row])
    with pytest.raises(Poison, match=r"bins\.arrivals"):
        as_json(BINS, [row, (*row[:6], number, *row[7:])])


# -- errors


@pytest.mark.parametrize("driver", [MICROSOFT, FREETDS])
@pytest.mark.parametrize(
    ("kind", "state", "number", "expected"),
    [
        (pyodbc.Error, "40001", 1205, Transient),
        (pyodbc.ProgrammingError, "42000", 1205, Transient),  # as FreeTDS says it
        (pyodbc.OperationalError, "HYT00", 1222, Transient),
        (pyodbc.ProgrammingError, "42000", 1222, Transient),
        (pyodbc.IntegrityError, "23000", 2627, Race),
        (pyodbc.IntegrityError, "23000", 2601, Race),
        (pyodbc.ProgrammingError, "42000", 3960, Transient),
        (pyodbc.ProgrammingError, "42000", 9002, Transient),
        (pyodbc.ProgrammingError, "42000", 1105, Transient),
        (pyodbc.ProgrammingError, "42000", 701, Transient),
        (pyodbc.ProgrammingError, "42000", 10928, Transient),
        (pyodbc.ProgrammingError, "42000", 10929, Transient),
        (pyodbc.ProgrammingError, "42000", 40501, Transient),
        (pyodbc.ProgrammingError, "42000", 40613, Transient),
        (pyodbc.ProgrammingError, "42000", 49918, Transient),
        (pyodbc.ProgrammingError, "42000", 4060, Transient),
        (pyodbc.ProgrammingError, "42000", 3906, Transient),
        (pyodbc.ProgrammingError, "25000", 3902, Transient),
        (pyodbc.OperationalError, "08S01", 10054, Transient),
        (pyodbc.OperationalError, "08001", 0, Transient),
        (pyodbc.OperationalError, "HYT00", 0, Transient),
        (pyodbc.OperationalError, "HYT01", 0, Transient),
        (pyodbc.OperationalError, "08S01", 20009, Transient),
        (pyodbc.Error, "HY000", 20004, Transient),
        (pyodbc.Error, "HY000", 0, Unclear),  # FreeTDS, when the server is gone
        (pyodbc.Error, "HY010", 0, Unclear),
        (pyodbc.Error, "HY010", 102, Fatal),  # with a number it says what it is
        (pyodbc.Error, "S1T00", 0, Transient),
        (pyodbc.Error, "HY117", 0, Transient),
        (pyodbc.Error, "HY001", 0, Transient),
        (pyodbc.Error, "25S03", 0, Transient),
        (pyodbc.Error, "40003", 0, Transient),
        (pyodbc.ProgrammingError, "42000", 0, Fatal),
        (pyodbc.Error, "HY000", 50000, Fatal),
        (pyodbc.DataError, "22001", 8152, Poison),
        (pyodbc.DataError, "22001", 2628, Poison),
        (pyodbc.DataError, "22003", 8115, Poison),
        (pyodbc.ProgrammingError, "42000", 8114, Poison),
        (pyodbc.ProgrammingError, "42000", 13609, Poison),
        (pyodbc.IntegrityError, "23000", 515, Poison),
        (pyodbc.IntegrityError, "23000", 547, Poison),
        (pyodbc.DataError, "22007", 241, Poison),
        (pyodbc.DataError, "22018", 9999, Poison),  # not in any list: by its class
        (pyodbc.ProgrammingError, "42S02", 208, Fatal),
        (pyodbc.ProgrammingError, "42000", 229, Fatal),
        (pyodbc.ProgrammingError, "42000", 262, Fatal),
        (pyodbc.InterfaceError, "28000", 18456, Fatal),
        (pyodbc.ProgrammingError, "42000", 102, Fatal),  # a syntax error: ours
    ],
)
def test_what_an_error_means(kind: type[pyodbc.Error], state: str, number: int, expected: type[Exception], driver: str) -> None:
    meaning = dialect().meaning(error(kind, state, number, "the value 'SECRET' is bad", driver))
    assert type(meaning) is expected
    assert "SECRET" not in str(meaning)
    assert number == 0 or str(number) in str(meaning) or state in str(meaning)


def test_of_several_messages_the_first_that_is_known_counts() -> None:
    text = (
        f"[42000] {MICROSOFT}Cannot open database requested by the login. (4060) (SQLDriverConnect); "
        f"[28000] {MICROSOFT}Login failed (18456) (SQLDriverConnect)"
    )
    assert isinstance(dialect().meaning(pyodbc.ProgrammingError("42000", text)), Transient)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (pyodbc.Error("IM002", "[IM002] [unixODBC][Driver Manager]Data source name not found (0)"), "driver cannot be loaded"),
        (pyodbc.Error("01000", "[01000] [unixODBC][Driver Manager]Can't open lib '/x.so' : file not found (0)"), "driver cannot be loaded"),
        (
            pyodbc.OperationalError(
                "08001", "[08001] [Microsoft]SSL Provider: [error:0A000086:SSL routines::certificate verify failed] (-1) (SQLDriverConnect)"
            ),
            "TrustServerCertificate",
        ),
    ],
)  # fmt: skip
def test_what_cannot_get_better_by_itself_says_what_to_do(raised: pyodbc.Error, said: str) -> None:
    assert said in str(dialect().meaning(raised))
    assert isinstance(dialect().meaning(raised), Fatal)


def test_errors_of_others_have_no_meaning() -> None:
    assert dialect().meaning(KeyError()) is None


# -- after an error


@pytest.mark.parametrize("at", ["UPDATE t SET start_ts", "INSERT INTO calls", "INSERT INTO rs_offsets", "COMMIT"])
def test_after_an_error_nothing_is_committed_and_the_connection_dropped(server: FakeServer, at: str) -> None:
    writer = Writer(dialect())
    server.trouble = once(at, DEADLOCK)
    with pytest.raises(Transient):
        writer.write(calls(call_record(1, mark=5)), {CALLS_0: 9})
    after = server.statements[next(i for i, (_, statement, _) in enumerate(server.sent) if at in statement) + 1 :]
    assert after == ["IF @@TRANCOUNT"]  # the rollback
    assert server.closed == [1]
    writer.write(calls(call_record(1, mark=5)), {CALLS_0: 9})
    assert server.sent[-1][:2] == (2, "COMMIT TRANSACTION")


def test_a_rollback_that_finds_nothing_is_no_error(server: FakeServer) -> None:
    server.trouble = lambda statement, _: NOTHING_TO_ROLL_BACK if "ROLLBACK" in statement else DEADLOCK if "COMMIT" in statement else None
    with pytest.raises(Transient, match="dead-lock"):
        Writer(dialect()).write([], {CALLS_0: 9})
    assert server.closed == [1]


async def test_a_transaction_that_the_server_ended_by_itself_is_written_again(server: FakeServer) -> None:
    async with opened(dialect()) as (store, aside):
        server.trouble = once("COMMIT", NOT_BEGUN)
        server.sent.clear()
        store.add(CALLS_0, [call_record(1, mark=5)])
        await write(store, {CALLS_0: 1})
        assert server.statements.count("INSERT calls") == 2
        assert server.statements[-1] == "COMMIT TRANSACTION"
        assert (store.next_offset(CALLS_0), aside) == (1, [])


async def test_a_database_that_is_away_is_waited_for(server: FakeServer) -> None:
    """Away for hundreds of attempts: the batch in hand is neither lost nor written twice, and nobody asks for more meanwhile."""
    async with opened(dialect()) as (store, aside):
        server.trouble = once("BEGIN", LOST)
        server.refuses = [AWAY] * 300
        store.add(CALLS_0, [call_record(n, mark=5, offset=n) for n in range(50)])
        troubles = set()
        server.sent.clear()
        work = asyncio.create_task(write(store, {CALLS_0: 50}))
        while not work.done():
            troubles.add(store.trouble)
            await asyncio.sleep(0)
        await work
        assert {trouble for trouble in troubles if trouble} == {
            "db.example:1433/reporting: it does not answer (08S01)", "db.example:1433/reporting: it does not answer (08001)",
        }  # fmt: skip
        assert store.trouble is None
        assert len(store) == 0
        staged = [parameters[0] for _, statement, parameters in server.sent if statement.startswith("INSERT INTO #stage_calls")]
        assert len(staged) == 1
        assert len(json.loads(staged[0])) == 50
        assert aside == []


async def test_rows_the_server_refuses_are_found_and_named_without_their_values(server: FakeServer) -> None:
    async with opened(dialect()) as (store, aside):
        bad = guid(13)
        server.trouble = lambda statement, parameters: OVERFLOW if parameters and bad in str(parameters[0]) else None
        store.add(CALLS_0, [call_record(n, mark=5, offset=n) for n in range(40)])
        server.sent.clear()
        await write(store, {CALLS_0: 40})
        assert [(record.entry.record.offset, str(record.fault)) for record in aside] == [(13, "refused: a number is too great (8115)")]
        last = [parameters[0] for _, statement, parameters in server.sent if statement.startswith("INSERT INTO #stage_calls")][-1]
        assert [row[1] for row in json.loads(last)] == [guid(n) for n in range(40) if n != 13]
        assert server.statements[-1] == "COMMIT TRANSACTION"
        assert server.statements.count("COMMIT TRANSACTION") == 1  # the trials were rolled back


async def test_a_race_for_a_key_is_run_again(server: FakeServer) -> None:
    async with opened(dialect()) as (store, aside):
        server.trouble = once("INSERT INTO calls", DUPLICATE, DUPLICATE)
        store.add(CALLS_0, [call_record(1, mark=5)])
        await write(store, {CALLS_0: 1})
        assert (store.next_offset(CALLS_0), aside) == (1, [])


async def test_a_race_without_end_is_the_rows_own_fault(server: FakeServer) -> None:
    async with opened(dialect()) as (store, aside):
        staged: list[str] = []

        def collide(statement: str, parameters: Sequence[Any]) -> Exception | None:
            if statement.startswith("INSERT INTO #stage_calls"):
                staged.append(parameters[0])
            return DUPLICATE if statement.startswith("INSERT INTO calls") and guid(3) in staged[-1] else None

        server.trouble = collide
        store.add(CALLS_0, [call_record(n, mark=5, offset=n) for n in range(8)])
        await write(store, {CALLS_0: 8})
        assert [record.entry.record.offset for record in aside] == [3]
        assert "SECRET" not in str(aside[0].fault)
        assert store.next_offset(CALLS_0) == 8


UNSAID = error(pyodbc.Error, "HY000", 0, "", FREETDS)


async def test_a_connection_that_breaks_without_a_reason_is_waited_for(server: FakeServer) -> None:
    async with opened(dialect()) as (store, _):
        # A server that is away says so when a connection is made, in between.
        server.trouble = once("BEGIN", UNSAID)
        server.refuses = [AWAY if n % (MOST_UNCLEAR // 2) == 0 else UNSAID for n in range(5 * MOST_UNCLEAR)]
        store.add(CALLS_0, [call_record(1, mark=5)])
        await write(store, {CALLS_0: 1})
        assert store.next_offset(CALLS_0) == 1


async def test_one_that_breaks_each_time_without_a_reason_stops_the_worker(server: FakeServer) -> None:
    async with opened(dialect()) as (store, aside):
        server.trouble = lambda statement, _: UNSAID if "INSERT INTO calls" in statement else None
        store.add(CALLS_0, [call_record(1, mark=5)])
        with pytest.raises(Fatal, match=f"{MOST_UNCLEAR} times in a row"):
            await write(store, {CALLS_0: 1})
        assert (store.next_offset(CALLS_0), aside) == (0, [])


# -- at the start


async def test_a_missing_right_stops_the_start_and_is_named(server: FakeServer) -> None:
    server.answers["HAS_PERMS_BY_NAME"] = [(0,)]
    with pytest.raises(Fatal, match=r"lacks rights \(SELECT on rs_meta, .*rs_writer"):
        async with opened(dialect()):
            pass


async def test_a_server_without_openjson_stops_the_start(server: FakeServer) -> None:
    missing = error(pyodbc.ProgrammingError, "42S02", 208, "Invalid object name 'OPENJSON'.")
    server.trouble = lambda statement, _: missing if "OPENJSON('[1]')" in statement else None
    with pytest.raises(Fatal, match="2016"):
        async with opened(dialect()):
            pass


async def test_a_schema_lock_that_is_not_had_is_waited_for(server: FakeServer) -> None:
    answers = [[(-1,)], [(0,)]]
    real = server.answers

    class Answers(dict[str, list[tuple[Any, ...]]]):
        def items(self) -> Any:
            return [(part, answers.pop(0) if part == "sp_getapplock" and answers else rows) for part, rows in real.items()]

    server.answers = Answers()
    async with opened(dialect()) as (store, _):
        assert store.trouble is None


def test_the_password_is_seen_nowhere(server: FakeServer) -> None:
    store = dialect()
    store.connect()
    assert PASSWORD in server.strings[0]
    server.refuses = [AWAY]
    with pytest.raises(Transient) as raised:
        Writer(store).offsets()
    assert PASSWORD not in f"{store!r} {store} {raised.value!r} {store.address!r} {store.shadow(2)!r}"
