"""Splits one run into lanes: causal branches whose spans happen one after the other.

    workflow |-----------------------------------|
      plan   |---|                                    lane ""      (nothing beside it)
      fetch      |-------|                            lane "/fetch#0"
      fetch       |------|                            lane "/fetch#1"   (parallel with the first)
      rank       |----------|                         lane "/rank#0"
      write                  |-----------|            lane ""      (after the join, back in the parent's lane)

Siblings that overlap by more than half of the shorter one run side by side and get lanes of their own, named by what
they are and not by their ids, so that the same branch in the next round continues its lane; agents that hand over to
each other beside other branches share one. A few agents that overlap
because they live long and talk to each other (actors) share the parent's lane. O(n log n), no recursion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BRANCHING = frozenset({"agent", "workflow", "tool", "retriever", "llm", "other"})
"""kinds that can run beside a sibling; a wait or a message belongs to whoever makes it"""
TALKING = 3
"""up to this many overlapping agents that exchange messages are one conversation"""


@dataclass(frozen=True, slots=True)
class LaneSpan:
    """What the split needs to know of a span."""

    span_id: str
    parent: str | None
    kind: str
    who: str
    """agent, or the span's name where there is none"""
    start_ns: int
    end_ns: int | None


def assign_lanes(spans: Iterable[LaneSpan], talks: Mapping[str, set[str]]) -> dict[str, str]:
    """span id -> lane. `talks`: agent -> agents it sent something to. Spans without a known parent are siblings."""
    held = _with_lost_parents(sorted(spans, key=lambda s: (s.start_ns, s.span_id)))
    known = {s.span_id for s in held}
    children: dict[str | None, list[LaneSpan]] = defaultdict(list)
    for span in held:
        children[span.parent if span.parent in known and span.parent != span.span_id else None].append(span)
    busy = _with_work_below(held)
    lanes: dict[str, str] = {}
    queue: list[tuple[str | None, str]] = [(None, "")]
    while queue:
        parent, lane = queue.pop()
        for child, own in _branches(children.get(parent, ()), lane, talks, busy):
            if child.span_id not in lanes:
                lanes[child.span_id] = own
                queue.append((child.span_id, own))
    for span in held:  # members of a cycle of parents hang on no root
        lanes.setdefault(span.span_id, "")
    return lanes


def _with_lost_parents(spans: list[LaneSpan]) -> list[LaneSpan]:
    """`spans` in order, with a stand-in for each parent that never arrived: as long as its children, where it must have been.

    Without it the children of a lost span would be taken for branches of the whole run, each in a lane of its own.
    """
    known = {s.span_id for s in spans}
    orphans: dict[str, list[LaneSpan]] = defaultdict(list)
    for span in spans:
        if span.parent is not None and span.parent not in known:
            orphans[span.parent].append(span)
    if not orphans:
        return spans
    below: dict[str | None, list[LaneSpan]] = defaultdict(list)
    for span in spans:
        if span.kind in ("agent", "workflow"):
            below[span.parent if span.parent in known else None].append(span)
    made = [_stand_in(lost, children, below) for lost, children in orphans.items()]
    return sorted([*spans, *made], key=lambda s: (s.start_ns, s.span_id))


def _stand_in(lost: str, children: Sequence[LaneSpan], below: Mapping[str | None, Sequence[LaneSpan]]) -> LaneSpan:
    """Below the innermost span that encloses the children and has no rival that does, too."""
    start = min(s.start_ns for s in children)
    end = max(s.start_ns if s.end_ns is None else s.end_ns for s in children)
    own = {s.span_id for s in children}
    parent: str | None = None
    while True:
        around = [
            s
            for s in below.get(parent, ())
            if s.start_ns <= start and (s.end_ns is None or s.end_ns >= end) and s.span_id not in own
        ]
        if len(around) != 1:
            break
        parent = around[0].span_id
    who = min((s.who.partition(":")[0] for s in children), key=lambda name: (name == "", name))
    return LaneSpan(lost, parent, "agent", who, start, end)


def _with_work_below(spans: Sequence[LaneSpan]) -> set[str]:
    """Spans that are a call or have one below them; a framework's empty wrappers open no branch."""
    parents = {s.span_id: s.parent for s in spans}
    busy: set[str] = set()
    for span in spans:
        if span.kind in BRANCHING - {"other", "workflow"}:
            at: str | None = span.span_id
            while at is not None and at in parents and at not in busy:
                busy.add(at)
                at = parents[at]
    return {s.span_id for s in spans if s.span_id in busy and s.kind in BRANCHING}


def _branches(
    siblings: Sequence[LaneSpan], lane: str, talks: Mapping[str, set[str]], busy: set[str]
) -> Iterable[tuple[LaneSpan, str]]:
    for cluster in _clusters([s for s in siblings if s.span_id in busy]):
        if len(cluster) == 1 or _one_conversation(cluster, talks):
            yield from ((span, lane) for span in cluster)
            continue
        ends: dict[str, list[float]] = defaultdict(list)  # per name: when each of its lanes is free again
        talk: dict[str, _Turn] = {}  # lane -> whose turn it was last
        for span in cluster:
            end = float("inf") if span.end_ns is None else float(span.end_ns)
            own = _answering(span, talk, talks)
            if own is None:
                free = ends[span.who]
                slot = next((i for i, until in enumerate(free) if until <= span.start_ns), len(free))
                if slot == len(free):
                    free.append(end)
                else:
                    free[slot] = end
                own = f"{lane}/{span.who}#{slot}"
            talk[own] = _Turn(span, end)
            yield span, own
    yield from ((s, lane) for s in siblings if s.span_id not in busy)


@dataclass(frozen=True, slots=True)
class _Turn:
    """The last span of a lane, and when it ended."""

    span: LaneSpan
    end: float


def _answering(span: LaneSpan, talk: Mapping[str, _Turn], talks: Mapping[str, set[str]]) -> str | None:
    """The lane of the turn that `span` follows: it had ended, and its agent handed over or spoke to this one.

    A  |--| -> B     |--| -> B                 lane "/A#0", turns of A and B
    B         |--| -> A     |--|
    X  |-------------------------------|       lane "/X#0", beside them
    """
    best: tuple[float, str] | None = None
    for name, turn in talk.items():
        length = min(turn.end - turn.span.start_ns, (span.end_ns or span.start_ns) - span.start_ns)
        if (
            turn.span.who != span.who
            and span.who in talks.get(turn.span.who, ())
            and turn.end - span.start_ns <= 0.1 * length
            and (best is None or turn.end > best[0])
        ):
            best = turn.end, name
    return None if best is None else best[1]


def _clusters(siblings: Sequence[LaneSpan]) -> list[list[LaneSpan]]:
    """Groups of siblings (in order of start) that run side by side."""
    clusters: list[list[LaneSpan]] = []
    longest_start, longest_end = 0.0, float("-inf")
    for span in siblings:
        end = float("inf") if span.end_ns is None else float(span.end_ns)
        overlap = min(end, longest_end) - span.start_ns
        shorter = min(end - span.start_ns, longest_end - longest_start)
        if clusters and overlap > 0 and (overlap > 0.5 * shorter or shorter == float("inf")):
            clusters[-1].append(span)
        else:
            clusters.append([span])
            longest_end = float("-inf")
        if end > longest_end:
            longest_start, longest_end = float(span.start_ns), end
    return clusters


def _one_conversation(cluster: Sequence[LaneSpan], talks: Mapping[str, set[str]]) -> bool:
    names = {span.who for span in cluster}
    if not 2 <= len(names) <= TALKING or len(names) != len(cluster) or any(s.kind != "agent" for s in cluster):
        return False
    return all(talks.get(name, set()) & (names - {name}) for name in names)
