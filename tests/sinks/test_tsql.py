"""Every T-SQL text of the store, read by a parser that is not ours."""

from __future__ import annotations

import pytest

pytest.importorskip("pyodbc", reason="NOT TESTED: SQL Server: pyodbc needs unixODBC (Debian: unixodbc)", exc_type=ImportError)

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import expressions as exp
from sqlglot.errors import ParseError

from sinks.sql import tsql
from sinks.sql.migrate import scripts
from sinks.sql.rows import TABLES, Table
from sinks.sql.sqlite import SQLite
from sinks.sql.sqlserver import SQLServer
from tests.sinks.fake_odbc import dialect

LARGE = {"actions", "custom_variables", "failures", "latencies", "calls", "sessions", "session_events", "bins", "billing_sessions"}


def parsed(text: str) -> list[exp.Expression]:
    found = sqlglot.parse(text, dialect="tsql", error_level=sqlglot.ErrorLevel.RAISE)
    return [one for one in found if one is not None and not isinstance(one, exp.Semicolon)]  # that is a comment behind one


def statements() -> Iterator[tuple[str, str]]:
    """name, text"""
    for name, text in vars(tsql).items():
        if name.isupper() and not name.startswith("_") and isinstance(text, str) and " " in text:
            yield name, text
    for table in TABLES:
        for make in (tsql.create_stage, tsql.fill_stage, tsql.clear_stage, tsql.update, tsql.insert):
            yield f"{make.__name__} {table.name}", make(table)
        if table.parent is not None:
            for text in tsql.replace_children(table):
                yield f"replace_children {table.name}", text
    yield "create_database", tsql.create_database("a]'b")
    yield "drop_database", tsql.drop_database("a]'b")


ALL = list(statements())
# What the parser keeps as it is, without looking inside.
NOT_LOOKED_INTO = {"SESSION", "LOCK_SCHEMA", "BEGIN", "COMMIT", "ROLLBACK", "create_database", "drop_database"}


@pytest.mark.parametrize(("name", "text"), ALL, ids=[f"{n} {name}" for n, (name, _) in enumerate(ALL)])
def test_a_statement_is_t_sql(name: str, text: str) -> None:
    found = parsed(text)
    assert found
    if name.split()[0] not in NOT_LOOKED_INTO:
        assert len(found) == 1, "an error of a second statement is not seen by all drivers"
        assert not isinstance(found[0], exp.Command)


@pytest.mark.parametrize("wrong", ["SELECT FROM WHERE", "DELETE c FROM calls AS c JOIN", "INSERT INTO x (a) SELECT b FROM (y"])
def test_the_parser_tells_wrong_from_right(wrong: str) -> None:
    """It is a lenient one: the server of the live tests is the judge of the rest."""
    with pytest.raises(ParseError):
        parsed(wrong)


@pytest.mark.parametrize("script", scripts(dialect()), ids=lambda script: script.name)
def test_a_script_is_t_sql(script: object) -> None:
    for statement in dialect().statements(script.text):  # type: ignore[attr-defined]
        found = parsed(statement)
        assert len(found) == 1, "one statement between two GO: an error of a second is not seen by all drivers"


def test_both_dialects_have_the_same_scripts() -> None:
    assert [script.name for script in scripts(dialect())] == [script.name for script in scripts(SQLite(None))]  # type: ignore[arg-type]


def columns_of(server: SQLServer) -> dict[str, dict[str, str]]:
    """table -> column -> its type and nullness, as the scripts make it."""
    made: dict[str, dict[str, str]] = {}
    for script in scripts(server):
        for statement in server.statements(script.text):
            (tree,) = parsed(statement)
            if isinstance(tree, exp.Create | exp.Alter) and tree.find(exp.ColumnDef):
                name = tree.find(exp.Table).name  # type: ignore[union-attr]
                for column in tree.find_all(exp.ColumnDef):
                    made.setdefault(name, {})[column.name] = spelled(column)
    return made


def spelled(column: exp.ColumnDef) -> str:
    kinds = [constraint.kind for constraint in column.constraints]
    collation = next((f" COLLATE {kind.this.name}" for kind in kinds if isinstance(kind, exp.CollateColumnConstraint)), "")
    null = "" if any(isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null") for kind in kinds) else " NULL"
    assert column.kind is not None
    return re.sub(r"[\s]", "", column.kind.sql("tsql").lower()) + collation + null


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_stage_has_the_types_of_the_table(table: Table) -> None:
    """Otherwise a key would be converted while rows are looked up, and no index used."""
    (tree,) = parsed(tsql.create_stage(table))
    staged = {column.name: spelled(column) for column in tree.find_all(exp.ColumnDef)}
    assert columns_of(dialect())[table.name] == staged


def test_the_large_tables_are_compressed_by_page() -> None:
    compressed = {
        found[1]
        for script in scripts(dialect())
        for statement in dialect().statements(script.text)
        if (found := re.search(r"CREATE TABLE (\w+)", statement)) and "DATA_COMPRESSION = PAGE" in statement
    }
    assert compressed == LARGE


def test_every_table_can_be_written_by_one_role_and_read_by_the_other() -> None:
    text = "\n".join(script.text for script in scripts(dialect()))
    made = set(re.findall(r"CREATE (?:TABLE|VIEW) (\w+)", text))
    tables = set(re.findall(r"CREATE TABLE (\w+)", text))
    assert set(re.findall(r"GRANT SELECT, INSERT, UPDATE, DELETE ON (\w+) TO rs_writer", text)) == tables
    assert set(re.findall(r"GRANT SELECT ON (\w+) TO rs_reader", text)) == made
