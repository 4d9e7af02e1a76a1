"""Cost: where the money goes, when it went, and which part of it bought nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.metrics.spending import By, spending, spending_over_time
from dashboard import address, chrome, queries
from dashboard.charts import breakdowns, trends
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units
from dashboard.grids import Column, grid
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS, bucket_width_s
from dashboard.window import heading, say_nothing_in

BY: Mapping[str, By] = {
    "Workflow": "workflow",
    "Agent": "agent",
    "Model": "model",
    "Purpose": "purpose",
    "User": "user_id",
    "Environment": "environment",
}
COLUMNS = (
    Column("runs", "runs", "count"),
    Column("llm_calls", "LLM calls", "count"),
    Column("input_tokens", "tokens in", "count"),
    Column("cached_tokens", "of them cached", "count"),
    Column("output_tokens", "tokens out", "count"),
    Column("cost_usd", "cost", "usd"),
    Column("share", "of all", "share", "share of the known cost"),
    Column("per_run_usd", "a run", "usd", "cost per run it appears in"),
    Column("coverage", "priced", "share", "share of the calls with tokens and a known price"),
)
ROWS = 12


def render() -> None:
    """Draw the page."""
    state = queries.current()
    window = heading("Cost", workflows=queries.workflows(state))
    shown = queries.population(state, window.since_ns, window.workflow)
    if shown.total == 0:
        say_nothing_in(window)
        return
    analysis = queries.store_analysis(state)
    findings = shown.findings(analysis.by_run) if analysis else None
    _numbers(shown, findings)
    chrome.looked_at(shown, analysis)
    _parts(shown)
    if findings is not None:
        _wasted(findings)
    _dearest(shown)
    running = bool((shown.frames.traces["outcome"] == "running").any())
    chrome.follow(state, recording=running, findings_of=analysis.token if analysis else None)


def _numbers(shown: Population, findings: Sequence[Finding] | None) -> None:
    """Five figures: all, per run, per call, tokens, wasted."""
    billed = shown.frames.billed
    known = billed.filter(pl.col("cost_usd").is_not_null())
    cost = float(known["cost_usd"].cast(pl.Float64).sum())
    runs = shown.frames.traces.filter(pl.col("cost_usd").is_not_null())["cost_usd"].cast(pl.Float64)
    median = runs.median()
    tokens_in, tokens_out, cached = (
        int(billed[name].sum()) for name in ("input_tokens", "output_tokens", "cached_tokens")
    )
    missing = billed.height - known.height
    wasted = None if findings is None else sum(float(f.wasted_usd) for f in findings if f.wasted_usd is not None)
    figures = (
        ("Cost", units.money(cost) if known.height else "unknown" if billed.height else "—",
         f"{units.plural(missing, 'call')} without a price" if missing else "every call has a price"),
        ("Median run", units.money(median) if isinstance(median, float) else "—", f"{units.plural(runs.len(), 'run')} with a cost"),
        ("Tokens in", units.count(tokens_in), f"{units.share(cached, tokens_in)} from the provider's cache"),
        ("Tokens out", units.count(tokens_out), f"{units.share(tokens_out, tokens_in + tokens_out)} of all tokens"),
        ("Wasted", "…" if wasted is None else units.money(wasted), "being looked for" if wasted is None else f"{units.share(wasted, cost)} of the cost, by the findings"),
    )  # fmt: skip
    chrome.numbers(figures)


def _parts(shown: Population) -> None:
    """The cost cut one way, as a table and over time."""
    chosen = st.segmented_control(
        "Cut by", list(BY), default=address.one_of("by", BY, "Workflow"), required=True, key="cost_by",
        on_change=address.follows("by", "cost_by", default="Workflow"), label_visibility="collapsed",
    )  # fmt: skip
    word = chosen or "Workflow"
    by = BY[word]
    rows = spending(shown.frames, by).with_columns(
        pl.col("name").fill_null(f"(no {word.lower()})"),
        share=pl.col("cost_usd").cast(pl.Float64) / pl.col("cost_usd").cast(pl.Float64).sum(),
        per_run_usd=pl.col("cost_usd").cast(pl.Float64) / pl.col("runs"),
    )
    left, right = st.columns(2, gap="medium")
    mode = chrome.mode()
    known = rows.select("name", pl.col("cost_usd").cast(pl.Float64)).filter(pl.col("cost_usd").is_not_null())
    if known.is_empty():
        left.info("No call in this window has a known price.")
    else:
        bars = breakdowns.bars_by_name(known, "cost_usd", mode, text=units.money, most=7)
        chrome.chart(left, f"Cost by {word.lower()}", bars, "cost_by_name")
        starts = shown.frames.traces["start_ns"]
        width_s = bucket_width_s(int(starts.min() or 0), int(starts.max() or 0))  # pyright: ignore[reportArgumentType]  (a column of ints)
        spend = spending_over_time(shown.frames, by, bucket_ns=width_s * SECOND_NS).rename({"name": "workflow"})
        chrome.chart(
            right, f"Over time, USD per {units.stretch(width_s)}", trends.spend_over_time(spend, mode), "cost_over_time"
        )
    grid(rows, (Column("name", word.lower(), "text"), *COLUMNS), key=f"cost_{by}", label=f"Cost by {word.lower()}")


def _wasted(findings: Sequence[Finding]) -> None:
    """What findings call wasted, per kind, each call charged once."""
    st.subheader("What bought nothing", anchor=False)
    per_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.wasted_usd:
            per_kind[finding.kind].append(finding)
    if not per_kind:
        st.text("No finding with a price in this window.")
        return
    rows: list[b.Block] = []
    for kind, found in sorted(per_kind.items(), key=lambda item: -sum(f.wasted_usd or 0 for f in item[1])):
        worst = max(found, key=lambda f: f.wasted_usd or 0)
        rows.append(
            b.row(
                [b.cell(f"{palette.SEVERITY_GLYPHS[worst.severity]} {kind.replace('_', ' ')}", SEVERITY_TONES[worst.severity]),
                 units.money(sum(f.wasted_usd or 0 for f in found)), units.count(len({f.trace_id for f in found})), worst.title, worst.suggestion],
                pick={"query": f"finding:{kind}"},
            )
        )  # fmt: skip
    columns = [b.column("found", tight=True), b.column("wasted", right=True), b.column("runs", right=True), b.column("for example"),
               b.column("what to change")]  # fmt: skip
    document_view([b.table(columns, rows)], key="wasted", label="Waste by kind of finding", subject="wasted",
                  on_pick=lambda pick: st.session_state.update(cost_query=pick.get("query")))  # fmt: skip
    query = st.session_state.pop("cost_query", None)
    if query:
        address.open_traces(query)


def _dearest(shown: Population) -> None:
    """The most expensive runs; a click opens one."""
    st.subheader("The most expensive runs", anchor=False)
    known = shown.frames.traces.filter(pl.col("cost_usd").is_not_null())
    if known.is_empty():
        st.text("No run in this window has a known cost.")
        return
    usual = known.group_by("workflow").agg(usual=pl.col("cost_usd").cast(pl.Float64).median())
    dearest = known.sort("cost_usd", "run_id", descending=[True, False]).head(ROWS)
    rows = [
        b.row(
            [b.cell(row["workflow"] or "unnamed", note=row["source_id"] or row["run_id"][:8]), units.moment(row["start_ns"])[:16], units.count(row["llm_calls"]),
             units.count(row["input_tokens"] + row["output_tokens"]), units.money(row["cost_usd"]),
             f"{float(row['cost_usd']) / row['usual']:.1f} ×" if row["usual"] else None],
            pick={"run": row["run_id"]},
        )
        for row in dearest.join(usual, on="workflow", how="left", nulls_equal=True, maintain_order="left").iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("run", tight=True), b.column("started", tight=True), *(b.column(name, right=True) for name in ("LLM calls", "tokens", "cost", "of the median of its workflow"))]  # fmt: skip
    document_view([b.table(columns, rows)], key="dearest", label="Most expensive runs", subject="dearest",
                  on_pick=lambda pick: st.session_state.update(cost_run=pick.get("run")))  # fmt: skip
    run_id = st.session_state.pop("cost_run", None)
    if run_id:
        address.open_trace(run_id)


render()
