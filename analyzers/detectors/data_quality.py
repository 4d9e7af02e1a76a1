"""Question: how far can the other answers be trusted, given what was recorded?

One finding per run that sums up what is missing or odd: parents that never arrived, attributes that a limit threw away, LLM calls without
tokens or price, spans cut off by a dying process, clocks that disagree, calls seen by two instrumentors, parents in a circle, times that
were never told. What makes numbers wrong is a warning; what was put right (duplicates) or is only unknown (a price) is information.

Known misses: spans that are missing together with their children leave no mark. Cost: joins and filters over the spans; circles are
looked for one by one only in traces where some child does not start after its parent.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import polars as pl

from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.wording import amount, listing, share
from tracer.model import SpanStatus
from tracer.semconv import Tracehound


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQualityThresholds:
    clock_ns: int = 5_000_000
    """a child that starts so much before its parent shows clocks that disagree; less is rounding"""
    untold_share: float = 0.5
    """share of LLM calls without tokens from which on cost and usage of a run mean nothing"""
    untold_of_one: int = 5
    """or so many calls of one agent, if they are that share of its calls: one instrumentation that tells no tokens among others that do"""
    samples: int = 5
    """spans named per issue"""


@dataclass(frozen=True, slots=True)
class Issue:
    """A kind of flaw: what to call it, whether it makes numbers wrong, and what mends it."""

    text: str
    """with {n} for the count"""
    warns: bool
    remedy: str


ISSUES: dict[str, Issue] = {
    "missing_parents": Issue("{n} whose parent never arrived", True, "Export the missing process's spans too, or flush before it exits."),
    "parent_cycles": Issue("{n} whose parents form a circle", True, "The producer sets parent ids wrongly; such spans are treated as roots."),
    "clock_skew": Issue("{n} starting before their parent", True, "Synchronise the clocks of the machines (NTP); orders across machines are unsure."),
    "dropped_attributes": Issue("{n} with attributes thrown away by a limit", True, "Raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and ..._VALUE_LENGTH_LIMIT."),
    "interrupted": Issue("{n} cut off when their process died", True, "Look at why the process ended; their durations and results are unknown."),
    "untold_tokens": Issue("{n} without token counts", True, "Ask the provider for usage (stream_options.include_usage when streaming)."),
    "unknown_price": Issue("{n} without a known price", False, "Give the model a price (user overrides) so that budgets and costs cover it."),
    "duplicates": Issue("{n} seen by two instrumentors, counted once", False, "Switch one of the two instrumentors off."),
    "no_times": Issue("{n} without real times", False, "The source has an order but no clock; durations are not computed for it."),
}  # fmt: skip


def find_data_quality(frames: Frames, thresholds: DataQualityThresholds = DataQualityThresholds()) -> list[Finding]:
    """One finding per run with any flaw."""
    flawed = pl.concat([_marked(name, rows) for name, rows in _flaws(frames, thresholds).items()])
    if flawed.is_empty():
        return []
    counts: dict[str, dict[str, tuple[int, list[str]]]] = defaultdict(dict)
    grouped = flawed.sort("start_ns", "span_id").group_by("run_id", "issue", maintain_order=True)
    for run, issue, count, sample in grouped.agg(
        pl.len(), pl.col("span_id").head(thresholds.samples).alias("sample")
    ).iter_rows():
        counts[run][issue] = (count, sample)
    touched = sorted(counts)
    calls = dict(frames.llm_calls.group_by("run_id").len().iter_rows())
    silent = _silent_agents(frames, thresholds)
    sizes = frames.spans.lazy().filter(pl.col("run_id").is_in(touched)).group_by("run_id").agg(
        pl.len(), pl.col("start_ns").min(), pl.col("end_ns").max(), agents=pl.col("agent").drop_nulls().unique().sort(),
        roots=pl.col("parent_span_id").is_null().sum(),
    )  # fmt: skip
    timeless = set(frames.timeless)
    return [
        _finding(
            run,
            counts[run],
            size,
            start,
            end,
            agents,
            roots,
            calls.get(run, 0),
            run in timeless,
            run in silent,
            thresholds,
        )
        for run, size, start, end, agents, roots in sizes.sort("run_id").collect().iter_rows()
    ]


def _marked(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("run_id", "span_id", "start_ns", issue=pl.lit(name))


def _flaws(frames: Frames, thresholds: DataQualityThresholds) -> dict[str, pl.DataFrame]:
    spans = frames.spans.select(
        "run_id",
        "trace_id",
        "span_id",
        "parent_span_id",
        "start_ns",
        "end_ns",
        "status",
        "duplicate_of",
        "dropped_attributes",
    )
    calls = frames.llm_calls.filter(pl.col("status") == SpanStatus.OK)  # a call that failed has no usage to tell
    untold = pl.col("input_tokens").is_null() | pl.col("output_tokens").is_null()
    # A call that is recorded when it is over may have begun before the block that it is recorded in.
    given = frames.llm_calls.filter(pl.col("attributes").str.contains(Tracehound.START_GIVEN, literal=True))
    measured = spans.filter(~pl.col("run_id").is_in(frames.timeless.implode()))
    above = spans.select("trace_id", parent_span_id="span_id", parent_start_ns="start_ns")
    nested = measured.filter(pl.col("parent_span_id").is_not_null()).join(
        above, on=["trace_id", "parent_span_id"], how="left"
    )
    known = nested.filter(pl.col("parent_start_ns").is_not_null())
    orphans = spans.filter(pl.col("parent_span_id").is_not_null()).join(
        above, on=["trace_id", "parent_span_id"], how="anti"
    )
    first = frames.spans.lazy().unique(["run_id"], keep="first", maintain_order=True).collect()
    return {
        "missing_parents": orphans,
        "parent_cycles": _circles(spans, known),
        "clock_skew": known.filter(pl.col("start_ns") < pl.col("parent_start_ns") - thresholds.clock_ns).join(
            given, on=["trace_id", "span_id"], how="anti"
        ),
        "dropped_attributes": spans.filter(pl.col("dropped_attributes") > 0),
        "interrupted": spans.filter(pl.col("status") == SpanStatus.INTERRUPTED),
        "untold_tokens": calls.filter(untold),
        "unknown_price": calls.filter(~untold & pl.col("cost_usd").is_null()),
        "duplicates": spans.filter(pl.col("duplicate_of").is_not_null()),
        "no_times": first.filter(pl.col("run_id").is_in(frames.timeless.implode())),
    }


def _silent_agents(frames: Frames, t: DataQualityThresholds) -> set[str]:
    """Runs in which most calls of one agent came without tokens."""
    untold = pl.col("input_tokens").is_null() | pl.col("output_tokens").is_null()
    by_agent = (
        frames.llm_calls.filter(pl.col("status") == SpanStatus.OK)
        .group_by("run_id", "agent")
        .agg(pl.len(), untold=untold.sum())
    )
    mute = (pl.col("untold") >= t.untold_of_one) & (pl.col("untold") >= t.untold_share * pl.col("len"))
    return set(by_agent.filter(mute)["run_id"])


PEELS = 16
"""layers of spans that start together, as deep as healthy runs have them; what is deeper is walked"""


def _circles(spans: pl.DataFrame, nested: pl.DataFrame) -> pl.DataFrame:
    """Spans on a circle of parents. Only traces are walked in which a child starts before its parent, or in which spans that start
    with their parents hang on nothing else: round a circle no child can always start later."""
    early = nested.filter(pl.col("start_ns") < pl.col("parent_start_ns"))["trace_id"]
    level = nested.filter(pl.col("start_ns") == pl.col("parent_start_ns")).select(
        "trace_id", "span_id", "parent_span_id"
    )
    for _ in range(PEELS):
        held = level.join(level, left_on=["trace_id", "parent_span_id"], right_on=["trace_id", "span_id"], how="semi")
        if held.height == level.height:
            break
        level = held
    suspects = pl.concat([early, level["trace_id"]]).unique()
    walked = spans.filter(pl.col("trace_id").is_in(suspects.implode()))
    parents = {
        (trace, span): (trace, parent)
        for trace, span, parent in walked.select("trace_id", "span_id", "parent_span_id").iter_rows()
    }
    settled: set[tuple[str, str]] = set()
    circles: set[tuple[str, str]] = set()
    for origin in parents:
        path: list[tuple[str, str]] = []
        on_path: set[tuple[str, str]] = set()
        here = origin
        while here in parents and here not in settled and here not in on_path:
            path.append(here)
            on_path.add(here)
            here = parents[here]
        if here in on_path:
            circles.update(path[path.index(here) :])
        settled.update(path)
    on_circle = pl.Series(
        [pair in circles for pair in walked.select("trace_id", "span_id").iter_rows()], dtype=pl.Boolean
    )
    return walked.filter(on_circle)


def _finding(
    run_id: str,
    issues: dict[str, tuple[int, list[str]]],
    size: int,
    start_ns: int,
    end_ns: int | None,
    agents: list[str],
    roots: int,
    calls: int,
    timeless: bool,
    silent: bool,
    thresholds: DataQualityThresholds,
) -> Finding:
    serious = [
        name
        for name in ISSUES
        if name in issues
        and (
            _warns(name, issues[name][0], roots, calls, timeless, thresholds)
            or (name == "untold_tokens" and silent and not timeless)
        )
    ]
    severity: Severity = "warning" if serious else "info"
    present = [name for name in ISSUES if name in issues]
    told = [said(name, issues[name][0]) for name in present if name != "no_times"]
    if "no_times" in issues:
        told.append("no real times")
    spans = tuple(dict.fromkeys(span for name in (*serious, *present) for span in issues[name][1]))
    effect = {
        "missing_parents": "the tree has loose parts and agents may be attributed wrongly",
        "parent_cycles": "the tree had to be cut open",
        "clock_skew": "orders and waits across machines are unsure",
        "dropped_attributes": "facts are missing from the spans",
        "interrupted": "the end of the work is unknown",
        "untold_tokens": "tokens and cost are too low",
    }
    consequence = (
        f"What follows: {listing([effect[name] for name in serious])}."
        if serious
        else "It was read from a source without a clock, such as a transcript: steps have an order, and durations and waits are not judged."
        if present == ["no_times"]
        else "No number is wrong because of this; some are unknown."
    )
    return Finding(
        kind="data_quality",
        severity=severity,
        confidence=1.0,
        title=f"Recording: {listing(told, 3)}",
        explanation=f"Among the {amount(size, 'span')} recorded for this run: {listing(told, 9)}. {consequence} These are counts, not guesses.",
        suggestion=" ".join(ISSUES[name].remedy for name in present),
        trace_id=run_id,
        spans=spans,
        agents=tuple(agents) if serious else (),
        start_ns=start_ns,
        end_ns=end_ns,
        checked=tuple(
            Check(rule=name.replace("_", " "), value=issues.get(name, (0, []))[0], threshold=_limit(name, calls, thresholds), passed=name in issues)
            for name in ISSUES
        ),
        data={
            "issues": {name: issues[name][0] for name in present},
            "samples": {name: issues[name][1] for name in present},
            "spans": size,
            "llm_calls": calls,
            "untold_share": share(issues["untold_tokens"][0] / calls) if calls and "untold_tokens" in issues else None,
        },
    )  # fmt: skip


def said(issue: str, count: int) -> str:
    """How often: "3 LLM calls without a known price"."""
    calls = issue in ("untold_tokens", "unknown_price")
    return ISSUES[issue].text.format(n=amount(count, "LLM call" if calls else "span"))


def _limit(name: str, calls: int, thresholds: DataQualityThresholds) -> float:
    return thresholds.untold_share * calls if name == "untold_tokens" else 0


def _warns(name: str, count: int, roots: int, calls: int, timeless: bool, thresholds: DataQualityThresholds) -> bool:
    """Whether a flaw makes numbers wrong. A transcript never had tokens, so their absence there is nothing new."""
    if name == "untold_tokens":
        return not timeless and count >= _limit(name, calls, thresholds)
    if name == "missing_parents" and count == 1 and roots == 0:
        return False  # the run as a whole was started by a traced program that is not in this store
    return ISSUES[name].warns
