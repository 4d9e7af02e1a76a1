"""First tier: what in the run itself speaks against a step.

    telling                                                             weight
    the task was passed on without what was asked                       3.0
    first hard error: who wrote what failed                             1.2   (every later one 0.4)
    a span failed and nobody tried again with success                   1.5
    a finding of the analysis begins here                               1.5 x its confidence
    first to say the final answer                                       1.0
    on the way to the final answer: its numbers and names come through  0.4
    numbers that stood in nothing it had seen                           0.5
    words of assumption ("assume", "hypothetical", "let's say")         0.5
    says again what was said                                            0.3
    claims a look-up that nobody made (claims.py)                       1.0   (every later one 0.4)
    the run's own monitor says that it gained nothing                   1.0   (0.4)
    a call that succeeded and came back with nothing                    0.6   (0.24)
    said, asked for or ignored without grounds (grounds.py, live)       0.8 - 1.0
    circumstantial, only in a run with something telling; orders the suspects
    how much it says, and how much of that is new                       up to 0.9 + 0.4 + 0.4
    how early it is                                                     up to 0.5
    the first thing its agent says, on which the rest builds            0.6

A machine's error is charged to the worker before it, who wrote what it ran. What a manager says in ledgers and instructions counts
half: it repeats what others found. The weights (`WEIGHTS`) are rounded from published separations of single signals
(docs/attribution.md), not fitted to labelled runs, but for the last, which was added after looking at results. O(text + steps x findings).

Known misses: silent wrong content, where nothing structural shows; a wrong answer that comes from a tool that was always wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from textwrap import shorten

from analyzers.attribution.claims import charge_claims, charge_empty, charge_stalls
from analyzers.attribution.grounds import charge_grounds
from analyzers.attribution.needs import Needs, Pages
from analyzers.attribution.steps import CLOSING, WORD, Step, lost, numbers_in
from analyzers.attribution.suspect import Charge, Vote
from analyzers.finding import Finding
from analyzers.wording import amount

ASSUMES = re.compile(
    r"\b(assum(?:e|ed|es|ing|ption)|hypothetical|presumabl[ey]|let'?s say|for (?:the sake of|example purposes|demonstration)|placeholder|"
    r"simulat(?:e|ed|ing)|mock(?:ed)? data|would likely|approximately|estimated?)\b",
    re.IGNORECASE,
)
ANSWER = re.compile(r"FINAL ANSWER:?\s*(.+)|\*\*([^*\n]{1,80})\*\*|\\boxed\{([^}]*)\}|\\\(([^)]*)\\\)", re.IGNORECASE)
QUOTED = re.compile(r'["“]([^"”\n]{2,60})["”]')
TASK_PART = re.compile(r"#+\s*Task description\s*\n(.+?)(?=\n#+\s|\Z)", re.IGNORECASE | re.DOTALL)
WEIGHTS: Mapping[str, float] = {
    "drift": 3.0, "first error": 1.2, "later error": 0.4, "never made good": 1.5, "finding": 1.5, "first answer": 1.0,
    "answer's way": 0.4, "new numbers": 0.5, "assumes": 0.5, "repeats": 0.3, "claims": 1.0, "nothing came back": 0.6, "no progress": 1.0,
    "from nowhere": 1.0, "asked for else": 1.0, "error ignored": 1.0, "did not fit": 0.8,
    "lines": 0.9, "novelty": 0.4, "counting": 0.4, "early": 0.5, "agent's first": 0.6,
}  # fmt: skip
"""signal -> weight; from "lines" on they are circumstantial"""
DRIFT = 0.2
"""share of the question's content words below which a task was not passed on"""
APART = 0.5
"""share of a step's evidence that counts where no outcome is known to rest on it"""
LEAST_WORDS = 8
"""content words a question needs to tell"""
STRUCTURAL = frozenset({"lost_update", "stale_read", "write_skew", "divergent_views", "conflicting_decisions", "loop", "ping_pong",
                        "deadlock", "orphan_task", "no_answer", "retry_storm", "error_cascade", "guard_trip"})  # fmt: skip
"""kinds of finding that can be why a run failed; cost and data quality are not"""
COMMON = frozenset({"this", "that", "with", "from", "what", "which", "when", "where", "have", "will", "they", "their", "there", "then", "than", "were", "been", "about", "into", "your", "please", "only", "also", "some", "more", "most", "such", "each", "other", "using", "used", "should", "would", "could", "must", "does", "following"})  # fmt: skip


def weigh(
    steps: Sequence[Step],
    task: str,
    findings: Sequence[Finding] = (),
    weights: Mapping[str, float] = WEIGHTS,
    needs: Needs | None = None,
    texts: Mapping[int, str] | None = None,
    stopped: bool = False,
) -> list[Vote]:
    """A vote for every step that something telling speaks against; empty where nothing does.

    `needs` and `texts` (content id -> text) are there for live traces: what no outcome rests on counts `APART` only.
    A run that a guard `stopped` has no answer that anything could lead to: everything it did used the limit up.
    """
    scores: dict[int, float] = defaultdict(float)
    said: dict[int, list[str]] = defaultdict(list)

    def charge(place: int, signal: str, why: str, share: float = 1.0) -> None:
        scores[place] += share * weights[signal]
        said[place].append(why)

    _drift(steps, task, charge)
    _errors(steps, charge)
    _findings(steps, findings, charge)
    if not stopped:
        _provenance(steps, task, charge)
    _unsupported(steps, task, charge)
    charge_claims(steps, charge)
    charge_empty(steps, [author_before(steps, step.place) for step in steps], charge)
    charge_stalls(steps, charge)
    if needs is not None and texts is not None:
        charge_grounds(steps, Pages(texts), charge)
    if not said:
        return []
    telling = set(said)
    if needs is not None and not stopped:
        for place in telling - needs.behind(_ends(steps)):
            scores[place] *= APART
            said[place].append("not known to have reached the outcome")
    workers = [s for s in steps if s.role in ("worker", "manager") and s.text and not CLOSING.fullmatch(s.text)]
    for place, (weight, why) in _circumstances(workers, weights).items():
        scores[place] += weight
        said[place] = said.get(place) or [why]
    weighed = {
        place: score * (0.5 if steps[place].role == "manager" and not stopped else 1.0)
        for place, score in scores.items()
    }
    # A step against which only circumstances speak never stands before one with evidence.
    least = 0.99 * min(weighed[place] for place in telling)
    most = max((weighed[place] for place in weighed.keys() - telling), default=0.0) or 1.0
    return [
        Vote(
            place=place,
            score=score if place in telling else score * min(1.0, least / most),
            evidence=tuple(said[place]),
        )
        for place, score in weighed.items()
    ]


def _ends(steps: Sequence[Step]) -> set[int]:
    """Where a bad outcome shows: the last step, the last words, and what failed for good."""
    spoken = [s.place for s in steps if s.text and s.role in ("worker", "manager")]
    return lost(steps) | set(spoken[-1:]) | {len(steps) - 1}


def _drift(steps: Sequence[Step], task: str, charge: Charge) -> None:
    first = next((step for step in steps if step.role == "task"), None)
    asked = _content_words(task)
    if first is None or len(asked) < LEAST_WORDS:
        return
    part = TASK_PART.search(first.text)
    passed_on = part[1] if part else first.text.replace(task.strip(), " ")
    kept = len(asked & _content_words(passed_on)) / len(asked)
    if passed_on.strip() and kept < DRIFT:
        charge(first.place, "drift", f"the task was passed on with {kept:.0%} of the question's words")


def _content_words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)} - COMMON | numbers_in(text)


def author_before(steps: Sequence[Step], place: int) -> int | None:
    """The worker whose doing a machine's step was: the last one before it."""
    if steps[place].role != "machine":
        return place
    if steps[place].step is None and steps[place].failed:
        return place  # a tool span of its own agent: the failing call itself is the step
    return next((one for one in range(place - 1, -1, -1) if steps[one].role in ("worker", "task")), None)


def _errors(steps: Sequence[Step], charge: Charge) -> None:
    first = True
    for_good = lost(steps)
    again = {step.retry_of for step in steps if step.retry_of}
    tries: Counter[tuple[str | None, str | None, str | None]] = Counter(
        (s.agent, s.tool, s.args_hash) for s in steps if s.failed
    )
    for step in steps:
        if step.error is None or step.role in ("person", "task", "manager"):
            continue
        place = author_before(steps, step.place)
        if place is None:
            continue
        where = "" if place == step.place else f" at step {step.step if step.step is not None else step.place}"
        short = step.error if len(step.error) <= 80 else step.error[:77] + "..."
        if step.failed and step.place not in for_good:
            what = "tried again" if step.span_id in again else "made good later"
            charge(place, "later error", f"failed, and was {what}: {short}")
            continue
        charge(
            place, "first error" if first else "later error", f"{'first ' if first else ''}hard error{where}: {short}"
        )
        first = False
        if step.failed:
            times = tries[step.agent, step.tool, step.args_hash]
            charge(place, "never made good", "the failure was never made good" + (f", in {times} attempts" if times > 1 else ""))  # fmt: skip


def _findings(steps: Sequence[Step], findings: Sequence[Finding], charge: Charge) -> None:
    places = {step.span_id: step.place for step in steps}
    causes = {finding.kind for finding in findings} & STRUCTURAL - {"guard_trip"}
    for finding in findings:
        if finding.kind not in STRUCTURAL:
            continue
        # A guard ends what something else began; where that was found, the stop is only its last step.
        share = APART if finding.kind == "guard_trip" and causes else 1.0
        known = [places[span] for span in finding.spans if span in places]
        if not known and finding.start_ns is not None:
            before = [
                s.place
                for s in steps
                if s.start_ns <= finding.start_ns and (not finding.agents or s.agent in finding.agents)
            ]
            known = before[-1:]
        if known:
            charge(min(known), "finding", f"{finding.kind}: {finding.title}", share * finding.confidence)


def _provenance(steps: Sequence[Step], task: str, charge: Charge) -> None:
    last = next(
        (
            s
            for s in reversed(steps)
            if s.text and not CLOSING.fullmatch(s.text) and s.role not in ("machine", "person")
        ),
        None,
    )
    if last is None:
        return
    answer = _answer_items(last.text) - _answer_items(task) - numbers_in(task)
    if not answer:
        return
    first = next(
        (s for s in steps if s.role in ("worker", "machine") and any(_holds(s, item) for item in answer)),
        None,
    )
    if first is None:
        return
    place = author_before(steps, first.place)
    shown = ", ".join(shorten(item, 40, placeholder=" …") for item in sorted(answer)[:3])
    if place is not None:
        charge(place, "first answer", f"first to come to the final answer ({shown})")
    for step in steps[: last.place]:
        if step.role == "worker" and step.place != place and any(_holds(step, item) for item in answer):
            charge(step.place, "answer's way", "on the way to the final answer")


def _answer_items(text: str) -> set[str]:
    """What the answer is: named as such, in bold, or else its numbers, or else what it puts in quotes last."""
    marked = [next(part for part in found.groups() if part) for found in ANSWER.finditer(text) if any(found.groups())]
    items = {item.strip().strip(".\"'").lower() for item in marked}
    items = {item for item in items if len(item) > 1 and not item.endswith(":")} | {
        n for item in items for n in numbers_in(item)
    }
    return items or numbers_in(text) or {quoted.strip().lower() for quoted in QUOTED.findall(text)[-2:]}


def _holds(step: Step, item: str) -> bool:
    return item in step.numbers if item[:1].isdigit() else item in step.text.lower()


def _unsupported(steps: Sequence[Step], task: str, charge: Charge) -> None:
    """Numbers out of nowhere, assumptions, repetition; only what a worker says."""
    seen = numbers_in(task)
    texts: dict[tuple[str | None, str], int] = {}
    for step in steps:
        new = step.numbers - seen - numbers_in(step.given)
        seen |= step.numbers | numbers_in(step.given)
        if step.role != "worker" or not step.text:
            continue
        assumed = ASSUMES.search(step.text)
        if assumed:
            charge(step.place, "assumes", f'assumes: "{assumed[0]}"')
        if len(new) >= 2:
            charge(step.place, "new numbers", f"{len(new)} numbers that stood in nothing before it, such as {min(new)}")
        key = (step.agent, step.text.strip())
        if key in texts and not CLOSING.fullmatch(step.text):
            charge(step.place, "repeats", f"repeats step {texts[key]}")
        texts.setdefault(key, step.step if step.step is not None else step.place)


def _circumstances(workers: Sequence[Step], by: Mapping[str, float]) -> dict[int, tuple[float, str]]:
    """Place -> (weight, what it is) by rank among the workers' steps. Alone this is no evidence, it only orders suspects."""
    if len(workers) < 2:
        return {}
    known: set[str] = set()
    counted: set[str] = set()
    lines: dict[int, int] = {}
    fresh: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for step in workers:
        lines[step.place] = len([line for line in step.text.splitlines() if line.strip()])
        fresh[step.place], numbers[step.place] = len(step.words - known), len(step.numbers - counted)
        known |= step.words
        counted |= step.numbers
    opens = {step.agent: step.place for step in reversed(workers)}
    weights = {
        step.place: by["early"] * (1 - position / (len(workers) - 1))
        + by["agent's first"] * (opens[step.agent] == step.place)
        for position, step in enumerate(workers)
    }
    for values, weight in ((lines, by["lines"]), (fresh, by["novelty"]), (numbers, by["counting"])):
        order = sorted(values.values())
        for place, value in values.items():
            weights[place] += weight * bisect_left(order, value) / (len(order) - 1)
    return {
        place: (
            weight,
            f"circumstantial: {amount(lines[place], 'line')}, {amount(fresh[place], 'new word')} and {amount(numbers[place], 'new number')}, "
            f"{position} of {len(workers)} working steps",
        )
        for position, (place, weight) in enumerate(weights.items(), 1)
    }
