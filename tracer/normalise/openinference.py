"""OpenInference (Arize): flattened messages, sampling parameters and graph metadata in JSON strings."""

from __future__ import annotations

import re
from typing import Any

from tracer.model import RawSpan, SpanKind
from tracer.normalise import llamaindex
from tracer.normalise.langgraph import GENERIC_NODES, place
from tracer.normalise.messages import message_list, nested_messages, unflatten
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_float, as_object, as_text
from tracer.semconv import GenAI, LangGraph, OpenInference

KINDS: dict[str, str] = {
    "LLM": SpanKind.LLM,
    "EMBEDDING": SpanKind.EMBEDDING,
    "CHAIN": SpanKind.OTHER,
    "RETRIEVER": SpanKind.RETRIEVER,
    "RERANKER": SpanKind.RETRIEVER,
    "TOOL": SpanKind.TOOL,
    "AGENT": SpanKind.AGENT,
    "GUARDRAIL": SpanKind.GUARDRAIL,
    "EVALUATOR": SpanKind.OTHER,
    "PROMPT": SpanKind.OTHER,
}

_RESPONSE_ID = re.compile(r'^\s*\{\s*"id"\s*:\s*"([^"]{4,120})"')
_RESPONSE_METADATA = re.compile(
    r'"response_metadata"\s*:\s*\{(?:[^{}]|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})*?"id"\s*:\s*"([^"]{4,120})"'
)
"""LangChain's messages: the id stands beside the token counts, which nest twice"""
_HANDOFF_NAME = re.compile(r"handoff to (.+)", re.IGNORECASE)
_METHODS = re.compile(
    r"^(.+?)\.(?:run|run_stream|run_async|run_async_generator|arun|on_messages|on_messages_stream|invoke|ainvoke|kickoff|_execute_core)$"
)
_HAYSTACK = "openinference.instrumentation.haystack"
_STOP_REASON = re.compile(r'"stop_reason"\s*:\s*"([^"]*)"\s*\}\s*$')


_OPENAI_AGENTS = "openinference.instrumentation.openai_agents"
_ADK = "gcp.vertex.agent"
"""scope of Google ADK's spans, to which its instrumentor adds"""


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "openinference" in words


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(OpenInference.KIND)
    if not isinstance(named, str):
        return None
    found = KINDS.get(named.upper(), SpanKind.OTHER)
    if found == SpanKind.TOOL and OpenInference.TOOL_NAME not in raw.attributes and _HANDOFF_NAME.fullmatch(raw.name):
        return SpanKind.HANDOFF
    if raw.scope == _HAYSTACK and found == SpanKind.OTHER and raw.name.startswith("Agent.run"):
        return SpanKind.AGENT  # a component like others to its instrumentor; Haystack's agents have no names
    return llamaindex.kind(raw.name, found) if raw.scope == llamaindex.SCOPE else found


def read(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    metadata = as_object(attributes.get(OpenInference.METADATA))
    if metadata:
        _graph(reading, metadata)
    if raw.scope == llamaindex.SCOPE:
        span.agent = span.agent or llamaindex.speaker(raw.name, attributes.get(OpenInference.INPUT_VALUE))
    match reading.kind:
        case SpanKind.LLM:
            _llm(reading)
        case SpanKind.TOOL:
            span.tool_name = span.tool_name or raw.name.removesuffix(".__call__")  # DSPy
            reading.set_arguments(attributes.get(OpenInference.TOOL_CALL_ARGUMENTS))  # AG2: the input is the whole call
            reading.set_arguments(attributes.get(OpenInference.INPUT_VALUE))
            reading.set_result(attributes.get(OpenInference.OUTPUT_VALUE))
        case SpanKind.HANDOFF:
            span.agent = as_text(attributes.get(OpenInference.INPUT_VALUE)) or span.agent
            named = _HANDOFF_NAME.fullmatch(raw.name)
            span.target_agent = as_text(attributes.get(OpenInference.OUTPUT_VALUE)) or (named[1] if named else None)
        case SpanKind.AGENT:
            if span.agent_id is None and span.agent is None:  # a graph node is named in the metadata
                span.agent = _named(raw.name) or as_text(attributes.get(OpenInference.NODE_ID))
                if span.agent is None and raw.scope == _OPENAI_AGENTS and raw.end_ns is not None:
                    # One call of Runner.run, wherever it is made: agents are nodes, which is said when they end.
                    span.kind = SpanKind.WORKFLOW.value
                else:
                    span.agent = span.agent or agent_of_name(raw.name, root=raw.parent_span_id is None)
        case SpanKind.RETRIEVER:
            _documents(reading)
        case _:
            pass
    if reading.kind not in (SpanKind.LLM, SpanKind.HANDOFF):
        _flattened(reading, OpenInference.INPUT_MESSAGES)
        _flattened(reading, OpenInference.OUTPUT_MESSAGES)
    if reading.kind != SpanKind.HANDOFF:
        _value(reading, OpenInference.INPUT_VALUE, reading.set_input)
        _value(reading, OpenInference.OUTPUT_VALUE, reading.set_output)
    output = attributes.get(OpenInference.OUTPUT_VALUE)
    if reading.kind == SpanKind.OTHER and isinstance(output, str) and (stop := _STOP_REASON.search(output[-600:])):
        span.finish_reason = stop[1]


def _named(name: str) -> str | None:
    """The agent in a name such as `invoke_agent researcher`, whose node in the graph its processor only numbers (Strands)."""
    operation, _, agent = name.partition(" ")
    return agent or None if operation == "invoke_agent" else None


def agent_of_name(name: str, *, root: bool) -> str | None:
    """The agent in a span name such as `researcher.on_messages_stream`; a bare name counts below the root only.

    A root AGENT span with a bare name is the run as a whole (OpenAI Agents names it after the workflow).
    """
    method = _METHODS.match(name)
    if method:
        return method[1]
    return None if root or name in GENERIC_NODES else name


def _graph(reading: Reading, metadata: dict[str, Any]) -> None:
    """LangGraph: the outermost node of the checkpoint namespace is the agent, with its task id as instance."""
    span = reading.span
    named = span.agent
    if place(reading, metadata) and OpenInference.AGENT_NAME in reading.attributes:
        span.agent = named
    target = as_text(metadata.get(LangGraph.HANDOFF_DESTINATION))
    if target and reading.kind == SpanKind.TOOL:
        span.kind = SpanKind.HANDOFF.value
        span.target_agent = target


def _llm(reading: Reading) -> None:
    span, attributes, raw = reading.span, reading.attributes, reading.raw
    parameters = as_object(attributes.get(OpenInference.INVOCATION_PARAMETERS))
    if parameters:
        if span.temperature is None:
            span.temperature = as_float(parameters.get("temperature"))
        span.model = span.model or as_text(parameters.get("model")) or as_text(parameters.get("model_name"))
    if raw.scope == _ADK and (seller := as_text(attributes.get(GenAI.PROVIDER[0]))):
        span.provider = seller  # its instrumentor writes google on every model, those of LiteLLM too
    reading.set_input(_flattened(reading, OpenInference.INPUT_MESSAGES))
    reading.set_output(_flattened(reading, OpenInference.OUTPUT_MESSAGES))
    for name, known, put in (
        (OpenInference.INPUT_VALUE, span.input_refs, reading.set_input),
        (OpenInference.OUTPUT_VALUE, span.output_refs, reading.set_output),
    ):
        if known is None and (found := message_list(attributes.get(name))):
            put(reading.contents.put_messages(found))
    output = attributes.get(OpenInference.OUTPUT_VALUE)
    if span.response_id is None and isinstance(output, str):
        known = _RESPONSE_ID.match(output) or (
            _RESPONSE_METADATA.search(output) if "response_metadata" in output else None
        )
        span.response_id = known[1] if known else None
    for event in raw.events:
        if event.name == OpenInference.FIRST_TOKEN_EVENT and span.ttft_ns is None:
            span.ttft_ns = max(0, event.time_ns - raw.start_ns)


def _flattened(reading: Reading, group: str) -> list[int]:
    """Store the messages under `group`.N. once; one key with their ids replaces all of theirs."""
    prefix = group + "."
    cut = len(prefix)
    pairs = [(name[cut:], value) for name, value in reading.attributes.items() if name.startswith(prefix)]
    if not pairs:
        if found := nested_messages(reading.attributes.get(group)):
            ids = reading.contents.put_messages(found)
            reading.replaced[group] = {"$messages": ids}
            return ids
        return []
    ids = reading.contents.put_messages(unflatten(pairs))
    for path, _ in pairs:
        reading.replaced[prefix + path] = None
    reading.replaced[group] = {"$messages": ids}
    return ids


def _documents(reading: Reading) -> None:
    prefix = "retrieval.documents."
    bodies = [
        value
        for name, value in reading.attributes.items()
        if name.startswith(prefix) and name.endswith(".document.content") and isinstance(value, str)
    ]
    reading.set_output([reading.contents.put(body) for body in bodies])


def _value(reading: Reading, name: str, put: Any) -> None:
    value = reading.attributes.get(name)
    if value not in (None, ""):
        put([reading.contents.put_value(value)])


ADAPTER = Adapter("openinference", recognises, kind, read)
