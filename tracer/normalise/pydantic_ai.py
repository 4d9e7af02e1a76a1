"""Pydantic AI and Logfire: gen_ai.* names plus their own for the agent, its messages and its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracer.model import RawEvent, RawSpan, SpanKind
from tracer.normalise.messages import message_list
from tracer.normalise.otel_genai import event_messages
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_text, parse_json
from tracer.semconv import GenAI, PydanticAI


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return raw.scope == "pydantic-ai" or "pydantic_ai" in words or ("logfire" in words and "gen_ai" in words)


def kind(raw: RawSpan) -> str | None:
    """Only what old versions leave out: they wrote no operation on agents and tools."""
    if GenAI.OPERATION in raw.attributes:
        return None
    if PydanticAI.AGENT_NAME in raw.attributes and (raw.name == "agent run" or raw.name.startswith("invoke_agent")):
        return SpanKind.AGENT
    return SpanKind.TOOL if raw.name.startswith(("running tool:", "execute_tool")) else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    if reading.kind == SpanKind.TOOL and span.tool_name is None and raw.name.startswith("running tool:"):
        span.tool_name = as_text(attributes.get(GenAI.TOOL_NAME)) or raw.name.removeprefix("running tool:").strip()
    if reading.kind == SpanKind.AGENT:
        history = reading.messages(PydanticAI.ALL_MESSAGES) or reading.messages(PydanticAI.OLD_ALL_MESSAGES)
        _task(reading, history)
        if (result := attributes.get(PydanticAI.FINAL_RESULT)) is not None:
            reading.set_output([reading.contents.put_value(result)])
    elif reading.kind == SpanKind.LLM and PydanticAI.EVENTS in attributes:
        given, got = event_messages(_events(attributes[PydanticAI.EVENTS]), reading.contents)
        reading.set_input(given)
        reading.set_output(got)
        if given or got:
            reading.replaced[PydanticAI.EVENTS] = {"$messages": given + got}


def _task(reading: Reading, history: list[int]) -> None:
    """The task is the first user message of the history, not the whole of it."""
    messages = message_list(reading.attributes.get(PydanticAI.ALL_MESSAGES)) or []
    for ref, message in zip(history, messages, strict=False):
        if message["role"] == "user":
            reading.set_input([ref])
            return


def _events(value: Any) -> list[RawEvent]:
    """Version 1 wrote the events of a call as a JSON list of objects with `event.name`."""
    found = parse_json(value)
    if not isinstance(found, list):
        return []
    return [
        RawEvent(
            name=str(cast(Mapping[str, Any], item).get("event.name", "")),
            time_ns=0,
            body={k: v for k, v in cast(Mapping[str, Any], item).items() if not k.startswith(("event.", "gen_ai."))},
        )
        for item in cast(list[Any], found)
        if isinstance(item, Mapping)
    ]


ADAPTER = Adapter("pydantic_ai", recognises, kind, read)
