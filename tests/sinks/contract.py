"""What every dialect must do. Subclass `StoreContract`, give it a `dialect` fixture, and the whole suite runs on that database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import permutations
from typing import Any

import pytest

from agents.keys import Dimension, bin_key
from agents.state import Bin, Figures, Spread
from pipeline import topics
from sinks.sql.binder import Unstorable
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Fatal, Poison, Transient
from sinks.sql.migrate import migrate, scripts
from sinks.sql.rows import BINS, SESSIONS, TABLES, Row, Table
from sinks.sql.task import SQLStore
from sinks.sql.writer import Writer
from tests.sinks.builders import (
    BEYOND_62_BITS,
    T0,
    FakeRecord,
    bin_made_of,
    bin_record,
    bound,
    busy_record,
    call_record,
    calls,
    event_record,
    guid,
    tick_record,
)

CALLS_0 = (topics.CALLS_CHANGELOG, 0)
TENANTS_0 = (topics.TENANTS_CHANGELOG, 0)
EVENTS_0 = (topics.EVENTS, 0)
LOG = "log-1"
FIELDS = Figures.__struct_fields__
ANY_FIGURE = (
    Bin(peak=1, peak_at=T0, peak_by={"INBOUND": 1}),  # a session passes through
    Bin(Figures(arrivals={"INBOUND": 1})),
    Bin(Figures(completed={"USER_END": 1})),
    Bin(Figures(burst={"102:2": 1})),
    Bin(Figures(results={"REJECTED": 1})),
    Bin(Figures(actions={"welcome|SUCCESS": 1})),
    Bin(Figures(last_actions={"welcome|SUCCESS": 1})),
    Bin(Figures(quality={"calls": 1})),
    Bin(Figures(failures={"AUDIO_GAP": 1})),
    Bin(Figures(latencies={"RESPONSE|first_prompt": Spread(n=1, total=1, squares=1, low=1, high=1, buckets={0: 1})})),
)


def select(dialect: Dialect, sql: str) -> list[tuple[Any, ...]]:
    return selected(dialect, [sql])[0]


def selected(dialect: Dialect, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
    """The rows of each statement, on one connection: a new one is dear on some servers."""
    connection = dialect.connect()
    try:
        cursor, found = connection.cursor(), []
        for sql in statements:
            cursor.execute(sql)
            found.append([tuple(row) for row in cursor.fetchall()])
        return found
    finally:
        connection.close()


def stored(dialect: Dialect) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted by key."""
    asked = [f"SELECT {', '.join(table.names)} FROM {table.name} ORDER BY {', '.join(table.key_names)}" for table in TABLES]
    return {table.name: rows for table, rows in zip(TABLES, selected(dialect, asked), strict=True)}


def offsets(dialect: Dialect) -> dict[tuple[str, int], int]:
    return {(topic, partition): at for topic, partition, at in select(dialect, "SELECT topic, partition, next_offset FROM rs_offsets")}


class Failing:
    """A dialect that raises when rows are staged: the errors of `errors`, each once; those of `poison` whenever a row holds that cell."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.errors: list[Exception] = []
        self.poison: dict[object, Exception] = {}
        self.staged: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def stage(self, cursor: Any, table: Table, rows: Sequence[Row]) -> None:
        self.staged.append(len(rows))
        self._dialect.stage(cursor, table, rows)
        if self.errors:
            raise self.errors.pop(0)
        for row in rows:
            for cell in row:
                if cell in self.poison:
                    raise self.poison[cell]

    def meaning(self, error: Exception) -> Any:
        return error if isinstance(error, Transient | Poison | Fatal) else self._dialect.meaning(error)


class FakeLog:
    """A log whose partitions begin at offset 3."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def log_id(self) -> str:
        return self._name

    async def first_offsets(self, partitions: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return dict.fromkeys(partitions, 3)


@asynccontextmanager
async def opened(dialect: Any, log: str = LOG) -> AsyncIterator[tuple[SQLStore, list[Unstorable]]]:
    aside: list[Unstorable] = []

    async def put_aside(records: Sequence[Unstorable]) -> None:
        aside.extend(records)

    store = SQLStore(dialect, put_aside, FakeLog(log))
    try:
        await store.start([])
        yield store, aside
    finally:
        await store.close()


async def write(store: SQLStore, positions: dict[tuple[str, int], int]) -> None:
    if (work := store.cut(positions)) is not None:
        await work()


class StoreContract:
    @pytest.fixture
    def writer(self, dialect: Dialect) -> Any:
        migrate(dialect)
        writer = Writer(dialect)
        yield writer
        writer.close()

    # -- rows never go back

    def test_a_new_call_is_stored_with_its_sessions(self, dialect: Dialect, writer: Writer) -> None:
        assert writer.write(calls(call_record(1, mark=5)), {CALLS_0: 9}) == {"calls": 1, "sessions": 2, "custom_variables": 2}
        rows = stored(dialect)
        (call,) = rows["calls"]
        assert call[:5] == (0, guid(1), T0 + 1, T0 + 60_001, 0)
        assert call[-2:] == (1, 5)
        assert [session[1:5] for session in rows["sessions"]] == [(guid(1), 201, "S0", "RM"), (guid(1), 202, "S1", "MCP")]
        assert offsets(dialect) == {CALLS_0: 9}
        rm = dict(zip(SESSIONS.names, rows["sessions"][0], strict=True))
        assert json.loads(rm["messages"])[0] == {
            "seq": 0, "kind": "call.start", "ts": T0 + 1, "receipt": T0 + 6, "offset": 4, "source": "rs.billing", "message_id": "ID:1",
        }  # fmt: skip
        payload = json.loads(rm["payloads"])
        assert [(seq, event["kind"], event["name"], event["guid"]) for seq, event in payload.items()] == [
            ("1", "var.custom", "plan", guid(1))
        ]
        assert (rm["tenant_id"], rm["tenant_path"], rm["end_state"], rm["codec"]) == (102, "[1,102]", "USER_END", None)

    def test_a_bin_is_stored_with_its_sums(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(bound(topics.TENANTS_CHANGELOG, [bin_record(102, T0, mark=5), tick_record(3, mark=6)]), {})
        rows = stored(dialect)
        row = dict(zip(BINS.names, rows["bins"][0], strict=True))
        durations = json.loads(row.pop("durations_by"))
        assert durations == {
            "USER_END": {"n": 2, "sum": 100_000, "squares": str(BEYOND_62_BITS), "min": 40_000, "max": 60_000, "buckets": {"4": 1, "5": 1}}
        }
        assert json.loads(row.pop("latencies_by")) == {
            "RESPONSE|first_prompt": {
                "n": 1, "sum": 96_500, "squares": str(96_500**2), "min": 96_500, "max": 96_500, "buckets": {"3": 1},
            }
        }  # fmt: skip
        assert row == {
            "source_partition": 0, "comp": "RM", "dimension": "tenant", "value": "102", "granularity": "HOUR", "bin_start": T0,
            "arrivals": 3, "completed": 2, "in_progress": 1, "duration_n": 2, "duration_sum": 100_000,
            "duration_squares": str(BEYOND_62_BITS),
            "duration_min": 40_000, "duration_max": 60_000, "arrivals_by": '{"INBOUND":3}', "completed_by": '{"USER_END":2}',
            "in_progress_by": '{"INBOUND":1}', "peak": 3, "peak_at": T0 + 1000, "peak_by": '{"BRIDGED":1,"INBOUND":2}',
            "burst_by": '{"102:1":2,"102:2":1}', "results_by": '{"FAILED":1,"SUCCESS":1}',
            "actions_by": '{"balance|UNKNOWN":1,"welcome|SUCCESS":2}', "last_actions_by": '{"balance|UNKNOWN":1,"welcome|SUCCESS":1}',
            "quality_calls": 2, "quality_failed": 1, "failures_by": '{"AUDIO_GAP":3}', "generation": 1, "mark": 5,
        }  # fmt: skip
        assert rows["freshness"] == [(0, 3, T0, T0 + 1, T0 + 2, 1, 6)]

    @pytest.mark.parametrize(
        "made", ANY_FIGURE, ids=lambda made: "+".join(name for name in FIELDS if getattr(made.figures, name)) or "peak"
    )
    def test_a_bin_with_any_figure_shows(self, dialect: Dialect, writer: Writer, made: Bin) -> None:
        key = bin_key(Dimension("RM", "tenant", "102").pack(), "HOUR", T0)
        writer.write(bound(topics.TENANTS_CHANGELOG, [FakeRecord(0, key, bin_made_of(made, 1))]), {})
        assert select(dialect, "SELECT value FROM bin_rows") == [("102",)]

    def test_a_bin_gone_to_zero_is_hidden_but_stays(self, dialect: Dialect, writer: Writer) -> None:
        key = bin_key(Dimension("RM", "tenant", "102").pack(), "HOUR", T0)
        writer.write(bound(topics.TENANTS_CHANGELOG, [bin_record(102, T0, mark=1)]), {})
        writer.write(bound(topics.TENANTS_CHANGELOG, [FakeRecord(0, key, bin_made_of(Bin(), 2))]), {})
        assert select(dialect, "SELECT value FROM bin_rows") == []
        assert stored(dialect)["bins"][0][-1] == 2

    @pytest.mark.parametrize(("mark", "generation", "wins"), [(6, 1, True), (5, 1, True), (4, 1, False), (4, 2, True), (9, 0, False)])
    def test_the_newer_pair_of_generation_and_mark_wins(
        self, dialect: Dialect, writer: Writer, mark: int, generation: int, wins: bool
    ) -> None:
        writer.write(calls(call_record(1, mark=5, tenant_name="before")), {})
        writer.write(calls(call_record(1, mark=mark, tenant_name="after"), generation=generation), {})
        rows = stored(dialect)
        expected = ("after", generation, mark) if wins else ("before", 1, 5)
        at = TABLES[0].names.index("tenant_name")
        assert [(call[at], *call[-2:]) for call in rows["calls"]] == [expected]
        at = TABLES[1].names.index("tenant_name")
        assert [(session[at], *session[-2:]) for session in rows["sessions"]] == [expected] * 2

    def test_children_are_replaced_as_a_whole(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(call_record(1, mark=5, sessions=3), call_record(2, mark=5, sessions=2)), {})
        writer.write(calls(call_record(1, mark=7, sessions=1)), {})
        assert [(s[1], s[2]) for s in stored(dialect)["sessions"]] == [(guid(1), 201), (guid(2), 201), (guid(2), 202)]

    def test_var_and_quality_of_a_session_are_rows(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(busy_record(1, mark=5)), {})
        rows = stored(dialect)
        key = (0, guid(1), 202, "S1")
        session = dict(zip(SESSIONS.names, rows["sessions"][0], strict=True))
        assert (session["result"], session["result_reason"], session["result_notes"]) == ("SUCCESS", None, "note\nof the result")
        assert (session["dropped_starts"], session["dropped_ends"], session["dropped_variables"]) == (1, 2, 3)
        assert rows["actions"] == [
            (*key, 1, "welcome", None, T0 + 1, T0 + 4, "SUCCESS", "heard", "all", 1, 5),
            (*key, 2, "menu", "welcome", T0 + 2, T0 + 60_000, "UNKNOWN", None, None, 1, 5),
        ]
        assert rows["custom_variables"] == [(*key, n, f"v{n}", "x" if n else "latest ☎", 1, 5) for n in range(32)]
        whose = ("MCP", 102, "[1,102]", "Environment/Acme", 310, None)
        assert rows["failures"] == [
            (*key, 50, T0 + 50, "AUDIO_GAP", "three seconds", *whose, 1, 5),
            (*key, 51, T0 + 51, "AUDIO_GAP", None, *whose, 1, 5),
        ]
        assert rows["latencies"] == [
            (*key, 0, "FETCHING", "initial_page", 1, 44_500, str(44_500**2), 44_500, 44_500, '{"2":1}', 1, 5),
            (*key, 1, "RESPONSE", "first_prompt", 2, 86_400_096_000, str(86_400_000_000**2 + 96_000**2), 96_000, 86_400_000_000,
             '{"10":1,"3":1}', 1, 5),
        ]  # fmt: skip

    def test_var_and_quality_that_are_gone_leave_no_row(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(busy_record(1, mark=5), busy_record(2, mark=5)), {})
        before = stored(dialect)
        writer.write(calls(call_record(1, mark=7, sessions=1)), {})
        rows = stored(dialect)
        for name in ("actions", "failures", "latencies"):
            assert rows[name] == [row for row in before[name] if row[1] == guid(2)]
            assert rows[name]
        assert [row[5:7] for row in rows["custom_variables"] if row[1] == guid(1)] == [("plan", "gold")]
        assert len(rows["custom_variables"]) == 33

    def test_children_of_a_refused_call_are_refused(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(call_record(1, mark=7, sessions=1)), {})
        before = stored(dialect)
        writer.write(calls(call_record(1, mark=6, sessions=3), busy_record(1, mark=6)), {})
        assert stored(dialect) == before

    def test_bins_freshness_and_events_are_guarded_too(self, dialect: Dialect, writer: Writer) -> None:
        old = [
            *bound(topics.TENANTS_CHANGELOG, [bin_record(102, T0, mark=5), tick_record(2, mark=5)]),
            *bound(topics.EVENTS, [event_record(1, 4, billing_offset=7)]),
        ]
        newer = [
            *bound(topics.TENANTS_CHANGELOG, [bin_record(102, T0, mark=6, arrivals=9), tick_record(2, mark=8)]),
            *bound(topics.EVENTS, [event_record(1, 4, billing_offset=9, text="again")]),
        ]
        writer.write(newer, {})
        expected = stored(dialect)
        writer.write(old, {})
        assert stored(dialect) == expected
        assert [len(expected[name]) for name in ("bins", "freshness", "session_events")] == [1, 1, 1]
        assert expected["bins"][0][6] == 9

    def test_two_records_of_one_row_in_a_batch(self, dialect: Dialect, writer: Writer) -> None:
        twice = [event_record(1, 4, billing_offset=9, text="newer"), event_record(1, 4, billing_offset=7)]
        writer.write(bound(topics.EVENTS, twice), {})
        assert [(row[8], row[-1]) for row in stored(dialect)["session_events"]] == [("newer", 10)]

    def test_any_order_of_batches_gives_the_same_rows(self, dialect: Dialect, writer: Writer) -> None:
        batches = [
            calls(call_record(1, mark=5, sessions=1), call_record(2, mark=6)),
            calls(call_record(1, mark=9, sessions=3)),
            calls(call_record(2, mark=7, sessions=1), call_record(1, mark=7)),
            bound(topics.TENANTS_CHANGELOG, [bin_record(1, T0, mark=3), tick_record(0, mark=4)]),
        ]
        results = []
        for order in permutations(batches):
            for table in TABLES:
                self.execute(dialect, f"DELETE FROM {table.name}")
            for batch in order:
                writer.write(batch, {})
            results.append(stored(dialect))
        assert all(result == results[0] for result in results)
        assert [(call[1], call[-1]) for call in results[0]["calls"]] == [(guid(1), 9), (guid(2), 7)]

    def test_wide_characters_and_long_texts_come_back(self, dialect: Dialect, writer: Writer) -> None:
        text = "☎" * 4000 + "🙂" * 96
        writer.write(bound(topics.EVENTS, [event_record(1, 4, billing_offset=7, text=text)]), {})
        assert stored(dialect)["session_events"][0][8] == text

    def test_views_tell_the_rows_in_plain_names(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(busy_record(1, mark=5), call_record(2, mark=5, ended=False, sessions=1)), {})
        writer.write(bound(topics.EVENTS, [event_record(1, 4, billing_offset=9)]), {})
        writer.write(bound(topics.TENANTS_CHANGELOG, [bin_record(102, T0, mark=5)]), {})
        asked = {
            "call_overview": "tenant, profile_id, in_progress, sessions",
            "cdrs": "component, session, in_progress, profile_id",
            "session_log": "component_id, log_id, text",
            "var_actions": "action, parent, result",
            "var_variables": "component_id, name, value",
            "quality_failures": "cause, tenant, profile_id",
            "session_latencies": "category, type, samples",
            "bin_figures": "component, value, arrivals, peak",
        }
        found = {view: sorted(select(dialect, f"SELECT {columns} FROM {view}"), key=str) for view, columns in asked.items()}
        assert found.pop("var_variables")[-1] == (202, "v9", "x")
        assert found == {
            "call_overview": [("Environment/Acme", 310, 0, 1), (None, 310, 1, 1)],
            "cdrs": [("MCP", "S1", 0, 310), ("RM", "S0", 1, 310)],
            "session_log": [(202, "incall_begin", "hello")],
            "var_actions": [("menu", "welcome", "UNKNOWN"), ("welcome", None, "SUCCESS")],
            "quality_failures": [("AUDIO_GAP", "Environment/Acme", 310)] * 2,
            "session_latencies": [("FETCHING", "initial_page", 1), ("RESPONSE", "first_prompt", 2)],
            "bin_figures": [("RM", "102", 3, 3)],
        }
        (ended,) = select(dialect, "SELECT seconds FROM cdrs WHERE component = 'MCP'")
        (latency,) = select(dialect, "SELECT average_ms, lowest_ms, highest_ms FROM session_latencies WHERE category = 'RESPONSE'")
        (average,) = select(dialect, "SELECT average_seconds FROM bin_figures")
        assert [float(cell) for cell in (*ended, *latency, *average)] == [60.0, 43_200_048.0, 96.0, 86_400_000.0, 50.0]

    # -- one batch, one transaction

    @pytest.mark.parametrize("nth", [1, 2, 3])
    def test_an_error_in_the_middle_leaves_nothing(self, dialect: Dialect, nth: int) -> None:
        migrate(dialect)
        failing = Failing(dialect)
        writer = Writer(failing)  # type: ignore[arg-type]
        writer.write(calls(call_record(1, mark=1)), {CALLS_0: 1})
        before, at = stored(dialect), offsets(dialect)
        batch = [*calls(call_record(1, mark=2), call_record(2, mark=2)), *bound(topics.TENANTS_CHANGELOG, [bin_record(1, T0, mark=2)])]
        failing.poison = {guid(2): KeyError()} if nth == 1 else {"S1": KeyError()} if nth == 2 else {"HOUR": KeyError()}
        with pytest.raises(KeyError):
            writer.write(batch, {CALLS_0: 2})
        assert (stored(dialect), offsets(dialect)) == (before, at)
        failing.poison = {}
        writer.write(batch, {CALLS_0: 2})
        writer.close()
        assert offsets(dialect) == {CALLS_0: 2}
        assert len(stored(dialect)["calls"]) == 2

    def test_an_error_while_offsets_are_written_leaves_no_rows(self, dialect: Dialect, writer: Writer) -> None:
        with pytest.raises((Poison, Fatal)):
            writer.write(calls(call_record(1, mark=2)), {CALLS_0: None})  # type: ignore[dict-item]
        assert stored(dialect)["calls"] == []

    def test_offsets_never_go_back(self, dialect: Dialect, writer: Writer) -> None:
        writer.write([], {CALLS_0: 20, TENANTS_0: 3})
        writer.write([], {CALLS_0: 10, TENANTS_0: 4})
        assert writer.offsets() == {CALLS_0: 20, TENANTS_0: 4}

    # -- the store as a stage

    async def test_records_become_rows_and_offsets(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, aside):
            store.add(CALLS_0, [call_record(1, mark=5, offset=0), call_record(1, mark=7, offset=1)])
            store.add(TENANTS_0, [bin_record(102, T0, mark=6), tick_record(4, mark=6)])
            store.add(EVENTS_0, [event_record(1, 0, billing_offset=2)])
            await write(store, {CALLS_0: 2, TENANTS_0: 2, EVENTS_0: 1})
            unknown = (topics.EVENTS, 5)
            assert await store.start([CALLS_0, TENANTS_0, unknown]) == {CALLS_0: 2, TENANTS_0: 2, unknown: 3}
        assert {name: len(rows) for name, rows in stored(dialect).items()} == {
            "calls": 1, "sessions": 2, "actions": 0, "custom_variables": 2, "failures": 0, "latencies": 0,
            "session_events": 1, "bins": 1, "freshness": 1,
        }  # fmt: skip
        assert aside == []

    async def test_the_highest_mark_of_a_key_is_written_whatever_came_last(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, _):
            store.add(CALLS_0, [call_record(1, mark=5), call_record(1, mark=9), call_record(1, mark=7)])
            assert len(store) == 1
            await write(store, {CALLS_0: 3})
        assert stored(dialect)["calls"][0][-1] == 9

    async def test_tombstones_leave_the_row(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, aside):
            store.add(CALLS_0, [call_record(1, mark=5)])
            await write(store, {CALLS_0: 1})
            store.add(CALLS_0, [FakeRecord(1, guid(1).encode(), None, [("mark", b"\0" * 8)])])
            await write(store, {CALLS_0: 2})
            store.add(CALLS_0, [call_record(2, mark=6), FakeRecord(3, guid(2).encode(), None)])
            await write(store, {CALLS_0: 4})
        assert [call[1] for call in stored(dialect)["calls"]] == [guid(1), guid(2)]
        assert (offsets(dialect), aside) == ({CALLS_0: 4}, [])

    async def test_nothing_new_makes_no_transaction(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, _):
            await write(store, {CALLS_0: 1})
            assert store.cut({CALLS_0: 1}) is None
            assert store.cut({CALLS_0: 2}) is not None

    async def test_after_revocation_nothing_of_before_is_written(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, _):
            store.add(CALLS_0, [call_record(1, mark=5)])
            store.revoked()
            await write(store, {TENANTS_0: 1})
        assert stored(dialect)["calls"] == []

    # -- faults

    async def test_a_transient_error_is_tried_again(self, dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sinks.sql.task.FIRST_PAUSE_S", 0.001)
        failing = Failing(dialect)
        async with opened(failing) as (store, aside):
            failing.errors = [Transient("the disk is full")] * 3
            store.add(CALLS_0, [call_record(1, mark=5)])
            seen = []
            work = asyncio.create_task(write(store, {CALLS_0: 1}))
            while not work.done():
                seen.append(store.trouble)
                await asyncio.sleep(0)
            await work
            assert "the disk is full" in seen
            assert store.trouble is None
        assert offsets(dialect) == {CALLS_0: 1}
        assert aside == []

    async def test_a_record_that_cannot_be_decoded_is_put_aside_and_the_rest_goes_on(self, dialect: Dialect) -> None:
        bad = [
            FakeRecord(1, guid(2).encode(), b"\0" * 8 + b"no msgpack"),
            FakeRecord(2, guid(3).encode(), b"short"),
            FakeRecord(3, None, call_record(4, mark=1).value),
            FakeRecord(4, guid(5).encode(), call_record(5, mark=1, tenant_name="x" * 256).value),
        ]
        long_key = bin_record(10**32, T0, mark=1)
        async with opened(dialect) as (store, aside):
            store.add(CALLS_0, [call_record(1, mark=5), *bad])
            store.add(EVENTS_0, [FakeRecord(0, guid(1).encode(), b"{}", []), event_record(1, 1, 5)])
            store.add(TENANTS_0, [long_key])
            await write(store, {CALLS_0: 5, EVENTS_0: 2})
        assert [call[1] for call in stored(dialect)["calls"]] == [guid(1)]
        assert len(stored(dialect)["session_events"]) == 1
        assert offsets(dialect) == {CALLS_0: 5, EVENTS_0: 2}
        assert not any("xxx" in str(fault) for _, fault in aside)
        reasons = {(entry.topic, entry.record.offset): fault.reason for entry, fault in aside}
        assert reasons == {
            (topics.CALLS_CHANGELOG, 1): "not_decodable",
            (topics.CALLS_CHANGELOG, 2): "not_decodable",
            (topics.CALLS_CHANGELOG, 3): "no_key",
            (topics.CALLS_CHANGELOG, 4): "too_long",
            (topics.TENANTS_CHANGELOG, 0): "too_long",
            (topics.EVENTS, 0): "missing_header",
        }

    async def test_rows_the_database_refuses_are_found_by_halving(self, dialect: Dialect) -> None:
        failing = Failing(dialect)
        async with opened(failing) as (store, aside):
            failing.poison = {guid(13): Poison("refused", "13"), guid(70): Poison("refused", "70")}
            store.add(CALLS_0, [call_record(n, mark=5, offset=n) for n in range(100)])
            failing.staged.clear()
            await write(store, {CALLS_0: 100})
            assert len(failing.staged) < 120  # three tables a probe; one by one it would take 300
        assert len(stored(dialect)["calls"]) == 98
        assert len(stored(dialect)["sessions"]) == 196
        assert offsets(dialect) == {CALLS_0: 100}
        assert [(entry.record.offset, fault.detail) for entry, fault in aside] == [(13, "13"), (70, "70")]

    async def test_a_number_beyond_64_bits_is_refused_by_the_database(self, dialect: Dialect) -> None:
        async with opened(dialect) as (store, aside):
            store.add(TENANTS_0, [bin_record(1, T0, mark=5), bin_record(2, T0, mark=5, arrivals=2**63)])
            await write(store, {TENANTS_0: 2})
        assert [row[3] for row in stored(dialect)["bins"]] == ["1"]
        assert len(aside) == 1

    async def test_nothing_is_stored_before_the_quarantine_has_confirmed(self, dialect: Dialect) -> None:
        class NoQuarantine(Exception):
            pass

        async def refuse(records: Sequence[Unstorable]) -> None:
            raise NoQuarantine

        store = SQLStore(dialect, refuse, FakeLog(LOG))
        await store.start([])
        store.add(CALLS_0, [call_record(1, mark=5), FakeRecord(1, guid(2).encode(), b"short")])
        with pytest.raises(NoQuarantine):
            await write(store, {CALLS_0: 2})
        await store.close()
        assert (stored(dialect)["calls"], offsets(dialect)) == ([], {})

    async def test_a_fatal_error_is_raised_and_nothing_stored(self, dialect: Dialect) -> None:
        failing = Failing(dialect)
        async with opened(failing) as (store, _):
            failing.errors = [Fatal("damaged")]
            store.add(CALLS_0, [call_record(1, mark=5)])
            with pytest.raises(Fatal):
                await write(store, {CALLS_0: 1})
        assert offsets(dialect) == {}

    async def test_a_store_of_another_log_is_refused_with_the_step_to_take(self, dialect: Dialect) -> None:
        async with opened(dialect, "log-1"):
            pass
        async with opened(dialect, "log-1"):
            pass
        with pytest.raises(Fatal, match="rs up --fresh"):
            async with opened(dialect, "log-2"):
                pass

    # -- schema

    def test_the_scripts_make_the_columns_that_are_written(self, dialect: Dialect) -> None:
        assert migrate(dialect) == [script.name for script in scripts(dialect)]
        for table in TABLES:
            # In any order: what a later script adds stands last in the table.
            assert sorted(self.columns(dialect, table.name)) == sorted((column.name, column.null) for column in table.columns), table.name

    def test_migrating_again_changes_nothing(self, dialect: Dialect) -> None:
        migrate(dialect)
        assert migrate(dialect) == []

    def test_a_newer_schema_is_refused(self, dialect: Dialect) -> None:
        migrate(dialect)
        self.execute(dialect, "INSERT INTO rs_schema (version, name, digest) VALUES (9999, 'from the future', '')")
        with pytest.raises(Fatal, match="9999"):
            migrate(dialect)

    def test_a_changed_script_is_refused(self, dialect: Dialect) -> None:
        migrate(dialect)
        self.execute(dialect, "UPDATE rs_schema SET digest = 'another' WHERE version = 1")
        with pytest.raises(Fatal, match="--fresh"):
            migrate(dialect)

    # -- to be given by the dialect's own test

    def columns(self, dialect: Dialect, table: str) -> list[tuple[str, bool]]:
        """(name, may be null) of each column as the database says."""
        raise NotImplementedError

    def execute(self, dialect: Dialect, sql: str) -> None:
        connection = dialect.connect()
        cursor = connection.cursor()
        dialect.begin(cursor)
        cursor.execute(sql)
        connection.commit()
        connection.close()
