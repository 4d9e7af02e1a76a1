"""Logfire's own integrations: spans named by templates, their data in attributes called as in the library that is instrumented.

OpenAI Agents come as `Agent run: {name!r}`, `Function: {name}`, `Handoff: {from_agent} → {to_agent}` without a kind. A streamed call of
a client comes twice, without a word of it being the same one:

    Chat Completion with 'gpt-4o'                        |==|           until the stream was opened
    streaming response from 'gpt-4o' took 0.12s                 |       a log at its end: tokens, answer, cost
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tracer.model import RawSpan, Span, SpanKind
from tracer.normalise.duplicates import take_call, take_error
from tracer.normalise.messages import message_list
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_float, as_object, as_text, parse_json
from tracer.semconv import GenAI, Logfire, PydanticAI

_AGENTS = "logfire.openai_agents"
_KINDS: dict[str, str] = {
    "OpenAI Agents trace:": SpanKind.WORKFLOW,
    "Agent run:": SpanKind.AGENT,
    "Function:": SpanKind.TOOL,
    "Handoff:": SpanKind.HANDOFF,
    "Guardrail ": SpanKind.GUARDRAIL,
}
_STREAMED = "streaming response from "
_CHOICE = "gen_ai.choice"
SCOPE = '"logfire.'
"""how its scopes begin, in the attributes of stored spans"""


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return raw.scope.startswith("logfire.")


def kind(raw: RawSpan) -> str | None:
    if raw.scope != _AGENTS:
        return None
    said = as_text(raw.attributes.get(Logfire.MESSAGE)) or raw.name  # whose name an export of ours has made a plain one
    return next((str(found) for prefix, found in _KINDS.items() if said.startswith(prefix)), None)


def read(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    named = as_text(attributes.get(Logfire.NAME))
    span.name = (as_text(attributes.get(Logfire.MESSAGE)) or span.name).partition(" failed: ")[0]
    if reading.raw.scope == _AGENTS:
        match reading.kind:
            case SpanKind.WORKFLOW:
                span.name = named or span.name
                group = as_text(attributes.get(Logfire.GROUP_ID))
                span.session_id = span.session_id or (None if group == "null" else group)
            case SpanKind.AGENT:
                span.agent = span.agent or named
            case SpanKind.TOOL:
                span.tool_name = span.tool_name or named
                reading.set_arguments(attributes.get(Logfire.INPUT))
                reading.set_result(attributes.get(Logfire.OUTPUT))
            case SpanKind.HANDOFF:
                span.agent = as_text(attributes.get(Logfire.HANDOFF_FROM))
                span.target_agent = as_text(attributes.get(Logfire.HANDOFF_TO))
            case _:
                pass
        failed = as_object(attributes.get(Logfire.ERROR))
        span.error_message = span.error_message or as_text(failed.get("message"))
    if reading.kind == SpanKind.LLM and GenAI.INPUT_MESSAGES not in attributes:
        _messages(reading)


def _messages(reading: Reading) -> None:
    """All of a call in one list, of which what the model said last is the answer; older versions have an attribute for that."""
    attributes = reading.attributes
    asked, answered = as_object(attributes.get(Logfire.REQUEST)), as_object(attributes.get(Logfire.RESPONSE))
    events = parse_json(attributes.get(PydanticAI.EVENTS))
    if isinstance(events, list):
        found = [_event(cast("Mapping[str, Any]", e)) for e in cast("list[Any]", events) if isinstance(e, Mapping)]
        messages = message_list(found) or []
    else:
        messages = message_list(asked.get("messages")) or []
    answers: list[dict[str, Any]] = []
    if isinstance(answered.get("message"), Mapping):
        answers = message_list([answered["message"]]) or []
    else:
        while messages and messages[-1].get("role") == "assistant" and GenAI.RESPONSE_MODEL in attributes:
            answers.insert(0, messages.pop())
    given, got = reading.contents.put_messages(messages), reading.contents.put_messages(answers)
    if given or got:
        reading.replaced[PydanticAI.EVENTS if isinstance(events, list) else Logfire.REQUEST] = {
            "$messages": given + got
        }
    reading.set_input(given)
    reading.set_output(got)


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    message = {key: value for key, value in event.items() if not key.startswith(("event.", "gen_ai."))}
    if event.get("event.name") == _CHOICE and isinstance(message.get("message"), Mapping):
        message = dict(cast("Mapping[str, Any]", message["message"]))
    if message.get("role") == "tool" and "id" in message:
        message["tool_call_id"] = message.pop("id")
    return message


def join_streams(forest: Forest) -> None:
    """The log at the end of a stream becomes a duplicate of the call beside it that opened the stream, which takes its tokens."""
    logs = [position for position, span in enumerate(forest.spans) if _is_stream(span)]
    taken = set[int]()
    for at in sorted(logs, key=lambda position: forest.spans[position].start_ns):
        log = forest.spans[at]
        seconds = as_float(as_object(log.attributes).get(Logfire.DURATION)) or 0.0
        upper = forest.parent[at]
        beside = forest.children[upper] if upper >= 0 else forest.roots
        opened = [
            position
            for position in beside
            if position not in taken and _opens(forest.spans[position], log, log.start_ns - round(seconds * 1e9))
        ]
        if opened:
            call = max(opened, key=lambda position: (forest.spans[position].start_ns, forest.spans[position].span_id))
            taken.add(call)
            take_call(forest.spans[call], log)
            take_error(forest.spans[call], log)


def _is_stream(span: Span) -> bool:
    return span.kind == SpanKind.LLM and span.name.startswith(_STREAMED) and SCOPE in span.attributes


def _opens(call: Span, log: Span, began_ns: int) -> bool:
    return (
        call.kind == SpanKind.LLM
        and call.trace_id == log.trace_id
        and call.response_id is None
        and call.input_tokens in (None, log.input_tokens)  # taken over before
        and not _is_stream(call)
        and call.start_ns <= began_ns
        and call.input_refs == log.input_refs
    )


ADAPTER = Adapter("logfire", recognises, kind, read)
