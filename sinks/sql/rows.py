"""The tables of the store as the binder fills them and the dialects write them; the scripts in `schema/` create them.

A row is a tuple in the order of the columns. Times are UTC milliseconds, decimals are text, lists and objects JSON text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from sinks.sql.errors import Poison

Cell = int | float | str | None
Row = tuple[Cell, ...]


class Kind(Enum):
    """What a column holds, whatever a database calls it."""

    INT = "int"  # 64 bits
    FLAG = "flag"  # 0 or 1
    MILLIS = "millis"  # an instant
    REAL = "real"
    TEXT = "text"  # at most `length` code points
    CODE = "code"  # at most `length` characters of ASCII: names and words that the contract limits to it
    DECIMAL = "decimal"  # an integer of up to 38 digits as text
    JSON = "json"  # of any length


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    length: int = 0
    null: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """`key`: the first columns, which name a row. Every table ends with (generation, mark), by which rows are guarded.

    `parent`: the key of a child begins with the key of its parent, and all children of a parent are replaced with it.
    """

    name: str
    key: tuple[Column, ...]
    values: tuple[Column, ...]
    parent: Table | None = None

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return *self.key, *self.values, *GUARD

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.key)

    def key_of(self, row: Row) -> Row:
        return row[: len(self.key)]

    @cached_property
    def _limits(self) -> tuple[tuple[int, int], ...]:
        return tuple((at, column.length) for at, column in enumerate(self.columns) if column.length)

    def check(self, row: Row) -> None:
        """Raises Poison, naming the column that is too short for its text. Databases differ: some refuse it, some cut silently."""
        for at, length in self._limits:
            cell = row[at]
            if cell is not None and len(cell) > length:  # type: ignore[arg-type]  # columns with a length hold text
                raise Poison("too_long", f"{self.name}.{self.columns[at].name}: {len(cell)} characters, {length} fit")  # type: ignore[arg-type]


def _int(name: str, *, null: bool = False) -> Column:
    return Column(name, Kind.INT, null=null)


def _flag(name: str) -> Column:
    return Column(name, Kind.FLAG)


def _millis(name: str, *, null: bool = False) -> Column:
    return Column(name, Kind.MILLIS, null=null)


def _text(name: str, length: int, *, null: bool = False) -> Column:
    return Column(name, Kind.TEXT, length, null)


def _code(name: str, length: int, *, null: bool = False) -> Column:
    return Column(name, Kind.CODE, length, null)


def _json(name: str, *, null: bool = False) -> Column:
    return Column(name, Kind.JSON, null=null)


GUARD = (_int("generation"), _int("mark"))
PARTITION = _int("source_partition")
GUID = _code("guid", 36)
SESSION_KEY = (PARTITION, GUID, _int("comp_id"), _code("session", 64))

# What calls and sessions have in common; the lengths are those of the contract, section 4.
_PARTY = (
    _int("tenant_id", null=True),
    _json("tenant_path", null=True),
    _text("tenant_name", 255, null=True),
    _int("app_id", null=True),
    _text("app_name", 255, null=True),
    _code("dn", 32, null=True),
    _code("call_type", 16),
    _text("remote_uri", 512, null=True),
    _text("local_uri", 512, null=True),
)

CALLS = Table(
    "calls",
    key=(PARTITION, GUID),
    values=(
        _millis("start_ts", null=True),
        _millis("end_ts", null=True),
        _flag("in_progress"),
        *_PARTY,
        _code("end_state", 16, null=True),
        _code("result", 16, null=True),
        _int("sessions"),
    ),
)

SESSIONS = Table(
    "sessions",
    key=SESSION_KEY,
    values=(
        _code("comp", 8),
        _millis("start_ts", null=True),
        _millis("end_ts", null=True),
        _flag("ended"),
        _flag("clock_skew"),
        *_PARTY,
        _text("origin", 255, null=True),
        _json("usage", null=True),
        _json("burst", null=True),
        _code("end_state", 16, null=True),
        _text("reason", 256, null=True),
        _int("sip_status", null=True),
        Column("mos", Kind.REAL, null=True),
        Column("jitter_ms", Kind.REAL, null=True),
        Column("loss_pct", Kind.REAL, null=True),
        _text("codec", 32, null=True),
        _code("result", 16, null=True),
        _text("result_reason", 256, null=True),
        _text("result_notes", 4096, null=True),
        _int("dropped_starts"),
        _int("dropped_ends"),
        _int("dropped_variables"),
        _int("duplicates"),
        _int("conflicts"),
        _json("messages"),
        _json("payloads"),
    ),
    parent=CALLS,
)

ACTIONS = Table(
    "actions",
    key=(*SESSION_KEY, _int("seq")),
    values=(
        _text("action", 64),
        _text("parent", 64, null=True),
        _millis("start_ts"),
        _millis("end_ts", null=True),
        _code("result", 16, null=True),
        _text("reason", 256, null=True),
        _text("notes", 4096, null=True),
    ),
    parent=CALLS,
)

# The key is a place, not the name: databases differ in which names they hold for equal ("plan", "Plan", "plan ").
CUSTOM_VARIABLES = Table(
    "custom_variables",
    key=(*SESSION_KEY, _int("place")),
    values=(_text("name", 64), _text("value", 256)),
    parent=CALLS,
)

# Kept longer than the calls, so they say themselves whose they are.
FAILURES = Table(
    "failures",
    key=(*SESSION_KEY, _int("seq")),
    values=(
        _millis("ts"),
        _code("cause", 32),
        _text("detail", 256, null=True),
        _code("comp", 8),
        _int("tenant_id", null=True),
        _json("tenant_path", null=True),
        _text("tenant_name", 255, null=True),
        _int("app_id", null=True),
        _text("app_name", 255, null=True),
    ),
    parent=CALLS,
)

LATENCIES = Table(
    "latencies",
    key=(*SESSION_KEY, _int("place")),
    values=(
        _code("category", 16),
        _text("type", 32),
        _int("samples"),
        _int("total_us"),
        Column("squares", Kind.DECIMAL, length=39),
        _int("low_us"),
        _int("high_us"),
        _json("buckets"),
    ),
    parent=CALLS,
)

SESSION_EVENTS = Table(
    "session_events",
    key=(*SESSION_KEY, _int("seq")),
    values=(_millis("ts"), _text("log_id", 64), _code("level", 8), _text("text", 4096)),
)

BINS = Table(
    "bins",
    key=(
        PARTITION,
        _code("comp", 8),
        _code("dimension", 16),
        _code("value", 32),
        _code("granularity", 16),
        _millis("bin_start"),
    ),
    values=(
        _int("arrivals"),
        _int("completed"),
        _int("in_progress"),
        _int("duration_n"),
        _int("duration_sum"),
        Column("duration_squares", Kind.DECIMAL, length=39),
        _int("duration_min", null=True),
        _int("duration_max", null=True),
        _json("arrivals_by"),
        _json("completed_by"),
        _json("in_progress_by"),
        _json("durations_by"),
        _int("peak"),
        _millis("peak_at", null=True),
        _json("peak_by"),
        _json("burst_by"),
        _json("results_by"),
        _json("actions_by"),
        _json("last_actions_by"),
        _int("quality_calls"),
        _int("quality_failed"),
        _json("failures_by"),
        _json("latencies_by"),
    ),
)

FRESHNESS = Table(
    "freshness",
    key=(PARTITION, _int("billing_partition")),
    values=(_millis("stream"), _millis("clock"), _millis("folded_to")),
)

# In the order they are written.
TABLES: Sequence[Table] = (CALLS, SESSIONS, ACTIONS, CUSTOM_VARIABLES, FAILURES, LATENCIES, SESSION_EVENTS, BINS, FRESHNESS)
