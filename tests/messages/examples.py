"""Messages to start from: the contract's examples and a full event of each kind."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

Event = dict[str, Any]

ROOT = Path(__file__).parents[2]
RECEIPT = 1_795_000_030_000
GUID = "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"

ENVELOPE: Event = {"v": 1, "comp": "MCP", "comp_id": 301, "session": "E1DE00B6", "guid": GUID, "ts": 1_795_000_000_000, "seq": 0}
CALL: Event = {
    "start_ts": 1_795_000_000_000,
    "end_ts": 1_795_000_021_000,
    "tenant_path": [1, 102],
    "tenant_name": "Environment/Acme",
    "app": 310,
    "app_name": "Billing IVR",
    "dn": "8005550123",
    "call_type": "INBOUND",
    "remote_uri": "sip:+15551230001@gw1",
    "local_uri": "sip:8005550123@rm",
    "origin": "gateway",
    "usage": [[1, 41], [102, 7]],
    "burst": [[1, 1], [102, 2]],
    "end_state": "USER_END",
    "reason": "caller hung up",
    "sip_status": 200,
    "mos": 4.2,
    "jitter_ms": 3,
    "loss_pct": 0.5,
    "codec": "PCMU",
}
FIELDS: dict[str, Event] = {
    "call.start": CALL,
    "call.update": CALL,
    "call.end": CALL,
    "call.event": {"log_id": "incall_begin", "level": "METRIC", "text": "310|sip:+15551230001@gw1"},
    "var.action_start": {"action": "balance", "parent": "main"},
    "var.action_end": {"action": "balance", "result": "SUCCESS", "reason": "said", "notes": "n"},
    "var.result": {"result": "SUCCESS", "reason": "said", "notes": "n"},
    "var.custom": {"name": "segment", "value": "gold"},
    "sq.latency": {"samples": [["RESPONSE", "first_prompt", 96], ["FETCHING", "initial_page", 44.5]]},
    "sq.failure": {"cause": "AUDIO_GAP", "detail": "2 s"},
}


def event(kind: str = "call.start", /, **changed: Any) -> Event:
    """A full event of a kind; `changed` replaces fields, `...` takes one away."""
    full = copy.deepcopy({**ENVELOPE, "kind": kind, **FIELDS.get(kind, {}), **changed})
    return {name: value for name, value in full.items() if value is not ...}


def body(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def contract_examples() -> list[bytes]:
    page = (ROOT / "docs/contract.md").read_text()
    return page.split("```json\n")[1].split("```")[0].strip().encode().split(b"\n")
