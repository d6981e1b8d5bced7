"""The fast path (msgspec) and the careful one (faults.py) judge alike, whatever is done to a message."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.messages import numbers, parse
from pipeline.messages.faults import refuse
from pipeline.messages.parse import _Body
from pipeline.messages.reasons import Fault
from pipeline.messages.schema import schema
from tests.messages.examples import FIELDS, RECEIPT, body, event

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 20)
    | st.sampled_from([99, 100, 699, 700, 86_400_000, 86_400_001, 946_684_799_999, RECEIPT + 86_400_000, RECEIPT + 86_400_001])
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet="aZ0+| \n😀ä", max_size=6)
    | st.sampled_from(
        ["x" * 32, "x" * 33, "x" * 64, "x" * 65, "x" * 256, "x" * 257, "ä" * 2049, "TIMED_OUT", "UNKNOWN", "RM", "METRIC", "PROMPT"]
    )
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2), max_leaves=10
)
names = st.sampled_from(sorted({name for kind in FIELDS for name in event(kind)}))
changes = st.dictionaries(names, values | st.just(...), min_size=1, max_size=3)


def accepted_slowly(message: bytes) -> bool:
    try:
        refuse(numbers.plain(numbers.loads(message)), RECEIPT)
    except Fault:
        return False
    return True


def accepted_fast(message: bytes) -> bool:
    """Without the second look: whether msgspec and the checks beyond it find nothing."""
    try:
        one = _Body(message, RECEIPT, 65_536)
        one._slow = _refused  # type: ignore[method-assign,assignment]
        return bool(one.parsed().good)
    except Fault:
        return False


def _refused(index: int | None) -> None:
    raise Fault("bad_value", "the fast path wants a second look")


@given(st.sampled_from(sorted(FIELDS)), changes)
@settings(max_examples=600, deadline=None)
@example("call.end", {"level": 1e0})
def test_both_accept_the_same(kind: str, changed: dict[str, Any]) -> None:
    message = body(event(kind, **changed))
    slow = accepted_slowly(message)
    assert bool(parse(message, RECEIPT).good) == slow
    if accepted_fast(message):
        assert slow
    if slow:  # what goes on can be read again by the agents
        msgspec.json.decode(parse(message, RECEIPT).good[0].value, type=type(parse(message, RECEIPT).good[0].event))


@given(st.sampled_from(sorted(FIELDS)), st.dictionaries(names, scalars, max_size=1))
@settings(max_examples=200, deadline=None)
def test_ordinary_messages_take_the_fast_path(kind: str, changed: dict[str, Any]) -> None:
    message = body(event(kind, **changed))
    small = not any(isinstance(value, float | int) and abs(value) >= 2**53 for value in changed.values())
    if accepted_slowly(message) and small:
        assert accepted_fast(message)


def test_nothing_that_is_accepted_breaks_the_schema() -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())

    @given(st.sampled_from(sorted(FIELDS)), changes)
    @settings(max_examples=150, deadline=None)
    def check(kind: str, changed: dict[str, Any]) -> None:
        message = body(event(kind, **changed))
        if parse(message, RECEIPT).good:
            validator.validate(json.loads(message))

    check()


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:1eE.-+ \\u\nd8tfn', max_size=40).map(str.encode))
@settings(max_examples=600, deadline=None)
def test_any_bytes_get_an_answer(message: bytes) -> None:
    good, bad = parse(message, RECEIPT)
    assert not good
    assert bad


@given(st.text(alphabet='{}[]",:019eE.-+ \\u\nd8tfnaä', max_size=30))
@settings(max_examples=1500, deadline=None)
def test_the_exact_parser_is_as_strict_as_the_fast_one(text: str) -> None:
    import orjson

    try:
        fast = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        fast = exc
    try:
        exact = numbers.loads(text.encode())
    except ValueError as exc:
        exact = exc
    if isinstance(fast, orjson.JSONDecodeError):
        assert isinstance(exact, ValueError) or "infinity" in str(fast)
    else:
        assert not isinstance(exact, ValueError)
