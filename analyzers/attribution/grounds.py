"""First-tier signals of live traces, where each call's inputs are known: what was said or asked for without grounds, and what was ignored.

    from nowhere     a model reports a number that stands in nothing it was given and is no sum, difference, product or quotient of it
    asked for else   a tool is called with a value that its caller was never given, unlike most calls of that tool
    error ignored    a tool failed for good, and its agent's next words go on without a word about it
    did not fit      an answer that had to be repaired, or that a tool refused for its form

All need recorded texts. O(numbers x numbers of one call), bounded by `MOST_GIVEN`.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any, cast

from analyzers.attribution.needs import THINKS, Pages
from analyzers.attribution.steps import Step, lost
from analyzers.attribution.suspect import Charge
from tracer.model import Purpose, SpanKind

MOST_GIVEN, SUBSETS, REPEATED = 80, 12, 3
"""numbers of which results are worked out; of how many all subsets are summed; how often one number counts"""
NEAR = 0.006
"""relative error of a result that was rounded"""
VALUE_CHARS, VALUE_WORDS = 60, 3
"""longer arguments are prose: a query is rightly in the caller's own words"""
ADMITS = re.compile(r"\b(?:fail(?:ed|s|ure)?|error|could not|cannot|can't|couldn't|unable|unavailable|time[d ]?-? ?out|not available|no (?:answer|access|data|result))\b", re.IGNORECASE)  # fmt: skip
FORM = re.compile(r"valid|json|pars|schema|format|argument|type ?error", re.IGNORECASE)


def charge_grounds(steps: Sequence[Step], pages: Pages, charge: Charge) -> None:
    """All four signals."""
    asked_by = _callers(steps)
    _from_nowhere(steps, pages, charge)
    _asked_for_else(steps, asked_by, pages, charge)
    _ignored(steps, charge)
    _did_not_fit(steps, asked_by, charge)


def _callers(steps: Sequence[Step]) -> dict[int, Step]:
    """Place of a tool call -> the model call of the same agent that came last before it."""
    spoke: dict[str | None, Step] = {}
    found: dict[int, Step] = {}
    for step in steps:
        if step.kind == SpanKind.LLM:
            spoke[step.agent] = step
        elif step.kind in (SpanKind.TOOL, SpanKind.RETRIEVER) and step.agent in spoke:
            found[step.place] = spoke[step.agent]
    return found


def _from_nowhere(steps: Sequence[Step], pages: Pages, charge: Charge) -> None:
    last: dict[str | None, Step] = {}
    for step in steps:
        before = last.get(step.agent)
        last[step.agent] = step
        if step.kind != SpanKind.LLM or not step.numbers or not step.inputs or not pages.known(step.inputs):
            continue
        known = Counter(one for ref in step.inputs for one in pages.numbers(ref))
        new = sorted(step.numbers - known.keys())
        if not new or len(known) > MOST_GIVEN:
            continue
        results = _results([float(one) for one, times in sorted(known.items()) for _ in range(min(times, REPEATED))])
        made_up = [one for one in new if not any(abs(float(one) - r) <= NEAR * max(1.0, abs(r)) for r in results)]
        if not made_up:
            continue
        charge(step.place, "from nowhere", f"says {made_up[0]}, which stands in nothing it was given nor follows from it")  # fmt: skip
        if before is not None and before.role == "machine" and before.error is None and before.text:
            charge(before.place, "from nowhere", f"{made_up[0]} is reported from its result, which does not hold it", 0.7)  # fmt: skip


def _results(known: Sequence[float]) -> set[float]:
    """What simple arithmetic makes of the numbers."""
    found = {sum(known), *known}
    distinct = sorted(set(known))
    found.add(sum(distinct))
    few = known if len(known) <= SUBSETS else distinct if len(distinct) <= SUBSETS else []
    found |= {sum(some) for size in range(2, len(few)) for some in combinations(few, size)}
    for a, b in combinations(distinct, 2):
        found |= {a + b, a - b, b - a, a * b}
        found |= {a / b, 100 * a / b} if b else set()
        found |= {b / a, 100 * b / a} if a else set()
    count = len(known)
    return found | {sum(known) / count, sum(distinct) / len(distinct)} if count else found


def _asked_for_else(steps: Sequence[Step], asked_by: dict[int, Step], pages: Pages, charge: Charge) -> None:
    grounded: dict[str | None, int] = defaultdict(int)
    loose: dict[str | None, list[tuple[Step, str]]] = defaultdict(list)
    for step in steps:
        caller = asked_by.get(step.place)
        if caller is None or not caller.inputs or not pages.known(caller.inputs):
            continue
        values = _values(step.given)
        texts = [pages.text(ref) for ref in caller.inputs]
        missing = [one for one in values if not any(one in text for text in texts)]
        if missing:
            loose[step.tool].append((step, missing[0]))
        elif values:
            grounded[step.tool] += 1
    for tool, calls in loose.items():
        if len(calls) < grounded[tool]:
            for step, value in calls:
                charge(step.place, "asked for else", f"{tool} was asked for {value!r}, which its caller was never given")  # fmt: skip


def _values(given: str) -> list[str]:
    """The short values among a call's arguments, in lower case."""
    try:
        pending: list[object] = [json.loads(given)]
    except ValueError:
        return []
    found: list[str] = []
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += cast("dict[str, Any]", one).values()
        elif isinstance(one, list):
            pending += cast("list[object]", one)
        elif isinstance(one, str | int | float) and not isinstance(one, bool):
            text = str(one).strip().lower()
            if 2 < len(text) <= VALUE_CHARS and len(text.split()) <= VALUE_WORDS:
                found.append(text)
    return found


def _ignored(steps: Sequence[Step], charge: Charge) -> None:
    for_good = lost(steps)
    for step in steps:
        if step.role != "machine" or step.place not in for_good:
            continue
        after = next(
            (s for s in steps[step.place + 1 :] if s.agent == step.agent and s.start_ns >= step.start_ns), None
        )
        if after is not None and after.kind in THINKS and after.text and not ADMITS.search(after.text):
            charge(after.place, "error ignored", f"goes on as if {step.tool or 'the call before'} had not failed")


def _did_not_fit(steps: Sequence[Step], asked_by: dict[int, Step], charge: Charge) -> None:
    spoke: dict[str | None, Step] = {}
    for step in steps:
        if step.kind == SpanKind.LLM:
            if step.purpose == Purpose.PARSE_REPAIR and step.agent in spoke:
                charge(spoke[step.agent].place, "did not fit", "its answer had to be repaired")
            spoke[step.agent] = step
        elif step.failed and step.place in asked_by and FORM.search(step.error or ""):
            charge(asked_by[step.place].place, "did not fit", f"{step.tool} refused what it was called with")
