"""The same analysis over parts of a store that is too large for one process: whole runs in every part.

    part 1 --look_at--> Partial \\
    part 2 --look_at--> Partial  >-- combine --> frames without texts, Analysis       equal to analyse(everything)
    part 3 --look_at--> Partial /

Detectors that judge a run by itself are asked where its part lies. Those that compare runs (`Detector.compares`) are asked once,
over the columns of all parts: rows without attributes, and of the texts only what runs were asked and what they asked of tools
and models.
`look_at` and `combine` are pure; who calls them on which machine is not their concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analyzers.detectors import DETECTORS, Detector
from analyzers.detectors.duplicate_calls_across_runs import AcrossRunsThresholds, questions
from analyzers.frames import Frames
from analyzers.run import Analysis, Answers, ask, settle
from tracer.model import SpanKind
from tracer.semconv import GenAI


@dataclass(frozen=True, slots=True)
class Partial:
    """What one part says, and what of it the questions over many runs need."""

    answers: Answers
    frames: Frames
    """spans with empty `attributes`, the events that judge runs, and the texts of questions"""


def look_at(part: Frames, detectors: Sequence[Detector] = DETECTORS) -> Partial:
    """Ask the detectors that judge runs one by one."""
    answers = ask(part, [detector for detector in detectors if not detector.compares])
    wanted = _compared(part)
    return Partial(
        answers,
        Frames(
            spans=part.spans.with_columns(attributes=pl.lit("{}")),
            traces=part.traces,
            contents={ref: part.contents[ref] for ref in wanted if ref in part.contents},
            events=part.events.filter(pl.col("name") == GenAI.EVENT_EVALUATION),
            marks=part.marks,
        ),
    )


def _compared(part: Frames) -> set[int]:
    """The texts that detectors which compare runs may read."""
    asks = pl.col("kind").is_in([SpanKind.TOOL, SpanKind.RETRIEVER]) | pl.col("parent_span_id").is_null()
    refs = part.spans.filter(asks)["input_refs"].drop_nulls().explode().drop_nulls()
    return set(refs.unique()) | questions(part, AcrossRunsThresholds())


def combine(partials: Sequence[Partial], detectors: Sequence[Detector] = DETECTORS) -> tuple[Frames, Analysis]:
    """Put parts together, in any order: the frames of all of them (see `Partial`), and what the analysis says."""
    held = [partial.frames for partial in partials] or [Frames.of([])]
    frames = Frames(
        spans=pl.concat([one.spans for one in held]).sort("run_id", "start_ns", "span_id"),
        traces=pl.concat([one.traces for one in held]).sort("start_ns", "run_id"),
        contents={ref: text for one in held for ref, text in one.contents.items()},
        events=pl.concat([one.events for one in held]).sort("trace_id", "time_ns", "span_id", "name"),
        marks=pl.concat([one.marks for one in held]).sort("run_id", "time_ns"),
    )
    answers = ask(frames, [detector for detector in detectors if detector.compares])
    for partial in partials:
        answers += partial.answers
    return frames, settle(answers, frames)
