"""The first fault of an element in the order of M8, found by walking the types. Slow and careful: only for what was refused.

The fast path (parse.py) lets msgspec judge; its error names one fault, but not the first in the contract's order. This module
walks the same type information, collects all faults of all fields, and takes the one with the lowest rank.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, NoReturn

import msgspec
from msgspec import inspect

from pipeline.messages.numbers import LargeNumber
from pipeline.messages.reasons import RANK, Fault, Reason
from pipeline.messages.types import KINDS

Path = str


class Field(NamedTuple):
    name: str
    required: bool
    type: inspect.Type  # without None


class Found(NamedTuple):
    reason: Reason
    detail: str


@lru_cache
def fields_of(kind: str) -> tuple[Field, ...]:
    """The fields of a kind in the order of the contract, without `kind` itself."""
    info = inspect.type_info(KINDS[kind])
    assert isinstance(info, inspect.StructType)
    return tuple(Field(field.encode_name, field.required, _present(field.type)) for field in info.fields)


def _present(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        (kind,) = (member for member in kind.types if not isinstance(member, inspect.NoneType))
    return kind


def refuse(element: object, receipt: int) -> None:
    """Raise the first Fault of an element. Return if there is none. `receipt`: ms UTC (M7)."""
    if not isinstance(element, dict):
        raise Fault("not_object", f"found {found(element)}, allowed an object")
    version, kind = element.get("v"), element.get("kind")
    if version is not None and not (type(version) is int and version == 1):
        raise Fault("bad_version", f"v: found {found(version)}, allowed 1")
    if kind is not None and not (isinstance(kind, str) and kind in KINDS):
        raise Fault("unknown_kind", f"kind: found {found(kind)}, allowed {', '.join(KINDS)}")
    if kind is None:
        raise Fault("missing_field", f"kind: found {found(kind) if 'kind' in element else 'nothing'}, required in every event")
    faults = list(_of_event(element, kind, receipt))
    if faults:
        first = min(faults, key=lambda fault: RANK[fault.reason])
        raise Fault(first.reason, first.detail)


def _of_event(event: dict[str, object], kind: str, receipt: int) -> Iterator[Found]:
    for field in fields_of(kind):
        value = event.get(field.name)
        if value is not None:
            yield from _of_value(field.type, value, field.name, receipt)
        elif field.required:
            yield Found("missing_field", f"{field.name}: found {'null' if field.name in event else 'nothing'}, required in {kind}")


def _of_value(kind: inspect.Type, value: object, path: Path, receipt: int) -> Iterator[Found]:
    extra: dict[str, object] = {}
    if isinstance(kind, inspect.Metadata):
        extra, kind = kind.extra or {}, kind.type
    match kind:
        case inspect.IntType():
            yield from _of_int(kind, value, path, receipt, extra)
        case inspect.FloatType():
            yield from _of_number(kind, value, path)
        case inspect.StrType():
            yield from _of_text(kind, value, path, extra)
        case inspect.LiteralType():
            yield from _of_literal(kind, value, path)
        case inspect.VarTupleType():
            yield from _of_list(kind, value, path, receipt, extra)
        case inspect.TupleType():
            yield from _of_pair(kind, value, path, receipt)
        case _:
            _unknown(kind)


def _unknown(kind: inspect.Type) -> NoReturn:
    raise NotImplementedError(f"no check for {type(kind).__name__}: add it here, in describe.py and to the tests")


def _of_int(kind: inspect.IntType, value: object, path: Path, receipt: int, extra: dict[str, object]) -> Iterator[Found]:
    if isinstance(value, LargeNumber) and value.integral:
        number: float = float("-inf") if value.text.startswith("-") else float("inf")
    elif type(value) is int:
        number = value
    else:
        yield Found("bad_type", f"{path}: found {found(value)}, allowed an int")
        return
    future = extra.get("future_ms")
    highest = receipt + future if isinstance(future, int) else kind.le
    if (kind.ge is not None and number < kind.ge) or (highest is not None and number > highest):
        reason: Reason = "ts_range" if extra.get("outside") == "ts_range" else "bad_value"
        limit = f"at least {kind.ge} and at most {highest}" if highest is not None else f"at least {kind.ge}"
        yield Found(reason, f"{path}: allowed {limit}")


def _of_number(kind: inspect.FloatType, value: object, path: Path) -> Iterator[Found]:
    if isinstance(value, LargeNumber) or (type(value) is int and abs(value) >= 2**1024 - 2**970):
        yield Found("bad_value", f"{path}: allowed a number that a double can hold")
    elif type(value) is not int and type(value) is not float:
        yield Found("bad_type", f"{path}: found {found(value)}, allowed a number")
    elif (kind.ge is not None and value < kind.ge) or (kind.le is not None and value > kind.le):
        yield Found("bad_value", f"{path}: allowed at least {kind.ge} and at most {kind.le}")


def _of_text(kind: inspect.StrType, value: object, path: Path, extra: dict[str, object]) -> Iterator[Found]:
    if not isinstance(value, str):
        yield Found("bad_type", f"{path}: found {found(value)}, allowed a string")
        return
    if kind.min_length is not None and len(value) < kind.min_length:
        yield Found("bad_value", f"{path}: empty, allowed at least {kind.min_length} characters")
    if kind.pattern is not None and not re.search(kind.pattern, value):
        yield Found("bad_value", f"{path}: allowed is what matches {kind.pattern}")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Found("too_long", f"{path}: {len(value)} characters, allowed {kind.max_length}")
    most = extra.get("max_utf8_bytes")
    if isinstance(most, int) and len(value.encode()) > most:
        yield Found("too_long", f"{path}: {len(value.encode())} bytes of UTF-8, allowed {most}")


def _of_literal(kind: inspect.LiteralType, value: object, path: Path) -> Iterator[Found]:
    types = {type(allowed) for allowed in kind.values}
    integral = isinstance(value, LargeNumber) and value.integral
    if type(value) not in types and not (integral and int in types):
        yield Found("bad_type", f"{path}: found {found(value)}, allowed {listed(kind)}")
    elif value not in kind.values:
        yield Found("bad_value", f"{path}: allowed {listed(kind)}")


def _of_list(kind: inspect.VarTupleType, value: object, path: Path, receipt: int, extra: dict[str, object]) -> Iterator[Found]:
    if not isinstance(value, list):
        yield Found("bad_type", f"{path}: found {found(value)}, allowed a list")
        return
    for index, item in enumerate(value):
        yield from _of_value(kind.item_type, item, f"{path}[{index}]", receipt)
    least, most = kind.min_length or 0, kind.max_length
    if len(value) < least or (most is not None and len(value) > most):
        yield Found("bad_value", f"{path}: {len(value)} items, allowed {least} to {most}")
    if "distinct" in extra and repeats(value, str(extra["distinct"])):
        yield Found("bad_value", f"{path}: the same {'item' if extra['distinct'] == 'items' else 'tenant'} twice")


def _of_pair(kind: inspect.TupleType, value: object, path: Path, receipt: int) -> Iterator[Found]:
    if not isinstance(value, list):
        yield Found("bad_type", f"{path}: found {found(value)}, allowed a list")
        return
    for index, (item_type, item) in enumerate(zip(kind.item_types, value, strict=False)):
        yield from _of_value(item_type, item, f"{path}[{index}]", receipt)
    if len(value) != len(kind.item_types):
        yield Found("bad_value", f"{path}: {len(value)} items, allowed {len(kind.item_types)}")


def repeats(items: list[object] | tuple[object, ...], distinct: str) -> bool:
    """Whether two items (`distinct` = items) or two first members (= first) are the same int."""
    ids = items if distinct == "items" else [item[0] for item in items if isinstance(item, list | tuple) and item]
    ints = [number for number in ids if type(number) is int]
    return len(set(ints)) < len(ints)


def listed(kind: inspect.LiteralType) -> str:
    """The allowed values, words first."""
    return ", ".join(
        str(value) for value in sorted(kind.values, key=lambda value: (isinstance(value, int), value if isinstance(value, int) else 0))
    )


def found(value: object) -> str:
    """What kind of JSON value it is, never the value itself: it may be personal."""
    if isinstance(value, LargeNumber):
        return "an int" if value.integral else "a number with fraction or exponent"
    names = {type(None): "null", bool: "a boolean", int: "an int", float: "a number with fraction or exponent", str: "a string"}
    return names.get(type(value)) or ("a list" if isinstance(value, list) else "an object")


def checks_beyond_msgspec(kind: type[msgspec.Struct]) -> tuple[tuple[str, dict[str, object]], ...]:
    """The fields of a kind that carry a rule msgspec cannot check, with the rule (see types.py)."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    rules = []
    for field in info.fields:
        present = _present(field.type)
        if isinstance(present, inspect.Metadata) and present.extra:
            rules.append((field.name, present.extra))
    return tuple(rules)
