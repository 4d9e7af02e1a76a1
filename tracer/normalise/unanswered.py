"""Who waits for whom where nobody recorded a wait: requests to an agent that were not answered.

    coordinator |== tool ask_researcher ================ ...   open: the coordinator waits for the researcher
    outer agent |== inner agent ======================== ...   open: the outer waits for the inner
    ledger      |== autogen create payroll.(default)-A ==X     ended, and no answer came back: the ledger waited in vain

No span is invented: the wait stands on the span of the request, as its `wait_for`, marked derived; for an agent that works directly
inside another one, on the span of the outer. A span is a request where the agent it goes to is told by what works inside it, by
its name, or by other calls of that tool. What was answered, with an error too, is no wait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tracer.model import Span, SpanKind, SpanLink, SpanStatus
from tracer.normalise.autogen import ANSWER, REQUEST, recipient_of
from tracer.normalise.handoffs import folded
from tracer.normalise.marks import infer
from tracer.normalise.outcome import tells_cancellation, tells_timeout
from tracer.normalise.tree import Forest
from tracer.semconv import Tracehound

_ASKS = re.compile(
    r"(?:ask|call|consult|query|invoke|run|message|contact|request|tell|send_to|delegate_to)_(?:the_)?(.+)"
)
_ACTING = frozenset({SpanKind.AGENT, SpanKind.TOOL, SpanKind.HANDOFF})
_ERROR = SpanStatus.ERROR.value

Links = Mapping[tuple[str, str], Sequence[SpanLink]]


def note_unanswered(forest: Forest, links: Links, agents: Mapping[str, Mapping[str, str]]) -> None:
    """Set `wait_for` on requests without an answer. `agents`: run id -> folded name -> agent name."""
    acting = [(position, span) for position, span in enumerate(forest.spans) if span.kind in _ACTING]
    cancelled = {position for position, span in acting if was_cancelled(span)}
    cut_off = _callers(forest, cancelled)
    asking = [
        position
        for position, span in acting
        if (span.end_ns is None or span.status == _ERROR or position in cut_off or position in cancelled)
        and _may_wait(span)
    ]
    if asking:
        _calls(forest, asking, cut_off, agents)
    requests = [p for p, span in enumerate(forest.spans) if span.convention == "autogen" and REQUEST.match(span.name)]
    if requests:
        _autogen(forest, requests, links)


def _callers(forest: Forest, cancelled: set[int]) -> set[int]:
    """The calls in which cancelled agents worked, of whoever gave up on them and was not cancelled with them."""
    found: set[int] = set()
    for position in cancelled:
        if forest.spans[position].kind == SpanKind.AGENT:
            above = next((p for p in forest.ancestors(position) if forest.spans[p].kind in _ACTING), -1)
            if above >= 0 and forest.spans[above].kind == SpanKind.TOOL and above not in cancelled:
                found.add(above)
    return found


def _calls(forest: Forest, asking: Sequence[int], cut_off: set[int], agents: Mapping[str, Mapping[str, str]]) -> None:
    called = {
        (span.run_id, span.tool_name): span.target_agent
        for span in forest.spans
        if span.kind == SpanKind.TOOL and span.target_agent and span.tool_name
    }
    above = forest.nearest(_ACTING)
    for position in asking:
        span = forest.spans[position]
        if span.kind != SpanKind.AGENT:
            if is_open(span) or _gave_up(span) or was_cancelled(span) or position in cut_off:
                known = span.target_agent or called.get((span.run_id, span.tool_name or ""))
                _waits(span, known or named_agent(span.tool_name, agents.get(span.run_id, {})))
            continue
        upper = forest.spans[above[position]] if above[position] >= 0 else None
        if upper is not None and upper.kind == SpanKind.AGENT and is_open(upper) and is_open(span) and _may_wait(upper):
            _waits(upper, span.agent)


def _may_wait(span: Span) -> bool:
    """Our own recorder writes the waits that are meant."""
    return span.duplicate_of is None and span.convention != "tracehound" and span.agent is not None


def may_ask(span: Span) -> bool:
    """Whether the names of the agents that take part in the run may make a wait of this span, or of the call it works in."""
    unanswered = is_open(span) or span.status == _ERROR or was_cancelled(span)
    return unanswered and span.kind in _ACTING and span.convention != "tracehound"


def is_open(span: Span) -> bool:
    """Began and, as far as is known, never ended."""
    return span.end_ns is None


def was_cancelled(span: Span) -> bool:
    """Ended because whoever awaited it would not wait any longer, or was cancelled too."""
    return tells_cancellation(span.error_type) or Tracehound.CANCELLED in span.attributes


def named_agent(tool_name: str | None, agents: Mapping[str, str]) -> str | None:
    """The agent a tool is called after: `payroll`, `ask_payroll`, `consult_payroll_agent`."""
    name = folded(tool_name or "")
    asked = _ASKS.fullmatch(name)
    for candidate in (name, asked[1] if asked else ""):
        for known in (candidate, candidate.removesuffix("_agent")):
            if known in agents:
                return agents[known]
    return None


def _waits(span: Span, target: str | None) -> None:
    if target is None or target == span.agent:
        return
    known = span.wait_for or []
    if target not in known:
        infer(span, "wait_for", sorted([*known, target]))


def _gave_up(span: Span) -> bool:
    return span.status == _ERROR and tells_giving_up(span.error_type, span.error_message)


def tells_giving_up(error_type: str | None, error_message: str | None) -> bool:
    """Whether an error is a timeout of whoever asked, or that it was cancelled."""
    said = f"{error_type or ''} {(error_message or '')[:200]}"
    return tells_timeout(said) or "cancel" in said.lower()


def _autogen(forest: Forest, requests: Sequence[int], links: Links) -> None:
    """`create X-A` asks, `send X` and `process X` link to it, the `ack` of the answer links to `send X`."""
    linked: dict[tuple[str, str], list[Span]] = {}
    """span -> the spans that link to it"""
    for key, found in links.items():
        position = forest.position.get(key)
        if position is not None and forest.spans[position].convention == "autogen":
            for link in found:
                linked.setdefault((link.linked_trace_id, link.linked_span_id), []).append(forest.spans[position])
    for position in requests:
        span = forest.spans[position]
        taken = linked.get((span.trace_id, span.span_id), [])
        if _may_wait(span) and (taken or is_open(span)) and not _answered(span, taken, linked):
            _waits(span, recipient_of(span.name))


def _answered(request: Span, taken: Sequence[Span], linked: Mapping[tuple[str, str], Sequence[Span]]) -> bool:
    """An answer was delivered, or the recipient ended first: with an error, or with an answer whose delivery was not recorded."""
    if was_cancelled(request):
        return False
    if any(ANSWER.match(s.name) for t in taken for s in linked.get((t.trace_id, t.span_id), ())):
        return True
    ends = [t.end_ns for t in taken]
    return any(end is not None and request.end_ns is not None and end <= request.end_ns for end in ends) or any(
        t.status == SpanStatus.ERROR and " process " in t.name for t in taken
    )
