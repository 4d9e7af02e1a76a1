"""Spans in the dialects that other instrumentations write: OpenTelemetry's GenAI conventions and OpenInference."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.scenarios.stage import Stage


def _parts(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


@contextmanager
def genai_agent(s: Stage, name: str) -> Generator[None]:
    with s.raw(
        f"invoke_agent {name}",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name, "gen_ai.provider.name": "openai"},
        seconds=0.01,
    ):
        yield


def genai_chat(
    s: Stage, asked: str, said: str, *, tokens: tuple[int, int] = (220, 40), model: str = "gpt-4o-mini"
) -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": tokens[0],
        "gen_ai.usage.output_tokens": tokens[1],
        "gen_ai.input.messages": json.dumps([_parts("user", asked)]),
        "gen_ai.output.messages": json.dumps([_parts("assistant", said) | {"finish_reason": "stop"}]),
    }
    with s.raw(f"chat {model}", attributes, seconds=0.6):
        pass


def genai_tool(
    s: Stage, name: str, arguments: Mapping[str, Any], result: Any = None, *, error: str | None = None
) -> None:
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.call.id": f"call_{s.rng.getrandbits(40):x}",
        "gen_ai.tool.call.arguments": json.dumps(arguments),
    }
    if error is None:
        attributes["gen_ai.tool.call.result"] = json.dumps(result)
    with s.raw(f"execute_tool {name}", attributes, seconds=0.3, error=error):
        pass


@contextmanager
def oi_agent(s: Stage, name: str, given: str | None = None) -> Generator[None]:
    attributes = {"openinference.span.kind": "AGENT", "agent.name": name}
    if given is not None:
        attributes |= {"input.value": given, "input.mime_type": "text/plain"}
    with s.raw(name, attributes, seconds=0.01):
        yield


def oi_llm(
    s: Stage,
    history: Sequence[tuple[str, str]],
    said: str,
    *,
    tokens: tuple[int, int] = (220, 40),
    model: str = "gpt-4o-mini",
) -> None:
    attributes: dict[str, Any] = {
        "openinference.span.kind": "LLM",
        "llm.model_name": model,
        "llm.provider": "openai",
        "llm.token_count.prompt": tokens[0],
        "llm.token_count.completion": tokens[1],
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": said,
    }
    for place, (role, text) in enumerate(history):
        attributes[f"llm.input_messages.{place}.message.role"] = role
        attributes[f"llm.input_messages.{place}.message.content"] = text
    with s.raw("ChatCompletion", attributes, seconds=0.7):
        pass


def oi_tool(s: Stage, name: str, arguments: Mapping[str, Any], result: str = "", *, error: str | None = None) -> None:
    attributes = {
        "openinference.span.kind": "TOOL",
        "tool.name": name,
        "input.value": json.dumps(arguments),
        "input.mime_type": "application/json",
    }
    if error is None:
        attributes |= {"output.value": result, "output.mime_type": "text/plain"}
    with s.raw(name, attributes, seconds=0.3, error=error):
        pass
