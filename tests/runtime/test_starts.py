"""Where partitions begin, and when they must not."""

import pytest
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from pipeline.runtime import RecordsGone, Start, starts

TP0 = TP("in", 0)


def find(own=None, committed=None, first=0, end=100):
    commits = {TP0: OffsetAndMetadata(*committed)} if committed else {}
    return starts.find("group", [TP0], {TP0: own} if own is not None else {}, commits, {TP0: first}, {TP0: end})[TP0]


def test_a_stage_then_the_commit_then_the_beginning():
    assert find(own=30, committed=(40, "forty")) == Start(30, "")
    assert find(own=40, committed=(40, "forty")) == Start(40, "forty")
    assert find(committed=(40, "forty")) == Start(40, "forty")
    assert find(first=7) == Start(7, "")


@pytest.mark.parametrize("offset", [0, 100])
def test_both_ends_are_good(offset):
    assert find(committed=(offset, "")).offset == offset


def test_records_that_are_gone_are_an_error_with_the_step_to_take():
    with pytest.raises(
        RecordsGone, match=r"in\[0\] should go on at offset 5 .committed by group group.*first record is 6.*--to-earliest --execute$"
    ):
        find(committed=(5, ""), first=6)
    with pytest.raises(RecordsGone, match=r"kept by a stage.*and move the offset that the stage keeps$"):
        find(own=5, first=6)


def test_an_offset_beyond_the_end_is_another_topic():
    with pytest.raises(RecordsGone, match=r"at offset 101 .*ends at 100: the topic was deleted and made again"):
        find(committed=(101, ""))


async def test_of_several_stages_the_lowest_offset_counts():
    class Stage:
        def __init__(self, offset):
            self.offset = offset

        async def start(self, tps):
            return dict.fromkeys(tps, self.offset)

    assert await starts.own([Stage(5), object(), Stage(3)], {TP0}) == {TP0: 3}
