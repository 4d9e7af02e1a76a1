"""The programs, what runs them, and what an ordinary run of each consists of, read off the programs and their script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from tests.e2e.server import Model

PROGRAMS = Path(__file__).parent / "programs"
LEAD, WORKER = "gpt-4.1-mini", "gpt-5-mini"
PRICE = {LEAD: Decimal("0.0006"), WORKER: Decimal("0.00056")}
"""USD of one call. Prices per million tokens as published: gpt-4.1-mini 0.40 (input), 0.10 (cached input), 1.60 (output);
gpt-5-mini 0.25, 0.025, 2.00. A call has 1,000 tokens in, 400 of them cached, and 200 out, 50 of them for reasoning:
    600 x 0.40 + 400 x 0.10  + 200 x 1.60 = 240 + 40 + 320 = 600 millionths
    600 x 0.25 + 400 x 0.025 + 200 x 2.00 = 150 + 10 + 400 = 560 millionths
Reasoning is part of the output."""


@dataclass(frozen=True)
class Framework:
    environment: str
    program: str
    says: str
    calls: Mapping[tuple[str | None, str], int]
    """(agent, model) -> LLM calls; no agent where none is known"""
    agents: frozenset[str] = frozenset()
    """those that have spans of their own"""
    tools: tuple[tuple[str, str], ...] = ()
    """(agent, tool) of the ordinary run"""
    handoffs: tuple[tuple[str, str], ...] = ()
    callers: frozenset[tuple[str, str]] = frozenset()
    """(who called, whom), by handoff or delegation"""
    hint: str = ""
    """of the one line about what is missing"""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def command(self, python: Path, *words: str) -> tuple[str, ...]:
        return (str(python), str(PROGRAMS / self.program), *words)

    def environ(self, model: Model) -> dict[str, str]:
        return {**model.variables, **self.variables}

    @property
    def price(self) -> Decimal:
        """USD of the ordinary run."""
        return sum((PRICE[model] * count for (_, model), count in self.calls.items()), Decimal(0))


FRAMEWORKS = {
    "openai-agents": Framework(
        "openai-agents", "support_desk.py", "12 days ago.", {("triage", LEAD): 1, ("refunds", WORKER): 2},
        agents=frozenset({"triage", "refunds"}), tools=(("refunds", "get_order"),), handoffs=(("triage", "refunds"),),
        callers=frozenset({("triage", "refunds")}),
    ),
    "langgraph": Framework(
        "langgraph", "supervisor.py", "Within 30 days.",
        {("supervisor", LEAD): 3, ("researcher", WORKER): 2, ("writer", WORKER): 1},
        agents=frozenset({"supervisor", "researcher", "writer"}), tools=(("researcher", "search_docs"),),
        handoffs=(("supervisor", "researcher"), ("supervisor", "writer")),
        callers=frozenset({("supervisor", "researcher"), ("supervisor", "writer")}),
    ),
    "pydantic-ai": Framework(
        "pydantic-ai", "delegation.py", "Within 30 days.", {("coordinator", LEAD): 2, ("researcher", WORKER): 2},
        agents=frozenset({"coordinator", "researcher"}),
        tools=(("coordinator", "ask_researcher"), ("researcher", "search_docs")),
        callers=frozenset({("coordinator", "researcher")}),
    ),
    "crewai": Framework(
        "crewai", "crew.py", "Within 30 days.", {("coordinator", LEAD): 2, ("researcher", WORKER): 2},
        agents=frozenset({"coordinator"}),  # its instrumentor gives an agent that is delegated to no span
        tools=(("coordinator", "Delegate work to coworker"), ("researcher", "search_docs")),
        callers=frozenset({("coordinator", "researcher")}),
        variables={"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"},
    ),
    "smolagents": Framework(
        "smolagents", "managed.py", "Within 30 days.", {("coordinator", LEAD): 2, ("researcher", WORKER): 2},
        agents=frozenset({"coordinator", "researcher"}),
        tools=(("coordinator", "final_answer"), ("researcher", "final_answer"), ("researcher", "search_docs")),
        callers=frozenset({("coordinator", "researcher")}),
    ),
}  # fmt: skip
