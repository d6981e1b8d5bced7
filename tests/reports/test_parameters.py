"""Reading of parameters: forms, faults, normalisation."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from reports import parameters as p
from reports.exceptions import Malformed
from reports.parameters import DigitRange, Match, Reader

BERLIN = ZoneInfo("Europe/Berlin")


def reader(**given: str | list[str]) -> Reader:
    return Reader(urlencode({name.replace("_", "-"): value for name, value in given.items()}, doseq=True), BERLIN)


def utc(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01T12:00:00Z", utc(2026, 7, 1, 12)),
        ("2026-07-01T12:00:00", utc(2026, 7, 1, 10)),
        ("2026-01-01T12:00:00", utc(2026, 1, 1, 11)),
        ("2026-07-01T12:00:00.5Z", utc(2026, 7, 1, 12) + 500),
        ("2026-07-01T12:00:00.045Z", utc(2026, 7, 1, 12) + 45),
        ("2026-07-01T12:00:00-05:00", utc(2026, 7, 1, 17)),
        ("2026-07-01T12:00:00+0530", utc(2026, 7, 1, 6, 30)),
        ("2026-07-01T12:00", utc(2026, 7, 1, 10)),
    ],
)
def test_date_times_in_every_allowed_form(text: str, expected: int) -> None:
    assert reader(started_from=text).one(p.STARTED_FROM) == expected


def test_a_plus_sign_that_was_not_escaped_is_understood() -> None:
    assert Reader("from=2026-07-01T12:00:00+02:00", BERLIN).one(p.FROM) == utc(2026, 7, 1, 10)


@pytest.mark.parametrize(
    "text", ["2026-07-01", "2026-13-01T00:00:00", "2026-07-01T25:00:00", "yesterday", "1795003384000", "2026-07-01T12:00:00+99:00"]
)
def test_other_date_times_are_faults(text: str) -> None:
    asked = reader(**{"from": text})
    assert asked.one(p.FROM) is None
    assert [(fault.parameter, fault.value) for fault in asked.faults] == [("from", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("800*", Match("800", prefix=True)),
        ("8005550123", Match("8005550123")),
        ("*72\\*", Match("*72*")),
        ("300-400", DigitRange("300", "400")),
        ("*", Match("", prefix=True)),
    ],
)
def test_dns(text: str, expected: p.Dn) -> None:
    assert reader(dn=text).many(p.DN) == (expected,)


@pytest.mark.parametrize("text", ["300-40", "400-300", "abc", "30 0", "300-4*"])
def test_other_dns_are_faults(text: str) -> None:
    asked = reader(dn=text)
    assert asked.many(p.DN) == ()
    assert asked.faults[0].value == text


def test_all_faults_at_once() -> None:
    asked = reader(tenant_id=["1", "zero", "0"], page="0", result="GOOD")
    asked.many(p.TENANT_ID)
    asked.one(p.PAGE)
    asked.many(p.RESULT)
    with pytest.raises(Malformed) as caught:
        asked.check()
    assert [(fault.parameter, fault.value) for fault in caught.value.faults] == [
        ("tenant-id", "zero"),
        ("tenant-id", "0"),
        ("page", "0"),
        ("result", "GOOD"),
    ]


def test_a_guid_in_any_case_with_its_tail_dropped() -> None:
    assert reader(guid="0f8a6c1e-2b7d-4e55-9c3a-5d1e77ab0c42;x=1").one(p.GUID) == Match("0F8A6C1E-2B7D-4E55-9C3A-5D1E77AB0C42")


def test_an_empty_value_is_absent_and_repetition_counts_once() -> None:
    asked = reader(tenant_id=["", "7", "7"], page="")
    assert asked.many(p.TENANT_ID) == (7,)
    assert asked.one(p.PAGE) is None
    assert not asked.faults


def test_two_values_where_one_is_allowed_are_a_fault() -> None:
    asked = reader(page=["1", "2"])
    asked.one(p.PAGE)
    assert asked.faults[0].allowed == "one value only"


def test_parameters_that_exclude_one_another() -> None:
    asked = reader(tenant_id="1", app_id="2", dn="3")
    asked.exclusive(p.APP_ID, p.TENANT_ID, p.DN)
    assert {fault.parameter for fault in asked.faults} == {"tenant-id", "dn"}
