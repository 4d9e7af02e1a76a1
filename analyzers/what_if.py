"""How long would the run have taken, had something been different: a replay of its recorded order with other durations.

    recorded   boss |=|   plan    |==| wait, then two workers |=====|      answer |==|
    replayed          scaled       gaps kept                  |==|  scaled        |==|

Every start and end keeps what it came after: a start, its parent's start and the siblings that had ended; an end, its own start and its children
that had ended; the end of a wait, also the last work of an awaited agent that ended during it. Between an event and the last one it came
after lies own time, which is kept, or scaled where it belongs to what is changed. Events are replayed in order of recorded time, so nothing
is recursive; unchanged durations give the recorded run exactly. O(n log n).

Limits: an order that was chance counts as dependency, so gains are rather too small; siblings side by side ignores data that
flows between them and rate limits, so that one is an upper bound and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from analyzers.critical_path import OPEN, RunTree
from analyzers.finding import Finding
from analyzers.frames import Frames
from tracer.model import Purpose, SpanKind, SpanStatus

Scale = Callable[[int], float]
"""number of a span -> factor on its own time"""


def replay(tree: RunTree, scale: Scale, *, side_by_side: frozenset[int] = frozenset()) -> float:
    """Length of the run in ns with own times scaled; spans in `side_by_side` start without waiting for siblings."""
    depth = _depths(tree)
    moments: list[tuple[int, int, int, int]] = []
    for number in depth:
        node = tree.nodes[number]
        instant = node.end == node.start
        # At one moment: ends (inner before outer), starts (outer before inner), ends of what has no length.
        moments += [(node.start, 1, depth[number], number), (node.end, 2 if instant else 0, -depth[number], number)]
    recorded: dict[int, float] = {OPEN: tree.start}
    moved: dict[int, float] = {OPEN: tree.start}
    ended: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    begun: dict[int, tuple[float, float]] = {}
    length = 0.0
    for time, order, _, number in sorted(moments):
        node, above = tree.nodes[number], tree.parent[number]
        if order == 1:
            # A child that starts before its parent, by clock or by mistake, comes after nothing but the start of the run.
            held = (
                begun
                if number in side_by_side
                else {above: (recorded[above], moved[above])}
                if above in recorded
                else {}
            )
            base, new = held.get(above, (tree.start, float(tree.start)))
            gap = 0.0 if number in side_by_side else max(0, time - base) * (1.0 if above == OPEN else scale(above))
            # A span from before the run's start counts from there: nothing that was recorded is longer than the run.
            begun[number] = max(time, base), new + gap
            recorded[number], moved[number] = begun[number]
            continue
        base, new = recorded[number], moved[number]
        if node.row["kind"] == SpanKind.WAIT:
            for agent in node.row["wait_for"] or ():
                # Released by the last work of a peer that ended meanwhile; what came before it is no wait any more.
                for done, then, whose in reversed(ended[agent]):
                    if done < node.start:
                        break
                    if whose != number and done >= base:
                        base, new = (done, max(then, begun[number][1])) if done > base else (done, max(new, then))
        new += max(0, time - base) * scale(number)
        if above in recorded:
            recorded[above], moved[above] = max(recorded[above], time), max(moved[above], new)
        if node.row["agent"]:
            ended[node.row["agent"]].append((time, new, number))
        if above == OPEN:
            length = max(length, new - tree.start)
    return length


def _depths(tree: RunTree) -> Mapping[int, int]:
    """Every span that hangs on a root, with its depth; spans whose parents go round in a circle are left out."""
    depth = dict.fromkeys(tree.children.get(OPEN, ()), 0)
    order = list(depth)
    for number in order:  # grows while it is read
        for child in tree.children.get(number, ()):
            depth[child] = depth[number] + 1
            order.append(child)
    return depth


def what_if_document(
    frames: Frames,
    tree: RunTree,
    *,
    agents: int = 3,
    routing: Collection[str] | None = None,
    findings: Sequence[Finding] = (),
) -> list[dict[str, Any]]:
    """What would have made the run shorter, best first: `[{change, seconds, saved_share, upper_bound}]`.

    Tried: each of the agents with most work twice as fast, loops that end after their first round (those among `findings`), no failed
    attempts (nor the pauses after them), no routing calls, siblings side by side. `routing`: span ids of the calls that only say who is next; None takes those that are marked so.
    """
    if not tree.nodes:
        return []
    before = replay(tree, lambda number: 1.0)
    if before <= 0:
        return []
    tried: list[tuple[str, float, bool]] = []
    busy: dict[str, int] = defaultdict(int)
    for node in tree.nodes:
        if node.row["agent"] and node.row["kind"] in (SpanKind.LLM, SpanKind.TOOL):
            busy[node.row["agent"]] += node.end - node.start
    for name in sorted(busy, key=lambda one: (-busy[one], one))[:agents]:
        faster = {n.number for n in tree.nodes if n.row["agent"] == name and n.row["kind"] != SpanKind.WAIT}
        tried.append((f"{name} twice as fast", replay(tree, _scaled(faster, 0.5)), False))
    loops = [finding for finding in findings if finding.kind == "loop"]
    repeats = {number for finding in loops for number in _repeats(tree, finding)}
    if repeats:
        path = " → ".join(loops[0].data["path"]) if len(loops) == 1 else ""
        change = f"the loop {path} ended after its first round" if path else "loops ended after their first round"
        tried.append((change, replay(tree, _scaled(repeats, 0.0)), False))
    facts = frames.spans.select("span_id", "status", "retry_of", "purpose")
    repeated = set(facts["retry_of"].drop_nulls())
    failed = {span for span, status, _, _ in facts.iter_rows() if status == SpanStatus.ERROR and span in repeated}
    if routing is None:
        routing = {span for span, _, _, purpose in facts.iter_rows() if purpose == Purpose.ROUTE}
    for change, gone in (("no failed attempts", failed), ("no routing calls", routing)):
        numbers = {node.number for node in tree.nodes if node.row["span_id"] in gone}
        if numbers:
            numbers |= _pauses_after(tree, numbers) if gone is failed else set()
            tried.append((change, replay(tree, _scaled(numbers, 0.0)), False))
    apart = frozenset(
        child
        for below in tree.children.values()
        if len(calls := [one for one in below if tree.nodes[one].row["kind"] in (SpanKind.AGENT, SpanKind.TOOL)]) > 1
        for child in calls
    )
    if apart:
        tried.append(
            ("sibling agents and tools side by side", replay(tree, lambda number: 1.0, side_by_side=apart), True)
        )
    tried.sort(key=lambda one: (one[1], one[0]))
    return [
        {
            "change": change,
            "seconds": round(after / 1e9, 6),
            "saved_share": round(max(0.0, 1 - after / before), 4),
            "upper_bound": bound,
        }
        for change, after, bound in tried
    ]


def _repeats(tree: RunTree, loop: Finding) -> set[int]:
    """What the loop's agents, and whoever they called, did from the second round to the loop's end. Time between is not theirs and is kept."""
    starts: Sequence[str] = loop.data.get("round_starts") or ()
    begun = next((node.start for node in tree.nodes if len(starts) > 1 and node.row["span_id"] == starts[1]), None)
    if begun is None or loop.end_ns is None:
        return set()
    inside = [node for node in tree.nodes if begun <= node.start and node.end <= loop.end_ns]
    found = {node.number for node in inside if node.row["agent"] in loop.agents}
    below = list(found)
    for number in below:  # grows while it is read
        fresh = [child for child in tree.children.get(number, ()) if child not in found]
        found.update(fresh)
        below += fresh
    return found


def _pauses_after(tree: RunTree, attempts: set[int]) -> set[int]:
    """The recorded waits between a failed attempt and what its parent did next: the back-off falls away with the attempt."""
    found: set[int] = set()
    for below in tree.children.values():
        ordered = [tree.nodes[one] for one in below]
        for place, node in enumerate(ordered):
            if node.number not in attempts:
                continue
            later = [other for other in ordered[place + 1 :] if other.start >= node.end]
            for other in later:
                if other.row["kind"] != SpanKind.WAIT or other.row["wait_for"]:
                    break
                found.add(other.number)
    return found


def _scaled(numbers: set[int], factor: float) -> Scale:
    return lambda number: factor if number in numbers else 1.0
