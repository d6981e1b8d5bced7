"""A shadow in SQLite: filled, compared, swapped. And the names of generations."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.generation import FIRST, TABLES, Generation, plain
from pipeline.topics import BILLING, all_topics
from sinks.sql.sqlite import SQLite
from tests.rebuild.contract import ShadowContract


class TestSQLite(ShadowContract):
    @pytest.fixture
    def dialect(self, tmp_path: Path) -> SQLite:
        return SQLite(tmp_path / "reporting.sqlite3")


def test_generation_one_has_the_names_without_a_number() -> None:
    assert FIRST.topics == ("rs.activity", "rs.events", *(f"rs-agents-{table}-changelog" for table in TABLES))
    assert (FIRST.agents_app, FIRST.sinks_app) == ("rs-agents", "rs-sinks")


def test_generations_share_nothing_but_the_log_and_what_was_set_aside() -> None:
    one, two = ({topic.name for topic in all_topics(0, Generation(number))} for number in (1, 2))
    assert one & two == {BILLING, "rs.quarantine", "rs.sink.quarantine", "rs.generations"}
    assert {Generation(n).agents_app for n in range(1, 20)} | {Generation(n).sinks_app for n in range(1, 20)} == {
        f"rs-{app}{number}" for app in ("agents", "sinks") for number in ("", *(f"-g{n}" for n in range(2, 20)))
    }


@pytest.mark.parametrize("number", [2, 17])
def test_a_name_says_what_kind_of_records_it_holds(number: int) -> None:
    assert tuple(map(plain, Generation(number).topics)) == FIRST.topics
    assert plain(BILLING) == BILLING
