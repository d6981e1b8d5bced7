"""From the body of a message to events and faults. Pure: no clock, no I/O.

Fast path: orjson reads the body (it is strict), msgspec checks each element against the types. Only what these refuse is looked at
again, slowly, for the first fault in the contract's order (faults.py) and for numbers beyond 64 bits (numbers.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

import msgspec
import orjson
from msgspec import Struct

from pipeline.messages import numbers
from pipeline.messages.digest import LostDigits, digest, without_nulls
from pipeline.messages.faults import checks_beyond_msgspec, refuse
from pipeline.messages.reasons import Fault, Reason
from pipeline.messages.types import KINDS, Event

MAX_MESSAGE_BYTES = 1_048_576
MAX_EVENT_BYTES = 65_536
MAX_BATCH = 1000
GUID_LENGTH = 36


class Good(Struct, frozen=True, gc=False):
    """An element that goes on."""

    index: int | None  # in the array; None: the body is one object
    key: bytes  # guid in its stored form
    kind: str
    digest: int  # 32 bits, rule F1
    value: bytes  # compact JSON, guid in its stored form, everything else as it came
    event: Event


class Bad(Struct, frozen=True, gc=False):
    """An element, or with index None perhaps the whole message, that goes into quarantine."""

    index: int | None
    reason: Reason
    detail: str
    original: bytes
    key: bytes | None  # guid in its stored form, where there is one


class Parsed(NamedTuple):
    good: list[Good]
    bad: list[Bad]


def parse(
    body: bytes,
    receipt: int,
    *,
    decodable: bool = True,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    max_event_bytes: int = MAX_EVENT_BYTES,
) -> Parsed:
    """Check a body. Every element of it comes back either good or bad, in order; a fault of the body as a whole is one Bad.

    `receipt`: ms UTC at which the message was taken (M7). `decodable`: it is a TextMessage or BytesMessage.
    """
    try:
        if not decodable:
            raise Fault("bad_message_type", "allowed TextMessage or BytesMessage with a JSON body")
        if len(body) > max_message_bytes:
            raise Fault("too_large", f"the message has {len(body)} bytes, allowed {max_message_bytes}")
        return _Body(body, receipt, max_event_bytes).parsed()
    except Fault as fault:
        return Parsed([], [Bad(None, fault.reason, fault.detail, body, None)])


class _Body:
    """A body on its way through the checks; reads it again, exactly or in slices, only if an element needs that."""

    def __init__(self, body: bytes, receipt: int, max_event_bytes: int) -> None:
        self.body = body
        self.receipt = receipt
        self.max_event_bytes = max_event_bytes

    def parsed(self) -> Parsed:
        """Raises Fault if the body as a whole is bad."""
        try:
            tree = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            tree = self.exact  # JSON, perhaps, with a number that no double holds
        good: list[Good] = []
        bad: list[Bad] = []
        if isinstance(tree, dict):
            self._take(tree, None, good, bad)
            return Parsed(good, bad)
        if not isinstance(tree, list):
            raise Fault("bad_batch", "allowed an object or an array of objects")
        if not 1 <= len(tree) <= MAX_BATCH:
            raise Fault("bad_batch", f"an array of {len(tree)} elements, allowed 1 to {MAX_BATCH}")
        for index, element in enumerate(tree):
            self._take(element, index, good, bad)
        return Parsed(good, bad)

    def _take(self, element: object, index: int | None, good: list[Good], bad: list[Bad]) -> None:
        try:
            try:
                good.append(self._fast(element, index))
            except (msgspec.ValidationError, LostDigits, _Doubtful):
                good.append(self._slow(index))
        except Fault as fault:
            if fault.reason == "not_json":
                raise
            bad.append(Bad(index, fault.reason, fault.detail, self._original(index), guid_of(element)))

    def _fast(self, element: object, index: int | None) -> Good:
        """Raises ValidationError, _Doubtful or LostDigits if it has to be looked at again; Fault."""
        event = _typed(element)
        for name, check in _CHECKS[type(event)]:
            value = getattr(event, name)
            if value is not None and not check(value, self.receipt):
                raise _Doubtful
        assert isinstance(element, dict)
        guid: str = element["guid"]
        key = guid[:GUID_LENGTH].upper()
        try:
            size = len(orjson.dumps(element)) if len(guid) > GUID_LENGTH else 0  # the size is that of the event as it came
            element["guid"] = key
            compact = orjson.dumps(element)
        except TypeError:  # nested too deep, or a LargeNumber
            raise _Doubtful from None
        event_digest = digest(element)  # first: where digits are lost, the size is not the true one either
        if (size or len(compact)) > self.max_event_bytes:
            raise Fault("too_large", f"the event has {size or len(compact)} bytes, allowed {self.max_event_bytes}")
        return Good(index, key.encode(), element["kind"], event_digest, compact, event)

    def _slow(self, index: int | None) -> Good:
        """One element, exactly: the first fault in the contract's order, numbers exact. Raises Fault."""
        exact = self.exact if index is None else self.exact[index]  # type: ignore[index]
        try:
            size = len(numbers.dumps(exact))
        except ValueError:
            raise Fault("not_json", f"nested deeper than {numbers.MAX_DEPTH} levels") from None
        if size > self.max_event_bytes:
            raise Fault("too_large", f"the event has {size} bytes, allowed {self.max_event_bytes}")
        plain = numbers.plain(exact)
        refuse(plain, self.receipt)
        assert isinstance(exact, dict)
        try:
            event = _typed(plain)
        except (msgspec.ValidationError, _Doubtful) as exc:
            # The two checks disagree, which a test forbids; if it happens all the same, nothing is lost and nothing stops.
            raise Fault("bad_value", f"refused by the decoder: {type(exc).__name__}") from None
        stored = exact | {"guid": exact["guid"][:GUID_LENGTH].upper()}
        normal = crc32(numbers.dumps_normal(without_nulls(stored)))
        return Good(index, stored["guid"].encode(), stored["kind"], normal, numbers.dumps(stored), event)

    @cached_property
    def exact(self) -> object:
        """The body with its numbers as written. Raises Fault."""
        try:
            return numbers.loads(self.body)
        except ValueError as exc:
            raise Fault("not_json", _why(exc, self.body)) from None

    @cached_property
    def slices(self) -> list[msgspec.Raw]:
        """The elements as bytes; empty if they cannot be told apart."""
        try:
            return msgspec.json.decode(self.body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, ValueError, RecursionError):
            return []

    def _original(self, index: int | None) -> bytes:
        if index is None:
            return self.body
        if index < len(self.slices):
            return bytes(self.slices[index])
        return numbers.dumps(self.exact[index])  # type: ignore[index]


class _Doubtful(Exception):  # not an error
    """To be looked at again: refused by a check beyond msgspec's, or out of the ordinary."""


def _typed(element: object) -> Event:
    """Raises ValidationError or _Doubtful. By kind: converting to the union of the kinds takes four times as long."""
    kind = element.get("kind") if isinstance(element, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise _Doubtful
    return msgspec.convert(element, KINDS[kind])


def guid_of(element: object) -> bytes | None:
    """The key a bad element would have had, for whoever looks for what became of a call. None if it has no usable guid."""
    if not isinstance(element, dict) or not isinstance(guid := element.get("guid"), str):
        return None
    key = guid[:GUID_LENGTH].upper().encode()
    return (
        key
        if len(key) == GUID_LENGTH and guid[GUID_LENGTH : GUID_LENGTH + 1] in ("", ";") and not key.translate(None, b"0123456789ABCDEF-")
        else None
    )


def _why(exc: ValueError, body: bytes) -> str:
    if not body:
        return "the body is empty"
    if isinstance(exc, UnicodeDecodeError):
        return f"not UTF-8 at byte {exc.start}"
    if isinstance(exc, UnicodeEncodeError):
        return "unpaired surrogate"
    if isinstance(exc, orjson.JSONDecodeError) or hasattr(exc, "lineno"):
        return f"{exc.msg} at character {exc.pos}"  # type: ignore[attr-defined]
    return str(exc)


# -- what msgspec cannot check, derived from types.py

Check = Callable[[object, int], bool]


def _check(rule: dict[str, object]) -> Check:
    if (future := rule.get("future_ms")) is not None:
        return lambda value, receipt: value <= receipt + future  # type: ignore[operator]
    if (most := rule.get("max_utf8_bytes")) is not None:
        return lambda value, _: len(value.encode()) <= most  # type: ignore[attr-defined,operator]
    if rule["distinct"] == "items":
        return lambda value, _: len(set(value)) == len(value)  # type: ignore[call-overload,arg-type]
    return lambda value, _: len(dict(value)) == len(value)  # type: ignore[call-overload,arg-type]  # pairs: a repeat replaces


_CHECKS: dict[type[Event], tuple[tuple[str, Check], ...]] = {
    kind: tuple((sys.intern(name), _check(rule)) for name, rule in checks_beyond_msgspec(kind)) for kind in KINDS.values()
}
