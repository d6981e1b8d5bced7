"""What retention must do on every dialect. Subclass `RetentionContract` and give it a `dialect` fixture."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest

from agents.bins import GRANULARITIES, end_of, start_of
from agents.keys import Dimension, bin_key
from agents.state import Bin, Figures
from pipeline import topics
from pipeline.settings import read
from sinks.sql.dialect import Dialect
from sinks.sql.migrate import migrate
from sinks.sql.retention import DAY_MS, Keep, Purge, counted
from sinks.sql.writer import Writer
from tests.sinks.builders import T0, FakeRecord, bin_made_of, bound, busy_record, call_record, calls, event_record, guid, tick_record
from tests.sinks.contract import select, stored

MINUTE = 60_000


def keep(*, lateness_s: float = 3600, zone: str = "UTC", close_after: float = 5, **retention: Any) -> Keep:
    made = Keep.of(
        read(
            fold={"lateness": lateness_s},
            reports={"time_zone": zone},
            billing={"close_after": close_after},
            retention={"batch": 3, **retention},
        )
    )
    assert made is not None
    return made


def bin_at(granularity: str, start: int) -> FakeRecord:
    key = bin_key(Dimension("RM", "tenant", "102").pack(), granularity, start)
    return FakeRecord(0, key, bin_made_of(Bin(Figures(arrivals={"INBOUND": 1})), 5))


def ended_at(n: int, end: int) -> FakeRecord:
    """Call `n` of two sessions, with a custom variable in each."""
    return call_record(n, 5, start_ts=end - MINUTE, end_ts=end)


class RetentionContract:
    @pytest.fixture
    def writer(self, dialect: Dialect) -> Any:
        """A store whose stream time is T0."""
        migrate(dialect)
        writer = Writer(dialect)
        writer.write(bound(topics.TENANTS_CHANGELOG, [tick_record(0, mark=1)]), {})
        yield writer
        writer.close()

    @pytest.mark.parametrize("zone", ["UTC", "Australia/Lord_Howe"])
    def test_bins_stay_until_their_end_is_too_old(self, dialect: Dialect, writer: Writer, zone: str) -> None:
        kept = keep(zone=zone, five_minutes=2, thirty_minutes=7, hour=7.5, day=90, week=364, month=1095)
        expected, records = set(), []
        for granularity in GRANULARITIES:
            start = start_of(granularity, T0 - kept.ages[granularity], kept.zone)
            for _ in range(3):
                start = start_of(granularity, start - 1, kept.zone)
            for _ in range(7):
                records.append(bin_at(granularity, start))
                end = end_of(granularity, start, kept.zone)
                if end > T0 - kept.ages[granularity]:
                    expected.add((granularity, start))
                start = end
        writer.write(bound(topics.TENANTS_CHANGELOG, records), {})
        gone = counted(Purge(dialect, kept).run())
        assert {(row[4], row[5]) for row in stored(dialect)["bins"]} == expected
        assert gone == dict.fromkeys(GRANULARITIES, 3)
        assert len(expected) == 4 * len(GRANULARITIES)

    def test_calls_go_as_a_whole_events_and_failures_by_their_own_age(self, dialect: Dialect, writer: Writer) -> None:
        cut = T0 - 30 * DAY_MS
        old = [ended_at(n, cut - 1 - n) for n in range(1, 8)]
        young = [ended_at(11, cut), call_record(12, 5, ended=False, start_ts=cut - DAY_MS)]
        writer.write(calls(*old, *young), {})
        writer.write(calls(busy_record(13, 5)), {})
        writer.write(bound(topics.EVENTS, [event_record(13, n, billing_offset=n) for n in range(5)]), {})
        before = stored(dialect)
        gone = counted(Purge(dialect, keep(events=0, failures=0)).run())
        rows = stored(dialect)
        assert [row[1] for row in rows["calls"]] == [guid(11), guid(12), guid(13)]
        for name in ("sessions", "actions", "custom_variables", "latencies"):
            assert rows[name] == [row for row in before[name] if row[1] in {guid(11), guid(12), guid(13)}], name
        assert (rows["failures"], rows["session_events"]) == (before["failures"], before["session_events"])
        assert gone == {"cdr": 7}

    def test_failures_stay_when_their_call_goes(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(busy_record(1, 5)), {})
        writer.write(bound(topics.EVENTS, [event_record(1, n, billing_offset=n) for n in range(5)]), {})
        self.move_on(writer, 45 * DAY_MS)
        assert counted(Purge(dialect, keep()).run()) == {"cdr": 1, "events": 5}
        assert {name for name, rows in stored(dialect).items() if rows} == {"failures", "freshness"}
        self.move_on(writer, 366 * DAY_MS)
        assert counted(Purge(dialect, keep()).run()) == {"failures": 2}

    def test_sessions_stay_until_their_month_can_be_closed(self, dialect: Dialect, writer: Writer) -> None:
        month = start_of("MONTH", T0, keep().zone)
        writer.write(calls(ended_at(1, month - 1), ended_at(2, month), ended_at(3, month + DAY_MS)), {})
        purge = Purge(dialect, keep(cdr=1, var=1, close_after=30))  # T0 is in the month; that before can be closed only 30 days later
        counted(purge.run())
        assert len(stored(dialect)["calls"]) == 3
        purge = Purge(dialect, keep(cdr=1, var=1, close_after=5))
        counted(purge.run())
        assert [row[1] for row in stored(dialect)["calls"]] == [guid(2), guid(3)]

    def test_nothing_goes_that_could_still_change(self, dialect: Dialect, writer: Writer) -> None:
        assert Keep.of(read(fold={"lateness": 0})) is None
        start = start_of("FIVE_MINUTES", T0 - 3 * DAY_MS, keep().zone)
        writer.write(bound(topics.TENANTS_CHANGELOG, [bin_at("FIVE_MINUTES", start)]), {})
        counted(Purge(dialect, keep(lateness_s=4 * 86_400, five_minutes=0)).run())
        assert len(stored(dialect)["bins"]) == 1
        counted(Purge(dialect, keep(lateness_s=2 * 86_400, five_minutes=0)).run())
        assert stored(dialect)["bins"] == []

    def test_an_empty_store_keeps_all(self, dialect: Dialect) -> None:
        migrate(dialect)
        writer = Writer(dialect)
        writer.write(calls(ended_at(1, T0 - 3000 * DAY_MS)), {})
        writer.close()
        assert counted(Purge(dialect, keep()).run()) == {}
        assert len(stored(dialect)["calls"]) == 1

    @pytest.mark.parametrize("stop_after", [1, 4])
    def test_a_purge_that_is_stopped_goes_on_where_it_was(self, dialect: Dialect, writer: Writer, stop_after: int) -> None:
        kept = keep(var=20)
        many = [ended_at(n, T0 - (15 + n) * DAY_MS) for n in range(25)]
        writer.write(calls(*many), {})
        writer.write(bound(topics.EVENTS, [event_record(1, n, billing_offset=n) for n in range(10)]), {})
        self.move_on(writer, 8 * DAY_MS)
        whole = [guid(n) for n in range(25) if 15 + n <= 30 - 8]
        turns = 0
        while list(islice(Purge(dialect, kept).run(), stop_after)) and turns < 40:
            turns += 1
        rows = stored(dialect)
        assert [row[1] for row in rows["calls"]] == whole
        assert rows["session_events"] == []
        assert turns > 1

    def test_var_can_go_before_its_call(self, dialect: Dialect, writer: Writer) -> None:
        writer.write(calls(busy_record(1, 5), *(ended_at(n, T0) for n in range(2, 8))), {})
        before = stored(dialect)
        self.move_on(writer, 10 * DAY_MS)
        purge = Purge(dialect, keep(var=5))
        assert counted(purge.run()) == {"var": 7}
        rows = stored(dialect)
        assert (rows["actions"], rows["custom_variables"]) == ([], [])
        for name in ("calls", "failures", "latencies"):
            assert rows[name] == before[name]
        assert set(self.column(dialect, "payloads")) == {"{}"}
        assert set(self.column(dialect, "result_notes")) == {None}
        assert set(self.column(dialect, "result")) == {None, "SUCCESS"}
        assert counted(purge.run()) == {}
        writer.write(calls(busy_record(1, 6)), {})  # read again from the beginning
        assert counted(Purge(dialect, keep(var=5)).run()) == {"var": 7}
        assert stored(dialect)["actions"] == []

    def column(self, dialect: Dialect, name: str) -> Iterable[Any]:
        return [row[0] for row in select(dialect, f"SELECT {name} FROM sessions")]

    def move_on(self, writer: Writer, ms: int) -> None:
        writer.write(bound(topics.TENANTS_CHANGELOG, [tick_record(0, mark=2 + ms, stream=T0 + ms)]), {})
