"""Overview: how the agents do, what it costs, and where to look first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.analyst import StoreAnalysis
from dashboard.charts import trends
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, SEVERITY_TONES, cost_cell, took_cell
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from dashboard.fleet import fleet_cards
from dashboard.run_reads import SECOND_NS, Overview
from dashboard.window import heading, say_nothing_in

LOOPS = ("loop", "ping_pong")


def render() -> None:
    """Draw the page."""
    state = queries.current()
    window = heading("Overview")
    since_ns = window.since_ns
    shown = queries.overview(state, since_ns)
    if shown.totals.runs == 0:
        say_nothing_in(window)
        return
    analysis = queries.store_analysis(state)
    _numbers(shown, analysis, since_ns)
    if analysis is not None:
        _sampled(analysis, since_ns)
    if analysis is None:
        st.info(
            "Looking for loops, deadlocks, lost updates and the like. What is found appears here.",
            icon=":material/search:",
        )
    else:
        _worst(analysis, since_ns)
        _fleet(analysis.fleet, since_ns)
    _trends(shown, _serious(analysis, since_ns) if analysis else {}, analysis)
    _footer(state, analysis)
    chrome.follow(state, recording=shown.totals.running > 0, findings_of=analysis.token if analysis else None)


def _numbers(shown: Overview, analysis: StoreAnalysis | None, since_ns: int | None) -> None:
    """Six figures with their course over the window."""
    totals, trend = shown.totals, shown.trend
    course: dict[str, list[float]] = {
        "runs": trend["runs"].to_list(),
        "cost": trend["cost_usd"].fill_null(0.0).to_list(),
        "p95": trend["p95_s"].drop_nulls().to_list(),
        "completed": trend.filter(pl.col("ended") > 0).select(pl.col("completed") / pl.col("ended")).to_series().to_list(),
        "escalated": trend["escalated"].to_list(),
    }  # fmt: skip
    columns = st.columns(6, gap="small")
    _metric(
        columns[0],
        "Runs",
        units.count(totals.runs),
        f"{units.count(totals.running)} running" if totals.running else "none running",
        course["runs"],
        "bar",
    )
    _metric(
        columns[1],
        "Completed",
        _rate(totals.completion_rate),
        f"{units.count(totals.completed)} of {units.count(totals.ended)} ended",
        course["completed"],
    )
    _metric(columns[2], "Latency, p95", _seconds(totals.p95_s), f"median {_seconds(totals.p50_s)}", course["p95"])
    covered = totals.priced_share
    note = (
        "no LLM calls"
        if covered is None
        else "no call has a known price"
        if totals.cost_usd is None
        else f"{covered:.0%} of calls priced"
    )
    cost = units.money(totals.cost_usd) if totals.cost_usd is not None else "unknown" if totals.llm_calls else "—"
    _metric(columns[3], "Cost", cost, note, course["cost"], "bar")
    serious = _serious(analysis, since_ns)
    found = f"{units.count(len(serious))}" if analysis else "…"
    critical = sum(any(f.severity == "critical" for f in findings) for findings in serious.values())
    loops = sum(any(f.kind in LOOPS for f in findings) for findings in serious.values())
    note = f"{units.count(critical)} critical, {units.count(loops)} looping" if analysis else "being looked for"
    starts = _per_bucket(list(serious), analysis.traces, trend) if analysis else []
    _metric(columns[4], "Runs with findings", found, note, starts, "bar")
    _metric(columns[5], "Escalated", _rate(totals.escalation_rate), f"{units.count(totals.escalated)} needed a person", course["escalated"], "bar")  # fmt: skip


def _sampled(analysis: StoreAnalysis, since_ns: int | None) -> None:
    """That the figures are of runs that a sampler kept, as far as the newest runs tell."""
    recent = analysis.traces.filter(pl.col("start_ns") >= (since_ns or 0))["run_id"].to_list()
    remark = chrome.sampled_remark({run: analysis.kept[run] for run in recent if run in analysis.kept}, len(recent))
    if remark:
        st.caption(remark)


def _serious(analysis: StoreAnalysis | None, since_ns: int | None) -> dict[str, tuple[Finding, ...]]:
    """Runs of the window with more than remarks."""
    if analysis is None:
        return {}
    recent = set(analysis.traces.filter(pl.col("start_ns") >= (since_ns or 0))["run_id"])
    return {
        run_id: found
        for run_id, found in analysis.by_run.items()
        if run_id in recent and any(finding.severity != "info" for finding in found)
    }


def _metric(column: Any, label: str, value: str, note: str, course: Sequence[float], kind: str = "line") -> None:
    column.metric(
        label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch",
        chart_data=list(course) if len(course) > 1 else None, chart_type=kind,
    )  # fmt: skip


def _per_bucket(run_ids: Sequence[str], traces: pl.DataFrame, trend: pl.DataFrame) -> list[float]:
    """How many of the runs started in each bucket of the trend."""
    starts = traces.filter(pl.col("run_id").is_in(list(run_ids))).select("start_ns").sort("start_ns")
    if starts.is_empty() or trend.is_empty():
        return []
    counted = starts.join_asof(
        trend.select(pl.col("start_ns").alias("bucket")).set_sorted("bucket"), left_on="start_ns", right_on="bucket"
    ).group_by("bucket").len()  # fmt: skip
    joined = trend.select("start_ns").join(
        counted, left_on="start_ns", right_on="bucket", how="left", maintain_order="left"
    )
    return joined["len"].fill_null(0).to_list()


def _rate(value: float | None) -> str:
    return "—" if value is None else f"{value:.1%}" if value not in (0.0, 1.0) else f"{value:.0%}"


def _seconds(value: float | None) -> str:
    return "—" if value is None else units.duration(value * SECOND_NS)


def _fleet(all_findings: Sequence[Finding], since_ns: int | None) -> None:
    """What only a view over many runs can see."""
    fleet = [finding for finding in all_findings if since_ns is None or (finding.end_ns or 0) >= since_ns]
    if fleet:
        st.subheader("Across all runs", anchor=False)
        fleet_cards(fleet, key="fleet")


def _worst(findings: StoreAnalysis, since_ns: int | None) -> None:
    """The runs to open first; a click opens them."""
    worst = [item for item in queries.worst_runs(findings, 40) if since_ns is None or item[0]["start_ns"] >= since_ns][
        :8
    ]
    st.subheader("Look at these first", anchor=False)
    if not worst:
        st.text("No detector objects to any run in this window.")
        return
    rows = [_worst_row(row, found) for row, found in worst]
    columns = [b.column("run", tight=True), b.column("outcome", tight=True), b.column("found", tight=True), b.column("most serious"),
               b.column("took", right=True), b.column("cost", right=True)]  # fmt: skip
    document_view(
        [b.table(columns, rows), b.chips([b.chip("all runs with findings →", pick={"query": "finding:any"})])],
        key="worst", label="Worst runs", subject="worst", on_pick=address.remember,
    )  # fmt: skip


def _worst_row(row: Mapping[str, Any], found: Sequence[Finding]) -> b.Block:
    outcome = row["outcome"]
    tags = ", ".join(dict.fromkeys(finding_tag(f) for f in found if f.severity != "info"))
    first = found[0]
    return b.row(
        [
            b.cell(row["workflow"] or "unnamed", note=row["source_id"] or row["run_id"][:8]),
            b.cell(
                f"{OUTCOME_GLYPHS.get(outcome, '')} {outcome.replace('_', ' ')}", OUTCOME_TONES.get(outcome, "neutral")
            ),
            b.cell(f"{palette.SEVERITY_GLYPHS[first.severity]} {tags}", SEVERITY_TONES[first.severity]),
            first.title,
            took_cell(row),
            cost_cell(row),
        ],
        pick={"run": row["run_id"]},
    )


def _with_loops(
    shown: Overview, serious: Mapping[str, Sequence[Finding]], analysis: StoreAnalysis | None
) -> pl.DataFrame:
    """The trend with a count of runs that went in circles; unknown before the oldest run that was analysed."""
    if analysis is None:
        return shown.trend
    looping = [run for run, found in serious.items() if any(f.kind in LOOPS for f in found)]
    counts = _per_bucket(looping, analysis.traces, shown.trend) or [0] * shown.trend.height
    whole = len(analysis.by_run) == analysis.total
    known = pl.lit(whole) | (pl.col("start_ns") >= analysis.traces["start_ns"].min())
    return shown.trend.with_columns(pl.Series("looping", counts, pl.Int64)).with_columns(pl.when(known).then("looping"))


def _trends(shown: Overview, serious: Mapping[str, Sequence[Finding]], analysis: StoreAnalysis | None) -> None:
    """Four charts at most: each costs the browser."""
    st.subheader("Over time", anchor=False)
    if not (shown.totals.ended or shown.totals.tokens or shown.totals.cost_usd):
        st.text("No run has ended yet. What runs now is under Live; trends appear here as runs end.")
        return
    mode = chrome.mode()
    left, right = st.columns(2, gap="medium")
    bucket = units.stretch(shown.bucket_s)
    if shown.totals.cost_usd is not None:
        chrome.chart(left, f"Cost by workflow, USD per {bucket}", trends.spend_over_time(shown.spend, mode), "spend")
    else:
        tokens = trends.tokens_over_time(shown.trend, mode)
        chrome.chart(left, f"Tokens per {bucket}; no call in this window has a known price", tokens, "tokens")
    chrome.chart(right, "Latency of ended runs", trends.latency_over_time(shown.trend, mode), "latency")
    left, right = st.columns(2, gap="medium")
    shares = trends.shares_over_time(_with_loops(shown, serious, analysis), trends.RUN_SHARES, mode)
    chrome.chart(left, "Share of ended runs", shares, "success")
    chrome.chart(right, "How runs ended", trends.outcome_bars(shown.outcomes, mode), "outcomes")


def _footer(state: queries.StoreState, analysis: StoreAnalysis | None) -> None:
    """What was looked at, and what was lost on the way."""
    said: list[str] = []
    if analysis is not None:
        looked = len(analysis.by_run)
        which = ("all" if looked > 1 else "the only") if looked == analysis.total else f"the newest {looked:,} of"
        said.append(
            f"Findings over {which} {'run' if which == 'the only' else amount(analysis.total, 'run')}, made in {analysis.took_s:,.1f} s."
        )
        if analysis.failures:
            names = ", ".join(failure.detector for failure in analysis.failures)
            said.append(f"{amount(len(analysis.failures), 'detector')} crashed: {names}.")
    lost = {name.replace("_", " "): value for name, value in queries.counters(state).items() if value}
    if lost:
        said.append("While recording: " + ", ".join(f"{value:,} {name}" for name, value in lost.items()) + ".")
    if said:
        st.caption(" ".join(said))


render()
