"""JSON Schema and the tables of docs/contract.md, derived from the types: `python -m pipeline.messages.schema` writes both.

The page's prose is written by hand; only what stands between the markers is replaced.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from msgspec import inspect

from pipeline.messages.faults import Field, fields_of, listed
from pipeline.messages.parse import MAX_BATCH
from pipeline.messages.reasons import MEANING
from pipeline.messages.types import KINDS, CallEvent, Event

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs/schema/billing-message.schema.json"
PAGE = ROOT / "docs/contract.md"

Json = dict[str, Any]

FIELDS: dict[str, str] = {
    "v": "version of this contract",
    "kind": "what happened: below",
    "comp": "component type; `EXT`: imported from another platform",
    "comp_id": "the component's DBID",
    "session": "session id, unique inside one component",
    "guid": "GVP GUID of the whole call; stored upper-case, a tail from the first `;` on is dropped",
    "ts": "when it happened, ms since 1970-01-01 UTC",
    "seq": "the sender's counter inside the session",
    "start_ts": "start of the session; default: `ts` of `call.start`",
    "end_ts": "end of the session; default: `ts` of `call.end`",
    "tenant_path": "tenant DBIDs from the root to the call's tenant",
    "tenant_name": "name path, such as `Environment/Acme/Support`",
    "app": "IVR profile DBID",
    "app_name": "IVR profile name",
    "dn": "dialled number (DID); counts for RM only",
    "call_type": "default `UNKNOWN`",
    "remote_uri": "SIP URI of the other side",
    "local_uri": "SIP URI of this side",
    "origin": "CCP: what started the session",
    "usage": "[tenant, calls in progress of that tenant including this one]",
    "burst": "[tenant, burst level at that moment]",
    "end_state": "default at the end `UNKNOWN`; `TIMED_OUT` is the server's own",
    "reason": "free text",
    "sip_status": "final SIP status",
    "mos": "media quality",
    "jitter_ms": "media quality",
    "loss_pct": "media quality",
    "codec": "media quality",
    "log_id": "what the line tells",
    "level": "`METRIC` or a log level",
    "text": "the line",
    "action": "the action's name",
    "parent": "an action started before in this session",
    "result": "call result or result of the action",
    "notes": "free text",
    "name": "name of the custom variable",
    "value": "value of the custom variable",
    "samples": "[category, type, ms]",
    "cause": "what failed",
    "detail": "free text",
}


def schema() -> Json:
    """JSON Schema 2020-12 of a message body. What it cannot say stands in $comment."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Billing message, version 1",
        "$comment": "Stricter than this schema: ints have no fraction and no exponent (M1); ts, start_ts, end_ts are at most 24 h after "
        "receipt (M7); notes are counted in UTF-8 bytes (M3); no tenant stands twice in usage or burst (M10); sizes (M4).",
        "oneOf": [{"$ref": "#/$defs/event"}, {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": {"$ref": "#/$defs/event"}}],
        "$defs": {"event": {"oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS]}} | {kind: _of_kind(kind) for kind in KINDS},
    }


def _of_kind(kind: str) -> Json:
    fields = fields_of(kind)
    properties: Json = {"kind": {"const": kind}}
    for field in fields:
        limits = _of_type(field.type)
        properties[field.name] = {"description": FIELDS[field.name]} | (limits if field.required else {"anyOf": [limits, {"type": "null"}]})
    required = ["v", "kind", *(field.name for field in fields if field.required and field.name != "v")]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": True}


def _of_type(kind: inspect.Type) -> Json:
    extra: dict[str, object] = {}
    if isinstance(kind, inspect.Metadata):
        extra, kind = kind.extra or {}, kind.type
    match kind:
        case inspect.IntType():
            return _given(type="integer", minimum=kind.ge, maximum=kind.le)
        case inspect.FloatType():
            return _given(type="number", minimum=kind.ge, maximum=kind.le)
        case inspect.StrType():
            pattern = kind.pattern and kind.pattern.replace(r"\Z", "$")  # the end of the text, in the dialect of JSON Schema
            return _given(
                type="string", minLength=kind.min_length, maxLength=kind.max_length or extra.get("max_utf8_bytes"), pattern=pattern
            )
        case inspect.LiteralType(values=(only,)):
            return {"const": only}
        case inspect.LiteralType():
            return {"enum": [int(word) if word.isdigit() else word for word in listed(kind).split(", ")]}
        case inspect.VarTupleType():
            unique = True if extra.get("distinct") == "items" else None
            items = _of_type(kind.item_type)
            return _given(type="array", minItems=kind.min_length, maxItems=kind.max_length, uniqueItems=unique, items=items)
        case inspect.TupleType():
            members = [_of_type(item) for item in kind.item_types]
            return {"type": "array", "prefixItems": members, "minItems": len(members), "maxItems": len(members)}
        case _:
            raise NotImplementedError(f"no JSON Schema for {type(kind).__name__}: add it here and in faults.py")


def _pattern(kind: inspect.StrType) -> str | None:
    """In the dialect of JSON Schema, where $ is the end of the text."""
    return kind.pattern and kind.pattern.replace(r"\Z", "$")


def _given(**limits: object) -> Json:
    return {name: limit for name, limit in limits.items() if limit is not None}


def tables() -> dict[str, str]:
    """The generated parts of the page by the name of their marker."""
    envelope = [field for field in fields_of("call.start") if field.name in Event.__struct_fields__]
    call = [field for field in fields_of("call.start") if field.name not in Event.__struct_fields__]
    own = {kind: [field for field in fields_of(kind) if field.name not in Event.__struct_fields__] for kind in KINDS}
    others = [kind for kind, of in KINDS.items() if not issubclass(of, CallEvent)]
    shown_kind = "| `kind` | one of the kinds below | yes | " + FIELDS["kind"] + " |"
    lines = _rows(envelope)
    return {
        "envelope": "\n".join([*lines[:3], shown_kind, *lines[3:]]),
        "call": "\n".join(_rows(call)),
        "others": "\n\n".join(f"`{kind}`\n\n" + "\n".join(_rows(own[kind])) for kind in others),
        "reasons": "\n".join(["| Reason | Meaning |", "|---|---|", *(f"| `{reason}` | {text} |" for reason, text in MEANING.items())]),
    }


def _rows(fields: list[Field]) -> list[str]:
    rows = [f"| `{field.name}` | {allowed(field.type)} | {'yes' if field.required else ''} | {FIELDS[field.name]} |" for field in fields]
    return ["| Field | Allowed | Required | Meaning |", "|---|---|---|---|", *rows]


def allowed(kind: inspect.Type) -> str:
    """A type in words for a table cell."""
    extra: dict[str, object] = {}
    if isinstance(kind, inspect.Metadata):
        extra, kind = kind.extra or {}, kind.type
    match kind:
        case inspect.IntType():
            highest = "receipt + 24 h" if "future_ms" in extra else kind.le
            return f"int, {kind.ge} to {highest}"
        case inspect.FloatType():
            return "number" if kind.ge is None else f"number, {kind.ge:g} to {kind.le:.0f}"
        case inspect.StrType():
            return _text_allowed(kind, extra)
        case inspect.LiteralType():
            return ", ".join(f"`{word}`" for word in listed(kind).split(", "))
        case inspect.VarTupleType():
            different = {"items": " different", "first": " (different tenants)"}.get(str(extra.get("distinct")), "")
            return f"list of {kind.min_length or 0} to {kind.max_length}{different}: {allowed(kind.item_type)}"
        case inspect.TupleType():
            return "[" + "; ".join(allowed(item) for item in kind.item_types) + "]"
        case _:
            raise NotImplementedError(f"no words for {type(kind).__name__}")


def _text_allowed(kind: inspect.StrType, extra: dict[str, object]) -> str:
    if "max_utf8_bytes" in extra:
        return f"string, at most {extra['max_utf8_bytes']} bytes of UTF-8"
    limits = f", {kind.min_length or 0} to {kind.max_length} characters" if kind.max_length else ""
    pattern = (_pattern(kind) or "").replace("|", "\\|")  # a bar would end the table cell
    return "string" + limits + (f", `{pattern}`" if pattern else "")


def page(text: str) -> str:
    """The page with its generated parts replaced. Raises ValueError if a marker is missing."""
    for name, table in tables().items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
        before, after = text.index(begin) + len(begin), text.index(end)
        text = f"{text[:before]}\n{table}\n\n{text[after:]}"
    return text


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(schema_text())
    PAGE.write_text(page(PAGE.read_text()))
    sys.stdout.write(f"wrote {SCHEMA.relative_to(ROOT)} and the tables of {PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
