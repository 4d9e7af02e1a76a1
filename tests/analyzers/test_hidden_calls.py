"""Calls nobody sees, and calls that only look so."""

from __future__ import annotations

import pytest

from analyzers.detectors.hidden_calls import find_hidden_calls
from analyzers.purposes import purposes
from tests.drawn import Drawn, Node, agent, frames, llm, message, run

USED = {"input_tokens": 100, "output_tokens": 20, "cost": "0.01"}
LONG = "The ticket costs 840 EUR and can be changed once. " * 8


def turn(at: float, *purposes_: str) -> list[Node]:
    """One visible answer with marked calls behind it."""
    hidden = [llm(at + n / 10, at + n / 10 + 0.05, purpose=purpose, **USED) for n, purpose in enumerate(purposes_)]
    return [
        *hidden,
        llm(at + 0.8, at + 0.9, purpose="work", **USED),
        message("desk", "user", at + 0.95, "answer", user_visible=True),
    ]


def chat(*purposes_: str, turns: int = 5, id: str = "chat") -> Drawn:
    return run("desk", agent("desk", 0, turns, *(node for n in range(turns) for node in turn(n, *purposes_))), id=id)


def test_marked_orchestration_is_counted_by_purpose() -> None:
    """5 messages and 20 calls are found, with counts, tokens and cost per purpose."""
    (finding,) = find_hidden_calls(frames(chat("route", "parse_repair", "memory")))

    assert finding.data["ratio"] == 4.0
    assert [(e["purpose"], e["calls"]) for e in finding.data["by_purpose"]] == [
        ("memory", 5),
        ("parse_repair", 5),
        ("route", 5),
    ]
    assert float(finding.wasted_usd or 0) == pytest.approx(0.15)
    assert finding.wasted_tokens == 15 * 120
    assert len(finding.spans) == 15


@pytest.mark.parametrize("marks", [(), ("route",)])
def test_silent_where_calls_answer(marks: tuple[str, ...]) -> None:
    """One call, or one call and one routing call, per message is ordinary."""
    assert find_hidden_calls(frames(chat(*marks))) == []


def test_tool_work_is_not_hidden() -> None:
    """An agent that works through ten tool calls for one answer has nothing to hide."""
    calls = [llm(n, n + 0.5, prompt=f"step {n}", tool_calls=[{"name": "search"}], **USED) for n in range(10)]
    assert find_hidden_calls(frames(run("w", agent("a", 0, 20, *calls), message("a", "user", 21, "done")))) == []


def test_a_workflow_that_is_always_so_is_still_flagged() -> None:
    """A median above the limit excuses nobody; a median below it excuses what is near it."""
    findings = find_hidden_calls(frames(*(chat("route", "memory", "summarise", id=str(n)) for n in range(12))))

    assert len(findings) == 12


DOC = {"role": "user", "content": "What does a flexible ticket cost?"}
PURPOSES: dict[str, tuple[list[Node], str]] = {
    "bare name of an agent": ([llm(1, 2, prompt="Who answers?", answer="Fares", id="x")], "route"),
    "small JSON that names one": ([llm(1, 2, prompt="Who?", answer='{"next_speaker": "Visa", "reason": "visa"}', id="x")], "route"),
    "an enum that is nobody's name": ([llm(1, 2, prompt="Is it urgent?", answer="yes", id="x")], "work"),
    "complaint about the format": (
        [llm(1, 2, messages=[DOC], answer=LONG), llm(3, 4, messages=[DOC, {"role": "assistant", "content": LONG},
         {"role": "user", "content": "Your answer could not be parsed: no JSON. Reply with JSON."}], answer="{}", id="x")], "parse_repair"),
    "follow-up question": (
        [llm(1, 2, messages=[DOC], answer=LONG), llm(3, 4, messages=[DOC, {"role": "assistant", "content": LONG},
         {"role": "user", "content": "And can it be changed?"}], answer=LONG, id="x")], "work"),
    "same input after an error": (
        [llm(1, 2, messages=[DOC], status="error", error_type="Timeout"), llm(3, 4, messages=[DOC], answer=LONG, id="x")], "recover"),
    "summary": ([llm(1, 2, system="Summarise the conversation in two sentences.", prompt=LONG * 3, answer="A ticket was priced.", id="x")], "summarise"),
    "long text about a summary": ([llm(1, 2, system="Write a summary and the full report.", prompt="go", answer=LONG, id="x")], "work"),
    "memory": ([llm(1, 2, system="Extract what is worth remembering, as JSON.", prompt=LONG, answer='{"seat": "aisle"}', id="x")], "memory"),
    "grade": ([llm(1, 2, system="You check answers.", prompt=LONG, answer='{"score": 3}', id="x")], "judge"),
    "plan": ([llm(1, 2, prompt="Make a plan for the trip.", answer="1. Book\n2. Pack", id="x")], "plan"),
    "visible answer": ([llm(1, 2, prompt="Who answers?", answer="Fares", user_visible=True, id="x")], "work"),
    "marked": ([llm(1, 2, prompt="Who answers?", answer="Fares", purpose="judge", id="x")], "judge"),
}  # fmt: skip


@pytest.mark.parametrize("case", PURPOSES)
def test_purpose_is_read_off_input_and_output(case: str) -> None:
    """The shape of a call says why it was made; a mark is never overruled."""
    calls, expected = PURPOSES[case]
    drawn = frames(run("w", agent("Fares", 0, 9, *calls), agent("Visa", 9, 10)))
    known = purposes(drawn, drawn.llm_calls)

    assert known[drawn.run_ids[0], "x"][0] == expected


def test_checks_follow_the_input() -> None:
    """The entry on marked purposes changes sides when they have to be inferred."""
    marked = find_hidden_calls(frames(chat("route", "memory", "memory")))[0]
    routes = [llm(n + 0.1, n + 0.2, prompt=f"Who answers {n}?", answer="desk", **USED) for n in range(12)]
    guessed = find_hidden_calls(frames(run("w", agent("desk", 0, 20, *routes, *turn(15), *turn(16)))))[0]

    assert [next(c.passed for c in f.checked if "not inferred" in c.rule) for f in (marked, guessed)] == [True, False]
    assert marked.confidence > guessed.confidence
