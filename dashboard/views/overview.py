"""Overview: how the agents do, what it costs, and where to look first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from analyzers.finding import Finding
from dashboard import address, charts, chrome, queries
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, SEVERITY_TONES, cost_cell, finding_blocks, took_cell
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from dashboard.run_reads import SECOND_NS, Overview

WINDOWS: Mapping[str, int | None] = {
    "1 hour": 3_600,
    "24 hours": 86_400,
    "7 days": 604_800,
    "30 days": 2_592_000,
    "All": None,
}
_PLOTLY_CONFIG = {"displayModeBar": False, "responsive": True}


def render() -> None:
    """Draw the page."""
    state = queries.current()
    title, control = st.columns([1, 1], vertical_alignment="center")
    title.title("Overview", anchor=False)
    with control, st.container(horizontal=True, horizontal_alignment="right"):
        window = st.segmented_control(
            "Window", list(WINDOWS), default="All", required=True, key="window", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
    length_s = WINDOWS[window or "All"]
    since_ns = None if length_s is None else (queries.this_minute() * 60 - length_s) * SECOND_NS
    shown = queries.overview(state, since_ns)
    if shown.totals.runs == 0:
        _nothing_in(window or "All")
        return
    with st.spinner("Looking for loops, deadlocks, lost updates …", show_time=False):
        findings = queries.all_findings(state)
    by_run = {
        run_id: found
        for run_id, found in findings.by_run.items()
        if found and (since_ns is None or _start(findings.traces, run_id) >= since_ns)
    }
    _numbers(shown, by_run, findings.traces)
    _fleet(findings.fleet)
    _worst(findings, since_ns)
    _trends(shown)
    _footer(state, findings)


def _start(traces: pl.DataFrame, run_id: str) -> int:
    return int(traces.filter(pl.col("run_id") == run_id)["start_ns"][0])


def _nothing_in(window: str) -> None:
    if window == "All":
        st.info("The store is there, but no run has been recorded in it yet.")
    else:
        st.info(f"No run started within the last {window}. Choose a longer window.")


def _numbers(shown: Overview, by_run: Mapping[str, Sequence[Finding]], traces: pl.DataFrame) -> None:
    """Six figures with their course over the window."""
    totals, trend = shown.totals, shown.trend
    course: dict[str, list[float]] = {
        "runs": trend["runs"].to_list(),
        "cost": trend["cost_usd"].fill_null(0.0).to_list(),
        "p95": trend["p95_s"].drop_nulls().to_list(),
        "completed": trend.filter(pl.col("ended") > 0).select(pl.col("completed") / pl.col("ended")).to_series().to_list(),
        "escalated": trend["escalated"].to_list(),
    }  # fmt: skip
    critical = sum(any(f.severity == "critical" for f in found) for found in by_run.values())
    loops = sum(any(f.kind in ("loop", "ping_pong") for f in found) for found in by_run.values())
    serious = [run_id for run_id, found in by_run.items() if any(f.severity != "info" for f in found)]
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
    note = "no LLM calls" if covered is None else f"{covered:.0%} of calls priced"
    cost = units.money(totals.cost_usd) if totals.cost_usd is not None else "unknown" if totals.llm_calls else "—"
    _metric(columns[3], "Cost", cost, note, course["cost"], "bar")
    _metric(
        columns[4],
        "Runs with findings",
        units.count(len(serious)),
        f"{units.count(critical)} critical, {units.count(loops)} looping",
        _per_bucket(serious, traces, trend),
        "bar",
    )
    _metric(columns[5], "Escalated", _rate(totals.escalation_rate), f"{units.count(totals.escalated)} needed a person", course["escalated"], "bar")  # fmt: skip


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


def _fleet(fleet: Sequence[Finding]) -> None:
    """What only a view over many runs can see."""
    if not fleet:
        return
    st.subheader("Across all runs", anchor=False)
    blocks = [
        b.card(finding_blocks(finding, brief=True), tone=SEVERITY_TONES[finding.severity]) for finding in fleet[:5]
    ]
    if len(fleet) > 5:
        blocks.append(b.note(f"Showing 5 of {units.plural(len(fleet), 'finding')}."))
    document_view(blocks, key="fleet", label="Findings across runs", subject="fleet")


def _worst(findings: queries.AllFindings, since_ns: int | None) -> None:
    """The runs to open first; a click opens them."""
    worst = [item for item in queries.worst_runs(findings, 40) if since_ns is None or item[0]["start_ns"] >= since_ns][
        :8
    ]
    st.subheader("Look at these first", anchor=False)
    if not worst:
        st.text("No detector objects to any run in this window.")
        return
    rows = [_worst_row(row, found) for row, found in worst]
    columns = [b.column("run"), b.column("outcome"), b.column("found"), b.column("most serious"),
               b.column("took", right=True), b.column("cost", right=True)]  # fmt: skip
    document_view(
        [b.table(columns, rows)],
        key="worst",
        label="Worst runs",
        subject="worst",
        on_pick=lambda pick: _remember(pick["run"]),
    )
    chosen = st.session_state.pop("open_run", None)
    if chosen:
        address.open_trace(chosen)


def _remember(run_id: str) -> None:
    st.session_state["open_run"] = run_id


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


def _trends(shown: Overview) -> None:
    """Four charts at most: each costs the browser."""
    st.subheader("Over time", anchor=False)
    mode = chrome.mode()
    left, right = st.columns(2, gap="medium")
    bucket = _length(shown.bucket_s)
    if shown.totals.cost_usd is not None:
        _chart(left, f"Cost by workflow, USD per {bucket}", charts.spend_over_time(shown.spend, mode), "spend")
    else:
        left.caption("Cost by workflow")
        left.info("No call in this window has a known price.")
    _chart(right, "Latency of ended runs", charts.latency_over_time(shown.trend, mode), "latency")
    left, right = st.columns(2, gap="medium")
    _chart(left, "Share of ended runs", charts.success_over_time(shown.trend, mode), "success")
    _chart(right, "How runs ended", charts.outcome_bars(shown.outcomes, mode), "outcomes")


def _length(seconds: int) -> str:
    """A bucket's width in words: `10 s`, `5 min`, `hour`, `2 days`."""
    for unit_s, word in ((86_400, "day"), (3_600, "hour"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            number = seconds // unit_s
            return word if number == 1 else f"{number} {word}{'s' if len(word) > 3 or word == 'day' else ''}"
    return "s"


def _chart(column: Any, title: str, figure: charts.Figure, key: str) -> None:
    column.caption(title)
    column.plotly_chart(figure, key=f"chart_{key}", config=_PLOTLY_CONFIG, theme="streamlit", alt=title)


def _footer(state: queries.StoreState, findings: queries.AllFindings) -> None:
    """What was looked at, and what was lost on the way."""
    looked = len(findings.by_run)
    said = [
        f"Findings over {'all' if looked == findings.total else f'the newest {looked:,} of'} {units.plural(findings.total, 'run')}."
    ]
    lost = {name.replace("_", " "): value for name, value in queries.counters(state).items() if value}
    if lost:
        said.append("While recording: " + ", ".join(f"{value:,} {name}" for name, value in lost.items()) + ".")
    if findings.failures:
        said.append(
            f"{units.plural(len(findings.failures), 'detector')} crashed: {', '.join(f.detector for f in findings.failures)}."
        )
    st.caption(" ".join(said))


render()
