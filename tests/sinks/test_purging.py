"""Retention beside the writer, and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline import topics
from pipeline.cli import build
from pipeline.settings import load
from sinks import metrics
from sinks.purging import Purging
from sinks.sql.errors import Transient
from sinks.sql.migrate import migrate
from sinks.sql.retention import DAY_MS
from sinks.sql.sqlite import SQLite
from sinks.sql.writer import Writer
from tests.sinks.builders import T0, bound, calls, tick_record
from tests.sinks.contract import stored
from tests.sinks.retention_contract import ended_at, keep


@pytest.fixture
def dialect(tmp_path: Path) -> SQLite:
    """Ten calls that are too old, one that is not; batches are of three."""
    dialect = SQLite(tmp_path / "reporting.sqlite3")
    migrate(dialect)
    writer = Writer(dialect)
    writer.write(bound(topics.TENANTS_CHANGELOG, [tick_record(0, mark=1)]), {})
    writer.write(calls(*(ended_at(n, T0 - (31 + n) * DAY_MS) for n in range(10)), ended_at(10, T0)), {})
    writer.close()
    return dialect


def purged() -> float:
    return metrics.PURGED.labels("cdr")._value.get()


async def test_it_removes_shows_and_ends(dialect: SQLite) -> None:
    before, metrics_before = len(stored(dialect)["calls"]), purged()
    purging = Purging(dialect, keep(), lambda: True)
    assert await purging.once() == {"cdr": 10}
    assert await purging.once() == {}
    assert (before, len(stored(dialect)["calls"])) == (11, 1)
    assert purged() - metrics_before == 10
    assert metrics.PURGE_COMPLETED._value.get() > 0
    purging.close()


async def test_it_stops_when_the_partition_goes(dialect: SQLite) -> None:
    answers = [True, True, False]
    purging = Purging(dialect, keep(), lambda: answers.pop(0))
    assert await purging.once() == {"cdr": 6}
    assert len(stored(dialect)["calls"]) == 5
    answers = [False]
    assert await Purging(dialect, keep(), lambda: answers.pop(0)).once() == {}


async def test_a_database_that_is_away_is_left_for_the_next_time(dialect: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    purging = Purging(dialect, keep(), lambda: True)

    def away(_: SQLite) -> None:
        raise OSError(5, "away")

    with monkeypatch.context() as patch:
        patch.setattr(SQLite, "connect", away)
        assert isinstance(dialect.meaning(OSError(5, "away")), Transient)
        assert await purging.once() == {}
    assert await purging.once() == {"cdr": 10}
    purging.close()


def test_by_hand(dialect: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RS_STACK__DATA", str(dialect.path.parent))
    monkeypatch.setenv("RS_RETENTION__BATCH", "4")
    load.cache_clear()
    try:
        assert "removed: 10 cdr" in CliRunner().invoke(build("purge"), ["purge"]).output
        assert "removed: nothing" in CliRunner().invoke(build("purge"), ["purge"]).output
        monkeypatch.setenv("RS_FOLD__LATENESS", "0")
        load.cache_clear()
        assert "fold.lateness is 0" in CliRunner().invoke(build("purge"), ["purge"]).output
    finally:
        load.cache_clear()
