"""Whole traces as trees of row positions; cycles of parents are broken, missing parents make local roots."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from operator import attrgetter

from tracer.model import SPAN_FIELDS, Span, SpanStatus, span_of
from tracer.normalise.hanging import Hanging
from tracer.normalise.marks import mark

columns_of: Callable[[Span], tuple[object, ...]] = attrgetter(*SPAN_FIELDS)
"""the columns of a row, in order; faster than anything that asks for them by name one at a time"""


def copied(span: Span) -> Span:
    """A row of its own; lists are shared and must be replaced, never changed in place."""
    return span_of(dict(vars(span)))


class Forest:
    """Spans in order of start, with the position of each parent (-1 for none) and of the children in order of start."""

    def __init__(self, spans: Iterable[Span], hanging: Hanging | None = None) -> None:
        self.hanging = hanging
        """what else hangs from them"""
        self.spans = _once(spans)
        where = {(span.trace_id, span.span_id): position for position, span in enumerate(self.spans)}
        self.position = where
        self.parent = [
            where.get((span.trace_id, span.parent_span_id), -1) if span.parent_span_id else -1 for span in self.spans
        ]
        self._break_cycles()
        self.children: list[list[int]] = [[] for _ in self.spans]
        self.roots: list[int] = []
        for position, parent in enumerate(self.parent):
            if parent < 0:
                self.roots.append(position)
            else:
                self.children[parent].append(position)
        self.order = list(self._walk(self.roots))
        """parents before their children"""

    def leaves(self) -> Iterator[tuple[int, bool]]:
        """(position of a span from which leaves hang, whether they do its work)."""
        if self.hanging is not None:
            for key, working in self.hanging.below.items():
                yield self.position[key], working

    def has_working_leaves(self, position: int) -> bool:
        """Whether leaves hang from this span that do its work."""
        span = self.spans[position]
        return self.hanging is not None and self.hanging.below.get((span.trace_id, span.span_id), False)

    def ancestors(self, position: int) -> Iterator[int]:
        """Positions from the parent up to the root."""
        position = self.parent[position]
        while position >= 0:
            yield position
            position = self.parent[position]

    def nearest(self, kinds: Container[str]) -> list[int]:
        """For every position the nearest ancestor whose kind is among `kinds`, -1 for none."""
        found = [-1] * len(self.spans)
        for position in self.order:
            parent = self.parent[position]
            if parent >= 0:
                found[position] = parent if self.spans[parent].kind in kinds else found[parent]
        return found

    def below(self, position: int) -> Iterator[int]:
        """All descendants, parents first."""
        return self._walk(self.children[position])

    def _walk(self, starts: Sequence[int]) -> Iterator[int]:
        stack = list(reversed(starts))
        while stack:
            position = stack.pop()
            yield position
            stack.extend(reversed(self.children[position]))

    def _break_cycles(self) -> None:
        """The span of a cycle that started first becomes a root; its parent is kept in the mark."""
        state = [0] * len(self.spans)  # 0 unseen, 1 on the way, 2 known to end
        for start in range(len(self.spans)):
            path: list[int] = []
            position = start
            while position >= 0 and state[position] == 0:
                state[position] = 1
                path.append(position)
                position = self.parent[position]
            if position >= 0 and state[position] == 1:
                first = min(path[path.index(position) :])
                span = self.spans[first]
                mark(span, "parent_span_id", span.parent_span_id)
                span.parent_span_id = None
                self.parent[first] = -1
            for passed in path:
                state[passed] = 2


def _once(spans: Iterable[Span]) -> list[Span]:
    """Each span once (an ended one rather than its start record), in an order that depends on the spans only."""
    found: dict[tuple[str, str], Span] = {}
    for span in spans:
        key = (span.trace_id, span.span_id)
        known = found.get(key)
        if known is None or _weight(span) > _weight(known):
            found[key] = span
    return sorted(found.values(), key=lambda span: (span.start_ns, span.trace_id, span.span_id))


def _weight(span: Span) -> tuple[bool, int, str]:
    return span.status != SpanStatus.RUNNING, span.end_ns or 0, span.attributes
