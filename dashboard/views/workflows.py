"""Workflows: how each kind of run does, and what stands out in the one that is chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard import address, chrome, queries
from dashboard.charts import distributions
from dashboard.charts.base import some_of
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.documents.worth import worth_document
from dashboard.figures import palette, units
from dashboard.fleet import fleet_cards
from dashboard.frame import Scene, one_of_them, over_runs
from dashboard.grids import Column, grid
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS

UNNAMED = "(unnamed)"
COLUMNS = (
    Column("workflow", "workflow", "text"),
    Column("runs", "runs", "count"),
    Column("completion_rate", "completed", "bar", "completed / ended runs"),
    Column("escalation_rate", "escalated", "share", "ended runs that needed a person"),
    Column("latency_p50_s", "p50", "seconds", "wall time of runs that are over, waits included"),
    Column("latency_p95_s", "p95", "seconds", "wall time of runs that are over, waits included"),
    Column("wait_mean_s", "waiting", "seconds", "time in waits per run"),
    Column("cost_mean_usd", "cost a run", "usd"),
    Column("cost_total_usd", "cost", "usd"),
    Column("coverage", "priced", "share", "share of the calls with a known price"),
    Column("handoffs_per_run", "handoffs", "number", "handoffs per run"),
    Column("loops", "loops", "count", "loops found"),
    Column("state_conflicts", "conflicts", "count", "refused writes and lost updates"),
    Column("breaker_trips", "trips", "count", "guards that stopped something"),
)


def _draw(scene: Scene) -> None:
    shown, findings = scene.shown, scene.findings
    known = shown.metrics_with(findings) if findings is not None else shown.metrics
    rows = known.workflows.join(
        known.coordination.drop("runs"), on="workflow", how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(pl.col("workflow").fill_null(UNNAMED)).sort("cost_total_usd", "runs", descending=True, nulls_last=True)  # fmt: skip
    grid(
        rows,
        COLUMNS,
        key="workflows",
        label="Workflows; click one to look into it",
        hint="Click a workflow for its findings, what changed over time, and whether it needs its agents.",
        on_pick=lambda row: address.put(workflow=rows["workflow"][row]),
    )
    chosen = address.get("workflow")
    if chosen is not None and chosen in rows["workflow"].to_list():
        _one(scene, chosen)
        _worth(scene, chosen)
    else:
        _all(shown)


def _all(shown: Population) -> None:
    took = _durations(shown).rename({"workflow": "name"})
    title = some_of("How long runs took", distributions.ROWS, took["name"].n_unique(), "slowest")
    chrome.chart(st.container(), title, distributions.latency_boxes(took, chrome.mode()), "latency")


def _durations(shown: Population) -> pl.DataFrame:
    """workflow, seconds of the ended runs with real times."""
    frames = shown.frames
    return frames.traces.filter(
        (pl.col("outcome") != "running") & pl.col("end_ns").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    ).select(
        pl.col("workflow").fill_null(UNNAMED), seconds=(pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS
    )  # fmt: skip


def _one(scene: Scene, workflow: str) -> None:
    """One workflow: what was found in it, in one run or over many, and the way to its runs."""
    own = None if workflow == UNNAMED else workflow
    term = "" if own is None else address.term("workflow", workflow)
    one_of_them("workflow", workflow, all_of_them="All workflows", query=term or None)
    mine = set(scene.shown.frames.traces.filter(pl.col("workflow").eq_missing(pl.lit(own)))["run_id"])
    found = [finding for finding in scene.findings or () if finding.trace_id in mine]
    blocks = _found(found, len(mine), scene.findings is not None, term)
    document_view(blocks, key="found", label=f"Found in {workflow}", subject=workflow, on_pick=address.remember)
    drawn = [finding for finding in scene.fleet if own is not None and finding.data.get("workflow") == own]
    if drawn:
        st.subheader("Over many of its runs", anchor=False)
        fleet_cards(drawn, key="fleet")


def _worth(scene: Scene, workflow: str) -> None:
    """Whether the way the agents work together pays."""
    own = pl.col("workflow").fill_null(UNNAMED) == workflow
    if scene.shown.frames.traces.filter(own & (pl.col("outcome") != "running")).is_empty():
        return
    st.subheader("Does it need these agents?", anchor=False)
    with st.spinner("Reading its newest runs …", show_time=False):
        worth = queries.worth(scene.state, scene.window.since_ns, None if workflow == UNNAMED else workflow)
    document_view(worth_document(worth), key="worth", label=f"Architecture of {workflow}", subject=workflow)


def _found(found: Sequence[Finding], runs: int, looked: bool, term: str) -> list[b.Block]:
    """Kinds of findings with how many runs they touch and what they wasted; the worst of each in its own words."""
    if not looked:
        return [b.note("Findings are still being looked for.")]
    serious = [finding for finding in found if finding.severity != "info"]
    if not serious:
        return [b.note(f"No detector objects to any of these {amount(runs, 'run')}.", tone="ok")]
    per_kind = Counter(finding.kind for finding in serious)
    rows: list[b.Block] = []
    for kind, count in per_kind.most_common():
        of_kind = [finding for finding in serious if finding.kind == kind]
        touched = len({finding.trace_id for finding in of_kind})
        wasted = [finding.wasted_usd for finding in of_kind if finding.wasted_usd is not None]
        worst = max(of_kind, key=lambda f: (f.severity == "critical", float(f.wasted_usd or 0)))
        rows.append(
            b.row(
                [
                    b.cell(f"{palette.SEVERITY_GLYPHS[worst.severity]} {kind.replace('_', ' ')}", SEVERITY_TONES[worst.severity]),
                    f"{count:,}",
                    b.cell(f"{touched:,}", note=units.share(touched, runs)),
                    units.money(sum(wasted)) if wasted else None,
                    worst.title,
                ],
                pick={"query": f"{term} finding:{kind}".strip()},
            )
        )  # fmt: skip
    columns = [b.column("found", tight=True), b.column("times", right=True), b.column("runs", right=True, tight=True),
               b.column("wasted", right=True), b.column("for example")]  # fmt: skip
    return [b.table(columns, rows)]


over_runs("Workflows", _draw)
