"""Why a message or an element of it is quarantined, in the order in which the faults are looked for (M8)."""

from __future__ import annotations

from typing import Literal, get_args

Reason = Literal[
    "bad_message_type",
    "too_large",
    "not_json",
    "bad_batch",
    "not_object",
    "bad_version",
    "unknown_kind",
    "missing_field",
    "bad_type",
    "bad_value",
    "too_long",
    "ts_range",
    "late",
    "conflict",
    "call_too_large",
]

REASONS: tuple[Reason, ...] = get_args(Reason)
RANK: dict[str, int] = {reason: rank for rank, reason in enumerate(REASONS)}

MEANING: dict[Reason, str] = {
    "bad_message_type": "neither TextMessage nor BytesMessage",
    "too_large": "the body is over 1,048,576 bytes, or the event as compact JSON over 65,536 bytes",
    "not_json": "the body is not strict JSON in UTF-8, or is nested too deep",
    "bad_batch": "the body is neither object nor array, or the array has no or more than 1,000 elements",
    "not_object": "the element of the array is not an object",
    "bad_version": "`v` is there and is not 1",
    "unknown_kind": "`kind` is there and is none of those below",
    "missing_field": "a required field is absent or null",
    "bad_type": "a field holds another JSON type than the one allowed",
    "bad_value": "a value outside its list, range, pattern or number of items",
    "too_long": "a string over its limit",
    "ts_range": "`ts`, `start_ts` or `end_ts` before 2000-01-01 or more than 24 h after receipt",
    "late": "older than the lateness the agents allow",
    "conflict": "another event of the same name is in the log already",
    "call_too_large": "the call's state would pass 8 MiB",
}


class Fault(Exception):  # a fault of a message, not of the program
    """The first fault of a body or of an element. `detail` names the field, what was found and what is allowed, never the value."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
