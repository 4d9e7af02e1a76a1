"""How often a model gave another answer to the very same input: what a cache would have hidden."""

from __future__ import annotations

import polars as pl

from analyzers.frames import Frames
from tracer.model import SpanKind, SpanStatus


def output_variance(frames: Frames) -> pl.DataFrame:
    """One row per kind of call and its name (model, or tool), ordered by these; only inputs that were given more than once count.

    Columns: kind (llm or tool), name, inputs (that were given more than once), calls (with these inputs), varied_inputs (inputs that
    got more than one output), variance (varied inputs / inputs), answer_variance (the chance that two calls with the same input, drawn
    from an input in proportion to its calls, get different outputs). Model, temperature and all messages make an LLM's input, the
    arguments a tool's. Failed calls and calls without recorded texts or hashes are left out.
    """
    model = pl.col("kind") == SpanKind.LLM
    calls = frames.spans.filter(
        pl.col("kind").is_in([SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER])
        & (pl.col("status") == SpanStatus.OK)
        & pl.col("duplicate_of").is_null()
    ).select(
        kind=pl.when(model).then(pl.lit("llm")).otherwise(pl.lit("tool")),
        name=pl.when(model).then("model").otherwise(pl.coalesce("tool_name", "name")),
        temperature=pl.when(model).then("temperature"),
        given=pl.when(model)
        .then(pl.when(pl.col("input_refs").list.len() > 0).then(pl.col("input_refs").hash()).cast(pl.String))
        .otherwise("args_hash"),
        got=pl.when(model)
        .then(pl.when(pl.col("output_refs").list.len() > 0).then(pl.col("output_refs").hash()).cast(pl.String))
        .otherwise("result_hash"),
    )
    key = ["kind", "name", "temperature", "given"]
    answers = calls.drop_nulls(["given", "got"]).group_by(*key, "got").len("times")
    inputs = answers.group_by(key).agg(
        calls=pl.col("times").sum(), outputs=pl.len(), alike=(pl.col("times") * (pl.col("times") - 1)).sum()
    ).filter(pl.col("calls") > 1)  # fmt: skip
    differ = 1 - pl.col("alike") / (pl.col("calls") * (pl.col("calls") - 1))
    return (
        inputs.group_by("kind", "name")
        .agg(
            inputs=pl.len().cast(pl.Int64),
            calls=pl.col("calls").sum().cast(pl.Int64),
            varied_inputs=(pl.col("outputs") > 1).sum().cast(pl.Int64),
            variance=(pl.col("outputs") > 1).mean(),
            answer_variance=(differ * pl.col("calls")).sum() / pl.col("calls").sum(),
        )
        .sort("kind", "name", nulls_last=True)
    )
