"""What a report is about: one run, what the analysis says of it, and the very document that `tracehound analyze --json` gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from analyzers.attribution.judge import Judge
from analyzers.document import analysis_document
from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.run import Analysis

MOST_CHARS = 2_000
"""of a name, a reason or an error; longer ones stand in many places of a report"""


def shortened(frames: Frames) -> Frames:
    """The frames with every text column cut that a report shows whole; the attributes, which are JSON, are not shown."""
    return replace(frames, spans=_cut(frames.spans), traces=_cut(frames.traces))


def _cut(table: pl.DataFrame) -> pl.DataFrame:
    texts = [name for name, dtype in table.schema.items() if dtype == pl.String and name != "attributes"]
    more = pl.format("{} … {} more characters", pl.col(texts).str.head(MOST_CHARS), pl.col(texts).str.len_chars() - MOST_CHARS)  # fmt: skip
    return table.with_columns(
        pl.when(pl.col(texts).str.len_chars() > MOST_CHARS).then(more).otherwise(pl.col(texts)).name.keep()
    )


@dataclass(frozen=True)
class Case:
    """One run. `document` is its analysis document; everything a report says of suspects, money and path is read from there.

    Names, reasons and errors as long as books are cut, and say so.
    """

    frames: Frames
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    failures: tuple[DetectorFailure, ...]
    document: dict[str, Any]
    asked: str | None = None
    """the model that was asked to rank the suspects, if any"""

    @classmethod
    def of(
        cls,
        frames: Frames,
        findings: Sequence[Finding] = (),
        skipped: Sequence[Skipped] = (),
        failures: Sequence[DetectorFailure] = (),
        judge: Judge | None = None,
    ) -> Case:
        """Ask the questions about single runs that are not asked yet; what they could not answer joins `skipped` and `failures`."""
        frames = shortened(frames)
        run_id = frames.traces["run_id"][0]
        own = tuple(finding for finding in findings if finding.trace_id == run_id)
        analysis = Analysis(findings=own, fleet=(), skipped=tuple(skipped), failures=tuple(failures))
        document = analysis_document(frames, analysis, judge)
        return cls(
            frames=frames,
            findings=own,
            skipped=tuple(Skipped(**one) for one in document["skipped"]),
            failures=tuple(DetectorFailure(**one) for one in document["failures"]),
            document=document,
            asked=None if judge is None else judge.model,
        )

    @property
    def run(self) -> dict[str, Any]:
        """The run's entry of the document: suspects, ledger, critical_path, architecture."""
        return self.document["traces"][0]

    @property
    def start_ns(self) -> int:
        """Where offsets are counted from: the first thing that happened."""
        first = self.frames.spans["start_ns"].min()
        return first if isinstance(first, int) else self.frames.traces["start_ns"][0]
