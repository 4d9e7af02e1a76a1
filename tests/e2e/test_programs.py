"""Unmodified programs of real frameworks under `tracehound run`, against a scripted model on loopback."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.capture_auto.running import run
from tests.e2e.environments import Environments
from tests.e2e.server import CACHED, INPUT, OUTPUT, REASONING, Model, Reply, Request, serving
from tracer.store import reads
from tracer.store.database import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # an environment may be installed meanwhile
PROGRAMS = Path(__file__).parent / "programs"

PRICE = Decimal("0.0006")
"""USD of one call of gpt-4.1-mini, whose prices per million tokens are 0.40 (input), 0.10 (cached input) and 1.60 (output):
600 x 0.40 + 400 x 0.10 + 200 x 1.60 = 240 + 40 + 320 = 600 millionths. Reasoning is part of the output."""


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("environments"))


def script(request: Request) -> Reply:
    """What the model says to each agent of the programs."""
    system, called = request.system, request.called
    if "triage" in system:
        return Reply(tools=(("transfer_to_refunds", {}),))
    if "refunds" in system:
        return Reply("12 days ago.") if "get_order" in called else Reply(tools=(("get_order", {"order_id": "A-17"}),))
    if "supervisor" in system:
        missing = next((name for name in ("researcher", "writer") if name not in request.names), None)
        return Reply(tools=((f"transfer_to_{missing}", {}),)) if missing else Reply("Within 30 days.")
    if "researcher" in system:
        found = "search_docs" in called
        return Reply("30 days.") if found else Reply(tools=(("search_docs", {"query": "refunds"}),))
    if "coordinator" in system:
        asked = "ask_researcher" in called
        return Reply("Within 30 days.") if asked else Reply(tools=(("ask_researcher", {"question": "refunds?"}),))
    return Reply("Hello to you too.")


@dataclass
class Wanted:
    environment: str
    program: str
    says: str
    calls: dict[str | None, int]
    """LLM calls per agent; None: no agent is known"""
    arguments: tuple[str, ...] = ()
    agents: set[str] = field(default_factory=set[str])
    tools: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """agent, tool, status"""
    handoffs: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    streamed: int = 0
    """calls with a time to the first token"""
    hint: str = ""
    """the one line about what is missing"""


DESK = Wanted(
    "openai-agents", "support_desk.py", "12 days ago.", {"triage": 1, "refunds": 2}, agents={"triage", "refunds"},
    tools=[("refunds", "get_order", "ok")], handoffs=[("triage", "refunds")],
)  # fmt: skip
WANTED = {
    "openai-agents": DESK,
    "openai-agents, streamed": Wanted(**{**vars(DESK), "arguments": ("streaming",)}),
    "openai-agents, a tool that fails": Wanted(
        **{**vars(DESK), "arguments": ("toolerror",), "tools": [("refunds", "get_order", "error")]}
    ),
    "openai-agents without instrumentor": Wanted(
        "openai-agents alone", "support_desk.py", "12 days ago.", {None: 3},
        hint="install openinference-instrumentation-openai-agents",
    ),
    "langgraph supervisor": Wanted(
        "langgraph", "supervisor.py", "Within 30 days.", {"supervisor": 3, "researcher": 2, "writer": 1},
        agents={"supervisor", "researcher", "writer"}, tools=[("researcher", "search_docs", "ok")],
        handoffs=[("supervisor", "researcher"), ("supervisor", "writer")],
    ),
    "pydantic-ai": Wanted(
        "pydantic-ai", "delegation.py", "Within 30 days.", {"coordinator": 2, "researcher": 2},
        agents={"coordinator", "researcher"},
        tools=[("coordinator", "ask_researcher", "ok"), ("researcher", "search_docs", "ok")],
    ),
    "client without framework": Wanted(
        "openai", "plain_client.py", "Hello to you too.", {None: 8}, ("spawn", "fork", "forkserver"), streamed=2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WANTED)
def test_an_unmodified_program_is_one_run_with_everything_in_it(
    case: str, environments: Environments, tmp_path: Path
) -> None:
    """Agents, LLM calls, tokens, money, tools and handoffs, each once; the program says what it says without us."""
    wanted = WANTED[case]
    python = environments.python(wanted.environment)
    with serving(script) as model:
        done = run(tmp_path, "--", str(python), str(PROGRAMS / wanted.program), *wanted.arguments, **model.variables)
    assert done.code == 0, done.err
    assert done.out.strip() == wanted.says
    assert "1 run," in done.last_line
    said = [line for line in done.err.splitlines() if line.startswith("tracehound:")]
    assert len(said) == (2 if wanted.hint else 1), done.err
    assert wanted.hint in said[0]
    found = reads.load(Store(done.store))
    spans = found.spans.filter(pl.col("duplicate_of").is_null())
    _check_calls(spans.filter(pl.col("kind") == "llm"), wanted, model)
    assert found.traces["outcome"].to_list() == ["completed"]
    assert found.traces["cost_usd"].to_list() == [PRICE * sum(wanted.calls.values())]
    assert set(spans.filter(pl.col("kind") == "agent")["agent"]) == wanted.agents
    tools = spans.filter(pl.col("kind") == "tool").select("agent", "tool_name", "status").rows()
    assert sorted(tools) == sorted(wanted.tools)
    handoffs = spans.filter(pl.col("kind") == "handoff").sort("start_ns").select("agent", "target_agent").rows()
    assert handoffs == wanted.handoffs


def _check_calls(llm: pl.DataFrame, wanted: Wanted, model: Model) -> None:
    assert Counter(llm["agent"]) == wanted.calls
    assert llm.height == len(model.requests)
    assert set(llm["model"]) == {"gpt-4.1-mini"}
    assert llm["response_id"].drop_nulls().n_unique() in (0, llm.height)  # LangChain's instrumentor leaves it out
    tokens = llm.select("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens").unique().rows()
    assert tokens == [(INPUT, CACHED, OUTPUT, REASONING)]
    assert set(llm["cost_usd"]) == {PRICE}
    assert set(llm["status"]) == {"ok"}
    assert llm["ttft_ns"].count() >= wanted.streamed
    assert all("traceparent" in request.headers for request in model.requests)


@pytest.mark.parametrize("case", ["openai-agents", "langgraph supervisor", "pydantic-ai"])
def test_a_guard_stops_the_program(case: str, environments: Environments, tmp_path: Path) -> None:
    """After two calls no request reaches the model any more; the trip is told inside the run that it stopped."""
    wanted = WANTED[case]
    python = environments.python(wanted.environment)
    with serving(script) as model:
        words = ("--guard", "iterations=2", "--", str(python), str(PROGRAMS / wanted.program), *wanted.arguments)
        done = run(tmp_path, *words, **model.variables)
    assert done.code == 1, done.err
    assert len(model.requests) == 2
    assert "2 LLM calls made, 2 are allowed" in done.err
    assert "1 run," in done.last_line
    found = reads.load(Store(done.store))
    trips = found.spans.filter(pl.col("kind") == "guard_trip")
    assert trips.height >= 1
    assert trips["parent_span_id"].null_count() == 0
    assert found.traces["cost_usd"].to_list() == [2 * PRICE]
    assert found.traces["outcome"][0] in ("stopped_by_guard", "failed")
