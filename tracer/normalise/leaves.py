"""Spans of our own recorder, read by column, thousands at a time.

Most spans of a run are leaves: calls of models and tools, decisions, reads and writes of state. Nothing hangs from them,
and what the run does to them is what their parent passes on: agent, run, workflow, session. So they need no row of their
own while they are read and while their run is resolved. What they do to the run is in few numbers (`Hanging`). Where all
of a run is as plain as that, what its leaves hang from is read here, too: the workflow, its agents, their handoffs.

Only spans that say nothing unusual are read here. The rest goes the general way (`build.normalise`), span by span, which
this module must agree with to the last column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tracer.model import RawSpan, SpanKind, SpanStatus
from tracer.normalise.build import Origin, Shape, look_at
from tracer.normalise.contents import Contents
from tracer.normalise.langgraph import CONTROL_FLOW, PAUSED
from tracer.normalise.mapping import Converter
from tracer.normalise.reading import COUNTED, hash_of_ids, names_agents
from tracer.normalise.values import as_int, as_text
from tracer.pricing import NO_PROVIDERS, Prices, Usage
from tracer.semconv import Common, Frameworks, GenAI, OpenInference, PydanticAI, Stored, Tracehound

Body = dict[str, Any]
"""a span as our recorder wrote it: the JSON object of a segment"""

KEYS = frozenset(
    {"trace_id", "span_id", "name", "start_ns", "parent_span_id", "end_ns", "status", "attributes", "content"}
    | {"scope", "dropped_attributes"}
)
"""what such a span may have; one with events, links or a resource of its own goes the general way"""
_NEEDED = frozenset({"trace_id", "span_id", "name", "start_ns", "end_ns", "attributes"})
KINDS = frozenset(
    {
        SpanKind.LLM,
        SpanKind.TOOL,
        SpanKind.RETRIEVER,
        SpanKind.EMBEDDING,
        SpanKind.DECISION,
        SpanKind.STATE_READ,
        SpanKind.STATE_WRITE,
    }
)
"""kinds that only take from what is above them"""
_ABOVE: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    SpanKind.WORKFLOW: (
        frozenset({"agent", "agent_id", "target_agent", "finish_reason"}),
        frozenset({Tracehound.OUTCOME, Tracehound.SOURCE_ID}),
    ),
    SpanKind.AGENT: (
        frozenset({"workflow", "session_id", "user_id", "agent_id", "target_agent", "finish_reason"}),
        frozenset({Frameworks.SMOLAGENTS_MAX_STEPS}),
    ),
    SpanKind.HANDOFF: (frozenset({"workflow", "session_id", "user_id", "agent_id"}), frozenset()),
}
"""kinds that leaves hang from or stand beside -> (columns, attributes) that none of a plain run may have"""
_CONVENTIONS = frozenset({"tracehound", "otel_genai"})
_READ_BY_ADAPTERS = frozenset(
    {
        Tracehound.PROGRESS,
        Tracehound.USER_VISIBLE,
        Tracehound.RUN_ID,
        Tracehound.CANCELLED,
        Tracehound.COST_USD,
        Tracehound.SYNTHETIC_TIME,
        Tracehound.INPUT,
        Tracehound.OUTPUT,
        GenAI.SYSTEM_INSTRUCTIONS,
        GenAI.INPUT_MESSAGES,
        GenAI.OUTPUT_MESSAGES,
        *GenAI.TOOL_ARGUMENTS,
        *GenAI.TOOL_RESULT,
        GenAI.RETRIEVAL_QUERY,
        GenAI.RETRIEVAL_DOCUMENTS,
        OpenInference.COST_TOTAL,
        PydanticAI.COST,
        Stored.SCOPE,
        Stored.RESOURCE,
    }
)
"""attributes that take more than the mapping table"""
_TELLS_THE_RUN = frozenset({"workflow", "session_id", "user_id", "target_agent", "agent_id"})
"""columns by which a span says something of its whole run"""
_SLOTS = ({"input"}, {"output"}, {"input", "output"}, set[str]())
_HASHES = {"input": "args_hash", "output": "result_hash"}
_TOOL, _AGENT = "execute_tool ", "invoke_agent "


@dataclass(frozen=True, slots=True)
class LeafShape:
    """What leaves with the same names in them have in common."""

    shape: Shape
    kind: str
    convention: str
    names: tuple[str, ...]
    """of the attributes, in the order in which they stand"""
    failed: bool
    """status error"""


def may_be_read(body: Body) -> bool:
    """Whether a span may be read by column, by what it has; `leaf_shape` tells the rest."""
    return _readable(tuple(body)) and type(body["name"]) is str and type(body["attributes"]) is dict


@lru_cache(1024)
def _readable(keys: tuple[str, ...]) -> bool:
    return set(keys) >= _NEEDED and (KEYS.issuperset(keys) or (_WITH_ERROR.issuperset(keys)))


_WITH_ERROR = KEYS | {"status_message"}


def shape_key(body: Body, scope: str) -> tuple[object, ...]:
    """Bodies with equal keys have the same `leaf_shape` (`Adapter.recognises` says why)."""
    attributes = body["attributes"]
    operation, kind = attributes.get(GenAI.OPERATION), attributes.get(Tracehound.KIND)
    content = body.get("content")
    return (
        tuple(attributes),
        scope,
        body["name"].partition(" ")[:2],
        operation if isinstance(operation, str) else None,
        kind if isinstance(kind, str) else None,
        tuple(content) if content else None,
        body.get("status") == "error",
    )


def leaf_shape(raw: RawSpan) -> LeafShape | None:
    """The shape of `raw` and of all that have its key; None where they go the general way."""
    names = tuple(raw.attributes)
    shape = look_at(raw)
    if not (_CONVENTIONS.issuperset(adapter.name for adapter in shape.speaking) and shape.speaking):
        return None
    if not _READ_BY_ADAPTERS.isdisjoint(names) or set(raw.content) not in _SLOTS:
        return None
    failed = raw.status == "error"
    if raw.status_message and not failed:
        return None
    named = ((adapter.kind(raw), adapter.name) for adapter in shape.speaking)
    kind, convention = next(((str(kind), name) for kind, name in named if kind is not None), ("", ""))
    columns, attributes = _ABOVE.get(kind, (_TELLS_THE_RUN, frozenset()))
    if (kind not in KINDS and kind not in _ABOVE) or (kind == SpanKind.HANDOFF and convention != "tracehound"):
        return None
    if failed and kind == SpanKind.TOOL and convention != "tracehound":
        return None  # it may be a request to an agent that was given up (`unanswered`)
    if any(column in columns for column, _, _ in shape.plan) or not attributes.isdisjoint(names):
        return None
    return LeafShape(shape, kind, convention, names, failed)


def read_leaves(
    bodies: Sequence[Body], found: LeafShape, origin: Origin, scope: str, contents: Contents, prices: Prices
) -> tuple[dict[str, Sequence[Any]], dict[str, Any]] | None:
    """(columns, columns that are the same in all rows) of spans of one shape; None where a value is unusual after all."""
    held = [body["attributes"] for body in bodies]
    values = dict(zip(found.names, zip(*[each.values() for each in held], strict=True), strict=True))
    columns: dict[str, Sequence[Any]] = {
        name: [body[name] for body in bodies] for name in ("trace_id", "span_id", "name", "start_ns", "end_ns")
    }
    columns["parent_span_id"] = [body.get("parent_span_id") or None for body in bodies]
    columns["run_id"] = columns["trace_id"]
    columns["dropped_attributes"] = [body.get("dropped_attributes", 0) for body in bodies]
    for column, name, convert in found.shape.plan:
        better = _converted(values[name], convert)
        known = columns.get(column)
        columns[column] = (
            better if known is None else [old if new is None else new for old, new in zip(known, better, strict=True)]
        )
    for slot in bodies[0].get("content", ()):  # the same in all
        columns[f"{slot}_refs"] = [body["content"][slot] for body in bodies]
        if found.kind == SpanKind.TOOL:
            columns[_HASHES[slot]] = [hash_of_ids(body["content"][slot]) for body in bodies]
    if any(adapter.name == "otel_genai" for adapter in found.shape.speaking):
        _named(columns, "tool_name", _TOOL, len(bodies))
        if found.kind == SpanKind.AGENT:
            _named(columns, "agent", _AGENT, len(bodies))
    if found.failed and not _failed(columns, bodies, values):
        return None
    if found.kind == SpanKind.TOOL and any(map(names_agents, set(columns.get("tool_name", ())))):
        return None
    if PAUSED in columns.get("finish_reason", ()):
        return None
    if "provider" in columns:
        columns["provider"] = [
            None if provider is not None and provider.lower() in NO_PROVIDERS else provider
            for provider in columns["provider"]
        ]
    if found.kind in COUNTED:
        if not _priced(columns, len(bodies), prices):
            return None
    else:
        for column in _COUNTED_COLUMNS & columns.keys():
            del columns[column]
    same: dict[str, Any] = {}
    if scope:
        same[Stored.SCOPE] = scope
    if origin.rest is not None:
        same[Stored.RESOURCE] = {"$content": origin.rest}
    columns["attributes"] = contents.encode_all(values, same, len(bodies))
    return columns, {
        "kind": found.kind,
        "status": SpanStatus.ERROR.value if found.failed else SpanStatus.OK.value,
        "convention": found.convention,
        "service": origin.service,
        "service_version": origin.service_version,
        "environment": origin.environment,
        "release": origin.release,
        "pid": origin.pid,
        "agent_inferred": False,
        "progress": False,
        "user_visible": False,
    }


_COUNTED_COLUMNS = frozenset(
    {"input_tokens", "output_tokens", "reasoning_tokens", "cached_tokens", "cache_write_tokens"}
)


def _converted(values: Sequence[Any], convert: Converter) -> Sequence[Any]:
    kinds = set(map(type, values))
    if kinds == {str} and convert is as_text:
        return [value or None for value in values]
    if kinds == {int} and convert is as_int and min(values) >= 0 and max(values) < 2**63:
        return values
    return [convert(value) for value in values]


def _named(columns: dict[str, Sequence[Any]], column: str, operation: str, rows: int) -> None:
    """`execute_tool search` names the tool, `invoke_agent desk` the agent, where no attribute does."""
    names = columns["name"]
    if not names[0].startswith(operation):  # the first word is part of the shape
        return
    known = columns.get(column, [None] * rows)
    columns[column] = [given or name[len(operation) :] for given, name in zip(known, names, strict=True)]


def _failed(columns: dict[str, Sequence[Any]], bodies: Sequence[Body], values: Mapping[str, Sequence[Any]]) -> bool:
    """Add what went wrong; False where it may be no error but control that is passed (`build` knows)."""
    told = values.get(Common.ERROR_TYPE)
    kinds = [None] * len(bodies) if told is None else [as_text(value) for value in told]
    messages: list[str] = [body.get("status_message", "") for body in bodies]
    for kind, message in zip(kinds, messages, strict=True):
        if kind == "Exception" or (kind or "").rsplit(".", 1)[-1] in CONTROL_FLOW:
            return False
        if message.split("(", 1)[0] in CONTROL_FLOW:
            return False
    columns["error_type"], columns["error_message"] = kinds, [message or None for message in messages]
    return True


def _priced(columns: dict[str, Sequence[Any]], rows: int, prices: Prices) -> bool:
    """Add cost_usd and cost_source; False where cached tokens do not fit into the input (`build` mends that)."""
    nothing: Sequence[Any] = [None] * rows

    def column(name: str) -> Sequence[Any]:
        return columns.get(name, nothing)

    usages = zip(
        *map(column, ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")),
        strict=True,
    )
    costs: list[Any] = []
    sources: list[str | None] = []
    for (sent, got, cached, written, reasoned), model, provider, start_ns in zip(
        usages, column("model"), column("provider"), columns["start_ns"], strict=True
    ):
        if sent is not None and (cached or 0) + (written or 0) > sent:
            return False
        cost, source = None, None
        if model is not None:
            usage = Usage(
                input_tokens=sent,
                output_tokens=got,
                cached_tokens=cached,
                cache_write_tokens=written,
                reasoning_tokens=reasoned,
            )
            cost, source = prices.price(model, provider, usage, start_ns)
        costs.append(cost)
        sources.append(source)
    columns["cost_usd"], columns["cost_source"] = costs, sources
    return True
