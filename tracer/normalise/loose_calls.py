"""Client calls in traces of their own, beside a framework that tells of the same calls.

Instrumentors that work by callbacks (LangChain's of OpenInference, LangSmith) do not make their spans the current ones, so that the
spans of the client's instrumentor find no parent:

    trace 1   desk > clerk > ChatOpenAI       1000 tokens, chatcmpl-7
    trace 2   ChatCompletion                  1000 tokens, chatcmpl-7: the same call
    trace 3   CreateEmbeddings                made while the retriever of trace 1 ran

A call belongs to the framework's call with the same response id, else to the only one in the process that was under way from its start
to its end and does not contradict it; an embedding to the only such step. Where several fit, it stays alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracer.model import Span, SpanKind
from tracer.normalise.duplicates import models_agree
from tracer.normalise.tree import Forest

_CALLS = frozenset({SpanKind.LLM, SpanKind.EMBEDDING})
_HOSTS = frozenset({SpanKind.LLM, SpanKind.RETRIEVER, SpanKind.TOOL})
NO_CONTEXT = ("openinference.instrumentation.langchain", '"langsmith.span.kind"')
"""in the attributes of spans whose instrumentors do not make them current"""


def is_loose(span: Span) -> bool:
    """A call that may be a trace of its own."""
    return span.kind in _CALLS and span.parent_span_id is None


def lacks_context(span: Span) -> bool:
    """A span inside of which client calls find no parent."""
    return span.kind in _HOSTS and any(text in span.attributes for text in NO_CONTEXT)


def loose_calls(forest: Forest) -> Iterator[tuple[int, int]]:
    """(position of a call in a trace of its own, position of the framework's span that it was made for)."""
    loose = [position for position in forest.roots if is_loose(forest.spans[position])]
    if not loose:
        return
    hosts: dict[tuple[str | None, int | None], list[int]] = {}
    for position, span in enumerate(forest.spans):
        if span.parent_span_id is not None and lacks_context(span):
            hosts.setdefault((span.service, span.pid), []).append(position)
    for position in loose if hosts else ():
        call = forest.spans[position]
        around = [
            at
            for at in hosts.get((call.service, call.pid), ())
            if forest.spans[at].trace_id != call.trace_id and _contains(forest.spans[at], call)
        ]
        found = _host(forest, call, around)
        if found is not None:
            yield position, found


def _contains(outer: Span, inner: Span) -> bool:
    end = inner.end_ns if inner.end_ns is not None else inner.start_ns
    return outer.start_ns <= inner.start_ns and (outer.end_ns is None or end <= outer.end_ns)


def _host(forest: Forest, call: Span, around: list[int]) -> int | None:
    if call.kind == SpanKind.LLM:
        calls = [at for at in around if forest.spans[at].kind == SpanKind.LLM]
        same = [at for at in calls if call.response_id and forest.spans[at].response_id == call.response_id]
        fitting = same or [at for at in calls if _may_be(forest.spans[at], call)]
        return fitting[-1] if len(fitting) == 1 else None
    traces = {forest.spans[at].trace_id for at in around}
    return max(around, key=lambda at: (forest.spans[at].start_ns, at)) if len(traces) == 1 else None


def _may_be(told: Span, call: Span) -> bool:
    """Nothing says that these are two calls; an attempt that failed has no tokens."""
    if told.response_id and call.response_id:
        return False
    sent = (None, told.input_tokens)
    return call.input_tokens in sent and models_agree(told, call)
