"""Boundaries of bins in zones that shift."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.bins import DAY, GRANULARITIES, HOUR, children, end_of, start_of

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
ZONES = [
    ZoneInfo(z)
    for z in ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "Asia/Jerusalem", "Asia/Beirut")
]


def ms(text: str, zone: ZoneInfo) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_days_have_23_and_25_hours(day: str, hours: int) -> None:
    start = ms(day, BERLIN)
    assert start_of(DAY, start + 5 * 3_600_000, BERLIN) == start
    assert end_of(DAY, start, BERLIN) - start == hours * 3_600_000
    assert len(list(children(DAY, start, BERLIN))) == hours


def test_a_half_hour_shift_makes_an_hour_of_90_minutes() -> None:
    """Lord Howe, 4 October 2026, 02:00 becomes 02:30 (rule B11)."""
    start = ms("2026-10-04T01:00", LORD_HOWE)
    assert end_of(HOUR, start, LORD_HOWE) - start == 90 * 60_000
    assert {start_of(HOUR, start + m * 60_000, LORD_HOWE) for m in range(0, 90, 5)} == {start}


def test_hours_of_a_quarter_hour_zone_are_its_own() -> None:
    zone = ZoneInfo("Asia/Kathmandu")
    assert start_of(HOUR, ms("2026-05-05T10:20", zone), zone) == ms("2026-05-05T10:00", zone)


@given(
    ts=st.integers(ms("2020-01-01", BERLIN), ms("2030-01-01", BERLIN)),
    zone=st.sampled_from(ZONES),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_every_instant_lies_in_exactly_one_bin(ts: int, zone: ZoneInfo, granularity: str) -> None:
    start = start_of(granularity, ts, zone)
    end = end_of(granularity, start, zone)
    assert start <= ts < end
    assert start_of(granularity, end, zone) == end
    assert start_of(granularity, end - 1, zone) == start
