"""OpenTelemetry GenAI: current names and the older spellings; messages in attributes, span events or log records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracer.model import RawEvent, RawSpan, SpanEvent, SpanKind
from tracer.normalise.contents import Contents
from tracer.normalise.messages import canonical, message_list, system_messages
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_object, as_text, parse_json
from tracer.semconv import GenAI

OPERATIONS: dict[str, str] = {
    "chat": SpanKind.LLM,
    "text_completion": SpanKind.LLM,
    "generate_content": SpanKind.LLM,
    "completion": SpanKind.LLM,
    "call_llm": SpanKind.LLM,
    "response": SpanKind.LLM,
    "responses": SpanKind.LLM,
    "embeddings": SpanKind.EMBEDDING,
    "embedding": SpanKind.EMBEDDING,
    "retrieval": SpanKind.RETRIEVER,
    "search_memory": SpanKind.RETRIEVER,
    "rerank": SpanKind.RETRIEVER,
    "invoke_agent": SpanKind.AGENT,
    "invoke_workflow": SpanKind.WORKFLOW,
    "workflow": SpanKind.WORKFLOW,
    "execute_tool": SpanKind.TOOL,
    "handoff": SpanKind.HANDOFF,
    "run_guardrail": SpanKind.GUARDRAIL,
    "apply_guardrail": SpanKind.GUARDRAIL,
    "guardrail": SpanKind.GUARDRAIL,
    # set-up, planning steps and framework steps: structure, not calls
    "create_agent": SpanKind.OTHER,
    "plan": SpanKind.OTHER,
    "execute_task": SpanKind.OTHER,
    "execute_event_loop_cycle": SpanKind.OTHER,
    "chain": SpanKind.OTHER,
    "create_memory": SpanKind.OTHER,
    "update_memory": SpanKind.OTHER,
    "upsert_memory": SpanKind.OTHER,
    "delete_memory": SpanKind.OTHER,
    "create_memory_store": SpanKind.OTHER,
    "delete_memory_store": SpanKind.OTHER,
}
"""gen_ai.operation.name -> kind; values of the specification and those seen in the wild"""

ANSWER_EVENTS = frozenset({GenAI.EVENT_CHOICE, "gen_ai.assistant.choice"})
_NAMED_BY_OPERATION = ("execute_tool ", "invoke_agent ")


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "gen_ai" in words


def kind(raw: RawSpan) -> str | None:
    """The operation; a call with a model and tokens but an unknown operation is still an LLM call."""
    attributes = raw.attributes
    operation = attributes.get(GenAI.OPERATION)
    known = OPERATIONS.get(operation) if isinstance(operation, str) else None
    if known == SpanKind.AGENT and raw.name == f"invoke_agent {attributes.get(GenAI.REQUEST_MODEL)}":
        # Vercel AI SDK 7 names it by the model; without a name beside it, it is a call around calls.
        return known if GenAI.AGENT_NAME in attributes else SpanKind.OTHER
    if known is not None:
        return known
    if GenAI.REQUEST_MODEL in attributes or GenAI.RESPONSE_MODEL in attributes:
        return SpanKind.LLM
    return SpanKind.TOOL if GenAI.TOOL_NAME in attributes else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    for prefix in _NAMED_BY_OPERATION:
        if raw.name.startswith(prefix):
            if prefix == "execute_tool ":
                span.tool_name = span.tool_name or raw.name[len(prefix) :]
            elif reading.kind == SpanKind.AGENT:
                span.agent = span.agent or raw.name[len(prefix) :]
    if reading.kind == SpanKind.WORKFLOW and span.workflow is None and raw.name.startswith("invoke_workflow "):
        span.workflow = raw.name[len("invoke_workflow ") :]
    instructions = attributes.get(GenAI.SYSTEM_INSTRUCTIONS)
    system = system_messages(instructions) if instructions is not None else []
    if system:
        reading.replaced[GenAI.SYSTEM_INSTRUCTIONS] = {"$messages": reading.contents.put_messages(system)}
    reading.set_input(reading.messages(GenAI.INPUT_MESSAGES, before=system))
    reading.set_output(reading.messages(GenAI.OUTPUT_MESSAGES, answers=True))
    if reading.kind == SpanKind.TOOL:
        for name in GenAI.TOOL_ARGUMENTS:
            reading.set_arguments(attributes.get(name))
        for name in GenAI.TOOL_RESULT:
            reading.set_result(attributes.get(name))
    elif reading.kind == SpanKind.RETRIEVER:
        _text_refs(reading, GenAI.RETRIEVAL_QUERY, reading.set_input)
        _text_refs(reading, GenAI.RETRIEVAL_DOCUMENTS, reading.set_output)
    if raw.events and (span.input_refs is None or span.output_refs is None):
        given, got = event_messages(raw.events, reading.contents)
        reading.set_input(given)
        reading.set_output(got)


def _text_refs(reading: Reading, name: str, put: Any) -> None:
    if (value := reading.attributes.get(name)) is not None:
        put([reading.contents.put_value(value)])


def event_messages(events: list[RawEvent], contents: Contents) -> tuple[list[int], list[int]]:
    """(messages sent, messages received) that GenAI events carry, in order of the events."""
    given: list[int] = []
    got: list[int] = []
    for event in events:
        if is_message_event(event.name):
            sent, received = _messages_of(event, contents)
            given += sent
            got += received
    return given, got


def is_message_event(name: str) -> bool:
    """True for the GenAI events that carry messages."""
    return name.startswith("gen_ai.") and (
        name == GenAI.EVENT_DETAILS or name in ANSWER_EVENTS or name.endswith(GenAI.EVENT_MESSAGE_SUFFIX)
    )


def event_row(event: RawEvent, contents: Contents, trace_id: str, span_id: str) -> SpanEvent:
    """A span event or log record as a row; its messages are stored once, like those of spans."""
    attributes: dict[str, Any] = dict(event.attributes)
    refs: list[int] | None = None
    if is_message_event(event.name):
        given, got = _messages_of(event, contents)
        refs = given + got or None
        for name in (GenAI.INPUT_MESSAGES, GenAI.OUTPUT_MESSAGES, GenAI.SYSTEM_INSTRUCTIONS, "content"):
            attributes.pop(name, None)
        if isinstance(parse_json(attributes.get("message")), Mapping):
            del attributes["message"]  # else it is no message (Strands: the result of a tool) and stands nowhere else
        if given:
            attributes[GenAI.INPUT_MESSAGES] = {"$messages": given}
        if got:
            attributes[GenAI.OUTPUT_MESSAGES] = {"$messages": got}
    elif event.body not in (None, "", {}):
        attributes["body"] = event.body
    return SpanEvent(
        trace_id=trace_id,
        span_id=span_id,
        time_ns=event.time_ns,
        name=event.name,
        attributes=contents.encode(attributes),
        refs=refs,
    )


def _messages_of(event: RawEvent, contents: Contents) -> tuple[list[int], list[int]]:
    attributes = event.attributes
    if event.name == GenAI.EVENT_DETAILS:
        told = as_object(event.body)
        system = system_messages(attributes.get(GenAI.SYSTEM_INSTRUCTIONS, told.get(GenAI.SYSTEM_INSTRUCTIONS)))
        sent = message_list(attributes.get(GenAI.INPUT_MESSAGES, told.get(GenAI.INPUT_MESSAGES))) or []
        received = message_list(attributes.get(GenAI.OUTPUT_MESSAGES, told.get(GenAI.OUTPUT_MESSAGES))) or []
        return contents.put_messages([*system, *sent]), contents.put_messages(received)
    raw: dict[str, Any] = {k: v for k, v in attributes.items() if not k.startswith(("gen_ai.", "event."))}
    body = parse_json(event.body) if event.body is not None else None
    if isinstance(body, Mapping):
        raw |= cast(Mapping[str, Any], body)
    elif isinstance(event.body, str) and event.body:
        raw["content"] = event.body
    answer = event.name in ANSWER_EVENTS
    inner = parse_json(raw.pop("message", None)) if answer else None
    if isinstance(inner, Mapping):
        raw |= cast(Mapping[str, Any], inner)
    raw.pop("index", None)
    raw["tool_calls"] = parse_json(raw.get("tool_calls"))
    if raw.get("id") and event.name == "gen_ai.tool.message":
        raw["tool_call_id"] = raw.pop("id")
    raw.setdefault("role", "assistant" if answer else (as_text(event.name.split(".")[-2]) or "user"))
    ids = contents.put_messages(canonical(raw))
    return ([], ids) if answer else (ids, [])


ADAPTER = Adapter("otel_genai", recognises, kind, read)
