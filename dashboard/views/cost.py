"""Cost: where the money goes, when it went, and which part of it bought nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.metrics.spending import By, spending, spending_over_time
from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.charts import breakdowns, trends
from dashboard.charts.base import Figure
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES, started_cell
from dashboard.documents.spending import ledger_blocks, savings_blocks, unusual_blocks
from dashboard.figures import palette, units
from dashboard.figures.palette import Mode
from dashboard.fleet import fleet_cards
from dashboard.frame import Scene, over_runs
from dashboard.grids import Column, grid
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS, bucket_width_s
from dashboard.trace_query import FIELDS

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
FLEET = ("spend_rate", "run_rate", "duplicate_calls_across_runs")
"""the findings over many runs that are about money"""


def _draw(scene: Scene) -> None:
    if scene.shown.frames.billed.is_empty():
        st.info("No LLM call was recorded in this window, so there is no cost to show. Transcripts often hold only what was said; "
                "traces with token counts have costs.")  # fmt: skip
        return
    _numbers(scene)
    _parts(scene.shown)
    _unusual(scene)
    _economy(scene)
    if scene.findings is not None:
        _wasted(scene.findings)
    _dearest(scene.shown)


def _unusual(scene: Scene) -> None:
    """What cost more than usual: single runs, and many together."""
    runs = [f for f in scene.findings or () if f.kind == "cost_anomaly" and f.severity != "info"]
    fleet = [f for f in scene.fleet if f.kind in FLEET]
    if not runs and not fleet:
        return
    st.subheader("Dearer than usual", anchor=False)
    if fleet:
        fleet_cards(fleet, key="fleet")
    if runs:
        document_view(unusual_blocks(runs), key="unusual", label="Unusual cost", subject="unusual", on_pick=address.remember)  # fmt: skip


def _economy(scene: Scene) -> None:
    """The ledger, and what could have been saved."""
    with st.spinner("Reading the dearest runs …", show_time=False):
        economy = queries.economy(scene.state, scene.window.since_ns, scene.window.workflow)
    if economy is None:
        return
    st.subheader("What it was spent on", anchor=False)
    document_view(ledger_blocks(economy), key="ledger", label="Ledger", subject="ledger", on_pick=address.remember)
    st.subheader("What could be saved", anchor=False)
    document_view(savings_blocks(economy), key="savings", label="Savings", subject="savings", on_pick=address.remember)


def _numbers(scene: Scene) -> None:
    """Five figures: all, per run, tokens in and out, wasted."""
    shown, findings = scene.shown, scene.findings
    billed = shown.frames.billed
    known = billed.filter(pl.col("cost_usd").is_not_null())
    cost = float(known["cost_usd"].cast(pl.Float64).sum())
    runs = shown.frames.traces.filter(pl.col("cost_usd").is_not_null())["cost_usd"].cast(pl.Float64)
    median = runs.median()
    tokens_in, tokens_out, cached = (
        int(billed[name].sum()) for name in ("input_tokens", "output_tokens", "cached_tokens")
    )
    missing = billed.height - known.height
    alone = sum(float(f.wasted_usd) for f in findings or () if f.wasted_usd is not None)
    together = sum(float(f.wasted_usd) for f in scene.fleet if f.wasted_usd is not None)
    tokens = sum(f.wasted_tokens or 0 for f in findings or ())
    wasted, said = (
        ("…", "being looked for")
        if findings is None
        else (
            units.money(alone + together),
            f"{units.money(together)} by many runs together" if together else f"{units.share(alone, cost)} of the cost",
        )
        if known.height or not tokens
        else (amount(tokens, "token"), f"{units.share(tokens, tokens_in + tokens_out)} of all tokens")
    )
    figures = (
        ("Cost", units.money(cost) if known.height else "unknown" if billed.height else "—",
         f"{amount(missing, 'call')} without a price" if missing else "every call has a price"),
        ("Median run", units.money(median) if isinstance(median, float) else "—", f"{amount(runs.len(), 'run')} with a cost"),
        ("Tokens in", units.count(tokens_in), f"{units.share(cached, tokens_in)} from the provider's cache"),
        ("Tokens out", units.count(tokens_out), f"{units.share(tokens_out, tokens_in + tokens_out)} of all tokens"),
        ("Wasted", wasted, said),
    )  # fmt: skip
    chrome.numbers(figures)


def _parts(shown: Population) -> None:
    """The cost cut one way, as a table and over time."""
    chosen = st.segmented_control(
        "Cut by", list(BY), default=address.one_of("by", BY, "Workflow"), required=True, key=address.fresh("cost_by"),
        on_change=address.follows("by", address.fresh("cost_by"), default="Workflow"), label_visibility="collapsed",
    )  # fmt: skip
    word = chosen or "Workflow"
    by = BY[word]
    rows = spending(shown.frames, by).with_columns(
        pl.col("name").alias("value"),
        pl.col("name").fill_null(f"(no {word.lower()})"),
        share=pl.col("cost_usd").cast(pl.Float64) / pl.col("cost_usd").cast(pl.Float64).sum(),
        per_run_usd=pl.col("cost_usd").cast(pl.Float64) / pl.col("runs"),
    )
    left, right = st.columns(2, gap="medium")
    mode = chrome.mode()
    known = rows.select("name", pl.col("cost_usd").cast(pl.Float64)).filter(pl.col("cost_usd").is_not_null())
    if known.is_empty():
        chrome.chart(left, f"Tokens by {word.lower()}; no call in this window has a known price", _tokens(rows, mode), "tokens_by_name")  # fmt: skip
        right.text("Where the price of a model is not known, its cost is left out of every sum: it is unknown, not zero. What can be said in tokens is said in tokens.")  # fmt: skip
    else:
        bars = breakdowns.bars_by_name(known, "cost_usd", mode, text=units.money, most=7)
        chrome.chart(left, f"Cost by {word.lower()}", bars, "cost_by_name")
        starts = shown.timed_starts
        width_s = bucket_width_s(int(starts.min() or 0), int(starts.max() or 0))  # pyright: ignore[reportArgumentType]  (a column of ints)
        spend = spending_over_time(shown.frames, by, bucket_ns=width_s * SECOND_NS).rename({"name": "workflow"})
        chrome.chart(
            right, f"Over time, USD per {units.stretch(width_s)}", trends.spend_over_time(spend, mode), "cost_over_time"
        )
    grid(rows, (Column("name", word.lower(), "text"), *COLUMNS), key=f"cost_{by}", label=f"Cost by {word.lower()}",
         on_pick=lambda row: _runs_of(word.lower(), rows["value"][row]))  # fmt: skip


def _tokens(rows: pl.DataFrame, mode: Mode) -> Figure:
    """What there is to compare where nothing has a price."""
    sums = rows.select("name", tokens=(pl.col("input_tokens") + pl.col("output_tokens")).cast(pl.Float64))
    return breakdowns.bars_by_name(sums, "tokens", mode, text=units.count, most=7)


def _runs_of(field: str, value: str | None) -> None:
    """Go to the runs with this value, where a query can find them."""
    if value is not None and field in FIELDS:
        address.remember({"query": address.term(field, value)})


def _wasted(findings: Sequence[Finding]) -> None:
    """What findings call wasted, per kind, each call charged once."""
    st.subheader("What bought nothing", anchor=False)
    per_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.wasted_usd or finding.wasted_tokens:
            per_kind[finding.kind].append(finding)
    if not per_kind:
        st.text("Nothing: no finding of this window says that calls or tokens bought nothing.")
        return
    rows: list[b.Block] = []
    for kind, found in sorted(per_kind.items(), key=lambda item: _size(item[1]), reverse=True):
        worst = max(found, key=lambda f: _size([f]))
        rows.append(
            b.row(
                [b.cell(f"{palette.SEVERITY_GLYPHS[worst.severity]} {kind.replace('_', ' ')}", SEVERITY_TONES[worst.severity]),
                 units.worth(*_size(found)), units.count(len({f.trace_id for f in found})), worst.title, worst.suggestion],
                pick={"query": f"finding:{kind}"},
            )
        )  # fmt: skip
    columns = [b.column("found", tight=True), b.column("wasted", right=True), b.column("runs", right=True), b.column("for example"),
               b.column("what to change")]  # fmt: skip
    document_view([b.table(columns, rows)], key="wasted", label="Waste by kind of finding", subject="wasted", on_pick=address.remember)  # fmt: skip


def _size(found: Sequence[Finding]) -> tuple[float, int]:
    """USD and tokens that these findings call wasted."""
    return float(sum(f.wasted_usd or 0 for f in found)), sum(f.wasted_tokens or 0 for f in found)


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
            [b.cell(row["workflow"] or "unnamed", note=row["source_id"] or row["run_id"][:8]), started_cell(row), units.count(row["llm_calls"]),
             units.count(row["input_tokens"] + row["output_tokens"]), units.money(row["cost_usd"]),
             f"{float(row['cost_usd']) / row['usual']:.1f} ×" if row["usual"] else None],
            pick={"run": row["run_id"]},
        )
        for row in dearest.join(usual, on="workflow", how="left", nulls_equal=True, maintain_order="left").iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("run", tight=True), b.column("started", tight=True), *(b.column(name, right=True) for name in ("LLM calls", "tokens", "cost", "of the median of its workflow"))]  # fmt: skip
    document_view([b.table(columns, rows)], key="dearest", label="Most expensive runs", subject="dearest", on_pick=address.remember)  # fmt: skip
    if known.height > ROWS:
        st.page_link(address.TRACES, label="All runs, the costliest first", icon=":material/list:", query_params={"order": "Costliest"})  # fmt: skip


over_runs("Cost", _draw, one_workflow=True)
