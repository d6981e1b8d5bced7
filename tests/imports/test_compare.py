"""The comparison of a store with the plain count: equal when it is, and what differs when it isn't."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.imports.ivr_csv import read
from tests.imports.compare import differences
from tests.imports.test_ivr_csv import AGENT, NOT_QUEUED, NOT_SERVED, file_of

SCHEMA = Path(__file__).parents[2] / "sinks/sql/schema/sqlite/0001_calls_and_bins.sql"
FIVE_MINUTES, DAY = 300_000, 86_400_000
ROWS = (
    AGENT,
    AGENT | {"call_id": "2", "vru_entry": "8:59:00"},
    AGENT | {"call_id": "3", "outcome": "PHANTOM"},
    AGENT | {"call_id": "4", "outcome": "HANG"} | NOT_SERVED,
    AGENT
    | {"call_id": "5", "outcome": "HANG", "date": "2010-08-02", "vru_entry": "1:00:00", "vru_exit": "1:10:00"}
    | NOT_SERVED
    | NOT_QUEUED,
    AGENT | {"call_id": "6", "vru_exit": "8:00:00"},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return file_of(tmp_path, *ROWS)


@pytest.fixture
def store(file: Path, tmp_path: Path) -> Path:
    """A store filled as the sinks would, from the events of the import."""
    events = read(file).events
    bins: dict[tuple[str, int], tuple[Counter, Counter]] = {}
    for event in events:
        if event.comp == "RM":
            for granularity, length in (("FIVE_MINUTES", FIVE_MINUTES), ("DAY", DAY)):
                arrivals, ends = bins.setdefault((granularity, event.ts // length * length), (Counter(), Counter()))
                if event.seq == 0:
                    arrivals[event.call_type] += 1
                else:
                    ends[event.end_state] += 1
    results = {event.guid: None for event in events} | {
        event.guid: event.result for event in events if event.__struct_config__.tag == "var.result"
    }
    database = tmp_path / "reporting.sqlite3"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(SCHEMA.read_text())
        for (granularity, start), (arrivals, ends) in bins.items():
            figures = (arrivals.total(), ends.total(), json.dumps(arrivals), json.dumps(ends))
            connection.execute(
                "INSERT INTO bins VALUES (0, 'RM', 'component_type', '', ?, ?, ?, ?, 0, 0, 0, '0', NULL, NULL, ?, ?, '{}', '{}', 1, 1)",
                (granularity, start, *figures),
            )
        for guid, result in results.items():
            connection.execute(
                "INSERT INTO calls (source_partition, guid, in_progress, call_type, result, sessions, generation, mark)"
                " VALUES (0, ?, 0, 'INBOUND', ?, 1, 1, 1)",
                (guid, result or "UNKNOWN"),
            )
    return database


def test_a_store_that_holds_the_file_is_equal(file: Path, store: Path) -> None:
    assert differences(file, store) == []


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        ("DELETE FROM calls WHERE result = 'FAILED'", ["calls", "calls_by_result"]),
        ("UPDATE calls SET result = 'FAILED' WHERE result = 'SUCCESS'", ["calls_by_result"]),
        ("UPDATE bins SET bin_start = bin_start - 300000 WHERE granularity = 'FIVE_MINUTES'", ["busiest_five_minutes"]),
        ("UPDATE bins SET completed_by = '{}'", ["completed_by_end_state"]),
        ("UPDATE bins SET arrivals = arrivals + 1 WHERE granularity = 'DAY'", ["arrivals_of_day_bins"]),
        ("UPDATE bins SET bin_start = bin_start - 7200000 WHERE bin_start > 1280690000000", ["arrivals_by_local_day"]),
    ],
)
def test_what_differs_is_named(file: Path, store: Path, change: str, differ: list[str]) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(change)
    assert [line.partition(":")[0] for line in differences(file, store)] == differ
