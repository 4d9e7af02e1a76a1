"""Versions of the state rows that `graph_state` made, for whole runs.

Per key of one graph the supersteps follow each other. What a step reads is what the steps before it left; a value is known by
its content id. Columns set here are inferred: version_read, version_written, cas_outcome, and the value a write replaced.

| seen after two writes of one superstep | then |
|---|---|
| the value of one of them | that one came last and won; the others are `unchecked` |
| another value | a reducer merged them: `ok`, nothing can be lost |
| nothing, the key was not read again | nobody can say: `unversioned` |
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from tracer.model import CasOutcome, Span, SpanKind
from tracer.normalise.graph_state import MADE
from tracer.normalise.marks import infer
from tracer.normalise.tree import Forest
from tracer.semconv import LangGraph, Tracehound


@dataclass(slots=True)
class _Row:
    span: Span
    step: int
    """superstep; the graph's own last read comes after all of them"""
    ref: int | None
    append: bool


@dataclass(slots=True)
class _Key:
    """What is known of one key so far."""

    version: int = 0
    value: int | None = None
    made: dict[int, int] = field(default_factory=dict[int, int])
    """content id -> newest version with that content"""

    def make(self, value: int | None) -> int:
        self.version += 1
        self.value = value
        if value is not None:
            self.made[value] = self.version
        return self.version


_LAST = 2**62


def number_versions(forest: Forest) -> None:
    """Number the reads and writes of every key of every graph."""
    graphs: dict[tuple[int, str, str], list[_Row]] = {}
    for position, span in enumerate(forest.spans):
        if span.derived and MADE in span.derived:
            told: dict[str, Any] = json.loads(span.attributes)
            step = told.get(LangGraph.STEP)
            row = _Row(
                span,
                step if isinstance(step, int) else _LAST,
                span.output_refs[0] if span.output_refs else None,
                told.get(Tracehound.MERGE) == "append",
            )
            if span.kind == SpanKind.STATE_WRITE:
                span.input_refs = None
                span.derived = [entry for entry in span.derived if entry != "input_refs"]
            graph = _outermost(forest, position), span.trace_id, str(told.get(LangGraph.PARENT_NS, ""))
            graphs.setdefault(graph, []).append(row)
    for rows in graphs.values():
        for one in _invocations(rows):
            _name_keys(one)
            by_key: dict[str, list[_Row]] = {}
            for row in one:
                if row.span.state_key is not None and not row.append:
                    by_key.setdefault(row.span.state_key, []).append(row)
            for held in by_key.values():
                _number(held)


def _outermost(forest: Forest, row: int) -> int:
    """The graph that no other one holds; a node may ask another process, in which graphs begin from the outside again."""
    return next((at for at in forest.ancestors(row) if LangGraph.CHECKPOINT_NS not in forest.spans[at].attributes), -1)


def _invocations(rows: list[_Row]) -> list[list[_Row]]:
    """A graph that is invoked again in the same trace counts its supersteps from the start again."""
    found: list[list[_Row]] = [[]]
    newest = -1
    for row in sorted(rows, key=lambda row: (row.span.start_ns, row.span.kind, row.span.span_id)):
        if row.step < newest:
            found.append([])
        found[-1].append(row)
        newest = -1 if row.step == _LAST else row.step
    return found


def _name_keys(rows: list[_Row]) -> None:
    """A write whose key was not recorded wrote the key that holds its value in the next superstep, if only one does."""
    for row in rows:
        if row.span.state_key is None and row.span.kind == SpanKind.STATE_WRITE:
            later = [r for r in rows if r.span.kind == SpanKind.STATE_READ and r.step > row.step]
            following = min((r.step for r in later), default=None)
            keys = {r.span.state_key for r in later if r.step == following and r.ref == row.ref}
            if len(keys) == 1:
                infer(row.span, "state_key", keys.pop())


def _number(rows: list[_Row]) -> None:
    key = _Key()
    steps = [list(group) for _, group in groupby(sorted(rows, key=_order), key=lambda row: row.step)]
    reads = [[row for row in step if row.span.kind == SpanKind.STATE_READ] for step in steps]
    writes = [[row for row in step if row.span.kind == SpanKind.STATE_WRITE] for step in steps]
    from_here: list[set[int | None]] = [set()]  # what is read in a step or after it
    for held in reversed(reads):
        from_here.append(from_here[-1] | {row.ref for row in held})
    from_here.reverse()
    for position in range(len(steps)):
        _read(key, reads[position], from_here[position])
        if writes[position]:
            _write(key, writes[position], _seen_next(key, reads[position + 1 :], writes[position + 1 :]))


def _order(row: _Row) -> tuple[int, int, str]:
    return row.step, row.span.start_ns, row.span.span_id


def _read(key: _Key, reads: list[_Row], from_here: set[int | None]) -> None:
    """A value that was not seen before, or an old one where nobody ever reads the newest, is what the state holds now."""
    refs = {row.ref for row in reads}
    known = {ref for ref in refs if ref in key.made}
    if len(refs) == 1 and refs != {key.value} and (not known or key.value not in from_here):
        key.make(next(iter(refs)))
    for row in reads:
        version = key.version if row.ref == key.value else key.made.get(row.ref) if row.ref is not None else None
        if version is not None:
            infer(row.span, "version_read", version)


def _seen_next(key: _Key, reads: list[list[_Row]], writes: list[list[_Row]]) -> set[int | None]:
    """What the next reads show that is not an older value (a task may be sent a copy); empty where the key is written unread."""
    for held, after in zip(reads, writes, strict=True):
        fresh = {row.ref for row in held if row.ref not in key.made}
        if fresh or after:
            return fresh
    return set()


def _write(key: _Key, writes: list[_Row], seen: set[int | None]) -> None:
    merged = bool(seen) and not any(row.ref in seen for row in writes)
    unknown = not seen and len(writes) > 1
    writes.sort(key=lambda row: row.ref in seen)  # stable: the one that won comes last
    outcome = CasOutcome.OK if merged else CasOutcome.UNVERSIONED if unknown else CasOutcome.UNCHECKED
    start = key.version
    for row in writes:
        if key.value is not None:
            infer(row.span, "input_refs", [key.value])
        if start and "state_key" in (row.span.derived or ()):
            infer(row.span, "version_expected", start)  # which key it was is inferred, so no read of it was made
        infer(row.span, "cas_outcome", outcome.value)
        infer(row.span, "version_written", key.make(None if merged else row.ref))
