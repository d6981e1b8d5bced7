"""Rows of the voice response units as billing messages, rule by rule of docs/import.md; the whole file against the plain count."""

import gzip
import json
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pipeline.imports.ivr_csv import COLUMNS, Contents, WrongFileError, read
from pipeline.messages.parse import parse
from pipeline.messages.types import Event
from tests.imports.plain_count import count

FILE = Path(__file__).parents[1] / "data" / "ivr-calls-2010-08a.csv.gz"

SERVED = "AA0204,43678,2,NE,2010-08-01,9:00:00,9:00:10,9:00:10,9:01:00,AGENT,9:00:59,9:03:20"
AGENT = dict(zip(COLUMNS, SERVED.split(","), strict=True))
NOT_QUEUED = {"q_start": "0:00:00", "q_exit": "0:00:00"}
NOT_SERVED = {"ser_start": "0:00:00", "ser_exit": "0:00:00"}


def file_of(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "calls.csv"
    path.write_text("\n".join([",".join(COLUMNS), *(",".join(row[column] for column in COLUMNS) for row in rows)]) + "\n")
    return path


@pytest.fixture
def read_rows(tmp_path: Path):
    def reading(*rows: dict[str, str]) -> Contents:
        return read(file_of(tmp_path, *rows))

    return reading


def told(events: list[Event], comp: str) -> list[tuple[str, str, object]]:
    """(time in UTC, kind, what it says) of the events of one component type, in order of seq."""
    shown = []
    for event in sorted((event for event in events if event.comp == comp), key=lambda event: event.seq):
        known = json.loads(msgspec.json.encode(event))
        said = [known[name] for name in ("action", "result", "end_state") if name in known]
        shown.append((f"{datetime.fromtimestamp(event.ts / 1000, UTC):%d %H:%M:%S}", known["kind"], " ".join(said)))
    return shown


def test_a_served_call(read_rows) -> None:
    events = read_rows(AGENT).events
    assert told(events, "RM") == [("01 06:00:00", "call.start", ""), ("01 06:03:20", "call.end", "USER_END")]
    assert told(events, "MCP") == [
        ("01 06:00:00", "call.start", ""),
        ("01 06:00:00", "var.action_start", "identify"),
        ("01 06:00:10", "var.action_end", "identify SUCCESS"),
        ("01 06:00:10", "var.action_start", "queue"),
        ("01 06:01:00", "var.action_end", "queue SUCCESS"),
        ("01 06:01:00", "var.result", "SUCCESS"),
        ("01 06:01:00", "call.end", "APPLICATION_END"),
    ]


def test_identity_place_and_names(read_rows) -> None:
    start = next(event for event in read_rows(AGENT).events if event.comp == "RM")
    guid = uuid.uuid5(uuid.NAMESPACE_URL, "ivr-csv:2010-08-01,AA0204,43678,9:00:00")
    assert json.loads(msgspec.json.encode(start)) == {
        "v": 1, "kind": "call.start", "comp": "RM", "comp_id": 201, "session": "RM-" + guid.hex[:16].upper(), "guid": str(guid).upper(),
        "ts": 1280642400000, "seq": 0, "tenant_path": [1, 104], "tenant_name": "NE", "app": 304, "app_name": "NE", "dn": "800004",
        "call_type": "INBOUND",
    }  # fmt: skip


def test_the_mcp_has_the_unit_and_no_dn(read_rows) -> None:
    start = next(event for event in read_rows(AGENT | {"vru_line": "AA0612", "type": "TT"}).events if event.comp == "MCP")
    assert (start.comp_id, start.dn, start.app, start.call_type) == (306, None, 306, "OUTBOUND")


def test_hung_up_in_the_queue(read_rows) -> None:
    events = read_rows(AGENT | NOT_SERVED | {"outcome": "HANG"}).events
    assert told(events, "RM")[-1] == ("01 06:01:00", "call.end", "USER_END")
    assert [said for _, _, said in told(events, "MCP")[-3:]] == ["queue FAILED", "FAILED", "USER_END"]


def test_hung_up_without_queueing(read_rows) -> None:
    events = read_rows(AGENT | NOT_SERVED | NOT_QUEUED | {"outcome": "HANG"}).events
    assert told(events, "MCP")[2:] == [
        ("01 06:00:10", "var.action_end", "identify SUCCESS"),
        ("01 06:00:10", "var.result", "UNKNOWN"),
        ("01 06:00:10", "call.end", "USER_END"),
    ]


def test_rows_that_are_odd_but_no_fault_stay_as_they_stand(read_rows) -> None:
    contents = read_rows(AGENT | {"outcome": "HANG"}, AGENT | NOT_SERVED | {"call_id": "2"})
    assert contents.calls == 2
    assert told(contents.events[:], "RM")[-1] != told(contents.events[:], "RM")[-2], "service counts for the end of the one only"


def test_a_phantom_is_one_rejected_rm_session(read_rows) -> None:
    contents = read_rows(AGENT | {"outcome": "PHANTOM"})
    assert (contents.calls, contents.sessions) == (1, 1)
    assert told(contents.events, "RM")[-1] == ("01 06:03:20", "call.end", "REJECTED")
    assert told(contents.events, "MCP") == []


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("vru_back", {"vru_exit": "8:59:59"}),
        ("queue_back", {"q_exit": "9:00:09"}),
        ("service_back", {"ser_exit": "9:00:58"}),
        ("vru_back", {"vru_exit": "8:59:59", "q_exit": "9:00:09", "ser_exit": "9:00:58"}),
        ("queue_back", {"q_exit": "9:00:09", "ser_exit": "9:00:58"}),
    ],
)
def test_faults_are_counted_by_the_first_reason_that_fits(read_rows, fault: str, changed: dict[str, str]) -> None:
    contents = read_rows(AGENT | changed)
    assert (contents.left_out, contents.calls, contents.events) == ({fault: 1}, 0, [])


def test_over_midnight(read_rows) -> None:
    waiting = {"vru_entry": "23:59:50", "vru_exit": "23:59:58", "q_start": "23:59:58", "q_exit": "0:00:00"}
    contents = read_rows(AGENT | waiting | {"ser_start": "0:00:00", "ser_exit": "0:02:00"})
    assert contents.left_out == {}
    assert told(contents.events, "MCP")[-1] == ("01 21:00:00", "call.end", "APPLICATION_END")
    assert told(contents.events, "RM")[-1] == ("01 21:02:00", "call.end", "USER_END")


@pytest.mark.parametrize(("exit_", "left_out"), [("8:00:00", {"vru_back": 1}), ("7:59:59", {})])
def test_twelve_hours_back_is_a_fault_and_more_is_the_next_day(read_rows, exit_: str, left_out: dict[str, int]) -> None:
    assert read_rows(AGENT | NOT_QUEUED | NOT_SERVED | {"vru_entry": "20:00:00", "vru_exit": exit_}).left_out == left_out


@pytest.mark.parametrize(
    ("day", "entry", "exit_", "lasts_s"),
    [
        ("2010-03-26", "1:59:30", "3:00:30", 60),  # the clock went from 2 to 3
        ("2010-09-12", "0:59:30", "2:00:30", 2 * 3600 + 60),  # the hour from 1 to 2 came twice
        ("2010-09-12", "1:10:00", "1:11:00", 60),
    ],
)
def test_a_call_over_the_change_of_summer_time_has_its_true_length(read_rows, day: str, entry: str, exit_: str, lasts_s: int) -> None:
    row = AGENT | NOT_QUEUED | NOT_SERVED | {"outcome": "HANG", "date": day, "vru_entry": entry, "vru_exit": exit_}
    start, end = (event.ts for event in read_rows(row).events if event.comp == "RM")
    assert end - start == lasts_s * 1000


def test_of_a_repeated_hour_the_first_is_meant(read_rows) -> None:
    start = read_rows(AGENT | {"date": "2010-09-12", "vru_entry": "1:10:00", "vru_exit": "1:11:00"} | NOT_QUEUED | NOT_SERVED).events[0]
    assert datetime.fromtimestamp(start.ts / 1000, UTC) == datetime(2010, 9, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("vru_line", "BB0101"),
        ("vru_line", "AA0001"),
        ("type", "XX"),
        ("outcome", "GONE"),
        ("date", "1.8.2010"),
        ("vru_entry", "25:00:00"),
        ("q_exit", ""),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, column: str, text: str) -> None:
    with pytest.raises(WrongFileError, match=rf"calls\.csv line 3: {column} is '{text}' and should be"):
        read(file_of(tmp_path, AGENT, AGENT | {column: text}))


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(WrongFileError, match="line 1: the columns should be vru_line,"):
        read(other)
    short = file_of(tmp_path, AGENT)
    short.write_text(short.read_text() + "AA0101,1\n")
    with pytest.raises(WrongFileError, match="line 3: a row should have 12 columns"):
        read(short)
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"vru_line")[:-6])
    with pytest.raises(WrongFileError):
        read(broken)


@pytest.fixture(scope="module")
def whole() -> Contents:
    return read(FILE)


def test_the_whole_file_agrees_with_the_plain_count(whole: Contents) -> None:
    plain = count(FILE)
    starts = [event for event in whole.events if event.comp == "RM" and event.seq == 0]
    ends = [event for event in whole.events if event.comp == "RM" and event.seq == 1]
    assert (whole.rows, whole.calls, dict(whole.left_out)) == (plain["rows"], plain["calls"], plain["left_out"])
    assert Counter(f"{datetime.fromtimestamp(event.ts / 1000, UTC):%Y-%m-%d}" for event in starts) == plain["arrivals_by_utc_day"]
    assert Counter(event.end_state for event in ends) == plain["completed_by_end_state"]


def test_the_bridge_takes_the_events(whole: Contents) -> None:
    events = whole.events[::5]
    for start in range(0, len(events), 1000):
        batch = events[start : start + 1000]
        parsed = parse(msgspec.json.encode(batch), receipt=1_795_000_000_000)
        assert (len(parsed.good), parsed.bad) == (len(batch), [])


def test_every_event_is_named_once_and_in_order(whole: Contents) -> None:
    next_seq: dict[tuple[str, str], int] = {}
    latest = 0
    for event in whole.events:
        key = event.guid, event.session
        assert event.seq == next_seq.get(key, 0)
        next_seq[key] = event.seq + 1
        latest = max(latest, event.ts)
        assert latest - event.ts < 12 * 3_600_000
    assert len(next_seq) == whole.sessions


def test_two_readings_are_the_same(read_rows) -> None:
    rows = [AGENT | {"call_id": str(n)} for n in range(20)]
    assert read_rows(*rows).events == read_rows(*rows).events
