"""Every case of `holes.py` and the random crashes, against one broker. Cases mostly wait, so several run at a time: the first
test starts all that were selected, each test waits for its own."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conftest import PATIENCE_S
from tests.last_words import last_words
from tests.runtime import crash, holes
from tests.runtime.world import World

AT_A_TIME = 4  # a worker burns a CPU second to start and then waits; more at a time would run into time-outs on two cores


def on_disk(case):
    """The case with rows in RocksDB: those that crash, rebalance, recover and drop."""

    def case_on_disk(world, app, topic):
        case(world.on_disk(), app, topic)

    case_on_disk.__name__ = f"{case.__name__}_on_disk"
    return case_on_disk


CASES = [  # the longest first
    crash.random_crashes,
    crash.random_kills,
    on_disk(crash.random_crashes),
    on_disk(crash.random_kills),
    *holes.CASES,
    on_disk(holes.second_table_fails),
    on_disk(holes.commit_refused),
    on_disk(holes.term_replays_nothing),
    on_disk(holes.revoked_while_busy),
    on_disk(holes.dropped_rows_stay_dropped),
    on_disk(holes.lower_mark_behind_a_higher),
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(kafka, tmp_path_factory):
    world = World(kafka, tmp_path_factory.mktemp("runtime"))
    yield world
    world.close()


@pytest.fixture(scope="module")
def running(request, world):
    """case -> future of its run"""
    selected = [item.callspec.params["case"] for item in request.session.items if item.function is test_hole]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {case: pool.submit(run, case, world) for case in selected}
        pool.shutdown(cancel_futures=True)


def run(case, world):
    name = case.__name__.replace("_", "-")
    try:
        case(world, name, name + "-ev")
    except Exception as exc:
        for log in sorted(world.home.glob(f"log-{name}*")):
            exc.add_note(f"-- end of {log.name}\n{last_words(log)}")
        raise


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_hole(case, running: dict[object, Future]):
    running[case].result(5 * PATIENCE_S)  # it may have waited for others
