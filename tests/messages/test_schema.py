"""The schema and the contract page say what the code does."""

from __future__ import annotations

import json

import jsonschema
import pytest

from pipeline.messages import schema
from pipeline.messages.headers import rfc3339
from pipeline.messages.types import KINDS
from tests.messages.examples import FIELDS, contract_examples, event

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema.SCHEMA.read_text()))


def test_the_files_are_up_to_date() -> None:
    hint = "run python -m pipeline.messages.schema"
    assert schema.SCHEMA.read_text() == schema.schema_text(), hint
    assert schema.PAGE.read_text() == schema.page(schema.PAGE.read_text()), hint


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema.schema())


def test_the_contracts_examples_are_valid() -> None:
    for message in contract_examples():
        VALIDATOR.validate(json.loads(message))


@pytest.mark.parametrize("kind", KINDS)
def test_full_events_are_valid(kind: str) -> None:
    VALIDATOR.validate(event(kind))
    VALIDATOR.validate([event(kind), event("call.end", unknown={})])


@pytest.mark.parametrize(
    "message",
    [
        [],
        5,
        [5],
        event(v=2),
        event("call.begin"),
        event(seq=...),
        event(seq=None),
        event(comp_id=0),
        event(session="a b"),
        event(guid="x"),
        event(dn="x"),
        event(tenant_path=[1, 1]),
        event(usage=[[1]]),
        event(burst=[[1, 4]]),
        event(call_type="x"),
        event(ts=5),
        event("call.event", level=6),
        event("var.custom", value="x" * 257),
        event("sq.latency", samples=[]),
    ],
)
def test_faults_the_schema_can_see(message: object) -> None:
    assert not VALIDATOR.is_valid(message)


def test_every_field_is_explained_and_nothing_else() -> None:
    assert set(schema.FIELDS) == {name for kind in FIELDS for name in event(kind)}


def test_times() -> None:
    assert rfc3339(1_795_000_000_007) == b"2026-11-18T11:06:40.007Z"
