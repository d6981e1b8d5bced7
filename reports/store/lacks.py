"""What an error of SQL Server means to a reader. The server's own texts can quote values of rows, so they are not passed on."""

from __future__ import annotations

import pyodbc

from reports.exceptions import StoreUnavailable
from reports.store.contract import took_too_long
from sinks.sql.errors import Transient
from sinks.sql.sqlserver_errors import meaning, numbers, sqlstate

NO_DATABASE = 911
NO_TABLE, NO_COLUMN = 208, 207
NO_RIGHT = {229, 230, 916}
TIMED_OUT = "HYT00"
WHO = "the sinks worker does that when it starts, or the owner of the schema by rs init --database (docs/sqlserver.md)."
NO_TABLES = f"The store has no tables yet: {WHO}"
OLDER = f"The store is that of an older version and must be brought up to date: {WHO}"
FREETDS_TIMED_OUT = 20003


def lack_of(where: str, error: pyodbc.Error) -> StoreUnavailable:
    """`where`: the database as it may be shown."""
    given, state = set(numbers(error)), sqlstate(error)
    if NO_DATABASE in given:
        return StoreUnavailable("missing", f"The store does not exist yet ({where}): create the database (docs/sqlserver.md).")
    if NO_TABLE in given:
        return StoreUnavailable("empty", NO_TABLES)
    if NO_COLUMN in given:
        return StoreUnavailable("empty", OLDER)
    if given & NO_RIGHT:
        return StoreUnavailable("broken", f"{where}: a right is missing: add the user to the role rs_reader (docs/sqlserver.md).")
    if FREETDS_TIMED_OUT in given or (state == TIMED_OUT and not is_login(error)):
        return StoreUnavailable("busy", took_too_long())
    known = meaning(where, error)
    return StoreUnavailable("busy" if isinstance(known, Transient) else "broken", f"The store cannot be read: {known}.")


def is_login(error: pyodbc.Error) -> bool:
    """Whether the connection itself was not had in time."""
    return "SQLDriverConnect" in str(error)
