"""The few syntaxes of the MIB, and how the parts of an index become sub-identifiers (RFC 2578, 7.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

OID = tuple[int, ...]
Value = int | str | bytes | OID

MOST_GAUGE = 2**32 - 1
MOST_COUNTER = 2**64 - 1
MOST_NAME = 255  # bytes of UTF-8


class Wire(Enum):
    """How a value travels; the numbers are those of AgentX (RFC 2741, 5.4), the same as ASN.1's tags."""

    INTEGER = 2
    OCTETS = 4
    OBJECT_ID = 6
    GAUGE = 66
    TICKS = 67
    COUNTER64 = 70


@dataclass(frozen=True, slots=True)
class Syntax:
    """name         as the MIB file spells it
    states          name -> number of an enumeration
    convention      text of the textual convention that the MIB file defines for it
    """

    name: str
    wire: Wire
    states: Mapping[str, int] = field(default_factory=dict)
    convention: str = ""
    base: str = ""
    hint: str = ""

    def given(self, value: Value) -> Value:
        """The value as it is sent: within its range, an enumeration as number, text as UTF-8 bytes. Raises KeyError for a state
        that is none."""
        if self.wire is Wire.OCTETS:
            return clipped(value) if isinstance(value, str) else value
        if self.states and isinstance(value, str):
            return self.states[value]
        if isinstance(value, int):
            if self.wire is Wire.GAUGE:
                return min(max(value, 0), MOST_GAUGE)
            if self.wire is Wire.COUNTER64:
                return value & MOST_COUNTER
        return value


def clipped(text: str, most: int = MOST_NAME) -> bytes:
    """As many whole characters as fit into `most` bytes. What came in by a lone surrogate leaves as a question mark."""
    return text.encode(errors="replace")[:most].decode(errors="ignore").encode()


GAUGE = Syntax("Gauge32", Wire.GAUGE)
NUMBER = Syntax("Unsigned32", Wire.GAUGE)
COUNTER = Syntax("Counter64", Wire.COUNTER64)
NAME = Syntax(
    "RsName",
    Wire.OCTETS,
    convention="A name or a short text, in UTF-8.",
    base="OCTET STRING (SIZE (0..255))",
    hint="255t",
)
TIME = Syntax("RsTime", Wire.GAUGE, convention="An instant: seconds since 1970-01-01 00:00 UTC.", base="Unsigned32", hint="d")
STATE = Syntax(
    "RsState",
    Wire.INTEGER,
    {"unknown": 1, "up": 2, "down": 3},
    convention="Whether a counterpart works: unknown while nobody who knows can be asked.",
)
READINESS = Syntax(
    "RsReadiness",
    Wire.INTEGER,
    {"unknown": 1, "ready": 2, "notReady": 3, "unreachable": 4},
    convention="What a part of the Reporting Server answers when it is asked whether it is ready; unreachable: it does not answer.",
)
CONVENTIONS = (NAME, TIME, STATE, READINESS)


def index_part(value: int | str, most_octets: int) -> OID:
    """A number is one sub-identifier; text of any length is its length and its bytes."""
    if isinstance(value, int):
        return (value & MOST_GAUGE,)
    octets = clipped(value, most_octets)
    return (len(octets), *octets)
