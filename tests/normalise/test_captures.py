"""Runs of real frameworks: golden trees, and facts read from the programs that made the captures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.normalise.captured import NAMES, documents, dump, resolved
from tracer.model import Span
from tracer.normalise import summarise

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "TRACEHOUND_UPDATE_GOLDEN"


class Facts(NamedTuple):
    """What the program did, as its source and the scripted model say."""

    agents: str
    llm_calls: int
    tools: int
    """tool calls, handoffs not counted"""
    failed_tools: int
    passes: str
    """who passed work to whom, in order: `a>b` handoff, `a:b` delegation"""
    outcome: str = "completed"


CALLS = ("LLM", "EMBEDDING", "chat", "generate_content", "embeddings", "doGenerate", "doStream", "doEmbed")
INPUTS = ("llm.token_count.prompt", "gen_ai.usage.input_tokens", "ai.usage.tokens")
TRIAGE = "triage>researcher researcher>writer"
REFUNDS = "triage>refunds"
SUPERVISED = "supervisor>researcher supervisor>analyst supervisor>writer"
TURNS = "researcher>analyst analyst>writer"
ASKED = "coordinator:researcher"

FACTS: dict[str, Facts] = {
    "openai-agents-openinference-ordinary": Facts("researcher triage writer", 4, 2, 0, TRIAGE),
    "openai-agents-openinference-streaming": Facts("researcher triage writer", 4, 2, 0, TRIAGE),
    "openai-agents-openinference+openai-ordinary": Facts("researcher triage writer", 4, 2, 0, TRIAGE),
    "openai-agents-openinference-toolerror": Facts("refunds triage", 4, 2, 2, REFUNDS),
    "openai-agents-openinference-loop": Facts("researcher triage", 8, 7, 0, "triage>researcher", "stopped_by_guard"),
    "openai-agents-openinference-guardrail": Facts("triage", 0, 0, 0, "", "stopped_by_guard"),
    "openai-agents-genai+openai-ordinary": Facts("researcher triage writer", 4, 2, 0, TRIAGE),
    "openai-agents-genai+openai-toolerror": Facts("refunds triage", 4, 2, 2, REFUNDS),
    "openai-agents-genai-ordinary": Facts("researcher triage writer", 0, 2, 0, TRIAGE),
    "openai-agents-genai-toolerror": Facts("refunds triage", 0, 2, 2, REFUNDS),
    "openai-agents-openllmetry-ordinary": Facts("researcher triage writer", 4, 2, 0, TRIAGE),
    "openai-agents-openllmetry-toolerror": Facts("refunds triage", 4, 2, 2, REFUNDS),
    "openai-agents-openllmetry-maxturns": Facts(
        "french german planner", 4, 4, 0, "planner:french planner:german", "stopped_by_guard"
    ),
    "langgraph-openinference-ordinary": Facts("analyst researcher supervisor writer", 9, 2, 0, SUPERVISED),
    "langgraph-genai-ordinary": Facts("analyst researcher supervisor writer", 9, 2, 0, SUPERVISED),
    "langgraph-langsmith-ordinary": Facts("analyst researcher supervisor writer", 9, 2, 0, SUPERVISED),
    "langgraph-openllmetry-ordinary": Facts("analyst researcher supervisor writer", 9, 2, 0, SUPERVISED),
    "langgraph-openinference-state": Facts("legal style", 2, 0, 0, ""),
    "langgraph-langsmith-state": Facts("legal style", 2, 0, 0, ""),
    "langgraph-openllmetry-state": Facts("legal style", 2, 0, 0, ""),
    "langgraph-openinference-toolerror": Facts("analyst supervisor", 4, 1, 1, "supervisor>analyst"),
    "langgraph-openinference-loop": Facts(
        "researcher supervisor", 21, 7, 0, " ".join(["supervisor>researcher"] * 7), "stopped_by_guard"
    ),
    "langgraph-openinference-swarm": Facts("alice bob", 3, 0, 0, "alice>bob bob>alice"),
    "langgraph-langsmith-interrupt": Facts("draft send", 2, 0, 0, "draft>send"),
    "langgraph-openinference-interrupt": Facts("writer", 1, 0, 0, ""),
    "autogen-openinference-roundrobin": Facts("analyst researcher writer", 4, 2, 0, TURNS),
    "autogen-openinference-toolerror": Facts("analyst researcher writer", 4, 2, 1, TURNS),
    "autogen-openinference-selector": Facts("SelectorGroupChatManager analyst researcher writer", 7, 2, 0, TURNS),
    "autogen-native-roundrobin": Facts("analyst researcher writer", 0, 2, 0, TURNS),
    "autogen-native-selector": Facts("analyst researcher writer", 0, 2, 0, TURNS),
    "autogen-native-swarm": Facts("researcher writer", 0, 1, 0, "researcher>writer"),
    "autogen-openinference-nested": Facts("coder devs tester", 3, 0, 0, "coder>tester"),
    "autogen-openinference-swarm": Facts("researcher writer", 3, 1, 0, "researcher>writer"),
    "autogen-openinference+openai-swarm": Facts("researcher writer", 3, 1, 0, "researcher>writer"),
    "autogen-openinference-loop": Facts(
        "analyst researcher", 13, 0, 0, " ".join(["researcher>analyst analyst>researcher"] * 6), "stopped_by_guard"
    ),
    "pydantic-ai-native-ordinary": Facts("coordinator researcher", 5, 3, 0, ASKED),
    "pydantic-ai-native-v2-ordinary": Facts("coordinator researcher", 5, 3, 0, ASKED),
    "pydantic-ai-native-toolerror": Facts("coordinator researcher", 5, 4, 2, ASKED, "failed"),
    "pydantic-ai-native-loop": Facts("coordinator researcher", 12, 8, 0, " ".join([ASKED] * 4), "stopped_by_guard"),
    "crewai-openinference+openai-ordinary": Facts("researcher writer", 4, 2, 0, "writer:researcher"),
    "crewai-openllmetry+openai-ordinary": Facts("researcher writer", 4, 0, 0, ""),
    "dspy-openinference-ordinary": Facts("", 3, 2, 0, ""),
    "llamaindex-openinference-ordinary": Facts("researcher writer", 3, 1, 0, "researcher>writer"),
    "llamaindex-openinference-toolerror": Facts("researcher writer", 3, 1, 1, "researcher>writer"),
    "smolagents-openinference-ordinary": Facts("manager researcher", 4, 3, 0, ""),
    "smolagents-openinference-maxsteps": Facts("manager", 4, 3, 0, "", "stopped_by_guard"),
    "strands-native-ordinary": Facts("coordinator researcher", 4, 2, 0, ASKED),
    "agent-framework-native-ordinary": Facts("coordinator researcher", 4, 2, 0, ASKED),
    # its instrumentor writes both calls of the researcher on one span: the first is lost before it is sent
    "google-adk-openinference-ordinary": Facts("coordinator researcher", 2, 1, 0, "coordinator>researcher"),
    "google-adk-openinference-toolerror": Facts("coordinator researcher", 2, 1, 1, "coordinator>researcher", "failed"),
    "google-adk-native-ordinary": Facts("coordinator researcher", 3, 1, 0, "coordinator>researcher"),
    "openai-genai-ordinary": Facts("", 4, 0, 0, ""),
    "openai-agents-logfire+openai-toolerror": Facts("researcher triage writer", 5, 2, 1, TRIAGE),
    "vercel-ai-native-toolerror": Facts("coordinator researcher writer", 7, 4, 1, ASKED),
    "vercel-ai-genai-toolerror": Facts("coordinator researcher writer", 7, 4, 1, ASKED),
    "openai-genai-legacy-ordinary": Facts("", 4, 0, 0, ""),
    "openai-openinference-ordinary": Facts("", 4, 0, 0, ""),
    "openai-openllmetry-ordinary": Facts("", 4, 0, 0, ""),
    "openai-openinference-error429": Facts("", 3, 0, 0, ""),
    "haystack-openinference+openai-ordinary": Facts("Agent", 2, 0, 0, ""),
    "haystack-openinference+openai-toolerror": Facts("Agent", 2, 0, 0, ""),
    "ag2-native-ordinary": Facts("coordinator researcher", 5, 4, 0, ASKED),
    "ag2-native-toolerror": Facts("coordinator researcher", 5, 4, 1, ASKED),
    "ag2-native-swarm": Facts("chat_manager refunds triage", 3, 2, 0, "triage>refunds"),
    "ag2-native-groupchat": Facts("chat_manager researcher writer", 4, 0, 0, "researcher>writer"),
    "ag2-native-nested": Facts("critic researcher writer", 2, 0, 0, ""),
    "ag2-openinference+openai-swarm": Facts("_User chat_manager refunds triage", 3, 2, 0, "triage>refunds"),
    "ag2-openinference+openai-groupchat": Facts("chat_manager person researcher writer", 4, 0, 0, "researcher>writer"),
    "ag2-openinference+openai-nested": Facts("critic person researcher writer", 2, 0, 0, ""),
    "langgraph-openinference+openai-retrieval": Facts("clerk", 2, 2, 0, ""),
    "langgraph-genai+openai-retrieval": Facts("", 2, 2, 0, ""),
    "langgraph-openllmetry+openai-retrieval": Facts("clerk", 2, 2, 0, ""),
}


def test_every_capture_has_facts() -> None:
    """No capture goes unchecked."""
    assert sorted(FACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_golden_tree(name: str) -> None:
    """The normalised tree of a capture is the one that was checked against its program."""
    path = GOLDEN / f"{name}.txt"
    found = dump(resolved(name))
    if os.environ.get(UPDATE):
        path.write_text(found)

    assert path.read_text() == found, f"set {UPDATE}=1 to accept, then read the difference"


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_program(name: str) -> None:
    """Agents, calls, tools, errors and who passed work to whom are what the program did."""
    rows = resolved(name)
    counted = [row for row in rows if row.duplicate_of is None]
    tools = [row for row in counted if row.kind == "tool"]
    summary = summarise(rows)

    found = Facts(
        agents=" ".join(sorted({row.agent for row in counted if row.agent and row.kind in ("agent", "llm", "tool")})),
        llm_calls=summary.llm_calls,
        tools=len(tools),
        failed_tools=sum(row.status == "error" for row in tools),
        passes=" ".join(_passes(counted)),
        outcome=summary.outcome,
    )

    assert FACTS[name] == found


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_counted_once(name: str) -> None:
    """The run's tokens are those of the outermost LLM and embedding spans that have any, counted here without the normaliser."""
    summary = summarise(resolved(name))

    assert _oracle(name) == (summary.input_tokens, summary.output_tokens)


@pytest.mark.parametrize("name", NAMES)
def test_one_run_with_one_workflow(name: str) -> None:
    """A capture is one run, also where the framework splits it over several traces."""
    rows = resolved(name)

    assert len({row.run_id for row in rows}) == 1
    assert len({row.workflow for row in rows}) == 1
    assert all(
        row.input_tokens is None and row.cost_usd is None for row in rows if row.kind not in ("llm", "embedding")
    )


def test_history_is_stored_once() -> None:
    """A re-sent history gives the ids it had before, so a loop of n turns stores O(n) messages."""
    rows = [row for row in resolved("openai-agents-openinference-loop") if row.kind == "llm"]
    sent = [ref for row in rows for ref in row.input_refs or []]

    assert len(sent) > 90
    assert len(set(sent)) < len(sent) / 3
    for earlier, later in pairwise(rows[1:]):
        assert later.input_refs is not None
        assert later.input_refs[: len(earlier.input_refs or [])] == earlier.input_refs


def _passes(rows: list[Span]) -> Iterator[str]:
    for row in rows:
        if row.kind in ("handoff", "agent") and row.target_agent:
            yield f"{row.agent}>{row.target_agent}"
        elif row.kind == "tool" and row.target_agent:
            yield f"{row.agent}:{row.target_agent}"


def _counted_twice(attributes: dict[str, Any]) -> int:
    """The reasoning of models behind LiteLLM, which Google ADK adds to the output that it is part of."""
    own = "gcp.vertex.agent.invocation_id" in attributes and "llm.token_count.completion" not in attributes
    return int(attributes.get("gen_ai.usage.reasoning.output_tokens") or 0) if own else 0


def _oracle(name: str) -> tuple[int, int]:
    spans: dict[str, tuple[str | None, bool, int, int]] = {}
    for document in documents(name):
        for span in _spans(document):
            attributes: dict[str, Any] = {a["key"]: next(iter(a["value"].values()), None) for a in span["attributes"]}
            kind = attributes.get("openinference.span.kind") or attributes.get("gen_ai.operation.name")
            kind = str(kind or attributes.get("ai.operationId")).rpartition(".")[2]
            spans[span["spanId"]] = (
                span.get("parentSpanId"),
                kind in CALLS,
                int(next((attributes[name] for name in INPUTS if attributes.get(name)), 0)),
                int(attributes.get("llm.token_count.completion") or attributes.get("gen_ai.usage.output_tokens") or 0)
                - _counted_twice(attributes),
            )
    if any(is_call and parent for parent, is_call, *_ in spans.values()):
        # LangChain's callbacks leave the client's spans of the same calls without a parent; of embeddings they tell nothing.
        spans = {key: span for key, span in spans.items() if span[0] or not span[1] or not span[3]}
    total_in = total_out = 0
    for parent, is_call, given, got in spans.values():
        while parent in spans and not (spans[parent][1] and any(spans[parent][2:])):
            parent = spans[parent][0]
        if is_call and parent not in spans:
            total_in, total_out = total_in + given, total_out + got
    return total_in, total_out


def _spans(document: Any) -> Iterator[Any]:
    for group in document["resourceSpans"]:
        for scoped in group["scopeSpans"]:
            for span in scoped["spans"]:
                yield {"attributes": [], **span}
