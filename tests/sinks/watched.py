"""The sinks worker as it is started in earnest, `faust -A tests.sinks.watched worker`, that says what its writer is doing: the number of
the step goes into a file that outlives kill -9. For kills.py, which reads it.

RS_WATCHED_STEPS    the file
RS_WATCHED_BREAK    a promise to break on purpose, so that it can be seen whether anybody notices: `guard` writes older rows over newer
                    ones, `offsets` commits the rows before the offsets
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sinks import databases
from sinks.sql.buffer import TopicPartition
from sinks.sql.dialect import Cursor, Dialect
from sinks.sql.rows import Row, Table

STEPS = ("outside", "begun", "rows staged", "rows updated", "rows inserted", "children replaced", "offsets written", "commit")
OUTSIDE, BEGUN, STAGED, UPDATED, INSERTED, CHILDREN, OFFSETS, COMMIT = range(len(STEPS))
PAUSE_S = 0.05  # between the two transactions that `offsets` makes of one


class Told:
    """The step, as another process sees it. The second byte changes with every transaction that was committed."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 2)

    @property
    def step(self) -> int:
        return self._memory[0]

    @step.setter
    def step(self, number: int) -> None:
        self._memory[0] = number

    @property
    def turn(self) -> int:
        return self._memory[1]

    def next_turn(self) -> None:
        self._memory[1] = (self._memory[1] + 1) % 256


def a_file(path: Path) -> Told:
    path.write_bytes(bytes(2))
    return Told(path)


class Telling:
    """A dialect that says what is done with it; on a connection that has committed nothing is begun."""

    def __init__(self, dialect: Dialect, told: Told, broken: str) -> None:
        self._dialect, self._told, self._broken = dialect, told, broken
        self._connection: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def connect(self) -> Any:
        self._connection = self._dialect.connect()
        return TellingConnection(self._connection, self._told)

    def begin(self, cursor: Cursor) -> None:
        self._dialect.begin(cursor)
        self._told.step = BEGUN

    def stage(self, cursor: Cursor, table: Table, rows: Sequence[Row]) -> None:
        self._told.step = STAGED
        self._dialect.stage(cursor, table, rows)

    def update(self, table: Table) -> str:
        self._told.step = UPDATED
        sql = self._dialect.update(table)
        return sql.replace("s.mark >= t.mark", "1 = 1") if self._broken == "guard" else sql

    def insert(self, table: Table) -> str:
        self._told.step = INSERTED
        return self._dialect.insert(table)

    def replace_children(self, cursor: Cursor, table: Table) -> None:
        self._told.step = CHILDREN
        self._dialect.replace_children(cursor, table)

    def write_offsets(self, cursor: Cursor, positions: Mapping[TopicPartition, int]) -> None:
        if self._broken == "offsets":
            self._connection.commit()
            self._told.step = OFFSETS
            time.sleep(PAUSE_S)
            self._dialect.begin(cursor)
        self._told.step = OFFSETS
        self._dialect.write_offsets(cursor, positions)


class TellingConnection:
    def __init__(self, connection: Any, told: Told) -> None:
        self._connection, self._told = connection, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        self._told.step = COMMIT
        self._connection.commit()
        self._told.step = OUTSIDE
        self._told.next_turn()

    def rollback(self) -> None:
        self._connection.rollback()
        self._told.step = OUTSIDE


if "RS_WATCHED_STEPS" in os.environ:  # so that whoever reads the steps can import this, too
    _dialect_of = databases.dialect_of
    _told = Told(Path(os.environ["RS_WATCHED_STEPS"]))
    databases.dialect_of = lambda settings: Telling(_dialect_of(settings), _told, os.environ.get("RS_WATCHED_BREAK", ""))  # type: ignore[assignment,return-value]
    from sinks.worker import app as app
