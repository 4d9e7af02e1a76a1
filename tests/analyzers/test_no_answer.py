"""Waits in vain and calls that hang."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.no_answer import find_no_answer
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, message, run, tool, wait
from tracer.semconv import Tracehound

TIMED_OUT: dict[str, Any] = {
    "status": "error",
    "error_type": "TimeoutError",
    "attributes": {Tracehound.WAIT_OUTCOME: "timed_out"},
}


def found(*items: Node) -> list[Finding]:
    return find_no_answer(frames(run("w", *items)))


def clerk(*inside: Node) -> Node:
    return agent("Clerk", 0, 40, *inside)


def test_a_wait_that_ends_at_its_deadline_without_an_answer() -> None:
    """The waiter, whom it waited for and how long are told."""
    (finding,) = found(clerk(wait("Archive", 5, 35, deadline=35, id="w", **TIMED_OUT)))

    assert finding.severity == "warning"
    assert finding.spans == ("w",)
    assert finding.agents == ("Clerk", "Archive")
    assert finding.data["waited_s"] == 30


NEGATIVES: dict[str, list[Node]] = {
    "met": [clerk(wait("Archive", 5, 8, deadline=35))],
    "met without a deadline": [clerk(wait("Archive", 5, 35))],
    "cancelled": [clerk(wait("Archive", 5, 8, status="error", error_type="CancelledError", attributes={Tracehound.WAIT_OUTCOME: "cancelled"}))],
    "an answer came": [clerk(wait("Archive", 5, 35, deadline=35, **TIMED_OUT)), message("Archive", "Clerk", 20, "no such file")],
    "a person": [clerk(wait("Ben", 5, 35, deadline=35, reason="human", **TIMED_OUT))],
    "a call that takes a while": [clerk(tool("search", 35, None)), *(tool("search", n, n + 1) for n in range(30))],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_waits_that_end_well_are_left_alone(case: str) -> None:
    """Met, cancelled, answered, or waiting for a person."""
    assert found(*NEGATIVES[case]) == []


def test_a_call_open_far_beyond_its_kind_hangs() -> None:
    """Against thirty calls of a second, a minute is long; against none, it is not."""
    past = [tool("search", n, n + 1) for n in range(30)]
    late = llm(99, 100)

    (finding,) = found(clerk(tool("search", 40, None, id="open")), *past, late)
    assert finding.spans == ("open",)
    assert finding.data["open_s"] == 60
    assert found(clerk(tool("search", 40, None)), *past[:5], late) == []
    assert len(found(clerk(tool("search", 40, None)), *past[:5], llm(700, 701))) == 1


def test_checks_follow_the_input() -> None:
    """What those waited for did meanwhile shows in what was checked, and in the words."""
    waited = clerk(wait("Archive", 5, 35, deadline=35, **TIMED_OUT))
    (silent,) = found(waited)
    (busy,) = found(waited, agent("Archive", 6, 30, llm(7, 8)))

    assert [c.value for c in silent.checked if "spans" in c.rule] == [0]
    assert [c.value for c in busy.checked if "spans" in c.rule] == [2]
    assert "was at work" in busy.explanation


def test_a_call_that_its_caller_gave_up_was_never_answered() -> None:
    """The process lived, the caller ended, the call did not; where the caller was cut off too, it was a crash."""
    open_call = llm(5, None, id="open", status="interrupted", pid=7)
    (finding,) = found(agent("Clerk", 0, 40, open_call, pid=7), llm(50, 51))

    assert finding.spans == ("open",)
    assert finding.data["reason"] == "given up"
    assert finding.data["open_s"] == 46
    assert found(agent("Clerk", 0, None, open_call, pid=7, status="interrupted"), llm(50, 51)) == []
    assert found(agent("Clerk", 0, 40, open_call, pid=8), llm(50, 51)) == []
