"""The critical path: tiles the run, follows waits and links, agrees with the longest path of a known schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.critical_path import (
    OPEN,
    Piece,
    RunTree,
    critical_path_document,
    find_critical_path,
    find_slack,
    walk,
    without_circles,
)
from analyzers.frames import Frames
from tests.drawn import EPOCH_S, Drawn, Node, agent, frames, llm, message, node, run, tool, wait

BASE = EPOCH_S * 10**9


def seen(pieces: Sequence[Piece]) -> list[tuple[str | None, float, float]]:
    """(span, start s, end s) of each piece."""
    return [(p.span_id, (p.start_ns - BASE) / 1e9, (p.end_ns - BASE) / 1e9) for p in pieces]


def shown(*items: Node, **fields: Any) -> list[tuple[str | None, float, float]]:
    return seen(find_critical_path(frames(run("w", *items, id="root", **fields))))


def check_tiles(given: Frames) -> list[Piece]:
    """No gap, no overlap, nothing outside."""
    tree, pieces = RunTree.of(given), find_critical_path(given)
    assert sum(p.length_ns for p in pieces) == tree.end - tree.start
    assert all(p.length_ns > 0 for p in pieces)
    assert all(a.end_ns == b.start_ns for a, b in pairwise(pieces))
    if pieces:
        assert (pieces[0].start_ns, pieces[-1].end_ns) == (tree.start, tree.end)
    return pieces


@pytest.mark.parametrize(
    ("end_of_first", "pids", "expected"),
    [
        pytest.param(4.03, (1, 2), [("a", 0, 4), ("b", 4, 10)], id="two clocks, a little ahead"),
        pytest.param(4.03, (1, 1), [("around", 0, 4), ("b", 4, 10)], id="one clock: they ran side by side"),
        pytest.param(4.06, (1, 2), [("around", 0, 4), ("b", 4, 10)], id="more than clocks differ"),
        pytest.param(4.03, (1, None), [("around", 0, 4), ("b", 4, 10)], id="a clock that nobody knows"),
    ],
)
def test_clocks_of_two_processes(
    end_of_first: float, pids: tuple[int | None, int | None], expected: list[tuple[str, float, float]]
) -> None:
    """A step in another process that seems to reach a little into the next one came before it."""
    one, other = pids
    calls = [tool("a", 0, end_of_first, id="a", pid=one), tool("b", 4, 10, id="b", pid=other)]

    assert shown(agent("R", 0, 10, *calls, id="around")) == expected


def test_what_hung_from_a_lost_span_hangs_from_the_root() -> None:
    """Else the root, which covers all, would be all of the path."""
    given = frames(run("w", agent("A", 0, 10, tool("a", 0, 4, id="a"), tool("b", 4, 10, id="b"), id="lost"), id="root"))
    lossy = replace(given, spans=given.spans.filter(given.spans["span_id"] != "lost"))

    assert seen(find_critical_path(lossy)) == [("a", 0, 4), ("b", 4, 10)]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(
            [tool("a", 0, 4, id="a"), tool("b", 4, 10, id="b")], [("a", 0, 4), ("b", 4, 10)], id="one after the other"
        ),
        pytest.param(
            [tool("q", 0, 3, id="quick"), tool("s", 0, 9, id="slow")], [("slow", 0, 9)], id="the last to return counts"
        ),
        pytest.param(
            [agent("p", 0, 10, llm(2, 5, id="call"), id="p")],
            [("p", 0, 2), ("call", 2, 5), ("p", 5, 10)],
            id="gaps are own time",
        ),
        pytest.param(
            [agent("p", 0, 10, tool("late", 6, 10.04, id="late"), id="p"), agent("n", 10, 11, id="n")],
            [("p", 0, 6), ("late", 6, 10), ("n", 10, 11)],
            id="clock error is clipped",
        ),
        pytest.param(
            [agent("p", 0, 10, tool("fire", 6, 14, id="fire"), id="p"), agent("n", 10, 15, id="n")],
            [("p", 0, 10), ("n", 10, 15)],
            id="left behind: not waited for",
        ),
        pytest.param(
            [
                agent("boss", 0, 10, wait("worker", 1, 9, id="wait"), id="boss"),
                agent("worker", 2, 8, llm(3, 8, id="work"), id="worker"),
            ],
            [("boss", 0, 1), ("wait", 1, 2), ("worker", 2, 3), ("work", 3, 8), ("wait", 8, 9), ("boss", 9, 10)],
            id="through a wait to the peer's work",
        ),
        pytest.param(
            [
                agent("a", 0, 10, wait("b", 1, 9, id="wa"), id="a"),
                agent("b", 0, 9.5, wait("a", 2, 9.2, id="wb"), id="b"),
            ],
            [("a", 0, 1), ("b", 1, 2), ("wa", 2, 9), ("a", 9, 10)],
            id="agents that wait for each other",
        ),
        pytest.param(
            [
                agent("boss", 0, 3, id="boss"),
                agent("other", 3, 6, tool("cause", 3, 6, id="cause"), id="other"),
                agent("next", 6, 9, id="next"),
            ],
            [("boss", 0, 3), ("cause", 3, 6), ("next", 6, 9)],
            id="siblings fill the path",
        ),
    ],
)
def test_path_of(items: list[Node], expected: list[tuple[str, float, float]]) -> None:
    """The drawn run's path, piece by piece."""
    assert shown(*items) == expected


def test_a_link_leads_to_the_cause() -> None:
    """Before a span that a message of another trace caused, the path lies in what made the message."""
    pieces = shown(
        agent("boss", 0, 10, tool("report", 6, 10, id="report", links=["sent"]), id="boss"),
        agent("worker", 1, 9, node("message", "sent", 2, 5, id="sent"), id="worker"),
    )
    assert pieces == [("boss", 0, 2), ("sent", 2, 5), ("boss", 5, 6), ("report", 6, 10)]


def test_a_wait_for_nobody_named_goes_to_who_wrote_meanwhile() -> None:
    """The sender of the message that came during the wait is whom it was for."""
    drawn = run(
        "w",
        agent("boss", 0, 10, node("wait", "wait", 1, 9, id="wait", reason="peer"), id="boss"),
        agent("worker", 0, 9.5, tool("t", 0, 8.5, id="t"), message("worker", "boss", 8.5, "done"), id="worker"),
    )
    pieces = find_critical_path(frames(drawn))
    assert "t" in {p.span_id for p in pieces}
    assert {p.waited_by for p in pieces if p.span_id == "t"} == {"wait"}


@st.composite
def forests(draw: st.DrawFn) -> Drawn:
    """Any spans at all: children outside their parents, zero lengths, open ends, waits for anyone, links to anything."""
    count = draw(st.integers(1, 14))
    times = st.integers(0, 12)
    items: list[Node] = []
    for i in range(count):
        start, length = draw(times), draw(times)
        who, kind = draw(st.sampled_from("abc")), draw(st.sampled_from(["agent", "llm", "tool", "wait"]))
        fields: dict[str, Any] = {"id": f"s{i}", "agent": who}
        parent = draw(st.one_of(st.none(), st.integers(0, count - 1)))
        if parent is not None:
            fields["parent_span_id"] = f"s{parent}"  # may be itself, or go round in a circle
        if kind == "wait":
            fields["wait_for"] = draw(st.lists(st.sampled_from("abc"), max_size=2))
        if draw(st.booleans()):
            fields["links"] = [f"s{draw(st.integers(0, count - 1))}"]
        items.append(node(kind, f"s{i}", start, None if draw(st.integers(0, 9)) == 0 else start + length, **fields))
    return run("any", *items, root=False)


@settings(max_examples=12, deadline=None)
@given(forests())
def test_pieces_tile_any_run(drawn: Drawn) -> None:
    """Whatever was recorded, the pieces cover the run exactly once, and the totals sum to it."""
    given = frames(drawn)
    pieces = check_tiles(given)
    if pieces:
        document = critical_path_document(given)
        total = document["end_ns"] - document["start_ns"]
        assert sum(row["ns"] for row in document["by_agent"]) == total
        assert sum(row["ns"] for row in document["by_kind"]) == total


def test_a_circle_of_parents_that_a_wait_leads_into_is_walked_once() -> None:
    """Two spans that name each other as parent hang from the run; a wait for one of them does not go round for ever."""
    circle = [
        node("agent", "a", 0, 9, id="sa", agent="a", parent_span_id="sb"),
        node("agent", "b", 0, 9, id="sb", agent="b", parent_span_id="sa"),
    ]
    waiting = node("wait", "c", 1, 8, id="sc", agent="c", wait_for=["a"])
    pieces = check_tiles(frames(run("any", *circle, waiting, root=False)))
    assert {piece.span_id for piece in pieces} <= {"sa", "sb", "sc"}


@pytest.mark.parametrize(
    ("parents", "opened"),
    [
        ([1, 0, 1, OPEN, 4], [OPEN, 0, 1, OPEN, OPEN]),
        ([1, 2, 3, 1], [1, OPEN, 3, 1]),
        ([OPEN, 0, 1], [OPEN, 0, 1]),
        ([], []),
    ],
)
def test_circles_are_opened_at_their_first_member(parents: list[int], opened: list[int]) -> None:
    """Trees stay as they are; what only leads into a circle keeps its parent."""
    assert without_circles(parents) == opened


@st.composite
def schedules(draw: st.DrawFn) -> tuple[list[int], list[set[int]]]:
    """(durations, dependencies): task i starts the moment the last of its dependencies, all smaller, is done."""
    count = draw(st.integers(1, 8))
    # Different powers of two, so that no two paths are equally long.
    order = draw(st.permutations(range(count)))
    needs = [set(draw(st.lists(st.integers(0, i - 1), max_size=3))) if i else set[int]() for i in range(count)]
    return [2**power for power in order], needs


def ends_of(lengths: Sequence[int], needs: Sequence[set[int]]) -> list[int]:
    ends: list[int] = []
    for length, before in zip(lengths, needs, strict=True):
        ends.append(max((ends[i] for i in before), default=0) + length)
    return ends


@settings(max_examples=12, deadline=None)
@given(schedules())
def test_path_is_the_longest_path_of_the_schedule(schedule: tuple[list[int], list[set[int]]]) -> None:
    """Oracle: networkx finds the same tasks on the longest path of the true dependencies."""
    lengths, needs = schedule
    ends = ends_of(lengths, needs)
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from([*range(len(lengths)), -1])
    for i, before in enumerate(needs):
        graph.add_edges_from(((j, i) for j in before), weight=lengths[i])
        graph.add_edge(-1, i, weight=lengths[i])
    longest: list[int] = nx.dag_longest_path(graph)

    given = frames(run("dag", *(tool(f"t{i}", ends[i] - lengths[i], ends[i], id=f"t{i}") for i in range(len(ends)))))
    assert [p.span_id for p in check_tiles(given)] == [f"t{i}" for i in longest if i >= 0]


@settings(max_examples=12, deadline=None)
@given(schedules(), st.data())
def test_slack_can_be_used_up_for_nothing(schedule: tuple[list[int], list[set[int]]], data: st.DataObject) -> None:
    """A task that takes longer by its slack does not delay the run, replayed over the true dependencies."""
    lengths, needs = schedule
    ends = ends_of(lengths, needs)
    tree = RunTree.of(
        frames(run("dag", *(tool(f"t{i}", ends[i] - lengths[i], ends[i], id=f"t{i}") for i in range(len(ends)))))
    )
    slack = find_slack(tree, walk(tree))
    one = data.draw(st.integers(0, len(ends) - 1))
    slower = [length + (slack[f"t{i}"] // 10**9 if i == one else 0) for i, length in enumerate(lengths)]
    assert max(ends_of(slower, needs)) == max(ends)


def test_slack_of_a_quick_branch() -> None:
    """What ran beside something longer could take as much longer; what is on the path could not."""
    drawn = run("w", tool("quick", 0, 2, id="quick"), tool("slow", 0, 9, id="slow"), tool("last", 9, 12, id="last"))
    tree = RunTree.of(frames(drawn))
    slack = find_slack(tree, walk(tree))
    assert (slack["quick"], slack["slow"], slack["last"]) == (7 * 10**9, 0, 0)


def test_document_tells_waits_by_reason() -> None:
    """Waiting in all, and how much of it held the run up."""
    document = critical_path_document(
        frames(
            run(
                "w",
                agent("boss", 0, 10, wait("worker", 1, 9)),
                agent("worker", 2, 8, llm(3, 8)),
                agent("x", 0, 5, wait("Ann", 0, 4, reason="human")),
            )
        )
    )
    assert document["waits"] == [
        {"reason": "peer", "seconds": 8.0, "on_path_s": 8.0},
        {"reason": "human", "seconds": 4.0, "on_path_s": 0.0},
    ]
    assert document["by_agent"][0] == {"agent": "worker", "ns": 6 * 10**9, "seconds": 6.0, "share": 0.6}


def test_a_transcript_without_times_has_no_path() -> None:
    """Times that only keep the order measure nothing, and that is said."""
    drawn = run("w", message("a", "b", 1, "hi", derived=["start_ns"]), end=5)
    assert critical_path_document(frames(drawn)) == {"skipped": "the source has no times"}
    assert "skipped" in critical_path_document(frames(run("w", start=1, end=1)))


@pytest.mark.slow
def test_deep_traces_are_walked() -> None:
    """5,000 spans inside each other; nothing recurses."""
    drawn = run("w", end=6_000)
    root = drawn.spans[0]
    inner = [
        replace(root, span_id=f"d{depth}", parent_span_id=f"d{depth - 1}" if depth > 1 else root.span_id,
                start_ns=root.start_ns + depth, end_ns=root.start_ns + 10**10 - depth)
        for depth in range(1, 5_000)
    ]  # fmt: skip
    assert len(check_tiles(Frames.of([root, *inner]))) == 2 * 5_000 - 1
