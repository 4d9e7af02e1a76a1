"""How a run ended: one case per rule of the table, and what the summary row counts."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from typing import Any

import duckdb
import pytest

import tracer
from tests.normalise.drawn import genai, oi, raw
from tracer.model import RawSpan
from tracer.normalise import TraceSummary, normalise, resolve, summarise

FLOW = {"tracehound.kind": "workflow", "tracehound.workflow": "w"}
AGENT = genai("invoke_agent", agent__name="a")


def summary(*spans: RawSpan) -> TraceSummary:
    return summarise(resolve(normalise(spans).spans))


def failed(text: str, kind: str = "") -> dict[str, Any]:
    return {"status": "error", "message": text, "a": {"error.type": kind} if kind else {}}


def _swarm(stopped: str | None) -> list[RawSpan]:
    """a hands over to b, b back to a, and then it is over."""
    said = {} if stopped is None else {"output__value": json.dumps({"messages": [], "stop_reason": stopped})}
    return [
        raw("Swarm.run_stream", 0, 9, a=oi("CHAIN", **said)),
        raw("a", 1, 4, "Swarm.run_stream", a=genai("invoke_agent", agent__name="a")),
        raw("to b", 2, 3, "a", a=genai("execute_tool", tool__name="transfer_to_b")),
        raw("b", 5, 8, "Swarm.run_stream", a=genai("invoke_agent", agent__name="b")),
        raw("to a", 6, 7, "b", a=genai("execute_tool", tool__name="transfer_to_a")),
    ]


CASES: dict[str, tuple[list[RawSpan], str]] = {
    "completed": ([raw("r", 0, 1)], "completed"),
    "said": ([raw("r", 0, 1, a=FLOW | {"tracehound.run.outcome": "escalated"}, status="error")], "escalated"),
    "said nonsense": ([raw("r", 0, 1, a=FLOW | {"tracehound.run.outcome": "great"})], "completed"),
    "running": ([raw("r", 0, None), raw("c", 1, 2, "r", status="error")], "running"),
    "failed root": ([raw("r", 0, 1, **failed("boom"))], "failed"),
    "cancelled root": ([raw("r", 0, 1, **failed("", "asyncio.exceptions.CancelledError"))], "interrupted"),
    "failed tool only": ([raw("r", 0, 3), raw("t", 1, 2, "r", a=genai("execute_tool"), status="error")], "completed"),
    "failed last agent under a sound root": (
        [
            raw("r", 0, 9, a=oi("AGENT")),
            raw("x", 1, 2, "r", a=AGENT),
            raw("y", 3, 4, "r", a=AGENT, status="error", message="boom"),
        ],
        "failed",
    ),
    "failed agent that was tried again": (
        [raw("r", 0, 9, a=oi("AGENT")), raw("x", 1, 2, "r", a=AGENT, status="error"), raw("y", 3, 4, "r", a=AGENT)],
        "completed",
    ),
    "openai agents, max turns": (
        [
            raw("r", 0, 9, a=oi("AGENT")),
            raw("y", 3, 4, "r", a=AGENT, status="error", message="Max turns exceeded: {'max_turns': 8}"),
        ],
        "stopped_by_guard",
    ),
    "autogen, a handoff that was to end it": (_swarm("Handoff to a from b detected."), "completed"),
    "autogen, a limit after a handoff": (
        _swarm("Maximum number of messages 8 reached, current message count: 8"),
        "stopped_by_guard",
    ),
    "a handoff that nobody took over": (_swarm(None), "stopped_by_guard"),
    "langgraph, recursion": (
        [raw("r", 0, 1, **failed("", "langgraph.errors.GraphRecursionError"))],
        "stopped_by_guard",
    ),
    "pydantic ai, request limit": (
        [raw("r", 0, 1, **failed("", "pydantic_ai.exceptions.UsageLimitExceeded"))],
        "stopped_by_guard",
    ),
    "smolagents, max steps": (
        [raw("r", 0, 1, **failed("Reached max steps.", "AgentMaxStepsError"))],
        "stopped_by_guard",
    ),
    "autogen, stop reason": (
        [
            raw(
                "T.run_stream",
                0,
                9,
                a=oi("CHAIN", output__value='{"messages": [], "stop_reason": "Maximum number of messages 14 reached"}'),
            ),
            raw("a", 1, 2, "T.run_stream", a=AGENT),
        ],
        "stopped_by_guard",
    ),
    "autogen, said the word": (
        [
            raw(
                "T.run_stream",
                0,
                9,
                a=oi("CHAIN", output__value='{"messages": [], "stop_reason": "Text \'TERMINATE\' mentioned"}'),
            ),
            raw("a", 1, 2, "T.run_stream", a=AGENT),
        ],
        "completed",
    ),
    "tripwire": (
        [raw("r", 0, 9), raw("turn", 1, 2, "r", **failed("Guardrail tripwire triggered: {}"))],
        "stopped_by_guard",
    ),
    "timeout": ([raw("r", 0, 1, **failed("", "asyncio.TimeoutError"))], "timed_out"),
    "guard stopped it": (
        [
            raw("r", 0, 9),
            raw(
                "g",
                1,
                1,
                "r",
                a={"tracehound.kind": "guard_trip", "tracehound.guard": "budget", "tracehound.guard.level": "stop"},
            ),
        ],
        "stopped_by_guard",
    ),
    "guard only warned": (
        [
            raw("r", 0, 9),
            raw(
                "g",
                1,
                1,
                "r",
                a={"tracehound.kind": "guard_trip", "tracehound.guard": "budget", "tracehound.guard.level": "warn"},
            ),
        ],
        "completed",
    ),
    "escalated": (
        [raw("r", 0, 9), raw("e", 1, 2, "r", a={"tracehound.kind": "escalation", "tracehound.reason": "unsure"})],
        "escalated",
    ),
    "root missing": ([raw("c", 1, 2, "never-arrived")], "unknown"),
    "source does not say": ([raw("r", 0, 1, a=FLOW | {"tracehound.source.id": "17"})], "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_outcome(case: str) -> None:
    """The rules in their order."""
    spans, expected = CASES[case]

    assert expected == summary(*spans).outcome


def test_interrupted() -> None:
    """The fold marks spans of dead processes; a run whose root was open is interrupted."""
    rows = resolve(normalise([raw("r", 0, None)]).spans)
    rows[0].status = "interrupted"

    assert summarise(rows).outcome == "interrupted"


STEP = raw("s", 1, 2, "r", **failed("400 - no such model", "AgentGenerationError"))


@pytest.mark.parametrize(
    ("inside", "outcome"),
    [
        ([STEP], "failed"),
        ([STEP, raw("c", 1, 2, "s", a=genai("chat"), status="error")], "failed"),
        ([STEP, raw("t", 3, 4, "r")], "interrupted"),
        ([STEP, raw("t", 3, None, "r")], "interrupted"),
        ([raw("c", 1, 2, "r", a=genai("chat"), status="error")], "interrupted"),
    ],
)
def test_root_that_its_instrumentor_never_ended(inside: list[RawSpan], outcome: str) -> None:
    """OpenInference leaves the agent of smolagents open when an error goes through it; the process ended long after."""
    rows = resolve(normalise([raw("r", 0, None, a=AGENT), *inside]).spans)
    for row in rows:
        row.status = "interrupted" if row.end_ns is None else row.status

    found = summarise(rows)
    assert (found.outcome, "no such model" in (found.outcome_reason or "")) == (outcome, outcome == "failed")


def test_counts() -> None:
    """Duplicates count nowhere but in spans; a call without a price is counted as such, never as 0."""
    usage = {"usage__input_tokens": 1000, "usage__output_tokens": 100}
    found = summary(
        raw("r", 0, 9, a=FLOW),
        raw("one", 1, 4, "r", a=genai("chat", response__model="gpt-4o", agent__name="x", **usage)),
        raw("one again", 2, 3, "one", a=genai("chat", response__model="gpt-4o", **usage)),
        raw("two", 5, 6, "r", a=genai("chat", response__model="my-own-model", agent__name="y", **usage)),
        raw(
            "three",
            7,
            8,
            "r",
            a=genai("embeddings", request__model="my-own-model", usage__input_tokens=5),
            status="error",
        ),
    )

    assert (found.spans, found.agents, found.llm_calls, found.input_tokens, found.output_tokens) == (5, 2, 2, 2005, 200)
    assert (Decimal("0.0035"), 2, 1) == (found.cost_usd, found.unpriced_calls, found.errors)


def test_no_price_is_not_zero() -> None:
    """A run without a known price has no cost."""
    assert summary(raw("r", 0, 1, a=genai("chat", request__model="m", usage__input_tokens=5))).cost_usd is None


def test_summary_has_the_columns_of_the_table() -> None:
    """The fields are the columns of table `traces`, in order."""
    from pathlib import Path

    script = (Path(tracer.__file__).parent / "store" / "sql" / "0001_spans.sql").read_text()
    statement = script[script.index("CREATE TABLE traces") :]
    connection = duckdb.connect()
    connection.execute(statement[: statement.index(";")])
    columns = [row[0] for row in connection.execute("DESCRIBE traces").fetchall()]

    assert columns == [f.name for f in fields(TraceSummary)]
