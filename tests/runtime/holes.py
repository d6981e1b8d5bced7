"""The holes of stock Faust and of the runtime's own protocol, one case each. A case gets a world, the id of an app of its own and
its source topic, and judges from outside. docs/adr/0003 says which promise each belongs to."""

import time

from rocksdict import Options, Rdict

from pipeline.runtime import codec
from tests.conftest import PATIENCE_S
from tests.runtime.world import N, call_of, event, records, stop, until, window_of

NOTHING = [None] * N


def all_committed(world, app, topic, end):
    return until(lambda: world.committed(app, topic)[0] == end)


def assert_exact(world, app, n):
    assert (world.calls(app), world.windows(app)) == (n, n), world.log(app)[-3000:]


# -- a failure commits nothing


def exception_in_body(world, app, topic):
    """The fold raises in its third chunk: the worker exits, nothing of that chunk is committed; once mended all is there."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="body", CHUNK="100").wait(PATIENCE_S) not in (0, None)
    assert (world.committed(app, topic)[0] or 0) <= world.calls(app) <= 250  # a cut may be written and not yet committed
    log = world.log(app)
    assert log.count("nothing more is committed: RuntimeError: fold failed") == 1, log
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 1000)
    assert stop(worker) == 0
    assert_exact(world, app, 1000)


def produce_failure(world, app, topic):
    """Every changelog send fails: the worker exits, nothing is committed."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="produce").wait(PATIENCE_S) not in (0, None)
    assert world.committed(app, topic) == NOTHING
    assert world.read(f"{app}-calls-changelog") == []


def poison_record(world, app, topic):
    """A record that does not decode, and a body without a net: the worker exits each time, the commit never passes it."""
    world.make(topic, [*records(100), (0, b"x", b"{nonsense"), *records(10, start=100)])
    for _ in range(2):
        assert world.start(app, topic, CHUNK="50").wait(PATIENCE_S) not in (0, None)
        assert (world.committed(app, topic)[0] or 0) <= 100


def hook_fails(world, app, topic):
    """A hook raises when no body is at work: the worker exits, and what the cut would have committed is not."""
    world.make(topic, records(50))
    worker = world.start(app, topic, JOB="bad-hook", BEAT="0.3")
    assert all_committed(world, app, topic, 50)
    world.send(topic, records(50, start=50))
    assert worker.wait(PATIENCE_S) not in (0, None)
    assert world.log(app).count("nothing more is committed: RuntimeError: hook failed") == 1
    assert world.committed(app, topic)[0] <= 99
    mend(world, app, topic, end=100)
    assert_exact(world, app, 100)


def dropped_records(world, app, topic):
    """A chunk vanishes between fetch and fold: the worker stops instead of committing over it."""
    world.make(topic, records(20000))
    assert world.start(app, topic, FAULT="drop", CHUNK="100").wait(PATIENCE_S) not in (0, None)
    assert "LostRecords" in world.log(app)
    assert (world.committed(app, topic)[0] or 0) <= 1000


# -- the order, and what a replay does


def second_table_fails(world, app, topic):
    """The calls changelog fails: windows are written, calls are not, nothing is committed; a good worker gets exact windows."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="calls").wait(PATIENCE_S) not in (0, None)
    assert world.committed(app, topic) == NOTHING
    assert world.read(f"{app}-win-changelog")
    assert not world.read(f"{app}-calls-changelog")
    mend(world, app, topic)
    assert_exact(world, app, 1000)


def other_boundaries(world, app, topic):
    """A crash between the two tables, replayed with smaller cuts: a mark never goes back."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="calls", INTERVAL="2").wait(PATIENCE_S) not in (0, None)
    assert world.read(f"{app}-win-changelog")
    mend(world, app, topic, CHUNK="50", MAX_EVENTS="1", SLOW="0.1")
    assert_exact(world, app, 1000)


def commit_refused(world, app, topic):
    """All is written but the commit is refused: the worker exits; the replay doubles nothing."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="commit").wait(PATIENCE_S) not in (0, None)
    assert world.committed(app, topic) == NOTHING
    assert world.calls(app) > 0
    mend(world, app, topic)
    assert_exact(world, app, 1000)


def control_wrong_order(world, app, topic):
    """Control: with calls before windows, counts must get lost, or `second_table_fails` proves nothing."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="wrong-order").wait(PATIENCE_S) not in (0, None)
    mend(world, app, topic)
    assert world.windows(app) < 1000


def control_no_marks(world, app, topic):
    """Control: rows without marks must count twice, or `commit_refused` proves nothing."""
    world.make(topic, records(1000))
    assert world.start(app, topic, FAULT="nomark").wait(PATIENCE_S) not in (0, None)
    mend(world, app, topic)
    assert world.windows(app) > 1000


def mend(world, app, topic, end=1000, **env):
    worker = world.start(app, topic, **env)
    assert all_committed(world, app, topic, end), world.log(app)[-3000:]
    assert stop(worker) == 0


# -- logs with holes, empty ones, ones that changed


def gaps(world, app, topic):
    """Offsets with holes (transaction markers in the source): the commit reaches the end, the record behind a hole counts."""
    world.make(topic, records(100), transactions=[(0, b"g%d" % i, event(0)) for i in range(20)])
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 140)
    assert stop(worker) == 0
    assert_exact(world, app, 120)


def empty_partitions(world, app, topic):
    """Three of four partitions and a changelog are empty: the worker gets ready, commits, stops, and starts again with nothing
    new, which commits and writes nothing."""
    world.make(topic, records(500, partitions=(2,)))
    worker = world.start(app, topic)
    assert until(lambda: world.committed(app, topic) == [None, None, 500, None])
    assert stop(worker) == 0
    written = len(world.read(f"{app}-calls-changelog"))
    say = world.home / f"say-{app}"
    worker = world.start(app, topic, SAY=str(say), BEAT="0.3")
    assert until(say.exists)  # its partitions are assigned and recovered
    time.sleep(2)  # cuts that must write nothing
    assert stop(worker) == 0
    assert world.committed(app, topic) == [None, None, 500, None]
    assert len(world.read(f"{app}-calls-changelog")) == written
    assert_exact(world, app, 500)


def nothing_assigned(world, app, topic):
    """Two workers, one partition: the second has nothing, takes over when the first is killed, and both stop cleanly."""
    world.make(topic, records(100), partitions=1)
    first = world.start(app, topic, PARTITIONS="1")
    assert until(lambda: world.committed(app, topic, 1) == [100])
    second = world.start(app, topic, PARTITIONS="1", name="2", FAULT="duplicates")
    assert until(lambda: world.members(app) == 2)
    assert second.poll() is None
    first.kill()
    world.send(topic, records(100, start=100))
    assert until(lambda: world.committed(app, topic, 1) == [200])
    assert stop(second) == 0
    assert_exact(world, app, 200)


def changelog_ends_in_hole(world, app, topic):
    """Recovery of a changelog whose last offset is a transaction marker completes."""
    world.make(topic, records(100))
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 100)
    stop(worker)
    world.send_transactions(f"{app}-calls-changelog", [(0, b"other", codec.join(0, b"\x95\x07\x07\xa0\x00\x00"))])
    world.send(topic, records(50, start=100))
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 150)
    assert stop(worker) == 0
    assert (world.calls(app), world.windows(app)) == (157, 150)


def retention_passed_the_commit(world, app, topic):
    """Records between the commit and the first that is left are gone: the worker says so and stops, each time."""
    world.make(topic, records(100))
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 100)
    stop(worker)
    world.send(topic, records(200, start=100))
    world.delete_records(topic, 0, 150)
    for _ in range(2):
        assert world.start(app, topic).wait(PATIENCE_S) not in (0, None)
    assert f"{topic}[0] should go on at offset 100 (committed by group {app}), but its first record is 150" in world.log(app)
    assert world.committed(app, topic)[0] == 100


def topic_made_again(world, app, topic):
    """A source topic that was deleted and made again ends before the commit: the worker says so and stops."""
    world.make(topic, records(100))
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 100)
    stop(worker)
    before = world.commits(app, topic)
    world.delete_topic(topic)
    world.make(topic, records(10))
    world.commit(app, topic, before)  # the broker drops a deleted topic's commits; a restored or mirrored group has them
    assert world.start(app, topic).wait(PATIENCE_S) not in (0, None)
    assert f"{topic}[0] should go on at offset 100 (committed by group {app}), but it ends at 10" in world.log(app)


def changelog_not_assigned(world, app, topic):
    """The leader hands out source partitions without a changelog it does not know: the worker stops instead of folding into a
    table that was not recovered."""
    world.make(topic, records(200))
    mend(world, app, topic, end=200)
    world.send(topic, records(200, start=200))
    assert world.start(app, topic, FAULT="blind").wait(PATIENCE_S) not in (0, None)
    assert f"{topic}[0] was assigned without {app}-calls-changelog[0]" in world.log(app)
    assert world.committed(app, topic)[0] == 200
    mend(world, app, topic, end=400)
    assert_exact(world, app, 400)


def other_partition_count(world, app, topic):
    """A table with other partitions than its source: refused."""
    world.make(topic, records(10), partitions=2)
    assert world.start(app, topic).wait(PATIENCE_S) not in (0, None)
    assert "make them equal" in world.log(app)
    assert world.commits(app, topic) == {}


def leftovers_on_disk(world, app, topic):
    """A worker with rows on disk is killed, and what it left says what never was, with marks that nothing beats: its successor
    goes by the changelog alone."""
    world = world.on_disk()
    world.make(topic, records(2000))
    worker = world.start(app, topic, CHUNK="50", SLOW="0.05")
    assert until(lambda: (world.committed(app, topic)[0] or 0) > 300)
    worker.kill()
    worker.wait()
    left = world.datadir(app) / "v1" / "tables" / "calls" / "0"
    db = Rdict(str(left), Options(raw_mode=True))
    for key in (b"c1", b"never"):
        db[key] = codec.join(10**9, b"\x95\x63\x63\xa0\x00\x00")  # an event number 99 was folded
    db.close()
    mend(world, app, topic, end=2000)
    assert_exact(world, app, 2000)
    assert (0, b"never") not in world.table(app, "calls", call_of)


# -- stopping, slow bodies, rebalances


def term_replays_nothing(world, app, topic):
    """SIGTERM in the middle: exit 0, what is committed is written, the next worker sees no duplicate."""
    world.make(topic, records(20000))
    worker = world.start(app, topic, SLOW="0.1", CHUNK="100")
    assert until(lambda: (world.committed(app, topic)[0] or 0) > 500)
    assert stop(worker) == 0
    committed = world.committed(app, topic)[0]
    assert 500 < committed < 20000
    assert_exact(world, app, committed)
    worker = world.start(app, topic, FAULT="duplicates")
    assert all_committed(world, app, topic, 20000)
    assert stop(worker) == 0
    assert_exact(world, app, 20000)


def slow_body(world, app, topic):
    """A body that blocks the event loop for 9 s (session 6 s) and one that awaits 9 s: still a member, nothing lost."""
    world.make(topic, records(200))
    worker = world.start(app, topic, FAULT="slow", CHUNK="100")
    assert all_committed(world, app, topic, 200), world.log(app)[-3000:]
    assert stop(worker) == 0
    assert_exact(world, app, 200)


def revoked_while_busy(world, app, topic):
    """Partitions are revoked while a body is in the middle of a chunk: it finishes, is committed, the other goes on; no duplicate."""
    world.make(topic, records(3000, partitions=range(4)))
    first = world.start(app, topic, SLOW="0.3", CHUNK="100", INTERVAL="5")
    assert until(lambda: any(world.committed(app, topic)))  # its first cut: there is much more to do, and it is always busy
    second = world.start(app, topic, name="2", FAULT="duplicates", CHUNK="100")
    assert until(lambda: sum(at or 0 for at in world.committed(app, topic)) == 12000)
    assert (stop(first), stop(second)) == (0, 0), world.log(app, "2")[-3000:]
    assert_exact(world, app, 12000)


# -- the outbox, metadata, rows that nobody asked for


def outbox_carries_the_new_mark(world, app, topic):
    """Outbox records are the rows as written: same bytes, the new mark, and there even if the table behind fails."""
    world.make(topic, records(1000))
    world.make(topic + "-out")
    assert world.start(app, topic, JOB="outbox", FAULT="calls").wait(PATIENCE_S) not in (0, None)
    sent, written = world.read(topic + "-out"), world.read(f"{app}-win-changelog")
    assert [(row.key, row.value) for row in sent] == [(row.key, row.value) for row in written] != []
    assert [row.headers for row in sent] == [(("at", b"cut"),)] * len(sent)
    mend(world, app, topic, JOB="outbox")
    last = world.read(topic + "-out")[-1]
    mark, payload = codec.split(last.value)
    assert (mark, window_of(payload).counts) == (1000, {"offered": 1000})


def metadata_restored(world, app, topic):
    """What a commit says comes back with exactly that commit after a kill -9."""
    world.make(topic, records(2000))
    env = {"JOB": "metadata", "SAY": str(world.home / f"say-{app}"), "CHUNK": "50", "SLOW": "0.05"}
    worker = world.start(app, topic, **env)
    assert until(lambda: (world.committed(app, topic)[0] or 0) > 300)
    worker.kill()
    worker.wait()
    at = world.commits(app, topic)[0]
    assert at.metadata == f"stood at {at.offset}"
    worker = world.start(app, topic, **env)
    assert all_committed(world, app, topic, 2000)
    assert stop(worker) == 0
    said = (world.home / f"say-{app}").read_text().splitlines()
    assert "0 0 " in said
    assert f"0 {at.offset} stood at {at.offset}" in said


def beats_and_changes_of_no_record(world, app, topic):
    """With a beat, rows touched in before_cut are written although no position moves, and idle partitions are not committed anew."""
    world.make(topic, records(100))
    worker = world.start(app, topic, JOB="ticks", BEAT="0.5")

    def ticks():
        return world.table(app, "win", window_of).get((3, b"tick|0|3"))

    assert until(lambda: (row := ticks()) is not None and row.counts["ticks"] >= 3)
    assert stop(worker) == 0
    assert world.committed(app, topic)[0] == 100
    assert_marks_never_go_back(world, app, "win")


def dropped_rows_stay_dropped(world, app, topic):
    """Rows dropped in before_cut leave tombstones with the position as mark, and are not there after a restart."""
    world.make(topic, records(100))
    worker = world.start(app, topic, JOB="expire", BEAT="0.5")
    assert until(lambda: world.calls(app) == 0 and world.committed(app, topic)[0] == 100)
    assert stop(worker) == 0
    rows = [row for row in world.read(f"{app}-calls-changelog") if row.value is None]
    assert {row.key for row in rows} == {b"c%d" % i for i in range(10)}
    assert {row.headers for row in rows} == {(("mark", codec.MARK.pack(100)),)}
    world.send(topic, [(0, b"c1", event(99))])
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 101)
    assert stop(worker) == 0
    assert world.table(app, "calls", call_of)[0, b"c1"].n == 1


def lower_mark_behind_a_higher(world, app, topic):
    """A thawed worker appended old values behind new ones: recovery takes the higher mark and writes it again, tombstones too."""
    world.make(topic, records(100))
    worker = world.start(app, topic)
    assert all_committed(world, app, topic, 100)
    stop(worker)
    log, key = f"{app}-calls-changelog", b"c3"
    good = [row.value for row in world.read(log) if row.key == key][-1]
    world.send(log, [(0, key, codec.join(40, b"\x95\x04\x03\xa0\x00\x00"))])
    world.send(log, [(0, b"gone", None)], headers=codec.tombstone(90))
    world.send(log, [(0, b"gone", codec.join(40, b"\x95\x04\x03\xa0\x00\x00"))])
    before = len(world.read(log))
    worker = world.start(app, topic)
    assert until(lambda: len(world.read(log)) > before)
    assert stop(worker) == 0
    again = world.read(log)[before:]
    assert [(row.key, row.value) for row in again] == [(key, good), (b"gone", None)]
    assert again[1].headers == (("mark", codec.MARK.pack(90)),)
    assert_exact(world, app, 100)


def assert_marks_never_go_back(world, app, name):
    high = {}
    for row in world.read(f"{app}-{name}-changelog"):
        mark = codec.packed_mark(row.value, row.headers)
        assert mark >= high.get((row.partition, row.key), b"")
        high[row.partition, row.key] = mark


# -- several checkpoints, ordinary agents, stages


def two_checkpoints_and_an_ordinary_agent(world, app, topic):
    """Two checkpoints and an ordinary agent in one app. One that waits with a full inbox holds up none of the others."""
    block = world.home / f"block-{app}"
    block.touch()
    world.make(topic, records(1000))
    world.make(topic + "-two", records(60_000, partitions=range(4)))
    world.make(topic + "-plain", [(n, b"", b"note %d" % n) for n in range(4)])
    env = {"JOB": "second,ordinary", "BLOCK": str(block), "NOTES": str(world.home / f"notes-{app}")}
    worker = world.start(app, topic, **env)
    assert all_committed(world, app, topic, 1000), world.log(app)[-3000:]
    notes = world.home / f"notes-{app}"
    assert until(lambda: notes.exists() and sorted(notes.read_bytes().splitlines()) == [b"note %d" % n for n in range(4)])
    assert world.committed(app, topic + "-two") == NOTHING
    world.send(topic, records(1000, start=1000))
    assert all_committed(world, app, topic, 2000)  # while the other is held
    assert world.committed(app, topic + "-two") == NOTHING
    block.unlink()
    assert until(lambda: world.committed(app, topic + "-two") == [60_000] * 4)
    assert until(lambda: world.committed(app, topic + "-plain") == [1] * 4)
    assert stop(worker) == 0
    assert_exact(world, app, 2000)
    assert sum(call.n for call in world.table(app, "second", call_of).values()) == 240_000


def ordinary_agent_fails(world, app, topic):
    """An ordinary agent that raises stops the worker as well; the checkpoint beside it stays exact."""
    world.make(topic, records(1000))
    world.make(topic + "-two")
    world.make(topic + "-plain", [(0, b"", b"raise")])
    notes = world.home / f"notes-{app}"
    worker = world.start(app, topic, JOB="second,ordinary", NOTES=str(notes), CHUNK="100", SLOW="0.05")
    assert worker.wait(PATIENCE_S) not in (0, None)
    assert "ordinary agent failed" in world.log(app)
    mend(world, app, topic)
    assert_exact(world, app, 1000)


def stage_with_its_own_offsets(world, app, topic):
    """A stage that keeps offsets and rows in one SQLite transaction, killed twice in the middle: exact, and it does not begin at
    Kafka's commit but at its own."""
    world.make(topic, records(3000, partitions=range(4)))
    store = str(world.home / f"store-{app}.sqlite")
    env = {"STORE": store, "CHUNK": "100", "SLOW": "0.02", "module": "tests.runtime.stage_job"}
    for least in (2000, 5000):
        worker = world.start(app, topic, **env)
        assert until(lambda least=least: world.stored(store)[0] > least), world.log(app)[-3000:]
        worker.kill()
        worker.wait()
    worker = world.start(app, topic, **env)
    assert until(lambda: world.stored(store)[0] == 12_000)
    assert until(lambda: world.committed(app, topic) == [3000] * 4)
    assert stop(worker) == 0
    world.commit(app, topic, {0: 0, 1: 1500})
    world.send(topic, records(100, start=3000))
    worker = world.start(app, topic, **env)
    assert until(lambda: world.stored(store)[0] >= 12_100)
    assert until(lambda: world.committed(app, topic) == [3100, 3000, 3000, 3000])
    assert stop(worker) == 0
    assert world.stored(store) == (12_100, 12_100)


def stage_behind_retention(world, app, topic):
    """The offset a stage keeps is gone from the topic: the worker says so and stops."""
    world.make(topic, records(100))
    store = str(world.home / f"store-{app}.sqlite")
    env = {"STORE": store, "module": "tests.runtime.stage_job"}
    worker = world.start(app, topic, **env)
    assert until(lambda: world.stored(store)[0] == 100), world.log(app)[-3000:]
    stop(worker)
    world.send(topic, records(100, start=100))
    world.delete_records(topic, 0, 150)
    assert world.start(app, topic, **env).wait(PATIENCE_S) not in (0, None)
    assert "should go on at offset 100 (kept by a stage), but its first record is 150" in world.log(app)


CASES = [value for name, value in list(globals().items()) if getattr(value, "__module__", "") == __name__ and value.__doc__]
