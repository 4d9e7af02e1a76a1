"""Several instances of one agent name: invocations of it that overlap in time, where no recorded id tells them apart.

    worker  |=======|            worker#1
    worker    |=========|        worker#2     a fan-out
    worker            |====|     worker#1     began when the first had ended

The id is set on the invocations and on what they do themselves, and marked derived; an agent that is invoked inside of itself is
one instance. Where nothing overlaps there is one instance, and no id.
"""

from __future__ import annotations

import heapq

from tracer.model import SpanKind
from tracer.normalise.marks import infer
from tracer.normalise.tree import Forest


def number_instances(forest: Forest) -> None:
    """Set `agent_id` of agents that work beside others of their name."""
    spans = forest.spans
    named: dict[tuple[str, str], list[int]] = {}
    for position, span in enumerate(spans):
        if span.kind == SpanKind.AGENT and span.agent and span.duplicate_of is None:
            named.setdefault((span.run_id, span.agent), []).append(position)
    several = [(name, members) for (_, name), members in named.items() if len(members) > 1]
    if not several:
        return
    for name, members in several:
        if any(spans[position].agent_id for position in members):
            continue  # the recording tells them apart
        held = set(members)
        outer = [p for p in members if not any(above in held for above in forest.ancestors(p))]
        numbers = _numbers([(spans[p].start_ns, spans[p].end_ns) for p in outer])
        if max(numbers, default=0) < 1:
            continue
        for position, number in zip(outer, numbers, strict=True):
            own = [position]
            while own:  # down to where somebody else works
                below = own.pop()
                if spans[below].agent == name and spans[below].agent_id is None:
                    infer(spans[below], "agent_id", f"{name}#{number + 1}")
                    own += forest.children[below]


def _numbers(times: list[tuple[int, int | None]]) -> list[int]:
    """The smallest free number for each, which are in order of start; one is free again when who had it has ended."""
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    found: list[int] = []
    for start, end in times:
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        number = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (end if end is not None else 2**63, number))
        found.append(number)
    return found
