"""Small files in the formats of other tools, drawn after their documentation."""

from __future__ import annotations

import json
from typing import Any

TRACE = 0x0AF7651916CD43DD8448EB211C80319C


def _any_agent(number: int, name: str, parent: int | None, **attributes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "internal",
        "context": {"trace_id": TRACE, "span_id": number, "trace_flags": {"value": 0}},
        "parent": None if parent is None else {"trace_id": TRACE, "span_id": parent},
        "start_time": 1_700_000_000_000_000_000 + number,
        "end_time": 1_700_000_001_000_000_000 + number,
        "status": {"status_code": "ok", "description": None},
        "attributes": {f"gen_ai.{key.replace('__', '.')}": value for key, value in attributes.items()},
        "links": [],
        "events": [],
        "resource": {"attributes": {"service.name": "clock"}},
    }


ANY_AGENT: dict[str, Any] = {
    "spans": [
        _any_agent(
            2,
            "call_llm",
            1,
            operation__name="call_llm",
            request__model="mistral/small",
            input__messages='[{"role": "user", "content": "what year?"}]',
            output='[{"tool.name": "now", "tool.args": {"zone": "UTC"}}]',
            usage__input_tokens=20,
            usage__output_tokens=4,
            usage__input_cost=0.0002,
            usage__output_cost=0.0001,
        ),
        _any_agent(
            3, "execute_tool now", 1, operation__name="execute_tool", tool__name="now", tool__args='{"zone": "UTC"}', output="2023"
        ),
        _any_agent(1, "invoke_agent", None, operation__name="invoke_agent", agent__name="clerk"),
    ],
    "final_output": "2023",
}  # fmt: skip

SPANS: dict[str, Any] = {
    "id": "q7",
    "otel": {
        "status": "FAILED",
        "spans": [
            {
                "name": "agent.researcher", "trace_id": "ab" * 16, "span_id": "2" * 16, "parent_span_id": "1" * 16, "status": {"status_code": "OK"},
                "start_time_unix_ns": 1_700_000_000_000_000_001, "end_time_unix_ns": 1_700_000_000_000_000_005,
                "attributes": {"x.operation_type": "agent_llm", "gen_ai.agent.name": "Researcher", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 82, "gen_ai.usage.output_tokens": 46},
            },
            {
                "name": "tool.search", "trace_id": "ab" * 16, "span_id": "3" * 16, "parent_span_id": "1" * 16, "status": {"status_code": "ERROR", "description": "no such product"},
                "start_time_unix_ns": 1_700_000_000_000_000_006, "end_time_unix_ns": 1_700_000_000_000_000_007,
                "attributes": {"x.operation_type": "tool_call", "gen_ai.agent.name": "Search", "tool.name": "Search", "tool.args_json": "{}"},
            },
            {
                "name": "run", "trace_id": "ab" * 16, "span_id": "1" * 16, "parent_span_id": None, "status": {"status_code": "OK"},
                "start_time_unix_ns": 1_700_000_000_000_000_000, "end_time_unix_ns": 1_700_000_000_000_000_009, "attributes": {"x.operation_type": "workflow"},
            },
        ],
    },
}  # fmt: skip

JAEGER: dict[str, Any] = {
    "data": [
        {
            "traceID": "af7651916cd43dd8448eb211c80319c",
            "processes": {
                "p1": {"serviceName": "shop", "tags": [{"key": "host.name", "type": "string", "value": "h"}]}
            },
            "spans": [
                {
                    "traceID": "af7651916cd43dd8448eb211c80319c",
                    "spanID": "2",
                    "operationName": "chat",
                    "references": [
                        {"refType": "CHILD_OF", "traceID": "af7651916cd43dd8448eb211c80319c", "spanID": "1"},
                        {"refType": "FOLLOWS_FROM", "traceID": "af7651916cd43dd8448eb211c80319c", "spanID": "9"},
                    ],
                    "startTime": 1_700_000_000_000_001,
                    "duration": 500,
                    "tags": [
                        {"key": "gen_ai.operation.name", "type": "string", "value": "chat"},
                        {"key": "gen_ai.usage.input_tokens", "type": "int64", "value": "12"},
                        {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                        {"key": "otel.status_description", "type": "string", "value": "down"},
                        {"key": "otel.scope.name", "type": "string", "value": "my.scope"},
                    ],
                    "logs": [
                        {
                            "timestamp": 1_700_000_000_000_100,
                            "fields": [
                                {"key": "event", "type": "string", "value": "exception"},
                                {"key": "exception.type", "type": "string", "value": "IOError"},
                            ],
                        }
                    ],
                    "processID": "p1",
                },
                {
                    "traceID": "af7651916cd43dd8448eb211c80319c",
                    "spanID": "1",
                    "operationName": "request",
                    "startTime": 1_700_000_000_000_000,
                    "duration": 1_000,
                    "processID": "p1",
                },
                {"traceID": "af7651916cd43dd8448eb211c80319c", "spanID": "3", "operationName": "bad", "startTime": 5},
            ],
        }
    ]
}


def _observation(name: str, kind: str, parent: str | None, start: int, end: int | None, **more: Any) -> dict[str, Any]:
    moment = "2025-01-01T00:00:{:02d}.250Z"
    return {
        "id": name,
        "traceId": "run-1",
        "type": kind,
        "name": name,
        "parentObservationId": parent,
        "startTime": moment.format(start),
        "endTime": None if end is None else moment.format(end),
        "level": "DEFAULT",
        **more,
    }


LANGFUSE: dict[str, Any] = {
    "trace": {"id": "run-1", "projectId": "p", "name": "qa", "userId": "u", "sessionId": "s", "metadata": "{}"},
    "observations": [
        _observation(
            "answer",
            "GENERATION",
            "turn",
            1,
            3,
            model="gpt-4o",
            usageDetails={"input": 10, "output": 2, "total": 12},
            costDetails={"total": 0.01},
            completionStartTime="2025-01-01T00:00:02.250Z",
            input='[{"role": "user", "content": "hi"}]',
            output="yo",
            promptName="qa",
            promptVersion=7,
        ),
        _observation("turn", "GENERATION", None, 0, 9, usageDetails={}),
        _observation("search", "TOOL", "turn", 4, 5, level="ERROR", statusMessage="down", input={"q": 1}),
    ],
}

INSPECT: dict[str, Any] = {
    "version": 2,
    "status": "success",
    "eval": {"task": "refunds", "run_id": "r1"},
    "samples": [
        {
            "id": "s1",
            "scores": {"match": {"value": "C"}},
            "events": [
                {"event": "sample_init", "timestamp": "2026-01-01T00:00:00Z"},
                {"event": "span_begin", "id": "a", "name": "clerk", "type": "agent", "parent_id": None, "timestamp": "2026-01-01T00:00:01Z"},
                {
                    "event": "model", "uuid": "m", "span_id": "a", "model": "openai/gpt-4o", "config": {"temperature": 0.5},
                    "timestamp": "2026-01-01T00:00:02Z", "completed": "2026-01-01T00:00:03Z",
                    "input": [{"role": "user", "content": "hi"}],
                    "output": {
                        "model": "gpt-4o",
                        "choices": [
                            {
                                "message": {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": "find", "arguments": {"q": 1}}]},
                                "stop_reason": "tool_calls",
                            }
                        ],
                        "usage": {"input_tokens": 9, "output_tokens": 2, "input_tokens_cache_read": 4},
                    },
                },
                {
                    "event": "tool", "uuid": "t", "span_id": "a", "id": "c", "function": "find", "arguments": {"q": 1}, "result": "",
                    "error": {"type": "timeout", "message": "too slow"},
                    "timestamp": "2026-01-01T00:00:04Z", "completed": "2026-01-01T00:00:05Z",
                },
                {"event": "store", "uuid": "w", "span_id": "a", "changes": [{"op": "add", "path": "/plan", "value": 1}], "timestamp": "2026-01-01T00:00:06Z"},
                {"event": "span_end", "id": "a", "timestamp": "2026-01-01T00:00:07Z"},
                {"event": "tool", "uuid": "t2", "span_id": "a", "function": "find", "timestamp": "soon"},
            ],
        }
    ],
}  # fmt: skip


def _run(number: int, kind: str, above: int | None, **more: Any) -> dict[str, Any]:
    ids = [f"00000000-0000-4000-8000-{n:012x}" for n in range(9)]
    moment = "2025-03-01T10:00:{:02d}.500000"
    return {
        "id": ids[number],
        "name": f"run {number}",
        "run_type": kind,
        "start_time": moment.format(number),
        "end_time": moment.format(number + 10),
        "trace_id": ids[1],
        "parent_run_id": None if above is None else ids[above],
        "session_id": "00000000-0000-4000-8000-0000000000ff",
        "status": "success",
        "error": None,
        "extra": {"metadata": {"thread_id": "t-1"}},
        **more,
    }


LANGSMITH: list[dict[str, Any]] = [
    _run(1, "chain", None, name="LangGraph", inputs={"messages": [{"role": "user", "content": "hi"}]}, tags=["beta"]),
    _run(2, "chain", 1, name="researcher", extra={"metadata": {"langgraph_node": "researcher", "langgraph_checkpoint_ns": "researcher:1", "thread_id": "t-1"}}),
    _run(
        3, "llm", 2, name="ChatOpenAI",
        extra={"metadata": {"ls_provider": "openai", "ls_model_name": "gpt-4o", "ls_temperature": 0.2, "langgraph_node": "researcher", "langgraph_checkpoint_ns": "researcher:1"}},
        inputs={"messages": [[{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {"content": "hi", "type": "human"}}]]},
        outputs={"generations": [[{"text": "yo", "message": {"lc": 1, "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {"content": "yo", "type": "ai", "response_metadata": {"finish_reason": "stop", "model_name": "gpt-4o-2024-08-06"}}}}]]},
        prompt_tokens=20, completion_tokens=4, total_tokens=24, total_cost="0.0125", prompt_token_details={"cache_read": 8},
        first_token_time="2025-03-01T10:00:04.000000",
    ),
    _run(4, "tool", 2, name="search", inputs={"input": "{'q': 1}"}, status="error", error="TimeoutError('too slow')Traceback (most recent call last):\n ..."),
]  # fmt: skip
"""as `list_runs` gives them; a run is `model_dump`ed"""


def _phoenix(number: int, above: int | None, name: str, kind: str, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:  # fmt: skip
    return {
        "id": f"U3Bhbjo{number}",
        "name": name,
        "context": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": f"{number:016x}"},
        "span_kind": kind,
        "parent_id": None if above is None else f"{above:016x}",
        "start_time": f"2025-03-01T10:00:0{number}.250000+00:00",
        "end_time": f"2025-03-01T10:00:1{number}.250000+00:00",
        "status_code": "OK",
        "status_message": "",
        "attributes": {"openinference.span.kind": kind, **attributes},
        "events": [],
        **more,
    }


PHOENIX: dict[str, Any] = {
    "data": [
        _phoenix(1, None, "desk", "AGENT", {"agent.name": "clerk", "session.id": "s-1"}),
        _phoenix(
            2, 1, "ChatCompletion", "LLM",
            {
                "llm.model_name": "gpt-4o", "llm.provider": "openai", "llm.token_count.prompt": 30, "llm.token_count.completion": 5,
                "llm.token_count.prompt_details.cache_read": 10, "llm.cost.total": 0.02,
                "llm.input_messages": [{"message.role": "user", "message.content": "hi"}],
                "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "yo",
            },
        ),
        _phoenix(
            3, 1, "find", "TOOL", {"tool.name": "find", "input.value": '{"q": 1}'}, status_code="ERROR", status_message="down",
            events=[{"name": "exception", "timestamp": "2025-03-01T10:00:04+00:00", "attributes": {"exception.type": "IOError", "exception.message": "down"}}],
        ),
    ],
    "next_cursor": None,
}  # fmt: skip
"""as the REST API and `get_spans` give them"""


def phoenix_rows() -> list[dict[str, Any]]:
    """The same spans as rows of the dataframe."""
    rows: list[dict[str, Any]] = []
    names = {name for item in PHOENIX["data"] for name in item["attributes"]}
    for item in PHOENIX["data"]:
        row = {key: value for key, value in item.items() if key not in ("id", "context", "attributes")}
        row |= {f"context.{key}": value for key, value in item["context"].items()}
        rows.append(row | {f"attributes.{name}": item["attributes"].get(name) for name in names})
    return rows


MAGENTIC = {
    "id": "run-7",
    "question": "Which one?",
    "is_correct": False,
    "history": [
        {"role": "human", "content": "Which one?"},
        {"role": "Orchestrator (thought)", "content": "Plan."},
        {"role": "Orchestrator (-> WebSurfer)", "content": "Look it up."},
        {"role": "WebSurfer", "content": "Found."},
    ],
}


def text(*documents: Any) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)
