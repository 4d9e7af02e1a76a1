"""One agent that everybody waits for."""

from __future__ import annotations

import pytest

from analyzers.detectors.serial_bottleneck import find_serial_bottleneck
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, message, run, wait

NAMES = ("A", "B", "C", "D")


def queue(review: float = 5.0, *, waits: bool = True) -> list[Node]:
    """Four workers work two seconds; the chief then reviews one after the other, and each waits for its turn."""
    reviews = [llm(3 + n * review, 3 + (n + 1) * review, id=f"review{n}") for n in range(4)]
    end = 3 + 4 * review
    chief = agent(
        "Chief",
        0,
        end,
        llm(0, 1),
        *reviews,
        *(message("Chief", name, 3 + (n + 1) * review) for n, name in enumerate(NAMES)),
    )
    workers = [
        agent(name, 1, 4 + (n + 1) * review, llm(1, 3), *([wait("Chief", 3, 3 + (n + 1) * review, id=f"wait{n}")] if waits else []),
              llm(3 + (n + 1) * review, 4 + (n + 1) * review))
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    return [chief, *workers]


def hub(plan: float, job: float, rounds: int = 6) -> list[Node]:
    """A supervisor that thinks, calls a worker, thinks, calls the next."""
    calls: list[Node] = []
    at = 0.0
    for n in range(rounds):
        calls += [llm(at, at + plan), agent(NAMES[n % 3], at + plan, at + plan + job, llm(at + plan, at + plan + job))]
        at += plan + job
    return [agent("Chief", 0, at + plan, *calls, llm(at, at + plan))]


def found(*items: Node) -> list[Finding]:
    return find_serial_bottleneck(frames(run("w", *items)))


@pytest.mark.parametrize(("waits", "confidence"), [(True, 0.85), (False, 0.65)])
def test_workers_that_queue_for_one_agent(waits: bool, confidence: float) -> None:
    """Idle times per worker, the agent's share of the path, and the waits as evidence; open invocations will do."""
    (finding,) = found(*queue(waits=waits))

    assert finding.agents == ("Chief", "D", "C", "B", "A")
    assert finding.data["idle_s"] == {"D": 20.0, "C": 15.0, "B": 10.0, "A": 5.0}
    assert finding.data["path_share"] > 0.7
    assert finding.confidence == confidence
    assert {"review0", "review3"} <= set(finding.spans)
    assert ("wait3" in finding.spans) is waits
    assert "50 s" in finding.title


def test_a_hub_that_thinks_longer_than_its_workers_work() -> None:
    """One worker at a time, and most of the path is the supervisor's own: told with less confidence."""
    (finding,) = found(*hub(3, 1))

    assert finding.data["shape"] == "hub"
    assert finding.confidence < 0.6
    assert finding.data["rounds"] == 6


NEGATIVES: dict[str, list[Node]] = {
    "a supervisor whose workers do the work": hub(1, 3),
    "few rounds": hub(3, 1, rounds=3),
    "a pipeline": [agent(name, n * 5, n * 5 + 5, llm(n * 5, n * 5 + 2), llm(n * 5 + 2, n * 5 + 5)) for n, name in enumerate(NAMES)],
    "quick reviews": queue(0.2),
    "a slow worker that all wait for": [
        agent("Chief", 0, 30, llm(0, 1), llm(1, 2), llm(2, 3), llm(29, 30), agent("A", 3, 29, llm(3, 29)), agent("B", 3, 5, llm(3, 5))),
    ],
    "side by side": [agent("Chief", 0, 20, *(llm(n, n + 1) for n in range(20))), *(agent(n, 0, 20, llm(0, 20)) for n in NAMES)],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_runs_that_are_held_up_by_nobody_are_left_alone(case: str) -> None:
    """Work that takes its time, short checks, lines of stages."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """Shares, idle workers and rounds show in what was checked."""

    def values(finding: Finding) -> dict[str, tuple[object, bool]]:
        return {check.rule: (check.value, check.passed) for check in finding.checked}

    (long,), (short,), (turns,) = found(*queue(5)), found(*queue(2.5)), found(*hub(3, 1))
    path = "share of the critical path that is the agent's own work"

    assert float(str(values(long)[path][0])) > float(str(values(short)[path][0]))
    assert values(long)["workers idle while it worked"] == (4, True)
    assert values(turns)["workers idle while it worked"] == (0, False)
    assert values(turns)["rounds between it and a worker"] == (6, True)
    assert values(long)["waits for it were recorded"] == (True, True)
