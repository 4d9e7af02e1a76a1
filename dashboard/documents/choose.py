"""A short list of runs to open, for pages that need one."""

from __future__ import annotations

import polars as pl

from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES, started_cell, took_cell


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
