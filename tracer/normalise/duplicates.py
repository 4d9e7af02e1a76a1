"""Two instrumentors on one call: the outer span counts, the inner one points at it with `duplicate_of`.

An LLM call cannot contain another LLM call, so a nested one is the same call seen by the client's instrumentor:
the same response id, the same tokens and model, or the only one inside. Failed attempts inside a framework's retry
loop carry neither and stay calls of their own. Doubled agent and tool spans (AutoGen's own and OpenInference's) have
the same name and nothing but structure between them.
"""

from __future__ import annotations

from collections.abc import Callable

from tracer.model import Span, SpanKind, SpanStatus
from tracer.normalise.marks import infer, mark, replace
from tracer.normalise.tree import Forest

_LLM_COLUMNS = (
    "model",
    "provider",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "temperature",
    "response_id",
    "finish_reason",
    "ttft_ns",
    "input_refs",
    "output_refs",
)
_TOOL_COLUMNS = ("tool_call_id", "args_hash", "result_hash", "input_refs", "output_refs")
_LEVELS = 4
_OTHERS_WORK = (SpanKind.AGENT, SpanKind.TOOL, SpanKind.HANDOFF)
"""what happens below them is no part of a call around them"""
_TRANSPARENT = frozenset({SpanKind.OTHER, SpanKind.MESSAGE, SpanKind.WORKFLOW})


def find_duplicates(forest: Forest) -> None:
    """Mark inner twins; what only the twin knows is copied to the outer span, so that nothing is lost by leaving twins out."""
    inside: dict[int, list[int]] = {}
    for kind in (SpanKind.LLM, SpanKind.EMBEDDING):
        # Google ADK 1 runs the tools, and the agents, that a call asked for inside the call's span.
        for position, upper in enumerate(forest.nearest((kind, *_OTHERS_WORK))):
            if upper >= 0 and forest.spans[position].kind == kind == forest.spans[upper].kind:
                inside.setdefault(upper, []).append(position)
    for position in forest.order:
        span = forest.spans[position]
        if span.duplicate_of is None:
            if span.kind in (SpanKind.LLM, SpanKind.EMBEDDING):
                if position in inside:
                    _llm(forest, position, inside)
            elif span.kind in (SpanKind.TOOL, SpanKind.HANDOFF):
                _tool(forest, position)
            elif span.kind == SpanKind.AGENT:
                _agent(forest, position)


def _llm(forest: Forest, position: int, inside: dict[int, list[int]]) -> None:
    outer = forest.spans[position]
    inner = [forest.spans[p] for p in _llm_below(inside, position)]
    if not inner:
        return
    twins = [span for span in inner if _same_call(outer, span)]
    if not twins and len(inner) == 1 and models_agree(outer, inner[0]) and not _both_ours(outer, inner[0]):
        twins = inner
    if not twins and outer.kind == SpanKind.LLM and outer.input_tokens is None and outer.output_tokens is None:
        counted = [span for span in inner if span.input_tokens is not None]
        twins = counted[-1:]
    if twins:
        best = max(
            twins, key=lambda span: (span.output_tokens is not None, span.cached_tokens is not None, span.span_id)
        )
        take_call(outer, best)
    for span in twins:
        span.duplicate_of = outer.span_id


def take_call(outer: Span, inner: Span) -> None:
    """`inner` tells of the same call as `outer`, which counts: it takes over what only `inner` knows."""
    _take(outer, inner, _LLM_COLUMNS)
    if inner.cost_usd is not None and (outer.cost_usd is None or "cached_tokens" in (outer.derived or ())):
        infer(outer, "cost_usd", inner.cost_usd)
        infer(outer, "cost_source", inner.cost_source)
    inner.duplicate_of = outer.span_id


def mark_twin(outer: Span, inner: Span) -> None:
    """`inner` is the same call as `outer`, or an attempt of it, in another trace."""
    if _same_call(outer, inner):
        _take(outer, inner, _LLM_COLUMNS)
        inner.duplicate_of = outer.span_id


def _llm_below(inside: dict[int, list[int]], position: int) -> list[int]:
    """LLM calls inside an LLM call, down to `_LEVELS` instrumentors on top of each other."""
    found: list[int] = []
    level = [position]
    for _ in range(_LEVELS):
        level = [below for upper in level for below in inside.get(upper, ())]
        found += level
    return sorted(found)


def _same_call(outer: Span, inner: Span) -> bool:
    if outer.response_id and inner.response_id:
        return outer.response_id == inner.response_id
    tokens = (outer.input_tokens, outer.output_tokens)
    return tokens == (inner.input_tokens, inner.output_tokens) and tokens != (None, None) and models_agree(outer, inner)


def models_agree(outer: Span, inner: Span) -> bool:
    """One is asked for as `gpt-4o`, the other answers as `gpt-4o-2024-08-06`."""
    if not outer.model or not inner.model:
        return True
    one, other = outer.model.lower().rsplit("/", 1)[-1], inner.model.lower().rsplit("/", 1)[-1]
    return one.startswith(other) or other.startswith(one)


def _same_tool(outer: Span, inner: Span) -> bool:
    return (
        inner.kind in (SpanKind.TOOL, SpanKind.HANDOFF) and bool(outer.tool_name) and outer.tool_name == inner.tool_name
    )


def _tool(forest: Forest, position: int) -> None:
    outer = forest.spans[position]
    for span in _twins_below(forest, position, _same_tool):
        if _both_ours(outer, span):
            continue
        span.duplicate_of = outer.span_id
        _take(outer, span, _TOOL_COLUMNS)
        take_error(outer, span)


def take_error(outer: Span, inner: Span) -> None:
    """`outer` failed if `inner`, which is the same, did."""
    if inner.status == SpanStatus.ERROR and outer.status == SpanStatus.OK:
        replace(outer, "status", SpanStatus.ERROR)
        outer.error_type = outer.error_type or inner.error_type
        outer.error_message = outer.error_message or inner.error_message


def _agent(forest: Forest, position: int) -> None:
    """A twin of another convention is a duplicate; one of the same convention is a step of the same invocation."""
    outer = forest.spans[position]
    for span in _twins_below(forest, position, _same_agent):
        if _both_ours(outer, span):
            continue
        if (
            outer.convention is not None and span.convention != outer.convention
        ):  # of an open span it may not be known yet
            span.duplicate_of = outer.span_id
            _take(outer, span, ("input_refs", "output_refs"))
        else:
            replace(span, "kind", SpanKind.OTHER)


def _both_ours(outer: Span, inner: Span) -> bool:
    """What our own recorder nests is meant: an agent that calls itself, a tool inside a tool of the same name."""
    return outer.convention == inner.convention == "tracehound"


def _same_agent(outer: Span, inner: Span) -> bool:
    return inner.kind == SpanKind.AGENT and inner.agent == outer.agent


def _twins_below(forest: Forest, position: int, same: Callable[[Span, Span], bool]) -> list[Span]:
    """Descendants that say the same as the span, with nothing but structure and other twins between."""
    outer = forest.spans[position]
    found: list[Span] = []
    stack = list(forest.children[position])
    while stack:
        below = stack.pop()
        span = forest.spans[below]
        twin = same(outer, span)
        if twin:
            found.append(span)
        if twin or span.kind in _TRANSPARENT:
            stack.extend(forest.children[below])
    return sorted(found, key=lambda span: (span.start_ns, span.span_id))


def _take(outer: Span, inner: Span, columns: tuple[str, ...]) -> None:
    for column in columns:
        if getattr(outer, column) is None and getattr(inner, column) is not None:
            setattr(outer, column, getattr(inner, column))
            mark(outer, column)
