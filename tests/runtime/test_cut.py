"""The order of a cut, hooks, and what stops it: Checkpoint and Cut on a fake app."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest
from faust.types import TP

from pipeline.runtime import App, BodyGone, Chunk, Expelled, LostRecords, Outgoing, Start, WrongDeclaration, codec
from pipeline.runtime.inbox import Inbox


class Row(msgspec.Struct, array_like=True):
    n: int = 0
    mark: int = 0


class Worker:
    """The parts of an app that a checkpoint sees, with a diary of what became durable in which order."""

    def __init__(self, order=("first", "second"), *, topics=("in",), **options):
        self.app = App("unit")
        self.diary, self.crashes, self.fails_at = [], [], None
        self.tables = {name: self.app.Table(name, value=Row, partitions=2) for name in order if isinstance(name, str)}
        stages = [self.tables[name] if isinstance(name, str) else name for name in order]
        source = self.app.topic(*topics, key_type=bytes, value_type=bytes)
        self.checkpoint = self.app.checkpoint(source, stages, **{"interval": 0.0, "max_events": 100, **options})
        self.checkpoint.app = SimpleNamespace(
            consumer=self,
            producer=self,
            tables=SimpleNamespace(recovery=self),
            crash=self.crash,
            consumer_generation_id=1,
            should_stop=False,
            crashed=False,
        )
        self.highwater = {}

    def begin(self, **starts):
        self.checkpoint.begin({TP("in", int(n[1:])): Start(at, "") for n, at in starts.items()}, {})

    async def crash(self, exc):
        self.crashes.append(exc)

    # consumer
    def check_membership(self):
        if self.fails_at == "membership":
            raise Expelled("out")

    async def commit_offsets(self, commits):
        if commits:
            await self.note("commit", {tp.partition: (commit.offset, commit.metadata) for tp, commit in commits.items()})

    def highwater_of(self, tp):
        return self.highwater.get(tp)

    # producer
    async def send_all(self, topic, partition, messages):
        await self.note(topic.removeprefix("unit-").removesuffix("-changelog"), partition, [m.key for m in messages])
        return 0

    # recovery
    def wrote(self, tp, offset):
        pass

    async def note(self, what, *facts):
        await asyncio.sleep(0)
        if self.fails_at == what:
            raise RuntimeError(what)
        self.diary.append((what, *facts))

    def touch(self, name, key, partition=0):
        state = self.tables[name].state(partition)
        state[key].n += 1
        state.touch(key)

    async def cut(self):
        await self.checkpoint.cut()
        if self.checkpoint._writing is not None:
            await self.checkpoint._writing

    def move(self, offset, partition=0):
        self.checkpoint._position[TP("in", partition)] = offset


class Source:
    should_stop = False

    async def maybe_start(self):
        pass


def chunk(start, end, partition=0, offsets=None, generation=1):
    return Chunk(
        TP("in", partition),
        start,
        end,
        [SimpleNamespace(offset=o) for o in (range(start, end) if offsets is None else offsets)],
        generation,
    )


async def test_outbox_then_stages_in_order_then_commit():
    written = []

    class Store:
        def cut(self, positions):
            async def write():
                worker.diary.append(("store", {tp.partition: at for tp, at in positions.items()}))

            written.append(positions)
            return write

    worker = Worker(["first", Store(), "second"])
    worker.begin(p0=10, p1=20)

    @worker.checkpoint.outbox
    def outbox(cut):
        return [Outgoing("out", 3, row.packed, row.value) for row in cut.rows(worker.tables["first"])]

    worker.touch("first", b"a")
    worker.touch("second", b"b", 1)
    worker.move(15)
    await worker.cut()
    assert worker.diary == [
        ("out", 3, [b"a"]),
        ("first", 0, [b"a"]),
        ("store", {0: 15, 1: 20}),
        ("second", 1, [b"b"]),
        ("commit", {0: (15, "")}),
    ]


@pytest.mark.parametrize("fails_at", ["out", "first", "second", "commit", "membership"])
async def test_nothing_behind_a_failure_is_done(fails_at):
    worker = Worker()
    worker.begin(p0=0)
    worker.checkpoint.outbox(lambda cut: [Outgoing("out", 0, b"k", b"v")])
    worker.touch("first", b"a")
    worker.touch("second", b"a")
    worker.move(5)
    worker.fails_at = fails_at
    with pytest.raises(RuntimeError):
        await worker.cut()
    steps = ["out", "first", "second", "commit"]
    assert [what for what, *_ in worker.diary] == steps[: steps.index(fails_at) if fails_at in steps else 0]
    assert len(worker.crashes) == 1
    with pytest.raises(RuntimeError):
        await worker.cut()  # there is no next one
    assert len(worker.diary) < len(steps)


async def test_before_cut_changes_are_in_the_cut_and_the_outbox_sees_their_marks():
    worker = Worker()
    worker.begin(p0=0)
    seen = []

    @worker.checkpoint.before_cut
    def expire(cut):
        assert list(cut.rows(worker.tables["first"])) == []
        worker.touch("first", b"late")

    @worker.checkpoint.outbox
    def outbox(cut):
        seen.extend((row.partition, row.key, codec.split(row.value)[0]) for row in cut.rows(worker.tables["first"]))
        return []

    worker.move(7)
    await worker.cut()
    assert seen == [(0, b"late", 7)]


async def test_committed_is_where_a_replay_would_begin():
    worker = Worker()
    tp = TP("in", 0)
    with pytest.raises(KeyError):
        worker.checkpoint.committed(tp)
    worker.checkpoint.begin({tp: Start(9, "")}, {tp: (5, "")})  # a stage keeps an offset of its own
    assert worker.checkpoint.committed(tp) == 5
    worker.begin(p0=3)
    assert worker.checkpoint.committed(tp) == 3
    worker.move(7)
    await worker.checkpoint.cut()
    assert worker.checkpoint.committed(tp) == 3  # not before it is confirmed
    await worker.checkpoint._writing
    assert worker.checkpoint.committed(tp) == 7


async def test_touched_rows_are_written_although_no_position_moved():
    worker = Worker()
    worker.begin(p0=9)
    await worker.cut()
    assert worker.diary == []
    worker.touch("first", b"a")
    await worker.cut()
    assert worker.diary == [("first", 0, [b"a"])]


async def test_rows_of_partitions_that_are_not_ours_wait():
    worker = Worker()
    worker.begin(p0=0)
    worker.touch("first", b"a", 1)
    await worker.cut()
    assert worker.diary == []


async def test_a_beat_cuts_although_nothing_happened():
    worker = Worker(beat=0.01)
    cuts = []
    worker.checkpoint.before_cut(cuts.append)
    await worker.cut()
    assert cuts == []  # nothing assigned
    worker.begin(p0=0)
    await worker.cut()
    assert cuts == []
    await asyncio.sleep(0.02)
    await worker.cut()
    assert len(cuts) == 1
    assert worker.diary == []


async def test_metadata_goes_into_the_commit_and_is_committed_anew_when_it_changes():
    worker = Worker(beat=0.0)
    worker.begin(p0=0)
    said = ["one"]
    worker.checkpoint.metadata(lambda tp: said[0])
    worker.move(5)
    await worker.cut()
    await worker.cut()
    said[0] = "two"
    await worker.cut()
    assert worker.diary == [("commit", {0: (5, "one")}), ("commit", {0: (5, "two")})]


async def test_a_chunk_counts_when_the_body_asks_for_the_next():
    worker = Worker(interval=1000.0, max_events=8)
    worker.begin(p0=0)
    worker.checkpoint.offer(chunk(0, 5))
    worker.checkpoint.offer(chunk(5, 9, offsets=[5, 8]))
    chunks = worker.checkpoint.chunks(Source())
    assert (await anext(chunks)).end == 5
    assert worker.checkpoint.position(TP("in", 0)) == 0
    await worker.cut()
    assert worker.diary == []  # no cut while a body holds a chunk
    assert (await anext(chunks)).start == 5
    assert worker.checkpoint.position(TP("in", 0)) == 5


async def test_a_chunk_that_begins_before_the_position_is_trimmed():
    worker = Worker()
    worker.begin(p0=3)
    worker.checkpoint.offer(chunk(0, 5))
    found = await anext(worker.checkpoint.chunks(Source()))
    assert (found.start, found.end, [record.offset for record in found.records]) == (3, 5, [3, 4])


async def test_a_chunk_behind_a_missing_one_stops():
    worker = Worker()
    worker.begin(p0=3)
    worker.checkpoint.offer(chunk(5, 9))
    with pytest.raises(LostRecords, match="stood at 3, got 5"):
        await anext(worker.checkpoint.chunks(Source()))


async def test_chunks_of_another_generation_or_between_assignments_are_dropped():
    worker = Worker()
    worker.checkpoint.offer(chunk(0, 5))
    worker.begin(p0=0)
    worker.checkpoint.offer(chunk(0, 5, generation=7))
    assert len(worker.checkpoint.inbox) == 0


async def test_settling_commits_what_was_folded_and_tells_who_is_gone():
    worker = Worker(interval=1000.0)
    worker.begin(p0=0, p1=0)
    gone = []
    worker.checkpoint.on_revoked(gone.append)
    worker.touch("first", b"a")
    worker.move(4)
    worker.checkpoint.offer(chunk(4, 9))
    await worker.checkpoint.settle()
    assert worker.diary == [("first", 0, [b"a"]), ("commit", {0: (4, "")})]
    assert gone == [{TP("in", 0), TP("in", 1)}]
    assert worker.checkpoint.assigned == set()
    await worker.checkpoint.settle()
    assert len(gone) == 1


async def test_a_body_that_left_a_chunk_half_folded_is_never_committed():
    worker = Worker()
    worker.begin(p0=0)
    worker.checkpoint.offer(chunk(0, 5))
    chunks = worker.checkpoint.chunks(Source())
    await anext(chunks)
    worker.touch("first", b"a")
    settling = asyncio.create_task(worker.checkpoint.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    await chunks.aclose()
    with pytest.raises(BodyGone):
        await settling
    await worker.cut()
    assert worker.diary == []


async def test_settling_does_not_wait_for_the_body_of_a_crashed_app():
    worker = Worker()
    worker.begin(p0=0)
    worker.checkpoint.offer(chunk(0, 5))
    chunks = worker.checkpoint.chunks(Source())
    await anext(chunks)
    worker.checkpoint.app.crashed = True
    await asyncio.wait_for(worker.checkpoint.settle(), 1)
    assert worker.diary == []


async def test_caught_up_is_the_highwater_of_the_last_fetch():
    worker = Worker()
    tp = TP("in", 0)
    assert not worker.checkpoint.caught_up(tp)
    worker.begin(p0=5)
    assert not worker.checkpoint.caught_up(tp)  # not fetched yet
    worker.highwater[tp] = 6
    assert not worker.checkpoint.caught_up(tp)
    worker.move(6)
    assert worker.checkpoint.caught_up(tp)


def test_marks_over_several_topics_are_refused():
    with pytest.raises(WrongDeclaration, match="first, second"):
        Worker(topics=("in", "too"))


def test_a_table_or_a_topic_belongs_to_one_checkpoint():
    worker = Worker()
    other = worker.app.topic("other")
    worker.app.checkpoint(worker.app.topic("good"), [worker.app.Table("good", value=Row, partitions=2)], interval=1, max_events=1)
    with pytest.raises(WrongDeclaration, match="table first belongs to another"):
        worker.app.checkpoint(other, [worker.tables["first"]], interval=1, max_events=1)
    with pytest.raises(WrongDeclaration, match="topic in has a checkpoint"):
        worker.app.checkpoint(worker.app.topic("in"), [], interval=1, max_events=1)


def test_an_inbox_wakes_the_fetcher_when_it_is_half_empty():
    woken = []
    inbox = Inbox(10, lambda: woken.append(True))
    for start in (0, 4, 8):
        inbox.put(chunk(start, start + 4))
    assert inbox.full
    inbox.get()
    assert inbox.full
    assert not woken
    inbox.get()
    assert not inbox.full
    assert len(woken) == 1
    inbox.clear()
    assert len(woken) == 1
