"""JSON with every number kept as it was written, for the few messages whose numbers do not fit a double or 64 bits.

Python's other parsers make 18446744073709551616 a double and refuse 1e400; RFC 8259 allows both, and a field we do not know
must go through unharmed. Slow and exact: only used where the fast parser was refused or saw a number that might have lost digits.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

import orjson

MAX_DEPTH = 254  # containers inside one another in one element: what orjson can write
EXACT_DOUBLE = 2.0**53  # from here on a double may stand for several integers


class LargeNumber:
    """A number that a double or 64 bits may not hold, as text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def integral(self) -> bool:
        """An int in the sense of M1: without fraction and exponent."""
        return self.text.lstrip("-").isdigit()

    def plain(self) -> int | float | LargeNumber:
        """As int or double, or itself if neither holds it."""
        if self.integral:
            return int(self.text) if len(self.text) < 4000 else self  # longer ones Python refuses to convert
        number = float(self.text)
        return number if math.isfinite(number) else self

    def normal(self) -> str:
        """The same text for every way to write the same value: all digits up to 20 of them, then mantissa and exponent."""
        sign, text = ("-", self.text[1:]) if self.text.startswith("-") else ("", self.text)
        mantissa, _, exponent = text.lower().partition("e")
        whole, _, fraction = mantissa.partition(".")
        if len(exponent) > 18:
            return self.text  # nobody writes this twice in two ways
        digits = (whole + fraction).lstrip("0")
        power = int(exponent or 0) - len(fraction) + len(digits) - len(digits.rstrip("0"))
        digits = digits.rstrip("0")
        if power >= 0 and len(digits) + power <= 20:
            return sign + digits + "0" * power
        return f"{sign}{digits}e{power}"


def loads(body: bytes) -> object:
    """Strict RFC 8259 JSON in UTF-8 (M2). Large numbers come as LargeNumber. Raises ValueError."""
    text = body.decode()
    if text.startswith("\ufeff"):
        raise ValueError("byte order mark")
    try:
        tree: object = json.loads(text, parse_int=_int, parse_float=_float, parse_constant=_constant)
        if "\\u" in text:
            _refuse_surrogates(tree)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return tree


def _int(text: str) -> int | LargeNumber:
    if len(text) < 19:
        return int(text)
    if len(text) < 21 and -(2**63) <= int(text) < 2**64:
        return int(text)
    return LargeNumber(text)


def _float(text: str) -> float | LargeNumber:
    number = float(text)
    return number if abs(number) < EXACT_DOUBLE else LargeNumber(text)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse_surrogates(tree: object) -> None:
    if isinstance(tree, str):
        tree.encode()  # UnicodeEncodeError is a ValueError
    elif isinstance(tree, list):
        for item in tree:
            _refuse_surrogates(item)
    elif isinstance(tree, dict):
        for name, item in tree.items():
            name.encode()
            _refuse_surrogates(item)


def plain(tree: object) -> object:
    """The tree with ints and doubles in place of large numbers, as far as these can hold them."""
    if isinstance(tree, dict):
        return {name: plain(item) for name, item in tree.items()}
    if isinstance(tree, list):
        return [plain(item) for item in tree]
    return tree.plain() if isinstance(tree, LargeNumber) else tree


def dumps(tree: object) -> bytes:
    """Compact JSON, numbers as they were written. Raises ValueError if nested deeper than MAX_DEPTH."""
    return _write(tree, 0, normal=False).encode()


def dumps_normal(tree: object) -> bytes:
    """Compact JSON with sorted members and normal numbers: equal for equal values, and the same as that of digest.py."""
    return _write(tree, 0, normal=True).encode()


def _write(tree: object, depth: int, *, normal: bool) -> str:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(tree, dict):
        names = sorted(tree) if normal else tree
        return "{" + ",".join(f"{orjson.dumps(name).decode()}:{_write(tree[name], depth + 1, normal=normal)}" for name in names) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(_write(item, depth + 1, normal=normal) for item in tree) + "]"
    if isinstance(tree, LargeNumber):
        return tree.normal() if normal else tree.text
    if normal and isinstance(tree, float) and tree.is_integer():
        return str(int(tree))
    return orjson.dumps(tree).decode()
