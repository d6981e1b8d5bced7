"""Events read without their limits say the same, in JSON and as tables keep them."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import orjson
import pytest

from pipeline.messages import trusted, types
from tests.agents.world import T0, event, random_events

CHECKED = msgspec.json.Decoder(types.BillingEvent)
TRUSTED = msgspec.json.Decoder(trusted.BillingEvent)
STORED = msgspec.msgpack.Decoder(trusted.StoredEvent)

FULL = event(
    "call.update", T0, 3, start_ts=T0, end_ts=T0, tenant_path=[1, 2], tenant_name="a", app=-1, app_name="b", dn="8", call_type="INBOUND",
    remote_uri="c", local_uri="d", origin="e", usage=[[1, 2]], burst=[[1, 3]], end_state="REJECTED", reason="f", sip_status=200, mos=4.1,
    jitter_ms=1, loss_pct=0.5, codec="g",
)  # fmt: skip
EVENTS = [FULL, *random_events(random.Random(1), 60)]


@pytest.mark.parametrize("kind", types.KINDS)
def test_every_kind_is_read_as_the_contract_reads_it(kind: str) -> None:
    found = [orjson.dumps(e) for e in EVENTS if e["kind"] == kind]
    assert found
    for value in found:
        checked, read = CHECKED.decode(value), TRUSTED.decode(value)
        assert type(read) is not type(checked)
        assert isinstance(read, type(checked))
        assert msgspec.to_builtins(read) == msgspec.to_builtins(checked)
        assert trusted.name_of(read) == kind
        assert (type(read) in trusted.CALL_EVENTS) == isinstance(checked, types.CallEvent)


@pytest.mark.parametrize("decoder", [CHECKED, TRUSTED])
def test_what_is_stored_comes_back(decoder: Any) -> None:
    for e in EVENTS:
        read = decoder.decode(orjson.dumps(e))
        stored = STORED.decode(msgspec.msgpack.encode(trusted.body_of(read)))
        assert isinstance(stored, type(CHECKED.decode(orjson.dumps(e))))
        envelope = {name: e[name] for name in trusted.ENVELOPE}
        assert msgspec.to_builtins(trusted.restored(stored, **envelope)) == msgspec.to_builtins(read)


def test_kinds_keep_their_numbers() -> None:
    """They stand in tables: a new kind goes to the end."""
    kinds = [
        "call.start", "call.update", "call.end", "call.event", "var.action_start", "var.action_end", "var.result", "var.custom",
        "sq.latency", "sq.failure",
    ]  # fmt: skip
    assert list(types.KINDS)[: len(kinds)] == kinds
