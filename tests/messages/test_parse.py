"""Every rule of the contract's reading part, by number, with the reason it leads to."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from pipeline.messages import REASONS, parse
from pipeline.messages.faults import fields_of
from pipeline.messages.types import KINDS
from tests.messages.examples import FIELDS, GUID, RECEIPT, body, contract_examples, event


def reason(message: Any, receipt: int = RECEIPT) -> str:
    parsed = parse(message if isinstance(message, bytes) else body(message), receipt)
    assert len(parsed.good) + len(parsed.bad) == 1
    assert not any("refused by the decoder" in bad.detail for bad in parsed.bad), "faults.py found nothing"
    return parsed.bad[0].reason if parsed.bad else "good"


def test_the_contracts_examples_are_good() -> None:
    parsed = [parse(message, RECEIPT) for message in contract_examples()]
    assert [len(one.good) for one in parsed] == [1, 2, 1, 1, 1, 1, 1, 1]
    assert not any(one.bad for one in parsed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_event_of_each_kind_is_good(kind: str) -> None:
    assert reason(event(kind)) == "good"


@pytest.mark.parametrize("kind", KINDS)
def test_m5_required_fields(kind: str) -> None:
    optional = set() if not kind.startswith("call.") or kind == "call.event" else set(FIELDS[kind])
    optional |= {"var.action_start": {"parent"}, "var.action_end": {"reason", "notes"}, "var.result": {"reason", "notes"}}.get(kind, set())
    optional |= {"detail"} if kind == "sq.failure" else set()
    for name in event(kind):
        expected = "good" if name in optional else "missing_field"
        assert reason(event(kind, **{name: ...})) == expected, name
        assert reason(event(kind, **{name: None})) == expected, name


def test_m5_fields_of_other_kinds_are_not_checked() -> None:
    assert reason(event("var.custom", usage="x", app=True, samples=5, dn=[])) == "good"
    assert reason(event("call.end", action=5, level=9, result="MAYBE")) == "good"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        # M1
        ("comp_id", 0, "bad_value"),
        ("comp_id", 2147483647, "good"),
        ("comp_id", 2147483648, "bad_value"),
        ("comp_id", 10**30, "bad_value"),
        ("comp_id", True, "bad_type"),
        ("comp_id", "301", "bad_type"),
        ("comp_id", 301.0, "bad_type"),
        ("seq", 0, "good"),
        ("seq", -1, "bad_value"),
        ("seq", 2147483647, "good"),
        ("seq", 2147483648, "bad_value"),
        ("app", 0, "good"),
        ("app", -7, "good"),
        ("app", 2147483648, "bad_value"),
        ("app", "310", "bad_type"),
        ("mos", 4, "good"),
        ("mos", -1e300, "good"),
        ("mos", 10**30, "good"),
        ("mos", 10**400, "bad_value"),
        ("mos", "4.2", "bad_type"),
        ("mos", True, "bad_type"),
        ("loss_pct", 250, "good"),
        # section 2, M3
        ("session", "", "bad_value"),
        ("session", "x" * 64, "good"),
        ("session", "x" * 65, "too_long"),
        ("session", "a b", "bad_value"),
        ("session", "Ä", "bad_value"),
        ("session", "a\n", "bad_value"),
        ("session", "\x7f", "bad_value"),
        ("session", "!~", "good"),
        ("session", 5, "bad_type"),
        ("tenant_name", "", "good"),
        ("tenant_name", "😀" * 255, "good"),
        ("tenant_name", "😀" * 256, "too_long"),
        ("app_name", "x" * 256, "too_long"),
        ("origin", "x" * 256, "too_long"),
        ("remote_uri", "x" * 512, "good"),
        ("remote_uri", "x" * 513, "too_long"),
        ("local_uri", "x" * 513, "too_long"),
        ("reason", "x" * 257, "too_long"),
        ("codec", "x" * 33, "too_long"),
        ("dn", "", "good"),
        ("dn", "+49*#0", "good"),
        ("dn", "1 2", "bad_value"),
        ("dn", "1\n", "bad_value"),
        ("dn", "٣", "bad_value"),
        ("dn", "1" * 33, "too_long"),
        # M13
        ("guid", GUID.lower(), "good"),
        ("guid", GUID + ";tail", "good"),
        ("guid", GUID + ";", "good"),
        ("guid", GUID + "x", "bad_value"),
        ("guid", GUID + "\n", "bad_value"),
        ("guid", " " + GUID, "bad_value"),
        ("guid", "{" + GUID + "}", "bad_value"),
        ("guid", GUID.replace("-", ""), "bad_value"),
        ("guid", ";" + GUID, "bad_value"),
        ("guid", 5, "bad_type"),
        # M6
        ("comp", "MRCP", "bad_value"),
        ("comp", "rm", "bad_value"),
        ("comp", 1, "bad_type"),
        ("call_type", "", "bad_value"),
        ("end_state", "TIMED_OUT", "bad_value"),
        ("end_state", ["USER_END"], "bad_type"),
        ("sip_status", 100, "good"),
        ("sip_status", 699, "good"),
        ("sip_status", 99, "bad_value"),
        ("sip_status", 700, "bad_value"),
        # M7
        ("ts", 946684800000, "good"),
        ("ts", 946684799999, "ts_range"),
        ("ts", -1, "ts_range"),
        ("ts", 10**30, "ts_range"),
        ("ts", RECEIPT + 86_400_000, "good"),
        ("ts", RECEIPT + 86_400_001, "ts_range"),
        ("ts", 1.795e12, "bad_type"),
        ("start_ts", 0, "ts_range"),
        ("start_ts", None, "good"),
        ("end_ts", RECEIPT + 86_400_001, "ts_range"),
        ("end_ts", 1, "ts_range"),
        # M10
        ("tenant_path", [], "bad_value"),
        ("tenant_path", [1], "good"),
        ("tenant_path", list(range(1, 17)), "good"),
        ("tenant_path", list(range(1, 18)), "bad_value"),
        ("tenant_path", [1, 2, 1], "bad_value"),
        ("tenant_path", [0], "bad_value"),
        ("tenant_path", [1.0], "bad_type"),
        ("tenant_path", [None], "bad_type"),
        ("tenant_path", "1", "bad_type"),
        ("tenant_path", {"1": 2}, "bad_type"),
        ("usage", [], "good"),
        ("usage", [[1, 0]], "good"),
        ("usage", [[1, -1]], "bad_value"),
        ("usage", [[0, 1]], "bad_value"),
        ("usage", [[1, 5], [1, 6]], "bad_value"),
        ("usage", [[1]], "bad_value"),
        ("usage", [[1, 2, 3]], "bad_value"),
        ("usage", [[]], "bad_value"),
        ("usage", [1, 2], "bad_type"),
        ("usage", [[1, "2"]], "bad_type"),
        ("usage", [[tenant, 1] for tenant in range(1, 18)], "bad_value"),
        ("usage", [[5, 3_000_000_000]], "good"),
        ("burst", [[1, 1], [2, 3]], "good"),
        ("burst", [[1, 0]], "bad_value"),
        ("burst", [[1, 4]], "bad_value"),
        ("burst", [[1, 2], [1, 2]], "bad_value"),
        ("burst", [], "good"),
    ],
)
def test_fields_of_a_call(field: str, value: Any, expected: str) -> None:
    assert reason(event("call.end", **{field: value})) == expected


@pytest.mark.parametrize(
    ("kind", "field", "value", "expected"),
    [
        ("call.event", "level", 0, "good"),
        ("call.event", "level", 5, "good"),
        ("call.event", "level", 6, "bad_value"),
        ("call.event", "level", 10**25, "bad_value"),
        ("call.event", "level", "5", "bad_value"),
        ("call.event", "level", 1.0, "bad_type"),
        ("call.event", "level", True, "bad_type"),
        ("call.event", "log_id", "", "good"),
        ("call.event", "log_id", "x" * 65, "too_long"),
        ("call.event", "text", "x" * 4096, "good"),
        ("call.event", "text", "x" * 4097, "too_long"),
        ("var.action_start", "action", "", "bad_value"),
        ("var.action_start", "action", "a b", "bad_value"),
        ("var.action_start", "action", "a\tb", "bad_value"),
        ("var.action_start", "action", "a\r", "bad_value"),
        ("var.action_start", "action", "a\n", "bad_value"),
        ("var.action_start", "action", "a|b", "bad_value"),
        ("var.action_start", "action", "a\u00a0b", "good"),
        ("var.action_start", "action", "x" * 64, "good"),
        ("var.action_start", "action", "x" * 65, "too_long"),
        ("var.action_start", "parent", "a b", "bad_value"),
        ("var.action_end", "result", "UNKNOWN", "good"),
        ("var.action_end", "result", "TIMED_OUT", "bad_value"),
        ("var.action_end", "notes", "x" * 4096, "good"),
        ("var.action_end", "notes", "ä" * 2048, "good"),
        ("var.action_end", "notes", "ä" * 2049, "too_long"),
        ("var.result", "notes", "x" * 4097, "too_long"),
        ("var.result", "reason", "ä" * 256, "good"),
        ("var.result", "reason", "x" * 257, "too_long"),
        ("var.custom", "name", "", "bad_value"),
        ("var.custom", "name", "x" * 65, "too_long"),
        ("var.custom", "value", "", "good"),
        ("var.custom", "value", "x" * 257, "too_long"),
        ("sq.latency", "samples", [], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "t", 0]] * 64, "good"),
        ("sq.latency", "samples", [["PROMPT", "t", 0]] * 65, "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "", 0]], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "x" * 33, 0]], "too_long"),
        ("sq.latency", "samples", [["OTHER", "t", 0]], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "t", -0.1]], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "t", 86_400_000]], "good"),
        ("sq.latency", "samples", [["PROMPT", "t", 86_400_000.1]], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "t"]], "bad_value"),
        ("sq.latency", "samples", [["PROMPT", "t", "1"]], "bad_type"),
        ("sq.failure", "cause", "AUDIO", "bad_value"),
        ("sq.failure", "detail", "x" * 257, "too_long"),
    ],
)
def test_fields_of_the_other_kinds(kind: str, field: str, value: Any, expected: str) -> None:
    assert reason(event(kind, **{field: value})) == expected


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b" ",
        b"nope",
        b'{"v":1',
        b'{"v":1}}',
        b"\xef\xbb\xbf{}",
        b'{"x":NaN}',
        b'{"x":Infinity}',
        b'{"x":-Infinity}',
        b'{"x":01}',
        b'{"x":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"x":["\\ud800\\ud800"]}',
        b'{"x":"\xed\xa0\x80"}',
        b'{"x":"\xff"}',
        b'{"x":"\x01"}',
        b"{'x':1}",
        b'{"x":1,}',
        b"\x00",
        '{"v":1}'.encode("utf-16"),
        b'{"x":1e400,"y":NaN}',  # what the exact parser sees first must not hide what it is lax about
        b'{"x":1e400,"y":"\\ud800"}',
        b'\xef\xbb\xbf{"x":1e400}',
        b'{"x":1e400,"y":' + b"[" * 900 + b'"\\u0041"' + b"]" * 900 + b"}",
        b"[" * 100_000,
        b"[" * 1500 + b"]" * 1500,
    ],
)
def test_m2_not_json(message: bytes) -> None:
    parsed = parse(message, RECEIPT)
    assert [(bad.index, bad.reason, bad.original, bad.key) for bad in parsed.bad] == [(None, "not_json", message, None)]
    assert not parsed.good


def test_m2_the_last_of_repeated_members_counts() -> None:
    message = body(event()).replace(b'"seq": 0', b'"seq": "x", "seq": 7')
    (good,) = parse(message, RECEIPT).good
    assert orjson.loads(good.value)["seq"] == 7
    assert reason(body(event()).replace(b'"seq": 0', b'"seq": 0, "seq": "x"')) == "bad_type"


@pytest.mark.parametrize("levels", [250, 253])
def test_deep_but_not_too_deep(levels: int) -> None:
    assert reason(event(x=json.loads("[" * levels + "]" * levels))) == "good"


@pytest.mark.parametrize("levels", [254, 500, 1000])
@pytest.mark.parametrize("number", ["1", "1e400"])
def test_too_deep_makes_the_whole_body_bad(levels: int, number: str) -> None:
    deep = body(event()).replace(b'"seq"', b'"x":' + b"[" * levels + number.encode() + b"]" * levels + b',"seq"')
    parsed = parse(b"[" + body(event()) + b"," + deep + b"]", RECEIPT)
    assert [(bad.index, bad.reason) for bad in parsed.bad] == [(None, "not_json")]
    assert not parsed.good


def _padded(size: int, **changed: Any) -> bytes:
    """An event that has `size` bytes as compact JSON; in the body it has blanks besides."""
    bare = event("var.custom", padding="", **changed)
    bare["padding"] = "ä" + "x" * (size - len(orjson.dumps(bare)) - 2)
    assert len(orjson.dumps(bare)) == size
    return json.dumps(bare, indent=4).encode()


def test_m4_size_of_an_event() -> None:
    assert reason(_padded(65_536)) == "good"
    assert reason(_padded(65_537)) == "too_large"
    assert reason(_padded(65_537, seq="x")) == "too_large"
    assert reason(_padded(65_536, seq="x")) == "bad_type"
    assert reason(_padded(65_536, guid=GUID + ";tail")) == "good"
    assert reason(_padded(65_537, guid=GUID + ";tail")) == "too_large"
    written_short = _padded(65_536, large=1).replace(b'"large": 1', b'"large": 1e20').replace(b"xxx", b"", 1)
    assert reason(written_short) == "good"
    one_more_digit = _padded(65_536, large=2**64 - 1).replace(b"18446744073709551615", b"184467440737095516150")
    assert reason(one_more_digit) == "too_large"


def test_m4_size_of_a_message() -> None:
    one = body(event("var.custom"))
    assert reason(one + b" " * (1_048_576 - len(one))) == "good"
    parsed = parse(one + b" " * (1_048_577 - len(one)), RECEIPT)
    assert [(bad.index, bad.reason, len(bad.original)) for bad in parsed.bad] == [(None, "too_large", 1_048_577)]


@pytest.mark.parametrize("message", [b"null", b"true", b"5", b'"x"', b"1e400", b"[]", b"[" + b"{}," * 1000 + b"{}]"])
def test_bad_batch(message: bytes) -> None:
    parsed = parse(message, RECEIPT)
    assert [(bad.index, bad.reason) for bad in parsed.bad] == [(None, "bad_batch")]


def test_a_batch_of_a_thousand() -> None:
    assert len(parse(body([event("var.custom", seq=number) for number in range(1000)]), RECEIPT).good) == 1000


def test_bad_message_type_comes_before_all_else() -> None:
    for message in (b"", b"x" * 2_000_000, body(event())):
        parsed = parse(message, RECEIPT, decodable=False)
        assert [(bad.index, bad.reason, bad.original) for bad in parsed.bad] == [(None, "bad_message_type", message)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"v": 2, "kind": "x", "seq": ...}, "bad_version"),
        ({"v": "1"}, "bad_version"),
        ({"v": 1.0}, "bad_version"),
        ({"v": True}, "bad_version"),
        ({"v": 2**70}, "bad_version"),
        ({"v": ...}, "missing_field"),
        ({"v": ..., "kind": "x"}, "unknown_kind"),
        ({"v": 3, "kind": ...}, "bad_version"),
        ({"kind": "call.begin", "seq": ...}, "unknown_kind"),
        ({"kind": 5}, "unknown_kind"),
        ({"kind": ["call.start"]}, "unknown_kind"),
        ({"seq": ..., "comp_id": "x"}, "missing_field"),
        ({"session": ..., "comp_id": "x", "ts": 1, "dn": "x" * 40}, "missing_field"),
        ({"codec": 5, "comp": "x", "ts": 1}, "bad_type"),
        ({"usage": [["x", 1]], "comp": "x"}, "bad_type"),
        ({"usage": [[1, 1, "x"], [1, "x"]]}, "bad_type"),
        ({"codec": "x" * 33, "end_state": "x", "ts": 1}, "bad_value"),
        ({"codec": "x" * 33, "ts": 1}, "too_long"),
        ({"ts": 1}, "ts_range"),
        ({"dn": "x" * 40}, "bad_value"),
    ],
)
def test_m8_the_first_fault_in_the_contracts_order(change: dict[str, Any], expected: str) -> None:
    assert reason(event("call.end", **change)) == expected


def test_m8_the_order_is_the_contracts() -> None:
    page = contract_order()
    assert page == list(REASONS)


def contract_order() -> list[str]:
    from tests.messages.examples import ROOT

    (rule,) = [line for line in (ROOT / "docs/contract.md").read_text().splitlines() if line.startswith("| M8 | Reasons:")]
    words = rule.split("`")[1::2]
    return list(dict.fromkeys(words))[:15]


def test_elements_go_their_own_ways_and_keep_their_bytes() -> None:
    elements = [b'{ "v":1 }', body(event(seq=1)), b'"text"', b" null", body(event(seq=2, ts=5)), body(event(seq=3, guid=GUID + "x"))]
    message = b"[" + b" ,\n".join(elements) + b"]"
    good, bad = parse(message, RECEIPT)
    assert [(one.index, one.key) for one in good] == [(1, GUID.encode())]
    assert [(one.index, one.reason) for one in bad] == [
        (0, "missing_field"),
        (2, "not_object"),
        (3, "not_object"),
        (4, "ts_range"),
        (5, "bad_value"),
    ]
    assert [one.original for one in bad] == [elements[0], elements[2], b"null", elements[4], elements[5]]
    assert [one.key for one in bad] == [None, None, None, GUID.encode(), None]


def test_details_name_the_field_and_never_the_value() -> None:
    for change in ({"dn": "secret"}, {"session": "secret " * 20}, {"remote_uri": "secret" * 200}, {"comp": "secret"}, {"kind": "secret"}):
        (bad,) = parse(body(event("call.end", **change)), RECEIPT).bad
        assert "secret" not in bad.detail
        assert bad.detail.startswith(next(iter(change)))


def test_the_stored_value_is_the_event_as_it_came() -> None:
    message = b' { "guid":"%s;x" , "unknown":{"b":[1,null],"a":2}, "reason":null, "codec":"\\u00e4\\/", ' % GUID.lower().encode()
    message += body(event("call.end", guid=..., reason=..., codec=...))[1:]
    (good,) = parse(message, RECEIPT).good
    assert good.key == GUID.encode()
    assert good.value.startswith(b'{"guid":"%s","unknown":{"b":[1,null],"a":2},"reason":null,"codec":"\xc3\xa4/",' % GUID.encode())
    assert good.kind == "call.end"


def test_numbers_that_fit_nowhere_go_through_unharmed() -> None:
    message = body(event()).replace(b'"seq"', b'"big":18446744073709551617,"huge":-1E+400,"pi":3.14,"id":9007199254740993.0,"seq"')
    (good,) = parse(message, RECEIPT).good
    assert b'"big":18446744073709551617,"huge":-1E+400,"pi":3.14,"id":9007199254740993.0,' in good.value


def test_faults_know_every_field() -> None:
    for kind, fields in FIELDS.items():
        assert {field.name for field in fields_of(kind)} == {"v", "comp", "comp_id", "session", "guid", "ts", "seq", *fields}
