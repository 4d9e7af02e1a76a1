"""Question, over many runs: do the runs of a workflow ask what an earlier run was already answered?

    run 1   search("opening hours Lyon store")      -> "9 to 19"
    run 2   search("Lyon store, opening hours")     -> "9 to 19"        each run looks normal,
    ...                                                                  together they pay for the same answer
    run 90  search("hours of opening, Lyon")        -> "9 to 19"

A query is a tool call, or a model call that sends one user's message (after the same system message, if any). It is a repeat where an earlier
run, at most a week before, asked the same in the same or other words (analyzers/similarity.py) and, of a tool, got the very same answer. What
nearly every run asks (its set-up) is left out. A yes: at least 20 runs, and 30 % of all runs, ask something again; a warning where that cost
$5 or more: the repeated model calls, and all model calls of runs at least half of whose queries are repeats.
Source: note on algorithms, section 4 (near-duplicates; a hit counts only if the answer existed earlier). Known misses: questions in the middle
of a chat, translations. Cost: one comparison of distinct query texts per workflow, at most the newest 3,000.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl

from analyzers.events import spoken
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.similarity import flat, near_duplicates
from analyzers.wording import amount, share, usd
from tracer.model import SpanKind, SpanStatus

KIND = "duplicate_calls_across_runs"
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossRunsThresholds:
    runs: int = 20
    """runs that repeat others; fewer are chance"""
    share: float = 0.3
    """of all runs with queries"""
    common: float = 0.8
    """a question asked by such a share of the runs is their set-up"""
    remembered_ns: int = 7 * DAY_NS
    """how old an answer may be to count as known"""
    warn_usd: float = 5.0
    """spent on asking again; below it is a remark"""
    queries: int = 3_000
    """the newest so many are compared"""


@dataclass(frozen=True, slots=True)
class _Query:
    run_id: str
    span_id: str
    at_ns: int
    group: int
    result: str | None
    of_model: bool


def find_duplicate_calls_across_runs(
    frames: Frames, thresholds: AcrossRunsThresholds = AcrossRunsThresholds()
) -> list[Finding]:
    """One finding per workflow whose runs repeat each other's queries."""
    t = thresholds
    found: list[Finding] = []
    asked = _asked(frames, t.runs)
    of_run = asked.select("run_id", "workflow").unique()
    calls = frames.llm_calls.select("run_id", "span_id", "cost_usd").join(of_run, on="run_id")
    spent = calls.partition_by("workflow", as_dict=True)
    for (workflow,), rows in asked.group_by("workflow", maintain_order=True):
        if rows["run_id"].n_unique() > t.runs:
            called = spent.get((workflow,), calls.clear())
            finding = _of_workflow(frames, str(workflow), rows.tail(t.queries), called, t)
            if finding is not None:
                found.append(finding)
    return found


def questions(frames: Frames, thresholds: AcrossRunsThresholds) -> set[int]:
    """The texts this detector may compare, whichever runs `frames` is later put together with."""
    newest = _asked(frames, 0).group_by("workflow").tail(thresholds.queries)
    last = pl.col("input_refs").list.tail(pl.when("of_model").then(1).otherwise(pl.col("input_refs").list.len()))
    return set(newest.select(last.explode()).to_series().drop_nulls().to_list())


def _asked(frames: Frames, more_than: int) -> pl.DataFrame:
    """Queries of the workflows with more runs than that: a row each, in order of time."""
    # Without times nobody knows which run was the earlier one, nor how old its answer was.
    named = frames.traces.filter(pl.col("workflow").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode()))
    large = named.group_by("workflow").len().filter(pl.col("len") > more_than).select("workflow")
    named = named.join(large, on="workflow", how="semi").select("run_id", "workflow", run_start_ns="start_ns")
    model = pl.col("kind") == SpanKind.LLM
    return (
        frames.spans.filter(
            (
                (pl.col("kind").is_in([SpanKind.TOOL, SpanKind.RETRIEVER]) & (pl.col("input_refs").list.len() > 0))
                | (model & pl.col("input_refs").list.len().is_between(1, 2))
            )
            & (pl.col("status") == SpanStatus.OK)
            & pl.col("duplicate_of").is_null()
        )
        .join(named.select("run_id", "workflow"), on="run_id", suffix="_of_run")
        .select(
            "run_id",
            "span_id",
            "start_ns",
            "input_refs",
            workflow="workflow_of_run",
            result=pl.when(model)
            .then(pl.col("output_refs").cast(pl.List(pl.String)).list.join(" "))
            .otherwise("result_hash"),
            # Whom the question goes to: a tool, or a model told the same beforehand.
            of=pl.when(model)
            .then(
                pl.format(
                    "model {}",
                    pl.when(pl.col("input_refs").list.len() > 1).then(pl.col("input_refs").list.first()).otherwise(0),
                )
            )
            .otherwise(pl.coalesce("tool_name", "name")),
            of_model=model,
        )
        .sort("workflow", "start_ns", "run_id", "span_id")
    )


def _of_workflow(
    frames: Frames, workflow: str, rows: pl.DataFrame, calls: pl.DataFrame, t: AcrossRunsThresholds
) -> Finding | None:
    """`rows`: what its runs asked; `calls`: run, span and cost of all their LLM calls."""
    queries = _grouped(frames, rows)
    runs = {q.run_id for q in queries}
    asking = Counter(group for group, _ in {(q.group, q.run_id) for q in queries})
    own = [q for q in queries if asking[q.group] <= t.common * len(runs)]
    repeated = _repeated(own, t)
    per_run: dict[str, list[bool]] = defaultdict(list)
    for query in own:
        per_run[query.run_id].append(query.span_id in repeated)
    repeating = sorted(run for run, told in per_run.items() if any(told))
    if len(repeating) < t.runs or len(repeating) < t.share * len(per_run):
        return None
    mostly = sorted(run for run, told in per_run.items() if 2 * sum(told) >= len(told))
    return _finding(frames, workflow, rows, calls, own, repeated, repeating, mostly, len(per_run), t)


def _grouped(frames: Frames, rows: pl.DataFrame) -> list[_Query]:
    """The queries in order of time, those that ask one tool or model the same in one group."""
    columns = ("run_id", "span_id", "start_ns", "of", "of_model", "result", "input_refs")
    said: dict[tuple[bool, tuple[int, ...]], str] = {}
    known: list[tuple[str, str, int, str, bool, str | None, str]] = []
    for run, span, at, of, model, result, refs in rows.select(columns).iter_rows():
        asked = (model, tuple(refs))
        if asked not in said:
            said[asked] = _question(frames, model, refs)
        if said[asked]:
            known.append((run, span, at, of, model, result, said[asked]))
    groups: dict[tuple[str, str], int] = {}
    by_whom: dict[str, dict[str, None]] = defaultdict(dict)
    for one in known:
        by_whom[one[3]][one[6]] = None
    for whom, texts in by_whom.items():
        distinct = list(texts)
        base = len(groups)
        for text, first in zip(distinct, near_duplicates(distinct), strict=True):
            groups[whom, text] = base + first
    return [_Query(run, span, at, groups[of, text], result, model) for run, span, at, of, model, result, text in known]


def _question(frames: Frames, of_model: bool, refs: Sequence[int]) -> str:
    """What was asked; "" where it was not recorded, or too little to be a question of a model ("Continue.")."""
    if not of_model:
        return flat(frames.text(refs))
    body = frames.contents.get(refs[-1], "")
    text = spoken(body) if '"user"' in body else ""
    return text if len(text.split()) > 2 else ""


def _repeated(queries: Sequence[_Query], t: AcrossRunsThresholds) -> set[str]:
    """Span ids of the queries whose answer an earlier run had."""
    answers: dict[tuple[int, str | None], tuple[str, int]] = {}
    repeated: set[str] = set()
    for query in queries:
        result = None if query.of_model else query.result  # a model words the same answer anew
        before = answers.get((query.group, result))
        if before is not None and before[0] != query.run_id and query.at_ns - before[1] <= t.remembered_ns:
            repeated.add(query.span_id)
        answers[query.group, result] = query.run_id, query.at_ns
    return repeated


def _finding(
    frames: Frames,
    workflow: str,
    rows: pl.DataFrame,
    calls: pl.DataFrame,
    queries: Sequence[_Query],
    repeated: set[str],
    repeating: Sequence[str],
    mostly: Sequence[str],
    runs: int,
    t: AcrossRunsThresholds,
) -> Finding:
    again = pl.Series(sorted(repeated), dtype=pl.String)
    calls = calls.filter(
        pl.col("run_id").is_in(pl.Series(mostly, dtype=pl.String).implode()) | pl.col("span_id").is_in(again.implode())
    )
    costs = calls["cost_usd"].drop_nulls()
    money = sum(costs.to_list(), Decimal(0)) if len(costs) else None
    told = [q for q in queries if q.span_id in repeated]
    proven = sum(q.result is not None and not q.of_model for q in told)
    top = max(Counter(q.group for q in told).items(), key=lambda item: (item[1], -item[0]))
    refs = rows.filter(pl.col("span_id").is_in([q.span_id for q in queries if q.group == top[0]]))
    texts = {_question(frames, model, one) for model, one in refs.select("of_model", "input_refs").iter_rows()}
    wordings = sorted(texts, key=lambda text: (len(text), text))
    start_ns, end_ns = told[0].at_ns, told[-1].at_ns
    severity: Severity = "warning" if money is not None and float(money) >= t.warn_usd else "info"
    part = len(repeating) / runs
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.9 if proven == len(told) else 0.7,
        title=f"{amount(len(repeating), 'run')} of {workflow!r} asked what an earlier run had been answered"
        + ("" if money is None else f": {usd(money)}"),
        explanation=(
            f"From {_date(start_ns)} to {_date(end_ns)}, {len(repeating)} of {runs} runs of {workflow!r} ({share(part)}) asked something that another "
            f"run had asked within the {t.remembered_ns // DAY_NS} days before: {len(told):,} of {len(queries):,} queries. Most often, "
            f"{top[1] + 1} times, {wordings[0][:120]!r}"
            + (f", also as {wordings[1][:120]!r}" if len(wordings) > 1 else "")
            + (". " if money is None else f". Asking again cost {usd(money)}. ")
            + (
                "Sure: the results were the very same each time. "
                if proven == len(told)
                else "Likely: models word the same answer anew, so their results do not prove it. "
            )
            + "Questions that nearly every run asks were left out."
        ),
        suggestion=(
            f"Keep the answers of {workflow!r} in a cache shared by its runs, keyed by the question's numbers and names, and look there before a "
            "run is started."
        ),
        trace_id=None,
        spans=tuple(q.span_id for q in told[:50]),
        agents=(),
        start_ns=start_ns,
        end_ns=end_ns,
        wasted_usd=money,
        checked=(
            Check(rule="runs that repeat another", value=len(repeating), threshold=t.runs, passed=True),
            Check(rule="their share of the runs with queries", value=round(part, 3), threshold=t.share, passed=True),
            Check(
                rule="cost of asking again in USD",
                value=None if money is None else float(money),
                threshold=t.warn_usd,
                passed=severity == "warning",
            ),
            Check(rule="repeated queries with a known, equal result", value=proven, threshold=len(told), passed=proven == len(told)),
        ),
        data={
            "key": workflow,
            "workflow": workflow,
            "window_start_ns": start_ns,
            "window_end_ns": end_ns,
            "runs": runs,
            "repeating_runs": len(repeating),
            "mostly_repeating_runs": len(mostly),
            "queries": len(queries),
            "repeated_queries": len(told),
            "proven_queries": proven,
            "questions": len({q.group for q in told}),
            "examples": [text[:200] for text in wordings[:3]],
            "run_ids": list(repeating[:200]),
        },
    )  # fmt: skip


def _date(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%a %Y-%m-%d %H:%M UTC")
