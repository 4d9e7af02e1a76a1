"""How far many runs ask the same questions again, in the same or in other words."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analyzers.frames import Frames
from analyzers.similarity import near_duplicates, repeats
from tracer.model import SpanKind


@dataclass(frozen=True, slots=True)
class Asking:
    """What the runs of a window asked."""

    queries: int
    repeated: int
    """queries an earlier run of the window had asked, in other words or the same"""
    runs: tuple[str, ...]
    """runs most of whose queries were repeated"""
    examples: tuple[str, ...]
    """texts of the most frequent question, in its different wordings"""
    spans: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.repeated / self.queries if self.queries else 0.0


def repeated_queries(frames: Frames, runs: pl.DataFrame, limit: int) -> Asking:
    """How far `runs` (run_id, start_ns) ask what an earlier one of them has asked.

    Compared are the arguments of tools and retrievers and the task of each run, at most `limit` of them in order of time.
    """
    asks = pl.col("kind").is_in([SpanKind.TOOL, SpanKind.RETRIEVER]) | pl.col("parent_span_id").is_null()
    order = runs.select("run_id", run_start_ns="start_ns")
    rows = (
        frames.spans.filter(asks & (pl.col("input_refs").list.len() > 0) & pl.col("duplicate_of").is_null())
        .join(order, on="run_id")
        .sort("run_start_ns", "run_id", "start_ns", "span_id")
        .select("run_id", "span_id", "input_refs")
        .head(limit)
    )
    known = [(run, span, text) for run, span, refs in rows.iter_rows() if (text := frames.text(refs))]
    distinct = list(dict.fromkeys(text for _, _, text in known))
    group_of = dict(zip(distinct, near_duplicates(distinct), strict=True))
    asked = [(run, group_of[text]) for run, _, text in known]
    again = repeats(asked)
    per_run: dict[str, list[int]] = {}
    for position, (run, _) in enumerate(asked):
        per_run.setdefault(run, []).append(position)
    repeating = tuple(run for run, positions in per_run.items() if 2 * len(again & set(positions)) > len(positions))
    counts: dict[int, int] = {}
    for position in again:
        counts[asked[position][1]] = counts.get(asked[position][1], 0) + 1
    top = max(counts, key=lambda group: (counts[group], -group)) if counts else None
    wordings = [text for text in distinct if group_of[text] == top][:3]
    spans = tuple(span for (_, span, _), (_, group) in zip(known, asked, strict=True) if group == top)[:5]
    return Asking(len(known), len(again), repeating, tuple(text[:200] for text in wordings), spans)
