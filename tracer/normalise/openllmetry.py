"""OpenLLMetry / Traceloop: gen_ai.* names plus traceloop.*; older data has flattened gen_ai.prompt.N.* messages."""

from __future__ import annotations

from tracer.model import RawSpan, SpanKind
from tracer.normalise.langgraph import place
from tracer.normalise.messages import unflatten
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_text
from tracer.semconv import GenAI, OpenLLMetry

KINDS: dict[str, str] = {
    "workflow": SpanKind.WORKFLOW,
    "task": SpanKind.OTHER,
    "agent": SpanKind.AGENT,
    "tool": SpanKind.TOOL,
    "handoff": SpanKind.HANDOFF,
}
_RETRIEVAL = "vector_db_retrieve"
_SCOPES = ("opentelemetry.instrumentation.openai.v1", "opentelemetry.instrumentation.openai_agents", "traceloop")
_LLM_TYPES = {"chat": SpanKind.LLM, "completion": SpanKind.LLM, "embedding": SpanKind.EMBEDDING}


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "traceloop" in words or (
        "gen_ai" in words
        and (raw.scope.startswith(_SCOPES) or f"{OpenLLMetry.PROMPTS}.0.role" in raw.attributes or "llm" in words)
    )


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(OpenLLMetry.KIND)
    if isinstance(named, str) and named in KINDS:
        if raw.attributes.get(GenAI.OPERATION) == _RETRIEVAL:
            return SpanKind.RETRIEVER  # called a task
        return KINDS[named]
    request = raw.attributes.get("llm.request.type")
    return _LLM_TYPES.get(request) if isinstance(request, str) else None


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    entity = as_text(attributes.get(OpenLLMetry.ENTITY_NAME))
    place(reading, attributes, OpenLLMetry.PROPERTIES)
    if reading.kind == SpanKind.WORKFLOW:
        span.agent = None  # the graph's or the crew's own name
    if reading.kind == SpanKind.TOOL:
        span.tool_name = as_text(attributes.get(GenAI.TOOL_NAME)) or entity or raw.name.removesuffix(".tool")
        for name in (*GenAI.TOOL_ARGUMENTS, OpenLLMetry.ENTITY_INPUT):
            reading.set_arguments(attributes.get(name))
        for name in (*GenAI.TOOL_RESULT, OpenLLMetry.ENTITY_OUTPUT):
            reading.set_result(attributes.get(name))
    elif reading.kind == SpanKind.AGENT and span.agent is None:
        span.agent = entity or raw.name.removesuffix(".agent")
    reading.set_input(_flattened(reading, OpenLLMetry.PROMPTS))
    reading.set_output(_flattened(reading, OpenLLMetry.COMPLETIONS))
    if reading.kind in (SpanKind.WORKFLOW, SpanKind.AGENT, SpanKind.OTHER, SpanKind.RETRIEVER):
        for name, put in (
            (OpenLLMetry.ENTITY_INPUT, reading.set_input),
            (OpenLLMetry.ENTITY_OUTPUT, reading.set_output),
        ):
            if value := as_text(attributes.get(name)):
                put([reading.contents.put(value)])


def _flattened(reading: Reading, group: str) -> list[int]:
    prefix = group + "."
    pairs = [
        (name[len(prefix) :], value)
        for name, value in reading.attributes.items()
        if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1].isdigit()
    ]
    if not pairs:
        return reading.messages(group, answers=group == OpenLLMetry.COMPLETIONS)
    if reading.span.finish_reason is None:
        reading.span.finish_reason = next((as_text(v) for path, v in pairs if path.endswith(".finish_reason")), None)
    ids = reading.contents.put_messages(unflatten(pairs))
    for path, _ in pairs:
        reading.replaced[prefix + path] = None
    reading.replaced[group] = {"$messages": ids}
    return ids


ADAPTER = Adapter("openllmetry", recognises, kind, read)
