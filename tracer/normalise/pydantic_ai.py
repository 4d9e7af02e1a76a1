"""Pydantic AI and Logfire: gen_ai.* names plus their own for the agent, its messages and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from tracer.model import RawEvent, RawSpan, Span, SpanKind, SpanStatus
from tracer.normalise.marks import infer
from tracer.normalise.messages import message_list
from tracer.normalise.otel_genai import event_messages
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_text, parse_json
from tracer.semconv import GenAI, PydanticAI

_PENDING = frozenset({PydanticAI.SPAN_TYPE, PydanticAI.PENDING_PARENT})


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return raw.scope == "pydantic-ai" or "pydantic_ai" in words or ("logfire" in words and "gen_ai" in words)


def started(raw: RawSpan) -> RawSpan:
    """A pending span of Logfire as what it says: the span that is its parent has started, under the parent it names.

    Logfire sends it at a start, with a length of zero and an id of its own; the span itself follows when it ends.
    """
    parent = as_text(raw.attributes.get(PydanticAI.PENDING_PARENT))
    return replace(
        raw,
        span_id=raw.parent_span_id or raw.span_id,
        parent_span_id=parent if parent and parent.strip("0") else None,
        end_ns=None,
        attributes={key: value for key, value in raw.attributes.items() if key not in _PENDING},
    )


def is_pending(raw: RawSpan) -> bool:
    return raw.attributes.get(PydanticAI.SPAN_TYPE) == "pending_span"


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
        history = reading.messages(PydanticAI.ALL_MESSAGES)
        _task(reading, history)
        if not history and PydanticAI.OLD_ALL_MESSAGES in attributes:
            _old_history(reading)
        if (result := attributes.get(PydanticAI.FINAL_RESULT)) is not None:
            reading.set_output([reading.contents.put_value(result)])
    elif reading.kind == SpanKind.LLM and PydanticAI.EVENTS in attributes:
        given, got = event_messages(_events(attributes[PydanticAI.EVENTS]), reading.contents)
        reading.set_input(given)
        reading.set_output(got)
        if given or got:
            reading.replaced[PydanticAI.EVENTS] = {"$messages": given + got}


def note_retries(forest: Forest) -> None:
    """A tool that asks the model to try again says so on its span (`attempt`); the next call of the tool beside it is the retry."""
    for siblings in forest.children:
        failed: dict[str, Span] = {}
        for position in siblings:
            span = forest.spans[position]
            if span.kind != SpanKind.TOOL or not span.tool_name:
                continue
            before = failed.pop(span.tool_name, None)
            if before is not None and span.retry_of is None and (before.end_ns or 0) <= span.start_ns:
                infer(span, "retry_of", before.span_id)
                if span.attempt is None and before.attempt is not None:
                    infer(span, "attempt", before.attempt + 1)
            if span.status == SpanStatus.ERROR and PydanticAI.RETRY_ATTEMPT in span.attributes:
                failed[span.tool_name] = span


def _task(reading: Reading, history: list[int]) -> None:
    """The task is the first user message of the history, not the whole of it."""
    messages = message_list(reading.attributes.get(PydanticAI.ALL_MESSAGES)) or []
    for ref, message in zip(history, messages, strict=False):
        if message["role"] == "user":
            reading.set_input([ref])
            return


def _old_history(reading: Reading) -> None:
    """Version 1: the whole history as events, named by role; the task is the first user message."""
    events = _events(reading.attributes[PydanticAI.OLD_ALL_MESSAGES])
    refs = [ref for event in events for found in event_messages([event], reading.contents) for ref in found]
    if refs:
        reading.replaced[PydanticAI.OLD_ALL_MESSAGES] = {"$messages": refs}
    task = next((event for event in events if event.name == "gen_ai.user.message"), None)
    if task is not None:
        reading.set_input(event_messages([task], reading.contents)[0])


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
