# ruff: noqa: S608 - names come from this package; values are always bound
"""The rows of a new generation compared with the live ones, while both are written to.

A row that differs only because one side is a moment behind is no difference. So what differs is looked at a second time, when both
sides have passed the point that the log had reached: what then still has the two values it had differs indeed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from agents.bins import base_of
from sinks.sql.coverage import Coverage
from sinks.sql.dialect import Cursor, Dialect, connected
from sinks.sql.rows import BINS, FRESHNESS, GUARD, TABLES, Cell, Row, Table

COMPARED = tuple(table for table in TABLES if table is not FRESHNESS)  # freshness moves all the time, and counts nothing
READ_AS = {BINS.name: "bin_rows"}  # a bin gone to zero is no row (rule B4)
KEPT = 20_000  # rows of a table that are looked at a second time; where more differ it is not for a moment's delay
AT_ONCE = 2_000  # rows fetched
SHOWN = 20
WITH_OFFSETS = {"messages"}  # columns that say where in the log

# Rule X7: after a correction these may keep a value that is gone, until a rebuild.
STALE_COLUMNS = {"duration_min", "duration_max"}
STALE_INSIDE = {"durations_by", "latencies_by"}

Say = Callable[[str], None]


class Repartition(NamedTuple):
    """Numbers of partitions of a log and of its copy. A call lies in another partition there, and its messages at other offsets."""

    old: int
    new: int


class Changed(NamedTuple):
    """A row that differs. `old`, `new`: its values, live and in the new generation; None: no such row."""

    key: Row
    old: Row | None
    new: Row | None


@dataclass(slots=True)
class Look:
    """What one look found different in a table, in the columns `names`. `rows` are complete if `more` is 0."""

    table: Table
    names: tuple[str, ...]
    found: int = 0  # rows of the new generation
    rows: dict[Row, Changed] = field(default_factory=dict)
    more: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.rows)


@dataclass(slots=True)
class Differences:
    """Of one table.

    rows            of the new generation
    differ          rows with other values; `columns`: in how many of them each column differs
    only_old        rows that the new generation has not
    only_new        rows that the live tables have not
    stale           rows that differ in least and greatest values alone, which corrections had left behind (rule X7); in no other count
    moving          rows that changed while they were compared; in no other count
    at_least        more differ than were looked at a second time: `more` of them
    """

    table: str
    rows: int = 0
    differ: int = 0
    only_old: int = 0
    only_new: int = 0
    stale: int = 0
    moving: int = 0
    more: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    first: list[tuple[dict[str, Cell], dict[str, tuple[Cell, Cell]] | None, str]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.differ + self.only_old + self.only_new + self.more


def look(dialect: Dialect, generation: int, coverage: Coverage, say: Say = lambda _: None, moved: Repartition | None = None) -> list[Look]:
    """Compare once. Blocks. `moved`: the shadow was made of a copy of the log with another number of partitions. Raises Transient and
    Fatal."""
    with connected(dialect) as connection:
        cursor = connection.cursor()
        shadow = dialect.join_shadow(cursor, generation)
        horizon = _horizon(cursor, shadow, moved)
        looks = []
        for table in COMPARED:
            say(table.name)
            looks.append(_look(cursor, table, shadow, coverage, horizon, moved))
        return looks


def settled(first: Iterable[Look], second: Iterable[Look]) -> list[Differences]:
    """What differed both times, with the same values. Between the two looks both sides must have passed the end that the log had at
    the first."""
    return [_settled(before, after) for before, after in zip(first, second, strict=True)]


def is_moving(first: Iterable[Look], second: Iterable[Look]) -> bool:
    """Whether a third look could tell more: a row differed both times, but not in the same way."""
    return any(
        not after.more and any(key in before.rows and before.rows[key] != row for key, row in after.rows.items())
        for before, after in zip(first, second, strict=True)
    )


def _settled(before: Look, after: Look) -> Differences:
    told = Differences(after.table.name, after.found, more=after.more)
    for key, changed in after.rows.items():
        if not after.more and before.rows.get(key) != changed:
            told.moving += 1
        else:
            _tell(after, changed, told)
    return told


def _tell(found: Look, changed: Changed, told: Differences) -> None:
    table, names = found.table, found.names
    columns: dict[str, tuple[Cell, Cell]] | None = None
    if changed.old is None:
        told.only_new += 1
        what = "only in the new generation"
    elif changed.new is None:
        told.only_old += 1
        what = "not in the new generation"
    else:
        columns = {name: (old, new) for name, old, new in zip(names, changed.old, changed.new, strict=True) if old != new}
        if table is BINS and all(_is_stale(name, *values) for name, values in columns.items()):
            told.stale += 1
            return
        told.differ += 1
        told.columns.update(columns.keys())
        what = "differs"
    if len(told.first) < SHOWN:
        told.first.append((dict(zip(table.key_names, changed.key, strict=True)), columns, what))


def _is_stale(name: str, old: Cell, new: Cell) -> bool:
    """Whether only least and greatest values differ."""
    if name in STALE_COLUMNS:
        return True
    return name in STALE_INSIDE and _without_extremes(old) == _without_extremes(new)


def _without_extremes(spreads: Cell) -> object:
    return {label: {**spread, "min": None, "max": None} for label, spread in orjson.loads(str(spreads)).items()}


def _look(cursor: Cursor, table: Table, shadow: str, coverage: Coverage, horizon: Mapping[int, int], moved: Repartition | None) -> Look:
    names = table.names[len(table.key) : -len(GUARD)]
    found = Look(table, tuple(name for name in names if not (moved and name in WITH_OFFSETS)))
    cursor.execute(f"SELECT count(*) FROM {shadow}{_read_as(table)}")
    found.found = int(cursor.fetchall()[0][0])
    for changed in _changed(cursor, table, found.names, shadow, moved):
        if not coverage.has(table, changed.key) or (table is BINS and _is_beyond(changed.key, horizon)):
            continue
        if len(found.rows) < KEPT:
            found.rows[changed.key] = changed
        else:
            found.more += 1
    return found


def _is_beyond(key: Row, horizon: Mapping[int, int]) -> bool:
    """Bins later than both sides have come to: an idle log's clock goes on by itself, and it began later for the new generation."""
    start, partition = key[BINS.key_names.index("bin_start")], key[0]
    assert isinstance(start, int)
    assert isinstance(partition, int)
    return start > horizon.get(partition, 0)


def _horizon(cursor: Cursor, shadow: str, moved: Repartition | None) -> dict[int, int]:
    """Partition of rs.activity -> the base bin that both sides have come to; where a bin has moved, all partitions of both."""
    sides = []
    for prefix in ("", shadow):
        cursor.execute(f"SELECT source_partition, max(clock) FROM {prefix}{FRESHNESS.name} GROUP BY source_partition")
        sides.append({int(partition): base_of(int(clock)) for partition, clock in cursor.fetchall()})
    old, new = sides
    if moved:
        reached = min([*old.values(), *new.values()], default=0)
        return dict.fromkeys(range(max(moved)), reached)
    return {partition: min(start, new[partition]) for partition, start in old.items() if partition in new}


def _changed(cursor: Cursor, table: Table, values: Sequence[str], shadow: str, moved: Repartition | None) -> Iterator[Changed]:
    key = table.key_names
    live, new = _read_as(table), f"{shadow}{_read_as(table)}"
    same = same_as_live = " AND ".join(f"l.{name} = s.{name}" for name in key)
    if moved:
        # All partitions are named, so that the row is found by its key, which begins with the partition.
        rest = " AND ".join(f"l.{name} = s.{name}" for name in key[1:])
        same, same_as_live = (
            f"{side}.{key[0]} IN ({', '.join(map(str, range(count)))}) AND {rest}" for side, count in (("s", moved.new), ("l", moved.old))
        )
    keys_l, keys_s, values_l, values_s = (
        ", ".join(f"{side}.{name}" for name in names) for names, side in ((key, "l"), (key, "s"), (values, "l"), (values, "s"))
    )
    # INTERSECT finds nulls equal, in every database.
    cursor.execute(
        f"SELECT {keys_l}, {values_l}, {values_s} FROM {live} AS l JOIN {new} AS s ON {same}"
        f" WHERE NOT EXISTS (SELECT {values_l} INTERSECT SELECT {values_s})"
    )
    for row in _fetched(cursor):
        yield Changed(row[: len(key)], row[len(key) : len(key) + len(values)], row[len(key) + len(values) :])
    cursor.execute(f"SELECT {keys_l}, {values_l} FROM {live} AS l WHERE NOT EXISTS (SELECT 1 FROM {new} AS s WHERE {same})")
    for row in _fetched(cursor):
        yield Changed(row[: len(key)], row[len(key) :], None)
    cursor.execute(f"SELECT {keys_s}, {values_s} FROM {new} AS s WHERE NOT EXISTS (SELECT 1 FROM {live} AS l WHERE {same_as_live})")
    for row in _fetched(cursor):
        yield Changed(row[: len(key)], None, row[len(key) :])


def _fetched(cursor: Cursor) -> Iterator[Row]:
    while rows := cursor.fetchmany(AT_ONCE):
        yield from map(tuple, rows)


def _read_as(table: Table) -> str:
    return READ_AS.get(table.name, table.name)
