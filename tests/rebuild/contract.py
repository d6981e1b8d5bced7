"""What every dialect must do for a rebuild. Subclass `ShadowContract`, give it a `dialect` fixture of an empty database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from agents.bins import BASE_MS, base_of
from agents.keys import Dimension, bin_key
from agents.state import Bin, Figures, Spread
from pipeline import topics
from pipeline.generation import Generation
from sinks.sql import compare
from sinks.sql.binder import Bound, Unstorable
from sinks.sql.compare import Differences, is_moving, look, settled
from sinks.sql.coverage import WHOLE, Coverage, coverage
from sinks.sql.dialect import Dialect
from sinks.sql.errors import Fatal
from sinks.sql.migrate import migrate
from sinks.sql.standing import Standing, standing
from sinks.sql.swap import CARRIED, swap
from sinks.sql.task import SQLStore
from sinks.sql.writer import Overtaken, Writer
from tests.sinks.builders import T0, FakeRecord, bin_made_of, bound, call_record, event_record, guid, tick_record
from tests.sinks.contract import offsets, select, stored

NEW = Generation(2, {0: 100}, "building")
HOUR_START = base_of(T0)  # an HOUR bin of these tests: any start will do
LOG = "log-1"


def a_bin(arrivals: int, *, start: int = HOUR_START, mark: int = 5, low: int = 40) -> FakeRecord:
    spread = {"USER_END": Spread(n=1, total=90, squares=8100, low=low, high=90, buckets={0: 1})}
    figures = Figures(arrivals={"INBOUND": arrivals}, durations=spread) if arrivals else Figures()
    return FakeRecord(0, bin_key(Dimension("RM", "tenant", "102").pack(), "HOUR", start), bin_made_of(Bin(figures), mark))


def rows(generation: Generation, **of: Iterable[FakeRecord]) -> list[Bound]:
    """`of`: calls, bins and events of the changelogs."""
    n = generation.number
    return [
        *bound(generation.changelog("calls"), of.get("calls", ()), generation=n),
        *bound(generation.changelog("tenants"), [*of.get("bins", ()), tick_record(0, 9)], generation=n),
        *bound(generation.events, of.get("events", ()), generation=n),
    ]


def fill(dialect: Dialect, generation: Generation, **of: Any) -> Writer:
    """A store as the sinks of a generation fill it."""
    migrate(dialect)
    writer = Writer(dialect)
    if standing(dialect).generation is None:
        writer.claim(LOG, generation.number)
    writer.generation = generation.number
    writer.write(rows(generation, **of), {(generation.changelog("calls"), 0): 7 + generation.number})
    return writer


def told(dialect: Dialect, covered: Coverage = WHOLE) -> dict[str, Differences]:
    seen = look(dialect, NEW.number, covered)
    return {table.table: table for table in settled(seen, seen)}


class FakeSource:
    async def log_id(self) -> str:
        return LOG

    async def first_offsets(self, partitions: set[tuple[str, int]]) -> dict[tuple[str, int], int]:
        return dict.fromkeys(partitions, 0)

    asked = 0

    async def overtaken(self, stored: int) -> str:
        self.asked += 1
        return f"generation {stored} has it"


async def put_aside(records: Sequence[Unstorable]) -> None:
    raise AssertionError(records)


class ShadowContract:
    # -- the shadow

    def test_a_shadow_has_rows_offsets_and_a_generation_of_its_own(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, mark=5)]).close()
        assert dialect.shadows() == set()
        fill(dialect.shadow(2), NEW, calls=[call_record(1, mark=5), call_record(2, mark=6)]).close()
        assert dialect.shadows() == {2}
        assert [call[1] for call in stored(dialect)["calls"]] == [guid(1)]
        assert [call[1] for call in stored(dialect.shadow(2))["calls"]] == [guid(1), guid(2)]
        assert standing(dialect.shadow(2)) == Standing(2, LOG, {("rs-agents-g2-calls-changelog", 0): 9})
        assert standing(dialect) == Standing(1, LOG, {(topics.CALLS_CHANGELOG, 0): 8})
        dialect.drop_shadow(2)
        dialect.drop_shadow(2)
        assert dialect.shadows() == set()
        assert standing(dialect.shadow(2)) == Standing()

    # -- who may write

    def test_nothing_is_written_into_a_store_that_another_generation_took_over(self, dialect: Dialect) -> None:
        old = fill(dialect, Generation(), calls=[call_record(1, mark=5)])
        fill(dialect.shadow(2), NEW).close()
        swap(dialect, 2, WHOLE)
        with pytest.raises(Overtaken) as caught:
            old.write(rows(Generation(), calls=[call_record(3, mark=9)]), {(topics.CALLS_CHANGELOG, 0): 99})
        old.close()
        assert caught.value.stored == 2
        assert stored(dialect)["calls"] == []
        assert (topics.CALLS_CHANGELOG, 0) not in offsets(dialect)

    async def test_a_worker_that_was_overtaken_goes_on_without_storing_until_it_is_stopped(self, dialect: Dialect) -> None:
        fill(dialect, Generation()).close()
        source = FakeSource()
        store = SQLStore(dialect, put_aside, source)
        await store.start([(topics.CALLS_CHANGELOG, 0)])
        fill(dialect.shadow(2), NEW).close()
        swap(dialect, 2, WHOLE)
        for mark in (7, 8):
            store.add((topics.CALLS_CHANGELOG, 0), [call_record(1, mark=mark)])
            if (write := store.cut({(topics.CALLS_CHANGELOG, 0): 10 + mark})) is not None:
                await write()
        await store.close()
        assert stored(dialect)["calls"] == []
        assert store.next_offset((topics.CALLS_CHANGELOG, 0)) == 8
        assert source.asked == 1

    async def test_a_store_of_another_generation_stops_the_worker_and_an_empty_one_is_claimed(self, dialect: Dialect) -> None:
        store = SQLStore(dialect, put_aside, FakeSource(), 3)
        await store.start([])
        await store.close()
        assert standing(dialect).generation == 3
        older = SQLStore(dialect, put_aside, FakeSource(), 2)
        with pytest.raises(Fatal, match="generation 3 has it"):
            await older.start([])
        await older.close()

    # -- comparing

    def test_the_same_rows_have_no_differences_whatever_their_marks(self, dialect: Dialect) -> None:
        for where, generation, more in ((dialect, Generation(), 0), (dialect.shadow(2), NEW, 3)):
            events = [event_record(1, 4, billing_offset=7)]
            # The messages of a call say at which offset of the log they stand: those are the same; its mark is where a cut was made.
            call = call_record(1, mark=5)
            moved = FakeRecord(0, call.key, (5 + more).to_bytes(8, "big") + (call.value or b"")[8:])
            fill(where, generation, calls=[moved], bins=[a_bin(3, mark=5 + more)], events=events).close()
        found = told(dialect)
        assert not any(table.total or table.stale or table.moving for table in found.values())
        assert {name: table.rows for name, table in found.items() if table.rows} == {
            "calls": 1, "sessions": 2, "custom_variables": 2, "session_events": 1, "bins": 1
        }  # fmt: skip

    def test_differences_are_told_by_table_and_column(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 5)], bins=[a_bin(3)]).close()
        fill(dialect.shadow(2), NEW, calls=[call_record(1, 5, dn="7"), call_record(3, 5)], bins=[a_bin(4)]).close()
        found = told(dialect)
        calls, bins = found["calls"], found["bins"]
        assert (calls.differ, calls.only_old, calls.only_new, dict(calls.columns)) == (1, 1, 1, {"dn": 1})
        assert calls.first[0] == ({"source_partition": 0, "guid": guid(1)}, {"dn": ("8005550123", "7")}, "differs")
        assert {key["guid"]: what for key, _, what in calls.first[1:]} == {
            guid(2): "not in the new generation",
            guid(3): "only in the new generation",
        }
        assert (bins.differ, dict(bins.columns)) == (1, {"arrivals": 1, "arrivals_by": 1})
        assert found["sessions"].total == 2 + 2 + 2

    def test_nulls_are_equal_to_nulls_and_to_nothing_else(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 5, remote_uri="sip:a")]).close()
        fill(dialect.shadow(2), NEW, calls=[call_record(1, 5), call_record(2, 5)]).close()
        assert told(dialect)["calls"].first == [({"source_partition": 0, "guid": guid(2)}, {"remote_uri": ("sip:a", None)}, "differs")]

    def test_least_and_greatest_that_a_correction_left_behind_are_counted_apart(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), bins=[a_bin(3, low=10), a_bin(5, start=HOUR_START - BASE_MS, low=10)]).close()
        fill(dialect.shadow(2), NEW, bins=[a_bin(3, low=40), a_bin(6, start=HOUR_START - BASE_MS, low=40)]).close()
        bins = told(dialect)["bins"]
        assert (bins.stale, bins.total) == (1, 1)

    def test_a_bin_gone_to_zero_equals_no_bin(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), bins=[a_bin(0)]).close()
        fill(dialect.shadow(2), NEW).close()
        assert told(dialect)["bins"].total == 0

    def test_bins_behind_the_clock_of_one_side_are_not_compared(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), bins=[a_bin(3), a_bin(4, start=HOUR_START + BASE_MS)]).close()
        fill(dialect.shadow(2), NEW, bins=[a_bin(3)]).close()
        assert told(dialect)["bins"].total == 0

    def test_what_one_side_is_only_late_with_is_no_difference(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 5, ended=False)], bins=[a_bin(3)])
        fill(dialect.shadow(2), NEW, calls=[call_record(1, 5, dn="7"), call_record(2, 6)], bins=[a_bin(3)])
        first = look(dialect, 2, WHOLE)
        fill(dialect, Generation(), calls=[call_record(2, 6), call_record(3, 7)])
        second = look(dialect, 2, WHOLE)
        calls = settled(first, second)[0]
        assert (calls.differ, calls.only_old, calls.moving) == (1, 0, 1)
        assert calls.first[0][0]["guid"] == guid(1)
        assert not is_moving(first, second)  # nothing differed both times in another way
        fill(dialect, Generation(), calls=[call_record(1, 7, dn="8"), call_record(3, 7)])
        third = look(dialect, 2, WHOLE)
        assert is_moving(second, third)
        calls = settled(second, third)[0]
        assert (calls.differ, calls.only_old, calls.moving) == (0, 1, 1)

    def test_where_too_much_differs_it_is_counted(self, dialect: Dialect, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(compare, "KEPT", 2)
        fill(dialect, Generation(), calls=[call_record(n, 5) for n in range(5)]).close()
        fill(dialect.shadow(2), NEW, calls=[call_record(n, 5, dn="7") for n in range(5)]).close()
        calls = told(dialect)["calls"]
        assert (calls.differ, calls.more, calls.total, calls.moving) == (2, 3, 5, 0)

    # -- swapping

    def test_a_swap_replaces_rows_offsets_and_generation(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 90)], bins=[a_bin(3), a_bin(9, start=0)]).close()
        fill(dialect.shadow(2), NEW, calls=[call_record(1, 6), call_record(3, 6)], bins=[a_bin(4)], events=[event_record(1, 4, 7)]).close()
        want = stored(dialect.shadow(2))
        written = swap(dialect, 2, WHOLE)
        assert stored(dialect) == want
        assert written == {name: len(found) for name, found in want.items()}
        assert standing(dialect) == standing(dialect.shadow(2))
        with pytest.raises(Fatal, match="has generation 2 already"):
            swap(dialect, 2, WHOLE)

    def test_rows_of_another_log_are_never_put_in_place(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5)]).close()
        migrate(dialect.shadow(2))
        writer = Writer(dialect.shadow(2))
        writer.claim("another log", 2)
        writer.close()
        with pytest.raises(Fatal, match="different logs"):
            swap(dialect, 2, WHOLE)
        assert len(stored(dialect)["calls"]) == 1

    def test_what_the_log_does_not_cover_is_carried_over_and_never_replaced(self, dialect: Dialect) -> None:
        """Call 1 and the early bin began before the log; the new generation knows a part of them."""
        early = HOUR_START - BASE_MS
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 50)], bins=[a_bin(3, start=early), a_bin(3)],
             events=[event_record(1, 4, 7, partition=0), event_record(2, 4, 60, partition=0)]).close()  # fmt: skip
        fill(dialect.shadow(2), NEW, calls=[call_record(1, 60, sessions=1), call_record(2, 50, dn="7")],
             bins=[a_bin(1, start=early), a_bin(4)], events=[event_record(2, 4, 60, partition=0)]).close()  # fmt: skip
        covered = Coverage(frozenset({(0, guid(1))}), HOUR_START)
        found = told(dialect, covered)
        assert {name: table.total for name, table in found.items() if table.total} == {"calls": 1, "sessions": 2, "bins": 1}

        def shown() -> tuple[Any, ...]:
            calls = dict(select(dialect, "SELECT guid, dn FROM calls"))
            bins = dict(select(dialect, "SELECT bin_start, arrivals FROM bins"))
            return calls, bins, [len(stored(dialect)[name]) for name in ("sessions", "session_events", "custom_variables")]

        swap(dialect, 2, covered)
        want = {guid(1): "8005550123", guid(2): "7"}, {early: 3, HOUR_START: 4}, [4, 2, 4]
        assert shown() == want
        assert dict(select(dialect, "SELECT guid, mark FROM calls")) == {guid(1): CARRIED, guid(2): 50}
        fill(dialect, NEW, calls=[call_record(1, 70, sessions=1)], bins=[a_bin(2, start=early)]).close()
        assert shown() == want

    def test_coverage_goes_by_the_offsets_of_messages(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5), call_record(2, 50)]).close()  # offsets 4 and 49
        connection = dialect.connect()
        cursor = connection.cursor()
        end = T0 + 1 + 60_000
        assert coverage(cursor, {0: 0}, 0) == WHOLE
        assert coverage(cursor, {0: 4}, 0) == Coverage(frozenset(), BASE_MS)
        assert coverage(cursor, {0: 5}, 0) == Coverage(frozenset({(0, guid(1))}), base_of(end) + BASE_MS)
        assert coverage(cursor, {0: 5}, end + 10 * BASE_MS).bins_from == base_of(end) + 11 * BASE_MS
        connection.close()

    def test_a_call_in_progress_that_began_before_the_log_keeps_all_bins(self, dialect: Dialect) -> None:
        fill(dialect, Generation(), calls=[call_record(1, 5, ended=False)], bins=[a_bin(3)]).close()
        fill(dialect.shadow(2), NEW, bins=[a_bin(4)]).close()
        connection = dialect.connect()
        covered = coverage(connection.cursor(), {0: 5}, 0)
        connection.close()
        assert covered.bins_from is None
        assert told(dialect, covered)["bins"].total == 0
        swap(dialect, 2, covered)
        assert select(dialect, "SELECT arrivals FROM bins") == [(3,)]
