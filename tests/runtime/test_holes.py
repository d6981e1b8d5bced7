"""Every case of `holes.py` and the random crashes, against one broker. Cases mostly wait, so several run at a time: the first
test starts all that were selected, each test waits for its own."""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.runtime import crash, holes
from tests.runtime.world import World

AT_A_TIME = 4  # a worker burns a CPU second to start and then waits; more at a time would run into time-outs on two cores
CASES = [crash.random_crashes, crash.random_kills, *holes.CASES]  # the longest first

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
    case(world, name, name + "-ev")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_hole(case, running: dict[object, Future]):
    running[case].result(180)
