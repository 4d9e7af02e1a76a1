"""The run as it went: every turn of every agent, in columns of time, with what led from one turn to the next."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.figures.steps import find_steps
from dashboard.figures.tree import Tree, build_tree
from tracer.model import SpanKind, SpanStatus

MOST_LANES: Final = 12
"""of one agent; what is at work beyond that at once stands further right"""
_CALLS: Final = ("message", "handoff", "escalation")


@dataclass(slots=True)
class Turn:
    """One invocation of an agent, or one thing it said where no invocations were recorded. Times are ns since the Unix epoch."""

    agent: str
    number: int
    """1 for the agent's first turn"""
    span_id: str
    start_ns: int
    stop_ns: int
    cost_usd: float = 0.0
    tokens: int = 0
    calls: int = 0
    failed: bool = False
    running: bool = False
    finding: int = -1
    path_ns: int = 0
    column: int = 0
    lane: int = 0
    """0, or below it where the agent is at work several times at once"""
    parent: int = -1
    """the turn it was started in"""


@dataclass(frozen=True, slots=True)
class Link:
    """What led from one turn to another: `invoke`, `message`, `handoff` or `escalation`."""

    source: int
    target: int
    way: str
    span_id: str


@dataclass(frozen=True)
class Turns:
    """Turns in order of their start; `agents` in order of their first turn."""

    turns: list[Turn]
    links: list[Link]
    agents: list[str]
    findings: Sequence[Finding]
    t0: int

    @property
    def columns(self) -> int:
        return 1 + max((turn.column for turn in self.turns), default=-1)


def build_turns(frames: Frames, findings: Sequence[Finding] = (), path: Sequence[Piece] = ()) -> Turns:
    """The turns of one run. A turn stands right of the one that led to it and of the agent's turn before; turns at once share a column."""
    found = find_steps(frames, findings, tools=False, state=False)
    tree = build_tree(frames)
    turns, owner = _invocations(tree)
    if not turns:
        turns, owner = _sayings(tree)
    for f in reversed(range(len(found.findings))):
        for span in found.findings[f].spans:
            if (k := owner.get(span, -1)) >= 0:
                turns[k].finding = f
    for piece in path:
        if (k := owner.get(piece.span_id or "", -1)) >= 0:
            turns[k].path_ns += piece.length_ns
    starts: dict[str, list[int]] = defaultdict(list)
    held: dict[str, list[int]] = defaultdict(list)
    for k, turn in enumerate(turns):
        starts[turn.agent].append(turn.start_ns)
        held[turn.agent].append(k)
    links: dict[tuple[int, int], Link] = {}
    for step in found.steps:
        if step.kind not in (*_CALLS, "invoke") or step.source not in starts or step.target not in starts:
            continue
        # From the sender's turn that was on, to the receiver's next turn; an invocation and its message are one link.
        a = bisect_right(starts[step.source], step.at_ns) - 1
        b = bisect_left(starts[step.target], step.at_ns)
        if a < 0 or b >= len(held[step.target]):
            continue
        pair = (held[step.source][a], held[step.target][b])
        if pair[0] != pair[1] and (pair not in links or links[pair].way == "invoke"):
            links[pair] = Link(*pair, step.kind, step.span_id)
    for k, turn in enumerate(turns):
        if turn.parent >= 0:
            links.setdefault((turn.parent, k), Link(turn.parent, k, "invoke", turn.span_id))
    _columns(turns, list(links.values()))
    agents = list(dict.fromkeys(turn.agent for turn in turns))
    return Turns(turns, list(links.values()), agents, found.findings, found.t0)


def _invocations(tree: Tree) -> tuple[list[Turn], dict[str, int]]:
    """Agent spans, except those that only wrap another one of the same agent; span id -> turn for everything inside them."""
    kinds, agents, ids, status, who = (tree.column(name) for name in ("kind", "agent", "span_id", "status", "agent_id"))
    inside = [-1] * len(tree)
    turns: list[Turn] = []
    identity: list[str | None] = []
    spawned = _spawned(tree, kinds, agents)
    for i, above in enumerate(tree.parent):
        around = inside[above] if above >= 0 else -1
        same = around >= 0 and turns[around].agent == agents[i] and identity[around] == who[i] and i not in spawned
        if kinds[i] == SpanKind.AGENT and agents[i] and not same:
            failed, running = status[i] == SpanStatus.ERROR, status[i] == SpanStatus.RUNNING
            turns.append(
                Turn(agents[i], 0, ids[i], tree.start[i], tree.stop[i], failed=failed, running=running, parent=around)
            )
            identity.append(who[i])
            around = len(turns) - 1
        inside[i] = around
    _add_up(tree, inside, turns)
    return _in_order(turns, dict(zip(ids, inside, strict=True)))


def _spawned(tree: Tree, kinds: list[str], agents: list[str | None]) -> set[int]:
    """Invocations of an agent by itself, several of them from one: copies, where a single one is a wrapper."""
    nearest = [-1] * len(tree)
    below: dict[int, list[int]] = defaultdict(list)
    for i, above in enumerate(tree.parent):
        around = nearest[above] if above >= 0 else -1
        nearest[i] = around
        if kinds[i] == SpanKind.AGENT and agents[i]:
            if around >= 0 and agents[around] == agents[i]:
                below[around].append(i)
            nearest[i] = i
    return {i for copies in below.values() if len(copies) > 1 for i in copies}


def _sayings(tree: Tree) -> tuple[list[Turn], dict[str, int]]:
    """Where no invocation was recorded: a turn is what an agent says, or does, without another one in between."""
    kinds, agents, ids, status = (tree.column(name) for name in ("kind", "agent", "span_id", "status"))
    inside = [-1] * len(tree)
    turns: list[Turn] = []
    for i in sorted(range(len(tree)), key=lambda i: (tree.start[i], i)):
        if not agents[i] or kinds[i] == SpanKind.WORKFLOW:
            continue
        if not turns or turns[-1].agent != agents[i]:
            turns.append(Turn(agents[i], 0, ids[i], tree.start[i], tree.stop[i]))
        turns[-1].stop_ns = max(turns[-1].stop_ns, tree.stop[i])
        turns[-1].failed |= status[i] == SpanStatus.ERROR
        inside[i] = len(turns) - 1
    _add_up(tree, inside, turns)
    return _in_order(turns, dict(zip(ids, inside, strict=True)))


def _add_up(tree: Tree, inside: list[int], turns: list[Turn]) -> None:
    columns = tree.frame.select("kind", "duplicate_of", "cost_usd", "input_tokens", "output_tokens").iter_rows()
    for k, (kind, duplicate, usd, sent, received) in zip(inside, columns, strict=True):
        if k >= 0 and duplicate is None:
            turns[k].cost_usd += float(usd or 0)
            turns[k].tokens += (sent or 0) + (received or 0)
            turns[k].calls += kind in (SpanKind.LLM, SpanKind.TOOL)


def _in_order(turns: list[Turn], owner: dict[str, int]) -> tuple[list[Turn], dict[str, int]]:
    order = sorted(range(len(turns)), key=lambda k: (turns[k].start_ns, k))
    place = {k: n for n, k in enumerate(order)}
    counted: dict[str, int] = defaultdict(int)
    for k in order:
        counted[turns[k].agent] += 1
        turns[k].number = counted[turns[k].agent]
        turns[k].parent = place.get(turns[k].parent, -1)
    return [turns[k] for k in order], {span: place.get(k, -1) for span, k in owner.items()}


def _columns(turns: list[Turn], links: Sequence[Link]) -> None:
    """Longest way from the first turn. Turns are in order of time, so one pass is enough."""
    before: dict[int, list[int]] = defaultdict(list)
    for link in links:
        if link.source < link.target:
            before[link.target].append(link.source)
    lanes: dict[str, list[Turn]] = defaultdict(list)  # the last turn in each lane of an agent
    ended: list[tuple[int, int]] = []
    for k, turn in enumerate(turns):
        held = lanes[turn.agent]
        free = [n for n, other in enumerate(held) if other.stop_ns <= turn.start_ns]
        turn.lane = free[0] if free else len(held) if len(held) < MOST_LANES else min(range(len(held)), key=lambda n: held[n].column)  # fmt: skip
        if turn.lane == len(held):
            held.append(turn)
            after = 0
        else:
            after = held[turn.lane].column + 1
        column = max([after, *(turns[j].column + 1 for j in before[k])])
        # What began after others had ended stands right of them, so that left to right is time.
        column = max([column, *(at + 1 for stop, at in ended[-40:] if stop <= turn.start_ns)])
        turn.column = column
        held[turn.lane] = turn
        ended.append((turn.stop_ns, column))
