"""Spans of our own recorder, read by column, thousands at a time.

Most spans of a run are leaves: calls of models and tools, decisions, reads and writes of state. Nothing hangs from them,
and what the run does to them is what their parent passes on: agent, run, workflow, session. So they need no row of their
own while they are read and while their run is resolved. What they do to the run is in few numbers (`Hanging`). Where all
of a run is as plain as that, what its leaves hang from is read here, too: the workflow, its agents, their handoffs.

Only spans that say nothing unusual are read here. The rest goes the general way (`build.normalise`), span by span, which
this module must agree with to the last column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from tracer.model import RawSpan, SpanKind, SpanStatus
from tracer.normalise.build import Origin, Shape, look_at
from tracer.normalise.contents import LONG, Contents
from tracer.normalise.langgraph import CONTROL_FLOW, PAUSED
from tracer.normalise.mapping import RULES, Converter
from tracer.normalise.reading import COUNTED, hash_of_ids, names_agents
from tracer.normalise.unanswered import tells_giving_up
from tracer.normalise.values import as_float, as_int, as_sent_tokens, as_text, as_texts, first_text, seconds_as_ns
from tracer.pricing import NO_PROVIDERS, TOKENS, Prices, price_calls
from tracer.semconv import Common, Frameworks, GenAI, LangGraph, OpenInference, PydanticAI, Stored, Tracehound

COLUMN = "value "
"""what stands before the name of an attribute in the name of the column that holds its values"""
READABLE = frozenset({*RULES["tracehound"], *RULES["otel_genai"], Common.ERROR_TYPE, GenAI.OPERATION, Tracehound.KIND})
"""attributes whose values are asked for, each in one type"""
VALUE_TYPES: dict[str, Any] = {"VARCHAR": "VARCHAR", "BIGINT": "BIGINT", "DOUBLE": "DOUBLE", '["VARCHAR"]': ["VARCHAR"]}
"""kind of value in JSON -> type of the column that holds it"""
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
        LangGraph.CHECKPOINT_NS,
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


def leaf_shape(raw: RawSpan) -> LeafShape | None:
    """The shape of `raw` and of all that look like it (`Adapter.recognises`); None where they go the general way."""
    names = tuple(raw.attributes)
    shape = look_at(raw)
    if not (_CONVENTIONS.issuperset(adapter.name for adapter in shape.speaking) and shape.speaking):
        return None
    if not _READ_BY_ADAPTERS.isdisjoint(names) or set(raw.content) not in _SLOTS:
        return None
    if any(name.startswith(Tracehound.CONTENT) for name in names):
        return None
    failed = raw.status == "error"
    if raw.status_message and not failed:
        return None
    named = ((adapter.kind(raw), adapter.name) for adapter in shape.speaking)
    kind, convention = next(((str(kind), name) for kind, name in named if kind is not None), ("", ""))
    columns, attributes = _ABOVE.get(kind, (_TELLS_THE_RUN, frozenset()))
    if (kind not in KINDS and kind not in _ABOVE) or (kind == SpanKind.HANDOFF and convention != "tracehound"):
        return None
    if any(column in columns for column, _, _ in shape.plan) or not attributes.isdisjoint(names):
        return None
    return LeafShape(shape, kind, convention, names, failed)


def read_leaves(
    rows: pl.DataFrame,
    found: LeafShape,
    kinds: Mapping[str, str],
    origin: Origin,
    scope: str,
    contents: Contents,
    prices: Prices,
) -> tuple[pl.DataFrame, dict[str, Any]] | None:
    """(columns, columns that are the same in all rows) of spans of one shape; None where a value is unusual after all.

    `rows` are fields of the records, and the values of attributes as `COLUMN` + name; `kinds` says of each attribute of
    this shape what its values are in JSON, or that they are not in `rows` ("").
    """
    asked = {name: pl.col(name) for name in _AS_THEY_ARE}
    asked["parent_span_id"] = _filled("parent_span_id")
    asked["run_id"] = pl.col("trace_id")
    asked["dropped_attributes"] = pl.col("dropped_attributes").fill_null(0)
    for column, name, convert in found.shape.plan:
        better = _converted(rows, name, kinds[name], convert)
        asked[column] = pl.coalesce(better, asked[column]) if column in asked else better
    if any(adapter.name == "otel_genai" for adapter in found.shape.speaking):
        _named(asked, rows["name"][0], "tool_name", _TOOL)
        if found.kind == SpanKind.AGENT:
            _named(asked, rows["name"][0], "agent", _AGENT)
    if "provider" in asked:
        lowered = asked["provider"].str.to_lowercase()
        asked["provider"] = pl.when(~lowered.is_in(list(NO_PROVIDERS))).then(asked["provider"])
    if found.kind not in COUNTED:
        for column in _COUNTED_COLUMNS & asked.keys():
            del asked[column]
    if found.failed:
        known = Common.ERROR_TYPE in kinds
        asked["error_type"] = (
            _converted(rows, Common.ERROR_TYPE, kinds[Common.ERROR_TYPE], as_text) if known else _NO_TEXT
        )
        asked["error_message"] = _filled("status_message")
    frame = rows.select(expression.alias(column) for column, expression in asked.items())
    if found.failed and not _just_failed(frame, found):
        return None
    if found.kind == SpanKind.TOOL:
        if "tool_name" in asked and any(map(names_agents, frame["tool_name"].unique())):
            return None
        hashes = {
            column: [hash_of_ids(ids) for ids in frame[f"{slot}_refs"].to_list()] for slot, column in _HASHES.items()
        }
        frame = frame.with_columns(pl.Series(column, values, dtype=pl.String) for column, values in hashes.items())
    if "finish_reason" in asked and (frame["finish_reason"] == PAUSED).any():
        return None
    if found.kind in COUNTED:
        priced = _priced(frame, prices)
        if priced is None:
            return None
        frame = frame.with_columns(priced)
    same: dict[str, Any] = {}
    if scope:
        same[Stored.SCOPE] = scope
    if origin.rest is not None:
        same[Stored.RESOURCE] = {"$content": origin.rest}
    return frame.with_columns(_stored(rows["attributes"], found, kinds, contents, same).alias("attributes")), {
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
_CONVERTED: dict[tuple[Converter, str], Callable[[pl.Expr], pl.Expr]] = {
    (as_text, "VARCHAR"): lambda value: pl.when(value != "").then(value),
    (as_text, "BIGINT"): lambda value: value.cast(pl.String),
    (as_int, "BIGINT"): lambda value: pl.when(value >= 0).then(value),
    (as_sent_tokens, "BIGINT"): lambda value: pl.when(value > 0).then(value),
    (as_float, "DOUBLE"): lambda value: pl.when(value.is_finite()).then(value),
    (as_float, "BIGINT"): lambda value: value.cast(pl.Float64),
    (as_texts, '["VARCHAR"]'): lambda value: value,
    (first_text, '["VARCHAR"]'): lambda value: value.list.first(),
    (seconds_as_ns, "DOUBLE"): lambda value: pl.when(value >= 0).then(
        (value * 1e9).round(mode="half_to_even").cast(pl.Int64, strict=False)
    ),
}
"""what the converters do, for the kinds of value that are usual"""
_NO_TEXT = pl.lit(None, pl.String)
_AS_THEY_ARE = ("trace_id", "span_id", "name", "start_ns", "end_ns", "input_refs", "output_refs", "_source", "_hangs")
_WHOLE = (as_int, as_sent_tokens)
"""what is beyond 64 bits is nothing to these, too"""
_DTYPES: dict[Converter, pl.DataType] = {
    as_text: pl.String(), first_text: pl.String(), as_int: pl.Int64(), as_sent_tokens: pl.Int64(),
    seconds_as_ns: pl.Int64(), as_float: pl.Float64(), as_texts: pl.List(pl.String()),
}  # fmt: skip


def _converted(rows: pl.DataFrame, name: str, kind: str, convert: Converter) -> pl.Expr:
    known = _CONVERTED.get((convert, kind))
    if known is not None and not (kind == "BIGINT" and convert not in _WHOLE and rows[COLUMN + name].null_count()):
        return known(pl.col(COLUMN + name))
    values = [convert(json.loads(text).get(name)) for text in rows["attributes"]]
    return pl.lit(pl.Series(name, values, dtype=_DTYPES[convert], strict=True))


def _filled(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != "").then(pl.col(column))


def _named(asked: dict[str, pl.Expr], name: str, column: str, operation: str) -> None:
    """`execute_tool search` names the tool, `invoke_agent desk` the agent, where no attribute does."""
    if name.startswith(operation):  # the first word is part of the shape
        told = pl.col("name").str.slice(len(operation))
        asked[column] = pl.coalesce(asked[column], told) if column in asked else told


def _just_failed(frame: pl.DataFrame, found: LeafShape) -> bool:
    """False where it may be no error but control that is passed, or a request nobody waited for any longer.

    `build` and `unanswered` know.
    """
    waited = found.kind == SpanKind.TOOL and found.convention != "tracehound"
    for kind, message in frame.select("error_type", "error_message").unique().iter_rows():
        if kind == "Exception" or (kind or "").rsplit(".", 1)[-1] in CONTROL_FLOW:
            return False
        if (message or "").split("(", 1)[0] in CONTROL_FLOW or (waited and tells_giving_up(kind, message)):
            return False
    return True


def _priced(frame: pl.DataFrame, prices: Prices) -> list[pl.Series] | None:
    """cost_usd and cost_source; None where cached tokens do not fit into the input (`build` mends that)."""
    calls = frame.select(
        *[name if name in frame.columns else _NO_TEXT.alias(name) for name in ("model", "provider")],
        *[name if name in frame.columns else pl.lit(None, pl.Int64).alias(name) for name in TOKENS],
        at_ns="start_ns",
    )
    if not {"cached_tokens", "cache_write_tokens"}.isdisjoint(frame.columns):
        cached = pl.col("cached_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)
        if calls.select((cached > pl.col("input_tokens")).any()).item():
            return None
    cost, source = price_calls(prices, calls)
    return [cost.alias("cost_usd"), source.alias("cost_source")]


_LONG = rf'"(?:[^"\\]|\\.){{{LONG + 1},}}'
_OTHER_SPELLING = r"[:\[,]-?[0-9.]*(?:[0-9]e|\.0000|[0-9]{16})|NaN|Infinity"
"""numbers that Python writes in another way, or may"""


def _stored(
    held: pl.Series, found: LeafShape, kinds: Mapping[str, str], contents: Contents, same: Mapping[str, Any]
) -> pl.Series:
    """What `Contents.encode` gives for each: mostly the JSON as it is, and behind it what all have in common."""
    end = contents.encode(same)
    unlike = held.str.contains("\\u", literal=True)
    if (held.str.len_bytes() > LONG).any():
        unlike |= (held.str.len_bytes() > LONG) & held.str.contains(_LONG)
    if not {"VARCHAR", "BIGINT", "BOOLEAN", "NULL", '["VARCHAR"]'}.issuperset(kinds.values()):
        unlike |= held.str.contains(_OTHER_SPELLING)
    if not found.names:
        stored = pl.Series([end], dtype=pl.String).new_from_index(0, len(held))
    else:
        stored = held if not same else held.str.head(-1) + ("," + end[1:])
    if unlike.any():
        made = [contents.encode(json.loads(text) | same) for text in held.filter(unlike)]
        stored = _replaced(stored, unlike, pl.Series(made, dtype=pl.String))
    return stored


def _replaced(values: pl.Series, chosen: pl.Series, by: pl.Series) -> pl.Series:
    """`values` with those that are `chosen` replaced in order. (`scatter` imports numpy, a quarter of a second.)"""
    at = chosen.cast(pl.UInt32).cum_sum() - 1
    frame = pl.DataFrame({"old": values, "at": pl.select(pl.when(chosen).then(at)).to_series()})
    new = pl.DataFrame({"new": by}).with_row_index("at")
    joined = frame.join(new, on="at", how="left", maintain_order="left")
    return joined["old"].zip_with(~chosen, joined["new"])
