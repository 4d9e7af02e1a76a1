"""Third tier: what failed runs of a workflow do and good ones do not.

Every run is a set of features: the agents and tools it used, who followed whom, which tool failed, what was decided. Each is scored by
Ochiai, F / sqrt(failed x (F + P)), F and P the failed and good runs that have it. The p value is that of shuffling which runs failed;
with the totals fixed Ochiai grows with F, so it is exact (the hypergeometric tail), no sampling. Features pass at a false discovery
rate of `FDR` (Benjamini-Hochberg). Needs `LEAST_FAILED` and `LEAST_GOOD` runs. O(runs x features).

Known misses: a cause that leaves the set of features alone; features that go with hard tasks, not with the fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb, sqrt

from analyzers.attribution.steps import Step, fails
from analyzers.attribution.suspect import Vote
from tracer.model import SpanKind

LEAST_FAILED, LEAST_GOOD = 3, 5
FDR = 0.05
Feature = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One feature that stands out."""

    feature: Feature
    ochiai: float
    p: float
    failed: int
    good: int


def features(steps: Sequence[Step]) -> dict[Feature, int]:
    """feature -> place of the first step that shows it."""
    found: dict[Feature, int] = {}
    for step in steps:
        shown: list[Feature] = [("agent", step.agent or "")]
        if step.tool:
            shown.append(("tool", step.tool))
            if fails(step):
                shown.append(("tool fails", step.tool))
        if step.kind == SpanKind.DECISION:
            shown.append(("decision", step.text))
        for one in shown:
            found.setdefault(one, step.place)
    doing = [step for step in steps if step.tool or step.kind == SpanKind.HANDOFF]
    for before, after in pairwise(doing):
        found.setdefault(("then", before.tool or before.target or "", after.tool or after.target or ""), after.place)
    for before, after in pairwise(steps):
        if before.agent != after.agent:
            found.setdefault(("speaks after", after.agent or "", before.agent or ""), after.place)
    return found


def tail(failed: int, good: int, with_it: int, seen: int) -> float:
    """Chance that at least `seen` of the failed runs have a feature that `with_it` of all runs have, were failure shuffled."""
    whole = comb(failed + good, with_it)
    most = min(failed, with_it)
    return sum(comb(failed, k) * comb(good, with_it - k) for k in range(seen, most + 1)) / whole


def score(failed: Sequence[Iterable[Feature]], good: Sequence[Iterable[Feature]]) -> list[Scored]:
    """The features that pass, highest Ochiai first; empty where there are too few runs."""
    if len(failed) < LEAST_FAILED or len(good) < LEAST_GOOD:
        return []
    in_failed = Counter(feature for one in failed for feature in set(one))
    in_good = Counter(feature for one in good for feature in set(one))
    scored = [
        Scored(feature=feature, ochiai=count / sqrt(len(failed) * (count + in_good[feature])),
               p=tail(len(failed), len(good), count + in_good[feature], count), failed=count, good=in_good[feature])
        for feature, count in in_failed.items()
    ]  # fmt: skip
    scored.sort(key=lambda one: (one.p, one.feature))
    passing = [place for place, one in enumerate(scored, 1) if one.p <= FDR * place / len(scored)]
    kept = scored[: max(passing, default=0)]
    return sorted(kept, key=lambda one: (-one.ochiai, one.p, one.feature))


def vote(own: Mapping[Feature, int], standing_out: Sequence[Scored], failed: int, good: int) -> list[Vote]:
    """Votes for the steps of one run that first show a feature which stands out."""
    return [
        Vote(
            place=own[one.feature], score=one.ochiai,
            evidence=(f"{' '.join(one.feature)}: in {one.failed} of {failed} failed and {one.good} of {good} good runs (Ochiai {one.ochiai:.2f}, p = {one.p:.2g})",),
        )
        for one in standing_out
        if one.feature in own
    ]  # fmt: skip
