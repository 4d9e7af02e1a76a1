"""What-if replay: unchanged it is the recorded run; changed, it agrees with the longest path of the recorded order."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.critical_path import OPEN, RunTree
from analyzers.document import analysis_document
from analyzers.finding import Finding
from analyzers.run import analyse
from analyzers.what_if import replay, what_if_document
from tests.analyzers.test_critical_path import forests
from tests.drawn import Drawn, agent, frames, llm, run, tool, wait


def tree_of(drawn: Drawn) -> RunTree:
    return RunTree.of(frames(drawn))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(forests())
def test_unchanged_durations_give_the_recorded_run(drawn: Drawn) -> None:
    """Whatever was recorded: the replay ends when the last root did, and nothing gets longer by being faster."""
    tree = tree_of(drawn)
    last = max((tree.nodes[root].end for root in tree.children.get(OPEN, ())), default=tree.start)
    same = replay(tree, lambda number: 1.0)
    assert same == pytest.approx(last - tree.start, abs=1)
    assert replay(tree, lambda number: 0.5) <= same + 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 2.0])), min_size=1, max_size=7
    )
)
def test_replay_is_the_longest_path_of_the_recorded_order(tasks: list[tuple[int, int, float]]) -> None:
    """Oracle: networkx on the graph "ended before it started", each task with its scaled length and the gap before it."""
    drawn = run("w", *(tool(f"t{i}", at, at + length, id=f"t{i}") for i, (at, length, _) in enumerate(tasks)), start=0)
    tree = tree_of(drawn)
    place = {node.row["span_id"]: node.number for node in tree.nodes}
    factor = {place[f"t{i}"]: task[2] for i, task in enumerate(tasks)}

    graph: nx.DiGraph[str] = nx.DiGraph()
    for i, (at, length, scale) in enumerate(tasks):
        ends = [b + c for b, c, _ in tasks if b + c <= at]
        gap = at - max(ends, default=0)
        graph.add_edge("start", f"t{i}", weight=gap + length * scale)
        graph.add_edges_from(
            ((f"t{j}", f"t{i}") for j, (b, c, _) in enumerate(tasks) if b + c <= at), weight=gap + length * scale
        )
    expected = nx.dag_longest_path_length(graph)
    assert replay(tree, lambda number: factor.get(number, 1.0)) == pytest.approx(expected * 1e9)


def test_a_wait_ends_when_its_peer_does() -> None:
    """The boss waits for the worker: half the work, half the wait. The gaps before and after stay."""
    drawn = run(
        "w", agent("boss", 0, 10, wait("worker", 1, 9, id="wait")), agent("worker", 1, 9, llm(1, 9, agent="worker"))
    )
    (best, *_) = what_if_document(frames(drawn), tree_of(drawn))
    assert (best["change"], best["seconds"], best["saved_share"]) == ("worker twice as fast", 6.0, 0.4)


def test_document_tells_what_would_have_helped() -> None:
    """The critical path of a run in the JSON document carries its replays."""
    given = frames(run("w", agent("a", 0, 4, llm(0, 4))))
    (entry,) = analysis_document(given, analyse(given))["traces"]
    assert entry["critical_path"]["what_if"] == [
        {"change": "a twice as fast", "seconds": 2.0, "saved_share": 0.5, "upper_bound": False}
    ]


def test_what_is_tried() -> None:
    """Failed attempts gone, routing gone, siblings side by side; the longest of three branches decides."""
    drawn = run(
        "w",
        llm(0, 2, purpose="route", agent="boss"),
        tool("flaky", 2, 5, id="first", status="error", agent="a"),
        tool("flaky", 5, 9, retry_of="first", agent="a"),
    )
    tried = {
        one["change"]: (one["seconds"], one["upper_bound"]) for one in what_if_document(frames(drawn), tree_of(drawn))
    }
    assert tried == {
        "sibling agents and tools side by side": (4.0, True),
        "a twice as fast": (5.5, False),
        "no failed attempts": (6.0, False),
        "no routing calls": (7.0, False),
        "boss twice as fast": (8.0, False),
    }


def test_a_loop_that_ends_after_its_first_round() -> None:
    """Two rounds of a loop go with everything its agents called in them; other work and the time between are kept."""
    rounds = [
        agent("a", at, at + 2, tool("look", at, at + 1, id=f"look{at}", agent="a"), id=f"a{at}") for at in (0, 2, 4)
    ]
    drawn = run("w", *rounds, agent("b", 6, 7, id="b"))
    begins = [row["start_ns"] for row in frames(drawn).spans.sort("start_ns").iter_rows(named=True)]
    loop = Finding(
        kind="loop", severity="critical", confidence=0.9, title="", explanation="", suggestion="", trace_id=drawn.run_id, spans=("look0",),
        agents=("a",), end_ns=begins[0] + 6_000_000_000, data={"path": ["a"], "round_starts": ["look0", "look2", "look4"]},
    )  # fmt: skip
    told = {one["change"]: one["seconds"] for one in what_if_document(frames(drawn), tree_of(drawn), findings=[loop])}
    assert told["the loop a ended after its first round"] == 3.0
    assert "the loop a ended after its first round" not in {
        one["change"] for one in what_if_document(frames(drawn), tree_of(drawn))
    }
