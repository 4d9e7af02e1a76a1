"""Comparison: the statistics against brute force, groups against known changes, two runs step by step."""

from __future__ import annotations

import json
import random
from itertools import combinations
from math import comb, log
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.comparison.alignment import align, compare_runs, diff_text, read_steps
from analyzers.comparison.groups import Change, compare_groups, compare_tables, run_table
from analyzers.comparison.selection import group_runs
from analyzers.comparison.statistics import (
    benjamini_hochberg,
    fisher_exact,
    jensen_shannon,
    mann_whitney,
    permuted_distance,
    rank_test,
    rate_difference,
    ratio,
    runs_needed,
    shift,
    wilson,
)
from tests.drawn import Drawn, agent, frames, handoff, llm, node, run, state_write, tool


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_fisher_is_the_sum_over_tables(a: int, b: int, data: st.DataObject) -> None:
    """Oracle: every table with the same margins, counted."""
    a_yes, b_yes = data.draw(st.integers(0, a)), data.draw(st.integers(0, b))
    yes = a_yes + b_yes
    ways = {k: comb(a, k) * comb(b, yes - k) for k in range(yes + 1) if k <= a and yes - k <= b}
    expected = sum(n for n in ways.values() if n <= ways[a_yes]) / sum(ways.values())

    assert fisher_exact(a_yes, a, b_yes, b) == pytest.approx(expected)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=4, max_size=9, unique=True), st.data())
def test_small_rank_tests_are_exact(values: list[int], data: st.DataObject) -> None:
    """Oracle: U of every way to choose who is on side A."""
    n = data.draw(st.integers(1, len(values) - 1))
    a, b = values[:n], values[n:]

    def u_of(chosen: tuple[int, ...]) -> float:
        return sum((y > x) for x in chosen for y in values if y not in chosen)

    middle = n * len(b) / 2
    far = abs(u_of(tuple(a)) - middle)
    chosen = list(combinations(values, n))
    expected = sum(abs(u_of(one) - middle) >= far for one in chosen) / len(chosen)

    assert mann_whitney(a, b)[0] == u_of(tuple(a))
    assert rank_test([[float(v) for v in a]], [[float(v) for v in b]]) == pytest.approx(expected)


@settings(max_examples=25)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12), st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_shift_turns_round_with_its_sides(a: list[int], b: list[int]) -> None:
    """B against A is A against B with the sign turned; the estimate lies in its interval."""
    one = shift([[float(v) for v in a]], [[float(v) for v in b]])
    other = shift([[float(v) for v in b]], [[float(v) for v in a]])
    assert one is not None
    assert other is not None

    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.low <= one.value <= one.high
    assert one.p == pytest.approx(other.p)


def test_known_values() -> None:
    """Textbook numbers: Wilson, runs needed for 90 to 80 and 90 to 60 %, Benjamini-Hochberg, distances."""
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert (runs_needed(0.9, 0.8), runs_needed(0.9, 0.6)) == (199, 32)
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.0533, 0.0533, 0.5], abs=1e-3)
    assert jensen_shannon({"x": 3}, {"y": 4}) == pytest.approx(1)
    assert jensen_shannon({"x": 3, "y": 3}, {"x": 5, "y": 5}) == 0


def test_intervals_cover_what_is_true() -> None:
    """Drawn a hundred times: a ratio of 1.3 and a fall from 90 to 70 % lie in their 95 % intervals at least 88 times."""
    chance = random.Random(11)
    ratios = rates = 0
    for _ in range(100):
        a = [chance.lognormvariate(0, 0.5) for _ in range(30)]
        b = [chance.lognormvariate(log(1.3), 0.5) for _ in range(40)]
        found = ratio([a], [b])
        ratios += found is not None and found.low <= 1.3 <= found.high
        told = rate_difference(
            [(sum(chance.random() < 0.9 for _ in range(50)), 50)], [(sum(chance.random() < 0.7 for _ in range(50)), 50)]
        )
        rates += told is not None and told.low <= -0.2 <= told.high

    assert min(ratios, rates) >= 88


def test_whole_runs_change_sides() -> None:
    """One chatty run makes no change of the graph; the same shift in all runs does. Seeded: the same p every time."""
    usual = [{"a -> b": 1, "b -> a": 1}] * 12
    chatty = [*usual[:-1], {"a -> c": 40}]
    moved = [{"a -> c": 1, "c -> a": 1}] * 12

    assert permuted_distance(usual, chatty)[1] > 0.2
    assert permuted_distance(usual, moved)[1] <= 0.01
    assert permuted_distance(usual, moved) == permuted_distance(usual, moved)


def conversation(name: str, *, cost: float = 0.01, seconds: float = 10, fails: bool = False, at: float = 0.0, task: str = "A question.", to: str = "writer",
                 version: str = "1") -> Drawn:  # fmt: skip
    return run(
        "desk",
        agent("planner", 0, 2, llm(0, 2, purpose="work", input_tokens=100, output_tokens=10, cost=f"{cost:.6f}")),
        handoff("planner", to, 2),
        agent(to, 2, seconds, llm(2, seconds, purpose="work", input_tokens=100, output_tokens=10, cost="0.001")),
        id=name, at=at, outcome="failed" if fails else "completed", end=seconds, inputs=[task], service_version=version,
    )  # fmt: skip


def many(prefix: str, n: int, *, seed: int, **how: Any) -> list[Drawn]:
    chance = random.Random(seed)
    cost, failing = how.pop("cost", 0.01), how.pop("failing", 0.05)
    return [
        conversation(f"{prefix}{i}", cost=cost * chance.lognormvariate(0, 0.3), seconds=5 + chance.random(), fails=chance.random() < failing, at=i * 60.0, **how)
        for i in range(n)
    ]  # fmt: skip


def changes_of(a: list[Drawn], b: list[Drawn]) -> dict[str, Change]:
    given_frames = frames(*a, *b)
    found = compare_groups(given_frames, [one.run_id for one in a], [one.run_id for one in b])
    return {change.metric: change for change in found}


def test_changes_are_found_with_their_size() -> None:
    """Twice the cost, five times the failures, another agent: each is told; what stayed is "same"."""
    found = changes_of(many("a", 60, seed=1), many("b", 60, seed=2, cost=0.02, failing=0.6, to="editor"))
    cost, completed, handoffs = found["cost_usd"], found["completed"], found["handoffs"]
    assert cost.effect is not None
    assert completed.effect is not None

    assert {name for name, change in found.items() if change.verdict == "changed"} == {
        "cost_usd",
        "completed",
        "handoffs",
    }
    assert 1.6 < cost.effect.low < 1.95 < cost.effect.high < 2.3
    assert completed.effect.high < -0.3
    assert handoffs.detail == {"new": ["planner -> editor"], "vanished": ["planner -> writer"]}
    assert {found[name].verdict for name in ("tokens", "llm_calls", "latency_s")} == {"same"}


def test_too_few_runs_are_inconclusive() -> None:
    """Five runs a side that look different prove nothing, and the answer says how many would."""
    found = changes_of(many("a", 5, seed=1, failing=0), many("b", 5, seed=2, failing=0.4))

    assert found["completed"].verdict == "inconclusive"
    assert (found["completed"].needed or 0) > 5
    assert changes_of(many("a", 2, seed=1), many("b", 2, seed=2))["cost_usd"].effect is None


def test_a_changed_mix_is_no_change() -> None:
    """Large tasks cost five times as much; B has more of them. Strata by size of the task keep quiet, a pooled look would not."""
    small, large = "A question.", "A long question. " * 40
    a = [*many("as", 80, seed=1, task=small), *many("al", 20, seed=2, task=large, cost=0.05)]
    b = [*many("bs", 20, seed=3, task=small), *many("bl", 80, seed=4, task=large, cost=0.05)]
    pooled = run_table(frames(*a, *b)).with_columns(size=None)
    ids = [[one.run_id for one in side] for side in (a, b)]

    assert changes_of(a, b)["cost_usd"].verdict != "changed"
    assert {c.metric: c.verdict for c in compare_tables(pooled, ids[0], ids[1], None)}["cost_usd"] == "changed"


def test_two_ways_to_do_one_task() -> None:
    """Sides without a common workflow are compared whole where that is asked for."""
    a, b = many("a", 10, seed=1), many("b", 10, seed=1)
    table = run_table(frames(*a, *b))
    ids = [[one.run_id for one in side] for side in (a, b)]
    renamed = table.with_columns(workflow=table["run_id"].is_in(ids[0]).cast(str))

    assert compare_tables(renamed, ids[0], ids[1], None) == []
    assert {change.workflow for change in compare_tables(renamed, ids[0], ids[1], None, across=True)} == {None}


def test_groups_by_version_and_period() -> None:
    """In order of first start; runs without a version are left out; a week starts on Monday."""
    held = frames(
        conversation("new", version="2", at=200_000), conversation("old", version="1"), conversation("also old", version="1", at=300_000),
        run("bare", llm(0, 1), at=0),
    )  # fmt: skip

    assert [(g.label, len(g.run_ids)) for g in group_runs(held, "version")] == [("1", 2), ("2", 1)]
    assert [(g.label, len(g.run_ids)) for g in group_runs(held, "day")] == [
        ("2023-11-14", 2),
        ("2023-11-17", 1),
        ("2023-11-18", 1),
    ]
    assert [g.label for g in group_runs(held, "week")] == ["week of 2023-11-13"]


def pair() -> tuple[Drawn, Drawn]:
    """B searches twice, its writer is slower, dearer and says something else."""
    a = run(
        "w",
        agent(
            "a",
            0,
            5,
            tool("search", 0, 1, args={"q": 1}, result="x"),
            llm(1, 2, answer="two lines\nof text", cost="0.01", input_tokens=5),
        ),
        id="A",
    )
    b = run(
        "w",
        agent("a", 0, 5, tool("search", 0, 1, args={"q": 1}, result="x"), tool("search", 1, 2, args={"q": 2}, result="y"),
              llm(2, 5, answer="two lines\nof prose", cost="0.03", input_tokens=9)),
        id="B",
    )  # fmt: skip
    return a, b


def test_two_runs_step_by_step() -> None:
    """What only B did, and what the changed call cost, took and said."""
    a, b = pair()
    document = compare_runs(frames(a), frames(b))
    (said,) = [step for step in document["steps"] if step["kind"] == "llm"]

    assert document["counts"] == {"same": 2, "changed": 1, "only_a": 0, "only_b": 1}
    assert said["delta"] == {"cost_usd": pytest.approx(0.02), "input_tokens": 4, "output_tokens": None, "seconds": 2.0}
    assert said["text"]["output"]["diff"][-2:] == ["-of text", "+of prose"]
    assert document["totals"]["cost_usd"] == pytest.approx(0.02)
    assert document["structure"] == pytest.approx(2 * 3 / 7, abs=1e-3)


@settings(max_examples=20)
@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_alignment_keeps_every_step_once(first: list[str], second: list[str]) -> None:
    """Whatever two runs did: their steps come back in order, and pairs do the same thing."""
    runs = [
        frames(run("w", *(tool(name, i, i + 1, args=i) for i, name in enumerate(names)), id=side))
        for side, names in (("A", first), ("B", second))
    ]
    a, b = (read_steps(one) for one in runs)
    pairs = align(a, b)

    assert [p.a for p in pairs if p.a] == a
    assert [p.b for p in pairs if p.b] == b
    assert all(p.a.symbol == p.b.symbol for p in pairs if p.a and p.b)


def test_a_run_against_itself_is_the_same() -> None:
    """Nothing changed, and all of it is shared."""
    document = compare_runs(frames(pair()[1]), frames(pair()[1]))
    assert (document["structure"], set(document["counts"].values())) == (1.0, {0, 4})
    assert diff_text("same", "same") == {"similarity": 1.0, "diff": [], "cut": False}


def answering(
    name: str, *, message: str, call: str, city: str = "Oslo", content: str = "I look it up.", order: int = 1
) -> Drawn:
    """A node that asks a model and writes two keys of state in one moment; messages in LangChain's envelope, with their ids."""
    calls = [{"name": "find", "args": {"city": city, "id": 7}, "id": call, "type": "tool_call"}]
    answer = {
        "lc": 1,
        "type": "constructor",
        "kwargs": {"content": content, "type": "ai", "id": message, "tool_calls": calls},
    }
    keys = [state_write(key, 3, value=key) for key in ("draft", "verdict")][::order]
    asked = node("llm", "chat", 1, 2, model="gpt-4o", inputs=["How large?"], outputs=[json.dumps(answer)])
    result = {"type": "tool", "content": "600,000", "tool_call_id": call}
    found = tool("find", 4, 5, result=json.dumps(result))
    return run("desk", agent("Clerk", 0, 6, asked, *keys, found), id=name)


def test_generated_ids_are_no_difference() -> None:
    """Ids of messages and calls, and the order of what was written in one moment, differ from run to run; what was said and called counts."""
    one = frames(answering("a", message="run-1", call="call_1"))

    def counts(other: Drawn) -> dict[str, int]:
        return compare_runs(one, frames(other))["counts"]

    assert counts(answering("b", message="run-2", call="call_2", order=-1)) == {
        "same": 5,
        "changed": 0,
        "only_a": 0,
        "only_b": 0,
    }
    assert counts(answering("c", message="run-2", call="call_2", city="Bergen"))["changed"] == 1
    assert counts(answering("d", message="run-2", call="call_2", content="Wait."))["changed"] == 1
