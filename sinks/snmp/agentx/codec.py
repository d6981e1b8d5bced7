"""AgentX PDUs as data, to and from bytes, in both byte orders (RFC 2741, sections 5 and 6). Pure.

Whatever bytes come in, decoding gives a PDU or raises Malformed, and makes no more of them than their own length allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from struct import Struct, pack, unpack_from
from typing import NamedTuple

from sinks.snmp.syntax import OID, Value, Wire

VERSION = 1
HEADER_BYTES = 20
MOST_SUBIDS = 128
MOST_PAYLOAD = 1 << 20  # far above anything a manager can ask for in one message

# Flags (6.1)
NON_DEFAULT_CONTEXT = 0x08
NETWORK_BYTE_ORDER = 0x10

# Errors (6.2.16)
NO_ERROR = 0
NOT_WRITABLE = 17
COMMIT_FAILED = 14
GENERAL_ERROR = 5
OPEN_FAILED = 256
NOT_OPEN = 257
UNSUPPORTED_CONTEXT = 262
PARSE_ERROR = 266
PROCESSING_ERROR = 268

# Exceptions in the place of a value (5.4)
NULL = 5
NO_SUCH_OBJECT = 128
NO_SUCH_INSTANCE = 129
END_OF_MIB_VIEW = 130

INTEGERS = {2: "i", 65: "I", 66: "I", 67: "I", 70: "Q"}
_OCTETS = {4, 64, 68}
_EMPTY = {NULL, NO_SUCH_OBJECT, NO_SUCH_INSTANCE, END_OF_MIB_VIEW}
INTERNET: OID = (1, 3, 6, 1)


class Malformed(Exception):
    """Bytes that are no PDU. One line."""


class Header(NamedTuple):
    """order: struct's character for the byte order; length: of what follows."""

    type: int
    flags: int
    session: int
    transaction: int
    packet: int
    length: int
    order: str

    def packed(self) -> bytes:
        flags = self.flags & ~NETWORK_BYTE_ORDER | (NETWORK_BYTE_ORDER if self.order == ">" else 0)
        return _HEADERS[self.order].pack(VERSION, self.type, flags, 0, self.session, self.transaction, self.packet, self.length)


class VarBind(NamedTuple):
    """type: a number of `Wire`, or one of the exceptions, whose value is None."""

    name: OID
    type: int
    value: Value | None = None


class Range(NamedTuple):
    """start, included or not, up to end, which is not; an empty end: no bound."""

    start: OID
    included: bool
    end: OID


@dataclass(frozen=True, slots=True)
class Open:
    timeout_s: int
    id: OID
    description: bytes


@dataclass(frozen=True, slots=True)
class Close:
    reason: int


@dataclass(frozen=True, slots=True)
class Register:
    subtree: OID
    priority: int = 127
    timeout_s: int = 0
    range_subid: int = 0
    upper_bound: int = 0


@dataclass(frozen=True, slots=True)
class Unregister:
    subtree: OID
    priority: int = 127
    range_subid: int = 0
    upper_bound: int = 0


@dataclass(frozen=True, slots=True)
class Get:
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class GetNext:
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class GetBulk:
    non_repeaters: int
    most_repetitions: int
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class TestSet:
    varbinds: tuple[VarBind, ...]


@dataclass(frozen=True, slots=True)
class CommitSet:
    pass


@dataclass(frozen=True, slots=True)
class UndoSet:
    pass


@dataclass(frozen=True, slots=True)
class CleanupSet:
    pass


@dataclass(frozen=True, slots=True)
class Notify:
    varbinds: tuple[VarBind, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Response:
    """up_time: hundredths of a second, 0 from a subagent; index: of the varbind at fault, from 1."""

    up_time: int = 0
    error: int = NO_ERROR
    index: int = 0
    varbinds: tuple[VarBind, ...] = ()


@dataclass(frozen=True, slots=True)
class Other:
    """A PDU of a kind that no subagent is sent."""

    payload: bytes


Pdu = (
    Open
    | Close
    | Register
    | Unregister
    | Get
    | GetNext
    | GetBulk
    | TestSet
    | CommitSet
    | UndoSet
    | CleanupSet
    | Notify
    | Ping
    | Response
    | Other
)

TYPES: dict[type, int] = {
    Open: 1,
    Close: 2,
    Register: 3,
    Unregister: 4,
    Get: 5,
    GetNext: 6,
    GetBulk: 7,
    TestSet: 8,
    CommitSet: 9,
    UndoSet: 10,
    CleanupSet: 11,
    Notify: 12,
    Ping: 13,
    Response: 18,
}
IN_CONTEXT = {3, 4, 5, 6, 7, 8, 12, 13}  # these may begin with a context
_HEADERS = {order: Struct(f"{order}4B4I") for order in "<>"}


# -- to bytes


def encode(pdu: Pdu, *, session: int = 0, transaction: int = 0, packet: int = 0, order: str = ">", context: bytes | None = None) -> bytes:
    """A whole PDU. context: only of the kinds in IN_CONTEXT."""
    body = _body(pdu, order)
    flags = 0
    if context is not None:
        flags, body = NON_DEFAULT_CONTEXT, octets(context, order) + body
    return Header(TYPES[type(pdu)], flags, session, transaction, packet, len(body), order).packed() + body


def oid(name: OID, order: str, *, included: bool = False) -> bytes:
    """(5.1) What lies below internet is shortened by its first five parts."""
    if name[:4] == INTERNET and len(name) > 4 and 0 < name[4] < 256:
        rest = name[5:]
        return pack(f"{order}4B{len(rest)}I", len(rest), name[4], included, 0, *rest)
    return pack(f"{order}4B{len(name)}I", len(name), 0, included, 0, *name)


def octets(data: bytes, order: str) -> bytes:
    return pack(f"{order}I", len(data)) + data + bytes(-len(data) % 4)


def varbind(bound: VarBind, order: str) -> bytes:
    return pack(f"{order}HH", bound.type, 0) + oid(bound.name, order) + data_of(bound.type, bound.value, order)


def data_of(kind: int, value: Value | None, order: str) -> bytes:
    if letter := INTEGERS.get(kind):
        return pack(order + letter, value)
    if kind in _OCTETS:
        assert isinstance(value, bytes)
        return octets(value, order)
    if kind == Wire.OBJECT_ID.value:
        assert isinstance(value, tuple)
        return oid(value, order)
    return b""


def _ranges(ranges: Iterable[Range], order: str) -> bytes:
    return b"".join(oid(each.start, order, included=each.included) + oid(each.end, order) for each in ranges)


def _varbinds(varbinds: Iterable[VarBind], order: str) -> bytes:
    return b"".join(varbind(bound, order) for bound in varbinds)


def _body(pdu: Pdu, order: str) -> bytes:
    match pdu:
        case Open():
            return bytes((pdu.timeout_s, 0, 0, 0)) + oid(pdu.id, order) + octets(pdu.description, order)
        case Close():
            return bytes((pdu.reason, 0, 0, 0))
        case Register():
            place = bytes((pdu.timeout_s, pdu.priority, pdu.range_subid, 0)) + oid(pdu.subtree, order)
            return place + (pack(f"{order}I", pdu.upper_bound) if pdu.range_subid else b"")
        case Unregister():
            place = bytes((0, pdu.priority, pdu.range_subid, 0)) + oid(pdu.subtree, order)
            return place + (pack(f"{order}I", pdu.upper_bound) if pdu.range_subid else b"")
        case Get() | GetNext():
            return _ranges(pdu.ranges, order)
        case GetBulk():
            return pack(f"{order}HH", pdu.non_repeaters, pdu.most_repetitions) + _ranges(pdu.ranges, order)
        case TestSet() | Notify():
            return _varbinds(pdu.varbinds, order)
        case Response():
            return pack(f"{order}IHH", pdu.up_time, pdu.error, pdu.index) + _varbinds(pdu.varbinds, order)
        case Other():
            return pdu.payload
        case _:
            return b""


# -- from bytes


def header(data: bytes | bytearray | memoryview) -> Header:
    """The first HEADER_BYTES of a PDU. Raises Malformed."""
    order = ">" if data[2] & NETWORK_BYTE_ORDER else "<"
    version, kind, flags, _, session, transaction, packet, length = _HEADERS[order].unpack_from(data)
    if version != VERSION:
        raise Malformed(f"version {version} of AgentX")
    if length > MOST_PAYLOAD or length % 4:
        raise Malformed(f"a payload of {length} bytes")
    return Header(kind, flags, session, transaction, packet, length, order)


def decode(head: Header, payload: bytes) -> tuple[bytes | None, Pdu]:
    """The context, None if it is the default one, and the PDU. Raises Malformed."""
    reader = _Reader(payload, head.order)
    context = reader.octets() if head.flags & NON_DEFAULT_CONTEXT and head.type in IN_CONTEXT else None
    read = _READ.get(head.type)
    if read is None:
        return context, Other(payload)
    pdu = read(reader)
    reader.finish()
    return context, pdu


class _Reader:
    """Takes a payload apart from its beginning."""

    def __init__(self, payload: bytes, order: str) -> None:
        self.payload, self.order, self.at = payload, order, 0

    def take(self, letters: str, size: int) -> tuple[int, ...]:
        if self.at + size > len(self.payload):
            raise Malformed("the PDU ends too early")
        found = unpack_from(self.order + letters, self.payload, self.at)
        self.at += size
        return found

    def oid(self) -> tuple[OID, bool]:
        count, prefix, included, _ = self.take("4B", 4)
        if count > MOST_SUBIDS:
            raise Malformed(f"an object name of {count} sub-identifiers")
        parts: OID = self.take(f"{count}I", 4 * count)
        return ((*INTERNET, prefix, *parts) if prefix else parts), bool(included)

    def octets(self) -> bytes:
        (length,) = self.take("I", 4)
        end = self.at + length
        if end + -length % 4 > len(self.payload):
            raise Malformed("an octet string is longer than the PDU")
        data = self.payload[self.at : end]
        self.at = end + -length % 4
        return data

    def varbinds(self) -> tuple[VarBind, ...]:
        found = []
        while self.at < len(self.payload):
            kind, _ = self.take("HH", 4)
            name, _included = self.oid()
            found.append(VarBind(name, kind, self._value(kind)))
        return tuple(found)

    def _value(self, kind: int) -> Value | None:
        if letter := INTEGERS.get(kind):
            return self.take(letter, 8 if letter == "Q" else 4)[0]
        if kind in _OCTETS:
            return self.octets()
        if kind == Wire.OBJECT_ID.value:
            return self.oid()[0]
        if kind in _EMPTY:
            return None
        raise Malformed(f"a value of type {kind}")

    def ranges(self) -> tuple[Range, ...]:
        found = []
        while self.at < len(self.payload):
            start, included = self.oid()
            end, _ = self.oid()
            found.append(Range(start, included, end))
        return tuple(found)

    def finish(self) -> None:
        if self.at != len(self.payload):
            raise Malformed(f"{len(self.payload) - self.at} bytes behind the end of the PDU")


def _open(reader: _Reader) -> Open:
    timeout_s, _, _, _ = reader.take("4B", 4)
    name, _included = reader.oid()
    return Open(timeout_s, name, reader.octets())


def _place(reader: _Reader) -> tuple[int, int, int, OID, int]:
    timeout_s, priority, range_subid, _ = reader.take("4B", 4)
    subtree, _included = reader.oid()
    return timeout_s, priority, range_subid, subtree, reader.take("I", 4)[0] if range_subid else 0


def _register(reader: _Reader) -> Register:
    timeout_s, priority, range_subid, subtree, upper_bound = _place(reader)
    return Register(subtree, priority, timeout_s, range_subid, upper_bound)


def _unregister(reader: _Reader) -> Unregister:
    _, priority, range_subid, subtree, upper_bound = _place(reader)
    return Unregister(subtree, priority, range_subid, upper_bound)


def _get_bulk(reader: _Reader) -> GetBulk:
    non_repeaters, most_repetitions = reader.take("HH", 4)
    return GetBulk(non_repeaters, most_repetitions, reader.ranges())


def _response(reader: _Reader) -> Response:
    up_time, error, index = reader.take("IHH", 8)
    return Response(up_time, error, index, reader.varbinds())


_READ: dict[int, Callable[[_Reader], Pdu]] = {
    1: _open,
    2: lambda reader: Close(reader.take("4B", 4)[0]),
    3: _register,
    4: _unregister,
    5: lambda reader: Get(reader.ranges()),
    6: lambda reader: GetNext(reader.ranges()),
    7: _get_bulk,
    8: lambda reader: TestSet(reader.varbinds()),
    9: lambda _: CommitSet(),
    10: lambda _: UndoSet(),
    11: lambda _: CleanupSet(),
    12: lambda reader: Notify(reader.varbinds()),
    13: lambda _: Ping(),
    18: _response,
}
