"""Repeats folded: what a sequence diagram shows once with a count. Knows steps only by their signatures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.figures.steps import Step, Steps

LONGEST_BLOCK: Final = 12
FEWEST_REPEATS: Final = 3


@dataclass(frozen=True, slots=True)
class Fold:
    """Steps drawn once for many. `shown` are the steps drawn, `folded` all they stand for (the shown ones included), ascending."""

    times: int
    shown: tuple[int, ...]
    folded: tuple[int, ...]
    finding: int = -1
    """index of the loop finding it comes from; -1 for a mere repetition"""


Row = int | Fold
"""A step by its index, or a fold"""


def fold_steps(found: Steps) -> list[Row]:
    """Rows of the diagram: loops that were found become one fold each, other exact repeats too; every step is in exactly one row."""
    taken: dict[int, Fold] = {}
    for f, finding in enumerate(found.findings):
        if finding.kind in ("loop", "ping_pong") and (fold := _loop_fold(found, f)) is not None:
            if any(k in taken for k in fold.folded):
                continue
            taken.update(dict.fromkeys(fold.folded, fold))
    rows: list[Row] = []
    loose: list[int] = []

    def flush() -> None:
        rows.extend(_repeats(loose, [found.steps[k].signature for k in loose]))
        loose.clear()

    for k in range(len(found.steps)):
        fold = taken.get(k)
        if fold is None:
            loose.append(k)
        elif k == fold.folded[0]:
            flush()
            rows.append(fold)
    flush()
    return rows


def _loop_fold(found: Steps, f: int) -> Fold | None:
    """The steps between the first and the last evidence that are between the loop's participants, from the first to the last iteration."""
    evidence = found.evidence[f]
    if len(evidence) < 2:
        return None
    who = {name for k in evidence for name in (found.steps[k].source, found.steps[k].target)}
    inside = tuple(k for k in range(evidence[0], evidence[-1] + 1) if _within(found.steps[k], who))
    # What happens once at the beginning (the request that set it off) stands before the loop, not in it.
    often = Counter(found.steps[k].signature for k in inside)
    while inside and often[found.steps[inside[0]].signature] == 1:
        inside = inside[1:]
    if len(inside) < 2:
        return None
    head = found.steps[inside[0]].signature
    again = [n for n, k in enumerate(inside) if found.steps[k].signature == head]
    period = again[1]
    times = found.findings[f].data.get("iterations")
    counted = times if isinstance(times, int) and not isinstance(times, bool) and times > 0 else len(again)
    if counted < 2:
        return None
    return Fold(times=counted, shown=inside[: min(period, LONGEST_BLOCK)], folded=inside, finding=f)


def _within(step: Step, who: set[str]) -> bool:
    """Between the participants, or one of them using a tool or the state."""
    if step.kind == "read":
        return step.target in who
    return step.source in who and (step.target in who or step.kind in ("tool", "write"))


def _repeats(indices: Sequence[int], signatures: Sequence[Hashable]) -> list[Row]:
    """Greedy: at each place the block whose consecutive repeats cover most; shorter blocks win ties. O(n · LONGEST_BLOCK)."""
    codes: dict[Hashable, int] = {}
    line = [codes.setdefault(s, len(codes)) for s in signatures]
    n = len(line)
    # reach[L][i]: how many steps from i on equal the step L later, so that repeats are counted without comparing blocks again
    reach: list[list[int]] = [[]]
    for length in range(1, LONGEST_BLOCK + 1):
        run = [0] * (n + 1)
        for i in range(n - length - 1, -1, -1):
            run[i] = run[i + 1] + 1 if line[i] == line[i + length] else 0
        reach.append(run)
    rows: list[Row] = []
    i = 0
    while i < n:
        best = (0, 0, 0)  # steps covered, -length, times
        for length in range(1, min(LONGEST_BLOCK, (n - i) // FEWEST_REPEATS) + 1):
            times = reach[length][i] // length + 1
            if times >= FEWEST_REPEATS:
                best = max(best, (times * length, -length, times))
        covered, minus, times = best
        if covered:
            rows.append(Fold(times=times, shown=tuple(indices[i : i - minus]), folded=tuple(indices[i : i + covered])))
            i += covered
        else:
            rows.append(indices[i])
            i += 1
    return rows
