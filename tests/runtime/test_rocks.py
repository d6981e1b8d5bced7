"""Rows on disk: what a crash leaves there is worth nothing, and nobody's folder is deleted under him."""

import shutil
import subprocess
import sys

import pytest

from pipeline.runtime import App, FolderInUse, WrongDeclaration
from tests.runtime.test_tables import Row, record

# Another worker: its rows are in a file when it says so, and are read from there when it is asked.
HOLD = """
import sys, rocksdict
db = rocksdict.Rdict(sys.argv[1])
db["row"] = 1
db.flush()
print("open", flush=True)
sys.stdin.readline()
db["other"] = 2
db.flush()
print(db["row"], db["other"], flush=True)
"""


def table_in(folder, store="rocksdict"):
    return App("unit", store=store + "://", datadir=folder).Table("rows", value=Row, partitions=4)


def folder_of(table, partition):
    return table.app.conf.tabledir / "rows" / str(partition)


def recovered(table, partition, *records):
    state = table.state(partition)
    state.load(records)
    return state


class Spy:
    """Counts what is written at a time, and lets nothing else but reading through."""

    def __init__(self, db):
        self.get, self._write, self.batches = db.get, db.write, []

    def write(self, batch, options):
        self.batches.append(len(batch))
        self._write(batch, options)


@pytest.fixture
def left(tmp_path):
    """A folder as a killed worker leaves it: files of an open database, taken while it is open and with rows in them."""
    table = table_in(tmp_path / "alive")
    for partition in (0, 3):
        recovered(table, partition, *(record(b"%d" % i, i, 10**9) for i in range(100)))
        table.state(partition).raw._db.flush()
    shutil.copytree(tmp_path / "alive", tmp_path / "left")
    assert any(folder_of(table_in(tmp_path / "left"), 3).glob("*.sst"))
    for partition in (0, 3):
        table.data.forget(partition)
    return tmp_path / "left"


def test_what_a_crash_left_is_not_there(left):
    table = table_in(left)
    state = recovered(table, 0, record(b"5", 7, 20))
    assert list(state.keys_packed()) == [b"5"]
    assert state[b"5"] == Row(7, 20)
    assert (state.rows, state.peek(b"6")) == (1, None)
    assert not folder_of(table, 3).exists()  # somebody else has that partition now
    table.data.forget(0)


def test_what_another_worker_left_meanwhile_is_not_there(left, tmp_path):
    table = table_in(tmp_path / "ours")
    table.state(0)
    shutil.copytree(folder_of(table_in(left), 3), folder_of(table, 3))
    assert list(table.state(3).keys_packed()) == []
    for partition in (0, 3):
        table.data.forget(partition)


def test_torn_and_foreign_files_do_not_matter(left):
    table = table_in(left)
    for file in folder_of(table, 0).iterdir():
        if file.is_file():
            file.write_bytes(b"torn")
    (folder_of(table, 0) / "notes").mkdir()
    (folder_of(table, 0) / "notes" / "file").touch()
    (folder_of(table, 0).parent / "file").touch()
    assert list(recovered(table, 0, record(b"a", 1, 1)).keys_packed()) == [b"a"]
    table.data.forget(0)


def test_a_partition_that_went_and_came_back_is_empty(tmp_path):
    table = table_in(tmp_path)
    recovered(table, 0, record(b"a", 1, 1))
    table.data.forget(0)
    assert not folder_of(table, 0).exists()
    assert list(table.state(0).keys_packed()) == []
    table.data.forget(0)


@pytest.mark.parametrize("partition", [0, 1])
def test_a_folder_that_another_worker_uses_is_refused_and_left_alone(tmp_path, partition):
    table = table_in(tmp_path)
    folder = folder_of(table, 1)
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(FolderInUse, match="--datadir"):
            table.state(partition)
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"1 2\n"


def test_nothing_is_logged_ahead(tmp_path):
    table = table_in(tmp_path)
    recovered(table, 0, *(record(b"%d" % i, i, 1) for i in range(1000)))
    assert [file.stat().st_size for file in folder_of(table, 0).glob("*.log")] == [0]
    table.data.forget(0)


def test_a_cut_is_one_batch(tmp_path):
    table = table_in(tmp_path)
    state = recovered(table, 0, record(b"gone", 1, 1))
    for key in (b"a", b"b"):
        state[key].n = 1
        state.touch(key)
    state.drop(b"gone")
    db = state.raw._db
    before = db.latest_sequence_number()
    assert list(db.keys()) == [b"gone"]
    state.raw._db = Spy(db)
    state.cut(5)
    assert state.raw._db.batches == [3]
    assert db.latest_sequence_number() == before + 3
    state.raw._db = db
    assert list(db.keys()) == [b"a", b"b"]
    table.data.forget(0)


def test_another_store_is_refused(tmp_path):
    with pytest.raises(WrongDeclaration, match="store rocksdb"):
        table_in(tmp_path, "rocksdb").state(0)
