"""`rs explain` against a real Kafka, with records as the bridge writes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from pipeline import settings, topics
from pipeline.cli import build
from pipeline.init import create_topics
from pipeline.messages.headers import record_headers
from pipeline.messages.parse import parse
from tests.agents.world import MINUTE, T0, event
from tests.conftest import kafka_node

PARTITIONS = 4
RECEIPT = T0 + 10 * MINUTE
ONE = "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"

Run = Callable[..., tuple[int, str, str]]


def home(guid: str) -> int:
    return topics.partition_of(guid.encode(), PARTITIONS)


def neighbour(guid: str) -> int:
    """Number of a made-up call that lives in the same partition."""
    return next(n for n in range(1, 1000) if home(event("call.start", T0, 0, call=n)["guid"]) == home(guid))


def stranger(partition: int) -> str:
    """A guid of that partition that nobody has sent."""
    return next(guid for n in range(5000, 6000) if home(guid := f"{n:08X}-0000-4000-8000-000000000000") == partition)


START: dict[str, Any] = {
    **event("call.start", T0 + 1500, 0, tenant_path=[1, 102], call_type="INBOUND", remote_uri="sip:[::1]"),
    "guid": ONE,
}
MOVED: dict[str, Any] = {**event("call.update", T0 + 2000, 1, tenant_path=[1, 105]), "guid": ONE}
END: dict[str, Any] = {**event("call.end", T0 + 6 * MINUTE, 2, end_state="USER_END"), "guid": ONE}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of its own: offsets and stream time of rs.billing are told."""
    with kafka_node(tmp_path_factory.mktemp("explain")) as bootstrap:
        asyncio.run(_fill(bootstrap))
        yield bootstrap


async def _fill(bootstrap: str) -> None:
    await create_topics(settings.read(kafka={"bootstrap": bootstrap, "partitions": PARTITIONS}))
    ahead = event("call.start", T0 + 60 * MINUTE, 0, call=neighbour(ONE))
    sent = [([START, MOVED], RECEIPT), (ahead, T0 + 60 * MINUTE), (START, RECEIPT + 7), (END, RECEIPT)]
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for i, (body, receipt) in enumerate(sent):
            parsed = parse(orjson.dumps(body), receipt)
            assert not parsed.bad
            for good in parsed.good:
                said = record_headers(good, f"ID:host-1:{i}", "rs.billing.east", receipt)
                where = topics.partition_of(good.key, PARTITIONS)
                await producer.send_and_wait(topics.BILLING, good.value, good.key, where, timestamp_ms=receipt, headers=said)


@pytest.fixture
def rs(log: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("RS_KAFKA__BOOTSTRAP", log)

    def run(*arguments: str, lateness: str = "0") -> tuple[int, str, str]:
        monkeypatch.setenv("RS_FOLD__LATENESS", lateness)
        settings.load.cache_clear()
        result = CliRunner().invoke(build("explain"), ["explain", *arguments])
        return result.exit_code, result.stdout, result.stderr

    yield run
    settings.load.cache_clear()


def test_every_message_with_its_origin_and_outcome(rs: Run) -> None:
    code, output, _ = rs(ONE, "--json")
    assert code == 0
    found = json.loads(output)
    assert (found["guid"], found["topic"], found["partition"]) == (ONE, "rs.billing", home(ONE))
    assert (found["first_offset"], found["last_offset"]) == (0, 4)
    assert [(s["offset"], s["receipt"], s["queue"], s["message_id"], s["outcome"]) for s in found["steps"]] == [
        (0, RECEIPT, "rs.billing.east", "ID:host-1:0#0", "added"),
        (1, RECEIPT, "rs.billing.east", "ID:host-1:0#1", "added"),
        (3, RECEIPT + 7, "rs.billing.east", "ID:host-1:2", "duplicate"),
        (4, RECEIPT, "rs.billing.east", "ID:host-1:3", "added"),
    ]
    assert found["steps"][1]["changed"] == [{"field": "tenant_path", "old": [1, 102], "new": [1, 105]}]
    assert (found["summary"]["end_state"], found["summary"]["tenant_path"]) == ("USER_END", [1, 105])
    assert {c["start"] for c in found["sessions"][0]["counts"]} == {T0, T0 + 5 * MINUTE}


def test_lateness_is_that_of_the_settings(rs: Run) -> None:
    _, output, _ = rs(ONE, "--json", lateness="1800")
    assert [step["outcome"] for step in json.loads(output)["steps"]] == ["added", "added", "late", "late"]


@pytest.mark.parametrize("typed", [ONE.lower(), ONE + ";gvp.rm.datanodes=1"])
def test_for_people(rs: Run, typed: str) -> None:
    code, output, _ = rs(typed)
    assert code == 0
    assert "\x1b" not in output
    lines = [line.strip() for line in output.splitlines()]
    assert lines[0].startswith(f"{ONE}  4 messages in rs.billing, partition {home(ONE)} (offsets 0 to 4 read)")
    assert f"rs.billing/{home(ONE)}/1  call.update  RM 201 s1 seq 1  added" in lines
    assert "tenant_path: 1/102 -> 1/105" in lines
    assert "in RM|tenant|105  RM|tenant-own|105" in lines
    assert "the same event is at offset 0" in lines
    assert any("remote_uri: sip:[::1]" in line for line in lines)  # not taken for markup
    assert any("queue rs.billing.east, message ID:host-1:3" in line for line in lines)
    ended = f"bin {datetime.fromtimestamp((T0 + 5 * MINUTE) / 1000, UTC):%Y-%m-%d %H:%M}  "
    assert any(line.startswith(ended) and "+1 completed USER_END" in line for line in lines), output


def test_an_unknown_guid_is_one_line(rs: Run) -> None:
    guid = stranger(home(ONE))
    code, output, error = rs(guid.lower())
    assert (code, output) == (1, "")
    where = f"partition {home(ONE)} of rs.billing, offsets 0 to 4"
    assert error == f"rs: no message of {guid} in {where}; one that broke the contract would be in rs.quarantine\n"
    code, _, error = rs(stranger((home(ONE) + 1) % PARTITIONS))
    assert code == 1
    assert "which is empty" in error


def test_other_faults_are_one_line(rs: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, error = rs("0F8A6C1E")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("rs: '0F8A6C1E' is no GUID")
    monkeypatch.setenv("RS_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    code, _, error = rs(ONE)
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("rs: Kafka at 127.0.0.1:1 cannot be read")
