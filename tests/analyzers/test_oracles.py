"""Clever algorithms against slow ones that nobody can get wrong, on small cases: what was thrown out early must have been nothing."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise, product
from math import log
from statistics import median
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.causality import SKEW_NS, HappensBefore
from analyzers.detectors.cost_anomaly import find_cost_anomaly
from analyzers.detectors.data_quality import find_data_quality
from analyzers.detectors.hidden_calls import ORCHESTRATION, HiddenCallThresholds, find_hidden_calls
from analyzers.detectors.loop import find_loops
from analyzers.events import recorded_events
from analyzers.finding import Finding
from analyzers.loops import find_in
from analyzers.purposes import purposes
from tests.analyzers.test_cost_anomaly import conversation
from tests.drawn import Drawn, Node, agent, frames, handoff, llm, message, node, run, state_read, state_write, tool
from tracer.model import Purpose
from tracer.online.loop import LoopThresholds

BRIEF = settings(max_examples=40, deadline=None)


def reachable(rows: list[dict[str, Any]], links: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """(x, y): what x came to could be known at y's end. Every rule of `HappensBefore` as pairs of events, then the closure."""
    graph = nx.DiGraph()
    ids = {row["span_id"]: row for row in rows}

    def margin(one: dict[str, Any], other: dict[str, Any]) -> int:
        return 0 if one["pid"] == other["pid"] else SKEW_NS

    for row in rows:
        start, end = (row["span_id"], "start"), (row["span_id"], "end")
        graph.add_edge(start, end)
        parent = ids.get(row["parent_span_id"])
        if parent is not None:
            graph.add_edge((parent["span_id"], "start"), start)
            if row["end_ns"] <= parent["end_ns"]:
                graph.add_edge(end, (parent["span_id"], "end"))
    # Of several writes of one version the newest counts.
    wrote = max(((r["start_ns"], r["span_id"]) for r in rows if r["kind"] == "state_write"), default=(0, ""))[1]
    for one, other in product(rows, rows):
        if one is other:
            continue
        lane = (one["parent_span_id"] is not None and one["parent_span_id"] == other["parent_span_id"]) or (
            one["agent"] is not None and one["agent"] == other["agent"]
        )
        # A span without length does not follow what ends at that very moment.
        strictly = other["start_ns"] == other["end_ns"]
        gap = other["start_ns"] - one["end_ns"] - margin(one, other)
        if lane and (gap > 0 or (gap == 0 and not (strictly and one["end_ns"] >= other["start_ns"]))):
            graph.add_edge((one["span_id"], "end"), (other["span_id"], "start"))
        if other["kind"] == "state_read" and one["span_id"] == wrote:
            graph.add_edge((one["span_id"], "start"), (other["span_id"], "end"))
    for row in rows:
        if row["kind"] in ("message", "handoff"):
            later = [
                (r["start_ns"], r["span_id"])
                for r in rows
                if r["agent"] == row["target_agent"] and r["kind"] != "message" and r["start_ns"] >= row["end_ns"]
            ]
            if later and min(later)[1] != row["span_id"]:
                graph.add_edge((row["span_id"], "end"), (min(later)[1], "start"))
    for span, linked in links:
        graph.add_edge((linked, "end"), (span, "start"))
    return {
        (one, other)
        for one in ids
        for other in ids
        if one != other and nx.has_path(graph, (one, "end"), (other, "end"))
    }


@st.composite
def teams(draw: st.DrawFn) -> Drawn:
    """Up to three agents in two processes, each with some calls, messages, handoffs and one version of a key."""
    moment = st.integers(0, 12)
    members: list[Node] = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3)):
        start = draw(moment)
        inside: list[Node] = []
        for _ in range(draw(st.integers(0, 3))):
            at = start + draw(moment)
            inside.append(draw(st.sampled_from([
                llm(at, at + 1), message(name, "b", at), handoff(name, "c", at), state_write("k", at, version=1),
                state_read("k", at, version=1), tool("t", at, at + 3),
            ])))  # fmt: skip
        members.append(agent(name, start, start + draw(st.integers(1, 14)), *inside, pid=draw(st.sampled_from([1, 2]))))
    return run("w", *members)


@pytest.mark.slow
@BRIEF
@given(teams())
def test_happens_before_is_the_closure_of_its_rules(drawn: Drawn) -> None:
    """Oracle: every pair of events by the rules, and paths in that graph. The clock error is the one allowed, whatever is recorded."""
    given_frames = frames(drawn)
    rows = given_frames.spans.to_dicts()
    relation = HappensBefore(given_frames.spans, given_frames.links, skew_ns=SKEW_NS)
    expected = reachable(rows, [])

    for one, other in product(rows, rows):
        pair = one["span_id"], other["span_id"]
        if pair[0] != pair[1]:
            assert relation.before(*pair) == (pair in expected)


@pytest.mark.slow
@BRIEF
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "x with DOC-7", "news"])), max_size=14),
        min_size=1,
        max_size=3,
    )
)
def test_no_loop_is_thrown_out_before_it_is_looked_at(chats: list[list[tuple[str, str]]]) -> None:
    """Oracle: the core on every run, without the counts and the screen that spare it most of them."""
    runs: list[Drawn] = []
    for number, said in enumerate(chats):
        turns = [
            message(
                who,
                "b" if who == "a" else "a",
                at,
                f"{what} {at} alpha{at} beta{at} gamma{at}" if what == "news" else f"Where is {what} now, please?",
            )
            for at, (who, what) in enumerate(said)
        ]
        runs.append(run("chat", *turns, id=f"r{number}"))
    held = frames(*runs)
    expected = {
        one.run_id
        for one in runs
        if find_in(recorded_events(held.only(one.run_id).spans, held.contents), LoopThresholds())
    }

    assert {found.trace_id for found in find_loops(held) if isinstance(found, Finding)} == expected


@pytest.mark.slow
@BRIEF
@given(st.lists(st.sampled_from([0.5, 1.0, 1.1, 1.3, 2.0, 3.5, 4.0, 9.0, 40.0]), min_size=4, max_size=16))
def test_dear_runs_are_those_that_both_rules_name(costs: list[float]) -> None:
    """Oracle: each run against all others, by the rules as they are written down."""

    def dear(place: int) -> bool:
        others = [cost for at, cost in enumerate(costs) if at != place]
        mine, middle = costs[place], median(others)
        if mine <= 3 * middle:
            return False
        if len(others) < 10:
            return mine > 1.5 * max(others)
        logs = [log(cost) for cost in others]
        spread = max(1.4826 * median(abs(one - median(logs)) for one in logs), 0.15)
        return (log(mine) - median(logs)) / spread > 3.5

    found = find_cost_anomaly(frames(*(conversation(n, cost, calls=1) for n, cost in enumerate(costs))))

    assert {f.data["cost_usd"] for f in found if isinstance(f, Finding)} == {
        costs[n] for n in range(len(costs)) if dear(n)
    }


def test_the_excess_is_shared_out_as_if_each_run_were_added_up() -> None:
    """Oracle: the calls of all other runs, added up agent by agent; the dear run is no part of what is usual."""
    usual = [run("w", agent(name, 0, 9, *(llm(i, i + 1, cost="0.10", input_tokens=100, output_tokens=n) for i in range(n % 3 + 1))), id=f"u{n}")
             for n, name in enumerate(["a", "b", "a"] * 5)]  # fmt: skip
    dear = run("w", agent("b", 0, 9, llm(0, 1, cost="7.00", input_tokens=900, output_tokens=9), id="dear"), id="dear")
    (finding,) = (f for f in find_cost_anomaly(frames(*usual, dear)) if isinstance(f, Finding))
    spent: dict[str, float] = defaultdict(float)
    for one in usual:
        for span in one.spans:
            spent[span.agent or ""] += float(span.cost_usd or 0)
    told = {row["agent"]: row["usual_usd"] for row in finding.data["by_agent"]}

    assert told == pytest.approx({"a": spent["a"] / 15, "b": spent["b"] / 15})


@pytest.mark.slow
@BRIEF
@given(st.lists(st.lists(st.sampled_from([*Purpose, None, "seen"]), max_size=16), min_size=1, max_size=4))
def test_hidden_calls_are_those_of_a_full_reading(runs: list[list[str | None]]) -> None:
    """Oracle: the purpose of every call of every run is read, where the detector stops as soon as a run cannot be one."""
    t = HiddenCallThresholds()
    drawn = [
        run("w", agent("a", 0, 99, *(
            llm(at, at + 0.5, purpose=None if purpose == "seen" else purpose, user_visible=purpose == "seen", prompt=f"say {at}", answer="done so far")
            for at, purpose in enumerate(held)
        )), id=f"r{number}") for number, held in enumerate(runs)
    ]  # fmt: skip
    given_frames = frames(*drawn)
    known = purposes(given_frames, given_frames.llm_calls)
    expected: set[str] = set()
    for number, held in enumerate(runs):
        run_id = drawn[number].run_id
        hidden = sum(purpose in ORCHESTRATION for (of, _), (purpose, _) in known.items() if of == run_id)
        visible = held.count("seen") or len(held) - hidden
        if visible and hidden >= t.least and (visible + hidden) / visible > t.per_message:
            expected.add(run_id)

    assert {f.trace_id for f in find_hidden_calls(given_frames)} == expected


@pytest.mark.slow
@BRIEF
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=1, max_size=8))
def test_circles_of_parents_are_those_of_the_graph(spans: list[tuple[int, int]]) -> None:
    """Oracle: cycles of the graph of parents, whatever the times say; a parent that is not there is none."""
    nodes = [
        node("other", f"s{at}", start, start + 1, id=f"s{at}", parent_span_id=f"s{parent}")
        for at, (parent, start) in enumerate(spans)
    ]
    graph = nx.DiGraph((f"s{at}", f"s{parent}") for at, (parent, _) in enumerate(spans) if parent < len(spans))
    expected = {name for cycle in nx.simple_cycles(graph) for name in cycle}
    told = [f.data["issues"].get("parent_cycles", 0) for f in find_data_quality(frames(run("w", *nodes)))]

    assert sum(told) == len(expected)


@pytest.mark.slow
@BRIEF
@given(st.integers(1, 40), st.booleans())
def test_spans_that_start_with_their_parents_are_no_circle(deep: int, closed: bool) -> None:
    """A chain of any depth at one moment hangs on its root; closed into a ring, all of it is one."""
    names = [f"s{n}" for n in range(deep + 1)]
    above = dict(pairwise(reversed(names)))
    if closed:
        above[names[0]] = names[-1]
    nodes = [node("other", name, 1, 2, id=name, parent_span_id=above.get(name)) for name in names]
    told = [f.data["issues"].get("parent_cycles", 0) for f in find_data_quality(frames(run("w", *nodes)))]

    assert sum(told) == (deep + 1 if closed else 0)
