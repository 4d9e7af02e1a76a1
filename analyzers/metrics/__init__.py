"""Numbers per agent, per workflow and on coordination. Definitions: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.metrics.agents import agent_metrics
from analyzers.metrics.coordination import coordination_metrics
from analyzers.metrics.trends import metric_trends, trend_slopes
from analyzers.metrics.variance import output_variance
from analyzers.metrics.workflows import workflow_metrics


@dataclass(frozen=True)
class Metrics:
    """Tables; their columns are described at the functions that make them."""

    agents: pl.DataFrame
    workflows: pl.DataFrame
    coordination: pl.DataFrame
    frames: Frames
    period: str
    """of the trends: hour, day or week"""

    @cached_property
    def variance(self) -> pl.DataFrame:
        """Other outputs for the same input; made when it is asked for, since few pages show it."""
        return output_variance(self.frames)

    @cached_property
    def trends(self) -> pl.DataFrame:
        """Per workflow and period; made when it is asked for."""
        return metric_trends(self.frames, self.period)

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """The document of `tracehound metrics --json`; money as a number of USD, unknown as null."""
        tables = {"agents": self.agents, "workflows": self.workflows, "coordination": self.coordination, "variance": self.variance,
                  "trends": self.trends}  # fmt: skip
        plain = {name: [_plain(row) for row in table.to_dicts()] for name, table in tables.items()}
        return {**plain, "slopes": trend_slopes(self.trends)}


def metrics(frames: Frames, findings: Iterable[Finding] | None = None, *, period: str = "day") -> Metrics:
    """The metrics of all runs in `frames`. `findings` (of `analyzers.run.analyse`) fill in the loops and lost updates;
    without them the number of loops is null, because it was not looked for. `period` (hour, day, week) is that of the trends."""
    held = None if findings is None else list(findings)
    return Metrics(
        agents=agent_metrics(frames),
        workflows=workflow_metrics(frames),
        coordination=coordination_metrics(frames, held),
        frames=frames,
        period=period,
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
