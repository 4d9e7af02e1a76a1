"""How a run ended, by rules that are asked in order; and the one row that lists show of it.

| rule | evidence | outcome |
|---|---|---|
| said | `tracehound.run.outcome` on a root span | as said |
| running | a root span has not ended | running |
| guard | a guard trip with level stop | stopped_by_guard |
| interrupted | a root span's process died, or it was cancelled from outside; not where the last step inside the root ended in error and nothing but the root is open: then its instrumentor never ended it (smolagents' of OpenInference) and the error counts | interrupted |
| limit | a limit of the framework, as error of a root or of the last agent, or as the stop reason of a team, or a handoff that its receiver did not take over any more (Strands' swarms): OpenAI Agents "Max turns exceeded" / MaxTurnsExceeded, LangGraph GraphRecursionError, Pydantic AI UsageLimitExceeded, AutoGen "Maximum number of messages/turns reached", smolagents AgentMaxStepsError or a last answer after the last step, LlamaIndex and CrewAI "max iterations" | stopped_by_guard |
| tripwire | a guardrail stopped the run: "Guardrail tripwire triggered", *GuardrailTripwireTriggered | stopped_by_guard |
| timeout | the error of a root or of the last agent is a timeout | timed_out |
| escalated | an escalation span | escalated |
| failed | a root span, or the last agent at the top, ended in error | failed |
| paused | the last trace of the run was interrupted to ask a person (LangGraph) | unknown |
| no root | the root never arrived, or the source (a transcript) does not say | unknown |
| completed | nothing of the above | completed |

The last agent counts beside the root because OpenAI Agents leaves the root OK when an agent inside runs out of turns.
A failed tool or a failed attempt does not fail a run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tracer.model import RunOutcome, Span, SpanKind, SpanStatus
from tracer.normalise.graph_state import MADE
from tracer.normalise.hanging import RunLeaves
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.loose_calls import is_loose
from tracer.normalise.runs import is_session, is_setup
from tracer.normalise.tree import Forest
from tracer.semconv import Tracehound

_LIMIT = re.compile(
    r"MaxTurnsExceeded|Max turns exceeded|max_turns\b|GraphRecursionError|Recursion limit of|UsageLimitExceeded"
    r"|AgentMaxStepsError|Maximum number of (?:messages|turns)|Reached max steps|max(?:imum)? iterations|MaxIterations",
    re.IGNORECASE,
)
_TRIPWIRE = re.compile(r"Guardrail tripwire|GuardrailTripwireTriggered", re.IGNORECASE)
_TIMEOUT = re.compile(r"Timeout|timed out|DeadlineExceeded", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"
_NEVER = 2**63
PAUSED_REASON = "paused for a person; that it went on was not recorded"
_SAYS = (Tracehound.OUTCOME, Tracehound.SOURCE_ID)
COUNTED_AGENTS = frozenset(
    {
        SpanKind.AGENT,
        SpanKind.LLM,
        SpanKind.TOOL,
        SpanKind.RETRIEVER,
        SpanKind.EMBEDDING,
        SpanKind.HANDOFF,
        SpanKind.DECISION,
        SpanKind.STATE_READ,
        SpanKind.STATE_WRITE,
        SpanKind.WAIT,
    }
)
"""kinds whose agent took part in the run; message partners (people, systems) and messaging noise do not count"""


@dataclass(slots=True, kw_only=True)
class TraceSummary:
    """One row of table `traces`; the fields are its columns, in order."""

    trace_id: str
    run_id: str
    source_id: str | None
    workflow: str | None
    outcome: str
    outcome_reason: str | None
    start_ns: int
    end_ns: int | None
    spans: int
    agents: int
    llm_calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None
    unpriced_calls: int
    errors: int
    escalations: int
    session_id: str | None
    user_id: str | None
    service: str | None
    convention: str | None


@dataclass(slots=True)
class _Run:
    """What the rules look at."""

    spans: Sequence[Span]
    roots: list[Span]
    """spans without a parent that do the run's work"""
    has_root: bool
    """False where only parts arrived, whose parents are missing"""
    said: dict[str, Any]
    """attributes of the first root that says anything"""
    last_agent: Span | None
    untaken: Span | None = None
    """the handoff with which the last agent ended, where the receiver, who took part before, did not go on"""
    left_open: Span | None = None
    """the error that went through the root, which its instrumentor never ended"""

    def errors(self) -> list[str]:
        """Error texts that can end a run: those of the roots, of the last agent, of the spans right above a guardrail."""
        ended = [*self.roots, *(span for span in (self.last_agent, self.left_open) if span)]
        return [_said_error(s) for s in ended if s.status == SpanStatus.ERROR]


Rule = Callable[[_Run], tuple[str, str | None] | None]


def _said(run: _Run) -> tuple[str, str | None] | None:
    outcome = run.said.get(Tracehound.OUTCOME)
    if not isinstance(outcome, str) or outcome not in set(RunOutcome):
        return None
    reason = run.said.get(Tracehound.OUTCOME_REASON)
    return outcome, reason if isinstance(reason, str) else None


def _running(run: _Run) -> tuple[str, str | None] | None:
    return (RunOutcome.RUNNING, None) if any(s.status == SpanStatus.RUNNING for s in run.roots) else None


def _interrupted(run: _Run) -> tuple[str, str | None] | None:
    if run.left_open is None and any(s.status == SpanStatus.INTERRUPTED for s in run.roots):
        return RunOutcome.INTERRUPTED, "the recording process ended before the run did"
    if any(_was_cancelled(s) for s in run.roots):
        return RunOutcome.INTERRUPTED, "cancelled before it was done"
    return None


def _was_cancelled(span: Span) -> bool:
    """By our own mark, or as the error that some instrumentors make of it (LlamaIndex' of OpenInference)."""
    if span.status == SpanStatus.ERROR:
        return tells_cancellation(span.error_type)
    return span.status == SpanStatus.OK and Tracehound.CANCELLED in span.attributes


def _guard(run: _Run) -> tuple[str, str | None] | None:
    for span in run.spans:
        if span.kind == SpanKind.GUARD_TRIP and json.loads(span.attributes).get(Tracehound.GUARD_LEVEL) != "warn":
            return RunOutcome.STOPPED_BY_GUARD, span.reason or span.guard
    return None


def _limit(run: _Run) -> tuple[str, str | None] | None:
    stops = [*run.roots, *([run.last_agent] if run.last_agent else [])]
    texts = [*run.errors(), *(s.finish_reason or "" for s in stops)]
    found = next((text for text in texts if _LIMIT.search(text)), None)
    if found is not None:
        return RunOutcome.STOPPED_BY_GUARD, _short(found)
    if run.untaken is None or any(root.finish_reason for root in run.roots):
        return None  # a team that says why it ended meant to end there (AutoGen's HandoffTermination)
    reason = f"ended before {run.untaken.target_agent} took over from {run.untaken.agent}"
    return RunOutcome.STOPPED_BY_GUARD, reason


def _tripwire(run: _Run) -> tuple[str, str | None] | None:
    texts = [*run.errors(), *(s.error_message or "" for s in run.spans if s.status == SpanStatus.ERROR)]
    found = next((text for text in texts if _TRIPWIRE.search(text)), None)
    return (RunOutcome.STOPPED_BY_GUARD, _short(found)) if found else None


def _timeout(run: _Run) -> tuple[str, str | None] | None:
    found = next((text for text in run.errors() if tells_timeout(text)), None)
    return (RunOutcome.TIMED_OUT, _short(found)) if found else None


def _escalated(run: _Run) -> tuple[str, str | None] | None:
    span = next((s for s in run.spans if s.kind == SpanKind.ESCALATION), None)
    return (RunOutcome.ESCALATED, span.reason or span.target_agent) if span else None


def _failed(run: _Run) -> tuple[str, str | None] | None:
    errors = run.errors()
    return (RunOutcome.FAILED, _short(errors[0])) if errors else None


def _paused(run: _Run) -> tuple[str, str | None] | None:
    last = max(run.roots, key=lambda span: (span.start_ns, span.span_id), default=None)
    if last and any(s.finish_reason == PAUSED and s.trace_id == last.trace_id for s in run.spans):
        return RunOutcome.UNKNOWN, PAUSED_REASON
    return None


def _unknown(run: _Run) -> tuple[str, str | None] | None:
    if not run.has_root:
        return RunOutcome.UNKNOWN, "the root span is missing"
    if Tracehound.SOURCE_ID in run.said:
        return RunOutcome.UNKNOWN, "the source does not say"
    return None


RULES: tuple[Rule, ...] = (
    _said,
    _running,
    _guard,
    _interrupted,  # after the guard: some instrumentors never end the spans that a stop went through
    _limit,
    _tripwire,
    _timeout,
    _escalated,
    _failed,
    _paused,
    _unknown,
)
"""the first that answers decides; completed where none does"""


def is_run(spans: Sequence[Span]) -> bool:
    """False for spans that only create agents, or open an MCP session: nothing ran, so lists should not show them."""
    return not all(is_setup(span) or is_session(span) for span in spans)


def summarise(spans: Sequence[Span], leaves: RunLeaves | None = None) -> TraceSummary:
    """The row of table `traces` for the resolved `spans` of one run, at least one. Duplicates are counted nowhere but in `spans`.

    `leaves` stands for further spans of the run.
    """
    forest = Forest(spans)
    working = [span for span in forest.spans if not is_setup(span)] or forest.spans
    run = _look_at(forest, working)
    if leaves is not None:
        run.left_open = None  # what hangs from the root may have come later
    outcome, reason = _outcome(run)
    counted = [span for span in working if span.duplicate_of is None]
    calls = [span for span in counted if span.kind == SpanKind.LLM]
    billed = [span for span in counted if span.kind in (SpanKind.LLM, SpanKind.EMBEDDING)]
    costs = [span.cost_usd for span in billed if span.cost_usd is not None]
    ends = [span.end_ns for span in working]
    conventions = Counter(span.convention for span in working if span.convention and span.convention != "autogen")
    agents = {
        span.agent
        for span in counted
        if span.agent and span.kind in COUNTED_AGENTS and not _is_made(span) and not _is_pause(span)
    }
    if leaves is not None:
        agents |= leaves.agents
        conventions.update(leaves.conventions)
        if leaves.cost_usd is not None:
            costs.append(leaves.cost_usd)
        ends.append(leaves.end_ns)
    first = working[0]
    source_id = run.said.get(Tracehound.SOURCE_ID)
    summary = TraceSummary(
        trace_id=next((s.trace_id for s in working if s.trace_id == s.run_id), first.trace_id),
        run_id=first.run_id,
        source_id=source_id if isinstance(source_id, str) else None,
        workflow=first.workflow,
        outcome=str(outcome),
        outcome_reason=reason,
        start_ns=first.start_ns,
        end_ns=None if outcome == RunOutcome.RUNNING else max((end for end in ends if end is not None), default=None),
        spans=sum(not _is_made(span) for span in forest.spans),
        agents=len(agents),
        llm_calls=len(calls),
        input_tokens=sum(span.input_tokens or 0 for span in billed),
        output_tokens=sum(span.output_tokens or 0 for span in billed),
        cost_usd=sum(costs, Decimal(0)) if costs else None,
        unpriced_calls=sum(span.cost_usd is None and span.status != SpanStatus.RUNNING for span in billed),
        errors=sum(span.status == SpanStatus.ERROR for span in counted),
        escalations=sum(span.kind == SpanKind.ESCALATION for span in counted),
        session_id=first.session_id,
        user_id=next((span.user_id for span in working if span.user_id), None),
        service=first.service,
        convention=min(conventions, key=lambda name: (-conventions[name], name)) if conventions else None,
    )
    if leaves is not None:
        summary.spans += leaves.spans
        summary.llm_calls += leaves.llm_calls
        summary.input_tokens += leaves.input_tokens
        summary.output_tokens += leaves.output_tokens
        summary.unpriced_calls += leaves.unpriced_calls
    return summary


def tells_timeout(error: str) -> bool:
    """Whether the type or text of an error says that somebody would not wait any longer."""
    return _TIMEOUT.search(error) is not None


def tells_cancellation(error_type: str | None) -> bool:
    """Whether an error is that somebody gave up on the work: of asyncio, or of a JavaScript AbortSignal."""
    return (error_type or "").rpartition(".")[2] in ("CancelledError", "AbortError")


def _outcome(run: _Run) -> tuple[str, str | None]:
    return next((answer for rule in RULES if (answer := rule(run))), (RunOutcome.COMPLETED, None))


def outcome_of(
    root: Span, agents: Sequence[Span], failed: Sequence[Span], handoffs: Sequence[Span]
) -> tuple[str, str | None]:
    """(outcome, reason) of a run whose `root` says nothing of it, in which nothing was stopped, escalated or paused.

    `agents` are those at the top, which are all, `failed` all spans with status error.
    """
    last = _last(agents)
    untaken = _untaken((*agents, *handoffs), last)
    return _outcome(_Run(spans=failed, roots=[root], has_root=True, said={}, last_agent=last, untaken=untaken))


def _last(agents: Sequence[Span]) -> Span | None:
    """Who ended last: an agent that calls others may stand beside them (OpenLLMetry) and goes on after they are done."""
    return max(agents, key=lambda span: (span.end_ns or _NEVER, span.start_ns, span.span_id), default=None)


def _is_made(span: Span) -> bool:
    """True for a row that no producer sent: a state read or write told from what a graph's node was given."""
    return span.derived is not None and MADE in span.derived


def _is_pause(span: Span) -> bool:
    """True for a plain step of a graph that asked a person; an agent that waits takes part."""
    return span.kind == SpanKind.WAIT and span.finish_reason == PAUSED


def _look_at(forest: Forest, working: Sequence[Span]) -> _Run:
    tops = [forest.spans[p] for p in forest.roots if not is_setup(forest.spans[p])]
    parentless = [span for span in tops if span.parent_span_id is None]
    # AutoGen alone opens no span for the run: the messages to and from the team are all there is at the top.
    true_roots = [span for span in parentless if span.convention != "autogen"] or parentless
    # A client's call that was stitched to the framework's is a part of the run, however it ended.
    true_roots = [
        span for span in true_roots if not (is_loose(span) and "run_id" in (span.derived or ()))
    ] or true_roots
    said: dict[str, Any] = {}
    for span in tops:
        if any(name in span.attributes for name in _SAYS):
            said = json.loads(span.attributes)
            break
    agents = [
        forest.spans[position]
        for position in forest.order
        if forest.spans[position].kind == SpanKind.AGENT
        and forest.spans[position].duplicate_of is None
        and not any(forest.spans[above].kind == SpanKind.AGENT for above in forest.ancestors(position))
    ]
    counted = [span for span in working if span.duplicate_of is None]
    return _Run(
        spans=counted,
        roots=true_roots or tops,
        has_root=bool(true_roots),
        said=said,
        last_agent=_last(agents),
        untaken=_untaken(counted, _last(agents)),
        left_open=_left_open(forest, true_roots),
    )


def _untaken(spans: Sequence[Span], last: Span | None) -> Span | None:
    """Strands' swarms say nowhere that they had enough; the last handoff of the last agent was for nobody then."""
    if last is None or last.end_ns is None or last.convention == "tracehound":
        return None
    passed = [s for s in spans if s.kind == SpanKind.HANDOFF and s.agent == last.agent and s.start_ns >= last.start_ns]
    handoff = max(passed, key=lambda span: (span.start_ns, span.span_id), default=None)
    if handoff is None or handoff.status != SpanStatus.OK or handoff.target_agent in (None, last.agent):
        return None
    turns = [s.start_ns for s in spans if s.kind == SpanKind.AGENT and s.agent == handoff.target_agent]
    return handoff if turns and max(turns) < handoff.start_ns else None


def _left_open(forest: Forest, roots: Sequence[Span]) -> Span | None:
    """The failed step that was the last of the only root, where that never ended and everything inside it did."""
    if len(roots) != 1 or roots[0].status != SpanStatus.INTERRUPTED:
        return None
    position = forest.position[roots[0].trace_id, roots[0].span_id]
    steps = [forest.spans[child] for child in forest.children[position]]
    if not steps or any(forest.spans[below].end_ns is None for below in forest.below(position)):
        return None
    last = max(steps, key=lambda span: (span.end_ns or _NEVER, span.span_id))
    # After a call or an agent that failed there may be another attempt; an error that ends a step of the framework's own goes up.
    return last if last.status == SpanStatus.ERROR and last.kind in (SpanKind.OTHER, SpanKind.WORKFLOW) else None


def _said_error(span: Span) -> str:
    """Type and message, the type once: many messages begin with it."""
    kind, message = (span.error_type or "").rsplit(".", 1)[-1], span.error_message or ""
    told, traced, _ = message.partition(_TRACEBACK)  # whose lines of source name all kinds of errors
    if traced:
        message = told.strip() or message.rstrip().rpartition("\n")[2]
    if not kind or message.startswith(kind):
        return message or span.name
    return f"{kind}: {message}" if message else kind


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:199] + "…"
