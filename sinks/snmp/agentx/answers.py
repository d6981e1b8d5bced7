"""What a subagent answers to a request of the master (RFC 2741, 7.2). Pure."""

from __future__ import annotations

from struct import Struct, unpack_from

from sinks.snmp.agentx import codec
from sinks.snmp.agentx.codec import (
    END_OF_MIB_VIEW,
    INTERNET,
    NO_SUCH_INSTANCE,
    NO_SUCH_OBJECT,
    CleanupSet,
    CommitSet,
    Get,
    GetBulk,
    GetNext,
    Pdu,
    Range,
    Response,
    TestSet,
    UndoSet,
    VarBind,
)
from sinks.snmp.syntax import OID
from sinks.snmp.tree import Instance, Place, Tree

GET_NEXT, RESPONSE = 6, 18
MOST_ENDS = 1_000  # different ends of ranges that are remembered
MOST_VARBINDS = 2_000  # in one response: a master that asks for more asks again


def answer(pdu: Pdu, tree: Tree) -> Response | None:
    """None: the PDU is not answered, or is none that a master sends to a subagent."""
    match pdu:
        case Get():
            return Response(varbinds=tuple(_got(tree, each.start) for each in pdu.ranges))
        case GetNext():
            return Response(varbinds=tuple(_following(tree, each) for each in pdu.ranges))
        case GetBulk():
            return Response(varbinds=tuple(_bulk(tree, pdu)))
        case TestSet():
            return Response(error=codec.NOT_WRITABLE, index=1)
        case CommitSet():
            return Response(error=codec.COMMIT_FAILED, index=1)  # no test has ever passed
        case UndoSet():
            return Response()  # nothing was done
        case CleanupSet():
            return None
        case _:
            return None


def _bound(instance: Instance) -> VarBind:
    return VarBind(instance.name, instance.wire.value, instance.value)


def _got(tree: Tree, name: OID) -> VarBind:
    if (found := tree.get(name)) is not None:
        return _bound(found)
    return VarBind(name, NO_SUCH_INSTANCE if tree.has_object(name) else NO_SUCH_OBJECT)


def _following(tree: Tree, asked: Range) -> VarBind:
    found = tree.next(asked.start, included=asked.included)
    if found is None or (asked.end and found.name >= asked.end):
        return VarBind(asked.start, END_OF_MIB_VIEW)
    return _bound(found)


def _bulk(tree: Tree, pdu: GetBulk) -> list[VarBind]:
    """(7.2.3.3) The non-repeaters once, then the others in turns, until all of them are at their end."""
    bound = [_following(tree, each) for each in pdu.ranges[: pdu.non_repeaters]]
    repeated = list(pdu.ranges[pdu.non_repeaters :])
    for _ in range(pdu.most_repetitions):
        if not repeated or len(bound) + len(repeated) > MOST_VARBINDS:
            break
        turn = [_following(tree, each) for each in repeated]
        bound += turn
        if all(each.type == END_OF_MIB_VIEW for each in turn):
            break
        repeated = [Range(found.name, False, each.end) for found, each in zip(turn, repeated, strict=True)]
    return bound


class Walk:
    """GetNext with one range, which is what a master makes of a manager's walk: its latency is the speed of the walk. Answers from
    bytes to bytes, and remembers where the last answer stands."""

    def __init__(self, tree: Tree, order: str) -> None:
        self.tree, self.order = tree, order
        self._last: tuple[bytes, Place] = b"", Place(0, 0)  # name of the last answer as the next request will hold it, and its place
        self._ends: dict[bytes, OID] = {}
        self._head = Struct(f"{order}4B4I")
        self._plain = bytes((codec.VERSION, GET_NEXT, codec.NETWORK_BYTE_ORDER if order == ">" else 0))
        self._values = {kind: Struct(order + letter).pack for kind, letter in codec.INTEGERS.items()}

    def step(self, request: bytes, session: int) -> bytes | None:
        """The whole response to a whole request, or None if this is not the plain case: then the long way knows."""
        if len(request) < codec.HEADER_BYTES + 8 or request[:3] != self._plain:
            return None
        _, _, flags, _, asked, transaction, packet, length = self._head.unpack_from(request)
        payload = request[codec.HEADER_BYTES :]
        if asked != session or length != len(payload):
            return None
        name_bytes = 4 + 4 * payload[0]
        start, end = payload[:name_bytes], payload[name_bytes:]
        limit = self._ends.get(end)
        if limit is None:
            if len(end) < 4 or len(end) != 4 + 4 * end[0] or end[0] > codec.MOST_SUBIDS or len(self._ends) > MOST_ENDS:
                return None
            limit = self._ends[end] = self._name(end)
        if start == self._last[0]:
            place = self.tree.behind(self._last[1])
        elif start[2] or start[0] > codec.MOST_SUBIDS:
            return None
        else:
            place = self.tree.place(self._name(start))
        if place is None:
            return None
        name, wire, value = self.tree.at(place)
        if limit and name >= limit:
            return None
        kind = wire.value
        packed = codec.oid(name, self.order)
        pack = self._values.get(kind)
        data = pack(value) if pack is not None else codec.data_of(kind, value, self.order)
        self._last = packed, place
        length = 12 + len(packed) + len(data)
        head = self._head.pack(codec.VERSION, RESPONSE, flags, 0, session, transaction, packet, length)
        return head + _NO_ERROR + _KINDS[self.order][kind] + packed + data

    def _name(self, packed: bytes) -> OID:
        parts: OID = unpack_from(f"{self.order}{packed[0]}I", packed, 4)
        return (*INTERNET, packed[1], *parts) if packed[1] else parts


_KINDS = {order: {kind: Struct(f"{order}HH").pack(kind, 0) for kind in (2, 4, 6, 66, 67, 70)} for order in "<>"}
_NO_ERROR = bytes(8)  # up time, error, index
