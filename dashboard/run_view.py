"""One run, ready to draw: its frames, its findings, the columns for the viewer, and how to find a span's name."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from analyzers.attribution import verdicts
from analyzers.critical_path import Piece, RunTree, find_slack, walk
from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.sampling import kept_with
from dashboard.figures import trace_view
from dashboard.loading import load_frames
from dashboard.stored_texts import StoredTexts, references
from tracer.store import reads
from tracer.store.database import Store

LARGE_SPANS = 2_000
"""from here on texts are read when somebody looks at them, and the run is analysed by a process of its own"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The critical path of a run."""

    pieces: tuple[Piece, ...]
    """in order of time, without a gap"""
    slack: Mapping[str, int]
    """span id -> ns by which it could have ended later"""


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run in one state. Derived values are made once, when first asked for."""

    run_id: str
    frames: Frames
    row: Mapping[str, Any]
    """its row of table `traces`"""
    findings: tuple[Finding, ...]
    skipped: tuple[Skipped, ...]
    failures: tuple[DetectorFailure, ...]
    mark: Mapping[str, Any] | None
    """a person's verdict: verdict, note, time_ns"""
    judged: bool = True
    """False while the analysis of a large run is still being made"""

    @cached_property
    def large(self) -> bool:
        """Whether the run is too large to analyse while somebody waits."""
        return self.frames.spans.height >= LARGE_SPANS

    @cached_property
    def failed(self) -> bool:
        """Whether the run counts as failed: by a person's mark, an evaluation, or its outcome, in this order."""
        return verdicts(self.frames)[self.run_id].failed is True

    @cached_property
    def kept(self) -> float | None:
        """Probability with which a sampler kept the run; None where none says so."""
        return kept_with(self.frames.spans).get(self.run_id)

    @cached_property
    def stamp(self) -> str:
        """Changes whenever the pictures of this run do."""
        open_spans = (self.frames.spans["end_ns"].is_null()).sum()
        findings = ",".join(finding.id for finding in self.findings)
        return f"{self.run_id}:{self.frames.spans.height}:{open_spans}:{self.row['end_ns']}:{findings}"

    @cached_property
    def path(self) -> Path:
        """The critical path; empty where the source has no times."""
        if self.frames.timeless.len():
            return Path(pieces=(), slack={})
        tree = RunTree.of(self.frames)
        pieces = walk(tree)
        return Path(pieces=tuple(pieces), slack=find_slack(tree, pieces))

    @cached_property
    def payload(self) -> Mapping[str, Any]:
        """The columns for the viewer, the critical path among them."""
        made = trace_view.payload(trace_view.build_view(self.frames, self.findings))
        return {**made, "path": trace_view.path_columns(made, self.path.pieces)}

    @cached_property
    def packed(self) -> bytes:
        """The payload as gzipped JSON; the last eight bytes (checksum and length) name its content."""
        return gzip.compress(trace_view.as_json(self.payload), 1, mtime=0)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Span id -> what the figures call the span."""
        columns, labels, kinds, agents = (self.payload[name] for name in ("columns", "labels", "kinds", "agents"))
        coded = zip(columns["id"], columns["kind"], columns["agent"], columns["label"], strict=True)
        return {
            span: " ".join(
                (
                    kinds[kind]["glyph"],
                    *dict.fromkeys(
                        part
                        for part in ("" if labels[label].startswith(agents[agent]) else agents[agent], labels[label])
                        if part
                    ),
                )
            )
            for span, kind, agent, label in coded
        }

    def finding(self, finding_id: str | None) -> Finding | None:
        """The finding with this id, if the run has it."""
        return next((finding for finding in self.findings if finding.id == finding_id), None)


def load_run(store: Store, run_id: str) -> Frames:
    """The frames of one run; the texts of a large one are read when they are asked for."""
    frames = load_frames(store, [run_id], contents=False)
    ids = references(frames.spans)
    texts = StoredTexts(ids, lambda wanted: reads.bodies(store, wanted))
    if frames.spans.height < LARGE_SPANS:
        return replace(frames, contents=reads.bodies(store, ids))
    return replace(frames, contents=texts)


def mark_of(store: Store, run_id: str) -> Mapping[str, Any] | None:
    """A person's verdict on the run, if there is one."""
    marks = reads.marks(store).filter(pl.col("run_id") == run_id)
    return marks.row(0, named=True) if marks.height else None
