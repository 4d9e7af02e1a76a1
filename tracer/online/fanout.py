"""Who started whom, and whether the agents of a run multiply without bound.

    root ── A ── A1 ── A11 ...      generations 1, 2, 4, 8, 16: the fourth doubling in a row is the alarm
         └─ B ── B1 ── B11 ...

Four signs, each told once per root: more descendants at work than the limit and what was planned; deeper than the limit; each of
four generations at least twice the one before; three generations in a row that grow while fewer than half of them have
ended. A planned map of N (`plan`) may have N more at work; a plan does not excuse depth or doubling, since a recursion that
plans every level is a runaway all the same. O(depth) per start and O(1) per end, memory O(agents at work). Source: note on cost, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

FanoutRule = Literal["live", "depth", "doublings", "growing"]
RULES: tuple[FanoutRule, ...] = ("live", "depth", "doublings", "growing")


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutLimits:
    live: int = 64
    """descendants at work at once, beyond what was planned"""
    depth: int = 8
    """agents that started each other, the root not counted"""
    doublings: int = 4
    """generations in a row of at least twice the size of the one before"""
    doubling_live: int = 8
    """descendants at work below which doublings do not count: a tree that is walked one by one never has many"""
    growing: int = 3
    """generations in a row that grow, fewer than half of each having ended"""
    growing_live: int = 12
    """descendants at work, beyond what was planned, below which growth does not count"""

    def learned(self, usual_live: float | None = None, usual_depth: float | None = None) -> FanoutLimits:
        """The same limits raised to what this workflow usually needs: three times its live descendants, three levels more."""
        return FanoutLimits(
            live=self.live if usual_live is None else max(self.live, round(3 * usual_live)),
            depth=self.depth if usual_depth is None else max(self.depth, round(usual_depth) + 3),
            doublings=self.doublings,
            doubling_live=self.doubling_live,
            growing=self.growing,
            growing_live=self.growing_live,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutAlarm:
    """The start that was one too many."""

    rule: FanoutRule
    who: str
    root: str
    value: int
    """what the rule counts: descendants at work, depth, doublings, growing generations"""
    limit: int
    live: int
    started: int
    """descendants started so far"""
    depth: int


@dataclass(slots=True)
class _Tree:
    live: int = 0
    started: int = 0
    planned: int = 0
    sizes: list[int] = field(default_factory=lambda: [1])
    """agents started per generation; generation 0 is the root"""
    ended: list[int] = field(default_factory=lambda: [0])
    told: set[FanoutRule] = field(default_factory=set[FanoutRule])
    over: bool = False
    """the root has ended"""


@dataclass(slots=True)
class FanoutCore:
    """Fed with starts, ends and plans in the order in which they happen; ids are the caller's."""

    limits: FanoutLimits = field(default_factory=FanoutLimits)
    _trees: dict[str, _Tree] = field(default_factory=dict[str, _Tree])
    _place: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """agent at work -> (its root, its generation)"""
    _plans: dict[str, int] = field(default_factory=dict[str, int])

    def start(self, who: str, parent: str | None) -> FanoutAlarm | None:
        """`who` begins to work, started by `parent`; None, or somebody who is not known, makes `who` a root.

        Answers with the first sign that this start gives and that was not told about this root before.
        """
        if parent is None or parent not in self._place:
            self._place[who] = who, 0
            self._trees[who] = _Tree(planned=self._plans.get(who, 0))
            return None
        root, above = self._place[parent]
        depth = above + 1
        self._place[who] = root, depth
        tree = self._trees[root]
        tree.live += 1
        tree.started += 1
        while len(tree.sizes) <= depth:
            tree.sizes.append(0)
            tree.ended.append(0)
        tree.sizes[depth] += 1
        return self._alarm(who, root, tree, depth)

    def end(self, who: str) -> None:
        """`who` has ended. Its children may go on; who is not known is ignored."""
        if who not in self._place:
            return
        root, depth = self._place[who]
        tree = self._trees[root]
        if depth == 0:
            tree.over = True  # what it left behind still counts as its own
        else:
            del self._place[who]
            tree.live -= 1
            tree.ended[depth] += 1
        if tree.over and tree.live == 0:
            del self._trees[root], self._place[root]

    def plan(self, who: str, size: int) -> None:
        """`who` (at work, or about to start) says that it is going to start `size` agents; the largest plan of each counts."""
        more = size - self._plans.get(who, 0)
        if more <= 0:
            return
        self._plans[who] = size
        if who in self._place:
            self._trees[self._place[who][0]].planned += more

    def _alarm(self, who: str, root: str, tree: _Tree, depth: int) -> FanoutAlarm | None:
        t = self.limits
        found: dict[FanoutRule, tuple[int, int]] = {}
        if tree.live > t.live + tree.planned:
            found["live"] = tree.live, t.live + tree.planned
        if depth > t.depth:
            found["depth"] = depth, t.depth
        if tree.live >= t.doubling_live:
            doublings = _run(depth, lambda g: tree.sizes[g] >= 2 * tree.sizes[g - 1])
            if doublings >= t.doublings:
                found["doublings"] = doublings, t.doublings
        if tree.live >= t.growing_live + tree.planned:
            growing = _run(depth, lambda g: tree.sizes[g] > tree.sizes[g - 1] and 2 * tree.ended[g] < tree.sizes[g])
            if growing >= t.growing:
                found["growing"] = growing, t.growing
        for rule in RULES:
            if rule in found and rule not in tree.told:
                tree.told.add(rule)
                value, limit = found[rule]
                return FanoutAlarm(rule=rule, who=who, root=root, value=value, limit=limit, live=tree.live,
                                   started=tree.started, depth=depth)  # fmt: skip
        return None


def _run(last: int, holds: Callable[[int], bool]) -> int:
    """How many generations in a row, ending with `last`, hold."""
    count = 0
    while last - count >= 1 and holds(last - count):
        count += 1
    return count
