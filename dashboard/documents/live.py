"""The Live page in blocks: what each running run is doing, and what ended last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, cost_cell, took_cell
from dashboard.figures import palette, units
from dashboard.live_reads import LiveRun, OpenSpan
from dashboard.run_reads import SECOND_NS
from tracer.clock import has_clock
from tracer.model import SpanKind

_SPANS = 6
_RUNS = 25


def running_document(runs: tuple[LiveRun, ...], now_ns: int) -> list[b.Block]:
    """A card per running run: how long, how much, and who does or waits for what."""
    blocks: list[b.Block] = []
    for run in runs[:_RUNS]:
        tone: b.Tone = "critical" if run.stuck else "warning" if run.late else "running"
        row = run.row
        chips = [b.chip("running for " + units.duration(now_ns - row["start_ns"]), tone="running", glyph="◌")]
        if run.stuck:
            chips.append(b.chip("deadlock: " + ", ".join(sorted(run.stuck)), tone="critical", glyph="✕",
                                title="These agents wait for each other; nobody who runs can release them."))  # fmt: skip
        elif run.late:
            chips.append(b.chip("unusually long", tone="warning", glyph="▲"))
        numbers = f"{amount(row['llm_calls'], 'LLM call')} · {units.count(row['input_tokens'] + row['output_tokens'])} tokens · {cost_cell(row) if row['llm_calls'] else 'no cost yet'}"
        lines = [_line(span) for span in run.open[:_SPANS]]
        if len(run.open) > _SPANS:
            lines.append(b.note(f"and {len(run.open) - _SPANS:,} more"))
        if not lines:
            lines.append(b.note("Between two steps: nothing is open but the run itself."))
        head = b.heading(
            row["workflow"] or "unnamed workflow", level=2, note=row["source_id"] or row["run_id"][:8], items=chips
        )
        blocks.append(b.card([head, b.note(numbers), *lines], tone=tone, pick={"run": row["run_id"]}))
    if len(runs) > _RUNS:
        said = (
            f"Showing {_RUNS} of {amount(len(runs), 'running run')}: deadlocks first, then late ones, then the newest."
        )
        blocks.append(b.line(said, items=[b.chip("all of them →", pick={"query": "outcome:running"})]))
    return blocks


def _line(span: OpenSpan) -> b.Block:
    row = span.row
    chips: list[b.Block] = []
    if span.stuck:
        chips.append(b.chip("can never end", tone="critical", glyph="✕"))
    elif span.late:
        chips.append(b.chip("late", tone="warning", glyph="▲", title="Three times longer than 95 % of the ended ones like it, or over its deadline."))  # fmt: skip
    glyph = palette.look(row["kind"]).glyph
    return b.line(
        f"{glyph} {row['agent'] or 'no agent'}: {_doing(row)}", note=units.duration(span.for_s * SECOND_NS), items=chips
    )


def _doing(row: Mapping[str, Any]) -> str:
    if row["kind"] == SpanKind.WAIT:
        word = " or " if row["wait_mode"] == "any" else ", "
        whom = word.join(row["wait_for"] or ()) or "somebody"
        return f"waits for {whom}" + (f" ({row['reason']})" if row["reason"] else "")
    if row["kind"] == SpanKind.LLM:
        return f"LLM call, {row['model'] or 'unknown model'}"
    if row["kind"] == SpanKind.TOOL:
        return f"tool {row['tool_name'] or row['name']}"
    if row["kind"] == SpanKind.AGENT and row["name"] == row["agent"]:
        return "at work"
    return f"{palette.look(row['kind']).word} {row['name']}"


def _ended(row: Mapping[str, Any]) -> str | None:
    """When a run ended, where that is known: a program that died did not say."""
    return units.moment(row["end_ns"])[:19] if row["end_ns"] is not None and has_clock(row["start_ns"]) else None


def ended_document(recent: pl.DataFrame) -> list[b.Block]:
    """The last runs that ended or whose program died, newest first."""
    rows = [
        b.row(
            [b.cell(row["workflow"] or "unnamed", note=row["source_id"] or row["run_id"][:8]),
             b.cell(f"{OUTCOME_GLYPHS.get(row['outcome'], '')} {row['outcome'].replace('_', ' ')}", OUTCOME_TONES.get(row["outcome"], "neutral")),
             _ended(row), took_cell(row), cost_cell(row)],
            pick={"run": row["run_id"]},
        )
        for row in recent.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("run", tight=True), b.column("outcome", tight=True), b.column("ended", tight=True), b.column("took", right=True), b.column("cost", right=True)]  # fmt: skip
    return [b.table(columns, rows)]
