"""When nothing of a run worked: pauses so long that drawn to scale they would squash everything else."""

from __future__ import annotations

from typing import Final

from dashboard.figures.tree import Tree
from tracer.model import SpanKind

SHORTEST_NS: Final = 10_000_000_000
LEAST_SHARE: Final = 0.05
"""of the run's duration"""
_RESTING: Final = frozenset({SpanKind.WAIT, SpanKind.ESCALATION})


def idle_gaps(tree: Tree) -> list[tuple[int, int]]:
    """Long pauses as (from, to) in ns since the start of the run, in order, never touching.

    At work is whatever has no children and is no wait; agents and workflows that merely enclose others rest with them.
    A pause counts when it is at least `SHORTEST_NS`, `LEAST_SHARE` of the run, and half of all the time worked.
    """
    rests = [
        kind in _RESTING or end > i + 1
        for i, (kind, end) in enumerate(zip(tree.column("kind"), tree.subtree_end, strict=True))
    ]
    busy = sorted((a, b) for a, b, rest in zip(tree.start, tree.stop, rests, strict=True) if not rest)
    pauses: list[tuple[int, int]] = []
    worked, at = 0, tree.t0
    for begin, end in [*busy, (tree.horizon, tree.horizon)]:
        if begin > at:
            pauses.append((at - tree.t0, begin - tree.t0))
        worked += max(0, end - max(at, begin))
        at = max(at, end)
    least = max(SHORTEST_NS, LEAST_SHARE * (tree.horizon - tree.t0), worked / 2)
    return [(a, b) for a, b in pauses if b - a >= least]
