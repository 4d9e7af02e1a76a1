"""Coordination: who turns to whom, what goes in circles, who waits for what, and which guards had to act."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from analyzers.contacts import find_contacts
from analyzers.finding import Finding
from analyzers.metrics.guards import guard_metrics
from analyzers.metrics.waits import wait_metrics
from analyzers.wording import amount
from dashboard import address, chrome
from dashboard.components import document_view, figure_view
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units
from dashboard.figures.contact_matrix import contact_graph
from dashboard.figures.dependency_draw import DEPENDENCY_CSS, draw_dependencies
from dashboard.figures.tables import edges_table
from dashboard.frame import Scene, over_runs
from dashboard.population import Population
from dashboard.run_reads import SECOND_NS

KINDS = (
    "loop", "ping_pong", "deadlock", "orphan_task", "no_answer", "conflicting_decisions", "lost_update", "stale_read",
    "write_skew", "divergent_views", "retry_storm", "error_cascade", "runaway_fanout", "serial_bottleneck", "guard_trip",
)  # fmt: skip
"""the findings that are about agents getting along"""
ROWS = 15
MATRIX_AGENTS = 30
"""more do not fit a readable matrix beside a table"""


def _draw(scene: Scene) -> None:
    _numbers(scene.shown, scene.findings)
    _contacts(scene.shown)
    if scene.findings is not None:
        _incidents([finding for finding in scene.findings if finding.kind in KINDS and finding.severity != "info"])
    _guards(scene.shown)
    _waits(scene.shown)


def _numbers(shown: Population, findings: Sequence[Finding] | None) -> None:
    """Five figures over all workflows."""
    known = (shown.metrics_with(findings) if findings is not None else shown.metrics).coordination
    runs = int(known["runs"].sum())
    handoffs = float((known["handoffs_per_run"] * known["runs"]).sum())
    waits = shown.frames.spans.filter((pl.col("kind") == "wait") & pl.col("duplicate_of").is_null())
    waited = (
        waits.filter(pl.col("end_ns").is_not_null()).select(pl.col("end_ns") - pl.col("start_ns")).to_series().sum()
    )
    loops = "…" if findings is None else units.count(int(known["loops"].sum()))
    figures = (
        ("Handoffs a run", f"{handoffs / runs:,.1f}", f"{units.count(handoffs)} in {amount(runs, 'run')}"),
        ("Loops", loops, "being looked for" if findings is None else "found by the detectors"),
        ("State conflicts", units.count(int(known["state_conflicts"].sum())), "refused writes and lost updates"),
        ("Guards that stopped", *_stopped(shown, int(known["breaker_trips"].sum()), findings)),
        ("Time in waits", units.duration(float(waited)), f"{amount(waits.height, 'wait')}, parallel ones add up"),
    )
    chrome.numbers(figures)


def _stopped(shown: Population, trips: int, findings: Sequence[Finding] | None) -> tuple[str, str]:
    """How often a guard stopped something, and limits of the frameworks, which only their errors tell of."""
    recorded = set(shown.frames.spans.filter(pl.col("kind") == "guard_trip")["run_id"])
    limits = sum(f.kind == "guard_trip" and f.severity != "info" and f.trace_id not in recorded for f in findings or ())
    return units.count(trips + limits), f"{limits:,} by limits of frameworks" if limits else "warnings are not counted"


def _contacts(shown: Population) -> None:
    """The matrix of who turns to whom, and the busiest pairs as a table."""
    st.subheader("Who turns to whom", anchor=False)
    contacts = find_contacts(shown.frames)
    if contacts.is_empty():
        st.text("No handoff, message or invocation between two agents was recorded in this window.")
        return
    pairs = contacts.group_by("source", "target").agg(pl.col("contacts").sum())
    busiest = (
        pl.concat([pairs.select(agent="source", n="contacts"), pairs.select(agent="target", n="contacts")])
        .group_by("agent").agg(pl.col("n").sum()).sort("n", "agent", descending=[True, False])
    )  # fmt: skip
    drawn = busiest["agent"].head(MATRIX_AGENTS)
    inside = pl.col("source").is_in(drawn.implode()) & pl.col("target").is_in(drawn.implode())
    left, right = st.columns([3, 2], gap="medium")
    with left:
        matrix = draw_dependencies(contact_graph(contacts.filter(inside)), view="matrix")
        figure_view(
            matrix, key="contacts", css=DEPENDENCY_CSS, label="Contacts between agents", natural_width=True,
            table=edges_table(contact_graph(contacts)), file="contacts",
        )  # fmt: skip
        if busiest.height > MATRIX_AGENTS:
            kept = int(contacts.filter(inside)["contacts"].sum()) / int(contacts["contacts"].sum())
            st.caption(
                f"Showing the {MATRIX_AGENTS} busiest of {busiest.height:,} agents, {min(kept, 0.999):.1%} of all contacts. The table has them all."
            )
    with right:
        document_view(_pairs(contacts), key="pairs", label="Pairs of agents", subject="pairs")


def _pairs(contacts: pl.DataFrame) -> list[b.Block]:
    words = {"handoff": "handoffs", "message": "messages", "invoke": "invocations"}
    rows = [
        b.row([f"{row['source']} → {row['target']}", words[row["way"]], units.count(row["contacts"]), units.count(row["runs"]),
               units.count(row["failed"]) if row["failed"] else None])
        for row in contacts.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("pair"), b.column("how", tight=True), *(b.column(name, right=True) for name in ("times", "runs", "failed"))]  # fmt: skip
    return [b.table(columns, rows, first=ROWS, noun="pair")]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _guards(shown: Population) -> None:
    """Which breakers acted, on whom, and how often; those that only warned are told apart."""
    guards = guard_metrics(shown.frames)
    if guards.is_empty():
        return
    st.subheader("Breakers", anchor=False)
    rows = [
        b.row([row["guard"] or "unnamed guard", _few(row["agents"]) or None, b.cell(units.count(row["stopped"]), "critical") if row["stopped"] else None,
               b.cell(units.count(row["warned"]), "warning") if row["warned"] else None, units.count(row["runs"]), units.moment(row["last_ns"])[:16]])
        for row in guards.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("breaker"), b.column("acted on"), *(b.column(name, right=True, tight=True) for name in ("stopped", "warned", "runs", "last"))]  # fmt: skip
    blocks = [b.table(columns, rows, first=ROWS, noun="breaker")]
    document_view(blocks, key="guards", label="Breakers", subject="guards")


def _incidents(findings: Sequence[Finding]) -> None:
    """What the detectors found about coordination, the most serious first; a click opens the run."""
    st.subheader("What went wrong between agents", anchor=False)
    if not findings:
        st.text("Nothing: no loop, deadlock, conflict, lost update or tripped guard in this window.")
        return
    worst = sorted(
        findings, key=lambda f: (f.severity != "critical", -float(f.wasted_usd or 0), -(f.start_ns or 0), f.id)
    )
    rows = [
        b.row(
            [b.cell(f"{palette.SEVERITY_GLYPHS[f.severity]} {f.kind.replace('_', ' ')}", SEVERITY_TONES[f.severity]), f.title,
             _few(f.agents),
             units.moment(f.start_ns)[:16] if f.start_ns is not None else None,
             units.worth(f.wasted_usd, f.wasted_tokens)],
            pick={"run": f.trace_id} if f.trace_id else None,
        )
        for f in worst
    ]  # fmt: skip
    columns = [b.column("found", tight=True), b.column("what happened"), b.column("agents"), b.column("since", tight=True),
               b.column("wasted", right=True)]  # fmt: skip
    blocks = [b.table(columns, rows, first=ROWS, noun="finding")]
    document_view(blocks, key="incidents", label="Findings about coordination", subject="incidents", on_pick=address.remember)  # fmt: skip


def _waits(shown: Population) -> None:
    """For what and whom runs waited."""
    st.subheader("What was waited for", anchor=False)
    waits = wait_metrics(shown.frames)
    if waits.is_empty():
        st.text("No wait was recorded in this window.")
        return
    rows = [
        b.row([
            _few(row["target"].split(", ")) if row["target"] else "nobody named", (row["reason"] or "").replace("_", " ") or None, _few(row["agents"]), units.count(row["waits"]),
            b.cell(units.count(row["running"]), "running") if row["running"] else None, b.cell(units.count(row["timed_out"]), "warning") if row["timed_out"] else None,
            units.duration(row["total_s"] * SECOND_NS), units.duration(row["longest_s"] * SECOND_NS) if row["longest_s"] is not None else None,
        ])
        for row in waits.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("for"), b.column("because", tight=True), b.column("who waited"),
               *(b.column(name, right=True, tight=True) for name in ("waits", "still waiting", "timed out", "in all", "longest"))]  # fmt: skip
    blocks = [b.table(columns, rows, first=ROWS, noun="wait")]
    document_view(blocks, key="waits", label="Waits", subject="waits")


over_runs("Coordination", _draw, one_workflow=True)
