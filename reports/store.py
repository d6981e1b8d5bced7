"""The store as reports see it: SQLite, opened read-only for each request, every request in one snapshot."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pipeline.settings import Settings, WrongSettings
from reports.exceptions import Lack, StoreUnavailable

BUSY_S = 2.0
LONGEST_S = 20.0  # a query that runs longer would keep a thread and a snapshot; the log of the database grows meanwhile
PROGRESS_STEPS = 100_000  # virtual machine steps between two looks at the clock, some milliseconds


def database_path(settings: Settings) -> Path:
    """Where the SQLite file of setting sinks.database lies. Raises WrongSettings for another kind of database."""
    file = settings.database_file
    if file is None:
        raise WrongSettings(f"setting sinks.database is {settings.sinks.database!r}: reports read sqlite:///FILE only")
    return file


class Store:
    """Gives connections to the file at `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the store from its first query to its end. Raises StoreUnavailable."""
        try:
            connection = self._open()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as exc:
            raise self._unavailable(exc) from exc

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        end = time.monotonic() + LONGEST_S
        connection.set_progress_handler(lambda: time.monotonic() > end, PROGRESS_STEPS)
        return connection

    def _unavailable(self, exc: sqlite3.Error) -> StoreUnavailable:
        code = getattr(exc, "sqlite_errorname", "")
        lack: Lack
        if not self.path.exists():
            lack, detail = "missing", "The store does not exist yet: the sinks worker makes it when it starts."
        elif "no such table" in str(exc):
            lack, detail = "empty", "The store has no tables yet: the sinks worker makes them when it starts."
        elif "no such column" in str(exc):
            lack, detail = "empty", "The store is that of an older version: the sinks worker brings it up to date when it starts."
        elif code in ("SQLITE_BUSY", "SQLITE_LOCKED"):
            lack, detail = "busy", "The store is busy: ask again in a moment."
        elif code == "SQLITE_INTERRUPT":
            lack, detail = "busy", f"The query took longer than {LONGEST_S:g} s: ask for a shorter time or fewer values."
        else:
            lack, detail = "broken", f"The store cannot be read ({exc}): check the file that sinks.database names."
        return StoreUnavailable(lack, detail)
