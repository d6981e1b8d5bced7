"""SQLite under the contract, and what is its own: its error codes, locks between processes."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.migrate import migrate, scripts
from sinks.sql.sqlite import SQLite
from sinks.sql.writer import Writer
from tests.sinks.builders import call_record, calls, guid
from tests.sinks.contract import CALLS_0, StoreContract, opened, select, stored, write
from tests.sinks.retention_contract import RetentionContract


@pytest.fixture
def dialect(tmp_path: Path) -> SQLite:
    return SQLite(tmp_path / "store.sqlite3")


class TestSQLite(StoreContract):
    def columns(self, dialect: SQLite, table: str) -> list[tuple[str, bool]]:  # type: ignore[override]
        return [(name, not not_null) for _, name, _, not_null, *_ in select(dialect, f"PRAGMA table_info({table})")]


class TestSQLiteRetention(RetentionContract):
    pass


def test_readers_are_not_blocked_and_see_whole_transactions(dialect: SQLite) -> None:
    migrate(dialect)
    writer = Writer(dialect)
    writer.write(calls(call_record(1, mark=1)), {})
    with writer._transaction() as cursor:
        cursor.execute("DELETE FROM calls")
        assert len(stored(dialect)["calls"]) == 1
    assert stored(dialect)["calls"] == []
    writer.close()


def test_a_locked_database_is_transient(dialect: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.sql.sqlite.LOCK_TIMEOUT_S", 0.01)
    migrate(dialect)
    other = dialect.connect()
    dialect.begin(other.cursor())
    with pytest.raises(Transient, match="another process"):
        Writer(dialect).write(calls(call_record(1, mark=1)), {})
    other.close()


def test_a_full_disk_is_transient_and_says_so(dialect: SQLite) -> None:
    migrate(dialect)
    writer = Writer(dialect)
    writer.offsets()
    assert writer._connection is not None
    pages = writer._connection.cursor()
    pages.execute("PRAGMA page_count")
    pages.execute(f"PRAGMA max_page_count = {pages.fetchall()[0][0]}")  # no page more than now
    with pytest.raises(Transient, match="disk is full"):
        writer.write(calls(*(call_record(n, mark=1) for n in range(500))), {CALLS_0: 500})
    assert stored(dialect)["calls"] == []
    writer.write(calls(*(call_record(n, mark=1) for n in range(500))), {CALLS_0: 500})  # a new connection: the limit is gone
    assert len(stored(dialect)["calls"]) == 500
    writer.close()


def test_a_batch_costs_the_same_however_much_is_stored(dialect: SQLite) -> None:
    """Rows are found by their whole key; a walk through a partition would cost ten times the steps here."""
    migrate(dialect)
    writer = Writer(dialect)

    def steps(mark: int) -> int:
        connection, ticks = writer._connection, []
        assert isinstance(connection, sqlite3.Connection)
        connection.set_progress_handler(lambda: ticks.append(1), 100)
        writer.write(calls(*(call_record(n * 37, mark=mark) for n in range(50))), {})
        connection.set_progress_handler(None, 0)
        return len(ticks)

    writer.write(calls(*(call_record(n, mark=1) for n in range(1850))), {})
    few = steps(2)
    writer.write(calls(*(call_record(n, mark=1) for n in range(1850, 18500))), {})
    assert steps(3) < 1.5 * few
    writer.close()


def test_a_damaged_file_is_fatal(dialect: SQLite) -> None:
    dialect.path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(Fatal, match="damaged"):
        migrate(dialect)


def test_a_missing_schema_is_fatal(dialect: SQLite) -> None:
    with pytest.raises(Fatal, match="no such table"):
        Writer(dialect).write(calls(call_record(1, mark=1)), {})


def test_errors_of_the_driver_have_a_meaning_and_others_none(dialect: SQLite) -> None:
    assert isinstance(dialect.meaning(OverflowError()), Poison)
    assert isinstance(dialect.meaning(sqlite3.DataError("string or blob too big")), Poison)
    assert isinstance(dialect.meaning(PermissionError(13, "no")), Transient)
    assert isinstance(dialect.meaning(sqlite3.ProgrammingError("closed")), Fatal)
    assert dialect.meaning(KeyError()) is None


def test_two_migrators_at_once(dialect: SQLite) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(lambda _: migrate_patiently(dialect), range(4)))
    assert sorted(name for names in applied for name in names) == [script.name for script in scripts(dialect)]


def test_a_store_of_the_first_script_keeps_its_bins(dialect: SQLite, tmp_path: Path) -> None:
    first, *later = scripts(dialect)
    (tmp_path / f"{first.name}.sql").write_text(first.text)
    assert migrate(OfScripts(dialect.path, tmp_path)) == [first.name]
    connection = dialect.connect()
    connection.cursor().execute(
        "INSERT INTO bins VALUES (0, 'RM', 'tenant', '102', 'HOUR', 0, 1, 0, 0, 0, 0, '0', NULL, NULL,"
        " '{\"INBOUND\":1}', '{}', '{}', '{}', 1, 5)"
    )
    connection.close()
    assert migrate(dialect) == [script.name for script in later]
    assert select(dialect, "SELECT arrivals, mark, peak, peak_at, peak_by, results_by FROM bin_rows") == [(1, 5, 0, None, "{}", "{}")]


@dataclass(frozen=True)
class OfScripts(SQLite):
    """SQLite with the schema scripts of another folder."""

    folder: Path

    @property
    def scripts(self) -> Path:
        return self.folder


def migrate_patiently(dialect: SQLite) -> list[str]:
    while True:
        try:
            return migrate(dialect)
        except Transient:
            time.sleep(0.01)


_versions = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), min_size=1, max_size=20)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(versions=_versions, cuts=st.lists(st.integers(1, 5), min_size=1, max_size=10), data=st.data())
async def test_any_order_and_batching_gives_the_highest_marks(
    tmp_path_factory: pytest.TempPathFactory, versions: list[tuple[int, int]], cuts: list[int], data: st.DataObject
) -> None:
    """`versions`: (call, mark); a call has as many sessions as its mark says, so that children tell the version."""
    shuffled = data.draw(st.permutations(versions))
    dialect = SQLite(tmp_path_factory.mktemp("order") / "store.sqlite3")
    async with opened(dialect) as (store, _):
        at = turn = 0
        while at < len(shuffled):
            size = cuts[turn % len(cuts)]
            store.add(CALLS_0, [call_record(n, mark, sessions=mark) for n, mark in shuffled[at : at + size]])
            at, turn = at + size, turn + 1
            await write(store, {CALLS_0: at})
    highest = {n: max(mark for m, mark in versions if m == n) for n, _ in versions}
    rows = stored(dialect)
    assert {call[1]: call[-1] for call in rows["calls"]} == {guid(n): mark for n, mark in highest.items()}
    assert len(rows["sessions"]) == sum(highest.values())
