"""Graph and interval arithmetic against brute force on small cases."""

from __future__ import annotations

from itertools import combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.graph import components_with_cycles, cycle_through_all, shortest_cycle, smallest_hitting
from analyzers.intervals import Interval, common_windows, covered, intersection, union

NODES = "abcdef"
GRAPHS = st.dictionaries(st.sampled_from(NODES), st.frozensets(st.sampled_from(NODES), max_size=3), max_size=6)
INTERVALS = st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 12)), max_size=6)
HORIZON = 20


def reaches(graph: dict[str, frozenset[str]], start: str, goal: str) -> bool:
    """Whether a path of at least one edge leads from start to goal."""
    seen, queue = set[str](), list(graph.get(start, ()))
    while queue:
        node = queue.pop()
        if node not in seen:
            seen.add(node)
            queue += graph.get(node, ())
    return goal in seen


@given(GRAPHS)
@settings(max_examples=40, deadline=None)
def test_cyclic_components_are_the_nodes_that_reach_each_other(graph: dict[str, frozenset[str]]) -> None:
    """Two nodes share a component exactly when each reaches the other; a node alone counts if it reaches itself."""
    expected = {
        frozenset(m for m in NODES if reaches(graph, n, m) and reaches(graph, m, n))
        for n in NODES
        if reaches(graph, n, n)
    }

    assert set(components_with_cycles(graph)) == expected


@given(GRAPHS, st.sampled_from(NODES))
@settings(max_examples=40, deadline=None)
def test_shortest_cycle_is_as_short_as_any(graph: dict[str, frozenset[str]], through: str) -> None:
    """Trying all simple cycles finds none shorter."""

    def is_cycle(path: tuple[str, ...]) -> bool:
        return all(b in graph.get(a, ()) for a, b in zip(path, (*path[1:], path[0]), strict=True))

    others = [n for n in NODES if n != through]
    lengths = [
        size + 1 for size in range(len(NODES)) for rest in permutations(others, size) if is_cycle((through, *rest))
    ]
    found = shortest_cycle(graph, through)

    assert len(found) == (min(lengths) if lengths else 0)
    assert not found or (found[0] == through and is_cycle(tuple(found)))


def test_one_cycle_through_all_members() -> None:
    """A ring is walked from its smallest name; a figure of eight or a gap is no single cycle."""
    assert cycle_through_all({"b": ["c"], "c": ["a"], "a": ["b", "x"]}, "abc") == ["a", "b", "c"]
    assert cycle_through_all({"a": ["b", "c"], "b": ["a"], "c": ["a"]}, "abc") == []
    assert cycle_through_all({"a": ["b"]}, "ab") == []


def test_smallest_set_is_found_before_larger_ones() -> None:
    """Exact for small sets, by adding beyond the limit, empty where nothing helps."""
    assert smallest_hitting("abc", lambda chosen: "c" in chosen) == ["c"]
    assert smallest_hitting("abcd", lambda chosen: {"b", "d"} <= chosen) == ["b", "d"]
    assert smallest_hitting("abcde", lambda chosen: len(chosen) == 5) == list("abcde")
    assert smallest_hitting("ab", lambda chosen: False) == []


def points(interval: Interval) -> set[int]:
    """The points below the horizon; an open end reaches it."""
    return set(range(interval[0], HORIZON if interval[1] is None else interval[1]))


@given(INTERVALS)
@settings(max_examples=40, deadline=None)
def test_intervals_agree_with_sets_of_points(intervals: list[Interval]) -> None:
    """Union, intersection and depth say what counting points says."""
    sets = [points(one) for one in intervals]

    assert set().union(*map(points, union(intervals))) == set().union(*sets)
    assert all(a[1] is not None and a[1] < b[0] for a, b in combinations(union(intervals), 2))
    shared = intersection(intervals)
    assert (set() if shared is None else points(shared)) == (set.intersection(*sets) if sets else set())
    for depth in (1, 2, 3):
        deep = {p for p in range(HORIZON) if sum(p in one for one in sets) >= depth}
        assert set().union(*map(points, common_windows(intervals, depth))) == deep


def test_length_of_an_open_interval_is_refused() -> None:
    """Covered length counts overlaps once and names the interval that has no end."""
    assert covered([(0, 5), (3, 8), (10, 11), (4, 4)]) == 9
    with pytest.raises(ValueError, match="from 7"):
        covered([(0, 5), (7, None)])
