"""`score` and `mark`: what a program says of its runs reaches the verdicts of the store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import tracer
from analyzers.attribution.verdicts import verdicts
from dashboard.loading import load_frames, open_store
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.segment import SegmentWriter
from tracer.testing import Recorder, recorder, recording_to, tmp_store

__all__ = ["recorder"]


def test_scores_and_marks_become_verdicts(tmp_path: Path) -> None:
    """Inside a run and after it; a label decides before a value, a mark before an evaluation, the newest mark before older ones."""
    runs: dict[str, Any] = {}
    with recording_to(SegmentWriter(tmp_store(tmp_path))):
        for name in ("scored", "labelled", "scale", "marked"):
            with tracer.workflow(name) as runs[name]:
                if name == "scored":
                    assert tracer.score(0.2, name="correctness", note="wrong sum")
        assert tracer.score(0.9, label="fail", of=runs["labelled"])
        assert tracer.score(7, of=runs["scale"])
        assert tracer.score(True, of=runs["marked"])
        assert tracer.mark("ok", of=runs["marked"])
        assert tracer.mark(
            "failed", "key sk-" + "a" * 30 + " long " + "x" * 600, of=runs["marked"].otel.get_span_context()
        )
    store = open_store(tmp_store(tmp_path))

    frames = load_frames(store)
    judged = verdicts(frames)
    traces = {row["workflow"]: row for row in frames.traces.iter_rows(named=True)}
    found = {name: judged[row["run_id"]] for name, row in traces.items()}
    [mark] = reads.marks(store).iter_rows(named=True)

    assert {name: (one.by, one.failed) for name, one in found.items()} == {
        "scored": ("evaluation", True), "labelled": ("evaluation", True), "scale": ("outcome", False), "marked": ("mark", True),
    }  # fmt: skip
    assert found["scored"].why == "evaluation correctness says 0.2: wrong sum"
    assert mark["run_id"] == runs["marked"].trace_id
    assert mark["note"].startswith("key [redacted] long xx")
    assert traces["marked"]["spans"] == 1  # no span was made for it


def test_without_a_run_around_nothing_is_recorded(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """That is said in the log, not raised."""
    with caplog.at_level(logging.WARNING):
        assert not tracer.score(1.0)
    assert "name a span of the run" in caplog.text
    with tracer.workflow("w") as run:
        tracer.score(1.0)
    assert [(event.span_id, event.attributes["gen_ai.evaluation.score.value"]) for event in recorder.events] == [
        (run.span_id, 1.0)
    ]


def test_any_other_word_is_no_verdict() -> None:
    """A mistake is told where it is made, recorded or not."""
    with pytest.raises(BadInput, match="'great' is no verdict"):
        tracer.mark("great")  # type: ignore[arg-type]
    assert not tracer.mark("ok")  # nothing is recorded
