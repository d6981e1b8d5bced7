"""The digest of an event: 32 bits that are equal for equal events and tell two different ones under one name apart (F1)."""

from __future__ import annotations

import re
from zlib import crc32

import orjson

from pipeline.messages.numbers import EXACT_DOUBLE

# A float as orjson writes it; in a string it may match too, which costs time and nothing else.
_FLOAT = re.compile(rb"[:\[,]-?[0-9]+[.e]")


class LostDigits(Exception):  # not an error: the event has to be read again, exactly
    """A number is so large that a double may stand for several integers."""


def digest(event: dict[str, object], value: bytes) -> int:
    """`event` as orjson read it, guid in its stored form; `value`: the same as compact JSON. Raises LostDigits.

    Normalised: top-level nulls dropped, members sorted at every level, integral doubles as ints.
    """
    if None in event.values():
        event = without_nulls(event)
    if _FLOAT.search(value):
        return crc32(orjson.dumps(_normal(event), option=orjson.OPT_SORT_KEYS))
    return crc32(orjson.dumps(event, option=orjson.OPT_SORT_KEYS))


def without_nulls(event: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in event.items() if value is not None}


def _normal(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _normal(item) for name, item in tree.items()}
    if isinstance(tree, list):
        return [_normal(item) for item in tree]
    if isinstance(tree, float):
        if abs(tree) >= EXACT_DOUBLE:
            raise LostDigits
        if tree.is_integer():
            return int(tree)
    return tree
