"""rs init --only database"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import build
from pipeline.settings import load
from sinks.sql.migrate import migrate, scripts
from sinks.sql.sqlite import SQLite


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLite]:
    monkeypatch.setenv("RS_STACK__DATA", str(tmp_path))
    load.cache_clear()
    yield SQLite(tmp_path / "reporting.sqlite3")
    load.cache_clear()


def test_it_brings_the_store_to_the_schema_once(store: SQLite) -> None:
    known = len(scripts(store))
    said = [CliRunner().invoke(build("init"), ["init", "--only", "database"]).output for _ in range(2)]
    assert said == [f"{known} schema scripts applied, 0 were there already\n", f"0 schema scripts applied, {known} were there already\n"]
    assert migrate(store) == []


def test_what_is_wrong_is_one_line(store: SQLite) -> None:
    store.path.write_bytes(b"this is no database" * 1000)
    result = CliRunner().invoke(build("init"), ["init", "--only", "database"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "damaged" in result.output
