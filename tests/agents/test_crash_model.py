"""The promise under crashes, on the real folds; and that the judge can tell."""

from tests.agents.crash_model import WRONG, wrong_runs


def test_no_crash_makes_a_wrong_figure() -> None:
    assert wrong_runs(range(400)) == []


def test_the_other_order_of_writes_is_found_wrong() -> None:
    assert wrong_runs(range(100), WRONG)
