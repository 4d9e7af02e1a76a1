"""State reads and writes that LangGraph does not write down, from what its nodes were given and gave back.

    superstep 2   legal   in {document: D1, notes: []}   out {document: D2, notes: [a]}      read document, write document ...
                  style   in {document: D1, notes: []}   out {document: D3, notes: [b]}
    superstep 3   publish in {document: D3, notes: [a, b]}                                   D3 won, notes were appended

Rows are made span by span (`rows`): a write per key at the end of a node, a read at its start for each key that it writes too (it is
shown the whole state, which says nothing of what it looked at) or that it was sent, and what the graph gave back as a last read. Each names itself derived by the mark `span_id`. Whole runs then tell the versions (`number_versions`): a value
is recognised by its content id, so a read of D1 after D3 was written is a read of an older version. What came of two writes of
one superstep is seen in the next one: one of them (the last one won), or neither (a reducer merged them).

Only nodes count, not graphs, routers or prompts; lists of messages are appended by LangGraph's own reducer and are no conflict.
Sources: OpenInference, LangSmith and OpenLLMetry; OTel GenAI does not record nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from tracer.ids import canonical_json, content_id, span_id_of
from tracer.model import RawSpan, Span, SpanKind, SpanStatus
from tracer.normalise.contents import Contents
from tracer.normalise.langgraph import GENERIC_NODES
from tracer.normalise.values import as_int, as_object, as_text, parse_json, plain
from tracer.semconv import LangGraph, LangSmith, OpenInference, OpenLLMetry, Tracehound

MADE = "span_id"
"""mark of a row that no producer sent"""
LONGEST = 4_000_000
"""characters of a node's input or output beyond which it is not opened"""
KEPT = 64_000
"""characters of a value beyond which only its id is kept: the text stands in the node's own input or output"""
_PATHS = 200
_MANAGED = frozenset({"remaining_steps", "is_last_step"})
"""what LangGraph adds to the input of a node; no state"""
_MESSAGE_TYPES = frozenset({"human", "ai", "system", "tool", "function", "constructor", "remove"})

Source = Callable[[RawSpan], tuple[Mapping[str, Any], str, Any, Any] | None]


def _openinference(raw: RawSpan) -> tuple[Mapping[str, Any], str, Any, Any] | None:
    text = raw.attributes.get(OpenInference.METADATA)
    if not isinstance(text, str) or LangGraph.INTEGRATION not in text:
        return None
    given, got = raw.attributes.get(OpenInference.INPUT_VALUE), raw.attributes.get(OpenInference.OUTPUT_VALUE)
    return as_object(text), "", given, got


def _langsmith(raw: RawSpan) -> tuple[Mapping[str, Any], str, Any, Any] | None:
    attributes = raw.attributes
    return attributes, LangSmith.METADATA, attributes.get(LangSmith.PROMPT), attributes.get(LangSmith.COMPLETION)


def _openllmetry(raw: RawSpan) -> tuple[Mapping[str, Any], str, Any, Any] | None:
    attributes = raw.attributes
    if OpenLLMetry.PROPERTIES + LangGraph.INTEGRATION not in attributes:
        return None
    given = as_object(attributes.get(OpenLLMetry.ENTITY_INPUT)).get("inputs")
    got = as_object(attributes.get(OpenLLMetry.ENTITY_OUTPUT)).get("outputs")
    return attributes, OpenLLMetry.PROPERTIES, given, got


SOURCES: dict[str | None, Source] = {
    "openinference": _openinference,
    "langsmith": _langsmith,
    "openllmetry": _openllmetry,
}


def rows(raw: RawSpan, span: Span, contents: Contents) -> list[Span]:
    """The reads and writes of one ended span, none where it is no node of a graph."""
    source = SOURCES.get(span.convention)
    found = source(raw) if source is not None and raw.end_ns is not None else None
    if found is None:
        return []
    metadata, prefix, given, got = found
    namespace = as_text(metadata.get(prefix + LangGraph.CHECKPOINT_NS))
    if namespace is None:
        whole = metadata.get(prefix + LangGraph.INTEGRATION) == "langgraph" and raw.status != "error"
        return list(_Graph(raw, span, contents, "", None).reads(_opened(got), at_ns=raw.end_ns)) if whole else []
    outer, _, own = namespace.rpartition("|")
    node = own.split(":", 1)[0]
    if raw.name not in (node, f"execute_task {node}") or metadata.get(prefix + LangGraph.PARENT_NS) == namespace:
        return []
    made = _Graph(raw, span, contents, outer, as_int(metadata.get(prefix + LangGraph.STEP)))
    before = _opened(given)
    if "__type" in before:
        return []  # a tool call that was sent to the node, not the state
    wrote = _update(got) if raw.status != "error" else {}
    sent = "__pregel_push" in str(metadata.get(prefix + LangGraph.PATH))
    read = before if sent else {key: value for key, value in before.items() if key in wrote}
    return [*made.reads(read, at_ns=raw.start_ns), *made.writes(before, wrote)]


class _Graph:
    """Makes the rows of one span."""

    def __init__(self, raw: RawSpan, span: Span, contents: Contents, level: str, step: int | None) -> None:
        self._raw, self._span, self._contents = raw, span, contents
        self._level = level
        """checkpoint namespace of the graph; its nodes share one state"""
        self._told: dict[str, Any] = {LangGraph.PARENT_NS: level}
        if step is not None:
            self._told[LangGraph.STEP] = step

    def reads(self, state: Mapping[str, Any], *, at_ns: int | None) -> Iterator[Span]:
        for key, value in state.items():
            if key not in _MANAGED and not _is_messages(key, value):
                row = self._row(SpanKind.STATE_READ, key, at_ns)
                row.output_refs = [self._put(value)[0]]
                yield row

    def writes(self, before: Mapping[str, Any], wrote: Mapping[str | None, Any]) -> Iterator[Span]:
        for key, value in wrote.items():
            if key in _MANAGED:
                continue
            if _is_messages(key, value):
                if not self._level:
                    yield self._row(SpanKind.STATE_WRITE, key, self._raw.end_ns, {Tracehound.MERGE: "append"})
                continue
            row = self._row(SpanKind.STATE_WRITE, key, self._raw.end_ns)
            ref, row.value_bytes = self._put(value)
            row.output_refs = [ref]
            if key is not None:
                row.changed_paths = changed_paths(before.get(key), value)
            yield row

    def _row(self, kind: SpanKind, key: str | None, at_ns: int | None, more: Mapping[str, Any] | None = None) -> Span:
        raw, span = self._raw, self._span
        node = span.agent if span.agent not in GENERIC_NODES else None
        shown = key if key is not None else span.name
        named = ".".join([*(part.split(":", 1)[0] for part in self._level.split("|") if part), shown])
        return Span(
            trace_id=raw.trace_id,
            span_id=span_id_of(raw.trace_id, raw.span_id, str(kind), key or ""),
            parent_span_id=raw.span_id,
            run_id=raw.trace_id,
            name=("read " if kind == SpanKind.STATE_READ else "write ") + named,
            kind=kind.value,
            start_ns=at_ns if at_ns is not None else raw.start_ns,
            end_ns=at_ns,
            status=SpanStatus.OK.value,
            agent=node,
            service=span.service,
            service_version=span.service_version,
            environment=span.environment,
            release=span.release,
            pid=span.pid,
            convention=span.convention,
            state_key=None if key is None else named,
            derived=[MADE],
            attributes=self._contents.encode({**self._told, **(more or {})}),
        )

    def _put(self, value: Any) -> tuple[int, int]:
        """(content id, bytes) of a value; a long one is not stored again."""
        text = value if isinstance(value, str) else canonical_json(plain(value))
        size = len(text.encode("utf-8", "replace"))
        return (self._contents.put(text) if len(text) <= KEPT else content_id(text)), size


def _opened(value: Any) -> dict[str, Any]:
    if isinstance(value, str) and (len(value) > LONGEST or value[:1] != "{"):
        return {}
    parsed: Any = parse_json(value)
    return cast(dict[str, Any], parsed) if isinstance(parsed, dict) else {}


def _update(value: Any) -> dict[str | None, Any]:
    """Key -> value that a node wrote. OpenInference shows {"title": "text"} as `text`: the key is None until the next read tells it."""
    if isinstance(value, str) and value and value[:1] not in "{[":
        return {None: value}
    found = _opened(value)
    if "update" in found and "goto" in found:  # a Command; one for another graph is that graph's business
        inner: Any = found["update"] if found.get("graph") is None else None
        found = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
    return dict[str | None, Any](found.items())


def _is_messages(key: str | None, value: Any) -> bool:
    """Chat messages in any of LangChain's spellings, which its reducer appends."""
    if not isinstance(value, list):
        return False
    items = cast(list[Any], value)
    if not items:
        return key == "messages"
    return all(
        isinstance(item, Mapping)
        and ("role" in item or cast(Mapping[str, Any], item).get("type") in _MESSAGE_TYPES)
        and ("content" in item or "data" in item or "kwargs" in item)
        for item in items
    )


def changed_paths(before: Any, after: Any) -> list[str]:
    """Dotted paths of what differs; lists and scalars differ as a whole, "" is the value itself. At most 200."""
    found: list[str] = []
    pending: list[tuple[str, Any, Any]] = [("", before, after)]
    while pending and len(found) < _PATHS:
        path, old, new = pending.pop()
        if isinstance(old, dict) and isinstance(new, dict):
            left, right = cast(dict[str, Any], old), cast(dict[str, Any], new)
            pending += [(f"{path}.{k}" if path else k, left.get(k), right.get(k)) for k in left.keys() | right.keys()]
        elif old != new or isinstance(old, bool) is not isinstance(new, bool):
            found.append(path)
    return sorted(found)
