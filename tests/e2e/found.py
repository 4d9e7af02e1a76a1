"""What a run was recorded as, in the words of the tests."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from analyzers.frames import Frames
from analyzers.run import analyse
from tracer.store import reads
from tracer.store.database import Store


class Found:
    """The one run of a store; spans that repeat others are left out."""

    def __init__(self, store: Path) -> None:
        self._data = reads.load(Store(store))
        self.spans = self._data.spans.filter(pl.col("duplicate_of").is_null()).sort("start_ns")
        self.traces = self._data.traces
        assert self.traces.height == 1, self.traces

    @property
    def outcome(self) -> str:
        return self.traces["outcome"][0]

    @property
    def cost_usd(self) -> Decimal | None:
        return self.traces["cost_usd"][0]

    def of_kind(self, kind: str) -> pl.DataFrame:
        return self.spans.filter(pl.col("kind") == kind)

    @property
    def calls(self) -> Counter[tuple[str | None, str]]:
        """(agent, model) -> LLM calls"""
        return Counter(self.of_kind("llm").select("agent", "model").rows())

    @property
    def agents(self) -> set[str]:
        """with spans of their own"""
        return set(self.of_kind("agent")["agent"])

    @property
    def tools(self) -> list[tuple[str, str, str]]:
        """agent, tool, status"""
        return sorted(self.of_kind("tool").select("agent", "tool_name", "status").rows())

    @property
    def handoffs(self) -> list[tuple[str, str]]:
        return self.of_kind("handoff").select("agent", "target_agent").rows()

    @property
    def callers(self) -> set[tuple[str, str]]:
        """(who called, whom): handoffs, tools that delegate, agents within agents"""
        named = self.spans.filter(pl.col("target_agent").is_not_null()).select("agent", "target_agent").rows()
        rows = {row["span_id"]: row for row in self.spans.iter_rows(named=True)}
        return {*named, *((above, row["agent"]) for row in rows.values() if (above := _agent_above(row, rows)))}

    def findings(self, kind: str) -> list[Any]:
        found = analyse(Frames.loaded(self._data))
        assert not found.failures, found.failures
        return [finding for finding in found.findings if finding.kind == kind]


def _agent_above(row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str | None:
    """The other agent in whose span an agent's span lies."""
    if row["kind"] != "agent":
        return None
    above = rows.get(row["parent_span_id"])
    while above is not None:
        if above["kind"] == "agent" and above["agent"] != row["agent"]:
            return above["agent"]
        above = rows.get(above["parent_span_id"])
    return None
