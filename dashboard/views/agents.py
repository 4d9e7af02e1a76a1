"""Agents: how each of them does, and for one of them its models, tools, neighbours, versions and findings."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.metrics.versions import version_metrics
from dashboard import address, chrome, queries
from dashboard.charts import breakdowns, distributions
from dashboard.components import document_view
from dashboard.documents.agent import agent_document
from dashboard.figures import units
from dashboard.grids import Column, grid
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS
from dashboard.window import heading, say_nothing_in
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


def render() -> None:
    """Draw the page."""
    state = queries.current()
    window = heading("Agents")
    shown = queries.population(state, window.since_ns)
    if shown.total == 0:
        say_nothing_in(window)
        return
    analysis = queries.store_analysis(state)
    findings = [f for f in shown.findings(analysis.by_run) if f.severity != "info"] if analysis else None
    rows = _rows(shown, findings)
    picked = grid(rows, COLUMNS, key="agents", label="Agents; click one to look into it")
    if picked is not None:
        address.put(agent=rows["agent"][picked])
    chrome.looked_at(shown, analysis)
    chosen = address.get("agent")
    if chosen is not None and chosen in rows["agent"].to_list():
        _one(shown, chosen, findings or [])
    else:
        _all(shown, rows)
    chrome.follow(state, recording=rows["running"].sum() > 0, findings_of=analysis.token if analysis else None)


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
    )
    mode = chrome.mode()
    tokens = breakdowns.stacked_by_name(fresh, breakdowns.TOKEN_PARTS, mode, text=units.count)
    chrome.chart(left, "Tokens by agent", tokens, "tokens")
    chrome.chart(right, "How long an invocation took", distributions.latency_boxes(_durations(shown), mode), "latency")


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


def _one(shown: Population, agent: str, findings: Sequence[Finding]) -> None:
    """Everything about one agent."""
    title, links = st.columns([5, 2], vertical_alignment="center")
    title.subheader(agent, anchor=False)
    with links, st.container(horizontal=True, horizontal_alignment="right"):
        if agent != NOBODY and st.button("Its runs", icon=":material/list:"):
            address.open_traces(address.term("agent", agent))
        if st.button("All agents", icon=":material/close:", type="tertiary"):
            address.put(agent=None)
            st.rerun()
    own = None if agent == NOBODY else agent
    spans = shown.frames.spans.filter(pl.col("agent").eq_missing(pl.lit(own)) & pl.col("duplicate_of").is_null())
    named = [finding for finding in findings if agent in finding.agents]
    document_view(
        agent_document(shown.frames, own, spans, version_metrics(spans), named), key="agent", label=agent, subject=agent,
        on_pick=lambda pick: st.session_state.update(agent_pick=dict(pick)),
    )  # fmt: skip
    pick = st.session_state.pop("agent_pick", {})
    if "run" in pick:
        address.open_trace(pick["run"])


render()
