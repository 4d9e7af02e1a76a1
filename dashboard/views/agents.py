"""Agents: how each of them does, and for one of them its models, tools, neighbours, versions and findings."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.metrics.agents import invocations_over_time
from analyzers.metrics.versions import version_metrics
from dashboard import address, chrome
from dashboard.charts import breakdowns, distributions, trends
from dashboard.charts.base import some_of
from dashboard.components import document_view
from dashboard.documents.agent import agent_document
from dashboard.figures import palette, units
from dashboard.frame import Scene, one_of_them, over_runs
from dashboard.grids import Column, grid
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS, bucket_width_s
from tracer.clock import NO_CLOCK_END_NS, NO_CLOCK_NS
from tracer.model import SpanKind

NOBODY = "(no agent)"
COLUMNS = (
    Column("agent", "agent", "text"),
    Column("calls", "calls", "count", "times it was asked to do something; repeated attempts are one"),
    Column("success_rate", "success", "bar", "invocations that ended ok, after retries"),
    Column("error_rate", "errors", "share", "failed spans, attempts included"),
    Column("latency_p50_s", "p50", "seconds", "wall time of an invocation, waits included"),
    Column("latency_p95_s", "p95", "seconds", "wall time of an invocation, waits included"),
    Column("wait_mean_s", "waiting", "seconds", "time in waits per invocation"),
    Column("llm_calls", "LLM calls", "count"),
    Column("input_tokens", "tokens in", "count"),
    Column("output_tokens", "tokens out", "count"),
    Column("cost_usd", "cost", "usd"),
    Column("coverage", "priced", "share", "share of the calls with tokens and a known price"),
    Column("findings", "findings", "count", "findings that name this agent, remarks left out"),
)

SHARES: tuple[trends.Share, ...] = (("ok", "ended ok", palette.GREEN, "solid"),)


def _draw(scene: Scene) -> None:
    shown = scene.shown
    serious = None if scene.findings is None else [f for f in scene.findings if f.severity != "info"]
    rows = _rows(shown, serious)
    grid(
        rows,
        COLUMNS,
        key="agents",
        label="Agents; click one to look into it",
        hint="Click an agent for its course, models, tools, neighbours and versions.",
        on_pick=lambda row: address.put(agent=rows["agent"][row]),
    )
    chosen = address.get("agent")
    if chosen is not None and chosen in rows["agent"].to_list():
        _one(scene, chosen, serious or [])
    else:
        _all(shown, rows)


def _rows(shown: Population, findings: Sequence[Finding] | None) -> pl.DataFrame:
    """The metrics of every agent, with the number of findings that name it; null while they are being looked for."""
    named = pl.DataFrame(
        {"agent": [agent for finding in findings or () for agent in set(finding.agents)]}, schema={"agent": pl.String}
    )
    counted = named.group_by("agent").agg(findings=pl.len().cast(pl.Int64))
    return (
        shown.metrics.agents.join(counted, on="agent", how="left", maintain_order="left")
        .with_columns(
            pl.col("agent").fill_null(NOBODY),
            pl.lit(None, pl.Int64).alias("findings") if findings is None else pl.col("findings").fill_null(0),
        )
        .sort("cost_usd", "calls", "agent", descending=[True, True, False], nulls_last=True)
    )


def _all(shown: Population, rows: pl.DataFrame) -> None:
    left, right = st.columns(2, gap="medium")
    fresh = rows.select(
        "output_tokens", "cached_tokens", name="agent", fresh_tokens=pl.col("input_tokens") - pl.col("cached_tokens")
    ).filter(pl.col("fresh_tokens") + pl.col("cached_tokens") + pl.col("output_tokens") > 0)
    mode = chrome.mode()
    tokens = breakdowns.stacked_by_name(fresh, breakdowns.TOKEN_PARTS, mode, text=units.count)
    title = some_of("Tokens by agent", breakdowns.ROWS, fresh.height, "largest")
    chrome.chart(left, title, tokens, "tokens")
    took = _durations(shown)
    title = some_of("How long an invocation took", distributions.ROWS, took["name"].n_unique(), "slowest")
    chrome.chart(right, title, distributions.latency_boxes(took, mode), "latency")


def _durations(shown: Population) -> pl.DataFrame:
    """name, seconds of every ended agent span with real times."""
    frames = shown.frames
    return frames.spans.filter(
        (pl.col("kind") == SpanKind.AGENT)
        & pl.col("agent").is_not_null()
        & pl.col("end_ns").is_not_null()
        & pl.col("duplicate_of").is_null()
        & ~pl.col("run_id").is_in(frames.timeless.implode())
    ).select(name="agent", seconds=(pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS)


def _one(scene: Scene, agent: str, findings: Sequence[Finding]) -> None:
    """Everything about one agent."""
    own = None if agent == NOBODY else agent
    one_of_them("agent", agent, all_of_them="All agents", query=None if own is None else address.term("agent", agent))
    frames = scene.shown.frames
    spans = frames.spans.filter(pl.col("agent").eq_missing(pl.lit(own)) & pl.col("duplicate_of").is_null())
    if own is not None:
        _course(scene.shown, own)
    named = [finding for finding in findings if agent in finding.agents]
    workflows = frames.traces.filter(pl.col("run_id").is_in(spans["run_id"].implode()))["workflow"].unique()
    drift = [f for f in scene.fleet if f.kind == "drift" and f.data.get("workflow") in workflows]
    document_view(agent_document(frames, own, spans, version_metrics(spans), named, drift), key="agent", label=agent,
                  subject=agent, on_pick=address.remember)  # fmt: skip


def _course(shown: Population, agent: str) -> None:
    """How the agent's invocations went over time, where they stretch over more than one bucket."""
    starts = shown.timed_starts
    width_s = bucket_width_s(int(starts.min() or 0), int(starts.max() or 0))  # pyright: ignore[reportArgumentType]  (a column of ints)
    course = invocations_over_time(shown.frames, agent, bucket_ns=width_s * SECOND_NS)
    course = course.filter(~pl.col("start_ns").is_between(NO_CLOCK_NS, NO_CLOCK_END_NS))
    if course.height < 2:
        return
    left, right = st.columns(2, gap="medium")
    bucket, mode = units.stretch(width_s), chrome.mode()
    chrome.chart(
        left, f"Invocations that ended ok, per {bucket}", trends.shares_over_time(course, SHARES, mode), "success"
    )
    chrome.chart(right, f"How long an invocation took, per {bucket}", trends.latency_over_time(course, mode), "course")


over_runs("Agents", _draw)
