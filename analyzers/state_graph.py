"""The serialization graph of one run's state operations, and the cycles in it that are write skew.

    Alice   reads x(v1) y(v1) ------ writes x(v2)        Alice -rw(y)-> Bob: Bob replaced the y that Alice rested on
    Bob     reads x(v1) y(v1) ------ writes y(v2)        Bob -rw(x)-> Alice, and so in a circle: no order explains both

Nodes are steps (one agent invocation each). An edge says that in every order in which the steps could have run one after
the other the first comes before the second: `wr` it read what the first wrote, `ww` it replaced what the first wrote, `rw` it replaced what
the first had read. Source: Adya's item dependencies as in Elle (arXiv 2003.10554).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from analyzers.graph import components_with_cycles
from analyzers.state_history import KeyHistory, StateOp


@dataclass(frozen=True, slots=True)
class Dependency:
    """An edge from the step of `source` to the step of `target`."""

    kind: Literal["ww", "wr", "rw"]
    key: str
    source: StateOp
    target: StateOp


@dataclass(frozen=True, slots=True)
class Skew:
    """Steps that each replaced what another of them had rested on, with nothing else between them."""

    steps: frozenset[str]
    edges: tuple[Dependency, ...]

    @property
    def keys(self) -> list[str]:
        """Keys that were read by one and replaced by another, in order."""
        return sorted({edge.key for edge in self.edges})


def dependencies(histories: Iterable[KeyHistory]) -> list[Dependency]:
    """All edges between different steps of one run. O(operations), plus the look-up of each read in its chain.

    A read counts where its step wrote something later, and did not read the key again before: only then did a write rest on it.
    """
    held = list(histories)
    writes: dict[str, list[int]] = defaultdict(list)
    for history in held:
        for op in history.chain:
            writes[op.step].append(op.at_ns)
    last_write = {step: max(times) for step, times in writes.items()}
    edges: list[Dependency] = []
    for history in held:
        for before, after in pairwise(history.chain):
            if before.step != after.step:
                edges.append(Dependency("ww", history.key, before, after))
        for read in _rested_on(history, last_write):
            seen = history.locate(read.version, read.value, read.at_ns)
            if seen is None:
                continue  # a version that nobody was seen writing: where it stands in the chain is unknown
            if seen >= 0 and history.chain[seen].step != read.step:
                edges.append(Dependency("wr", history.key, history.chain[seen], read))
            if seen + 1 < len(history.chain) and history.chain[seen + 1].step != read.step:
                edges.append(Dependency("rw", history.key, read, history.chain[seen + 1]))
    return edges


def _rested_on(history: KeyHistory, last_write: dict[str, int]) -> list[StateOp]:
    """The newest read of each step, where the step writes afterwards."""
    newest: dict[str, StateOp] = {}
    for op in history.ops:
        if not op.write:
            newest[op.step] = op
    return [op for step, op in newest.items() if op.at_ns <= last_write.get(step, -1)]


def write_skews(edges: Sequence[Dependency]) -> list[Skew]:
    """Strongly connected steps that only `rw` edges hold together, over at least two keys; in order of their names. O(V + E)."""
    graph: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        graph[edge.source.step].add(edge.target.step)
    found: list[Skew] = []
    for part in components_with_cycles(graph):
        inside = [edge for edge in edges if edge.source.step in part and edge.target.step in part]
        if all(edge.kind == "rw" for edge in inside) and len({edge.key for edge in inside}) >= 2:
            ordered = sorted(inside, key=lambda e: (e.source.at_ns, e.source.span_id, e.target.span_id))
            found.append(Skew(part, tuple(ordered)))
    return found
