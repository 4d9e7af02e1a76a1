"""Second tier: where the failed run leaves the way of the most similar good run of its workflow.

    good     user  ask  search  book(A)  answer
    failed   user  ask  search  cancel   book(B)  answer
                                ^ first divergence          then: the same call with other arguments

Runs are compared as sequences of who did what (agent, kind, tool, failed or not), texts aside; good runs of the very same task are
preferred. Texts count only where all good runs agree to the letter: a tool that, given the same, answers otherwise than in all of
them, a model that in the same turn of the same task says something else than in all of them. Needs one good run that shares at least `ALIKE` of the sequence. O(good runs x steps^2), both bounded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from analyzers.attribution.steps import Step, fails
from analyzers.attribution.suspect import Vote
from tracer.model import SpanKind

ALIKE = 0.4
"""share of equal steps below which two runs have nothing to tell about each other"""
UNANIMOUS = 3
"""good runs of the task that have to agree before another answer of a model is told"""
MOST_RUNS, MOST_STEPS = 50, 400
Symbol = tuple[str, str, str, bool]


@dataclass(frozen=True, slots=True)
class GoodRun:
    """A run that passed, as far as comparison needs it."""

    run_id: str
    name: str
    """what to call it: the id in the file it came from, else the run id"""
    task: str
    """what it was asked (`steps.opening`)"""
    steps: Sequence[Step]


def compare(steps: Sequence[Step], task: str, good: Sequence[GoodRun]) -> tuple[list[Vote], str | None]:
    """(votes, why there are none); votes by another task's run score at most half."""
    if not good:
        return [], "no run of this workflow is known to have passed"
    same = [run for run in good if task and run.task == task]
    pool = sorted(same or good, key=lambda run: run.run_id)[:MOST_RUNS]
    own = [_symbol(step) for step in steps[:MOST_STEPS]]
    best: tuple[float, SequenceMatcher[Symbol], GoodRun] | None = None
    for run in pool:
        matcher = SequenceMatcher(None, own, [_symbol(step) for step in run.steps[:MOST_STEPS]], autojunk=False)
        if best is None or matcher.ratio() > best[0]:
            best = matcher.ratio(), matcher, run
    assert best is not None
    ratio, matcher, run = best
    if ratio < ALIKE:
        return [], f"the nearest of {len(good)} good runs shares only {ratio:.0%} of the steps"
    of = f"the nearest good run {run.name} ({ratio:.0%} alike{', same task' if same else ''})"
    votes: list[Vote] = []
    settled, usual, turns = _settled(pool), _usual(pool if same else ()), _turns(steps)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            votes += [
                Vote(place=a + i, score=0.6, evidence=(f"calls {steps[a + i].tool} with other arguments than {of}",))
                for i in range(b - a)
                if steps[a + i].kind == SpanKind.TOOL and steps[a + i].args_hash != run.steps[c + i].args_hash
            ]
            votes += [vote for i in range(a, b) if (vote := _other_result(i, steps[i], settled)) is not None]
            votes += [vote for i in range(a, b) if (vote := _other_words(steps[i], turns[i], usual)) is not None]
        elif tag == "delete":
            votes += [
                Vote(place=i, score=0.5 + 0.2 * _acts(steps[i]), evidence=(f"{_told(steps[i])}, which {of} does not",))
                for i in range(a, b)
            ]
        else:
            missing = ", ".join(_told(step) for step in run.steps[c:d][:3])
            place = min(a, len(steps) - 1)
            acting = any(_acts(step) for step in (*steps[a:b], *run.steps[c:d]))
            votes.append(Vote(place=place, score=0.5 + 0.2 * acting, evidence=(f"here {of} goes on with: {missing}",)))
    if not votes:
        return [], f"no step differs from {of}"
    first = min(vote.place for vote in votes if vote.score == max(v.score for v in votes))
    trust = 1.0 if same else 0.5
    return [
        Vote(place=v.place, score=trust * (v.score + 0.3), evidence=(*v.evidence, "first divergence"))
        if v.place == first
        else Vote(place=v.place, score=trust * v.score, evidence=v.evidence)
        for v in votes
    ], None


def _settled(good: Sequence[GoodRun]) -> dict[tuple[str, str], tuple[frozenset[int], int]]:
    """(tool, arguments) -> (result, number of good runs) where at least two good runs made the call and all got the same."""
    got: dict[tuple[str, str], list[frozenset[int]]] = defaultdict(list)
    for run in good:
        for key, outputs in {(s.tool, s.args_hash): s.outputs for s in run.steps if s.kind == SpanKind.TOOL}.items():
            if key[0] and key[1] and outputs:
                got[key[0], key[1]].append(outputs)
    return {key: (held[0], len(held)) for key, held in got.items() if len(held) > 1 and len(set(held)) == 1}


def _other_result(place: int, step: Step, settled: Mapping[tuple[str, str], tuple[frozenset[int], int]]) -> Vote | None:
    """A tool that answered a call otherwise than in all good runs: the only sign of a result that is silently wrong."""
    usual = settled.get((step.tool or "", step.args_hash or ""))
    if step.kind != SpanKind.TOOL or usual is None or not step.outputs or step.outputs == usual[0]:
        return None
    return Vote(place=place, score=0.9, evidence=(f"{step.tool} answered this call otherwise than in all {usual[1]} good runs that made it",))  # fmt: skip


def _turns(steps: Sequence[Step]) -> list[tuple[Symbol, int]]:
    """What each step is and for the how many-th time."""
    seen: dict[Symbol, int] = defaultdict(int)
    turns: list[tuple[Symbol, int]] = []
    for step in steps:
        symbol = _symbol(step)
        turns.append((symbol, seen[symbol]))
        seen[symbol] += 1
    return turns


def _usual(same: Sequence[GoodRun]) -> dict[tuple[Symbol, int], tuple[frozenset[int], int]]:
    """Turn -> (what was said, number of runs) where at least `UNANIMOUS` good runs of the task have the turn and all said the same."""
    said: dict[tuple[Symbol, int], list[frozenset[int]]] = defaultdict(list)
    for run in same:
        for turn, step in zip(_turns(run.steps), run.steps, strict=True):
            if step.kind == SpanKind.LLM and step.outputs:
                said[turn].append(step.outputs)
    return {turn: (held[0], len(held)) for turn, held in said.items() if len(held) >= UNANIMOUS and len(set(held)) == 1}


def _other_words(
    step: Step, turn: tuple[Symbol, int], usual: Mapping[tuple[Symbol, int], tuple[frozenset[int], int]]
) -> Vote | None:
    """A model that said something else where it says the very same in every good run of the task: a plan, a route, a call."""
    said = usual.get(turn)
    if said is None or not step.outputs or step.outputs == said[0]:
        return None
    return Vote(
        place=step.place,
        score=0.7,
        evidence=(
            f"the model says here something else than in all {said[1]} good runs of the task, which agree to the letter",
        ),
    )


def _symbol(step: Step) -> Symbol:
    return step.agent or "", step.kind, step.tool or step.target or "", fails(step)


def _acts(step: Step) -> bool:
    return step.kind in (SpanKind.TOOL, SpanKind.HANDOFF, SpanKind.DECISION, SpanKind.STATE_WRITE)


def _told(step: Step) -> str:
    what = f"calls {step.tool}" if step.tool else f"{step.kind} to {step.target}" if step.target else step.kind
    return f"{step.agent or 'somebody'}: {what}{' (fails)' if fails(step) else ''}"
