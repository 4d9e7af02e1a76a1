"""What single frameworks write beside a convention: tools, delegation, handoffs, limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.normalise.captured import resolved
from tests.normalise.drawn import genai, oi, raw, read, tokens
from tracer.model import RawEvent
from tracer.normalise import normalise, resolve, summarise

FRAMEWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Strands call": (
        genai("chat", system="strands-agents", request__model="gpt-4o", server__time_to_first_token=80),
        {"kind": "llm", "ttft_ns": 80_000_000, "provider": None},
    ),
    "Strands tool": (
        genai("execute_tool", tool__name="search", tool__status="error"),
        {"kind": "tool", "status": "error", "tool_name": "search"},
    ),
    "Strands swarm": (
        genai("invoke_swarm", agent__name="swarm"),
        {"kind": "workflow", "agent": None},
    ),
    "AG2 question to a person": (
        genai("await_human_input", agent__name="helper") | {"ag2.span.type": "human_input"},
        {"kind": "wait", "reason": "human", "agent": "helper"},
    ),
    "AG2 accounting": (
        {"ag2.span.type": "usage", "gen_ai.response.model": "gpt-4o", "gen_ai.usage.input_tokens": 5},
        {"kind": "other", "input_tokens": None},
    ),
}


@pytest.mark.parametrize("case", FRAMEWORKS)
def test_framework_attributes(case: str) -> None:
    """What frameworks write beside the convention."""
    attributes, columns = FRAMEWORKS[case]
    row = resolve(normalise([raw("span", 0, 1, a=attributes)]).spans)[0]

    assert {name: getattr(row, name) for name in columns} == columns


def test_haystack() -> None:
    """An agent component: steps with a call and tools, whose error is an attribute."""
    rows, _ = read(
        raw("haystack.pipeline.run", 0, 9),
        raw("haystack.agent.run", 1, 8, "haystack.pipeline.run", a={"haystack.agent.max_steps": 5}),
        raw("haystack.agent.step.llm", 2, 3, "haystack.agent.run", a={"haystack.agent.step.llm.input": "{}"}),
        raw(
            "haystack.agent.step.tool",
            4,
            5,
            "haystack.agent.run",
            a={
                "haystack.tool.name": "search",
                "haystack.agent.step.tool.input": '{"q": 1}',
                "haystack.tool.error": True,
            },
        ),
    )

    assert [row.kind for row in rows.values()] == ["workflow", "agent", "llm", "tool"]
    assert (rows["haystack.agent.step.tool"].tool_name, rows["haystack.agent.step.tool"].status) == ("search", "error")


def test_agent_framework_workflow() -> None:
    """Microsoft Agent Framework: the workflow names the run, executors and messages are structure."""
    rows, _ = read(
        raw("workflow.run", 0, 9, a={"workflow.id": "1", "workflow.name": "refunds"}),
        raw("executor.process writer", 1, 8, "workflow.run", a={"executor.id": "writer"}),
        raw("invoke_agent writer", 2, 7, "executor.process writer", a=genai("invoke_agent", agent__name="writer")),
        raw("message.send", 7.5, 7.6, "executor.process writer", a={"message.type": "x"}),
    )

    assert [row.kind for row in rows.values()] == ["workflow", "other", "agent", "other"]
    assert {row.workflow for row in rows.values()} == {"refunds"}
    assert rows["invoke_agent writer"].agent == "writer"


def test_llama_index_handoff() -> None:
    """The handoff tool names its target and reason; the doubled LLM span counts once, tokens of the inner one."""
    rows, _ = read(
        raw("AgentWorkflow.run", 0, 9, a=oi("CHAIN")),
        raw("FunctionCallingLLM.achat", 1, 3, "AgentWorkflow.run", a=oi("LLM", llm__model_name="gpt-4o")),
        raw(
            "OpenAI.achat",
            1.1,
            2.9,
            "FunctionCallingLLM.achat",
            a=oi("LLM", llm__model_name="gpt-4o", llm__token_count__prompt=10, llm__token_count__completion=2),
        ),
        raw(
            "FunctionTool.acall",
            4,
            5,
            "AgentWorkflow.run",
            a=oi(
                "TOOL",
                tool__name="handoff",
                input__value='{"args": [], "kwargs": {"to_agent": "writer", "reason": "has facts"}}',
            ),
        ),
    )
    handoff = rows["FunctionTool.acall"]

    assert (handoff.kind, handoff.target_agent, handoff.reason) == ("handoff", "writer", "has facts")
    assert tokens(rows) == (10, 2)
    assert summarise(list(rows.values())).llm_calls == 1


def test_coworker() -> None:
    """CrewAI: what happens inside the asking is the coworker's work, under the name the coworker goes by elsewhere."""
    asked = oi("TOOL", tool__name="delegate_work_to_coworker")
    rows, _ = read(
        raw("crew.kickoff", 0, 20, a=oi("CHAIN")),
        raw("Senior Writer._execute_core", 0.5, 9, "crew.kickoff", a=oi("AGENT", graph__node__id="Senior Writer")),
        raw(
            "asking",
            1,
            8,
            "Senior Writer._execute_core",
            a=asked | {"input.value": '{"coworker": "senior researcher", "task": "find it"}'},
        ),
        raw("inside", 2, 3, "asking", a=oi("LLM", llm__token_count__prompt=5)),
        raw("Researcher.run", 10, 19, "crew.kickoff", a=oi("AGENT", graph__node__id="Senior Researcher")),
    )

    assert (rows["asking"].kind, rows["asking"].agent) == ("tool", "Senior Writer")
    assert (rows["asking"].target_agent, rows["asking"].reason) == ("Senior Researcher", "find it")
    assert (rows["inside"].agent, rows["inside"].agent_inferred) == ("Senior Researcher", True)


@pytest.mark.parametrize("failed", [False, True])
def test_transfer_without_arguments(failed: bool) -> None:
    """Google ADK without content: the next agent is the target; a transfer that failed passes nothing on."""
    rows, _ = read(
        raw("invoke_workflow w", 0, 9, a=genai("invoke_workflow")),
        raw("invoke_agent a", 1, 3, "invoke_workflow w", a=genai("invoke_agent", agent__name="a")),
        raw(
            "transfer",
            2,
            3,
            "invoke_agent a",
            a=genai("execute_tool", tool__name="transfer_to_agent"),
            status="error" if failed else "unset",
        ),
        raw("invoke_agent b", 4, 5, "invoke_workflow w", a=genai("invoke_agent", agent__name="b")),
    )

    assert (rows["transfer"].kind, rows["transfer"].target_agent) == (("tool", None) if failed else ("handoff", "b"))
    assert rows["invoke_agent b"].reason == ("takes over from a" if failed else "handoff from a")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"reason": "needs a writer"}', "needs a writer"),
        ('{"task_description": "write it", "state": {"messages": []}}', "write it"),
        ('{"summary": "all facts", "reason": "needs a writer"}', "needs a writer"),
        ('{"reason": "", "message": "now you"}', "now you"),
        ('{"priority": 3}', None),
    ],
)
def test_reason_of_a_handoff_is_why_the_next_agent_runs(arguments: str, why: str | None) -> None:
    """What the arguments of the handoff say stands on the agent that was invoked, marked as derived."""
    rows, _ = read(
        raw("invoke_agent a", 1, 3, a=genai("invoke_agent", agent__name="a")),
        raw(
            "transfer",
            2,
            3,
            "invoke_agent a",
            a=genai("execute_tool", tool__name="transfer_to_b", tool__call__arguments=arguments),
        ),
        raw("invoke_agent b", 4, 5, a=genai("invoke_agent", agent__name="b")),
    )

    assert rows["invoke_agent b"].reason == "handoff from a" + (f": {why}" if why else "")
    assert "reason" in (rows["invoke_agent b"].derived or [])


@pytest.mark.parametrize(("steps", "after", "stopped"), [(2, True, True), (2, False, False), (1, True, False)])
def test_smolagents_limit(steps: int, after: bool, stopped: bool) -> None:
    """Stopped by the limit only where all steps were taken and the model was asked once more after them."""
    spans = [raw("manager.run", 0, 9, a=oi("AGENT", smolagents__max_steps=2, agent__name="manager"))]
    spans += [raw(f"Step {n + 1}", n + 1, n + 2, "manager.run", a=oi("CHAIN")) for n in range(steps)]
    spans += [raw("last", 5, 6, "manager.run", a=oi("LLM"))] if after else []
    rows, _ = read(*spans)

    assert (summarise(list(rows.values())).outcome == "stopped_by_guard") is stopped


def test_strands_tool_events() -> None:
    """The call and the answer of a tool are events; equal arguments hash as elsewhere."""
    tool = raw("t", 0, 1, a=genai("execute_tool", tool__name="search", tool__status="success"))
    tool.events = [
        RawEvent(name="gen_ai.tool.message", time_ns=1, attributes={"role": "tool", "content": '{"q": 1}', "id": "c"}),
        RawEvent(name="gen_ai.choice", time_ns=2, attributes={"message": '[{"text": "12 hits"}]', "id": "c"}),
    ]
    found, batch = read(tool)
    other, _ = read(raw("t", 0, 1, a=genai("execute_tool", tool__name="search", tool__call__arguments={"q": 1})))

    assert found["t"].args_hash == other["t"].args_hash is not None
    assert [batch.contents[ref] for ref in found["t"].output_refs or []] == ['[{"text": "12 hits"}]']


def test_strands_handoff_arguments_are_an_event() -> None:
    """Also one that nobody took over any more says whom it meant, and why."""
    swarm = raw("invoke_swarm", 0, 9, a=genai("invoke_swarm"))
    agents = [
        raw(f"invoke_agent {name}", at, at + 2, "invoke_swarm", a=genai("invoke_agent", agent__name=name))
        for at, name in ((1, "intake"), (4, "mechanic"))
    ]
    given = genai("execute_tool", tool__name="handoff_to_agent", tool__status="success")
    passing = [
        raw(f"pass {to}", at, at + 1, f"invoke_agent {who}", a=given)
        for at, who, to in ((1, "intake", "mechanic"), (5, "mechanic", "intake"))
    ]
    for span, to in zip(passing, ("mechanic", "intake"), strict=True):
        told = f'{{"agent_name": "{to}", "message": "it squeaks", "context": {{"bike": "red"}}}}'
        span.events = [RawEvent(name="gen_ai.tool.message", time_ns=1, attributes={"role": "tool", "content": told})]
    rows, _ = read(swarm, *agents, *passing)

    ended = summarise(list(rows.values()))
    assert (ended.outcome, ended.outcome_reason) == ("stopped_by_guard", "ended before intake took over from mechanic")
    assert [(rows[s.name].target_agent, rows[s.name].reason) for s in passing] == [
        ("mechanic", "it squeaks"),
        ("intake", "it squeaks"),
    ]
    assert rows["invoke_agent mechanic"].reason == "handoff from intake: it squeaks"


def test_whoever_was_awaited_passes_its_work_on() -> None:
    """A graph that parts and joins, as Strands' and as CrewAI's asynchronous tasks: all that ran side by side, and nobody twice."""
    turns = (("plan", 1, 2), ("left", 3, 6), ("right", 3.1, 5), ("merge", 7, 8))
    rows, _ = read(
        raw("invoke_graph", 0, 9, a=genai("invoke_graph")),
        *(
            raw(name, start, end, "invoke_graph", a=genai("invoke_agent", agent__name=name))
            for name, start, end in turns
        ),
    )

    assert {name: rows[name].target_agent for name, _, _ in turns[1:]} == {
        "left": "merge",
        "right": "merge",
        "merge": None,
    }
    assert [rows[name].reason for name, _, _ in turns] == [
        None,
        "takes over from plan",
        "takes over from plan",
        "takes over from left and right",
    ]


@pytest.mark.parametrize(
    "name", ["Crew_50ea96ef-14dc-4fbe-8680-4492991ccdcb", "Flow_50ea96ef-14dc-4fbe-8680-4492991ccdcb"]
)
def test_crews_without_a_name_are_one_workflow(name: str) -> None:
    """Their ids differ from run to run."""
    rows, _ = read(
        raw(f"{name}.kickoff", 0, 9, a=oi("CHAIN")),
        raw("call", 1, 2, f"{name}.kickoff", a=oi("LLM")),
    )

    assert rows["call"].workflow == name.partition("_")[0]


def test_tasks_and_teams_of_one_team_follow_each_other() -> None:
    """CrewAI's tasks (OpenLLMetry) and Strands' swarm as a node of a graph lie between the agents and what leads them."""
    rows, _ = read(
        raw("invoke_graph", 0, 9, a=genai("invoke_graph")),
        raw("plan.task", 1, 3, "invoke_graph", a={"traceloop.span.kind": "task"}),
        raw("plan", 1, 3, "plan.task", a=genai("invoke_agent", agent__name="plan")),
        raw("invoke_swarm", 4, 8, "invoke_graph", a=genai("invoke_swarm")),
        raw("intake", 4, 8, "invoke_swarm", a=genai("invoke_agent", agent__name="intake")),
    )

    assert (rows["plan"].target_agent, rows["intake"].reason) == ("intake", "takes over from plan")


def test_a_run_inside_another_span_is_no_agent() -> None:
    """OpenAI Agents under OpenInference: the run as a whole is an AGENT span without a node, also below a request or a tool."""
    agents = "openinference.instrumentation.openai_agents"
    rows, _ = read(
        raw("POST /ask", 0, 9),
        raw("Agent workflow", 1, 8, "POST /ask", scope=agents, a=oi("AGENT")),
        raw("expert", 2, 7, "Agent workflow", scope=agents, a=oi("AGENT", graph__node__id="expert")),
        raw("response", 3, 4, "expert", scope=agents, a=oi("LLM", llm__model_name="gpt-4o")),
    )

    assert [(row.kind, row.agent) for row in rows.values()] == [
        ("workflow", None),
        ("workflow", None),
        ("agent", "expert"),
        ("llm", "expert"),
    ]


def test_an_agent_that_is_still_at_work_is_one() -> None:
    """Its node is said when it ends; until then there is its name, which a deadlock or an unanswered call is told of."""
    rows, _ = read(
        raw("closing", 0, None),
        raw("ledger", 1, None, "closing", scope="openinference.instrumentation.openai_agents", a=oi("AGENT")),
        raw("ask_payroll", 2, None, "ledger", scope="openinference.instrumentation.openai_agents", a=oi("TOOL")),
    )

    assert [(row.kind, row.agent) for row in rows.values()][1:] == [("agent", "ledger"), ("tool", "ledger")]


def test_ag2_tools_are_the_same_to_its_own_tracing_and_to_its_instrumentor() -> None:
    """Arguments and answers, which OpenInference puts into the whole call and into a message."""
    names = ("ag2-native-swarm", "ag2-openinference+openai-swarm")
    tools = [
        {r.tool_name: (r.agent, r.args_hash, r.result_hash) for r in resolved(n) if r.kind == "tool"} for n in names
    ]
    assert tools[0]["get_order"] == tools[1]["get_order"]
