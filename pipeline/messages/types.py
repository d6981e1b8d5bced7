"""The kinds of billing messages, as types. The contract page and the JSON Schema are generated from here.

Every limit stands in a type, so that decoding checks it. `None` means absent. Source: docs/contract.md, sections 2 and 4.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

DBID = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Seq = Annotated[int, Meta(ge=0, le=2_147_483_647)]
Millis = Annotated[int, Meta(ge=946_684_800_000)]  # the upper limit depends on the receipt: parse.py
VisibleAscii = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+\Z")]
Guid = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}(?:;|\Z)")]
ActionId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^ \t\r\n|]+\Z")]
Text32 = Annotated[str, Meta(max_length=32)]
Text64 = Annotated[str, Meta(max_length=64)]
Text255 = Annotated[str, Meta(max_length=255)]
Text256 = Annotated[str, Meta(max_length=256)]
Text512 = Annotated[str, Meta(max_length=512)]
Text4096 = Annotated[str, Meta(max_length=4096)]

ComponentType = Literal["RM", "MCP", "CCP", "CTIC", "PSTNC", "SSG", "EXT"]
CallType = Literal["INBOUND", "OUTBOUND", "BRIDGED", "NEWCALL", "EXTERNAL", "CREATECCXML", "UNKNOWN"]
EndState = Literal["USER_END", "APPLICATION_END", "SYSTEM_ERROR", "REJECTED", "UNKNOWN"]
Result = Literal["UNKNOWN", "SUCCESS", "FAILED"]
LatencyCategory = Literal["RESPONSE", "FETCHING", "CALL_CONTROL", "PROMPT", "MRCP", "EXECUTION"]
Cause = Literal[
    "START_FAILED", "SYSTEM_ERROR", "FIRST_PROMPT_LATENCY", "INTER_PROMPT_LATENCY", "CUMULATIVE_LATENCY", "AUDIO_GAP", "APPLICATION", "OTHER"
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
    tenant_path: Annotated[tuple[DBID, ...], Meta(min_length=1, max_length=16)] | None = None
    tenant_name: Text255 | None = None
    app: DBID | None = None
    app_name: Text255 | None = None
    dn: Annotated[str, Meta(max_length=32, pattern=r"^[0-9+*#]*\Z")] | None = None
    call_type: CallType | None = None
    remote_uri: Text512 | None = None
    local_uri: Text512 | None = None
    origin: Text255 | None = None
    usage: Annotated[tuple[tuple[DBID, Annotated[int, Meta(ge=0)]], ...], Meta(max_length=16)] | None = None
    burst: Annotated[tuple[tuple[DBID, Annotated[int, Meta(ge=1, le=3)]], ...], Meta(max_length=16)] | None = None
    end_state: EndState | None = None
    reason: Text256 | None = None
    sip_status: Annotated[int, Meta(ge=100, le=699)] | None = None
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
    notes: str | None = None  # at most 4096 UTF-8 bytes: parse.py


class CallResult(Event, tag="var.result", kw_only=True, gc=False, omit_defaults=True):
    result: Result
    reason: Text256 | None = None
    notes: str | None = None


class CustomVariable(Event, tag="var.custom", kw_only=True, gc=False, omit_defaults=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Text256


class Latency(Event, tag="sq.latency", kw_only=True, gc=False, omit_defaults=True):
    samples: Annotated[
        tuple[tuple[LatencyCategory, Annotated[str, Meta(min_length=1, max_length=32)], Annotated[float, Meta(ge=0, le=86_400_000)]], ...],
        Meta(min_length=1, max_length=64),
    ]


class Failure(Event, tag="sq.failure", kw_only=True, gc=False, omit_defaults=True):
    cause: Cause
    detail: Text256 | None = None


BillingEvent = CallStart | CallUpdate | CallEnd | LogEvent | ActionStart | ActionEnd | CallResult | CustomVariable | Latency | Failure
