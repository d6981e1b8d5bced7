"""The digest of an event: 32 bits that are equal for equal events and tell two different ones under one name apart (F1)."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import orjson

from pipeline.messages.numbers import EXACT_DOUBLE


class LostDigits(Exception):  # not an error: the event has to be read again, exactly
    """A number is so large that a double may stand for several integers."""


def digest(event: dict[str, object]) -> int:
    """`event` as orjson read it, guid in its stored form. Raises LostDigits.

    Normalised: top-level nulls dropped, members sorted at every level, integral doubles as ints.
    """
    if None in event.values():
        event = without_nulls(event)
    normal = _normal(event) if _holds_float(event.values()) else event
    return crc32(orjson.dumps(normal, option=orjson.OPT_SORT_KEYS))


def without_nulls(event: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in event.items() if value is not None}


def _holds_float(values: Iterable[object]) -> bool:
    types = set(map(type, values))
    if float in types:
        return True
    if list in types or dict in types:
        for value in values:
            if (isinstance(value, list) and _holds_float(value)) or (isinstance(value, dict) and _holds_float(value.values())):
                return True
    return False


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
