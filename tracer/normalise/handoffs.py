"""Who passed work to whom. Three shapes in the rows:

* a span of kind `handoff`: agent -> target_agent, recorded as such or a tool call such as `transfer_to_writer`
* a span of kind `tool` with `target_agent`: delegation; the agent it calls works inside it and answers
* a span of kind `agent` with `target_agent`, marked derived: the framework writes no handoff span (OTel genai for OpenAI
  Agents, AutoGen's round robin and selector, graph edges), but the next agent takes over when this one ends

No span is invented: the third shape stands on the span of the agent that hands over. Returns to the agent that handed
over before (a LangGraph supervisor) are no handoffs; the returning agent's successor gets a `reason` only.

Agents follow each other where a framework leads them: side by side in one span of its making (a graph, a crew), or in one team of
AutoGen. Two runs that the program makes one after the other inside a span of its own have nothing to do with each other. OpenAI Agents
passes work by a tool call only, so that without one nothing was passed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tracer.model import Purpose, Span, SpanKind, SpanStatus
from tracer.normalise.identity import TASK
from tracer.normalise.marks import infer, mark, replace
from tracer.normalise.reading import is_coworker, is_sure_handoff
from tracer.normalise.tree import Forest
from tracer.normalise.values import as_object
from tracer.semconv import GenAI, Stored

_EXPLICIT_ONLY = frozenset({"tracehound"})
"""conventions that record every handoff, so that none is derived"""
_NO_TURNS = _EXPLICIT_ONLY | {"pydantic_ai"}
"""conventions of which agents never take over from each other but by what is recorded"""
_BY_CALL = "openai_agents"
"""in the name of the instrumentors of a framework that passes work by tool calls only"""
_SCOPE = f'"{Stored.SCOPE}"'
_NUMBER = re.compile(r"_\d+$")
"""AG2 numbers its handoff tools: `transfer_to_refunds_1`"""
_NEAR = 20
"""turns after a handoff of unknown target among which the heir is looked for"""
_REASON = 200
"""characters of a handoff's reason that the next agent's reason repeats"""
_NEVER = 2**63
_ACTING = frozenset({SpanKind.AGENT, SpanKind.TOOL, SpanKind.LLM})


def classify_tools(forest: Forest, agents: dict[str, dict[str, str]]) -> None:
    """Decide which tool calls pass control and which delegate. `agents`: run id -> folded name -> agent name."""
    called_by_tool = _called_agents(forest)
    for position in forest.order:
        span = forest.spans[position]
        if span.kind not in (SpanKind.TOOL, SpanKind.HANDOFF) or span.convention in _EXPLICIT_ONLY:
            continue
        called = called_by_tool.get(position)
        if span.kind == SpanKind.TOOL and called is not None:
            if span.target_agent is None:
                infer(span, "target_agent", called)
            continue
        if span.target_agent is None:
            if span.kind == SpanKind.TOOL and is_sure_handoff(span.tool_name) and span.status != SpanStatus.ERROR:
                replace(
                    span, "kind", SpanKind.HANDOFF
                )  # arguments were not recorded; the order of agents tells the target
            continue
        names, named = agents.get(span.run_id, {}), folded(span.target_agent)
        known = names.get(named) or names.get(_NUMBER.sub("", named))
        if known is not None and known != span.target_agent:
            if is_coworker(span.tool_name):
                _rename(forest, position, span.target_agent, known)
            replace(span, "target_agent", known)
        if span.kind == SpanKind.TOOL and not is_coworker(span.tool_name):
            if known is not None:
                replace(span, "kind", SpanKind.HANDOFF)
            elif not is_sure_handoff(span.tool_name):
                # `transfer_to_savings` is a tool of a bank: nobody of that name takes part
                mark(span, "target_agent", span.target_agent)
                span.target_agent = None


def _rename(forest: Forest, position: int, was: str, name: str) -> None:
    """The coworker's work below a delegation, under the name that the coworker goes by elsewhere."""
    for below in forest.below(position):
        span = forest.spans[below]
        if span.agent_inferred and span.agent == was:
            span.agent = name


def folded(name: str) -> str:
    """Tool names carry agent names with other letters: `Refund Agent` becomes `refund_agent`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def derive_handoffs(forest: Forest, members: Sequence[int], agent_above: Sequence[int]) -> None:
    """Targets and reasons from the order of agents in one run.

    `members` are the positions of its spans in order of start, `agent_above` gives the nearest agent span of each.
    """
    spans = [forest.spans[position] for position in members]
    handoffs = [span for span in spans if span.kind == SpanKind.HANDOFF and span.duplicate_of is None]
    turns = [
        forest.spans[position]
        for position in members
        if forest.spans[position].kind == SpanKind.AGENT
        and forest.spans[position].duplicate_of is None
        and agent_above[position] < 0
    ]
    starts = [turn.start_ns for turn in turns]
    said = _said(spans)
    for span in handoffs:
        if span.target_agent is None:
            later = turns[bisect_left(starts, span.start_ns) :]
            heir = next((turn for turn in later[:_NEAR] if turn.agent and turn.agent != span.agent), None)
            if heir is not None:
                infer(span, "target_agent", heir.agent)
        if span.reason is None and (call := said.last(span.agent, span.target_agent, span.start_ns)) and call.why:
            infer(span, "reason", call.why)
    _route(forest, [p for p in members if agent_above[p] < 0], turns, starts)
    for team in _teams(forest, members, agent_above):
        take_overs(team, handoffs, said)
    take_overs(turns, handoffs, None)


def _teams(forest: Forest, members: Sequence[int], agent_above: Sequence[int]) -> Iterable[list[Span]]:
    """The turns of each group of agents that a framework leads, in order of start."""
    teams: dict[Hashable, list[Span]] = {}
    busy = _busy(forest, members, agent_above)
    for position in members:
        span, leader = forest.spans[position], agent_above[position]
        if span.kind == SpanKind.AGENT and span.duplicate_of is None and span.convention not in _NO_TURNS:
            leads = _led_by(forest, position) if leader < 0 else _inner_team(forest, position, leader, busy)
            if leads is not None:
                teams.setdefault(leads, []).append(span)
    return teams.values()


def _busy(forest: Forest, members: Sequence[int], agent_above: Sequence[int]) -> set[int]:
    """The agents that work themselves. Who asks a model whose turn it is only leads, as does one in whose span others' tools run (AG2)."""
    busy: set[int] = set()
    for position in members:
        span, holder = forest.spans[position], agent_above[position]
        if span.kind == SpanKind.AGENT:
            if forest.has_working_leaves(position):
                busy.add(position)
            continue
        if holder < 0 or holder in busy or span.kind == SpanKind.DECISION:
            continue
        own = span.kind in (SpanKind.LLM, SpanKind.TOOL) and span.agent == forest.spans[holder].agent
        if (own or forest.has_working_leaves(position)) and not _in_decision(forest, position, holder):
            busy.add(holder)
    return busy


def _in_decision(forest: Forest, position: int, holder: int) -> bool:
    for above in forest.ancestors(position):
        if above == holder:
            return False
        if forest.spans[above].kind == SpanKind.DECISION:
            return True
    return False


def _led_by(forest: Forest, position: int) -> Hashable:
    """What agents that take turns have in common; None for an agent that nothing but the program's own spans holds."""
    passed_messages = False
    outermost: Hashable = None
    """of what the framework made: the tasks, steps and executors of a team, and teams in it, belong together"""
    for above in forest.ancestors(position):
        upper = forest.spans[above]
        if upper.convention == "autogen":
            passed_messages = True
        elif passed_messages:
            break
        else:
            made = upper.convention not in (None, *_NO_TURNS) or (upper.end_ns is None and _SCOPE in upper.attributes)
            if not made:
                return outermost
            if upper.parent_span_id is None:
                return upper.name  # the same again in a run of several traces: it went on after a pause
            outermost = (upper.trace_id, upper.span_id)
    else:
        if outermost is not None:
            return outermost
        span = forest.spans[position]
        if span.parent_span_id and not passed_messages and forest.parent[position] < 0:
            return span.trace_id, span.parent_span_id  # not arrived yet
    return "autogen" if passed_messages else None


def _inner_team(forest: Forest, position: int, leader: int, busy: Container[int]) -> Hashable:
    """A team inside of an agent: messages of AutoGen lie between, it is a graph that is a node, or the agent does nothing but lead.

    A call through a tool is none; nor are those whom an agent calls that thinks itself.
    """
    if forest.parent[position] == leader and leader not in busy and forest.spans[leader].convention not in _NO_TURNS:
        return leader
    for above in forest.ancestors(position):
        if above == leader or forest.spans[above].kind == SpanKind.TOOL:
            break
        if forest.spans[above].convention == "autogen":
            return leader
    span, upper = forest.spans[position], forest.spans[leader]
    nested = TASK.fullmatch(span.agent_id or "") and (span.agent_id or "").startswith((upper.agent_id or "?") + "|")
    return leader if nested else None


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a model that asked for a handoff (`passing`)."""

    start_ns: int
    to: str
    why: str


class Said:
    """Which handoffs the models of a run asked for, by agent."""

    def __init__(self) -> None:
        self.calls: dict[str | None, list[_Call]] = {}
        self.answers: dict[str | None, list[int]] = {}
        """starts of the calls whose answers were read"""

    def last(self, agent: str | None, target: str | None, until_ns: int, since_ns: int = 0) -> _Call | None:
        """The last call of the agent in that time that passes work to the target."""
        for call in reversed(self.calls.get(agent, ())):
            if since_ns <= call.start_ns <= until_ns and target and call.to == folded(target):
                return call
        return None

    def answered(self, span: Span) -> bool:
        """Whether it is known what the model said to this agent while it worked."""
        starts = self.answers.get(span.agent, [])
        return bisect_left(starts, span.start_ns) < bisect_right(starts, span.end_ns or span.start_ns)


def _said(spans: Sequence[Span]) -> Said:
    said = Said()
    for span in spans:
        if span.kind != SpanKind.LLM or span.output_refs is None:
            continue
        if GenAI.OUTPUT_MESSAGES in span.attributes:
            said.answers.setdefault(span.agent, []).append(span.start_ns)
        if f'"{Stored.PASSES}"' in span.attributes and (told := as_object(span.attributes).get(Stored.PASSES)):
            call = _Call(span.start_ns, folded(str(told.get("to"))), str(told.get("why") or ""))
            said.calls.setdefault(span.agent, []).append(call)
    return said


def take_overs(turns: Sequence[Span], handoffs: Iterable[Span], said: Said | None = None) -> None:
    """Say of agents that take turns who took over from whom. All in order of start, of one run; several may take over at once.

    Without `said` only from what is recorded.
    """
    passed: dict[tuple[str | None, str | None], list[Span]] = {}
    for span in handoffs:
        passed.setdefault((span.agent, span.target_agent), []).append(span)
    latest: Span | None = None
    together: list[Span] = []
    """turns that went on side by side, up to the one before"""
    until_ns = 0
    for before, after in pairwise(turns):
        if before.start_ns >= until_ns:
            together, until_ns = [], 0
        together.append(before)
        until_ns = max(until_ns, _NEVER if before.end_ns is None else before.end_ns)
        if before.end_ns is not None and before.end_ns <= after.start_ns:
            latest = before
        if latest is not None and latest.convention not in _NO_TURNS and latest.agent != after.agent:
            beside = [turn for turn in together if turn is not latest] if until_ns <= after.start_ns else []
            _take_over(latest, after, passed, said, beside)


def _take_over(
    before: Span,
    after: Span,
    passed: Mapping[tuple[str | None, str | None], Sequence[Span]],
    said: Said | None,
    beside: Sequence[Span],
) -> None:
    """`passed`: (from, to) -> the recorded handoffs in order of start; `beside`: who worked beside `before` and was awaited, too."""
    if before.end_ns is None or before.end_ns > after.start_ns or not after.agent:
        return
    there = passed.get((before.agent, after.agent), ())
    back = passed.get((after.agent, before.agent), ())
    upto = bisect_right(there, after.start_ns, key=_start)
    if bisect_left(there, before.start_ns, key=_start) < upto:
        why = there[upto - 1].reason
        reason = f"handoff from {before.agent}" + (f": {_short(why)}" if why else "")
    elif back and back[0].start_ns <= before.start_ns:
        reason = f"handed back by {before.agent}"
    elif said is None:
        return
    else:
        call = said.last(before.agent, after.agent, after.start_ns, before.start_ns)
        if call is None and _passes_by_call(before) and (before.convention != "otel_genai" or said.answered(before)):
            return
        others = [turn for turn in beside if turn.agent not in (after.agent, None) and turn.target_agent is None]
        if call is None:
            for turn in others:
                infer(turn, "target_agent", after.agent)
        names = dict.fromkeys([*(str(turn.agent) for turn in others if call is None), str(before.agent)])
        reason = f"takes over from {' and '.join(names)}" + (f": {_short(call.why)}" if call and call.why else "")
        if before.target_agent is None:
            infer(before, "target_agent", after.agent)
    if after.reason is None:
        infer(after, "reason", reason)


def _passes_by_call(span: Span) -> bool:
    return _BY_CALL in span.attributes and _SCOPE in span.attributes


def _start(span: Span) -> int:
    return span.start_ns


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _REASON else line[: _REASON - 1] + "…"


def _route(forest: Forest, outside: Sequence[int], turns: Sequence[Span], starts: Sequence[int]) -> None:
    """An LLM call of a group chat manager chooses the next speaker; `outside` are the spans outside of every agent.

    Magentic's orchestrator plans, too: only its last call before somebody's turn is the choice.
    """
    waiting: dict[int, Span] = {}
    for position in outside:
        span = forest.spans[position]
        if span.kind != SpanKind.LLM or span.purpose is not None or span.duplicate_of:
            continue
        plans = (span.agent or "").endswith("Orchestrator")
        if not (plans or (span.agent or "").endswith("Manager")) or not span.agent_inferred:
            continue
        chosen = len(turns) if span.end_ns is None else bisect_left(starts, span.end_ns)
        if plans and (earlier := waiting.pop(chosen, None)) is not None:
            earlier.purpose = Purpose.PLAN.value
            earlier.choice = None
        waiting[chosen] = span
        infer(span, "purpose", Purpose.ROUTE.value)
        if chosen < len(turns) and span.choice is None:
            infer(span, "choice", turns[chosen].agent)


def _called_agents(forest: Forest) -> dict[int, str]:
    """Position of a tool call -> the first agent that works directly inside it, unless that is the caller itself."""
    above = forest.nearest(_ACTING)
    found: dict[int, str] = {}
    for position, span in enumerate(forest.spans):
        upper = above[position]
        if span.kind != SpanKind.AGENT or not span.agent or upper < 0:
            continue
        if forest.spans[upper].kind == SpanKind.TOOL and forest.spans[upper].agent != span.agent:
            found.setdefault(upper, span.agent)
    return found
