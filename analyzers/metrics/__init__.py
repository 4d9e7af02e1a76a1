"""Numbers per agent, per workflow and on coordination. Definitions: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.metrics.agents import agent_metrics
from analyzers.metrics.coordination import coordination_metrics
from analyzers.metrics.workflows import workflow_metrics


@dataclass(frozen=True, slots=True)
class Metrics:
    """Three tables; their columns are described at the functions that make them."""

    agents: pl.DataFrame
    workflows: pl.DataFrame
    coordination: pl.DataFrame

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """The document of `tracehound metrics --json`; money as a number of USD, unknown as null."""
        tables = {"agents": self.agents, "workflows": self.workflows, "coordination": self.coordination}
        return {name: [_plain(row) for row in table.to_dicts()] for name, table in tables.items()}


def metrics(frames: Frames, findings: Iterable[Finding] | None = None) -> Metrics:
    """The metrics of all runs in `frames`. `findings` (of `analyzers.run.analyse`) fill in the loops and lost updates;
    without them the number of loops is null, because it was not looked for."""
    held = None if findings is None else list(findings)
    return Metrics(agent_metrics(frames), workflow_metrics(frames), coordination_metrics(frames, held))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}
