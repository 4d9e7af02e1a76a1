"""The wait-for graph: reduction against brute force, and the live graph against reduction."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.online.waits import Wait, WaitGraph, stuck_waiters

NAMES = "abcdefgh"


@st.composite
def wait_sets(draw: st.DrawFn) -> dict[str, Wait]:
    """Up to eight agents, some of which wait for some of the others."""
    waiting = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=8))
    return {
        who: Wait(
            frozenset(draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=4))),
            draw(st.sampled_from(["all", "any"])),
        )
        for who in waiting
    }


def largest_stuck_set(waits: Mapping[str, Wait]) -> frozenset[str]:
    """Brute force over all subsets: a set is stuck if no member's need can be met from outside it; unions stay stuck."""
    subsets = chain.from_iterable(combinations(sorted(waits), n) for n in range(len(waits) + 1))

    def stuck(members: frozenset[str]) -> bool:
        return all(
            bool(waits[m].targets & members) if waits[m].mode == "all" else waits[m].targets <= members for m in members
        )

    return frozenset().union(*(s for s in map(frozenset, subsets) if stuck(s)))


@given(wait_sets())
@settings(max_examples=30, deadline=None)
def test_reduction_leaves_exactly_the_largest_stuck_set(waits: dict[str, Wait]) -> None:
    """Whoever the reduction leaves is the union of all sets that cannot free themselves."""
    assert stuck_waiters(waits) == largest_stuck_set(waits)


@given(wait_sets(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_live_graph_alarms_when_the_newest_wait_is_stuck(waits: dict[str, Wait], random: object) -> None:
    """After each start the answer is that of a full reduction, restricted to what the new wait can reach."""
    graph, so_far = WaitGraph(), dict[str, Wait]()
    for who, wait in waits.items():
        so_far[who] = wait
        alarm = graph.start(who, wait.targets, wait.mode)
        assert (alarm is not None) == (who in stuck_waiters(so_far))
        if alarm is not None:
            assert alarm.stuck <= stuck_waiters(so_far)
            assert alarm.closing == who


def test_end_of_a_wait_opens_the_cycle() -> None:
    """A waiter that gave up runs again, so the others can be released."""
    graph = WaitGraph()
    assert graph.start("a", ["b"]) is None
    assert graph.start("b", ["a"]) is not None
    graph.end("a")
    assert graph.start("c", ["b"]) is None
    assert set(graph.waiting) == {"b", "c"}
