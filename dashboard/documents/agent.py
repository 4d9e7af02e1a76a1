"""One agent over many runs: its models and tools, whom it works with, its versions, and what was found about it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES, finding_blocks
from dashboard.figures import palette, units
from tracer.model import SpanKind, SpanStatus

_ROWS = 12


def agent_document(
    frames: Frames, agent: str | None, spans: pl.DataFrame, versions: pl.DataFrame, findings: Sequence[Finding],
    drift: Sequence[Finding] = (),
) -> list[b.Block]:  # fmt: skip
    """The blocks for `agent`.

    Args:
        spans: its spans in `frames`, duplicates left out.
        versions: see `analyzers.metrics.versions.version_metrics`.
        findings: those that name it.
        drift: what changed in the workflows it works in.
    """
    blocks: list[b.Block] = []
    blocks += _findings(findings)
    blocks += _models(spans)
    blocks += _tools(spans)
    blocks += _neighbours(frames, agent)
    blocks += _versions(versions)
    blocks += _drift(drift)
    return blocks


def _drift(drift: Sequence[Finding]) -> list[b.Block]:
    if not drift:
        return []
    cards = [b.card(finding_blocks(finding, brief=True), tone=SEVERITY_TONES[finding.severity]) for finding in drift]
    return [b.section("What changed in its workflows", cards, note=str(len(drift)), open=True)]


def _findings(findings: Sequence[Finding]) -> list[b.Block]:
    if not findings:
        return [b.note("No finding names this agent.", tone="ok")]
    worst = sorted(findings, key=lambda f: (f.severity != "critical", -float(f.wasted_usd or 0), f.id))
    rows = [
        b.row(
            [b.cell(f"{palette.SEVERITY_GLYPHS[f.severity]} {f.kind.replace('_', ' ')}", SEVERITY_TONES[f.severity]), f.title,
             units.money(f.wasted_usd) if f.wasted_usd is not None else None],
            pick={"run": f.trace_id} if f.trace_id else None,
        )
        for f in worst
    ]  # fmt: skip
    columns = [b.column("found", tight=True), b.column("in a run"), b.column("wasted", right=True)]
    return [
        b.section("Findings", [b.table(columns, rows, first=_ROWS, noun="finding")], note=str(len(findings)), open=True)
    ]


def _models(spans: pl.DataFrame) -> list[b.Block]:
    used = (
        spans.filter(pl.col("kind") == SpanKind.LLM)
        .group_by(pl.col("model").fill_null("unknown model"))
        .agg(
            calls=pl.len(),
            failed=(pl.col("status") == SpanStatus.ERROR).sum(),
            tokens=pl.col("input_tokens").sum() + pl.col("output_tokens").sum(),
            cost=pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").cast(pl.Float64).sum()),
            unpriced=pl.col("cost_usd").is_null().sum(),
        )
        .sort("calls", "model", descending=[True, False])
    )
    if used.is_empty():
        return []
    rows = [
        b.row([row["model"], units.count(row["calls"]), units.count(row["failed"]) if row["failed"] else None, units.count(row["tokens"]),
               ("≥ " if row["cost"] is not None and row["unpriced"] else "") + units.money(row["cost"])])
        for row in used.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("model"), *(b.column(name, right=True) for name in ("calls", "failed", "tokens", "cost"))]
    return [b.section("Models", [b.table(columns, rows, first=_ROWS, noun="model")], note=str(used.height), open=True)]


def _tools(spans: pl.DataFrame) -> list[b.Block]:
    used = (
        spans.filter((pl.col("kind") == SpanKind.TOOL) & pl.col("tool_name").is_not_null())
        .group_by("tool_name")
        .agg(
            calls=pl.len(),
            failed=(pl.col("status") == SpanStatus.ERROR).sum(),
            p50=(pl.col("end_ns") - pl.col("start_ns")).median(),
            repeats=pl.len() - pl.struct("run_id", "args_hash").n_unique(),
        )
        .sort("calls", "tool_name", descending=[True, False])
    )
    if used.is_empty():
        return []
    rows = [
        b.row([row["tool_name"], units.count(row["calls"]), units.count(row["failed"]) if row["failed"] else None,
               units.count(row["repeats"]) if row["repeats"] else None, units.duration(row["p50"]) if row["p50"] is not None else None])
        for row in used.iter_rows(named=True)
    ]  # fmt: skip
    columns = [
        b.column("tool"),
        *(b.column(name, right=True) for name in ("calls", "failed", "same arguments again", "median time")),
    ]
    return [b.section("Tools", [b.table(columns, rows, first=_ROWS, noun="tool")], note=str(used.height), open=True)]


def _neighbours(frames: Frames, agent: str | None) -> list[b.Block]:
    """Who hands over to it, and to whom it does: handoffs and messages that name both ends."""
    if agent is None:
        return []
    passed = frames.spans.filter(
        pl.col("kind").is_in([SpanKind.HANDOFF, SpanKind.MESSAGE])
        & pl.col("agent").is_not_null()
        & pl.col("target_agent").is_not_null()
        & pl.col("duplicate_of").is_null()
        & (pl.col("agent") != pl.col("target_agent"))
    )
    ways = [
        ("from", passed.filter(pl.col("target_agent") == agent).select(pl.col("agent").alias("other"), "kind")),
        ("to", passed.filter(pl.col("agent") == agent).select(pl.col("target_agent").alias("other"), "kind")),
    ]
    rows: list[b.Block] = []
    for way, contacts in ways:
        counted = contacts.group_by("other").agg(
            handoffs=(pl.col("kind") == SpanKind.HANDOFF).sum(), messages=(pl.col("kind") == SpanKind.MESSAGE).sum()
        )
        ordered = counted.sort("handoffs", "messages", "other", descending=[True, True, False])
        rows += [
            b.row([way, row["other"], units.count(row["handoffs"]), units.count(row["messages"])])
            for row in ordered.iter_rows(named=True)
        ]
    if not rows:
        return []
    columns = [
        b.column("", tight=True),
        b.column("agent"),
        b.column("handoffs", right=True),
        b.column("messages", right=True),
    ]
    return [b.section("Works with", [b.table(columns, rows, first=2 * _ROWS, noun="neighbour")], open=True)]


def _versions(versions: pl.DataFrame) -> list[b.Block]:
    known = versions.filter(pl.col("service_version").is_not_null() | pl.col("prompt_version").is_not_null())
    if known.is_empty():
        return [b.section("Versions", [b.note("No span of this agent says which version of the service or of the prompt it ran.")])]  # fmt: skip
    rows = [
        b.row([
            row["service_version"], row["prompt_version"], units.moment(row["first_ns"])[:16], units.count(row["runs"]), units.count(row["llm_calls"]),
            units.share(row["error_rate"] or 0.0, 1.0), units.duration(row["latency_p50_s"] * 1e9) if row["latency_p50_s"] is not None else None,
            units.money(row["cost_per_run_usd"]) if row["cost_per_run_usd"] is not None else None,
        ])
        for row in known.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("service"), b.column("prompt"), b.column("first seen", tight=True),
               *(b.column(name, right=True) for name in ("runs", "LLM calls", "errors", "call p50", "cost a run"))]  # fmt: skip
    return [
        b.section(
            "Versions",
            [b.table(columns, rows, first=_ROWS, noun="version")],
            note=str(known.height),
            open=known.height > 1,
        )
    ]
