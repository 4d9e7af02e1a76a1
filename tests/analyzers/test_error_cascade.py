"""One failure and those that follow it."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.error_cascade import find_error_cascades
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, guard_trip, llm, run, tool


def error(kind: str, text: str = "") -> dict[str, Any]:
    return {"status": "error", "error_type": kind, "error_message": text or kind}


def failing(name: str, start: float, kind: str, *inside: Node) -> Node:
    return agent(
        name,
        start,
        start + 2,
        *inside,
        tool("step", start + 1, start + 1.5, id=f"{name}-step", **error(kind)),
        **error(kind),
    )


def chain(*names: str) -> list[Node]:
    """
    Loader |==X
    Parser      |==X
    Reporter         |==X
    """
    return [
        failing(name, 3 * n, f"Error{name}", llm(3 * n, 3 * n + 0.5, cost="0.1", input_tokens=9, output_tokens=1))
        for n, name in enumerate(names)
    ]


def found(*items: Node, outcome: str = "failed") -> list[Finding]:
    return find_error_cascades(frames(run("w", *items, outcome=outcome)))


def test_the_origin_comes_first_and_the_others_follow() -> None:
    """Origin, followers in order, what they cost; critical because the run failed."""
    (finding,) = found(*chain("Loader", "Parser", "Reporter"))

    assert finding.severity == "critical"
    assert finding.spans == ("Loader-step", "Parser-step", "Reporter-step")
    assert finding.agents == ("Loader", "Parser", "Reporter")
    assert float(finding.wasted_usd or 0) == pytest.approx(0.2)
    assert finding.data["common_cause"] is False


def test_a_run_that_comes_through_is_a_warning() -> None:
    """The outcome decides how bad it is."""
    assert [f.severity for f in found(*chain("Loader", "Parser", "Reporter"), outcome="completed")] == ["warning"]


def test_the_same_error_side_by_side_is_a_common_cause() -> None:
    """Three agents that hit the same outage at once."""
    down = error("Unavailable", "503 from db1")
    items = [agent(f"A{n}", 0, 5, tool("db", 1 + n / 10, 4 - n / 10, **down), **down) for n in range(3)]
    (finding,) = found(*items)

    assert finding.data["common_cause"] is True
    assert {c.rule: c.value for c in finding.checked}["of them beside it with the same error"] == 2


def carried(*inside: Node) -> list[Node]:
    """A tool of the first agent fails, the agent ends as if all were well, and the two after it have nothing to work on."""
    fetch = tool("fetch", 0, 0.5, id="fetch", status="error", error_message="FileNotFoundError: prices.csv")
    return [agent("Fetcher", 0, 2, fetch, *inside), failing("Quoter", 3, "NoPrices"), failing("Sender", 6, "NoOffer")]


def test_a_failure_that_was_carried_on_is_the_origin() -> None:
    """The two that failed openly came after it; the type of the error is read from what it says where none was recorded."""
    (finding,) = found(*carried())

    assert finding.spans == ("fetch", "Quoter-step", "Sender-step")
    assert finding.title.startswith("A failure of Fetcher (FileNotFoundError) was followed by Quoter and Sender")
    assert "(FileNotFoundError: prices.csv)" in finding.explanation


NEGATIVES: dict[str, list[Node]] = {
    "made good with another tool": carried(tool("ask", 1, 1.5)),
    "two agents": chain("Loader", "Parser"),
    "one exception through its callers": [
        agent("A", 0, 9, agent("B", 1, 8, agent("C", 2, 7, tool("t", 3, 4, **error("E")), **error("E")), **error("E")), **error("E"))
    ],
    "errors that were got over": [
        agent(name, 3 * n, 3 * n + 2, tool("t", 3 * n, 3 * n + 1, **error("E")), tool("t", 3 * n + 1, 3 * n + 2)) for n, name in enumerate("ABC")
    ],
    "after a guard stopped the run": [guard_trip("budget", 0), *(failing(name, 1 + 3 * n, "Stopped") for n, name in enumerate("ABC"))],
    "cancelled together": [agent(name, 0, 5, **error("CancelledError")) for name in "ABC"],
    "different errors side by side": [
        agent(name, 0, 5, tool("t", 1, 4, **error(f"E{name}")), **error(f"E{name}")) for name in "ABC"
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_failures_without_a_cascade_are_left_alone(case: str) -> None:
    """Too few, risen through callers, mended, stopped from outside, or unrelated."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """A fourth agent shows in what was checked."""
    (three,), (four,) = found(*chain("L", "P", "R")), found(*chain("L", "P", "R", "S"))

    values = [{c.rule: c.value for c in f.checked}["agents with a failure of their own"] for f in (three, four)]
    assert values == [3, 4]
