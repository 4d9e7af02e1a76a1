"""Which runs failed and which passed, from one place, with the reason.

    a person's mark        the newest one of a run                                          (`tracehound mark`, the trace page)
    an evaluation          events `gen_ai.evaluation.result` on a span of the run, as OpenTelemetry names them: a label such as
                           `pass`, else a value from 0 to 1, passed from `PASSES` on; one that failed outweighs those that passed
    the run's outcome      the rules of `tracer.normalise.outcome`, and what an imported record says of itself (`reward = 0`)

The first that says anything counts. Running runs and ones nobody judged are neither failed nor passed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import polars as pl

from analyzers.attributes import attributes_of, number
from analyzers.frames import Frames
from tracer.model import RunOutcome
from tracer.semconv import GenAI

FAILED = frozenset(
    {RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.STOPPED_BY_GUARD, RunOutcome.ESCALATED, RunOutcome.INTERRUPTED}
)
PASSES = 0.5
GOOD = frozenset({"pass", "passed", "ok", "success", "correct", "true", "yes", "good", "resolved", "c"})
BAD = frozenset({"fail", "failed", "error", "failure", "incorrect", "wrong", "false", "no", "bad", "unresolved", "i"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a run failed, who says so and why."""

    failed: bool | None
    """None: nobody judged it"""
    by: Literal["mark", "evaluation", "outcome"]
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verdicts(frames: Frames) -> dict[str, Verdict]:
    """run_id -> verdict, for every run of `frames` and of its peers."""
    marked = {row["run_id"]: row for row in frames.marks.iter_rows(named=True)}
    evaluated = _evaluations(frames)
    known: dict[str, Verdict] = verdicts(replace(frames.peers, marks=frames.marks)) if frames.peers is not None else {}
    for run_id, outcome, reason in frames.traces.select("run_id", "outcome", "outcome_reason").iter_rows():
        if run_id in marked:
            note = marked[run_id]["note"]
            verdict = marked[run_id]["verdict"]
            known[run_id] = Verdict(
                failed=verdict == "failed", by="mark", why=f"marked as {verdict}" + (f": {note}" if note else "")
            )
        elif run_id in evaluated:
            known[run_id] = evaluated[run_id]
        else:
            failed = True if outcome in FAILED else False if outcome == RunOutcome.COMPLETED else None
            known[run_id] = Verdict(failed=failed, by="outcome", why=f"{outcome}: {reason}" if reason else str(outcome))
    return known


def _evaluations(frames: Frames) -> dict[str, Verdict]:
    events = frames.events.filter(pl.col("name") == GenAI.EVENT_EVALUATION)
    if events.is_empty():
        return {}
    run_of = frames.spans.select("trace_id", "span_id", "run_id").unique()
    found: dict[str, list[tuple[bool, str]]] = defaultdict(list)
    joined = events.join(run_of, on=["trace_id", "span_id"]).sort("run_id", "time_ns", "span_id", "attributes")
    for run_id, text in joined.select("run_id", "attributes").iter_rows():
        held = attributes_of(text)
        passed = _passed(held.get(GenAI.EVALUATION_LABEL), held.get(GenAI.EVALUATION_VALUE))
        if passed is not None:
            found[run_id].append((passed, _told(held)))
    return {
        run_id: Verdict(
            failed=not all(passed for passed, _ in said),
            by="evaluation",
            why="; ".join(dict.fromkeys(why for passed, why in said if passed == all(p for p, _ in said))),
        )
        for run_id, said in found.items()
    }


def _passed(label: object, value: object) -> bool | None:
    """What an evaluation says; None where it does not divide runs into good and bad ones."""
    if isinstance(label, str) and label.strip().lower() in GOOD | BAD:
        return label.strip().lower() in GOOD
    if isinstance(value, bool):
        return value
    measured = number(value)
    return measured >= PASSES if measured is not None and 0 <= measured <= 1 else None


def _told(held: Mapping[str, Any]) -> str:
    name, label, value = (
        held.get(key) for key in (GenAI.EVALUATION_NAME, GenAI.EVALUATION_LABEL, GenAI.EVALUATION_VALUE)
    )
    said = label if label is not None else value
    why = held.get(GenAI.EVALUATION_EXPLANATION)
    return f"evaluation {name or 'of the run'} says {said}" + (f": {why}" if isinstance(why, str) and why else "")
