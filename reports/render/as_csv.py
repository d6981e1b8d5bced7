"""Rows of an answer as CSV (RFC 4180, UTF-8): a header, then a line for each row as it comes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from reports.render.shape import Field, Many, Part, Row, Service, Shape

# A spreadsheet takes a cell that begins so for a formula; callers choose what names, numbers and URIs they send.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
LINES = 500  # are given on at once


def guarded(value: Any) -> Any:
    """A cell: texts that a spreadsheet would run get an apostrophe before them; numbers stay as they are."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "/".join(map(str, value))
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return value


def columns(of: Shape, before: str = "") -> list[str]:
    found: list[str] = []
    for member in of.members:
        name = before + (member.attribute if isinstance(member, Field) else member.element)
        if isinstance(member, Field):
            found.append(name)
        elif isinstance(member, Part):
            found += columns(member.of, f"{name}.")
        elif member.labels:
            found += [f"{name}.{label}" for label in member.labels]
        elif member.explode:
            found += columns(member.of, f"{name}.")
        else:
            found.append(name)
    return found


def lines(of: Shape, row: Row) -> list[list[Any]]:
    """The lines of a row: one, or as many as its exploding list has, but one at least."""
    found: list[list[Any]] = [[]]
    for member in of.members:
        value = row.get(member.key)
        if isinstance(member, Field):
            parts = [[guarded(value)]]
        elif isinstance(member, Part):
            parts = lines(member.of, value or {})
        elif member.labels:
            parts = [_labelled(member, value)]
        elif member.explode:
            inner = [line for item in member.items(value) for line in lines(member.of, item)]
            parts = inner or [[""] * len(columns(member.of))]
        else:
            parts = [[guarded(orjson.dumps(value).decode()) if value else ""]]
        found = [line + part for line in found for part in parts]
    return found


def _labelled(member: Many, value: Any) -> list[Any]:
    label, figure = (field.key for field in (member.of.members[0], member.of.members[-1]))
    by = {item[label]: item[figure] for item in member.items(value)}
    return [by.get(label, 0) for label in member.labels]


def text(service: Service, rows: Iterable[Row]) -> Iterator[bytes]:
    """Pieces of the file. Nothing is kept of what was given on."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns(service.of))
    kept = 1
    for row in rows:
        written: Sequence[list[Any]] = lines(service.of, row)
        writer.writerows(written)
        kept += len(written)
        if kept >= LINES:
            yield _taken(buffer)
            kept = 0
    if kept:
        yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    taken = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return taken
