"""Rules that need no thought, for comparison: what shipped loop breakers and cost alarms do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median, pstdev
from typing import Any

import polars as pl

Step = tuple[Any, ...]
STEPS = ("agent", "llm", "tool", "handoff", "message")


def steps_of(rows: pl.DataFrame) -> list[Step]:
    """(agent, kind, name, content) of what happened, in order of start."""
    name = pl.coalesce("tool_name", "target_agent", "purpose", pl.lit(""))
    # What a model was given grows from call to call; what it said can be said again.
    said = pl.when(pl.col("kind") == "llm").then(pl.col("output_refs")).otherwise(pl.col("input_refs"))
    held = rows.filter(pl.col("kind").is_in(STEPS)).sort("start_ns", "span_id")
    return [
        (agent or "", kind, called, tuple(refs or ()))
        for agent, kind, called, refs in held.select(
            "agent", "kind", name.alias("called"), said.alias("said")
        ).iter_rows()
    ]


def exact_three(steps: Sequence[Step]) -> bool:
    """An agent does exactly the same three times in a row."""
    own: dict[str, list[Step]] = {}
    for step in steps:
        own.setdefault(f"{step[0]}/{step[1]}", []).append(step)
    return any(a == b == c and a[3] for seen in own.values() for a, b, c in zip(seen, seen[1:], seen[2:], strict=False))


def exact_cycle(steps: Sequence[Step]) -> bool:
    """An exact cycle of up to five steps, five times."""
    return _cycles(steps, times=5)


def name_cycle(steps: Sequence[Step]) -> bool:
    """A cycle of up to five agent names, three times."""
    return _cycles([step[0] for step in steps if step[1] == "agent"], times=3)


def step_cap(steps: Sequence[Step]) -> bool:
    """More than 25 model calls."""
    return sum(step[1] == "llm" for step in steps) > 25


def _cycles(items: Sequence[Any], *, times: int) -> bool:
    for k in range(1, 6):
        run = 0
        for i in range(k, len(items)):
            run = run + 1 if items[i] == items[i - k] else 0
            if run >= k * (times - 1):
                return True
    return False


LOOP_RULES: Mapping[str, Callable[[Sequence[Step]], bool]] = {
    "exact x3": exact_three,
    "exact cycle <=5, x5": exact_cycle,
    "name cycle <=5, x3": name_cycle,
    "step cap 25": step_cap,
}


def above_three_sigma(costs: Sequence[float]) -> list[bool]:
    """Dearer than the mean by three standard deviations."""
    limit = fmean(costs) + 3 * pstdev(costs)
    return [cost > limit for cost in costs]


def above_three_medians(costs: Sequence[float]) -> list[bool]:
    """Dearer than three times the median."""
    limit = 3 * median(costs)
    return [cost > limit for cost in costs]


COST_RULES: Mapping[str, Callable[[Sequence[float]], list[bool]]] = {
    "mean + 3 sigma": above_three_sigma,
    "3 x median": above_three_medians,
}
