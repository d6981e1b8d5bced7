"""Which database is the store."""

from __future__ import annotations

from pipeline.settings import Settings, WrongSettings
from sinks.sql.dialect import Dialect
from sinks.sql.sqlite import SQLite


def dialect_of(settings: Settings) -> Dialect:
    """The database that the setting sinks.database names. Raises WrongSettings."""
    file = settings.database_file
    if file is None:
        raise WrongSettings(f"setting sinks.database is {settings.sinks.database!r}: a database is named sqlite:///FILE")
    return SQLite(file)
