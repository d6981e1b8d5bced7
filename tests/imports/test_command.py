"""`rs import ivr-csv` against real brokers: what it posts, what it refuses, what it says."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner, Result

from pipeline import settings, topics
from pipeline.cli import build
from pipeline.imports.stream_time import newest
from tests.bridge.support import take_from
from tests.conftest import free_port
from tests.imports.test_ivr_csv import AGENT, FILE, file_of
from tests.topics import made_anew

CALL_TS = 1_280_642_400_000  # of AGENT
HOUR = 3_600_000


@pytest.fixture
def rs(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    def run(*arguments: str, **variables: object) -> Result:
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        settings.load.cache_clear()
        return CliRunner().invoke(build("import"), ["import", "ivr-csv", *map(str, arguments)])

    yield run
    settings.load.cache_clear()


async def log_of(bootstrap: str, *records: tuple[int, int]) -> None:
    """A new rs.billing of two partitions with these (ts, receipt) in the first."""
    await made_anew(bootstrap, [topics.BILLING], 2)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for ts, receipt in records:
            await producer.send_and_wait(topics.BILLING, json.dumps({"ts": ts}).encode(), b"G", 0, timestamp_ms=receipt)


def test_the_newest_is_the_greatest_of_the_lesser_of_ts_and_receipt(kafka: str) -> None:
    asyncio.run(log_of(kafka, (5_000, 9_000), (50_000, 8_000), (7_000, 10_000)))
    assert asyncio.run(newest(kafka)) == 8_000


def test_an_empty_log_has_no_newest(kafka: str) -> None:
    asyncio.run(log_of(kafka))
    assert asyncio.run(newest(kafka)) is None


def test_history_behind_the_log_is_refused(kafka: str, activemq: int, tmp_path: Path, rs) -> None:
    file = file_of(tmp_path, AGENT)
    asyncio.run(log_of(kafka, (CALL_TS + 49 * HOUR, CALL_TS + 49 * HOUR)))
    result = rs(file, "--queue", "import.refused", RS_KAFKA__BOOTSTRAP=kafka, RS_ACTIVEMQ__PORT=activemq)
    assert result.exit_code == 1
    assert result.stderr == (
        "rs: the log has come to 2010-08-03 07:00 UTC, and the file begins at 2010-08-01 06:00 UTC: its events would be late. "
        "History is imported into a log of its own: rs up --no-simulator --data DIR with fold.lateness 0\n"
    )
    assert rs(file, "--queue", "import.refused", RS_FOLD__LATENESS=0).exit_code == 0


def test_history_within_lateness_is_posted_in_order_of_time(kafka: str, activemq: int, tmp_path: Path, rs) -> None:
    asyncio.run(log_of(kafka, (CALL_TS + 47 * HOUR, CALL_TS + 47 * HOUR)))
    rows = [AGENT | {"call_id": str(n)} for n in range(30)]
    result = rs(file_of(tmp_path, *rows), "--queue", "import.posted", RS_KAFKA__BOOTSTRAP=kafka, RS_ACTIVEMQ__PORT=activemq)
    assert result.exit_code == 0, result.output
    counts = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert {"rows 30", "calls 30", "sessions 60", "events 270", "messages confirmed 3", "left out: vru_back 0"} <= set(counts)
    batches = [json.loads(frame.body) for frame in take_from(activemq, "import.posted")]
    assert [len(batch) for batch in batches] == [100, 100, 70]
    times = [event["ts"] for batch in batches for event in batch]
    assert times == sorted(times)


def test_a_dry_run_needs_no_broker(rs) -> None:
    result = rs(FILE, "--dry-run", RS_KAFKA__BOOTSTRAP="127.0.0.1:1", RS_ACTIVEMQ__PORT=free_port())
    assert result.exit_code == 0
    assert "left out: vru_back" in result.stdout


def test_faults_are_one_line(tmp_path: Path, rs) -> None:
    for result in (
        rs(tmp_path / "absent.csv"),
        rs(file_of(tmp_path, AGENT | {"type": "XX"})),
        rs(file_of(tmp_path, AGENT), RS_KAFKA__BOOTSTRAP="127.0.0.1:1"),
        rs(file_of(tmp_path, AGENT), RS_FOLD__LATENESS=0, RS_ACTIVEMQ__PORT=free_port()),
    ):
        assert result.exit_code == 1
        assert result.stderr.startswith("rs: ")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
