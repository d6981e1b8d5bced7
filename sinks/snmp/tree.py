"""The MIB tree with the values of one moment: get and get-next by bisection over sorted names. Pure.

Making one costs the sorting of rows, not the making of instances: a tree is made every second, and most of it is never asked for.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

from sinks.snmp.mib import GENERAL, TABLES, column_oid, root, scalar_oid
from sinks.snmp.syntax import OID, Syntax, Value, Wire
from sinks.views.rows import Figures

KEPT_S = 1.0  # a walk that lasts longer sees fresh values on the way


class Instance(NamedTuple):
    name: OID
    wire: Wire
    value: Value


class Place(NamedTuple):
    """Of an instance: which column, which row of it."""

    column: int
    row: int


class _Column(NamedTuple):
    """An object with the rows it may have instances in. indexes: ends of their names, sorted."""

    prefix: OID
    syntax: Syntax
    attribute: str
    indexes: list[OID]
    rows: list[Struct]


class Tree:
    def __init__(self, figures: Figures, enterprise: int) -> None:
        self._columns = list(_columns(figures, enterprise))
        self._prefixes = [column.prefix for column in self._columns]
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def __iter__(self) -> Iterator[Instance]:
        """All instances in the order of their names."""
        place = self._existing(0, 0)
        while place is not None:
            yield self.at(place)
            place = self.behind(place)

    def has_object(self, name: OID) -> bool:
        """Whether `name` is, or lies below, an object of the tree: then a get finds no such instance, else no such object."""
        return any(self._column_of(name[:length]) is not None for length in self._lengths)

    def get(self, name: OID) -> Instance | None:
        for length in self._lengths:
            if (number := self._column_of(name[:length])) is not None:
                column, index = self._columns[number], name[length:]
                row = bisect_left(column.indexes, index)
                if row < len(column.indexes) and column.indexes[row] == index and self._value(column, row) is not None:
                    return self.at(Place(number, row))
        return None

    def next(self, name: OID, *, included: bool = False) -> Instance | None:
        """The first instance behind `name`, or at it if it is `included`. None: the end of the tree."""
        place = self.place(name, included=included)
        return None if place is None else self.at(place)

    def place(self, name: OID, *, included: bool = False) -> Place | None:
        """Where `next` finds it."""
        number = bisect_right(self._prefixes, name) - 1
        if number < 0:
            return self._existing(0, 0)
        column = self._columns[number]
        length = len(column.prefix)
        if name[:length] != column.prefix:
            return self._existing(number + 1, 0)
        return self._existing(number, (bisect_left if included else bisect_right)(column.indexes, name[length:]))

    def behind(self, place: Place) -> Place | None:
        """The place of the instance after this one."""
        return self._existing(place.column, place.row + 1)

    def at(self, place: Place) -> Instance:
        column = self._columns[place.column]
        value = getattr(column.rows[place.row], column.attribute)
        return Instance(column.prefix + column.indexes[place.row], column.syntax.wire, column.syntax.given(value))

    def _existing(self, number: int, row: int) -> Place | None:
        """The first place from here on that has an instance."""
        while number < len(self._columns):
            column = self._columns[number]
            while row < len(column.rows):
                if self._value(column, row) is not None:
                    return Place(number, row)
                row += 1
            number, row = number + 1, 0
        return None

    @staticmethod
    def _value(column: _Column, row: int) -> object:
        return getattr(column.rows[row], column.attribute)

    def _column_of(self, prefix: OID) -> int | None:
        number = bisect_left(self._prefixes, prefix)
        return number if number < len(self._prefixes) and self._prefixes[number] == prefix else None


def _columns(figures: Figures, enterprise: int) -> Iterator[_Column]:
    """In the order of their names."""
    for thing in GENERAL:
        yield _Column(scalar_oid(enterprise, thing)[:-1], thing.syntax, thing.attribute, [(0,)], [figures.general])
    for table in TABLES:
        # By name in the tree: two texts that are cut to the same one are one row.
        rows = sorted({table.index_oid(index): row for index, row in figures.rows(table.name).items()}.items(), key=itemgetter(0))
        indexes, values = [index for index, _ in rows], [row for _, row in rows]
        for column in table.columns:
            yield _Column(column_oid(enterprise, table, column), column.syntax, column.attribute, indexes, values)


class Source:
    """The tree of now, made anew at most once in KEPT_S and only when somebody asks."""

    def __init__(self, figures: Callable[[], Figures], enterprise: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.enterprise = enterprise
        self.root = root(enterprise)
        self._figures, self._clock = figures, clock
        self._made_at = float("-inf")
        self._tree: Tree | None = None

    def now(self) -> Tree:
        at = self._clock()
        if self._tree is None or at - self._made_at >= KEPT_S:
            self._tree, self._made_at = Tree(self._figures(), self.enterprise), at
        return self._tree
