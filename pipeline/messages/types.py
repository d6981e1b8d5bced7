"""The kinds of billing messages, as types. The fast path, the search for the first fault, the JSON Schema and the contract page
are all derived from here, so that they cannot disagree.

Every limit stands in a type. What msgspec cannot check stands in `Meta.extra`, with these members:

    distinct        "items": no item twice; "first": no two items with the same first member (M10)
    max_utf8_bytes  limit of a string in UTF-8 bytes instead of code points (M3)
    outside         the reason of a value out of range, where it is not bad_value (M7)
    future_ms       how far behind the receipt of the message a time may lie (M7)

`None` means absent. Source: the contract, sections 2, 4 and 5.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

DBID = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Seq = Annotated[int, Meta(ge=0, le=2_147_483_647)]
IVRProfile = Annotated[int, Meta(ge=-2_147_483_648, le=2_147_483_647)]  # M12 checks no range; the lower limit is that of the stores
Count = Annotated[int, Meta(ge=0, le=9_223_372_036_854_775_807)]  # the upper limit is that of the stores
BurstLevel = Annotated[int, Meta(ge=1, le=3)]
Millis = Annotated[int, Meta(ge=946_684_800_000, extra={"outside": "ts_range", "future_ms": 86_400_000})]
VisibleAscii = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+\Z")]
Guid = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}(?:;|\Z)")]
ActionId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^ \t\r\n|]+\Z")]
LatencyType = Annotated[str, Meta(min_length=1, max_length=32)]
LatencyMs = Annotated[float, Meta(ge=0, le=86_400_000)]
SipStatus = Annotated[int, Meta(ge=100, le=699)]
DialledNumber = Annotated[str, Meta(max_length=32, pattern=r"^[0-9+*#]*\Z")]
VariableName = Annotated[str, Meta(min_length=1, max_length=64)]
Text32 = Annotated[str, Meta(max_length=32)]
Text64 = Annotated[str, Meta(max_length=64)]
Text255 = Annotated[str, Meta(max_length=255)]
Text256 = Annotated[str, Meta(max_length=256)]
Text512 = Annotated[str, Meta(max_length=512)]
Text4096 = Annotated[str, Meta(max_length=4096)]
Notes = Annotated[str, Meta(extra={"max_utf8_bytes": 4096})]

ComponentType = Literal["RM", "MCP", "CCP", "CTIC", "PSTNC", "SSG", "EXT"]
CallType = Literal["INBOUND", "OUTBOUND", "BRIDGED", "NEWCALL", "EXTERNAL", "CREATECCXML", "UNKNOWN"]
EndState = Literal["USER_END", "APPLICATION_END", "SYSTEM_ERROR", "REJECTED", "UNKNOWN"]
Result = Literal["UNKNOWN", "SUCCESS", "FAILED"]
LatencyCategory = Literal["RESPONSE", "FETCHING", "CALL_CONTROL", "PROMPT", "MRCP", "EXECUTION"]
Cause = Literal[
    "START_FAILED",
    "SYSTEM_ERROR",
    "FIRST_PROMPT_LATENCY",
    "INTER_PROMPT_LATENCY",
    "CUMULATIVE_LATENCY",
    "AUDIO_GAP",
    "APPLICATION",
    "OTHER",
]
LogLevel = Literal["METRIC", 0, 1, 2, 3, 4, 5]


class Event(Struct, tag_field="kind", kw_only=True, gc=False, omit_defaults=True):
    """The envelope, in every event."""

    v: Literal[1]
    comp: ComponentType
    comp_id: DBID
    session: VisibleAscii
    guid: Guid
    ts: Millis
    seq: Seq


class CallEvent(Event, kw_only=True, gc=False, omit_defaults=True):
    """What call.start, call.update and call.end may carry: fields of the session."""

    start_ts: Millis | None = None
    end_ts: Millis | None = None
    tenant_path: Annotated[tuple[DBID, ...], Meta(min_length=1, max_length=16, extra={"distinct": "items"})] | None = None
    tenant_name: Text255 | None = None
    app: IVRProfile | None = None
    app_name: Text255 | None = None
    dn: DialledNumber | None = None
    call_type: CallType | None = None
    remote_uri: Text512 | None = None
    local_uri: Text512 | None = None
    origin: Text255 | None = None
    usage: Annotated[tuple[tuple[DBID, Count], ...], Meta(max_length=16, extra={"distinct": "first"})] | None = None
    burst: Annotated[tuple[tuple[DBID, BurstLevel], ...], Meta(max_length=16, extra={"distinct": "first"})] | None = None
    end_state: EndState | None = None
    reason: Text256 | None = None
    sip_status: SipStatus | None = None
    mos: float | None = None
    jitter_ms: float | None = None
    loss_pct: float | None = None
    codec: Text32 | None = None


class CallStart(CallEvent, tag="call.start", kw_only=True, gc=False, omit_defaults=True):
    pass


class CallUpdate(CallEvent, tag="call.update", kw_only=True, gc=False, omit_defaults=True):
    pass


class CallEnd(CallEvent, tag="call.end", kw_only=True, gc=False, omit_defaults=True):
    pass


class LogEvent(Event, tag="call.event", kw_only=True, gc=False, omit_defaults=True):
    """One line of the session's event log."""

    log_id: Text64
    level: LogLevel
    text: Text4096


class ActionStart(Event, tag="var.action_start", kw_only=True, gc=False, omit_defaults=True):
    action: ActionId
    parent: ActionId | None = None


class ActionEnd(Event, tag="var.action_end", kw_only=True, gc=False, omit_defaults=True):
    action: ActionId
    result: Result
    reason: Text256 | None = None
    notes: Notes | None = None


class CallResult(Event, tag="var.result", kw_only=True, gc=False, omit_defaults=True):
    result: Result
    reason: Text256 | None = None
    notes: Notes | None = None


class CustomVariable(Event, tag="var.custom", kw_only=True, gc=False, omit_defaults=True):
    name: VariableName
    value: Text256


class Latency(Event, tag="sq.latency", kw_only=True, gc=False, omit_defaults=True):
    samples: Annotated[tuple[tuple[LatencyCategory, LatencyType, LatencyMs], ...], Meta(min_length=1, max_length=64)]


class Failure(Event, tag="sq.failure", kw_only=True, gc=False, omit_defaults=True):
    cause: Cause
    detail: Text256 | None = None


BillingEvent = CallStart | CallUpdate | CallEnd | LogEvent | ActionStart | ActionEnd | CallResult | CustomVariable | Latency | Failure

KINDS: dict[str, type[Event]] = {kind.__struct_config__.tag: kind for kind in get_args(BillingEvent)}
