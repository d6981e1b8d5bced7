"""SQLite: opened read-only for each request, every request in one snapshot."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reports.exceptions import Lack, StoreUnavailable
from reports.store.contract import LONGEST_S, Argument, Condition, Instant, Row, took_too_long

BUSY_S = 2.0
PROGRESS_STEPS = 100_000  # virtual machine steps between two looks at the clock, some milliseconds


class SQLiteDialect:
    """Texts are compared byte by byte as they are."""

    def equals(self, column: str, text: str) -> Condition:
        return f"{column} = ?", [text]

    def begins(self, column: str, text: str) -> Condition:
        # substr instead of LIKE: no wildcard of the text needs an escape, and case counts.
        return f"substr({column}, 1, {len(text)}) = ?", [text]

    def digits_between(self, column: str, low: str, high: str) -> Condition:
        digits = f"length({column}) = {len(low)} AND {column} NOT GLOB '*[^0-9]*'"
        return f"({digits} AND {column} BETWEEN ? AND ?)", [low, high]

    def holds_any(self, column: str, numbers: Sequence[int]) -> Condition:
        marks = ", ".join("?" * len(numbers))
        return f"EXISTS (SELECT 1 FROM json_each({column}) WHERE json_each.value IN ({marks}))", numbers  # noqa: S608 - marks only

    def part(self, size: int | None, offset: int) -> Condition:
        return "LIMIT ? OFFSET ?", [-1 if size is None else size, offset]


class SQLiteReading:
    dialect = SQLiteDialect()

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, arguments: Sequence[Argument] = ()) -> list[Row]:
        bound = [argument.ms if isinstance(argument, Instant) else argument for argument in arguments]
        return self._connection.execute(sql, bound).fetchall()


class SQLiteStore:
    """The file at `path`, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[SQLiteReading]:
        """One state of the store. Raises StoreUnavailable."""
        try:
            connection = self._open()
            try:
                connection.execute("BEGIN")
                yield SQLiteReading(connection)
            finally:
                connection.close()
        except sqlite3.Error as exc:
            raise self._unavailable(exc) from exc

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = named
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
            lack, detail = "busy", took_too_long()
        else:
            lack, detail = "broken", f"The store cannot be read ({exc}): check the file that sinks.database names."
        return StoreUnavailable(lack, detail)


def named(cursor: sqlite3.Cursor, cells: tuple[Any, ...]) -> Row:
    return dict(zip((column[0] for column in cursor.description), cells, strict=True))
