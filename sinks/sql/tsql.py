# ruff: noqa: S608 - names come from this package; values are always bound
"""The T-SQL of the store: every statement that is sent to SQL Server, but for the schema scripts. Pure text.

Rows come as one JSON parameter, a list of lists in the order of the columns, opened by OPENJSON into a table that only this session
sees. No MERGE (https://michaeljswart.com/2021/08/what-to-avoid-if-you-want-to-use-merge/ lists its faults), no table-valued parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from sinks.sql import odbc
from sinks.sql.rows import Column, Kind, Table

BINARY = "Latin1_General_BIN2"  # names are compared as they are spelled
MAX_UNITS = 4000  # of nvarchar(n)

# Once for each session. XACT_ABORT: an error ends the transaction on the server, too.
SESSION = f"SET XACT_ABORT ON; SET LOCK_TIMEOUT 30000; {odbc.OPTIONS}"

OPENS_JSON = "SELECT COUNT(*) FROM OPENJSON('[1]')"

# Said in so many words: a driver that begins and commits by itself says nothing when the server has ended the transaction before.
BEGIN = "BEGIN TRANSACTION"
COMMIT = "COMMIT TRANSACTION"
ROLLBACK = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION"

LOCK_SCHEMA = (
    "SET NOCOUNT ON; DECLARE @got int; "
    "EXEC @got = sp_getapplock @Resource = 'rs_schema', @LockMode = 'Exclusive', @LockOwner = 'Transaction',"
    " @LockTimeout = 60000; SELECT @got"
)

HAS_TABLE = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = ? AND TABLE_TYPE = 'BASE TABLE'"

# The shared lock stays until the transaction ends: who changes the generation waits for it.
READ_GENERATION = "SELECT value FROM rs_meta WITH (HOLDLOCK) WHERE name = 'generation'"

_OFFSETS = "OPENJSON(?) WITH (topic varchar(249) '$[0]', partition bigint '$[1]', next_offset bigint '$[2]') AS s"
UPDATE_OFFSETS = (
    f"UPDATE t SET next_offset = s.next_offset FROM rs_offsets AS t JOIN {_OFFSETS}"
    " ON t.topic = s.topic AND t.partition = s.partition WHERE s.next_offset > t.next_offset"
)
INSERT_OFFSETS = (
    f"INSERT INTO rs_offsets (topic, partition, next_offset) SELECT s.topic, s.partition, s.next_offset FROM {_OFFSETS}"
    " WHERE NOT EXISTS (SELECT 1 FROM rs_offsets AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.topic = s.topic AND t.partition = s.partition)"
)

MAY = "SELECT HAS_PERMS_BY_NAME(?, 'OBJECT', ?)"


DATABASES = "SELECT name FROM sys.databases"


def quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


def create_database(name: str) -> str:
    return f"IF DB_ID({_text(name)}) IS NULL CREATE DATABASE {quoted(name)}"


def drop_database(name: str) -> str:
    return f"IF DB_ID({_text(name)}) IS NOT NULL DROP DATABASE {quoted(name)}"


def _text(value: str) -> str:
    return "N'" + value.replace("'", "''") + "'"


def column_type(column: Column, *, key: bool = False) -> str:
    """What a column is in the schema scripts, where those of the key have a collation; OPENJSON knows none. Limits count code points,
    nvarchar counts UTF-16 units: twice as many fit."""
    if column.kind is Kind.CODE:
        return f"varchar({column.length}) COLLATE {BINARY}" if key else f"varchar({column.length})"
    if column.kind is Kind.TEXT:
        return f"nvarchar({2 * column.length})" if 2 * column.length <= MAX_UNITS else "nvarchar(max)"
    return {
        Kind.INT: "bigint",
        Kind.FLAG: "bit",
        Kind.MILLIS: "datetime2(3)",
        Kind.REAL: "float",
        Kind.DECIMAL: "decimal(38, 0)",
        Kind.JSON: "nvarchar(max)",
    }[column.kind]


def stage_name(table: Table) -> str:
    return f"#stage_{table.name}"


def create_stage(table: Table) -> str:
    """Clustered by the key, so that the rows are looked up and locked in the order of the key."""
    keys = {column.name for column in table.key}
    columns = ", ".join(
        f"{column.name} {column_type(column, key=column.name in keys)} {'NULL' if column.null else 'NOT NULL'}" for column in table.columns
    )
    return f"CREATE TABLE {stage_name(table)} ({columns}, PRIMARY KEY ({', '.join(table.key_names)}))"


def fill_stage(table: Table) -> str:
    names = ", ".join(table.names)
    opened = ", ".join(f"{column.name} {column_type(column)} '$[{at}]'" for at, column in enumerate(table.columns))
    return f"INSERT INTO {stage_name(table)} ({names}) SELECT {names} FROM OPENJSON(?) WITH ({opened})"


def clear_stage(table: Table) -> str:
    return f"TRUNCATE TABLE {stage_name(table)}"


def update(table: Table) -> str:
    changes = ", ".join(f"{name} = s.{name}" for name in table.names[len(table.key) :])
    return (
        f"UPDATE t SET {changes} FROM {table.name} AS t WITH (UPDLOCK) JOIN {stage_name(table)} AS s ON {same(table.key_names, 't', 's')}"
        " WHERE s.generation > t.generation OR (s.generation = t.generation AND s.mark >= t.mark)"
    )


def insert(table: Table) -> str:
    names = ", ".join(table.names)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {stage_name(table)} AS s"
        f" WHERE NOT EXISTS (SELECT 1 FROM {table.name} AS t WITH (UPDLOCK, HOLDLOCK) WHERE {same(table.key_names, 't', 's')})"
    )


def replace_children(table: Table) -> tuple[str, ...]:
    assert table.parent is not None, f"{table.name} has no parent"
    parent, key = table.parent, table.parent.key_names
    guarded = (*key, "generation", "mark")
    names = ", ".join(table.names)
    return (
        f"DELETE c FROM {table.name} AS c JOIN {stage_name(parent)} AS s ON {same(key, 'c', 's')}"
        f" JOIN {parent.name} AS p ON {same(guarded, 'p', 's')}",
        f"INSERT INTO {table.name} ({names}) SELECT {', '.join(f's.{name}' for name in table.names)}"
        f" FROM {stage_name(table)} AS s JOIN {parent.name} AS p ON {same(guarded, 'p', 's')}",
    )


def delete_some(table: str, condition: str, most: int) -> str:
    return f"DELETE TOP ({most}) FROM {table} WHERE {condition}"


def select_some(columns: str, table: str, condition: str, order: str, most: int) -> str:
    return f"SELECT TOP ({most}) {columns} FROM {table} WHERE {condition} ORDER BY {order}"


def of_calls(table: str) -> str:
    return (
        f"EXISTS (SELECT 1 FROM OPENJSON(?) WITH (source_partition bigint '$[0]', guid varchar(36) '$[1]') AS k"
        f" WHERE k.source_partition = {table}.source_partition AND k.guid COLLATE {BINARY} = {table}.guid)"
    )


def same(names: Sequence[str], left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in names)
