"""kill -9 of the sinks worker in the middle of transactions: two of the many that `python -m tests.sinks.kills` does, and what that says
of a sink that breaks its promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.sql.sqlite import SQLite
from tests.sinks.kills import kills

pytestmark = pytest.mark.slow


@pytest.fixture
def dialect(tmp_path: Path) -> SQLite:
    return SQLite(tmp_path / "reporting.sqlite3")


async def test_the_store_is_exactly_the_log_up_to_its_offsets(kafka: str, dialect: SQLite) -> None:
    result = await kills(kafka, dialect.path.parent, dialect, "sqlite:///reporting.sqlite3", rounds=2)
    assert (result.different, result.inside) == ([], 2)
    assert result.compared > 1000


async def test_a_sink_that_writes_older_rows_over_newer_ones_is_caught(kafka: str, dialect: SQLite) -> None:
    result = await kills(kafka, dialect.path.parent, dialect, "sqlite:///reporting.sqlite3", rounds=20, broken="guard")
    assert result.different
