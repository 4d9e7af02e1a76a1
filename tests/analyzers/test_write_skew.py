"""Steps that each changed what the other had checked."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.detectors.write_skew import find_write_skew
from analyzers.finding import Finding
from analyzers.state_graph import dependencies, write_skews
from analyzers.state_history import histories
from tests.drawn import Node, agent, frames, run, state_read, state_write

ON, OFF = {"on_call": True}, {"on_call": False}


def doctor(name: str, own: str, other: str, at: float, *, versions: bool = True, **write: Any) -> Node:
    """Reads both rosters, then takes itself off its own."""
    one, two = (1, 2) if versions else (None, None)
    return agent(
        name, at, at + 9,
        state_read(own, at + 1, version=one, value=ON, id=f"{name}-own"), state_read(other, at + 2, version=one, value=ON, id=f"{name}-other"),
        state_write(own, at + 6, version=two, before=ON, value=OFF, id=f"{name}-off", **write),
    )  # fmt: skip


def on_call(apart: float = 0.5, **options: Any) -> list[Node]:
    return [doctor("Alice", "alice", "bob", 0, **options), doctor("Bob", "bob", "alice", apart, **options)]


def found(*items: Node) -> list[Finding]:
    return find_write_skew(frames(run("w", *items)))


@pytest.mark.parametrize(("versions", "confidence"), [(True, 0.9), (False, 0.75)])
def test_each_replaces_what_the_other_had_checked(versions: bool, confidence: float) -> None:
    """Both doctors go off call, each seeing that the other one stays; from versions, or from values alone."""
    (finding,) = found(*on_call(versions=versions))

    assert finding.spans == ("Alice-other", "Bob-other", "Alice-off", "Bob-off")
    assert finding.agents == ("Alice", "Bob")
    assert finding.data["keys"] == ["alice", "bob"]
    assert finding.severity == "warning"
    assert finding.confidence == confidence
    assert "Alice rested on 'bob'" in finding.explanation


def test_three_in_a_ring() -> None:
    """The circle may be longer than two."""
    names = "abc"
    ring = [doctor(f"D{k}", k, names[(n + 1) % 3], n / 10) for n, k in enumerate(names)]

    (finding,) = found(*ring)

    assert finding.data["steps"] == 3


NEGATIVES: dict[str, list[Node]] = {
    "one after the other": [
        doctor("Alice", "alice", "bob", 0),
        agent("Bob", 20, 29, state_read("alice", 21, version=2, value=OFF), state_read("bob", 22, version=1, value=ON),
              state_write("bob", 26, version=2, value=ON)),
    ],
    "read again before the write": [
        doctor("Alice", "alice", "bob", 0),
        agent("Bob", 0.5, 19, state_read("alice", 1, version=1, value=ON), state_read("alice", 8, version=2, value=OFF),
              state_write("bob", 9, version=2, value=OFF)),
    ],
    "one key": [
        agent(name, 0, 9, state_read("k", 1, version=1, value=ON), state_write("k", 5 + n, version=2 + n, value=OFF))
        for n, name in enumerate("AB")
    ],
    "read only after its own write": [
        agent("A", 0, 9, state_write("a", 1, version=2, value=OFF), state_read("b", 2, version=1, value=ON)),
        agent("B", 0, 9, state_write("b", 4, version=2, value=OFF), state_read("a", 5, version=1, value=ON)),
    ],
    "refused by the store": [
        doctor("Alice", "alice", "bob", 0),
        agent("Bob", 0.5, 9, state_read("alice", 1, version=1, value=ON), state_write("bob", 7, version=None, cas="conflict", status="error")),
    ],
    "each reads its own": [doctor("Alice", "alice", "alice", 0), doctor("Bob", "bob", "bob", 0)],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_what_an_order_explains_is_left_alone(case: str) -> None:
    """Serial steps, fresh reads, one key (a lost update at worst), reads that no write rests on."""
    assert found(*NEGATIVES[case]) == []


def test_a_gap_in_the_chain_makes_it_suspected() -> None:
    """A version that nobody was seen writing lowers the confidence and is named."""
    odd = agent("Carol", 12, 14, state_read("bob", 13, version=7, value=ON))
    (finding,) = found(*on_call(), odd)

    assert finding.confidence == 0.5
    assert finding.data["suspected"]
    assert "suspected" in finding.title


def test_checks_follow_the_input() -> None:
    """The number of steps, whether there are versions, and missing writes show in what was checked."""

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    (two,) = found(*on_call())
    (bare,) = found(*on_call(versions=False))
    (ring,) = found(*(doctor(f"D{k}", k, "abc"[(n + 1) % 3], n / 10) for n, k in enumerate("abc")))
    (gap,) = found(*on_call(), agent("Carol", 12, 14, state_read("bob", 13, version=7, value=ON)))

    assert values(two)["steps in a circle of anti-dependencies"] == 2
    assert values(ring)["steps in a circle of anti-dependencies"] == 3
    assert (values(two)["versions were recorded"], values(bare)["versions were recorded"]) == (True, False)
    assert (values(two)["writes missing in the recording"], values(gap)["writes missing in the recording"]) == (0, 1)


@st.composite
def schedules(draw: st.DrawFn) -> list[tuple[int, str, str]]:
    """Three steps, each reading up to two keys and then writing one, interleaved: (step, "r" or "w", key)."""
    plans = [
        [(n, "r", key) for key in draw(st.lists(st.sampled_from("xyz"), unique=True, max_size=2))]
        + [(n, "w", draw(st.sampled_from("xyz")))]
        for n in range(3)
    ]
    order = draw(st.permutations([n for n, plan in enumerate(plans) for _ in plan]))
    return [plans[n].pop(0) for n in order]


def played(schedule: list[tuple[int, str, str]]) -> list[Node]:
    version = dict.fromkeys("xyz", 1)
    ops: dict[int, list[Node]] = {0: [], 1: [], 2: []}
    for at, (step, what, key) in enumerate(schedule):
        if what == "r":
            ops[step].append(state_read(key, at, version=version[key]))
        else:
            version[key] += 1
            ops[step].append(state_write(key, at, version=version[key]))
    return [agent(f"S{step}", 0, 99, *held, id=f"S{step}") for step, held in ops.items()]


def serial(schedule: list[tuple[int, str, str]]) -> bool:
    """Brute force: does some order of the steps, one after the other, give every read the writer that it really saw, and
    every key its writers in the real order?"""

    def story(order: list[tuple[int, str, str]]) -> tuple[list[tuple[int, str, object]], dict[str, list[int]]]:
        last: dict[str, object] = {}
        seen: list[tuple[int, str, object]] = []
        writers: dict[str, list[int]] = {}
        for step, what, key in order:
            if what == "r":
                seen.append((step, key, last.get(key)))
            else:
                last[key] = step
                writers.setdefault(key, []).append(step)
        return sorted(seen, key=str), writers

    real = story(schedule)
    return any(
        story([op for step in order for op in schedule if op[0] == step]) == real for order in permutations(range(3))
    )


@given(schedules())
@settings(max_examples=25, deadline=None)
def test_a_skew_is_never_serializable_and_serial_runs_have_none(schedule: list[tuple[int, str, str]]) -> None:
    """Against brute force over all orders: the whole graph has a cycle exactly where no order explains the run, and every
    skew lies in such a run."""
    given_frames = frames(run("w", *played(schedule)))
    edges = dependencies(histories(given_frames))
    graph = {step: {e.target.step for e in edges if e.source.step == step} for step in ("S0", "S1", "S2")}
    reach = {step: set(targets) for step, targets in graph.items()}
    for _ in range(3):
        reach = {step: held | {far for near in held for far in reach[near]} for step, held in reach.items()}

    assert any(step in held for step, held in reach.items()) is not serial(schedule)
    assert not (write_skews(edges) and serial(schedule))
