"""Sessions in blocks: a list of conversations, and the runs of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, SEVERITY_TONES, cost_cell, started_cell, took_cell
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from tracer.clock import has_clock


def sessions_document(rows: pl.DataFrame) -> list[b.Block]:
    """One row per session (see `session_reads.SessionPage`); a click picks `{"run": session id}`."""
    lines: list[b.Block] = []
    for row in rows.iter_rows(named=True):
        lasted = (
            "running" if row["end_ns"] is None else units.took(row["end_ns"] - row["start_ns"], row["start_ns"]) or "—"
        )
        lines.append(
            b.row(
                [
                    b.cell(row["session_id"], note=row["user_id"]), ", ".join(row["workflows"] or ()) or None, units.count(row["runs"]),
                    b.cell(units.count(row["failed"]), "critical") if row["failed"] else None, started_cell(row),
                    b.cell(lasted, "running") if row["end_ns"] is None else lasted, units.count(row["llm_calls"]), units.count(row["tokens"]), cost_cell(row),
                ],
                pick={"run": row["session_id"]},
            )
        )  # fmt: skip
    columns = [b.column("session"), b.column("workflows"), b.column("runs", right=True), b.column("failed", right=True), b.column("began", tight=True),
               *(b.column(name, right=True) for name in ("lasted", "LLM calls", "tokens", "cost"))]  # fmt: skip
    return [b.table(columns, lines)]


def session_document(runs: pl.DataFrame, by_run: Mapping[str, Sequence[Finding]]) -> list[b.Block]:
    """The runs of one session in order, with the pause before each, what was found, and sums above."""
    cost = [row["cost_usd"] for row in runs.iter_rows(named=True) if row["cost_usd"] is not None]
    unpriced = int(runs["unpriced_calls"].sum())
    tokens = int(runs["input_tokens"].sum()) + int(runs["output_tokens"].sum())
    numbers = [amount(runs.height, "run"), amount(int(runs["llm_calls"].sum()), "LLM call"), f"{units.count(tokens)} tokens",
               ("at least " if unpriced else "") + units.money(sum(cost)) if cost else "cost unknown"]  # fmt: skip
    lines: list[b.Block] = []
    before: int | None = None
    for row in runs.iter_rows(named=True):
        found = [finding for finding in by_run.get(row["run_id"], ()) if finding.severity != "info"]
        told = b.cell(f"{palette.SEVERITY_GLYPHS[found[0].severity]} " + ", ".join(dict.fromkeys(finding_tag(f) for f in found)), SEVERITY_TONES[found[0].severity]) if found else None  # fmt: skip
        pause = None if before is None or not has_clock(row["start_ns"]) else row["start_ns"] - before
        lines.append(
            b.row(
                [
                    started_cell(row, 19), units.duration(pause) if pause is not None and pause > 0 else None,
                    b.cell(row["workflow"] or "unnamed", note=row["source_id"] or row["run_id"][:8]),
                    b.cell(f"{OUTCOME_GLYPHS.get(row['outcome'], '')} {row['outcome'].replace('_', ' ')}", OUTCOME_TONES.get(row["outcome"], "neutral")),
                    told, took_cell(row), cost_cell(row),
                ],
                pick={"run": row["run_id"]},
            )
        )  # fmt: skip
        before = row["end_ns"]
    columns = [b.column("started", tight=True), b.column("after a pause of", right=True, tight=True), b.column("run"), b.column("outcome", tight=True), b.column("found"),
               b.column("took", right=True), b.column("cost", right=True)]  # fmt: skip
    return [b.note(" · ".join(numbers)), b.table(columns, lines)]
