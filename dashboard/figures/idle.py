"""When nothing of a run worked: pauses so long that drawn to scale they would squash everything else."""

from __future__ import annotations

from typing import Final

import polars as pl

from dashboard.figures.tree import Tree
from tracer.model import SpanKind

SHORTEST_NS: Final = 10_000_000_000
LEAST_SHARE: Final = 0.05
"""of the run's duration"""
_INT64: Final = {"begin": pl.Int64, "stop": pl.Int64, "end": pl.Int64}
_RESTING: Final = frozenset({SpanKind.WAIT, SpanKind.ESCALATION})


def idle_gaps(tree: Tree) -> list[tuple[int, int]]:
    """Long pauses as (from, to) in ns since the start of the run, in order, never touching.

    At work is whatever has no children and is no wait; agents and workflows that merely enclose others rest with them.
    A pause counts when it is at least `SHORTEST_NS`, `LEAST_SHARE` of the run, and half of all the time worked.
    """
    leaf = pl.col("end") == pl.int_range(pl.len()) + 1
    busy = (
        pl.DataFrame({"begin": tree.start, "stop": tree.stop, "end": tree.subtree_end}, schema_overrides=_INT64)
        .with_columns(kind=pl.Series(tree.column("kind"), dtype=pl.String))
        .filter(leaf & ~pl.col("kind").is_in(list(_RESTING)))
        .select("begin", "stop")
        .sort("begin")
    )
    end = pl.DataFrame({"begin": [tree.horizon], "stop": [tree.horizon]}, schema=busy.schema)
    # How far work had come before each, and what each adds to it.
    at = pl.max_horizontal(pl.col("stop").cum_max().shift(1), pl.lit(tree.t0, pl.Int64))
    steps = pl.concat([busy, end]).with_columns(at=at)
    worked = steps.select((pl.col("stop") - pl.max_horizontal("at", "begin")).clip(0).sum()).item()
    least = max(SHORTEST_NS, LEAST_SHARE * (tree.horizon - tree.t0), worked / 2)
    pauses = steps.filter(pl.col("begin") - pl.col("at") >= least).select(
        pl.col("at") - tree.t0, pl.col("begin") - tree.t0
    )
    return pauses.rows()
