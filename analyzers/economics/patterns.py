"""Which pattern the agents of a run work in, by who was called when and inside whom.

single      one agent made all LLM calls
parallel    at least a quarter of the busy time two agents were at work
supervisor  one agent calls the others (their spans lie in its own), or every other turn is its
chat        a moderator only names the next speaker, or agents take turns more than once
pipeline    every agent has one stretch of turns, one after the other
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import polars as pl

from analyzers.economics.turns import Run, Turn
from analyzers.frames import Frames
from tracer.model import Purpose, SpanKind

PatternName = Literal["single", "parallel", "supervisor", "chat", "pipeline"]
AT_ONCE = 0.25
STEERING = (Purpose.ROUTE, Purpose.PLAN)
GIVING = (SpanKind.HANDOFF, SpanKind.DECISION, SpanKind.TOOL)
"""kinds of spans by which one agent sets another to work"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern and what showed it."""

    name: PatternName
    hub: str | None
    """the supervisor or moderator"""
    order: tuple[str, ...]
    """agents in order of their turns, repeats folded"""
    overlap: float
    """share of the busy time in which two agents were at work"""
    why: str


def detect_pattern(frames: Frames, run: Run) -> Pattern | None:
    """The pattern of the one run in `frames`; None where no LLM call or agent was recorded."""
    nobody = _unnamed_hub(run)
    named = [turn for turn in run.turns if turn.agent or (nobody and turn.purpose in STEERING)]
    agents = sorted({turn.agent or nobody for turn in named})
    order: list[str] = []
    for turn in named:
        name = turn.agent or nobody
        if not order or order[-1] != name:
            order.append(name)
    if not agents:
        return (
            None if not run.turns else Pattern(name="single", hub=None, order=(), overlap=0.0, why="calls of no agent")
        )
    overlap = _overlap(named)

    def found(name: PatternName, why: str, hub: str | None = None) -> Pattern:
        return Pattern(name=name, hub=hub, order=tuple(order), overlap=overlap, why=why)

    if len(agents) == 1:
        return found("single", f"{agents[0]} made all calls")
    if overlap >= AT_ONCE:
        return found("parallel", f"two agents at work {overlap:.0%} of the busy time")
    hub, why = _hub(frames, agents, order)
    if hub is not None:
        own = [turn for turn in run.turns if (turn.agent or nobody) == hub]
        if all(turn.purpose == Purpose.ROUTE and not turn.delegates for turn in own):
            return found("chat", f"{hub} only names who speaks next", hub)
        return found("supervisor", why, hub)
    if len(order) == len(agents):
        return found("pipeline", "every agent has one stretch of turns")
    return found("chat", "agents take turns more than once")


def _unnamed_hub(run: Run) -> str:
    """Who hands tasks over, where routing calls were recorded without an agent; "" where there is no such thing."""
    if not any(turn.agent is None and turn.purpose in STEERING for turn in run.turns):
        return ""
    own = {turn.agent for turn in run.turns}
    givers = Counter(
        row["agent"] for row in run.rows if row["kind"] in GIVING and row["agent"] and row["agent"] not in own
    )
    return min(givers, key=lambda name: (-givers[name], name)) if givers else "coordinator"


def _hub(frames: Frames, agents: Sequence[str], order: Sequence[str]) -> tuple[str | None, str]:
    inside = _inside(frames)
    for name in agents:
        below = {child for parent, child in inside if parent == name and child in agents}
        if below and not any(child == name for _, child in inside):
            return name, f"{name} called {len(below)} of the others inside its own work"
    given = frames.spans.filter(pl.col("kind").is_in(GIVING) & pl.col("target_agent").is_not_null())
    edges = set(given.select("agent", "target_agent").iter_rows())
    for name in agents:
        others = set(order) - {name}
        beside = sum(name in pair for pair in pairwise(order))
        commands = all((name, other) in edges and (other, name) not in edges for other in others)
        if order.count(name) >= 2 and beside == len(order) - 1 and (len(others) >= 2 or commands):
            return name, f"every second turn is {name}'s"
    return None, ""


def _inside(frames: Frames) -> set[tuple[str, str]]:
    """(agent, agent whose span lies inside one of its spans)."""
    spans = frames.spans.select("span_id", "parent_span_id", "kind", "agent", "agent_inferred")
    rows = {row["span_id"]: row for row in spans.iter_rows(named=True)}
    found: set[tuple[str, str]] = set()
    for row in rows.values():
        if row["kind"] != SpanKind.AGENT or not row["agent"]:
            continue
        seen = {row["span_id"]}
        above = rows.get(row["parent_span_id"])
        while above is not None and above["span_id"] not in seen:
            seen.add(above["span_id"])
            if above["agent"] and above["agent"] != row["agent"] and above["kind"] != SpanKind.OTHER:
                found.add((above["agent"], row["agent"]))
                break
            above = rows.get(above["parent_span_id"])
    return found


def _overlap(turns: Sequence[Turn]) -> float:
    """Share of the time with any call or tool in which those of two agents ran."""
    pieces = [(turn.start_ns, turn.end_ns, turn.agent) for turn in turns]
    marks = sorted([(start, 1, agent) for start, _, agent in pieces] + [(end, -1, agent) for _, end, agent in pieces],
                   key=lambda mark: (mark[0], mark[1], mark[2] or ""))  # fmt: skip
    active: dict[str | None, int] = {}
    busy = together = before = 0
    for at, step, agent in marks:
        running = sum(number > 0 for number in active.values())
        busy += (at - before) * (running > 0)
        together += (at - before) * (running > 1)
        active[agent] = active.get(agent, 0) + step
        before = at
    return together / busy if busy else 0.0


def specialisation(frames: Frames, run: Run, prompts: dict[str, str]) -> dict[str, float | int | None]:
    """How alike the agents are: mean overlap (Jaccard) of tools, words of the system prompt, and models, over pairs of agents.

    `tools` is over agents that used any; None where fewer than two can be compared.
    """
    agents = sorted({turn.agent for turn in run.turns if turn.agent})
    used = {a: frozenset(t.name for turn in run.turns if turn.agent == a for t in turn.tools) for a in agents}
    models = {a: frozenset(turn.model for turn in run.turns if turn.agent == a and turn.model) for a in agents}
    words = {a: frozenset(prompts.get(a, "").lower().replace(a.lower(), "").split()) for a in agents}
    return {
        "agents": len(agents),
        "tool_overlap": _alike([used[a] for a in agents if used[a]]),
        "prompt_overlap": _alike([words[a] for a in agents if words[a]]),
        "model_overlap": _alike([models[a] for a in agents if models[a]]),
        "tools": frames.spans.filter(pl.col("kind") == SpanKind.TOOL)["tool_name"].n_unique() if used else 0,
        "models": len(frozenset[str]().union(*models.values())) if models else 0,
    }


def _alike(sets: Sequence[frozenset[str]]) -> float | None:
    pairs = [(a, b) for i, a in enumerate(sets) for b in sets[i + 1 :]]
    return round(sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs), 4) if pairs else None
