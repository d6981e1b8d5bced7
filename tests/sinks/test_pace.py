"""How quickly records come in, and when the store will have caught up."""

from __future__ import annotations

from sinks.sql.dialect import Dialect
from sinks.sql.pace import WINDOW_S, Pace, told
from sinks.sql.sqlite import SQLite
from tests.sinks.builders import call_record
from tests.sinks.contract import CALLS_0, opened, write


def test_it_is_that_of_the_last_half_minute() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    assert pace.per_second() == 0
    for _ in range(10):
        now[0] += 1
        pace.note(50)
    assert pace.per_second() == 50
    now[0] += WINDOW_S - 5
    assert pace.per_second() == 6 * 50 / WINDOW_S
    now[0] += WINDOW_S
    assert pace.per_second() == 0


def test_readiness_tells_how_long_it_takes_while_records_come_in() -> None:
    assert told(0, 0) == {"records behind": 0, "records a second": 0}
    assert told(900, 0) == {"records behind": 900, "records a second": 0}
    assert told(900, 300.4) == {"records behind": 900, "records a second": 300, "seconds to catch up, if no more came": 3}


async def test_the_store_counts_what_it_took_in_from_where_a_partition_began(tmp_path) -> None:  # type: ignore[no-untyped-def]
    dialect: Dialect = SQLite(tmp_path / "store.sqlite3")
    async with opened(dialect) as (store, _):
        noted: list[int] = []
        store.pace.note = noted.append  # type: ignore[method-assign]
        await store.start([CALLS_0])  # FakeLog: it begins at 3
        store.add(CALLS_0, [call_record(1, mark=5)])
        await write(store, {CALLS_0: 10})
        await write(store, {CALLS_0: 15})
        assert noted == [7, 5]
