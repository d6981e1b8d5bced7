"""Which database is the store."""

from __future__ import annotations

from pipeline.settings import Settings
from sinks.server import server_of
from sinks.sql.dialect import Dialect
from sinks.sql.sqlite import SQLite


def dialect_of(settings: Settings) -> Dialect:
    """The database that the setting sinks.database names. Raises WrongSettings."""
    file = settings.database_file
    if file is not None:
        return SQLite(file)
    address, password = server_of(settings)
    from sinks.sql.sqlserver import SQLServer  # it needs unixODBC, which server_of has looked for

    return SQLServer(address, password)
