"""A short list of runs to open, for pages that need one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, cost_cell, started_cell, took_cell
from tracer.model import RunOutcome


def choose_document(rows: pl.DataFrame) -> list[b.Block]:
    """A table of runs (rows of `traces`); a click picks `run`."""
    columns = [
        b.column("run"),
        b.column("workflow"),
        b.column("outcome"),
        b.column("started, UTC"),
        b.column("took", right=True),
    ]
    return [
        b.table(
            columns,
            [
                b.row(
                    [
                        row["source_id"] or row["run_id"][:8],
                        row["workflow"],
                        b.cell(
                            f"{OUTCOME_GLYPHS.get(row['outcome'], '')} {row['outcome'].replace('_', ' ')}",
                            OUTCOME_TONES.get(row["outcome"], "neutral"),
                        ),
                        started_cell(row, 19),
                        took_cell(row),
                    ],
                    pick={"run": row["run_id"]},
                )
                for row in rows.iter_rows(named=True)
            ],
        )
    ]


PAIRS_SHOWN = 8


def pairs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs worth a comparison among runs (rows of `traces`, newest first): of each workflow the newest run that completed and the
    newest that did not, else its two newest; those with a bad end first, then the newest."""
    by_workflow: dict[str | None, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["outcome"] != RunOutcome.RUNNING:
            by_workflow.setdefault(row["workflow"], []).append(row)
    told: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    quiet: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    for runs in by_workflow.values():
        good = next((row for row in runs if row["outcome"] == RunOutcome.COMPLETED), None)
        bad = next((row for row in runs if row["outcome"] not in (RunOutcome.COMPLETED, RunOutcome.UNKNOWN)), None)
        if good is not None and bad is not None:
            told.append((good, bad))
        elif len(runs) > 1:
            quiet.append((runs[1], runs[0]))
    return [*told, *quiet]


def pairs_document(rows: Sequence[Mapping[str, Any]]) -> list[b.Block]:
    """The pairs as a table; a click picks both runs as `query`, "a b". Nothing where no workflow ran twice."""
    found = pairs(rows)
    if not found:
        return []
    lines = [
        b.row([a["workflow"] or "unnamed", _side(a), _side(other)], pick={"query": f"{a['run_id']} {other['run_id']}"})
        for a, other in found
    ]
    return [
        b.table([b.column("workflow", tight=True), b.column("A"), b.column("B")], lines, first=PAIRS_SHOWN, noun="pair")
    ]


def _side(row: Mapping[str, Any]) -> b.Block:
    outcome = row["outcome"]
    note = " · ".join((row["source_id"] or row["run_id"][:8], started_cell(row), took_cell(row), cost_cell(row)))
    return b.cell(
        f"{OUTCOME_GLYPHS.get(outcome, '')} {outcome.replace('_', ' ')}",
        OUTCOME_TONES.get(outcome, "neutral"),
        note=note,
    )
