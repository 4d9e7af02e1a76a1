"""How each framework shows that work goes from one agent to another, and what is no handoff."""

from __future__ import annotations

from typing import Any

import pytest

from tests.normalise.captured import batch, resolved
from tests.normalise.drawn import genai, oi, raw, rows
from tracer.model import RawSpan
from tracer.normalise import resolve
from tracer.normalise.tree import copied

HANDED: dict[str, tuple[list[RawSpan], str, tuple[str, str | None, str | None]]] = {
    "openai agents, openinference": (
        [raw("handoff to writer", 1, 2, "a", a=oi("TOOL", input__value="researcher", output__value="writer"))],
        "handoff to writer",
        ("handoff", "researcher", "writer"),
    ),
    "google adk": (
        [
            raw(
                "t",
                1,
                2,
                "a",
                a=genai(
                    "execute_tool", tool__name="transfer_to_agent", tool__call__arguments='{"agent_name": "writer"}'
                ),
            ),
            raw("b", 3, 4, a=genai("invoke_agent", agent__name="writer")),
        ],
        "t",
        ("handoff", "researcher", "writer"),
    ),
    "llamaindex": (
        [
            raw(
                "t",
                1,
                2,
                "a",
                a=oi(
                    "TOOL",
                    tool__name="handoff",
                    input__value='{"kwargs": {"to_agent": "writer", "reason": "draft it"}}',
                ),
            )
        ],
        "t",
        ("handoff", "researcher", "writer"),
    ),
    "transfer tool of a known agent": (
        [
            raw("t", 1, 2, "a", a=genai("execute_tool", tool__name="transfer_to_refund_agent")),
            raw("b", 3, 4, a=genai("invoke_agent", agent__name="Refund Agent")),
        ],
        "t",
        ("handoff", "researcher", "Refund Agent"),
    ),
    "transfer tool of a bank": (
        [raw("t", 1, 2, "a", a=genai("execute_tool", tool__name="transfer_to_savings"))],
        "t",
        ("tool", "researcher", None),
    ),
    "crewai delegation": (
        [
            raw(
                "t",
                1,
                2,
                "a",
                a=oi(
                    "TOOL", tool__name="Delegate work to coworker", input__value='{"coworker": "writer", "task": "x"}'
                ),
            )
        ],
        "t",
        ("tool", "researcher", "writer"),
    ),
    "agent inside a tool (Strands, Agent Framework, Pydantic AI)": (
        [
            raw("t", 1, 4, "a", a=genai("execute_tool", tool__name="ask")),
            raw("b", 2, 3, "t", a=genai("invoke_agent", agent__name="writer")),
        ],
        "t",
        ("tool", "researcher", "writer"),
    ),
}


@pytest.mark.parametrize("case", HANDED)
def test_passing_work(case: str) -> None:
    """How each framework shows that work goes to another agent."""
    spans, name, expected = HANDED[case]
    found = rows(raw("a", 0, 5, a=genai("invoke_agent", agent__name="researcher")), *spans)[name]

    assert expected == (found.kind, found.agent, found.target_agent)


def test_smolagents_managed_agent() -> None:
    """A managed agent is an AGENT span under a step of its manager; tool names come from tool.name."""
    found = rows(
        raw("CodeAgent.run", 0, 9, a=oi("AGENT")),
        raw("Step 1", 1, 8, "CodeAgent.run", a=oi("CHAIN")),
        raw("researcher.run", 2, 7, "Step 1", a=oi("AGENT")),
        raw("SimpleTool", 3, 4, "researcher.run", a=oi("TOOL", tool__name="search")),
    )

    assert (found["CodeAgent.run"].agent, found["researcher.run"].agent) == ("CodeAgent", "researcher")
    assert found["researcher.run"].reason == "called by CodeAgent"
    assert (found["SimpleTool"].tool_name, found["SimpleTool"].agent) == ("search", "researcher")


def test_single_graph_is_one_agent() -> None:
    """A LangGraph of generic nodes (`agent`, `tools`) is one agent with the name of the graph, invoked once."""

    def node(name: str, number: int) -> str:
        return f'{{"langgraph_checkpoint_ns": "{name}:0000000{number}-0000-0000-0000-000000000000"}}'

    found = rows(
        raw("my_graph", 0, 9, a=oi("CHAIN")),
        raw("agent 1", 1, 2, "my_graph", a=oi("AGENT", metadata=node("agent", 1))),
        raw("chat 1", 1, 2, "agent 1", a=oi("LLM", metadata=node("agent", 1), llm__model_name="m")),
        raw("tools", 3, 4, "my_graph", a=oi("CHAIN", metadata=node("tools", 2))),
        raw("search", 3, 4, "tools", a=oi("TOOL", metadata=node("tools", 2))),
        raw("agent 2", 5, 6, "my_graph", a=oi("AGENT", metadata=node("agent", 3))),
        raw("chat 2", 5, 6, "agent 2", a=oi("LLM", metadata=node("agent", 3), llm__model_name="m")),
    )

    assert [row.name for row in found.values() if row.kind == "agent"] == ["my_graph"]
    assert {"my_graph"} == {found[name].agent for name in ("chat 1", "search", "chat 2")}


def test_parallel_agents_do_not_hand_over_to_each_other() -> None:
    """Agents that work at the same time are a fan-out, not a chain: they hand over to whoever waited for them all."""
    found = rows(
        raw("flow", 0, 9, a=genai("invoke_workflow")),
        raw("one", 1, 5, "flow", a=genai("invoke_agent", agent__name="one")),
        raw("two", 2, 6, "flow", a=genai("invoke_agent", agent__name="two")),
        raw("three", 7, 8, "flow", a=genai("invoke_agent", agent__name="three")),
    )

    assert [found[name].target_agent for name in ("one", "two", "three")] == ["three", "three", None]


def test_recorded_runs_get_no_derived_handoffs() -> None:
    """Our own recorder writes every handoff; two agents after each other are not one more."""

    def own(name: str) -> dict[str, Any]:
        return {"tracehound.kind": "agent", "tracehound.agent": name}

    found = rows(
        raw("flow", 0, 9, a={"tracehound.kind": "workflow", "tracehound.workflow": "pipeline"}),
        raw("one", 1, 2, "flow", a=own("one")),
        raw("two", 3, 4, "flow", a=own("two")),
        raw("two again", 3, 4, "two", a=own("two")),
    )

    assert {None} == {row.target_agent for row in found.values()}
    assert found["two again"].kind == "agent"
    assert {"pipeline"} == {row.workflow for row in found.values()}


def test_resetting_a_team_is_no_run() -> None:
    """AutoGen's messages between two runs of a process stand in traces of their own; they belong to the run before."""
    found = batch("autogen-native-roundrobin")
    rows = resolved("autogen-native-roundrobin")
    told = next(row for row in found.spans if row.convention == "autogen")
    later = max(row.end_ns or row.start_ns for row in rows) + 10**9
    told = copied(told)
    told.trace_id = told.run_id = "ab" * 16
    told.parent_span_id, told.start_ns, told.end_ns = None, later, later + 1000

    together = resolve([*found.spans, told], found.events, found.links)

    assert {row.run_id for row in together} == {rows[0].run_id}
    assert len({row.run_id for row in resolve([told])}) == 1


ANSWER = '[{"role":"assistant","parts":[{"type":"tool_call","id":"1","name":"%s","arguments":%s}]}]'
SPOKEN = '[{"role":"assistant","parts":[{"type":"text","content":"Done."}]}]'
OFFERED = '[{"name":"escalate","description":"Handoff to the b agent to handle the request. ","type":"function"}]'
AGENTS = "opentelemetry.instrumentation.genai.openai_agents"


def answered(agent: str, start: float, said: str, **more: Any) -> list[RawSpan]:
    """An agent of OpenAI Agents under the official instrumentor, with its one call."""
    call = genai("chat", request__model="m", output__messages=said, **more)
    return [
        raw(f"invoke_agent {agent}", start, start + 2, "run", scope=AGENTS, a=genai("invoke_agent", agent__name=agent)),
        raw(f"chat {agent}", start, start + 1, f"invoke_agent {agent}", a=call),
    ]


@pytest.mark.parametrize(
    ("said", "why", "target"),
    [
        (ANSWER % ("transfer_to_b", '{"reason":"late","priority":2}'), "takes over from a: late", "b"),
        (ANSWER % ("transfer_to_b", '{"order_id":"A-17","priority":2}'), "takes over from a: order_id: A-17, priority: 2", "b"),
        (ANSWER % ("transfer_to_b", "{}"), "takes over from a", "b"),
        (ANSWER % ("escalate", '{"reason":"late"}'), "takes over from a: late", "b"),
        (ANSWER % ("search", '{"reason":"late"}'), None, None),
        (ANSWER % ("transfer_to_c", '{"reason":"late"}'), None, None),
        (SPOKEN, None, None),
    ],
)  # fmt: skip
def test_what_the_model_says_to_a_handoff_tool_is_why_the_next_agent_runs(
    said: str, why: str | None, target: str | None
) -> None:
    """The arguments stand in the answer only. Without such a call two runs of OpenAI Agents just follow each other."""
    found = rows(
        raw("run", 0, 9, a=genai("invoke_workflow", workflow__name="desk"), scope=AGENTS),
        *answered("a", 1, said, tool__definitions=OFFERED),
        *answered("b", 4, SPOKEN),
    )
    assert (found["invoke_agent b"].reason, found["invoke_agent a"].target_agent) == (why, target)


def test_the_span_of_a_handoff_gets_the_reason_that_the_model_gave() -> None:
    """OpenInference and OpenLLMetry write a span for it, without arguments."""
    found = rows(
        raw("run", 0, 9, a=genai("invoke_workflow", workflow__name="desk"), scope=AGENTS),
        *answered("a", 1, ANSWER % ("transfer_to_b", '{"reason":"late"}')),
        raw("handoff to b", 2.5, 2.6, "invoke_agent a", a=oi("TOOL", input__value="a", output__value="b")),
        *answered("b", 4, SPOKEN),
    )
    assert found["handoff to b"].reason == "late"
    assert found["invoke_agent b"].reason == "handoff from a: late"


@pytest.mark.parametrize(("outer", "reason"), [({}, None), (oi("CHAIN"), "takes over from a")])
def test_who_follows_in_a_span_of_the_program_has_not_taken_over(outer: dict[str, Any], reason: str | None) -> None:
    """In one of a framework it has."""
    found = rows(
        raw("evening job", 0, 9, a=outer),
        raw("a.run", 1, 2, "evening job", a=oi("AGENT")),
        raw("b.run", 3, 4, "evening job", a=oi("AGENT")),
    )
    assert (found["b.run"].reason, found["a.run"].target_agent) == (reason, "b" if reason else None)


def test_all_that_are_started_at_once_take_over_from_who_was_before() -> None:
    """A graph sends work to several nodes; the last of them to end is followed by the next."""
    found = rows(
        raw("graph", 0, 9, a=oi("CHAIN")),
        raw("team.run", 1, 2, "graph", a=oi("AGENT")),
        *(raw("worker.run", 3, 3 + n, "graph", a=oi("AGENT"), id=f"w{n}") for n in (1, 2)),
        raw("judge.run", 6, 7, "graph", a=oi("AGENT")),
    )
    assert found["judge.run"].reason == "takes over from worker"
    assert found["team.run"].target_agent == "worker"


def test_agents_of_a_workflow_of_agent_framework_take_turns() -> None:
    """Each works in an executor of its own; that the workflow was built is no run."""
    found = rows(
        raw("workflow.build", 0, 0.1, a={"workflow.definition": "{}"}, trace="0" * 31 + "b"),
        raw("workflow.run", 1, 9, a={"workflow.id": "1"}),
        raw("executor.process writer", 2, 4, "workflow.run", a={"executor.id": "writer"}),
        raw("invoke_agent writer", 2, 3, "executor.process writer", a=genai("invoke_agent", agent__name="writer")),
        raw("executor.process critic", 4, 6, "workflow.run", a={"executor.id": "critic"}),
        raw("invoke_agent critic", 4, 5, "executor.process critic", a=genai("invoke_agent", agent__name="critic")),
    )
    assert (found["invoke_agent writer"].target_agent, found["invoke_agent critic"].reason) == (
        "critic",
        "takes over from writer",
    )
    assert {row.run_id for row in found.values()} == {found["workflow.run"].trace_id}


def test_magentic_plans_before_it_chooses() -> None:
    """Its orchestrator calls its model for facts, for a plan and for each choice; the last before a turn is the choice."""
    team = "MagenticOneOrchestrator_00000000-0000-0000-0000-000000000001"
    messaging = {"messaging.operation": "process", "recipient_agent_type": team}
    found = rows(
        raw("Team.run", 0, 9, a=oi("CHAIN")),
        raw(f"autogen process {team}", 0.5, 8, "Team.run", a=messaging),
        raw("facts", 1, 2, f"autogen process {team}", a=oi("LLM")),
        raw("ledger", 2, 3, f"autogen process {team}", a=oi("LLM")),
        raw("coder.run", 4, 5, f"autogen process {team}", a=oi("AGENT")),
    )
    assert [(found[name].purpose, found[name].choice) for name in ("facts", "ledger")] == [
        ("plan", None),
        ("route", "coder"),
    ]


@pytest.mark.parametrize(("thinks", "target"), [(False, "b"), (True, None)])
def test_an_agent_that_only_leads_others_has_them_take_turns(thinks: bool, target: str | None) -> None:
    """ADK's SequentialAgent calls no model; whom a thinking agent calls one after the other has taken nothing over."""
    found = rows(
        raw("invocation", 0, 9, a=genai("invoke_workflow", workflow__name="app")),
        raw("invoke_agent lead", 1, 8, "invocation", a=genai("invoke_agent", agent__name="lead")),
        raw("invoke_agent a", 2, 3, "invoke_agent lead", a=genai("invoke_agent", agent__name="a")),
        raw("invoke_agent b", 4, 5, "invoke_agent lead", a=genai("invoke_agent", agent__name="b")),
        *([raw("chat", 6, 7, "invoke_agent lead", a=genai("chat", request__model="m"))] if thinks else []),
    )
    assert (found["invoke_agent a"].target_agent, found["invoke_agent b"].reason) == (target, "called by lead")
