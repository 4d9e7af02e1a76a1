"""What resolving a run has to know of spans that have no row of their own meanwhile (`leaves`), and what it tells them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

Key = tuple[str, str]
"""(trace_id, span_id)"""


@dataclass(slots=True)
class TraceLeaves:
    """The leaves of one trace together."""

    start_ns: int
    """of the first"""
    last_ns: int
    """start of the last"""
    end_ns: int
    processes: set[tuple[str | None, int | None]]
    """(service, pid)"""
    agents: set[str]


@dataclass(slots=True)
class Hanging:
    """The leaves of whole traces. Each hangs from a span that has a row, and starts after it."""

    below: dict[Key, bool]
    """span -> whether a call of a model or a tool is among its leaves"""
    traces: dict[str, TraceLeaves]
    passed: dict[Key, str | None] = field(default_factory=dict[Key, "str | None"])
    """filled by `resolve_owned`: the agent that a span of `below` passes on to its leaves"""
    only_agent: dict[str, str] = field(default_factory=dict[str, str])
    """filled by `resolve_owned`: the agent of a trace that has but one"""


@dataclass(slots=True)
class RunLeaves:
    """The leaves of one run in the numbers that `summarise` adds up. None of them is a duplicate, an error or running."""

    spans: int
    end_ns: int
    agents: set[str]
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    unpriced_calls: int
    conventions: Counter[str]
