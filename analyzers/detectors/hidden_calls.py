"""Question: how many LLM calls does the framework make that nobody sees, for each message that somebody does?

    user sees      answer 1                     answer 2
    model calls    route, answer, repair, memory    route, answer, memory, summarise

A yes is a run with more than 2.5 calls per visible message (visible answers plus orchestration calls, over visible answers), at least 5
orchestration calls, and, where 10 other runs of the workflow are known, more than 1.5 times their median. Purposes come from the purpose
attribute, else from the shape of input and output (`analyzers.purposes`). Calls that ask for a tool or do other work are not hidden:
an agent that calls ten tools for one answer is working.

Known misses: orchestration that looks like work (a long routing argument); runs without texts and without purposes. Known false
alarms: a judge or planner that is the product. Cost: purposes are inferred of the first two fifths of
the calls of runs with enough calls per message, and of all calls only where those leave the question open.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding
from analyzers.frames import Frames
from analyzers.purposes import purposes
from analyzers.wording import amount, listing, share, usd
from tracer.model import Purpose, SpanKind

PEOPLE = ("user", "human", "customer", "user_proxy", "human_user")
"""receivers whose messages a person sees, lower case"""
ORCHESTRATION = frozenset(Purpose) - {Purpose.WORK, Purpose.JUDGE}
CHEAPER: dict[str, str] = {
    Purpose.ROUTE: "route by rule or with the cheapest model",
    Purpose.PARSE_REPAIR: "ask for structured output, so that nothing has to be repaired",
    Purpose.SUMMARISE: "summarise less often, and with a cheap model",
    Purpose.MEMORY: "extract memories once at the end of the conversation",
    Purpose.RECOVER: "retry in code where the error says that the same call may succeed",
    Purpose.PLAN: "plan once per task",
}
COLUMNS = ["run_id", "span_id", "agent", "start_ns", "end_ns", "cost_usd", "input_tokens", "output_tokens"]
READ = ["purpose", "input_refs", "output_refs", "status", "user_visible"]
"""what purposes are read off"""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCallThresholds:
    """Chosen below the case that is reported most often: 5 messages, 15 to 20 calls, that is 3 to 4 for each."""

    per_message: float = 2.5
    over_usual: float = 1.5
    enough: int = 10
    """other runs of the workflow needed to compare with"""
    least: int = 5
    """orchestration calls below which nothing is said"""
    critical_share: float = 0.75
    """share of the run's cost that makes it critical, together with `critical_usd`"""
    critical_usd: float = 1.0
    shown: int = 40


def find_hidden_calls(frames: Frames, thresholds: HiddenCallThresholds = HiddenCallThresholds()) -> list[Finding]:
    """One finding per run whose orchestration outweighs what it says."""
    t = thresholds
    runs = _candidates(frames, t)
    rows = _read(frames, _promising(frames, runs, t))
    over = [
        (run, workflow)
        for run, workflow, marked in runs.select("run_id", "workflow", "visible").iter_rows()
        if run in rows and _ratio(rows[run], marked)[0] > t.per_message and _hidden(rows[run]) >= t.least
    ]
    # What is usual in a workflow needs all its runs; the other workflows are not read.
    named = [workflow for _, workflow in over if workflow is not None]
    runs = runs.filter(pl.col("run_id").is_in([run for run, _ in over]) | pl.col("workflow").is_in(named))
    rows |= _read(frames, runs.filter(~pl.col("run_id").is_in(list(rows)))["run_id"])
    ratios: dict[str, tuple[str | None, float, int]] = {}
    for run, workflow, marked in runs.select("run_id", "workflow", "visible").iter_rows():
        ratios[run] = (workflow, *_ratio(rows[run], marked))
    by_workflow: dict[str, list[float]] = defaultdict(list)
    for workflow, ratio, _ in ratios.values():
        if workflow is not None:
            by_workflow[workflow].append(ratio)
    usuals = {workflow: median(held) for workflow, held in by_workflow.items() if len(held) > t.enough}
    found: list[Finding] = []
    for run, workflow in sorted(over):
        _, ratio, visible = ratios[run]
        hidden = [row for row in rows[run] if row["purpose"] in ORCHESTRATION]
        usual, others = usuals.get(workflow or ""), max(0, len(by_workflow[workflow or ""]) - 1)
        if usual is None or ratio > t.over_usual * usual or usual > t.per_message:
            found.append(_finding(run, rows[run], hidden, visible, ratio, usual, others, t))
    return found


def _read(frames: Frames, run_ids: pl.Series) -> dict[str, list[Row]]:
    """Run -> its LLM calls in order, with `purpose` and `how` it is known."""
    calls = frames.llm_calls.select(*COLUMNS, *READ).filter(pl.col("run_id").is_in(run_ids.implode()))
    known = purposes(frames, calls)
    rows: dict[str, list[Row]] = {run: [] for run in run_ids}
    for row in calls.sort("run_id", "start_ns", "span_id").select(COLUMNS).iter_rows(named=True):
        purpose, how = known[row["run_id"], row["span_id"]]
        rows[row["run_id"]].append({**row, "purpose": purpose, "how": how})
    return rows


def _hidden(rows: list[Row]) -> int:
    return sum(row["purpose"] in ORCHESTRATION for row in rows)


def _ratio(rows: list[Row], marked: int) -> tuple[float, int]:
    """(calls per visible message, visible messages); where none are marked, every call that did work is taken for one."""
    hidden = _hidden(rows)
    visible = marked or len(rows) - hidden
    return (visible + hidden) / visible if visible else 0.0, visible


def _promising(frames: Frames, runs: pl.DataFrame, t: HiddenCallThresholds) -> pl.Series:
    """Runs whose first calls leave room for enough hidden ones: as soon as a share of 1 / `per_message` did work, there is none."""
    place, all_calls = pl.int_range(pl.len()).over("run_id"), pl.len().over("run_id")
    calls = frames.llm_calls.select("run_id", "span_id", "start_ns", *READ).filter(
        pl.col("run_id").is_in(runs["run_id"].implode())
    )
    first = calls.sort("run_id", "start_ns", "span_id").filter(place <= all_calls / t.per_message)
    worked = Counter(run for (run, _), (purpose, _) in purposes(frames, first).items() if purpose not in ORCHESTRATION)
    kept: list[str] = []
    for run, count, marked in runs.select("run_id", "calls", "visible").iter_rows():
        most = count - worked[run]
        if most >= t.least and (most > (t.per_message - 1) * marked if marked else worked[run] < count / t.per_message):
            kept.append(run)
    return pl.Series(kept, dtype=pl.String)


def _candidates(frames: Frames, thresholds: HiddenCallThresholds) -> pl.DataFrame:
    """run_id, workflow, visible: runs with at least `least` calls beyond what the visible messages need."""
    to_person = (pl.col("kind") == SpanKind.MESSAGE) & (
        pl.col("user_visible") | pl.col("target_agent").str.to_lowercase().is_in(PEOPLE)
    )
    counted = frames.spans.lazy().filter(pl.col("duplicate_of").is_null()).group_by("run_id").agg(
        calls=(pl.col("kind") == SpanKind.LLM).sum(),
        workflow=pl.col("workflow").first(),
        messages=to_person.sum(),
        answers=((pl.col("kind") == SpanKind.LLM) & pl.col("user_visible")).sum(),
    ).collect()  # fmt: skip
    visible = pl.max_horizontal("messages", "answers").cast(pl.Int64)
    return (
        counted.with_columns(visible=visible)
        .filter((pl.col("calls") > thresholds.least) & (pl.col("calls") > thresholds.per_message * pl.col("visible")))
        .sort("run_id")
    )


def _finding(
    run: str,
    calls: list[Row],
    hidden: list[Row],
    visible: int,
    ratio: float,
    usual: float | None,
    others: int,
    thresholds: HiddenCallThresholds,
) -> Finding:
    by_purpose = [
        _summed(purpose, [row for row in hidden if row["purpose"] == purpose])
        for purpose in sorted({row["purpose"] for row in hidden})
    ]
    by_purpose.sort(key=lambda entry: (-entry["calls"], entry["purpose"]))
    cost, tokens = _cost(hidden), _tokens(hidden)
    total = _cost(calls)
    part = float(cost / total) if cost is not None and total else None
    inferred = [row for row in hidden if row["how"] != "marked"]
    confidence = 0.95 if not inferred else 0.85 if len(inferred) < len(hidden) else 0.7
    critical = part is not None and part >= thresholds.critical_share and float(cost or 0) >= thresholds.critical_usd
    kinds = listing([f"{entry['calls']} {entry['purpose'].replace('_', ' ')}" for entry in by_purpose])
    agents = list(dict.fromkeys(str(row["agent"]) for row in (*hidden, *calls) if row["agent"]))
    share_text = f"{usd(cost)}, {share(part)} of the run" if part is not None else usd(cost)
    worst = by_purpose[0]["purpose"]
    return Finding(
        kind="hidden_calls",
        severity="critical" if critical else "warning",
        confidence=confidence,
        title=f"{amount(len(calls), 'LLM call')} for {amount(visible, 'visible message')}: {len(hidden)} of them hidden",
        explanation=(
            f"{amount(visible, 'message')} could be seen, and {amount(len(calls), 'LLM call')} stood behind them: {kinds}, besides the answers. "
            f"That is {ratio:.1f} calls per visible message (limit {thresholds.per_message}). The hidden ones took {tokens:,} tokens and "
            f"{share_text}, from the start of the run on. "
            + (f"Runs of this workflow usually have {usual:.1f}. " if usual is not None else "")
            + (
                "Sure: every one of these calls says what it was for."
                if not inferred
                else f"Fairly sure ({confidence:.0%}): {len(hidden) - len(inferred)} calls say what they were for, for "
                f"{len(inferred)} it was read off input and output."
            )
        ),
        suggestion="To spend less on what nobody sees: " + listing([CHEAPER[entry["purpose"]] for entry in by_purpose[:3] if entry["purpose"] in CHEAPER]) + ".",
        trace_id=run,
        spans=tuple(row["span_id"] for row in hidden[: thresholds.shown]),
        agents=tuple(agents),
        start_ns=hidden[0]["start_ns"],
        end_ns=max(row["end_ns"] if row["end_ns"] is not None else row["start_ns"] for row in hidden),
        wasted_usd=cost,
        wasted_tokens=tokens,
        checked=(
            Check(rule="calls per visible message", value=round(ratio, 2), threshold=thresholds.per_message, passed=True),
            Check(rule="orchestration calls", value=len(hidden), threshold=thresholds.least, passed=True),
            Check(rule="over the median of other runs of the workflow", value=None if usual is None else round(ratio / usual, 2),
                  threshold=thresholds.over_usual, passed=usual is not None and ratio > thresholds.over_usual * usual),
            Check(rule="other runs to compare with", value=others, threshold=thresholds.enough, passed=others >= thresholds.enough),
            Check(rule="ruled out: calls that did work (tools, answers)", value=len(calls) - len(hidden), threshold=None, passed=True),
            Check(rule="purposes that were marked, not inferred", value=len(hidden) - len(inferred), threshold=len(hidden), passed=not inferred),
        ),
        data={
            "visible_messages": visible,
            "llm_calls": len(calls),
            "hidden_calls": len(hidden),
            "ratio": ratio,
            "usual_ratio": usual,
            "by_purpose": by_purpose,
            "most": worst,
            "inferred": {row["span_id"]: row["how"] for row in inferred},
            "cost_share": part,
            "wasted_spans": [row["span_id"] for row in hidden],
        },
    )  # fmt: skip


def _summed(purpose: str, rows: list[Row]) -> dict[str, Any]:
    cost = _cost(rows)
    return {
        "purpose": str(purpose),
        "calls": len(rows),
        "tokens": _tokens(rows),
        "cost_usd": None if cost is None else float(cost),
    }


def _cost(rows: list[Row]) -> Decimal | None:
    known = [row["cost_usd"] for row in rows if row["cost_usd"] is not None]
    return sum(known, Decimal(0)) if known else None


def _tokens(rows: list[Row]) -> int:
    return sum((row["input_tokens"] or 0) + (row["output_tokens"] or 0) for row in rows)
