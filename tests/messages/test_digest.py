"""F1: equal events have equal digests, different ones different digests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import parse
from tests.messages.examples import GUID, RECEIPT, body, event


def digest(message: bytes) -> int:
    ((good,), bad) = parse(message, RECEIPT)
    assert not bad
    return good.digest


def with_member(text: str) -> bytes:
    """An event with a member `x` spelled exactly like this."""
    return body(event())[:-1] + b',"x":' + text.encode() + b"}"


SAME = [
    ("1", "1.0"),
    ("1", "1e0"),
    ("1", "100e-2"),
    ("0", "-0"),
    ("0", "-0.0"),
    ("0", "0e999999"),
    ("100", "1E+2"),
    ("-5", "-5.00"),
    ("0.1", "1e-1"),
    ("10000000000000000000", "1e19"),
    ("18446744073709551615", "18446744073709551615.0"),
    ("18446744073709551616", "18446744073709551616e0"),
    ("1e30", "1" + "0" * 30),
    ("9007199254740993", "9007199254740993.0"),
    ("1e400", "10E+399"),
    ("-1e400", "-1" + "0" * 400),
    ("[1.0,{}]", "[ 1 , { } ]"),
    ('{"a":1,"b":{"c":[2],"d":3}}', '{"b":{"d":3.0,"c":[2e0]},"a":1}'),
    ('"ä"', '"\\u00e4"'),
    ('"/"', '"\\/"'),
    ("null", "null"),
]
DIFFERENT = [
    ("1", "2"),
    ("1", '"1"'),
    ("1", "true"),
    ("1", "1.5"),
    ("0", "false"),
    ("0", "null"),
    ("[1,2]", "[2,1]"),
    ("[null]", "[]"),
    ('{"a":null}', "{}"),
    ('"a"', '"A"'),
    ("9007199254740993", "9007199254740992"),
    ("9007199254740993.0", "9007199254740992.0"),
    ("18446744073709551616", "18446744073709551617"),
    ("1e400", "1e401"),
    ("1e400", "-1e400"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    assert digest(with_member(one)) == digest(with_member(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    assert digest(with_member(one)) != digest(with_member(other))


def test_a_large_number_elsewhere_changes_nothing_about_equality() -> None:
    large = '"y":1e400,"z":'
    assert digest(with_member(f'5,{large}{{"b":2.0,"a":0.5}}')) == digest(with_member(f'5.0,{large}{{"a":5e-1,"b":2}}'))
    lone = parse(b"[" + with_member("1.0") + b"]", RECEIPT).good[0]
    beside = parse(b"[" + with_member("1.0") + b"," + with_member("1e400") + b"]", RECEIPT).good[0]
    assert lone.digest == beside.digest


def test_top_level_nulls_are_absent() -> None:
    assert digest(body(event(codec=None, unknown=None))) == digest(body(event(codec=...)))
    assert digest(with_member("null")) == digest(body(event()))


def test_the_guid_counts_in_its_stored_form() -> None:
    assert digest(body(event(guid=GUID.lower() + ";tail"))) == digest(body(event()))
    assert digest(with_member("1e400").replace(GUID.encode(), GUID.lower().encode() + b";x")) == digest(with_member("1e400"))


def test_every_field_takes_part() -> None:
    base = digest(body(event("call.end")))
    for name in event("call.end"):
        if name not in ("v", "kind", "comp_id", "session", "guid", "ts", "seq", "comp"):
            assert digest(body(event("call.end", **{name: ...}))) != base, name
    assert digest(body(event("call.update"))) != base


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: object) -> object:
    """The same value with members in the opposite order and integral numbers spelled as floats where that loses nothing."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    if isinstance(value, list):
        return [shuffled(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@given(values)
def test_spelling_does_not_matter(value: object) -> None:
    one = with_member(json.dumps(value))
    other = with_member(json.dumps(shuffled(value), indent=1))
    assert digest(one) == digest(other)
