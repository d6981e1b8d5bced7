"""docs/schema.md says what the scripts make."""

from __future__ import annotations

from pathlib import Path

from sinks.sql.diagram import PAGE, SCRIPTS, columns_of_view, page, tables, views
from sinks.sql.migrate import migrate
from sinks.sql.rows import TABLES
from sinks.sql.sqlite import SQLite
from tests.sinks.contract import select

TEXT = "\n".join(path.read_text() for path in sorted(SCRIPTS.glob("*.sql")))


def test_the_page_is_made_of_the_scripts_as_they_are() -> None:
    assert PAGE.read_text() == page(), "run python -m sinks.sql.diagram"


def test_every_column_is_in_it() -> None:
    made = tables(TEXT)
    for table in TABLES:
        columns = made[table.name].columns
        assert sorted((column.name, column.null) for column in columns) == sorted((column.name, column.null) for column in table.columns)
        assert {column.name for column in columns if column.key} == set(table.key_names)


def test_views_have_the_same_columns_in_both_dialects(tmp_path: Path) -> None:
    dialect = SQLite(tmp_path / "store.sqlite3")
    migrate(dialect)
    there = {name for (name,) in select(dialect, "SELECT name FROM sqlite_master WHERE type = 'view'")}
    found = {name: columns_of_view(query) for name, query in views(TEXT).items()}
    assert there == set(found)
    for name, columns in found.items():
        if columns != ["*"]:
            assert [column for _, column, *_ in select(dialect, f"PRAGMA table_info({name})")] == columns
