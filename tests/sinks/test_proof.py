"""rs doctor --database: what holds is said, and what does not hold is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli import build
from pipeline.settings import load
from sinks.sql.migrate import migrate
from sinks.sql.proof import prove
from sinks.sql.rows import CALLS, Row, Table
from sinks.sql.sqlite import SQLite
from sinks.sql.writer import Writer
from tests.sinks.builders import call_record, calls
from tests.sinks.contract import stored


def test_a_good_store_passes_and_is_left_empty(tmp_path: Path) -> None:
    dialect = SQLite(tmp_path / "store.sqlite3")
    steps = list(prove(dialect, 0.3))
    assert [step.fault for step in steps] == [""] * len(steps)
    assert steps[-1].name == "clearing up"
    assert not any(stored(dialect).values())


@dataclass(frozen=True)
class Cutting(SQLite):
    """It keeps no more than 4,000 characters, and says nothing."""

    def stage(self, cursor: Any, table: Table, rows: Sequence[Row]) -> None:
        SQLite.stage(self, cursor, table, [tuple(cell[:4000] if isinstance(cell, str) else cell for cell in row) for row in rows])


@dataclass(frozen=True)
class Forgetting(SQLite):
    """The last row of a batch is lost."""

    def insert(self, table: Table) -> str:
        return f"{SQLite.insert(self, table)} LIMIT 1" if table is CALLS else SQLite.insert(self, table)


@dataclass(frozen=True)
class Unguarded(SQLite):
    def update(self, table: Table) -> str:
        return SQLite.update(self, table).partition(" AND (s.generation")[0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [(Cutting, "actions.notes"), (Forgetting, "calls"), (Unguarded, "went back")],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_store_that_breaks_a_promise_is_found(tmp_path: Path, kind: type[SQLite], said: str) -> None:
    faults = [step.fault for step in prove(kind(tmp_path / "store.sqlite3"), 0.1)]
    assert any(said in fault for fault in faults)


def test_a_database_in_use_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = SQLite(tmp_path / "reporting.sqlite3")
    migrate(dialect)
    writer = Writer(dialect)
    writer.write(calls(call_record(1, mark=5)), {})
    writer.close()
    before = stored(dialect)
    monkeypatch.setenv("RS_STACK__DATA", str(tmp_path))
    load.cache_clear()
    result = CliRunner().invoke(build("doctor"), ["doctor", "--database", "--seconds", "0.1"])
    load.cache_clear()
    assert "is in use" in result.output
    assert result.exit_code == 1
    assert stored(dialect) == before
