"""How each agent does: one row per agent over all runs given.

An *invocation* is one thing that was asked of an agent. Attempts that repeat each other (`retry_of`) are one invocation: it began
with the first attempt and ended as the last one did. `success_rate` looks at invocations, `error_rate` at every span, so that an
agent which succeeds on its third try shows success 1 and still shows its errors.
"""

from __future__ import annotations

import polars as pl

from analyzers.frames import Frames
from tracer.model import SpanKind, SpanStatus

SECOND_NS = 1_000_000_000


def agent_metrics(frames: Frames) -> pl.DataFrame:
    """One row per agent, ordered by name; the row without a name holds LLM calls that no agent could be found for.

    Columns: agent, calls (invocations, running ones included), running, attempts, success_rate (ended ok / ended), error_rate (error spans /
    spans of kind agent, llm, tool), latency_mean_s, latency_p50_s, latency_p95_s (ended invocations, waits included), wait_mean_s (waits
    per ended invocation), llm_calls, input_tokens, output_tokens, cached_tokens, cost_usd (null where no price is known), coverage (share of
    LLM calls with tokens and a price). Runs without real times give no latency.
    """
    spans = frames.spans.filter(pl.col("duplicate_of").is_null())
    parts = [_invocations(frames, spans), _errors(spans), _waits(frames, spans), _usage(frames)]
    names = pl.concat([part.select("agent") for part in parts]).unique()
    joined = names
    for part in parts:
        joined = joined.join(part, on="agent", how="left", nulls_equal=True)
    filled = joined.with_columns(
        pl.col("calls", "running", "attempts", "llm_calls", "input_tokens", "output_tokens", "cached_tokens").fill_null(
            0
        )
    )
    return filled.select(
        "agent",
        "calls",
        "running",
        "attempts",
        "success_rate",
        "error_rate",
        "latency_mean_s",
        "latency_p50_s",
        "latency_p95_s",
        wait_mean_s=pl.when(pl.col("timed") > 0).then(pl.col("wait_s").fill_null(0.0) / pl.col("timed")),
        llm_calls="llm_calls",
        input_tokens="input_tokens",
        output_tokens="output_tokens",
        cached_tokens="cached_tokens",
        cost_usd="cost_usd",
        coverage="coverage",
    ).sort("agent", nulls_last=True)


def first_attempts(attempts: pl.DataFrame) -> pl.DataFrame:
    """Adds `first_id`: the span that the chain of `retry_of` starts with (a chain that leaves the frame ends where it leaves).

    Pointer jumping: each round doubles the stretch a pointer covers, so a chain of n attempts takes log2(n) joins.
    """
    known = attempts.select("trace_id", first_id="span_id").with_columns(known=pl.lit(value=True))
    pointers = (
        attempts.with_columns(first_id=pl.coalesce("retry_of", "span_id"))
        .join(known, on=["trace_id", "first_id"], how="left")
        .with_columns(first_id=pl.when(pl.col("known")).then("first_id").otherwise("span_id"))
        .drop("known")
    )
    for _ in range(32):  # 2**32 attempts; also ends a chain that runs in a circle
        hops = (
            pointers.select("trace_id", "first_id", hop="first_id")
            .unique()
            .join(
                pointers.select("trace_id", first_id="span_id", next_id="first_id"),
                on=["trace_id", "first_id"],
                how="left",
            )
        )
        moved = (
            pointers.join(hops.select("trace_id", "first_id", "next_id"), on=["trace_id", "first_id"], how="left")
            .with_columns(first_id=pl.coalesce("next_id", "first_id"))
            .drop("next_id")
        )
        if moved["first_id"].equals(pointers["first_id"]):
            break
        pointers = moved
    return pointers


def invocations(spans: pl.DataFrame) -> pl.DataFrame:
    """One row per invocation of an agent: trace_id, agent, first_id, run_id, attempts, start_ns of the first, end_ns and status of the last.

    Args:
        spans: as in `Frames`, duplicates left out.
    """
    attempts = spans.filter((pl.col("kind") == SpanKind.AGENT) & pl.col("agent").is_not_null()).select(
        "run_id", "trace_id", "span_id", "agent", "retry_of", "start_ns", "end_ns", "status"
    )
    by_start = first_attempts(attempts).sort("start_ns", "span_id")
    return by_start.group_by("trace_id", "agent", "first_id").agg(
        pl.col("run_id").first(),
        pl.len().alias("attempts"),
        pl.col("start_ns").min(),
        pl.col("end_ns").last(),
        pl.col("status").last(),
    )


def invocations_over_time(frames: Frames, agent: str, *, bucket_ns: int) -> pl.DataFrame:
    """How one agent did per bucket of time: start_ns, calls, ended, ok (counts), p50_s, p95_s; ordered, buckets without a start left out."""
    spans = frames.spans.filter((pl.col("agent") == agent) & pl.col("duplicate_of").is_null())
    ended, seconds = _ended_and_seconds(frames)
    return (
        invocations(spans)
        .group_by(start_ns=pl.col("start_ns") // bucket_ns * bucket_ns)
        .agg(
            calls=pl.len().cast(pl.Int64),
            ended=ended.sum().cast(pl.Int64),
            ok=(pl.col("status") == SpanStatus.OK).sum().cast(pl.Int64),
            p50_s=seconds.quantile(0.5, interpolation="linear"),
            p95_s=seconds.quantile(0.95, interpolation="linear"),
        )
        .sort("start_ns")
    )


def _ended_and_seconds(frames: Frames) -> tuple[pl.Expr, pl.Expr]:
    """Whether an invocation ended, and how long those with real times took."""
    ended = pl.col("status") != SpanStatus.RUNNING
    timed = ended & pl.col("end_ns").is_not_null() & ~pl.col("run_id").is_in(frames.timeless.implode())
    return ended, ((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS).filter(timed)


def _invocations(frames: Frames, spans: pl.DataFrame) -> pl.DataFrame:
    ended, seconds = _ended_and_seconds(frames)
    return (
        invocations(spans)
        .group_by("agent")
        .agg(
            calls=pl.len(),
            running=(~ended).sum(),
            attempts=pl.col("attempts").sum(),
            success_rate=(pl.col("status") == SpanStatus.OK).filter(ended).mean(),
            timed=seconds.len(),
            latency_mean_s=seconds.mean(),
            latency_p50_s=seconds.quantile(0.5, interpolation="linear"),
            latency_p95_s=seconds.quantile(0.95, interpolation="linear"),
        )
    )


def _errors(spans: pl.DataFrame) -> pl.DataFrame:
    worked = spans.filter(
        pl.col("kind").is_in([SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL]) & pl.col("agent").is_not_null()
    )
    return worked.group_by("agent").agg(error_rate=(pl.col("status") == SpanStatus.ERROR).mean())


def _waits(frames: Frames, spans: pl.DataFrame) -> pl.DataFrame:
    waited = spans.filter(
        (pl.col("kind") == SpanKind.WAIT)
        & pl.col("agent").is_not_null()
        & pl.col("end_ns").is_not_null()
        & ~pl.col("run_id").is_in(frames.timeless.implode())
    )
    return waited.group_by("agent").agg(wait_s=((pl.col("end_ns") - pl.col("start_ns")) / SECOND_NS).sum())


def _usage(frames: Frames) -> pl.DataFrame:
    return frames.billed.group_by("agent").agg(usage())


def usage() -> list[pl.Expr]:
    """Counts, tokens, money and coverage of a group of billed calls; money is null where no price is known, never 0.

    Tokens and money include embeddings, which have no output and are no LLM calls.
    """
    is_llm = pl.col("kind") == SpanKind.LLM
    answered = pl.col("output_tokens").is_not_null() | ~is_llm
    told = pl.col("input_tokens").is_not_null() & answered & pl.col("cost_usd").is_not_null()
    return [
        is_llm.sum().alias("llm_calls"),
        pl.col("input_tokens").sum(),
        pl.col("output_tokens").sum(),
        pl.col("cached_tokens").sum(),
        pl.when(pl.col("cost_usd").is_not_null().any()).then(pl.col("cost_usd").sum()).alias("cost_usd"),
        told.mean().alias("coverage"),
    ]
