"""Get and get-next over any rows, judged by a plain sorted list."""

from hypothesis import example, given
from hypothesis import strategies as st

from sinks.snmp.mib import DOCUMENTATION, root
from sinks.snmp.syntax import OID
from sinks.snmp.tree import Source, Tree
from sinks.views.rows import Component, Figures, General, Tenant, Topic

ROOT = root(DOCUMENTATION)
names = st.text(max_size=80)
figures = st.builds(
    Figures,
    general=st.builds(General, freshness=st.none() | st.integers(-5, 2**70), in_progress=st.integers(0, 2**40)),
    tenants=st.dictionaries(
        st.tuples(st.integers(1, 2**31 - 1)), st.builds(Tenant, name=names, today_peak_at=st.none() | st.integers(0, 2**32)), max_size=5
    ),
    components=st.dictionaries(
        st.tuples(st.sampled_from(["RM", "MCP", "CTIC"]), st.integers(1, 9)),
        st.builds(Component, today_quality_rate=st.none() | st.integers(0, 10_000)),
        max_size=5,
    ),
    topics=st.dictionaries(
        st.tuples(names, st.integers(0, 3)), st.builds(Topic, end=st.integers(0, 2**66), lag=st.none() | st.just(3)), max_size=4
    ),
)
tails = st.lists(st.integers(0, 8), max_size=9).map(tuple)


def tree_of(made: Figures) -> Tree:
    return Tree(made, DOCUMENTATION)


@given(figures, st.lists(tails, max_size=10))
@example(Figures(), [()])
def test_next_and_get_agree_with_a_sorted_list(made: Figures, asked: list[OID]) -> None:
    tree = tree_of(made)
    instances = list(tree)
    known = [each.name for each in instances]
    assert known == sorted(set(known))
    for name in [ROOT + tail for tail in asked] + known + [(), (1,), (2,), ROOT]:
        behind = [each for each in instances if each.name > name]
        assert tree.next(name) == (behind[0] if behind else None)
        at_or_behind = [each for each in instances if each.name >= name]
        assert tree.next(name, included=True) == (at_or_behind[0] if at_or_behind else None)
        assert tree.get(name) == next((each for each in instances if each.name == name), None)


@given(figures)
def test_values_are_within_what_the_wire_can_hold(made: Figures) -> None:
    for each in tree_of(made):
        if isinstance(each.value, bytes):
            assert len(each.value) <= 255
            each.value.decode()
        else:
            assert isinstance(each.value, int)
            assert 0 <= each.value < (2**64 if each.wire.name == "COUNTER64" else 2**32)


def test_an_object_without_this_instance_is_told_from_no_object() -> None:
    tree = tree_of(Figures())
    assert tree.has_object((*ROOT, 1, 1, 6, 0))  # rsFreshness: nobody has said
    assert tree.has_object((*ROOT, 1, 2, 1, 1, 3, 77))
    assert not tree.has_object((*ROOT, 1, 1, 99, 0))
    assert not tree.has_object((*ROOT, 1, 2, 1, 1, 1, 77))  # an index is not accessible
    assert not tree.has_object((*ROOT, 1, 2, 1, 1))


def test_a_text_in_an_index_is_its_length_and_its_bytes() -> None:
    tree = tree_of(Figures(components={("MCP", 301): Component(in_progress=4)}))
    found = tree.get((*ROOT, 1, 2, 2, 1, 4, 3, *b"MCP", 301))
    assert found is not None
    assert found.value == 4


def test_a_tree_is_kept_for_a_second() -> None:
    made, now = [], [0.0]

    def view() -> Figures:
        made.append(Figures(general=General(in_progress=len(made))))
        return made[-1]

    source = Source(view, DOCUMENTATION, lambda: now[0])
    first = source.now()
    now[0] = 0.9
    assert source.now() is first
    now[0] = 1.1
    assert source.now() is not first
    assert len(made) == 2
