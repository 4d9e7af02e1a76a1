"""What single frameworks write beside a convention: Strands, Microsoft Agent Framework, AG2, Haystack.

They speak OTel GenAI where it has a word; here is the rest. Asked before the GenAI adapter and, where they know
nothing, silent.
"""

from __future__ import annotations

from tracer.model import Purpose, RawSpan, SpanKind, SpanStatus
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_bool, as_float, as_text
from tracer.semconv import Frameworks, GenAI

_AG2: dict[str, str] = {
    "agent": SpanKind.AGENT,
    "llm": SpanKind.LLM,
    "tool": SpanKind.TOOL,
    "handoff": SpanKind.HANDOFF,
    "code_execution": SpanKind.TOOL,
    "human_input": SpanKind.WAIT,
    "speaker_selection": SpanKind.DECISION,
    "conversation": SpanKind.OTHER,
    "multi_conversation": SpanKind.OTHER,
    "envelope": SpanKind.MESSAGE,
    "usage": SpanKind.OTHER,
    "channel": SpanKind.OTHER,
    "task": SpanKind.OTHER,
    "agent_lifetime": SpanKind.OTHER,
    "agent_event": SpanKind.OTHER,
}
_NAMES: dict[str, str] = {
    "workflow.run": SpanKind.WORKFLOW,
    "workflow.build": SpanKind.OTHER,
    "executor.process": SpanKind.OTHER,
    "edge_group.process": SpanKind.OTHER,
    "message.send": SpanKind.OTHER,
    "haystack.pipeline.run": SpanKind.WORKFLOW,
    "haystack.agent.run": SpanKind.AGENT,
    "haystack.agent.step.llm": SpanKind.LLM,
    "haystack.agent.step.tool": SpanKind.TOOL,
    "haystack.component.run": SpanKind.OTHER,
    "haystack.chat_generator.run": SpanKind.OTHER,
}
_OPERATIONS: dict[str, str] = {
    "invoke_swarm": SpanKind.WORKFLOW,
    "invoke_graph": SpanKind.WORKFLOW,
    "await_human_input": SpanKind.WAIT,
}
_OWN = frozenset({"ag2", "haystack", "workflow", "executor", "edge_group", "message"})
_MARKS = (Frameworks.TOOL_STATUS, Frameworks.FIRST_TOKEN_MS)


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    if not words.isdisjoint(_OWN) or raw.name.startswith("haystack."):
        return "ag2" in words or raw.name.split(" ", 1)[0] in _NAMES
    attributes = raw.attributes
    return "gen_ai" in words and (
        as_text(attributes.get(GenAI.OPERATION)) in _OPERATIONS or any(name in attributes for name in _MARKS)
    )


def kind(raw: RawSpan) -> str | None:
    attributes = raw.attributes
    named = attributes.get(Frameworks.AG2_TYPE)
    if isinstance(named, str) and named in _AG2:
        return _AG2[named]
    operation = attributes.get(GenAI.OPERATION)
    if isinstance(operation, str):
        return _OPERATIONS.get(operation)
    return _NAMES.get(raw.name.split(" ", 1)[0])


def read(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    failed = attributes.get(Frameworks.TOOL_STATUS) == "error" or as_bool(attributes.get(Frameworks.HAYSTACK_ERROR))
    if failed and reading.raw.end_ns is not None:
        span.status = SpanStatus.ERROR.value
        span.error_message = reading.raw.status_message or None
    match reading.kind:
        case SpanKind.LLM:
            milliseconds = as_float(attributes.get(Frameworks.FIRST_TOKEN_MS))
            if span.ttft_ns is None and milliseconds is not None and milliseconds >= 0:
                span.ttft_ns = round(milliseconds * 1e6)
        case SpanKind.TOOL if Frameworks.HAYSTACK_TOOL in attributes:
            span.tool_name = as_text(attributes[Frameworks.HAYSTACK_TOOL])
            reading.set_arguments(attributes.get(Frameworks.HAYSTACK_TOOL_INPUT))
            reading.set_result(attributes.get(Frameworks.HAYSTACK_TOOL_OUTPUT))
        case SpanKind.TOOL:
            for event in reading.raw.events:  # Strands: the call is an event, the answer another one
                if event.name == GenAI.EVENT_TOOL:
                    reading.set_arguments(event.attributes.get("content"))
                elif event.name == GenAI.EVENT_CHOICE:
                    reading.set_result(event.attributes.get("message"))
        case SpanKind.WORKFLOW:
            span.agent = None  # Strands writes "swarm" and "graph" as the name of an agent
            span.workflow = span.workflow or as_text(attributes.get(Frameworks.WORKFLOW_NAME))
        case SpanKind.DECISION:
            span.purpose, span.choice = Purpose.ROUTE.value, as_text(attributes.get(Frameworks.AG2_SELECTED))
        case SpanKind.WAIT:
            span.reason, span.wait_for = "human", ["human"]
        case _:
            pass


ADAPTER = Adapter("frameworks", recognises, kind, read)
