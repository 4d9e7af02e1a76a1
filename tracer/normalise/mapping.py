"""The one mapping table: which attribute fills which column, per convention.

A cell lists the spellings, the preferred one first. What needs more than a look-up (messages, agent names inside
JSON metadata, sampling parameters) is in the adapter of the convention. Source: conventions of OTel GenAI, OpenInference
0.1.42, OpenLLMetry 0.62, Pydantic AI 2.68, Vercel AI SDK 3-6, LangSmith 0.15, Langfuse SDK 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from tracer.model import Span
from tracer.normalise.values import as_float, as_int, as_sent_tokens, as_text, as_texts, first_text, seconds_as_ns
from tracer.semconv import (
    Common,
    GenAI,
    GoogleADK,
    Langfuse,
    LangSmith,
    OpenInference,
    OpenLLMetry,
    PydanticAI,
    Tracehound,
    VercelAI,
)

Converter = Callable[[Any], Any]
Names = str | tuple[str, ...]
Rule = tuple[str, int, Converter]
"""(column, rank among the spellings, converter)"""

TABLE: dict[str, tuple[Converter, dict[str, Names]]] = {
    "workflow": (
        as_text,
        {
            "tracehound": Tracehound.WORKFLOW,
            "otel_genai": GenAI.WORKFLOW_NAME,
            "openllmetry": OpenLLMetry.WORKFLOW_NAME,
            "langfuse": Langfuse.TRACE_NAME,
        },
    ),
    "agent": (
        as_text,
        {
            "tracehound": Tracehound.AGENT,
            "otel_genai": GenAI.AGENT_NAME,
            "openinference": OpenInference.AGENT_NAME,
            "openllmetry": (GenAI.AGENT_NAME, OpenLLMetry.AGENT_ROLE, OpenLLMetry.HANDOFF_FROM),
            "pydantic_ai": (GenAI.AGENT_NAME, PydanticAI.AGENT_NAME),
            "vercel_ai": VercelAI.FUNCTION_ID,
        },
    ),
    "agent_id": (as_text, {"tracehound": Tracehound.AGENT_ID, "otel_genai": GenAI.AGENT_ID}),
    "session_id": (
        as_text,
        {
            "otel_genai": (GenAI.CONVERSATION_ID, Common.SESSION_ID),
            "openinference": OpenInference.SESSION_ID,
            "openllmetry": (GenAI.CONVERSATION_ID, *OpenLLMetry.SESSION_ID),
            "vercel_ai": VercelAI.SESSION_ID,
            "langsmith": LangSmith.SESSION_ID,
            "langfuse": Langfuse.SESSION_ID,
            "google_adk": GoogleADK.SESSION_ID,
        },
    ),
    "user_id": (
        as_text,
        {
            "otel_genai": Common.USER_ID,
            "openinference": OpenInference.USER_ID,
            "openllmetry": OpenLLMetry.USER_ID,
            "vercel_ai": VercelAI.USER_ID,
            "langsmith": LangSmith.USER_ID,
            "langfuse": Langfuse.USER_ID,
        },
    ),
    "tags": (
        as_texts,
        {
            "otel_genai": Common.TAGS,
            "openinference": OpenInference.TAGS,
            "langsmith": LangSmith.TAGS,
            "langfuse": Langfuse.TAGS,
        },
    ),
    "model": (
        as_text,
        {
            "otel_genai": (GenAI.RESPONSE_MODEL, GenAI.REQUEST_MODEL),
            "openinference": (
                OpenInference.RESPONSE_MODEL,
                OpenInference.MODEL,
                OpenInference.EMBEDDING_MODEL,
                OpenInference.REQUEST_MODEL,
            ),
            "pydantic_ai": PydanticAI.MODEL_NAME,
            "vercel_ai": (VercelAI.RESPONSE_MODEL, GenAI.RESPONSE_MODEL, VercelAI.MODEL),
            "langsmith": (GenAI.RESPONSE_MODEL, GenAI.REQUEST_MODEL, LangSmith.MODEL),
            "langfuse": Langfuse.MODEL,
        },
    ),
    "provider": (
        as_text,
        {
            "otel_genai": GenAI.PROVIDER,
            "openinference": (OpenInference.PROVIDER, OpenInference.SYSTEM),
            "vercel_ai": VercelAI.PROVIDER,
            "langsmith": LangSmith.PROVIDER,
        },
    ),
    "input_tokens": (
        as_sent_tokens,
        {
            "otel_genai": GenAI.INPUT_TOKENS,
            "openinference": OpenInference.INPUT_TOKENS,
            "vercel_ai": (*VercelAI.INPUT_TOKENS, VercelAI.EMBEDDING_TOKENS),
        },
    ),
    "output_tokens": (
        as_int,
        {
            "otel_genai": GenAI.OUTPUT_TOKENS,
            "openinference": OpenInference.OUTPUT_TOKENS,
            "vercel_ai": VercelAI.OUTPUT_TOKENS,
        },
    ),
    "cached_tokens": (
        as_int,
        {
            "otel_genai": GenAI.CACHED_TOKENS,
            "openinference": OpenInference.CACHED_TOKENS,
            "vercel_ai": VercelAI.CACHED_TOKENS,
        },
    ),
    "cache_write_tokens": (
        as_int,
        {
            "otel_genai": GenAI.CACHE_WRITE_TOKENS,
            "openinference": OpenInference.CACHE_WRITE_TOKENS,
            "vercel_ai": VercelAI.CACHE_WRITE_TOKENS,
        },
    ),
    "reasoning_tokens": (
        as_int,
        {
            "otel_genai": GenAI.REASONING_TOKENS,
            "openinference": OpenInference.REASONING_TOKENS,
            "vercel_ai": VercelAI.REASONING_TOKENS,
        },
    ),
    "temperature": (
        as_float,
        {
            "otel_genai": GenAI.TEMPERATURE,
            "vercel_ai": VercelAI.TEMPERATURE,
            "langsmith": LangSmith.TEMPERATURE,
        },
    ),
    "purpose": (as_text, {"tracehound": Tracehound.PURPOSE}),
    "response_id": (
        as_text,
        {
            "otel_genai": GenAI.RESPONSE_ID,
            "vercel_ai": VercelAI.RESPONSE_ID,
        },
    ),
    "finish_reason": (
        first_text,
        {
            "otel_genai": GenAI.FINISH_REASONS,
            "openinference": OpenInference.FINISH_REASON,
            "vercel_ai": VercelAI.FINISH_REASON,
        },
    ),
    "ttft_ns": (seconds_as_ns, {"otel_genai": (GenAI.TIME_TO_FIRST_CHUNK_S, GenAI.CLIENT_FIRST_CHUNK_S)}),
    "prompt_name": (
        as_text,
        {
            "otel_genai": GenAI.PROMPT_NAME,
            "langfuse": Langfuse.PROMPT_NAME,
        },
    ),
    "prompt_version": (
        as_text,
        {
            "otel_genai": GenAI.PROMPT_VERSION,
            "openinference": OpenInference.PROMPT_TEMPLATE_VERSION,
            "langfuse": Langfuse.PROMPT_VERSION,
        },
    ),
    "attempt": (as_int, {"tracehound": Tracehound.ATTEMPT, "pydantic_ai": PydanticAI.RETRY_ATTEMPT}),
    "retry_of": (as_text, {"tracehound": Tracehound.RETRY_OF}),
    "fallback_of": (as_text, {"tracehound": Tracehound.FALLBACK_OF}),
    "tool_name": (
        as_text,
        {
            "otel_genai": GenAI.TOOL_NAME,
            "openinference": OpenInference.TOOL_NAME,
            "vercel_ai": VercelAI.TOOL_NAME,
        },
    ),
    "tool_call_id": (
        as_text,
        {
            "otel_genai": GenAI.TOOL_CALL_ID,
            "openinference": (OpenInference.TOOL_CALL_ID, OpenInference.TOOL_ID),
            "vercel_ai": VercelAI.TOOL_ID,
        },
    ),
    "target_agent": (
        as_text,
        {"tracehound": (Tracehound.TARGET_AGENT, Tracehound.ESCALATION_TO), "openllmetry": OpenLLMetry.HANDOFF_TO},
    ),
    "task_id": (as_text, {"tracehound": Tracehound.TASK_ID}),
    "reason": (as_text, {"tracehound": Tracehound.REASON}),
    "scope_key": (as_text, {"tracehound": Tracehound.SCOPE_KEY}),
    "choice": (as_text, {"tracehound": Tracehound.CHOICE}),
    "wait_for": (as_texts, {"tracehound": Tracehound.WAIT_FOR}),
    "wait_mode": (as_text, {"tracehound": Tracehound.WAIT_MODE}),
    "deadline_ns": (as_int, {"tracehound": Tracehound.WAIT_DEADLINE_NS}),
    "guard": (as_text, {"tracehound": Tracehound.GUARD}),
    "state_key": (as_text, {"tracehound": Tracehound.STATE_KEY}),
    "version_read": (as_int, {"tracehound": Tracehound.VERSION_READ}),
    "version_written": (as_int, {"tracehound": Tracehound.VERSION_WRITTEN}),
    "version_expected": (as_int, {"tracehound": Tracehound.VERSION_EXPECTED}),
    "changed_paths": (as_texts, {"tracehound": Tracehound.CHANGED_PATHS}),
    "value_bytes": (as_int, {"tracehound": Tracehound.VALUE_BYTES}),
    "cas_outcome": (as_text, {"tracehound": Tracehound.CAS_OUTCOME}),
    "step": (as_int, {"tracehound": Tracehound.STEP}),
}
"""column -> (converter, {convention: spellings}); the autogen adapter has no plain columns"""


def _rules() -> dict[str, dict[str, Rule]]:
    rules: dict[str, dict[str, Rule]] = {}
    for column, (convert, cells) in TABLE.items():
        for convention, names in cells.items():
            spellings = (names,) if isinstance(names, str) else names
            for rank, name in enumerate(spellings):
                rules.setdefault(convention, {})[name] = (column, rank, convert)
    return rules


RULES = _rules()
"""convention -> attribute name -> (column, rank among the spellings, converter)"""


@cache
def rules_of(conventions: tuple[str, ...]) -> dict[str, Rule]:
    """The rules of several conventions as one table; those named first outrank the others."""
    merged: dict[str, Rule] = {}
    for order, convention in enumerate(conventions):
        for name, (column, rank, convert) in RULES.get(convention, {}).items():
            merged.setdefault(name, (column, order * 100 + rank, convert))
    return merged


Plan = tuple[tuple[str, str, Converter], ...]
"""(column, attribute name, converter) of the attributes that spans of one shape have; of one column the best spelling last"""


def plan_of(rules: Mapping[str, Rule], names: Iterable[str]) -> Plan:
    """What `fill` does for spans with the attributes `names`."""
    known = [
        (column, rank, name, convert) for name in names if name in rules for column, rank, convert in [rules[name]]
    ]
    known.sort(key=lambda entry: entry[:2], reverse=True)
    return tuple((column, name, convert) for column, _, name, convert in known)


def fill(span: Span, plan: Plan, attributes: Mapping[str, Any]) -> None:
    """Fill the columns of `span` from plain attributes; the best-ranked spelling whose value can be read wins."""
    columns = vars(span)
    for column, name, convert in plan:
        converted = convert(attributes[name])
        if converted is not None:
            columns[column] = converted
