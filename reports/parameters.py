"""Parameters of a request: read, checked and normalised, all faults at once (contract, reports section 3).

Values are strings in, typed values out. An empty value counts as absent, as an empty field of a form is sent so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from agents.bins import GRANULARITIES
from reports.exceptions import Fault, Malformed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
MAX_PAGE_SIZE = 1000
MAX_SMA_PERIOD = 366
MAX_DBID = 2_147_483_647
MOST_VALUES = 2_000  # of one question: databases take few more


@dataclass(frozen=True, slots=True)
class Match:
    """A text to be met exactly, or as a prefix."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class DigitRange:
    """DNs of digits of one length, both bounds included (rule X12)."""

    low: str
    high: str


Dn = Match | DigitRange


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T_co]):
    """`read` raises ValueError; `allowed` says in words what it takes, `values` what it may be if there are few; `example` is one."""

    name: str
    allowed: str
    read: Callable[[str, ZoneInfo], T_co]
    repeatable: bool = False
    example: str = ""
    values: tuple[str, ...] = ()


class Reader:
    """Takes the parameters of one request one by one and remembers what was recognised and what was wrong."""

    def __init__(self, query: str, zone: ZoneInfo) -> None:
        self.given = parse_qsl(query, keep_blank_values=True)
        self.zone = zone
        self.recognised: list[str] = []
        self.normalised: dict[str, str | list[str]] = {}
        self.faults: list[Fault] = []

    def many(self, parameter: Parameter[T]) -> tuple[T, ...]:
        """Every value of a repeatable parameter, each once, in the order given."""
        texts = list(dict.fromkeys(self._texts(parameter.name)))
        if len(texts) > MOST_VALUES:
            self.fault(parameter, f"{len(texts)} values", f"at most {MOST_VALUES} values")
            return ()
        values: dict[T, None] = {}
        for text in texts:
            try:
                values[parameter.read(text, self.zone)] = None
            except ValueError:
                self.fault(parameter, text)
        if values:
            self.normalised[parameter.name] = texts if parameter.repeatable else texts[-1]
        return tuple(values)

    def one(self, parameter: Parameter[T]) -> T | None:
        values = self.many(parameter)
        if len(values) > 1:
            self.fault(parameter, ", ".join(self._texts(parameter.name)), "one value only")
        return values[0] if values else None

    def required(self, parameter: Parameter[T], fallback: T) -> T:
        """The value; where there is none or a wrong one a fault is noted and `fallback` given, so that reading goes on."""
        value = self.one(parameter)
        if value is None and not self._texts(parameter.name):
            self.fault(parameter, "")
        return fallback if value is None else value

    def exclusive(self, *parameters: Parameter[object]) -> None:
        """At most one of these may be given."""
        given = [parameter for parameter in parameters if self._texts(parameter.name)]
        for parameter in given[1:]:
            others = " and ".join(other.name for other in given if other is not parameter)
            self.fault(parameter, ", ".join(self._texts(parameter.name)), f"not together with {others}")

    def fault(self, parameter: Parameter[object], value: str, allowed: str | None = None) -> None:
        self.faults.append(Fault(parameter.name, value, allowed or parameter.allowed))

    def check(self) -> None:
        """Raises Malformed with every fault found so far."""
        if self.faults:
            raise Malformed(tuple(self.faults))

    def _texts(self, name: str) -> list[str]:
        if name not in self.recognised:
            self.recognised.append(name)
        return [value for key, value in self.given if key == name and value != ""]


def _dbid(text: str, _: ZoneInfo) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 1 <= int(text) <= MAX_DBID:
        raise ValueError(text)
    return int(text)


def _flag(text: str, _: ZoneInfo) -> bool:
    return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse(text)


def _refuse(text: str) -> bool:
    raise ValueError(text)


def _whole(low: int, high: int) -> Callable[[str, ZoneInfo], int]:
    def read(text: str, _: ZoneInfo) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return read


def _match(text: str, _: ZoneInfo) -> Match:
    """A trailing `*` always means prefix, a literal one is written `\\*` (rule X12)."""
    if text.endswith("\\*"):
        return Match(text[:-2] + "*")
    return Match(text[:-1], prefix=True) if text.endswith("*") else Match(text)


def _dn(text: str, zone: ZoneInfo) -> Dn:
    if bounds := re.fullmatch(r"([0-9]+)-([0-9]+)", text):
        low, high = bounds.groups()
        if len(low) != len(high) or low > high:
            raise ValueError(text)
        return DigitRange(low, high)
    if not re.fullmatch(r"[0-9+*#]*(\\\*)?", text):
        raise ValueError(text)
    return _match(text, zone)


HEX_GUID = r"[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}"


def _guid(text: str, zone: ZoneInfo) -> Match:
    match = _match(text.partition(";")[0].strip().upper(), zone)
    if not re.fullmatch(r"[0-9A-F-]{1,36}" if match.prefix else HEX_GUID, match.text):
        raise ValueError(text)
    return match


def _whole_guid(text: str, _: ZoneInfo) -> str:
    guid = text.partition(";")[0].strip().upper()
    if not re.fullmatch(HEX_GUID, guid):
        raise ValueError(text)
    return guid


def _session_id(text: str, _: ZoneInfo) -> str:
    if not re.fullmatch(r"[!-~]{1,64}", text):
        raise ValueError(text)
    return text


MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d{1,3})?(Z|[ +-]\d\d:?\d\d)?", re.ASCII)


def _date_time(text: str, zone: ZoneInfo) -> int:
    found = MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    minute, second, fraction, offset = found.groups(default="")
    # A plus sign that was not escaped in the query arrives as a blank.
    moment = datetime.fromisoformat(minute + (second or ":00") + offset.replace(" ", "+"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    try:
        return round(moment.timestamp()) * 1000 + int(fraction[1:].ljust(3, "0"))
    except OverflowError as exc:
        raise ValueError(text) from exc


def _choice(*values: str) -> Callable[[str, ZoneInfo], str]:
    def read(text: str, _: ZoneInfo) -> str:
        if text not in values:
            raise ValueError(text)
        return text

    return read


def _text(text: str, _: ZoneInfo) -> str:
    return text


def choice(name: str, values: Sequence[str], *, repeatable: bool = False, example: str = "") -> Parameter[str]:
    return Parameter(name, "one of " + ", ".join(values), _choice(*values), repeatable, example or values[0], tuple(values))


def moment(name: str) -> Parameter[int]:
    """ms UTC"""
    allowed = "YYYY-MM-DDTHH:mm:ss[.SSS][zone], zone Z or +/-HH:MM; without zone the reporting time zone"
    return Parameter(name, allowed, _date_time, example="2026-11-18T00:00:00Z")


def dbid(name: str, *, repeatable: bool = True, example: str = "") -> Parameter[int]:
    return Parameter(name, f"a DBID, 1 to {MAX_DBID}", _dbid, repeatable, example)


def uri(name: str) -> Parameter[Match]:
    return Parameter(name, "a URI; a trailing * means prefix, a literal one is written \\*", _match, repeatable=True, example="sip:+1555*")


def flag(name: str) -> Parameter[bool]:
    return Parameter(name, "true or false", _flag, example="true", values=("true", "false"))


COMPONENTS = ("RM", "MCP", "CCP", "CTIC", "PSTNC", "SSG", "EXT")
DIMENSIONS = ("component_type", "component", "tenant", "tenant-own", "app", "dn")
END_STATES = ("USER_END", "APPLICATION_END", "SYSTEM_ERROR", "REJECTED", "UNKNOWN", "TIMED_OUT")
CALL_TYPES = ("INBOUND", "OUTBOUND", "BRIDGED", "NEWCALL", "EXTERNAL", "CREATECCXML", "UNKNOWN")
RESULTS = ("SUCCESS", "FAILED", "UNKNOWN")

APP_ID = dbid("app-id", example="310")
TENANT_ID = dbid("tenant-id", example="102")
COMP_ID = dbid("comp-id", example="301")
OWN = flag("own")
DN: Parameter[Dn] = Parameter(
    "dn", "a DN of digits, +, * and #, a prefix 800*, or a range 300-400 of two bounds of one length", _dn, repeatable=True, example="800*"
)
GUID = Parameter("guid", "a GVP GUID, 8-4-4-4-12 hex digits, or its beginning followed by *", _guid)
NUMBER = Parameter("number", "a DN or the number in a remote URI; a trailing * means prefix", _match)
REMOTE_URI = uri("remote-uri")
LOCAL_URI = uri("local-uri")
STARTED_FROM, STARTED_TO = moment("started-from"), moment("started-to")
ENDED_FROM, ENDED_TO = moment("ended-from"), moment("ended-to")
FROM, TO = moment("from"), moment("to")
GRANULARITY = choice("granularity", GRANULARITIES, example="DAY")
QUALITY_GRANULARITY = choice("granularity", GRANULARITIES[2:], example="DAY")
AGGREGATE_BY = choice("aggregate-by", ("time", "component"), repeatable=True)
AGGREGATE_BY_COMPONENT = choice("aggregate-by", ("component",), repeatable=True)
SMA_PERIOD = Parameter("sma-period", f"1 to {MAX_SMA_PERIOD} days, only with granularity DAY", _whole(1, MAX_SMA_PERIOD), example="7")
GVP_GUID: Parameter[str] = Parameter("gvp-guid", "a GVP GUID, 8-4-4-4-12 hex digits", _whole_guid)
SESSION_ID: Parameter[str] = Parameter("session-id", "a session id, 1 to 64 visible ASCII letters", _session_id, repeatable=True)
ONE_SESSION_ID: Parameter[str] = Parameter("session-id", "a session id, 1 to 64 visible ASCII letters", _session_id)
ONE_COMP_ID = dbid("comp-id", repeatable=False)
COMP = choice("comp", COMPONENTS)
DIMENSION = choice("dimension", DIMENSIONS)
VALUE: Parameter[str] = Parameter("value", "a DBID or DN; empty for component_type", _text, repeatable=True)
RESULT = choice("result", RESULTS, repeatable=True)
END_STATE = choice("end-state", END_STATES, repeatable=True)
CALL_TYPE = choice("call-type", CALL_TYPES, repeatable=True)
STATE = choice("state", ("in-progress", "finished"))
PAGE = Parameter("page", "a page number from 1", _whole(1, 999_999), example="1")
PAGE_SIZE = Parameter("page-size", f"1 to {MAX_PAGE_SIZE}", _whole(1, MAX_PAGE_SIZE), example="100")
FORMAT = choice("format", ("json", "xml", "csv"))
CURSOR: Parameter[str] = Parameter("cursor", "a next-cursor of an earlier answer to the same request", _text)
