"""Which step of a failed run made it fail: ranked suspects with their evidence, from three tiers.

    evidence      what in the run itself speaks against a step (evidence.py)
    differential  where it leaves the way of the nearest good run (differential.py)
    spectrum      what failed runs of the workflow do and good ones do not (spectrum.py)

Only runs that failed are looked at; verdicts.py says which did. Each tier ranks; ranks are added up as 1/rank, so that no tier's scale
matters, but a comparison with a run of another task counts half. A tier that cannot answer says why, and no suspects at
all is an answer: the evidence does not suffice. Nothing reads `attributes`, where imported records keep verdicts of others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from analyzers.attribution.differential import GoodRun, compare
from analyzers.attribution.evidence import weigh
from analyzers.attribution.needs import needs_of, spread
from analyzers.attribution.spectrum import LEAST_FAILED, LEAST_GOOD, Shown, features, score, vote
from analyzers.attribution.steps import Step, opening, steps_of, task_of
from analyzers.attribution.suspect import Attribution, Suspect, Vote, ranked
from analyzers.attribution.verdicts import Verdict, verdicts
from analyzers.finding import Finding
from analyzers.frames import Frames
from tracer.model import RunOutcome

__all__ = ["TIERS", "Attribution", "Suspect", "Verdict", "attribute", "verdicts"]

TIERS = ("evidence", "differential", "spectrum")
FULL = 4.0
"""weight of the first suspect's evidence from which the tier counts in full: a failure that nobody made good, and more"""
SHOWN = 5
PER_WORKFLOW = 300
"""good and failed runs of a workflow that serve as comparison, the newest"""


def attribute(
    runs: Mapping[str, Frames],
    findings: Sequence[Finding] = (),
    judged: Mapping[str, Verdict] | None = None,
    asked: Collection[str] | None = None,
    tiers: Collection[str] = TIERS,
) -> dict[str, Attribution]:
    """run_id -> attribution, for the failed ones of `runs` (each the frames of that one run); the others serve as comparison.

    `judged` says which failed (default: by outcome and evaluations), `asked` which to answer for (default: all),
    `tiers` which of them vote.
    """
    if judged is None:
        judged = {name: verdict for name, one in runs.items() for verdict in [*verdicts(one).values()][-1:]}
    says = {run_id: judged[run_id].failed if run_id in judged else None for run_id in runs}
    source = {run_id: (one.traces["source_id"].to_list() or [None])[0] for run_id, one in runs.items()}
    workflow = {run_id: (one.traces["workflow"].to_list() or [None])[0] for run_id, one in runs.items()}
    by_workflow: dict[str | None, list[str]] = defaultdict(list)
    for run_id in sorted(runs, key=lambda one: (runs[one].traces["start_ns"].to_list() or [0], one)):
        by_workflow[workflow[run_id]].append(run_id)
    about: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        about[finding.trace_id].append(finding)
    answers: dict[str, Attribution] = {}
    for members in by_workflow.values():
        wanted = [run_id for run_id in members if says[run_id] is True and (asked is None or run_id in asked)]
        if not wanted:
            continue
        others = [run_id for run_id in members if says[run_id] is True and run_id not in set(wanted)]
        failed = [*wanted, *others[-PER_WORKFLOW:]]
        good = [run_id for run_id in members if says[run_id] is False][-PER_WORKFLOW:]
        steps = {run_id: steps_of(runs[run_id]) for run_id in (*failed, *good)}
        shown = {run_id: features(held) for run_id, held in steps.items()}
        task = {run_id: opening(source[run_id], runs[run_id], held) for run_id, held in steps.items()}
        standing_out = score([Shown(shown[one], says[one] is True, task[one]) for one in (*failed, *good)])
        known = [GoodRun(one, source[one] or one, task[one], steps[one]) for one in good]
        for run_id in wanted:
            needs = needs_of(runs[run_id], steps[run_id])
            evidence = weigh(
                steps[run_id],
                task_of(runs[run_id]),
                about[run_id],
                needs=needs,
                texts=runs[run_id].contents,
                stopped=RunOutcome.STOPPED_BY_GUARD in runs[run_id].traces["outcome"].to_list(),
            )
            nearest = compare(steps[run_id], task[run_id], known)
            spectrum = vote(shown[run_id], standing_out)
            votes = {"evidence": evidence, "differential": nearest[0], "spectrum": spectrum}
            reasons = _reasons(steps[run_id], votes, nearest[1], len(failed), len(good))
            heard = {tier: votes[tier] for tier in TIERS if tier in tiers}
            suspects = combine(steps[run_id], heard)
            if needs is not None:
                places = {step.span_id: step.place for step in steps[run_id]}
                suspects = tuple(
                    replace(one, spread=spread(steps[run_id], needs, places[one.span_id])) for one in suspects
                )
            answers[run_id] = Attribution(suspects=suspects, reasons=reasons)
    return answers


def _reasons(
    steps: Sequence[Step], votes: Mapping[str, Sequence[Vote]], not_compared: str | None, failed: int, good: int
) -> tuple[str, ...]:
    """Why tiers have nothing to say."""
    reasons: list[str] = []
    if not steps:
        reasons.append("no step of the run was recorded")
    elif not votes["evidence"]:
        reasons.append("evidence: nothing in the run itself speaks against a step")
    if not_compared is not None:
        reasons.append(f"differential: {not_compared}")
    if failed < LEAST_FAILED or good < LEAST_GOOD:
        reasons.append(
            f"spectrum: {failed} failed and {good} good runs, at least {LEAST_FAILED} and {LEAST_GOOD} are needed"
        )
    elif not votes["spectrum"]:
        reasons.append("spectrum: the run does nothing that failed runs do significantly more often than good ones")
    return tuple(reasons)


def combine(steps: Sequence[Step], tiers: Mapping[str, Sequence[Vote]]) -> tuple[Suspect, ...]:
    """Suspects by the sum of 1/rank over the tiers, comparison and evidence weighed by their best score; of equals the one the first tier puts higher, then the earlier."""
    total: dict[int, float] = defaultdict(float)
    why: dict[int, list[str]] = defaultdict(list)
    by: dict[int, list[str]] = defaultdict(list)
    most = sum(bool(votes) for votes in tiers.values())
    for tier, votes in tiers.items():
        best = max((one.score for one in votes), default=0.0)
        rank, weight = 0, {"differential": best, "evidence": min(1.0, best / FULL)}.get(tier, 1.0)
        for one in ranked(votes):
            if tier not in by[one.place]:
                rank += 1
                by[one.place].append(tier)
                total[one.place] += weight / rank
            why[one.place] += [text for text in one.evidence if text not in why[one.place]]
    names = list(tiers)
    order = sorted(total, key=lambda place: (-total[place], names.index(by[place][0]), place))[:SHOWN]
    return tuple(
        Suspect(
            rank=rank,
            agent=steps[place].agent,
            span_id=steps[place].span_id,
            step=steps[place].step,
            score=round(total[place] / most, 4),
            evidence=tuple(why[place]),
            tier="+".join(by[place]),
        )
        for rank, place in enumerate(order, 1)
    )
