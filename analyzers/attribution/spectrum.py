"""Third tier: what failed runs of a workflow do and good ones do not.

Every run is a set of features, each at the first step that shows it: agents and tools and how often, who followed whom, which tool failed, how, and
for good, the same call twice, which fields a tool's answer had, what was decided, who wrote which key of shared state. Each is scored by
Ochiai, F / sqrt(failed x (F + P)), F and P the failed and good runs that have it. The p value is that of shuffling which runs failed, exact, without
sampling: with the totals fixed Ochiai grows with F. Features pass at a false discovery rate of `FDR` (Benjamini-Hochberg).
Where enough tasks have failed and good runs, verdicts are shuffled within each task only, so that what goes with hard tasks does not look
like a cause; the p value is then the tail of the sum of the tasks' hypergeometric distributions.
Needs `LEAST_FAILED` and `LEAST_GOOD` runs. O(runs x features).

Known misses: a cause that leaves the set of features alone; without several runs a task, features that go with hard tasks.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb, sqrt
from typing import Any, cast

from analyzers.attribution.steps import Step, fails, lost
from analyzers.attribution.suspect import Vote
from tracer.model import SpanKind

LEAST_FAILED, LEAST_GOOD = 3, 5
FDR = 0.05
TIMES = frozenset({2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64})
"""how often an agent or tool has to be there for one more feature"""
MOST_FIELDS = 12
Feature = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One feature that stands out."""

    feature: Feature
    ochiai: float
    p: float
    failed: int
    good: int
    """failed and good runs that have it"""
    of_failed: int
    of_good: int
    """failed and good runs that were compared"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run as the spectrum sees it."""

    features: Mapping[Feature, int]
    """feature -> place of the first step that shows it"""
    failed: bool
    task: str
    """what it was asked (`steps.opening`)"""


def features(steps: Sequence[Step]) -> dict[Feature, int]:
    """feature -> place of the first step that shows it."""
    found: dict[Feature, int] = {}
    counts: Counter[Feature] = Counter()
    for_good = lost(steps)
    made: dict[tuple[str, str], int] = {}
    for step in steps:
        for one in _shown(step, for_good, made):
            found.setdefault(one, step.place)
            if one[0] == "the same call again":  # either of the two may be the wrong one
                found.setdefault(("called again later", one[1]), made[one[1], step.args_hash or ""])
        for who in (("agent", step.agent or ""), ("tool", step.tool or "")):
            counts[who] += 1
            if who[1] and counts[who] in TIMES:
                found.setdefault((*who, f"{counts[who]} times"), step.place)
    doing = [step for step in steps if step.tool or step.kind == SpanKind.HANDOFF]
    for before, after in pairwise(doing):
        found.setdefault(("then", before.tool or before.target or "", after.tool or after.target or ""), after.place)
    for before, after in pairwise(steps):
        if before.agent != after.agent:
            found.setdefault(("speaks after", after.agent or "", before.agent or ""), after.place)
    return found


def _shown(step: Step, for_good: set[int], made: dict[tuple[str, str], int]) -> Iterator[Feature]:
    """What one step shows; `for_good`: places of failures that were not made good; `made` gathers the calls that went well so far."""
    yield ("agent", step.agent or "")
    if step.kind == SpanKind.DECISION:
        yield ("decision", step.text)
    if step.state_key:
        yield ("writes", step.state_key, step.agent or "")
    if not step.tool:
        return
    yield ("tool", step.tool)
    if fails(step):
        yield ("tool fails", step.tool, (step.error or "").partition(" ")[0])
        if step.place in for_good:
            yield ("tool fails for good", step.tool)
        return
    if step.args_hash:
        if (step.tool, step.args_hash) in made:
            yield ("the same call again", step.tool)
        made.setdefault((step.tool, step.args_hash), step.place)
    fields = _fields(step.text)
    if fields:
        yield ("answers with", step.tool, fields)


def _fields(text: str) -> str:
    """The names of the fields of a JSON object, "" for anything else or too many."""
    if not text.startswith("{"):
        return ""
    try:
        held: Any = json.loads(text)
    except ValueError:
        return ""
    names = sorted(cast("dict[str, Any]", held)) if isinstance(held, dict) else []
    return ", ".join(names) if len(names) <= MOST_FIELDS else ""


def tail(strata: Iterable[tuple[int, int, int]], seen: int) -> float:
    """Chance that at least `seen` failed runs have a feature, were failure shuffled within each stratum.

    `strata`: (failed runs, good runs, runs with the feature).
    """
    chances = [1.0]
    for failed, good, with_it in strata:
        whole = comb(failed + good, with_it)
        own = [comb(failed, k) * comb(good, with_it - k) / whole for k in range(min(failed, with_it) + 1)]
        mixed = [0.0] * (len(chances) + len(own) - 1)
        for i, one in enumerate(chances):
            for k, chance in enumerate(own):
                mixed[i + k] += one * chance
        chances = mixed
    return min(1.0, sum(chances[seen:]))


def score(runs: Sequence[Shown]) -> list[Scored]:
    """The features that pass, highest Ochiai first; empty where there are too few runs."""
    strata = _strata(runs)
    failed, good = ([one for held in strata for one in held if one.failed is wanted] for wanted in (True, False))
    if len(failed) < LEAST_FAILED or len(good) < LEAST_GOOD:
        return []
    in_failed = Counter(feature for one in failed for feature in one.features)
    in_good = Counter(feature for one in good for feature in one.features)
    sizes = [(sum(one.failed for one in held), sum(not one.failed for one in held)) for held in strata]
    with_it = [Counter(feature for one in held for feature in one.features) for held in strata]
    scored = [
        Scored(
            feature=feature,
            ochiai=count / sqrt(len(failed) * (count + in_good[feature])),
            p=tail(((f, g, has[feature]) for (f, g), has in zip(sizes, with_it, strict=True) if has[feature]), count),
            failed=count,
            good=in_good[feature],
            of_failed=len(failed),
            of_good=len(good),
        )
        for feature, count in in_failed.items()
    ]
    scored.sort(key=lambda one: (one.p, one.feature))
    passing = [place for place, one in enumerate(scored, 1) if one.p <= FDR * place / len(scored)]
    return sorted(scored[: max(passing, default=0)], key=lambda one: (-one.ochiai, one.feature))


def _strata(runs: Sequence[Shown]) -> list[list[Shown]]:
    """The runs by task, those of tasks with both verdicts only, where they are enough; else all of them as one."""
    by_task: dict[str, list[Shown]] = defaultdict(list)
    for one in runs:
        if one.task:
            by_task[one.task].append(one)
    mixed = [held for held in by_task.values() if len({one.failed for one in held}) == 2]
    counts = Counter(one.failed for held in mixed for one in held)
    return mixed if counts[True] >= LEAST_FAILED and counts[False] >= LEAST_GOOD else [list(runs)]


def vote(own: Mapping[Feature, int], standing_out: Sequence[Scored]) -> list[Vote]:
    """Votes for the steps of one run that first show a feature which stands out."""
    return [
        Vote(
            place=own[one.feature],
            score=one.ochiai,
            evidence=(
                f"{': '.join(one.feature)}: in {one.failed} of {one.of_failed} failed and {one.good} of {one.of_good} good runs "
                f"(Ochiai {one.ochiai:.2f}, p = {one.p:.2g})",
            ),
        )
        for one in standing_out
        if one.feature in own
    ]
