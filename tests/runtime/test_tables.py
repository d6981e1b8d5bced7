"""State, marks and the highest mark in recovery, without Kafka."""

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runtime import App, ForeignChangelog, StateTable, codec


class Row(msgspec.Struct, array_like=True):
    n: int = 0
    mark: int = 0


class Other(msgspec.Struct, array_like=True, tag=2):
    mark: int = 0


class Tagged(msgspec.Struct, array_like=True, tag=1):
    mark: int = 0


tables: dict[str, StateTable] = {}


@pytest.fixture(scope="module", params=["memory", "rocksdict"], autouse=True)
def store(request, tmp_path_factory):
    """Everything here holds wherever the encoded rows are."""
    app = App("unit", store=request.param + "://", datadir=tmp_path_factory.mktemp("tables"))
    tables["rows"] = app.Table("rows", value=Row, partitions=4)
    tables["own"] = app.Table("own", value=Row, partitions=4, stamped=False)
    tables["union"] = app.Table("union", value=Tagged | Other, partitions=4)
    tables["small"] = app.Table("small", value=Row, partitions=4, cache=2)
    yield request.param
    for table in tables.values():
        table.data.forget(0)


def new(name, *records):
    """A state begun afresh and filled by recovery."""
    tables[name].data.forget(0)
    state = tables[name].state(0)
    state.load(records)
    state.recovered()
    return state


def record(key, n, mark):
    """A changelog record; `n` None: a tombstone."""
    if n is None:
        return SimpleNamespace(key=key, value=None, headers=codec.tombstone(mark))
    return SimpleNamespace(key=key, value=codec.join(mark, msgspec.msgpack.encode(Row(n))), headers=[])


def written(messages):
    """(key, n, mark) of changelog records"""
    found = []
    for message in messages:
        mark = int.from_bytes(codec.packed_mark(message.value, message.headers), "big")
        n = None if message.value is None else msgspec.msgpack.decode(codec.split(message.value)[1], type=Row).n
        found.append((message.key, n, mark))
    return found


def set_n(state, key, n):
    state[key].n = n
    state.touch(key)


# -- codec


@given(st.integers(0, 2**64 - 1), st.binary())
def test_join_and_split(mark, payload):
    found, rest = codec.split(codec.join(mark, payload))
    assert (found, bytes(rest)) == (mark, payload)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_packed_marks_sort_as_numbers_do(a, b):
    value, headers = codec.join(a, b"x"), codec.tombstone(b)
    assert (codec.packed_mark(value, []) < codec.packed_mark(None, headers)) == (a < b)


def test_a_tombstone_without_a_mark_is_the_oldest():
    assert codec.packed_mark(None, [("other", b"1")]) == bytes(8)


def test_a_value_too_short_for_a_mark_is_refused():
    with pytest.raises(ForeignChangelog, match="3 bytes"):
        codec.split(b"abc")
    with pytest.raises(ForeignChangelog):
        new("rows", SimpleNamespace(key=b"k", value=b"abc", headers=[]))


# -- a cut


def test_a_row_is_written_once_a_cut_with_the_position_as_mark():
    state = new("rows")
    set_n(state, b"a", 1)
    set_n(state, b"a", 2)
    assert state.changed
    keys, messages = state.cut(70)
    assert keys == [b"a"]
    assert written(messages) == [(b"a", 2, 70)]
    assert state[b"a"].mark == 70
    assert not state.changed
    assert state.cut(80) == ([], [])


def test_payload_holds_no_mark():
    state = new("rows")
    set_n(state, b"a", 1)
    first = state.cut(70)[1][0].value
    state.touch(b"a")
    assert codec.split(state.cut(80)[1][0].value)[1] == codec.split(first)[1]


def test_rows_come_in_the_order_of_their_last_touch():
    state = new("rows")
    for key in (b"b", b"a", b"c", b"b"):
        set_n(state, key, 1)
    assert state.cut(1)[0] == [b"a", b"c", b"b"]


def test_a_mark_never_goes_back():
    state = new("rows", record(b"a", 5, 100))
    set_n(state, b"a", 6)
    assert written(state.cut(70)[1]) == [(b"a", 6, 100)]


def test_own_marks_are_left_alone():
    state = new("own")
    set_n(state, b"a", 1)
    state[b"a"].mark = 7
    assert written(state.cut(100)[1]) == [(b"a", 1, 7)]
    assert state[b"a"].mark == 7


def test_touching_without_looking_writes_the_row_again():
    state = new("rows", record(b"a", 5, 10))
    state.touch(b"a")
    assert written(state.cut(20)[1]) == [(b"a", 5, 20)]


def test_peek_makes_nothing():
    state = new("rows", record(b"a", 5, 10))
    assert state.peek(b"b") is None
    assert b"b" not in state
    assert state.peek(b"a") == Row(5, 10)


def test_a_union_has_no_fresh_value():
    state = new("union")
    with pytest.raises(KeyError):
        state[b"a"]
    state[b"a"] = Other()
    state.touch(b"a")
    state.cut(3)
    state.clear()
    assert state[b"a"] == Other(3)


def test_dropped_rows_leave_a_tombstone_with_the_mark():
    state = new("rows", record(b"a", 5, 100), record(b"b", 5, 10))
    state.drop(b"a")
    state.drop(b"b")
    assert state.peek(b"a") is None
    assert written(state.cut(70)[1]) == [(b"a", None, 100), (b"b", None, 70)]
    assert list(state.keys_packed()) == []
    assert not state.changed


def test_dropping_a_row_decodes_nothing():
    state = new("rows", SimpleNamespace(key=b"a", value=codec.join(7, b"no msgpack"), headers=[]))
    state.drop(b"a")
    assert written(state.cut(9)[1]) == [(b"a", None, 9)]
    assert dict(state) == {}


def test_raw_of_is_the_row_of_the_last_cut_and_decodes_nothing():
    state = new("rows", SimpleNamespace(key=b"a", value=codec.join(7, b"no msgpack"), headers=[]))
    assert state.raw_of(b"a") == (7, b"no msgpack")
    assert state.raw_of(b"b") is None
    assert dict(state) == {}
    set_n(state, b"c", 1)
    assert state.raw_of(b"c") is None
    state.cut(9)
    set_n(state, b"c", 2)
    assert state.raw_of(b"c") == (9, msgspec.msgpack.encode(Row(1)))
    state.drop(b"c")
    assert state.raw_of(b"c") is None


def test_a_row_that_was_never_written_leaves_no_tombstone():
    state = new("rows")
    set_n(state, b"a", 1)
    state.drop(b"a")
    state.drop(b"b")
    assert state.cut(5) == ([], [])


def test_a_row_made_anew_behind_a_drop_keeps_the_mark():
    state = new("rows", record(b"a", 5, 100))
    state.drop(b"a")
    set_n(state, b"a", 1)
    assert written(state.cut(70)[1]) == [(b"a", 1, 100)]


def test_the_cache_is_bounded_and_loses_nothing():
    state = new("small")
    for i in range(5):
        set_n(state, b"%d" % i, i)
        state.cut(i)
    assert len(state) <= 3
    assert [state[b"%d" % i].n for i in range(5)] == [0, 1, 2, 3, 4]


# -- recovery: the highest mark wins


def test_the_later_of_equal_marks_wins():
    state = new("rows", record(b"a", 1, 10), record(b"a", 2, 10))
    assert state[b"a"] == Row(2, 10)
    assert not state.changed


def test_a_lower_mark_behind_a_higher_loses_and_the_higher_is_written_again():
    state = new("rows", record(b"a", 1, 10), record(b"a", 2, 9))
    assert state[b"a"] == Row(1, 10)
    assert state.changed
    assert written(state.repairs()) == [(b"a", 1, 10)]
    assert state.repairs() == []
    assert not state.changed


def test_a_still_higher_mark_behind_it_needs_no_repair():
    state = new("rows", record(b"a", 1, 10), record(b"a", 2, 9), record(b"a", 3, 11))
    assert state[b"a"] == Row(3, 11)
    assert not state.changed


def test_a_tombstone_beats_a_lower_value_behind_it():
    state = new("rows", record(b"a", 1, 10), record(b"a", None, 20), record(b"a", 2, 15))
    assert state.peek(b"a") is None
    assert written(state.repairs()) == [(b"a", None, 20)]


def test_a_lower_tombstone_behind_a_value_loses():
    state = new("rows", record(b"a", 1, 10), record(b"a", None, 5))
    assert state[b"a"] == Row(1, 10)
    assert written(state.repairs()) == [(b"a", 1, 10)]


def test_a_touched_row_needs_no_repair():
    state = new("rows", record(b"a", 1, 10), record(b"a", 2, 9))
    set_n(state, b"a", 3)
    assert written(state.cut(12)[1]) == [(b"a", 3, 12)]
    assert state.repairs() == []


marks = st.integers(0, 4)
logs = st.lists(st.tuples(st.sampled_from([b"a", b"b"]), st.none() | st.integers(0, 9), marks), max_size=12)


@settings(max_examples=60, deadline=None)  # a database is made for each
@given(logs)
def test_recovery_keeps_the_highest_mark_however_the_log_looks(log):
    state = new("rows", *(record(*row) for row in log))
    best: dict[bytes, tuple[int | None, int]] = {}
    last: dict[bytes, tuple[int | None, int]] = {}
    for key, n, mark in log:
        if key not in best or mark >= best[key][1]:
            best[key] = n, mark
        last[key] = n, mark
    for key, (n, mark) in best.items():
        assert state.peek(key) == (None if n is None else Row(n, mark))
    assert {(key, n, mark) for key, n, mark in written(state.repairs())} == {(key, *best[key]) for key in best if last[key] != best[key]}


# -- larger than what is decoded, and counted


def counted(state):
    """Rows and bytes, by reading all of them."""
    sizes = [len(payload) for packed in state.keys_packed() for _, payload in [state.raw_of(packed)]]
    return len(sizes), sum(sizes)


keys = st.sampled_from([b"%d" % i for i in range(6)])
steps = st.lists(st.tuples(st.sampled_from(["set", "drop", "again", "cut"]), keys, st.integers(0, 2**40)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_a_state_larger_than_its_cache_is_its_changelog(steps):
    state, model, changelog = new("small"), {}, []
    for position, (what, key, n) in enumerate([*steps, ("cut", b"", 0)]):
        if what == "set":
            set_n(state, key, n)
            model[key] = n
        elif what == "drop":
            state.drop(key)
            model.pop(key, None)
        elif what == "again":
            state.touch(key)
        else:
            changelog += written(state.cut(position)[1])
            assert (state.rows, state.encoded_bytes) == counted(state)
    assert {key: state.peek(key).n for key in model} == model
    assert set(state.keys_packed()) == set(model)
    recovered = new("small", *(record(*row) for row in changelog))
    assert {key: recovered.peek(key).n for key in model} == model
    assert (recovered.rows, recovered.encoded_bytes) == counted(recovered)
    assert recovered.rows == len(model)


@settings(max_examples=60, deadline=None)  # a database is made for each
@given(logs)
def test_recovery_counts_what_stands(log):
    state = new("rows", *(record(*row) for row in log))
    assert (state.rows, state.encoded_bytes) == counted(state)


def test_faust_sees_the_rows_of_all_partitions():
    new("rows", record(b"a", 1, 10))
    other = tables["rows"].state(1)
    other.load([record(b"b", 2, 10)])
    assert {key: codec.split(value)[0] for key, value in tables["rows"].data.items()} == {b"a": 10, b"b": 10}
    assert b"a" in tables["rows"].data
    tables["rows"].data.forget(1)
    assert list(tables["rows"].data) == [b"a"]


def test_keys_are_those_of_the_last_cut_without_the_dropped():
    state = new("rows", record(b"a", 1, 10), record(b"b", 1, 10))
    set_n(state, b"c", 1)
    state.drop(b"a")
    assert list(state.keys_packed()) == [b"b"]
    assert [codec.split(value)[0] for value in state.raw.values()] == [10]
    state.cut(11)
    assert sorted(state.keys_packed()) == [b"b", b"c"]
