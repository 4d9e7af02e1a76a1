"""Question: does shared state grow without bound?

    bytes      ____/          50 writes, +2 kB each, never smaller:
          ____/               at write 50 it is 100 kB, some 25,000 tokens of every prompt it goes into
     ____/

Per key, and for all keys of a run together: at least eight writes, 20 kB or more at the end, a rising Theil-Sen slope,
and at least nine of ten writes not smaller than the one before. It is critical where the state, at four bytes a token,
fills half of the context window of a model used in the run; the steps left until it is full are told where the window
is known. Parts that nobody reads again are named: they can go. Source: note on state, section 5. Known misses: state
whose size was not recorded; growth inside a database behind a small key. Cost: a set-based count; then O(writes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

import polars as pl

from analyzers.context_windows import context_window
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.wording import listing, onwards, share
from tracer.model import CasOutcome, SpanKind

KIND = "state_growth"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateGrowthThresholds:
    writes: int = 8
    bytes: int = 20_000
    not_smaller: float = 0.9
    grown: float = 0.3
    """share of the final size that the slope over all writes must explain: a saw-tooth that is pruned does not"""
    critical_window: float = 0.5
    """share of a model's context window"""
    bytes_per_token: float = 4.0
    """JSON in English; most tokenisers give 3 to 5"""
    sampled: int = 60


@dataclass(frozen=True, slots=True)
class _Write:
    span_id: str
    key: str
    at_ns: int
    agent: str | None
    size: int
    """bytes of the key, or of all keys together, after this write"""


def find_state_growth(frames: Frames, thresholds: StateGrowthThresholds = StateGrowthThresholds()) -> list[Finding]:
    """One finding per growing key; one per run where only all keys together grow."""
    t = thresholds
    writes = frames.spans.filter(
        (pl.col("kind") == SpanKind.STATE_WRITE)
        & pl.col("value_bytes").is_not_null()
        & pl.col("state_key").is_not_null()
        & pl.col("duplicate_of").is_null()
        & (pl.col("cas_outcome") != CasOutcome.CONFLICT).fill_null(value=True)
    )
    largest = writes.group_by("run_id", "state_key").agg(pl.len().alias("n"), pl.col("value_bytes").max().alias("size"))
    suspects = largest.group_by("run_id").agg(pl.col("n", "size").sum())
    suspects = suspects.filter((pl.col("n") >= t.writes) & (pl.col("size") >= t.bytes))["run_id"]
    if suspects.is_empty():
        return []
    spans = frames.spans.filter(pl.col("run_id").is_in(suspects.implode()))
    writes = writes.filter(pl.col("run_id").is_in(suspects.implode()))
    at = pl.coalesce("end_ns", "start_ns")
    starts = dict(spans.group_by("run_id").agg(pl.col("start_ns").min()).iter_rows())
    models = dict(
        spans.filter(pl.col("kind") == SpanKind.LLM)
        .group_by("run_id")
        .agg(pl.col("model").drop_nulls().unique().sort())
        .iter_rows()
    )
    last_read = {
        (run, key): at_ns
        for run, key, at_ns in spans.filter(pl.col("kind") == SpanKind.STATE_READ)
        .group_by("run_id", "state_key")
        .agg(at.max())
        .iter_rows()
    }
    found: list[Finding] = []
    for (run_id,), part in writes.sort("run_id", at, "span_id").group_by("run_id", maintain_order=True):
        run = str(run_id)
        rows = part.select("span_id", "state_key", at.alias("at_ns"), "agent", "value_bytes").iter_rows()
        held = [_Write(*row) for row in rows]
        windows = {model: size for model in models.get(run, ()) if (size := context_window(model))}
        by_key = {key: [w for w in held if w.key == key] for key in dict.fromkeys(w.key for w in held)}
        unread = sorted(key for key, series in by_key.items() if _dead(series, last_read.get((run, key))))
        growing = {key: series for key, series in by_key.items() if _grows(series, t)}
        for key, series in growing.items():
            found.append(_finding(run, key, series, windows, unread, starts[run], t))
        whole = _together(held)
        if not growing and len(by_key) > 1 and _grows(whole, t):
            found.append(_finding(run, None, whole, windows, unread, starts[run], t))
    return found


def _dead(series: Sequence[_Write], last_read_ns: int | None) -> bool:
    """True where nobody reads a key again: never read, or not since its last write but one (the last may still be read)."""
    return last_read_ns is None or last_read_ns < series[-2 if len(series) > 1 else -1].at_ns


def _together(writes: Sequence[_Write]) -> list[_Write]:
    """The size of all keys together after each write."""
    sizes: dict[str, int] = {}
    out: list[_Write] = []
    for one in writes:
        sizes[one.key] = one.size
        out.append(_Write(one.span_id, one.key, one.at_ns, one.agent, sum(sizes.values())))
    return out


def _shrank(series: Sequence[_Write]) -> str:
    part = 1 - _not_smaller(series)
    return f"got smaller at {part:.0%} of them" if part else "never got smaller"


def _not_smaller(series: Sequence[_Write]) -> float:
    return sum(b.size >= a.size for a, b in pairwise(series)) / max(1, len(series) - 1)


def _slope(series: Sequence[_Write], t: StateGrowthThresholds) -> float:
    """Bytes more per write: the median over all pairs of up to `sampled` writes (Theil-Sen)."""
    step = max(1, len(series) // t.sampled)
    sizes = [one.size for one in series[::step]]
    return median((sizes[j] - sizes[i]) / (j - i) for i, j in combinations(range(len(sizes)), 2)) / step


def _grows(series: Sequence[_Write], t: StateGrowthThresholds) -> bool:
    return (
        len(series) >= t.writes
        and series[-1].size >= t.bytes
        and _not_smaller(series) >= t.not_smaller
        and _slope(series, t) * len(series) >= t.grown * series[-1].size
    )


def _finding(
    run_id: str,
    key: str | None,
    series: Sequence[_Write],
    windows: dict[str, int],
    unread: Sequence[str],
    start_ns: int,
    t: StateGrowthThresholds,
) -> Finding:
    size, slope = series[-1].size, _slope(series, t)
    model = min(windows, key=lambda name: (windows[name], name), default=None)
    window = windows[model] if model else None
    part = size / t.bytes_per_token / window if window else None
    left = max(0, int((window * t.bytes_per_token - size) / slope)) if window else None
    severity: Severity = "critical" if part is not None and part >= t.critical_window else "warning"
    what = f"{key!r}" if key is not None else "the shared state as a whole"
    never = [k for k in unread if key is None or k == key]
    agents = tuple(dict.fromkeys(w.agent for w in series if w.agent))
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.9,
        title=f"{what[0].upper()}{what[1:]} grew to {size / 1000:,.0f} kB over {len(series)} writes"
        + (f", {share(part)} of {model}'s context window" if part else ""),
        explanation=(
            f"{onwards(series[0].at_ns, start_ns).capitalize()}, {listing(agents) or 'the run'} wrote {what} {len(series)} times; it grew from "
            f"{series[0].size:,} to {size:,} bytes, about {slope:,.0f} bytes with every write, and {_shrank(series)}. "
            + (
                f"That is some {size / t.bytes_per_token:,.0f} tokens, {share(part)} of {model}'s context window ({window:,}); at this pace it is full in {left:,} more writes. "
                if part is not None and left is not None
                else "How much of a context window that is cannot be said, because the model's window is not known. "
            )
            + (f"Nobody reads {listing([repr(k) for k in never])} again. " if never else "")
            + "Sure because the sizes were recorded with the writes."
        ),
        suggestion=(
            "Keep the last entries and a summary, store large results outside and only their keys in the state, and set a size guard "
            f"(for example {t.bytes // 1000} kB a key) that prunes or stops before the prompt is full."
        ),
        trace_id=run_id,
        spans=tuple(w.span_id for w in series),
        agents=agents,
        start_ns=series[0].at_ns,
        end_ns=series[-1].at_ns,
        checked=(
            Check(rule="writes", value=len(series), threshold=t.writes, passed=True),
            Check(rule="bytes at the end", value=size, threshold=t.bytes, passed=True),
            Check(
                rule="share of writes not smaller than the one before",
                value=round(_not_smaller(series), 3),
                threshold=t.not_smaller,
                passed=True,
            ),
            Check(
                rule="bytes more per write (Theil-Sen)",
                value=round(slope, 1),
                threshold=round(t.grown * size / len(series), 1),
                passed=True,
            ),
            Check(rule="keys never read again", value=len(never), threshold=1, passed=bool(never)),
            Check(
                rule="share of a model's context window",
                value=None if part is None else round(part, 4),
                threshold=t.critical_window,
                passed=part is not None and part >= t.critical_window,
            ),
        ),
        data={
            "key": key or "",
            "bytes": size,
            "bytes_per_write": round(slope, 1),
            "model": model,
            "context_window": window,
            "window_share": None if part is None else round(part, 4),
            "writes_until_full": left,
            "never_read": list(never),
        },
    )
