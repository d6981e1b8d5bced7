"""Tables read from changelogs written by hand into a real Kafka."""

import asyncio
import json
from collections.abc import Iterator

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from agents.keys import Dimension, activity_key, bin_key, tick_key
from agents.session import add
from agents.state import Activity, Bin, Call, Figures, Message, Session, Spread, Tick
from pipeline import inspect, settings, topics
from pipeline.cli import build
from pipeline.generation import FIRST
from pipeline.messages.types import CallStart
from pipeline.runtime import codec
from tests.topics import made_anew

GUID = "0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42"
PARTITIONS = 4
HOME = topics.partition_of(GUID.encode(), PARTITIONS)
ACME = Dimension("RM", "tenant", "102").pack()


def a_call(dn: str) -> Call:
    start = CallStart(v=1, comp="RM", comp_id=201, session="7A10F2", guid=GUID, ts=1_795_000_000_000, seq=0, tenant_path=(1, 102), dn=dn)
    message = Message(7, "call.start", 1_795_000_000_000, 1_795_000_000_300, 12, "rs.billing", "ID:1")
    session = Session(201, "7A10F2")
    add(session, start, message)
    return Call([session])


def encoded(mark: int, value: msgspec.Struct) -> bytes:
    return codec.join(mark, msgspec.msgpack.encode(value))


@pytest.fixture(scope="module")
def changelogs(kafka: str) -> str:
    """Four changelogs; of the call a newer mark lies before an older one."""
    asyncio.run(fill(kafka))
    return kafka


async def fill(kafka: str) -> None:
    await made_anew(kafka, [FIRST.changelog(table) for table in inspect.TABLES], PARTITIONS)
    bin_start = 1_795_000_200_000
    figures = Figures({"INBOUND": 3}, {"INBOUND": 1}, {"USER_END": 1}, {"USER_END": Spread(1, 5, 25, 5, 5, {1: 1})})
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:

        async def put(table: str, partition: int, key: bytes, value: bytes | None, mark: int = 0) -> None:
            headers = codec.tombstone(mark) if value is None else []
            await producer.send_and_wait(FIRST.changelog(table), value, key, partition, headers=headers)

        await put("calls", HOME, GUID.encode(), encoded(3, a_call("1")))
        await put("calls", HOME, GUID.encode(), encoded(9, a_call("99")))
        await put("calls", HOME, GUID.encode(), encoded(5, a_call("55")))
        await put("calls", 0, b"DROPPED", encoded(4, a_call("2")))
        await put("calls", 0, b"DROPPED", None, 6)
        await put("calls", 0, b"DROPPED", encoded(5, a_call("55")))
        await put("calls", 1, b"BACK", None, 6)
        await put("calls", 1, b"BACK", encoded(8, a_call("3")))
        await put("activity", 2, activity_key(ACME, bin_start, 2), encoded(11, Activity(figures)))
        await put("parts", 0, activity_key(ACME, bin_start, 2), encoded(11, Activity(figures)))
        await put("parts", 0, tick_key(2), encoded(11, Tick(bin_start, bin_start, bin_start)))
        await put("tenants", 0, bin_key(ACME, "HOUR", bin_start), encoded(20, Bin(figures, {"INBOUND": 2})))
        await put("tenants", 0, bin_key(ACME, "DAY", bin_start), encoded(20, Bin(figures, {"INBOUND": 2})))


@pytest.fixture
def rs(changelogs: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.setenv("RS_KAFKA__BOOTSTRAP", changelogs)
    settings.load.cache_clear()

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(build(arguments[0]), list(arguments))
        return result.exit_code, result.output

    yield run
    settings.load.cache_clear()


async def test_the_highest_mark_wins_not_the_last_record(changelogs: str) -> None:
    (row,) = await inspect.rows(changelogs, "calls", key=GUID)
    assert (row.mark, row.partition) == (9, HOME)
    assert inspect.readable("calls", row)["sessions"][0]["payloads"]["0"]["dn"] == "99"


async def test_a_tombstone_holds_against_an_older_value_and_yields_to_a_newer_one(changelogs: str) -> None:
    assert [(row.key, row.mark) for row in await inspect.rows(changelogs, "calls") if row.key != GUID.encode()] == [(b"BACK", 8)]


@pytest.mark.parametrize("typed", [GUID, GUID.lower(), GUID + ";gvp.rm.datanodes=1"])
async def test_a_guid_is_found_in_any_case_and_only_its_partition_is_read(changelogs: str, typed: str) -> None:
    read = []
    rows = await inspect.rows(changelogs, "calls", key=typed, progress=lambda done, total: read.append(total))
    assert [row.mark for row in rows] == [9]
    assert read[-1] == 3 + (3 if HOME == 0 else 0) + (2 if HOME == 1 else 0)


async def test_keys_by_prefix_and_partition(changelogs: str) -> None:
    assert len(await inspect.rows(changelogs, "tenants", key="RM|tenant|102@*")) == 2
    assert len(await inspect.rows(changelogs, "tenants", key="RM|tenant|102@HOUR/*")) == 1
    assert await inspect.rows(changelogs, "activity", partition=1) == []
    assert len(await inspect.rows(changelogs, "activity", partition=2)) == 1


async def test_a_missing_table_or_partition_is_named(changelogs: str) -> None:
    with pytest.raises(inspect.NoSuchTableError, match="no table call: the tables are calls, activity, parts, tenants"):
        await inspect.rows(changelogs, "call")
    with pytest.raises(inspect.NoSuchTableError, match="no partition 9: it has 0, 1, 2, 3"):
        await inspect.rows(changelogs, "calls", partition=9)


async def test_summary_counts_what_stands(changelogs: str) -> None:
    found = await inspect.summary(changelogs, "calls")
    assert (found.partitions, found.records, found.keys, found.highest_mark) == (4, 8, 2, 9)
    assert found.bytes == sum(len(msgspec.msgpack.encode(a_call(dn))) for dn in ("99", "3"))


def test_rs_table_shows_names_not_places(rs) -> None:
    code, output = rs("table", "parts", "--json")
    assert code == 0
    ticked, row = map(json.loads, output.splitlines())
    assert (ticked["type"], ticked["stream"], ticked["mark"]) == ("Tick", 1_795_000_200_000, 11)
    assert row["figures"]["durations"]["USER_END"]["buckets"] == {"1": 1}
    code, output = rs("table", "calls", GUID.lower())
    assert code == 0
    assert '"message_id": "ID:1"' in output
    assert '"kind": "call.start"' in output


def test_rs_tables_lists_all(rs) -> None:
    code, output = rs("tables", "--json")
    assert code == 0
    assert [(line["name"], line["keys"]) for line in map(json.loads, output.splitlines())] == [
        ("calls", 2), ("activity", 1), ("parts", 2), ("tenants", 2),
    ]  # fmt: skip
    assert rs("tables")[0] == 0


def test_faults_are_one_line_and_exit_code_1(rs, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = rs("table", "calls", "NOBODY")
    assert (code, output) == (1, "rs: table calls has no row NOBODY: rs table calls shows what is there\n")
    monkeypatch.setenv("RS_KAFKA__BOOTSTRAP", "127.0.0.1:1")
    settings.load.cache_clear()
    code, output = rs("tables")
    assert code == 1
    assert output.startswith("rs: Kafka at 127.0.0.1:1 cannot be read")
    assert output.count("\n") == 1
