"""The store as reports see it: the database that the setting sinks.database names, and no more rights than reading needs.

`contract` says what a database must give; `sqlite` and `sqlserver` give it.
"""

from __future__ import annotations

from pipeline.settings import Settings
from reports.store.contract import Store
from reports.store.sqlite import SQLiteStore
from sinks.server import server_of


def store_of(settings: Settings) -> Store:
    """Raises WrongSettings if the setting names nothing that can be read."""
    file = settings.database_file
    if file is not None:
        return SQLiteStore(file)
    address, password = server_of(settings)
    from reports.store.sqlserver import SQLServerStore  # behind it: pyodbc links unixODBC, which nobody needs for a file

    return SQLServerStore(address, password)
