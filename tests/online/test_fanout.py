"""Agents that multiply: the rules on drawn trees, and the live core against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracer.online.fanout import FanoutAlarm, FanoutCore, FanoutLimits


def grow(branching: int, generations: int, core: FanoutCore) -> list[FanoutAlarm]:
    """A tree in which every agent starts `branching` more and none ends, generation by generation."""
    core.start("root", None)
    alarms: list[FanoutAlarm] = []
    level = ["root"]
    for _ in range(generations):
        level = [f"{parent}.{n}" for parent in level for n in range(branching)]
        alarms += [a for name in level if (a := core.start(name, name.rpartition(".")[0]))]
    return alarms


@pytest.mark.parametrize(
    ("branching", "generations", "rules"),
    [
        (12, 1, []),
        (3, 2, []),
        (2, 4, ["growing", "doublings"]),
        (3, 3, ["growing"]),
        (1, 8, []),
        (1, 9, ["depth"]),
        (65, 1, ["live"]),
        (64, 1, []),
    ],
)
def test_which_trees_are_told(branching: int, generations: int, rules: list[str]) -> None:
    """A flat map and a small tree are healthy; growth, depth and sheer number are not, each told once."""
    assert [alarm.rule for alarm in grow(branching, generations, FanoutCore())] == rules


def test_a_plan_allows_what_it_names() -> None:
    """A map of 200 with its plan is healthy, one more agent beyond plan and limit is not."""
    core = FanoutCore()
    core.plan("root", 200)

    assert grow(200, 1, core) == []
    assert [core.start(f"extra{n}", "root") is not None for n in range(65)] == [False] * 64 + [True]


def test_agents_that_end_make_room() -> None:
    """A thousand workers one after the other are one at a time."""
    core = FanoutCore()
    core.start("root", None)
    for n in range(1000):
        assert core.start(str(n), "root") is None
        core.end(str(n))


def test_what_is_usual_raises_the_limits() -> None:
    """A workflow that has 50 at work every day may have 150."""
    limits = FanoutLimits().learned(usual_live=50, usual_depth=9)

    assert (limits.live, limits.depth) == (150, 12)
    assert FanoutLimits().learned(usual_live=2) == FanoutLimits()


def test_a_tree_that_is_over_is_forgotten() -> None:
    """Memory holds agents at work only; an ended root's name may come again."""
    core = FanoutCore(FanoutLimits(live=1))
    for _ in range(3):
        core.start("root", None)
        assert core.start("a", "root") is None
        assert core.start("b", "root") is not None
        core.end("root")
        core.end("a")
        core.end("b")


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Starts under any agent at work, ends of any: ("start", who, parent) or ("end", who, 0)."""
    events: list[tuple[str, int, int]] = [("start", 0, -1)]
    live, count = [0], 1
    for _ in range(draw(st.integers(0, 40))):
        if len(live) > 1 and draw(st.integers(0, 3)) == 0:
            who = draw(st.sampled_from(live[1:]))
            live.remove(who)
            events.append(("end", who, 0))
        else:
            events.append(("start", count, draw(st.sampled_from(live))))
            live.append(count)
            count += 1
    return events


@given(histories())
@settings(max_examples=30, deadline=None)
def test_the_core_counts_as_a_recount_does(events: list[tuple[str, int, int]]) -> None:
    """After each start, the first alarm per rule comes exactly where counting everything afresh says so."""
    limits = FanoutLimits(live=5, depth=3, doublings=2, doubling_live=3, growing=2, growing_live=4)
    core, told = FanoutCore(limits), set[str]()
    parents: dict[int, int] = {}
    ended: set[int] = set()

    def depth(who: int) -> int:
        return 0 if who == 0 else 1 + depth(parents[who])

    for what, who, parent in events:
        if what == "end":
            core.end(str(who))
            ended.add(who)
            continue
        if who:
            parents[who] = parent
        alarm = core.start(str(who), str(parent) if who else None)
        if not who:
            continue
        live = sum(p not in ended for p in parents)
        generation = [[p for p in [0, *parents] if depth(p) == d] for d in range(max(map(depth, parents)) + 1)]
        sizes = [len(members) for members in generation]
        here = depth(who)
        doubled = [here - n for n in range(here)]
        doublings = next((n for n, g in enumerate(doubled) if sizes[g] < 2 * sizes[g - 1]), here)
        growing = next(
            (n for n, g in enumerate(doubled)
             if sizes[g] <= sizes[g - 1] or 2 * sum(p in ended for p in generation[g]) >= sizes[g]), here,
        )  # fmt: skip
        due = [
            rule
            for rule, holds in (
                ("live", live > 5),
                ("depth", here > 3),
                ("doublings", live >= 3 and doublings >= 2),
                ("growing", live >= 4 and growing >= 2),
            )
            if holds and rule not in told
        ]
        assert (alarm.rule if alarm else None) == (due[0] if due else None)
        if alarm:
            told.add(alarm.rule)
