"""Who said what to whom: the spans of one run as steps between participants, in order of time.

A step is what an arrow of a sequence diagram shows. LLM calls are no steps of their own; their cost and tokens belong to the
step that led to them: the invocation or message they answer, else the last step before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from analyzers.attributes import attributes_of
from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.figures.findings import on_figures
from dashboard.figures.markup import clip
from dashboard.figures.texts import first_words
from dashboard.figures.tree import Tree, build_tree
from tracer.model import CasOutcome, SpanKind, SpanStatus
from tracer.semconv import Tracehound

StepKind = Literal[
    "message", "handoff", "invoke", "answer", "tool", "read", "write", "wait", "decision", "guard", "escalation"
]

_TURN: Final = re.compile(r"(?:(handed back by)|takes over from) (.+?)(?:: (.+))?", re.DOTALL)
"""reasons that `tracer.normalise.handoffs` derives for frameworks that write no handoff"""

USER: Final = "user"
PERSON: Final = "human"
EVERYONE: Final = "everyone"
"""who a message goes to that names nobody, among several agents"""
TOOLS: Final = "tools"
STATE: Final = "state"
_PEOPLE: Final = frozenset({USER, PERSON, "human_operator", "operator", "customer", "user_proxy"})

ParticipantKind = Literal["person", "everyone", "workflow", "agent", "tools", "state"]


@dataclass(frozen=True, slots=True)
class Participant:
    name: str
    kind: ParticipantKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One arrow, or a mark on one lifeline where `source == target`. Times are ns since the Unix epoch."""

    kind: StepKind
    source: str
    target: str
    label: str
    span_id: str
    at_ns: int
    until_ns: int
    failed: bool = False
    running: bool = False
    symbol: str = ""
    """what makes two steps repeats of one another, besides kind, source and target; never the wording"""
    done_ns: int = 0
    """when the work it led to was done; never before `until_ns`"""
    cost_usd: float = 0.0
    tokens: int = 0
    finding: int = -1
    """index of the worst finding it is evidence of"""
    path_ns: int = 0
    """for how long the run waited for it and for the work it led to: its part of the critical path"""

    @property
    def signature(self) -> tuple[str, str, str, str, bool]:
        return (self.kind, self.source, self.target, self.symbol, self.failed)


@dataclass(frozen=True)
class Steps:
    """All steps of a run, who takes part, and the findings they belong to."""

    steps: list[Step]
    participants: list[Participant]
    findings: Sequence[Finding]
    evidence: list[list[int]]
    """per finding, the steps its spans belong to, ascending"""
    t0: int
    horizon: int


@dataclass
class _Walk:
    """State of the one pass over the spans."""

    frames: Frames
    tree: Tree
    rows: list[dict[str, Any]]
    steps: list[Step] = field(default_factory=list[Step])
    of_span: dict[int, str] = field(default_factory=dict[int, str])
    """position of a span -> id of the span whose step it belongs to"""
    called: dict[str, str] = field(default_factory=dict[str, str])
    """agent -> span of the message or handoff that is not yet followed by an invocation"""

    @cached_property
    def agents(self) -> set[str]:
        return {row["agent"] for row in self.rows if row["agent"]}

    def add(self, position: int, kind: StepKind, source: str, target: str, label: str, **more: Any) -> None:
        row = self.rows[position]
        columns: dict[str, Any] = {
            "at_ns": self.tree.start[position],
            "until_ns": self.tree.stop[position],
            "failed": row["status"] == SpanStatus.ERROR,
            "running": row["status"] == SpanStatus.RUNNING,
            **more,
        }
        self.steps.append(Step(kind=kind, source=source, target=target, label=label, span_id=row["span_id"], **columns))
        self.of_span.setdefault(position, row["span_id"])

    def around(self, position: int) -> str:
        """Who acts: the span's agent, else the agent or workflow around it."""
        if agent := self.rows[position]["agent"]:
            return str(agent)
        for above in self.tree.ancestors(position):
            if agent := self.rows[above]["agent"]:
                return str(agent)
        return self.workflow(position)

    @cached_property
    def invoked(self) -> set[str]:
        return {row["agent"] for row in self.rows if row["agent"] and row["kind"] == SpanKind.AGENT}

    def listener(self, source: str) -> str:
        """Who a message of `source` goes to that names nobody: all who are there; a person and a single agent talk to each other."""
        if len(self.invoked) > 1:
            return EVERYONE
        return next(iter(self.invoked - {source}), USER)

    def workflow(self, position: int) -> str:
        return str(self.rows[position]["workflow"] or "workflow")

    def words(self, position: int, column: str = "input_refs") -> str:
        return first_words(self.frames.contents, self.rows[position][column])


_COLUMNS: Final = [
    "span_id", "kind", "name", "status", "workflow", "agent", "target_agent", "reason", "tool_name", "state_key", "version_read", "version_written",
    "cas_outcome", "wait_for", "wait_mode", "scope_key", "choice", "guard", "error_type", "attempt", "input_refs", "output_refs", "attributes",
]  # fmt: skip


def find_steps(
    frames: Frames,
    findings: Sequence[Finding] = (),
    path: Sequence[Piece] = (),
    *,
    tools: bool = True,
    state: bool = True,
) -> Steps:
    """The steps of one run; `tools` and `state` say whether tool calls and state accesses are steps.

    Args:
        path: the critical path, where it shall be shown.
    """
    findings = on_figures(findings)
    tree = build_tree(frames)
    walk = _Walk(frames, tree, tree.frame.select(_COLUMNS).to_dicts())
    for position, row in enumerate(walk.rows):
        match row["kind"]:
            case SpanKind.MESSAGE:
                source = walk.around(position)
                target = str(row["target_agent"] or walk.listener(source))
                walk.add(position, "message", source, target, walk.words(position) or row["name"])
                walk.called[target] = row["span_id"]
            case SpanKind.HANDOFF:
                source, target = walk.around(position), str(row["target_agent"] or "?")
                said = row["reason"] or walk.words(position) or "hands off"
                before = [s for s in walk.steps[-4:] if (s.source, s.target) == (source, target)]
                if any(clip(said, 80) == clip(step.label, 80) for step in before):
                    said = "hands off"  # the message just before said it
                walk.add(position, "handoff", source, target, said)
                walk.called[target] = row["span_id"]
            case SpanKind.AGENT:
                _invocation(walk, position)
            case SpanKind.TOOL | SpanKind.RETRIEVER if tools:
                name = str(row["tool_name"] or row["name"])
                again = f" (attempt {row['attempt']})" if (row["attempt"] or 1) > 1 else ""
                walk.add(position, "tool", walk.around(position), TOOLS, name + again, symbol=name)
            case SpanKind.STATE_READ | SpanKind.STATE_WRITE if state:
                _state(walk, position)
            case SpanKind.WAIT:
                _wait(walk, position)
            case SpanKind.DECISION:
                who, scope = walk.around(position), str(row["scope_key"] or "decides")
                walk.add(position, "decision", who, who, f"{scope} = {row['choice']}", symbol=scope)
            case SpanKind.GUARD_TRIP:
                who = walk.around(position)
                level = attributes_of(row["attributes"]).get(Tracehound.GUARD_LEVEL)
                walk.add(
                    position,
                    "guard",
                    who,
                    who,
                    f"{row['guard'] or 'guard'} guard {'warns' if level == 'warn' else 'stops'}",
                    failed=level != "warn",
                )
            case SpanKind.ESCALATION:
                walk.add(
                    position,
                    "escalation",
                    walk.around(position),
                    str(row["target_agent"] or PERSON),
                    row["reason"] or "escalates",
                )
            case _:
                pass
    order = sorted(range(len(walk.steps)), key=lambda k: (walk.steps[k].at_ns, k))
    steps = [walk.steps[k] for k in order]
    owner = _owners(walk, steps)
    evidence = [
        sorted({owner[i] for s in f.spans if (i := tree.index.get(s)) is not None and owner[i] >= 0}) for f in findings
    ]
    return Steps(
        steps=_charged(walk, steps, owner, evidence, path),
        participants=_participants(steps, {walk.workflow(i) for i in range(len(tree))}),
        findings=findings,
        evidence=evidence,
        t0=tree.t0,
        horizon=tree.horizon,
    )


def _invocation(walk: _Walk, position: int) -> None:
    """An agent starts. No arrow where a message or handoff already shows why, or where an agent merely goes on."""
    row = walk.rows[position]
    name = walk.around(position)
    above = next((a for a in walk.tree.ancestors(position) if walk.rows[a]["kind"] == SpanKind.AGENT), None)
    caller = walk.around(above) if above is not None else None
    if caller == name:
        return
    if (pending := walk.called.pop(name, None) or walk.called.pop(EVERYONE, None)) is not None:
        walk.of_span[position] = pending
        if row["status"] == SpanStatus.ERROR:
            walk.add(
                position,
                "answer",
                name,
                caller or walk.workflow(position),
                f"fails: {row['error_type'] or 'error'}",
                at_ns=walk.tree.stop[position],
            )
        return
    source = caller or (walk.workflow(position) if walk.tree.parent[position] >= 0 else USER)
    if caller is None and (came := _TURN.fullmatch(row["reason"] or "")) and came[2] in walk.agents:
        # A framework passed the turn; the normaliser worked out from whom.
        walk.add(
            position, "handoff", came[2], name, "hands back" if came[1] else came[3] or "passes the turn", failed=False
        )
        return
    walk.add(position, "invoke", source, name, row["reason"] or walk.words(position) or "starts", failed=False)
    end, failed = walk.tree.stop[position], row["status"] == SpanStatus.ERROR
    if row["status"] == SpanStatus.RUNNING or (not failed and caller is None and source != USER):
        return
    label = f"fails: {row['error_type'] or 'error'}" if failed else walk.words(position, "output_refs") or "answers"
    walk.add(position, "answer", name, source, label, at_ns=end, until_ns=end)


def _state(walk: _Walk, position: int) -> None:
    row, who = walk.rows[position], walk.around(position)
    key = str(row["state_key"] or "state")
    if row["kind"] == SpanKind.STATE_READ:
        version = "" if row["version_read"] is None else f" v{row['version_read']}"
        walk.add(position, "read", STATE, who, key + version, symbol=key)
        return
    refused = row["cas_outcome"] == CasOutcome.CONFLICT
    version = "" if row["version_written"] is None else f" v{row['version_written']}"
    note = (
        ": conflict, refused"
        if refused
        else ": unversioned change"
        if row["cas_outcome"] == CasOutcome.UNVERSIONED
        else ""
    )
    walk.add(
        position,
        "write",
        who,
        STATE,
        key + version + note,
        symbol=key,
        failed=refused or row["status"] == SpanStatus.ERROR,
    )


def _wait(walk: _Walk, position: int) -> None:
    row, who = walk.rows[position], walk.around(position)
    names: list[str] = row["wait_for"] or []
    joined = (" or " if row["wait_mode"] == "any" else ", ").join(names)
    walk.add(position, "wait", who, who, f"waits for {joined or row['reason'] or '?'}", symbol=joined)
    if row["reason"] == PERSON and row["status"] == SpanStatus.OK:
        end = walk.tree.stop[position]
        walk.add(
            position,
            "answer",
            names[0] if names else PERSON,
            who,
            walk.words(position, "output_refs") or "answers",
            at_ns=end,
            until_ns=end,
        )


def _owners(walk: _Walk, steps: list[Step]) -> list[int]:
    """Per span the index of the step it belongs to, -1 where there is none at all."""
    first: dict[str, int] = {}
    for k, step in enumerate(steps):
        first.setdefault(step.span_id, k)
    starts = [step.at_ns for step in steps]
    owner = [-1] * len(walk.rows)
    order = sorted(range(len(walk.rows)), key=walk.tree.start.__getitem__)
    latest = 0
    for i in order:
        while latest < len(starts) and starts[latest] <= walk.tree.start[i]:
            latest += 1
        span = next((walk.of_span[a] for a in (i, *walk.tree.ancestors(i)) if a in walk.of_span), None)
        # A workflow has no step of its own; what runs directly in it follows the step before.
        owner[i] = first[span] if span in first else min(max(0, latest - 1), len(steps) - 1)
    return owner


def _charged(
    walk: _Walk, steps: list[Step], owner: list[int], evidence: list[list[int]], path: Sequence[Piece]
) -> list[Step]:
    """The steps with cost, tokens, finding and part of the critical path filled in, and the time when the work was done."""
    cost, tokens, done = [0.0] * len(steps), [0] * len(steps), [step.until_ns for step in steps]
    for i, k in enumerate(owner):
        if k >= 0 and any(a in walk.of_span for a in (i, *walk.tree.ancestors(i))):
            done[k] = max(done[k], walk.tree.stop[i])
    columns = walk.tree.frame.select("duplicate_of", "cost_usd", "input_tokens", "output_tokens").iter_rows()
    for k, (duplicate, usd, sent, received) in zip(owner, columns, strict=True):
        if k >= 0 and duplicate is None:
            cost[k] += float(usd or 0)
            tokens[k] += (sent or 0) + (received or 0)
    held = [0] * len(steps)
    for piece in path:
        place = walk.tree.index.get(piece.span_id or "", -1)
        if place >= 0 and owner[place] >= 0:
            held[owner[place]] += piece.length_ns
    mark = [-1] * len(steps)
    for f in range(len(evidence) - 1, -1, -1):
        for k in evidence[f]:
            mark[k] = f
    return [
        replace(s, done_ns=done[k], cost_usd=cost[k], tokens=tokens[k], finding=mark[k], path_ns=held[k])
        for k, s in enumerate(steps)
    ]


def _participants(steps: list[Step], workflows: set[str]) -> list[Participant]:
    """People first, then the workflow, agents in order of appearance, tools and state last."""
    names = dict.fromkeys(name for step in steps for name in (step.source, step.target))
    agents = {s.source for s in steps if s.kind in ("tool", "write")} | {s.target for s in steps if s.kind == "invoke"}
    escalated = {s.target for s in steps if s.kind == "escalation"}

    def kind_of(name: str) -> ParticipantKind:
        if name == TOOLS:
            return "tools"
        if name == STATE:
            return "state"
        if name in _PEOPLE or name in escalated - agents:
            return "person"
        if name == EVERYONE:
            return "everyone"
        return "workflow" if name in workflows and name not in agents - workflows else "agent"

    people: list[ParticipantKind] = ["person", "workflow", "agent", "everyone", "tools", "state"]
    held = [Participant(name, kind_of(name)) for name in names]
    return sorted(held, key=lambda p: people.index(p.kind))
