"""AgentX in bytes: there and back in both byte orders, examples from the standard, and garbage."""

import contextlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.snmp.agentx import answers, codec
from sinks.snmp.agentx.codec import Close, GetBulk, Malformed, Notify, Open, Ping, Range, Register, Response, Unregister, VarBind
from sinks.snmp.mib import DOCUMENTATION, root
from sinks.snmp.tree import Tree
from sinks.views.rows import Figures, Tenant

part = st.integers(0, 2**32 - 1)
internet = st.lists(part, max_size=20).map(lambda rest: (1, 3, 6, 1, *rest))
name = st.lists(part, max_size=20).map(tuple) | internet
bound = st.one_of(
    st.builds(VarBind, name, st.just(2), st.integers(-(2**31), 2**31 - 1)),
    st.builds(VarBind, name, st.sampled_from([65, 66, 67]), part),
    st.builds(VarBind, name, st.just(70), st.integers(0, 2**64 - 1)),
    st.builds(VarBind, name, st.sampled_from([4, 64, 68]), st.binary(max_size=70)),
    st.builds(VarBind, name, st.just(6), name),
    st.builds(VarBind, name, st.sampled_from([5, 128, 129, 130]), st.none()),
)
ranges = st.lists(st.builds(Range, name, st.booleans(), name), max_size=5).map(tuple)
varbinds = st.lists(bound, max_size=5).map(tuple)
byte, short = st.integers(0, 255), st.integers(0, 65_535)
pdu = st.one_of(
    st.builds(Open, byte, name, st.binary(max_size=30)),
    st.builds(Close, byte),
    st.builds(Register, name, byte, byte, st.just(0), st.just(0)) | st.builds(Register, name, byte, byte, st.integers(1, 9), part),
    st.builds(Unregister, name, byte, st.just(0), st.just(0)),
    st.builds(codec.Get, ranges),
    st.builds(codec.GetNext, ranges),
    st.builds(GetBulk, short, short, ranges),
    st.builds(codec.TestSet, varbinds),
    st.sampled_from([codec.CommitSet(), codec.UndoSet(), codec.CleanupSet(), Ping()]),
    st.builds(Notify, varbinds),
    st.builds(Response, part, short, short, varbinds),
)
order = st.sampled_from("<>")
TREE = Tree(Figures(tenants={(n,): Tenant(name="x" * n) for n in range(1, 30)}), DOCUMENTATION)


def plain(data: bytes) -> tuple[codec.Header, bytes | None, codec.Pdu]:
    head = codec.header(data)
    assert codec.HEADER_BYTES + head.length == len(data)
    return head, *codec.decode(head, data[codec.HEADER_BYTES :])


@given(pdu, order, part, part, part, st.none() | st.binary(max_size=9))
def test_there_and_back(made: codec.Pdu, order: str, session: int, transaction: int, packet: int, context: bytes | None) -> None:
    if codec.TYPES[type(made)] not in codec.IN_CONTEXT:
        context = None
    data = codec.encode(made, session=session, transaction=transaction, packet=packet, order=order, context=context)
    head, found_context, found = plain(data)
    assert (head.session, head.transaction, head.packet, head.order) == (session, transaction, packet, order)
    assert (found_context, found) == (context, made)


def test_an_object_name_below_internet_is_shortened() -> None:
    """The standard's own example (5.1): sysDescr.0 is 1.3.6.1.2.1.1.1.0."""
    assert codec.oid((1, 3, 6, 1, 2, 1, 1, 1, 0), ">") == bytes.fromhex("04020000 00000001 00000001 00000001 00000000")
    assert codec.oid((1, 2, 3, 4), ">") == bytes.fromhex("04000000 00000001 00000002 00000003 00000004")
    assert codec.oid((), ">") == bytes(4)


def test_an_octet_string_is_padded_to_four() -> None:
    assert codec.octets(b"Reporting", ">") == b"\x00\x00\x00\x09Reporting\x00\x00\x00"


def test_a_header_by_the_standard() -> None:
    """(6.1) version, type, flags, reserved, session, transaction, packet, length"""
    assert codec.encode(Ping(), session=1, transaction=2, packet=3) == bytes.fromhex("010d1000 00000001 00000002 00000003 00000000")
    assert codec.encode(Ping(), session=1, order="<") == bytes.fromhex("010d0000 01000000 00000000 00000000 00000000")


@given(st.integers(0, 20), byte, st.binary(max_size=400))
@settings(max_examples=500)
def test_garbage_is_malformed_and_nothing_else(kind: int, flags: int, payload: bytes) -> None:
    head = codec.Header(kind, flags, 1, 2, 3, len(payload), ">" if flags & codec.NETWORK_BYTE_ORDER else "<")
    with contextlib.suppress(Malformed):
        codec.decode(head, payload)
    answers.Walk(TREE, head.order).step(head.packed() + payload, 1)


@given(pdu, order, st.data())
def test_a_damaged_pdu_is_another_one_or_malformed(made: codec.Pdu, order: str, data: st.DataObject) -> None:
    packed = bytearray(codec.encode(made, order=order))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(byte)
    with contextlib.suppress(Malformed):
        head = codec.header(packed)
        answers.answer(codec.decode(head, bytes(packed[codec.HEADER_BYTES :]))[1], TREE)


def test_a_name_has_128_parts_and_no_more() -> None:
    for parts, fits in ((128, True), (129, False)):
        payload = codec.oid((2,) * parts, ">") + codec.oid((), ">")
        with contextlib.nullcontext() if fits else pytest.raises(Malformed):
            codec.decode(codec.Header(5, 0x10, 1, 2, 3, len(payload), ">"), payload)


def test_lengths_that_lie_cost_no_memory() -> None:
    lies = [b"\xff\x00\x00\x00", b"\xff\xff\xff\xff", bytes.fromhex("0004000000000000fffffff0")]
    tracemalloc.start()
    try:
        for kind in range(20):
            for lie in lies:
                with contextlib.suppress(Malformed):
                    codec.decode(codec.Header(kind, 0x08, 1, 2, 3, len(lie), ">"), lie * 3)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@given(st.lists(part, max_size=3), order, st.booleans())
def test_the_quick_way_of_a_walk_says_what_the_long_way_says(tail: list[int], order: str, bounded: bool) -> None:
    """From anywhere to the end, one instance after the other, as bytes."""
    top = root(DOCUMENTATION)
    end = (*top, 1, 2, 1, 1, 4, 7) if bounded else ()  # there is an instance of that name
    walk, start, steps = answers.Walk(TREE, order), (*top, *tail), 0
    while True:
        request = codec.GetNext((Range(start, False, end),))
        long = answers.answer(request, TREE)
        assert long is not None
        quick = walk.step(codec.encode(request, session=7, transaction=8, packet=9, order=order), 7)
        if long.varbinds[0].type == codec.END_OF_MIB_VIEW:
            assert quick is None
            return
        assert quick == codec.encode(long, session=7, transaction=8, packet=9, order=order)
        start, steps = long.varbinds[0].name, steps + 1
        if steps > 80:
            return


def bulk(non_repeaters: int, repetitions: int, *starts: tuple[int, ...]) -> list[VarBind]:
    asked = tuple(Range(start, False, root(DOCUMENTATION)[:-1]) if not start else Range(start, False, ()) for start in starts)
    response = answers.answer(GetBulk(non_repeaters, repetitions, asked), TREE)
    assert response is not None
    return list(response.varbinds)


def test_a_bulk_goes_on_in_turns_and_ends_where_all_have_ended() -> None:
    top = (*root(DOCUMENTATION), 1, 2, 1, 1)
    found = bulk(1, 3, root(DOCUMENTATION), (*top, 2), (*top, 3))
    assert [each.name[len(top) :] for each in found[1:]] == [(2, 1), (3, 1), (2, 2), (3, 2), (2, 3), (3, 3)]
    ended = bulk(0, 100, (*top, 99), (2,))
    assert [each.type for each in ended] == [codec.END_OF_MIB_VIEW] * 2
    assert len(bulk(0, 65_535, root(DOCUMENTATION))) <= answers.MOST_VARBINDS


def test_sets_are_refused() -> None:
    write = codec.TestSet((VarBind((1, 3), 2, 5),))
    assert answers.answer(write, TREE) == Response(error=codec.NOT_WRITABLE, index=1)
    assert answers.answer(codec.CommitSet(), TREE) == Response(error=codec.COMMIT_FAILED, index=1)
    assert answers.answer(codec.UndoSet(), TREE) == Response()
    assert answers.answer(codec.CleanupSet(), TREE) is None


def test_ends_and_starts_of_ranges() -> None:
    column = (*root(DOCUMENTATION), 1, 2, 1, 1, 3)

    def following(start: tuple[int, ...], included: bool, end: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        response = answers.answer(codec.GetNext((Range(start, included, end),)), TREE)
        assert response is not None
        (only,) = response.varbinds
        return only.name, only.type

    assert following((*column, 5), True, ()) == ((*column, 5), 66)
    assert following((*column, 5), False, ()) == ((*column, 6), 66)
    assert following((*column, 5), False, (*column, 6)) == ((*column, 5), codec.END_OF_MIB_VIEW)  # the end is not in the range
    assert following((*column, 5), True, (*column, 6)) == ((*column, 5), 66)
    assert following((1,), False, root(DOCUMENTATION)) == ((1,), codec.END_OF_MIB_VIEW)
