"""Handoffs to and fro: what is idle, what is work."""

from __future__ import annotations

import pytest

from analyzers.detectors.ping_pong import find_ping_pong
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import analyse
from tests.drawn import Node, agent, frames, handoff, llm, run, state_write, tool

IDLE = (
    "This is a matter for the other team.",
    "No, this belongs to the other team.",
    "Not ours, it belongs to the other team.",
    "As said, this is a matter for the other team.",
    "It belongs to the other team, not ours.",
    "This matter belongs to the other team.",
)


def bounce(handoffs: int, *work: Node, texts: tuple[str, ...] = IDLE, task: str | None = "t1") -> list[Node]:
    """
    Sales   |llm,handoff|           |llm,handoff|
    Support             |llm,handoff|           |llm ...      `work` comes on top
    """
    items: list[Node] = []
    for n in range(handoffs):
        who, to = ("Sales", "Support") if n % 2 == 0 else ("Support", "Sales")
        said = texts[n % len(texts)]
        items.append(agent(who, n, n + 0.9, llm(n, n + 0.5, answer=said, cost="0.01", input_tokens=90, output_tokens=10),
                           handoff(who, to, n + 0.8, text=said, task_id=task)))  # fmt: skip
    return [*items, *work]


def found(*items: Node) -> list[Finding]:
    return find_ping_pong(frames(run("desk", *items)))


@pytest.mark.parametrize(
    ("handoffs", "severity"), [(2, None), (3, None), (4, "warning"), (5, "warning"), (6, "critical")]
)
def test_returns_without_work_are_counted(handoffs: int, severity: str | None) -> None:
    """Two returns warn, three are critical, one is how agents work."""
    assert [f.severity for f in found(*bounce(handoffs))] == ([severity] if severity else [])


def test_the_finding_names_both_agents_the_handoffs_and_the_cost() -> None:
    """Evidence is the handoffs and what was done in between; waste starts after the first return."""
    (finding,) = found(*bounce(6))

    assert finding.agents == ("Sales", "Support")
    assert set(finding.data["handoffs"]) <= set(finding.spans)
    assert finding.data["returns"] == 3
    assert finding.wasted_usd is not None
    assert 0 < finding.wasted_usd < 6 * 0.01
    assert "t1" in finding.explanation


NEGATIVES: dict[str, list[Node]] = {
    "a draft that changes": bounce(
        8, texts=tuple(f"Draft with chapter {w} on {w}-{n} and its {w} figures {n}00" for n, w in enumerate(
            ["alpine", "baltic", "cobalt", "dorian", "eastern", "fennic", "golden", "hanse"])),
    ),
    "tool calls with new arguments": bounce(
        6, *(tool("look_up", n + 0.6, n + 0.7, args={"n": n}, agent="Sales" if n % 2 == 0 else "Support") for n in range(6))
    ),
    "new state every time": bounce(
        6, *(state_write("case", n + 0.6, value={"n": n}, agent="Sales" if n % 2 == 0 else "Support") for n in range(6))
    ),
    "different tasks": [x for n in range(3) for x in (
        handoff("Sales", "Support", 2 * n, task_id=f"t{n}", text="please"), handoff("Support", "Sales", 2 * n + 1, task_id=f"t{n}", text="done"))],
    "explicit progress": bounce(
        6, *(tool("mark", n + 0.6, n + 0.7, progress=True, agent="Sales" if n % 2 == 0 else "Support") for n in range(6))
    ),
    "a round through four agents": [handoff(a, b, n) for n, (a, b) in enumerate(("ab", "bc", "cd", "da", "ab", "bc"))],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_work_between_handoffs_is_no_ping_pong(case: str) -> None:
    """New calls, states, texts, marks or tasks make a return part of the work."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """More returns and missing texts show in what was checked, and in the confidence."""
    (short,), (long,) = found(*bounce(4)), found(*bounce(6))
    bare = [handoff(*(("Sales", "Support") if n % 2 == 0 else ("Support", "Sales")), n) for n in range(6)]
    (silent,) = found(*bare)

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    assert values(short)["returns to the first sender"] == 2
    assert values(long)["returns to the first sender"] == 3
    assert values(silent)["texts were recorded"] is False
    assert silent.confidence < long.confidence


def test_a_loop_over_the_same_handoffs_tells_it_alone() -> None:
    """Where the loop detector names the same handoffs, the ping-pong gives way."""
    kinds = [f.kind for f in analyse(frames(run("desk", *bounce(16)))).findings]

    assert kinds.count("loop") == 1
    assert "ping_pong" not in kinds


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_an_answer_handed_on_at_once_is_still_the_answer(names: str) -> None:
    """Where an answer ends when its handoff begins, ids do not decide which of the two said it first."""
    facts = [
        f"Chapter on {word} with figures {n}17 and {n}93"
        for n, word in enumerate(("alpine", "baltic", "cobalt", "dorian", "fennic", "golden"))
    ]
    items = [
        agent(
            who,
            n,
            n + 0.9,
            llm(n, n + 0.5, answer=text, id=f"{names[0]}{n}"),
            handoff(who, to, n + 0.5, text=text, task_id="t", id=f"{names[1]}{n}"),
        )
        for n, text in enumerate(facts)
        for who, to in [("Sales", "Support") if n % 2 == 0 else ("Support", "Sales")]
    ]

    assert found(*items) == []


def test_texts_that_are_not_at_hand_may_be_new() -> None:
    """Without bodies, texts that differ are not taken for idle; the same text over and over still is."""
    fresh = tuple(f"Draft with {n}00 figures on {n}" for n in range(6))

    def hashed(texts: tuple[str, ...]) -> list[Finding]:
        held = frames(run("desk", *bounce(6, texts=texts)))
        return find_ping_pong(Frames(spans=held.spans, traces=held.traces))

    assert hashed(fresh) == []
    assert [f.severity for f in hashed(("Not ours.",))] == ["critical"]


def test_clocks_that_differ_do_not_hide_it() -> None:
    """Two processes, one of them seconds ahead: handoffs alternate by cause, not by time."""
    apart = [
        agent(who, n + late, n + late + 0.9, llm(n + late, n + late + 0.5, answer=IDLE[n], pid=pid),
              handoff(who, to, n + late + 0.8, text=IDLE[n], task_id="t1", pid=pid), pid=pid)
        for n in range(6)
        for who, to, pid, late in [("Sales", "Support", 1, 0) if n % 2 == 0 else ("Support", "Sales", 2, 60)]
    ]  # fmt: skip
    (finding,) = found(*apart)

    assert finding.data["returns"] == 3


def test_calls_of_which_nothing_was_recorded_may_have_been_work() -> None:
    """Without arguments and results nobody can say that a tool call brought nothing."""
    work = [tool("look", n + 0.6, n + 0.7, agent="Support" if n % 2 else "Sales") for n in range(6)]

    assert found(*bounce(6, *work)) == []
