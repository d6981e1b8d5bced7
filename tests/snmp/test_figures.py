"""The fold of the tenants changelog into present figures, judged by the highest mark of every row ever written."""

from types import SimpleNamespace
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.bins import BASE, BASE_MS, DAY, GRANULARITIES, HOUR, end_of, start_of
from agents.keys import Dimension, bin_key, tick_key
from agents.state import Bin, Figures, Tick
from pipeline.runtime import codec
from pipeline.settings import read
from sinks.views import figures
from sinks.views.figures import Partition
from sinks.views.growth import Growth
from sinks.views.log import Log
from sinks.views.stored import Stored

ZONE = ZoneInfo("Europe/Berlin")
NOON = 1_795_000_200_000 - 1_795_000_200_000 % BASE_MS
encode = msgspec.msgpack.encode


def row(arrivals: int, **more: object) -> Bin:
    return Bin(Figures(arrivals={"INBOUND": arrivals}), **more)  # type: ignore[arg-type]


def written(dimension: str, granularity: str, at: int, value: Bin, mark: int = 1) -> tuple[bytes, bytes]:
    return bin_key(dimension.encode(), granularity, start_of(granularity, at, ZONE)), codec.join(mark, encode(value))


def tick(source: int, clock: int, mark: int = 1, folded_to: int = 5) -> tuple[bytes, bytes]:
    return tick_key(source), codec.join(mark, encode(Tick(clock, clock, folded_to)))


def partition(*records: tuple[bytes, bytes | None], horizon: int = NOON, most: int = 100) -> Partition:
    made = Partition(ZONE, most, horizon)
    for key, value in records:
        made.take(key, value)
    return made


def test_a_tenant_is_made_of_its_bins_of_rm_and_of_mcp() -> None:
    burst = Figures(
        arrivals={"INBOUND": 9}, burst={"102:1": 5, "102:2": 3, "102:3": 1, "1:3": 7}, completed={"TIMED_OUT": 2, "USER_END": 3}
    )
    made = partition(
        written("RM|tenant|102", BASE, NOON, Bin(burst, {"INBOUND": 4, "OUTBOUND": 1})),
        written("RM|tenant|102", DAY, NOON, Bin(burst, peak=8, peak_at=NOON + 1999)),
        written("MCP|tenant|102", HOUR, NOON, Bin(Figures(quality={"calls": 3, "failed": 1}))),
        written("MCP|tenant|102", DAY, NOON, Bin(Figures(quality={"calls": 4}))),
        tick(0, NOON),
    )
    (found,) = figures.tenants([made]).values()
    assert (found.in_progress, found.bin_arrivals, found.today_arrivals) == (5, 9, 9)
    assert (found.today_peak, found.today_peak_at) == (8, NOON // 1000 + 1)
    assert (found.bin_burst_two, found.bin_burst_three) == (3, 1)
    assert (found.today_burst_one, found.today_burst_two, found.today_burst_three) == (5, 3, 1)
    assert (found.hour_quality_calls, found.hour_quality_rate) == (3, 6_666)
    assert (found.today_quality_calls, found.today_quality_rate, found.today_timed_out) == (4, 10_000, 2)


def test_a_component_and_the_totals() -> None:
    made = partition(
        written("MCP|component|301", BASE, NOON, row(2, in_progress={"INBOUND": 1})),
        written("MCP|component|301", DAY, NOON, Bin(Figures(completed={"USER_END": 3, "TIMED_OUT": 1}))),
        written("MCP|component_type|", DAY, NOON, Bin(Figures(completed={"TIMED_OUT": 1}))),
        written("RM|component_type|", DAY, NOON, Bin(Figures(arrivals={"INBOUND": 7}, completed={"TIMED_OUT": 2}))),
        written("RM|component_type|", BASE, NOON, row(1, in_progress={"INBOUND": 6})),
    )
    found = figures.components([made])["MCP", 301]
    assert (found.in_progress, found.bin_arrivals, found.today_completed, found.today_timed_out) == (1, 2, 4, 1)
    assert figures.totals([made]) == (6, 7, 3)


def test_what_is_not_shown_is_not_kept() -> None:
    made = partition(
        written("RM|dn|8005550123", BASE, NOON, row(1)),
        written("RM|tenant-own|102", BASE, NOON, row(1)),
        written("RM|app|310", BASE, NOON, row(1)),
        written("RM|tenant|102", "MONTH", NOON, row(1)),
        written("RM|tenant|102", BASE, NOON - BASE_MS, row(1)),
        written("RM|tenant|102", BASE, NOON + 2 * 3_600_000, row(1)),
        (b"RM|tenant|102@FIVE_MINUTES/%d" % NOON, None),
    )
    assert not made._rows


def test_a_new_bin_begins_with_a_tick_and_takes_what_came_early() -> None:
    made = partition(written("RM|tenant|102", BASE, NOON, row(1)), written("RM|tenant|102", BASE, NOON + BASE_MS, row(2)))
    assert figures.tenants([made])[102,].bin_arrivals == 1
    made.take(*tick(0, NOON + BASE_MS))
    assert figures.tenants([made])[102,].bin_arrivals == 2
    made.take(*tick(0, NOON + 2 * BASE_MS, mark=2))
    assert figures.tenants([made]) == {}
    assert not made._rows


def test_a_tick_of_a_worker_that_thaws_takes_nothing_back() -> None:
    made = partition(tick(0, NOON + BASE_MS, mark=9, folded_to=50))
    assert made.take(*tick(0, NOON + 5 * BASE_MS, mark=8)) is None
    assert (made.horizon, made.ticks[0].folded_to) == (NOON + BASE_MS, 50)


def test_there_are_no_more_rows_than_allowed() -> None:
    made = partition(*(written(f"RM|tenant|{n}", BASE, NOON, row(1)) for n in range(1, 50)), most=10)
    assert len(figures.tenants([made])) == 10
    assert len(made.left_out) == 10  # it does not grow without bounds either


TENANT = "RM|tenant|1", BASE
places = st.tuples(
    st.sampled_from(["RM|tenant|1", "MCP|tenant|1", "RM|tenant|2", "CCP|component|3", "RM|component_type|", "RM|dn|4"]),
    st.sampled_from(GRANULARITIES),
    st.integers(-20, 11),
)


@given(
    st.lists(
        st.tuples(places, st.integers(0, 4), st.integers(0, 9)) | st.tuples(st.integers(0, 1), st.integers(-2, 10), st.integers(0, 4))
    ),
)
@example([((*TENANT, 0), 4, 7), ((*TENANT, 0), 1, 9)])  # of a worker that thaws
@example([((*TENANT, 20), 1, 5), (0, 10, 1), ((*TENANT, 10), 2, 6), (0, 20, 2)])  # too far ahead, and then no longer
def test_it_shows_what_the_highest_marks_say(course: list[tuple[object, int, int]]) -> None:
    """Rows in any order of marks; bins up to an hour ahead."""
    made = partition()
    everything: dict[tuple[bytes, str, int], tuple[int, int]] = {}
    horizon = NOON
    ticks: dict[int, tuple[int, int]] = {}
    for what, a, b in course:
        if isinstance(what, int):
            clock, mark = NOON + a * BASE_MS, b
            made.take(*tick(what, clock, mark))
            if mark >= ticks.get(what, (-1, 0))[0]:
                ticks[what] = mark, clock
            horizon = max(horizon, *(at for _, at in ticks.values())) if ticks else horizon
        else:
            dimension, granularity, ahead = what  # type: ignore[misc]
            start = start_of(granularity, horizon + ahead * BASE_MS, ZONE)
            mark, arrivals = a, b
            made.take(bin_key(dimension.encode(), granularity, start), codec.join(mark, encode(row(arrivals))))
            place = (dimension.encode(), granularity, start)
            if mark >= everything.get(place, (-1, 0))[0]:
                everything[place] = mark, arrivals
    assert made.horizon == horizon
    shown = {dimension.pack(): present for dimension, present in made.present()}
    for packed in {place[0] for place in everything}:
        if Dimension.unpack(packed).kind in figures.KINDS:
            wanted = [everything.get((packed, g, start_of(g, horizon, ZONE)), (0, 0))[1] for g in (BASE, HOUR, DAY)]
            found = shown.get(packed)
            assert wanted == ([each.arrivals for each in found] if found else [0, 0, 0])
        else:
            assert packed not in shown


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), min_size=1))
def test_growth_is_what_came_within_a_minute(steps: list[tuple[int, int]]) -> None:
    growth, now, count, course = Growth(), 0, 0, []
    for pause, more in steps:
        now, count = now + pause, count + more
        course.append((now, count))
        before = [c for at, c in course if at <= now - 60]
        assert growth.at(now, count) == count - (before[-1] if before else course[0][1])


def test_the_store_has_come_as_far_as_the_last_tick_before_what_is_committed() -> None:
    stored = Stored()
    for offset in range(100):
        stored.note(offset, offset % 2, 1000 + offset)
    assert stored.committed(0) == {}
    assert stored.committed(10) == {0: 1008, 1: 1009}
    assert stored.committed(5) == {0: 1008, 1: 1009}
    for offset in range(100, 20_000):
        stored.note(offset, 0, 1000 + offset)
    assert len(stored._notes) <= 2_000
    assert stored.committed(20_000)[0] == 1000 + 19_999
    assert stored.committed(15_000)[0] >= stored.committed(14_000)[0]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_days_with_a_shift_of_the_clock_end_where_they_end(day: str) -> None:
    from datetime import datetime

    start = round(datetime.fromisoformat(f"{day}T00:00").replace(tzinfo=ZONE).timestamp() * 1000)
    last = end_of(DAY, start, ZONE) - BASE_MS
    made = partition(written("RM|tenant|1", DAY, start, row(3)), tick(0, last), horizon=start)
    assert figures.tenants([made])[1,].today_arrivals == 3
    made.take(*tick(0, last + BASE_MS, mark=2))
    assert figures.tenants([made]) == {}


def test_a_row_that_is_written_again_and_again_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr(figures, "decode", lambda value, decode=figures.decode: decoded.append(value) or decode(value))
    made = partition(*(written("RM|tenant|102", DAY, NOON, row(n), mark=n) for n in range(1000)))
    for _ in range(2):
        assert next(made.present())[1].day.arrivals == 999
    assert len(decoded) == 1


def test_of_a_batch_the_newest_tick_of_each_source_counts() -> None:
    log = Log(read(reports={"time_zone": ZONE.key}))
    log.partitions, log.stored = {3: Partition(ZONE, 100, NOON)}, {3: Stored()}
    records = [
        tick(0, NOON, mark=1, folded_to=10),
        written("RM|tenant|102", BASE, NOON + BASE_MS, row(4)),
        tick(1, NOON, mark=2, folded_to=20),
        tick(0, NOON + BASE_MS, mark=5, folded_to=30),
        tick(0, NOON, mark=4, folded_to=15),  # of a worker that thaws
    ]
    log._take(3, [SimpleNamespace(key=key, value=value, offset=at) for at, (key, value) in enumerate(records)])  # type: ignore[misc]
    assert log.folded_to() == 20
    assert log.partitions[3].horizon == NOON + BASE_MS
    assert next(log.partitions[3].present())[1].bin.arrivals == 4
    assert log.stored_to({3: 2}) is None  # the tick of source 1 stands at offset 2
    assert log.stored_to({3: 4}) == 20
    assert log.stored[3].committed(4) == {0: 30, 1: 20}
