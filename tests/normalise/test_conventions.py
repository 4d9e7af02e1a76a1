"""Conventions of which there is no capture, drawn from their documentation: spans, tokens counted once, texts in one shape."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.normalise.test_resolve import genai, oi, raw
from tracer.model import RawEvent, RawSpan, Span
from tracer.normalise import Batch, normalise, resolve, summarise
from tracer.normalise.otlp import decode_traces


def read(*spans: RawSpan) -> tuple[dict[str, Span], Batch]:
    """Resolved rows by name, and the batch with their texts."""
    batch = normalise(spans)
    return {row.name: row for row in resolve(batch.spans, batch.events, batch.links)}, batch


def texts(batch: Batch, refs: list[int] | None) -> list[Any]:
    return [json.loads(batch.contents[ref]) for ref in refs or []]


def tokens(rows: dict[str, Span]) -> tuple[int, int]:
    summary = summarise(list(rows.values()))
    return summary.input_tokens, summary.output_tokens


def ai(operation: str, **more: Any) -> dict[str, Any]:
    return {"ai.operationId": operation, **{f"ai.{k.replace('__', '.')}": v for k, v in more.items()}}


def langsmith(kind: str, **more: Any) -> dict[str, Any]:
    return {"langsmith.span.kind": kind, **{k.replace("__", "."): v for k, v in more.items()}}


def langfuse(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "langfuse.observation.type": kind,
        **{f"langfuse.observation.{k.replace('__', '.')}": v for k, v in more.items()},
    }


VERCEL_USAGE: dict[str, dict[str, Any]] = {
    "v4": {"usage__promptTokens": 100, "usage__completionTokens": 20},
    "v5": {
        "usage__inputTokens": 100,
        "usage__outputTokens": 20,
        "usage__cachedInputTokens": 60,
        "usage__reasoningTokens": 5,
    },
    "v6": {
        "usage__inputTokens": 100,
        "usage__outputTokens": 20,
        "usage__inputTokenDetails__cacheReadTokens": 60,
        "usage__outputTokenDetails__reasoningTokens": 5,
    },
}


@pytest.mark.parametrize("version", VERCEL_USAGE)
def test_vercel(version: str) -> None:
    """The outer span is the agent and repeats the sum; only do* spans count; a tool that calls another agent delegates."""
    usage = VERCEL_USAGE[version]
    call = {"gen_ai.system": "openai.chat", "gen_ai.request.model": "gpt-4o"} if version == "v6" else {}
    shared = {"telemetry__functionId": "support", "telemetry__metadata__sessionId": "chat-7"}
    history = [
        {"role": "user", "content": [{"type": "text", "text": "refund?"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "ask", "args": {"q": "refund"}}],
        },
        {
            "role": "tool",
            "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "ask", "result": "30 days"}],
        },
    ]
    rows, batch = read(
        raw("ai.generateText support", 0, 9, a=ai("ai.generateText", **shared, **usage)),
        raw(
            "ai.generateText.doGenerate support",
            1,
            2,
            "ai.generateText support",
            a=call
            | ai(
                "ai.generateText.doGenerate",
                **shared,
                **usage,
                model__id="gpt-4o",
                model__provider="openai.chat",
                prompt__messages=json.dumps(history[:1]),
                response__toolCalls='[{"toolCallId": "c1", "toolName": "ask", "args": {"q": "refund"}}]',
                response__finishReason="tool-calls",
                response__msToFirstChunk=250.5,
                settings__temperature=0.2,
            ),
        ),
        raw(
            "ai.toolCall support",
            2,
            5,
            "ai.generateText support",
            a=ai("ai.toolCall", **shared, toolCall__name="ask", toolCall__id="c1", toolCall__args='{"q": "refund"}'),
        ),
        raw(
            "ai.generateText lookup",
            3,
            4,
            "ai.toolCall support",
            a=ai("ai.generateText", telemetry__functionId="lookup"),
        ),
        raw(
            "ai.streamText.doStream support",
            6,
            7,
            "ai.generateText support",
            a=ai("ai.streamText.doStream", **shared, prompt__messages=json.dumps(history), response__text="30 days"),
        ),
    )
    first, tool, last = (
        rows[name]
        for name in ("ai.generateText.doGenerate support", "ai.toolCall support", "ai.streamText.doStream support")
    )

    assert {name: row.kind for name, row in rows.items() if row.kind != "llm"} == {
        "ai.generateText support": "agent",
        "ai.toolCall support": "tool",
        "ai.generateText lookup": "agent",
    }
    assert (tool.tool_name, tool.tool_call_id, tool.target_agent) == ("ask", "c1", "lookup")
    assert tokens(rows) == (100, 20)
    assert (first.cached_tokens, first.reasoning_tokens) == ((None, None) if version == "v4" else (60, 5))
    assert (first.model, first.finish_reason, first.ttft_ns, first.temperature) == (
        "gpt-4o",
        "tool-calls",
        250_500_000,
        0.2,
    )
    assert first.cost_usd is not None
    assert (first.session_id, first.agent) == ("chat-7", "support")
    asked = {"role": "assistant", "tool_calls": [{"id": "c1", "name": "ask", "arguments": {"q": "refund"}}]}
    assert texts(batch, last.input_refs) == [
        {"role": "user", "content": "refund?"},
        asked,
        {"role": "tool", "content": "30 days", "tool_call_id": "c1"},
    ]
    assert first.output_refs == (last.input_refs or [])[1:2]
    assert texts(batch, last.output_refs) == [{"role": "assistant", "content": "30 days"}]


def test_vercel_embedding_and_prompt() -> None:
    """Embeddings count their tokens; a prompt with a system text becomes two messages."""
    rows, batch = read(
        raw("ai.embed.doEmbed", 0, 1, a=ai("ai.embed.doEmbed", usage__tokens=7, model__id="text-embedding-3-small")),
        raw("ai.generateText", 2, 3, a=ai("ai.generateText", prompt='{"system": "Be kind.", "prompt": "hi"}')),
    )

    assert (rows["ai.embed.doEmbed"].kind, rows["ai.embed.doEmbed"].input_tokens) == ("embedding", 7)
    assert [message["role"] for message in texts(batch, rows["ai.generateText"].input_refs)] == ["system", "user"]


def test_langsmith() -> None:
    """Chain spans repeat the tokens of their call; the project is no session, the thread is; LangChain's texts are read."""
    usage = {"gen_ai__usage__input_tokens": 40, "gen_ai__usage__output_tokens": 6}
    human = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "HumanMessage"], "kwargs": {"content": "hi"}}
    answer = {"text": "yo", "message": {"lc": 1, "id": ["x", "AIMessage"], "kwargs": {"content": "yo", "type": "ai"}}}
    rows, batch = read(
        raw("graph", 0, 9, a=langsmith("chain", **usage, langsmith__trace__session_name="my-project")),
        raw(
            "writer",
            1,
            8,
            "graph",
            a=langsmith("chain", **usage, langsmith__metadata__langgraph_checkpoint_ns="writer:1"),
        ),
        raw(
            "ChatOpenAI",
            2,
            3,
            "writer",
            a=langsmith(
                "llm",
                **usage,
                gen_ai__system="langchain",
                gen_ai__request__model="gpt-4o",
                gen_ai__usage__input_token_details='{"cache_read": 30}',
                gen_ai__usage__output_token_details='{"reasoning": 2}',
                langsmith__metadata__ls_provider="openai",
                langsmith__metadata__ls_temperature=0.3,
                langsmith__metadata__thread_id="t-1",
                langsmith__metadata__langgraph_checkpoint_ns="writer:1|x:2",
                gen_ai__prompt=json.dumps({"messages": [[human]]}),
                gen_ai__completion=json.dumps({"generations": [[answer]]}),
            ),
        ),
        raw(
            "search",
            4,
            5,
            "writer",
            a=langsmith("tool", gen_ai__prompt='{"input": "refund"}', gen_ai__completion='{"output": "30 days"}'),
        ),
    )
    call, tool = rows["ChatOpenAI"], rows["search"]

    assert tokens(rows) == (40, 6)
    assert (call.cached_tokens, call.reasoning_tokens, call.provider, call.temperature) == (30, 2, "openai", 0.3)
    assert {row.session_id for row in rows.values()} == {"t-1"}
    assert {rows[name].agent for name in ("ChatOpenAI", "search")} == {"writer"}
    assert texts(batch, call.input_refs) == [{"role": "user", "content": "hi"}]
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "yo"}]
    assert (tool.tool_name, batch.contents[(tool.output_refs or [0])[0]]) == ("search", "30 days")


def test_langfuse() -> None:
    """Observation types, JSON usage and cost, level ERROR, names of trace, session and user."""
    rows, batch = read(
        raw(
            "answer question",
            0,
            9,
            a={"langfuse.trace.name": "qa-bot", "session.id": "s", "user.id": "u", "langfuse.environment": "prod"}
            | langfuse("span"),
        ),
        raw("planner", 1, 8, "answer question", a=langfuse("agent")),
        raw(
            "gpt",
            2,
            3,
            "planner",
            a=langfuse(
                "generation",
                model__name="gpt-4o",
                model__parameters='{"temperature": 0.7}',
                usage_details='{"input": 40, "input_cached_tokens": 60, "output": 15, "output_reasoning_tokens": 5, "total": 120}',
                cost_details='{"input": 0.001, "output": 0.002}',
                prompt__name="qa",
                prompt__version=3,
                completion_start_time='"2001-09-09T01:46:42.500Z"',
                input='[{"role": "user", "content": "hi"}]',
                output='{"role": "assistant", "content": "yo"}',
            ),
        ),
        raw(
            "lookup",
            4,
            5,
            "planner",
            a=langfuse("tool", level="ERROR", status_message="down", input='{"id": 1}'),
        ),
    )
    call, tool = rows["gpt"], rows["lookup"]

    assert tokens(rows) == (100, 20)
    assert (call.cached_tokens, call.reasoning_tokens) == (60, 5)
    assert (call.cost_usd, call.cost_source, call.temperature) == (Decimal("0.003"), "producer", 0.7)
    assert (call.prompt_name, call.prompt_version, call.ttft_ns) == ("qa", "3", 500_000_000)
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "yo"}]
    assert (tool.status, tool.error_message, tool.tool_name, tool.agent) == ("error", "down", "lookup", "planner")
    assert {(row.workflow, row.session_id) for row in rows.values()} == {("qa-bot", "s")}
    assert rows["answer question"].environment == "prod"


USAGE: list[tuple[dict[str, Any], tuple[int | None, int | None]]] = [
    ({"input": 10, "output": 2}, (10, 2)),
    ({"input": 10, "output": 2, "input_cached_tokens": 4, "total": 12}, (10, 2)),
    ({"input": 6, "output": 2, "input_cached_tokens": 4, "total": 12}, (10, 2)),
    ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}, (10, 2)),
    ({"input": "many"}, (None, None)),
]


@pytest.mark.parametrize(("usage", "expected"), USAGE)
def test_langfuse_buckets(usage: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    """Buckets exclude each other, unless the total says that they do not."""
    rows, _ = read(raw("g", 0, 1, a=langfuse("generation", usage_details=json.dumps(usage))))

    assert (rows["g"].input_tokens, rows["g"].output_tokens) == expected


def test_logfire_pending_span_is_a_start() -> None:
    """The pending span becomes the running span it announces; when that ends there is one span."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    pending, ended = scope.spans.add(), scope.spans.add()
    for span, number, parent, end in ((pending, b"\x09", b"\x02", 1_000), (ended, b"\x02", b"\x01", 9_000)):
        span.trace_id, span.span_id, span.parent_span_id = b"\x07" * 16, number * 8, parent * 8
        span.name, span.start_time_unix_nano, span.end_time_unix_nano = "chat", 1_000, end
    for key, text in (("logfire.span_type", "pending_span"), ("logfire.pending_parent_id", "01" * 8)):
        attribute = pending.attributes.add()
        attribute.key, attribute.value.string_value = key, text
    start, whole = decode_traces(request.SerializeToString())

    assert (start.span_id, start.parent_span_id, start.end_ns) == (whole.span_id, whole.parent_span_id, None)
    assert [row.status for row in resolve(normalise([start]).spans)] == ["running"]
    assert [row.end_ns for row in resolve(normalise([start, whole]).spans)] == [9_000]


PYDANTIC: dict[str, tuple[RawSpan, ...]] = {
    "version 1": (
        raw(
            "agent run",
            0,
            9,
            scope="pydantic-ai",
            a={
                "agent_name": "helper",
                "model_name": "gpt-4o",
                "gen_ai.usage.input_tokens": 30,
                "final_result": "30 days",
                "all_messages_events": '[{"content": "refund?", "role": "user", "event.name": "gen_ai.user.message"}]',
            },
        ),
        raw(
            "chat gpt-4o",
            1,
            2,
            "agent run",
            scope="pydantic-ai",
            a=genai("chat", system="openai", request__model="gpt-4o", usage__input_tokens=30)
            | {
                "events": json.dumps(
                    [
                        {"content": "refund?", "role": "user", "event.name": "gen_ai.user.message"},
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "30 days"},
                            "event.name": "gen_ai.choice",
                        },
                    ]
                )
            },
        ),
        raw("running 1 tool", 3, 6, "agent run", scope="pydantic-ai", a={"tools": ["search"]}),
        raw(
            "running tool: search",
            4,
            5,
            "running 1 tool",
            scope="pydantic-ai",
            a={"gen_ai.tool.name": "search", "tool_arguments": '{"q": 1}', "tool_response": "12 hits"},
        ),
    ),
    "version 3": (
        raw(
            "invoke_agent helper",
            0,
            9,
            scope="pydantic-ai",
            a=genai("invoke_agent", agent__name="helper", aggregated_usage__input_tokens=30)
            | {
                "pydantic_ai.all_messages": '[{"role": "user", "parts": [{"type": "text", "content": "refund?"}]}]',
                "final_result": "30 days",
            },
        ),
        raw(
            "chat gpt-4o",
            1,
            2,
            "invoke_agent helper",
            scope="pydantic-ai",
            a=genai(
                "chat",
                request__model="gpt-4o",
                usage__input_tokens=30,
                input__messages='[{"role": "user", "parts": [{"type": "text", "content": "refund?"}]}]',
                output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "30 days"}]}]',
            ),
        ),
        raw("running tools", 3, 6, "invoke_agent helper", scope="pydantic-ai", a={"logfire.msg": "running 1 tool"}),
        raw(
            "execute_tool search",
            4,
            5,
            "running tools",
            scope="pydantic-ai",
            a=genai(
                "execute_tool", tool__name="search", tool__call__arguments='{"q": 1}', tool__call__result="12 hits"
            ),
        ),
    ),
}


@pytest.mark.parametrize("version", PYDANTIC)
def test_pydantic_ai_versions(version: str) -> None:
    """Old and new instrumentation give the same agent, call, tool and texts."""
    batch = normalise(PYDANTIC[version])
    agent, call, step, tool = resolve(batch.spans)

    assert [row.kind for row in (agent, call, step, tool)] == ["agent", "llm", "other", "tool"]
    assert {row.agent for row in (agent, call, tool)} == {"helper"}
    assert texts(batch, agent.input_refs) == texts(batch, call.input_refs) == [{"role": "user", "content": "refund?"}]
    assert texts(batch, call.output_refs) == [{"role": "assistant", "content": "30 days"}]
    assert (tool.tool_name, tool.args_hash is not None, tool.result_hash is not None) == ("search", True, True)
    assert summarise([agent, call, step, tool]).input_tokens == 30


def test_old_openllmetry() -> None:
    """Flattened prompts, completions with calls and finish reason, old names of usage."""
    rows, batch = read(
        raw(
            "openai.chat",
            0,
            1,
            a={
                "llm.request.type": "chat",
                "llm.usage.total_tokens": 12,
                "gen_ai.system": "OpenAI",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.completion_tokens": 2,
                "gen_ai.usage.cache_read_input_tokens": 8,
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": "Be kind.",
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": "hi",
                "gen_ai.completion.0.role": "assistant",
                "gen_ai.completion.0.finish_reason": "tool_calls",
                "gen_ai.completion.0.tool_calls.0.id": "c1",
                "gen_ai.completion.0.tool_calls.0.name": "search",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"q": 1}',
            },
        )
    )
    call = rows["openai.chat"]

    assert (call.kind, call.convention, call.finish_reason) == ("llm", "openllmetry", "tool_calls")
    assert (call.input_tokens, call.output_tokens, call.cached_tokens) == (10, 2, 8)
    assert [message["role"] for message in texts(batch, call.input_refs)] == ["system", "user"]
    assert texts(batch, call.output_refs)[0]["tool_calls"] == [{"id": "c1", "name": "search", "arguments": {"q": 1}}]


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


def test_reason_of_a_handoff_is_why_the_next_agent_runs() -> None:
    """The reason in the arguments of the handoff stands on the agent that was invoked, marked as derived."""
    rows, _ = read(
        raw("invoke_agent a", 1, 3, a=genai("invoke_agent", agent__name="a")),
        raw(
            "transfer",
            2,
            3,
            "invoke_agent a",
            a=genai("execute_tool", tool__name="transfer_to_b", tool__call__arguments='{"reason": "needs a writer"}'),
        ),
        raw("invoke_agent b", 4, 5, a=genai("invoke_agent", agent__name="b")),
    )

    assert rows["invoke_agent b"].reason == "handoff from a: needs a writer"
    assert "reason" in (rows["invoke_agent b"].derived or [])


@pytest.mark.parametrize(("steps", "after", "stopped"), [(2, True, True), (2, False, False), (1, True, False)])
def test_smolagents_limit(steps: int, after: bool, stopped: bool) -> None:
    """Stopped by the limit only where all steps were taken and the model was asked once more after them."""
    spans = [raw("manager.run", 0, 9, a=oi("AGENT", smolagents__max_steps=2, agent__name="manager"))]
    spans += [raw(f"Step {n + 1}", n + 1, n + 2, "manager.run", a=oi("CHAIN")) for n in range(steps)]
    spans += [raw("last", 5, 6, "manager.run", a=oi("LLM"))] if after else []
    rows, _ = read(*spans)

    assert (summarise(list(rows.values())).outcome == "stopped_by_guard") is stopped


PAUSE = "langgraph.errors.GraphInterrupt"
INTERRUPTED: dict[str, RawSpan] = {
    "in an event": raw("ask", 1, 2, "graph", a=oi("CHAIN")),
    "as error type": raw("ask", 1, 2, "graph", a={"error.type": PAUSE}, status="error"),
    "as message": raw("ask", 1, 2, "graph", status="error", message="GraphInterrupt((Interrupt(value='ok?'),))"),
}
INTERRUPTED["in an event"].events = [
    RawEvent(name="exception", time_ns=1, attributes={"exception.type": PAUSE, "exception.message": "(Interrupt(),)"})
]


@pytest.mark.parametrize("how", INTERRUPTED)
@pytest.mark.parametrize("resumed", [False, True])
def test_pause_for_a_person(how: str, resumed: bool) -> None:
    """The interrupted step is a wait, no error; the next trace of the thread goes on with the run; alone it is no success."""
    spans = [
        raw("graph", 0, 2, a={"session.id": "t"}),
        INTERRUPTED[how],
        raw("later", 90, 95, trace="7" * 32, a={"session.id": "t" if resumed else "other"}),
        raw("last", 200, 201, trace="8" * 32, a={"session.id": "t"}),
    ]
    rows, _ = read(*spans[: 4 if resumed else 3])
    asked = rows["ask"]

    assert (asked.kind, asked.status, asked.reason, asked.wait_for) == ("wait", "ok", "human", ["human"])
    assert (rows["later"].run_id == asked.run_id) is resumed
    assert not resumed or rows["last"].run_id != asked.run_id
    run = summarise([row for row in rows.values() if row.run_id == asked.run_id])
    assert run.outcome == ("completed" if resumed else "unknown")
    again = resolve(list(rows.values()))
    assert again == list(rows.values())


def test_pause_after_a_call_is_the_agents_work() -> None:
    """A node that calls a model and then asks a person stays an agent."""
    node = raw(
        "writer",
        1,
        3,
        "graph",
        a=oi("CHAIN", metadata='{"langgraph_checkpoint_ns": "writer:8866bbc2-0be8-ee14-36a5-588a2fa18855"}'),
        status="error",
        message="GraphInterrupt(())",
    )
    call = raw(
        "llm", 1, 2, "writer", a=oi("LLM", llm__token_count__prompt=5) | {"metadata": node.attributes["metadata"]}
    )
    rows, _ = read(raw("graph", 0, 4, a=oi("CHAIN")), node, call)

    assert (rows["writer"].kind, rows["writer"].agent, rows["writer"].status) == ("agent", "writer", "ok")


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
