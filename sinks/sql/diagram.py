"""docs/schema.md, made of the schema scripts:  python -m sinks.sql.diagram

Columns, types and their comments come from the scripts for SQL Server, the names for SQLite are the same (a contract test holds both
to `rows.py`). A test fails until this has run after a change.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sinks.sql.rows import TABLES

SCRIPTS = Path(__file__).parent / "schema" / "sqlserver"
PAGE = Path(__file__).parents[2] / "docs" / "schema.md"

_TABLE = re.compile(r"CREATE TABLE (\w+) \((?: *-- (?P<said>[^\n]*))?\n(?P<body>.*?)\n\)", re.DOTALL)
_KEY = re.compile(r"PRIMARY KEY \(([^)]*)\)")
_COLUMN = re.compile(r"^\s+(\w+)\s+(\w+(?:\([^)]*\))?)(.*?)(?:\s*-- (.*))?$")
_ADDED = re.compile(r"^ALTER TABLE (\w+) ADD (.*)$", re.MULTILINE)
_VIEW = re.compile(r"^CREATE VIEW (\w+) AS\n(.*?);\nGO", re.DOTALL | re.MULTILINE)

SAID = {
    "rs_meta": "what the store is: generation, and the log it was filled from",
    "rs_offsets": "how far each topic is in the store; written in the transaction of the rows",
    "calls": "a call",
    "sessions": "one component's part of a call: a call detail record",
    "session_events": "the event log of sessions",
    "bins": "the figures of one dimension, granularity and bin",
    "freshness": "how far the agents have come, by partition",
    "custom_variables": "VAR custom variables",
}


class Column(NamedTuple):
    name: str
    type: str
    null: bool
    key: bool
    said: str


class Made(NamedTuple):
    name: str
    said: str
    columns: list[Column]


def tables(text: str) -> dict[str, Made]:
    """The tables as the scripts make them, one after the other."""
    made: dict[str, Made] = {}
    for found in _TABLE.finditer(text):
        keyed = _KEY.search(found["body"])
        key = {name.strip() for name in keyed[1].split(",")} if keyed else set()
        columns = [column for line in found["body"].splitlines() if (column := _column(line, key)) is not None]
        made[found[1]] = Made(found[1], SAID.get(found[1]) or found["said"] or "", columns)
    for name, column in _ADDED.findall(text):
        if (added := _column(f"    {column}", set())) is not None:
            made[name].columns.append(added)
    return made


def _column(line: str, key: set[str]) -> Column | None:
    found = _COLUMN.match(line.replace(";", ""))
    if found is None or line.strip().startswith(("PRIMARY KEY", "--")):
        return None
    name, kind, rest, said = found.groups()
    return Column(name, kind, "NOT NULL" not in rest, name in key or "PRIMARY KEY" in rest, said or "")


def views(text: str) -> dict[str, str]:
    """name -> its SELECT; a later script's view takes the place of an earlier one."""
    return {name: re.sub(r"\s+", " ", select) for name, select in _VIEW.findall(text)}


def columns_of_view(select: str) -> list[str]:
    """The names that a SELECT gives its columns."""
    chosen = select[len("SELECT ") : select.index(" FROM ")]
    depth, parts = 0, [""]
    for letter in chosen.strip():
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.split()[-1] for part in parts]


def page() -> str:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SCRIPTS.glob("*.sql")))
    made = tables(text)
    return "\n".join([HEAD, *_drawing(made), *_tables(made), *_views(views(text))]) + "\n"


HEAD = """\
# The store

Made by `python -m sinks.sql.diagram` from the schema scripts; change those. Types are those of SQL Server. In SQLite the names
are the same, and instants are integers, UTC milliseconds.

Every row that comes from a topic ends with `generation` and `mark` and never goes back to an older pair. `source_partition` is
that of `rs.billing` for calls and what belongs to them, that of `rs.activity` for bins and freshness. What belongs to a call is
replaced with it. How long rows stay: settings `retention.*`.\
"""


def _drawing(made: dict[str, Made]) -> Iterator[str]:
    yield from ("", "```mermaid", "erDiagram")
    for table in TABLES:
        if table.parent is not None:
            parent = "sessions" if table.name != "sessions" and "session" in table.key_names else table.parent.name
            yield f"    {parent} ||--o{{ {table.name} : has"
    yield "    sessions ||--o{ session_events : has"
    for one in made.values():
        yield f"    {one.name} {{"
        for column in one.columns:
            kind = re.sub(r"\W+", "_", column.type).strip("_")
            yield f"        {kind} {column.name}{' PK' if column.key else ''}"
        yield "    }"
    yield "```"


def _tables(made: dict[str, Made]) -> Iterator[str]:
    for table in made.values():
        yield from ("", f"## {table.name}", "")
        if table.said:
            yield from (f"{table.said[0].upper()}{table.said[1:]}.", "")
        yield from ("| Column | Type | | |", "|---|---|---|---|")
        for column in table.columns:
            mark = "key" if column.key else "null" if column.null else ""
            said = column.said.replace("|", "\\|")
            yield f"| `{column.name}` | {column.type} | {mark} | {said} |"


def _views(found: dict[str, str]) -> Iterator[str]:
    yield from ("", "## Views", "")
    yield "For people who write SQL. Their columns stay as they are; tables may change with a new version."
    yield from ("", "| View | Columns |", "|---|---|")
    for name, select in found.items():
        names = columns_of_view(select)
        yield f"| `{name}` | {'those of `bins`, without rows whose figures are all zero' if names == ['*'] else ', '.join(names)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
