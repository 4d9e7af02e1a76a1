"""From a store on disk to frames and analyses; every door to the outside (commands, pages) reads through here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.reads import RunData

BASELINE_RUNS = 500
"""Runs of the same workflow that one run is compared with, newest first; more do not move a median."""


def open_store(path: Path) -> Store:
    """The store at `path`, with everything that was recorded so far folded in.

    Raises:
        BadInput: there is no store; a command that reads never creates one.
        StoreLocked, SchemaTooNew: see `tracer.errors`.
    """
    if path.is_dir():
        raise BadInput(f"The store {str(path)!r} is a directory; a file was expected.", hint="name the .duckdb file.")
    store = Store(path, create=False)
    store.fold()
    return store


def load_frames(store: Store, run_ids: Sequence[str] | None = None, *, contents: bool = True) -> Frames:
    """Whole runs as frames: those in `run_ids`, or all of the store."""
    return _frames(reads.load(store, run_ids, contents=contents))


def analyse_runs(store: Store, run_ids: Sequence[str]) -> tuple[Frames, Analysis]:
    """The runs `run_ids` with their texts, and what the analysis says of them.

    The analysis also sees other runs of the same workflows (without texts), because whether a cost is an anomaly
    depends on what is usual; only findings about `run_ids` are returned, and none about the fleet.
    """
    chosen = load_frames(store, run_ids)
    others = _siblings(store, chosen)
    if not others:
        return chosen, _about(analyse(chosen), set(run_ids))
    baseline = load_frames(store, others, contents=False)
    together = Frames(
        spans=pl.concat([chosen.spans, baseline.spans]).sort("run_id", "start_ns", "span_id"),
        traces=pl.concat([chosen.traces, baseline.traces]),
        contents=chosen.contents,
        events=pl.concat([chosen.events, baseline.events]),
        links=pl.concat([chosen.links, baseline.links]),
    )
    return chosen, _about(analyse(together), set(run_ids))


def find_runs(store: Store, names: Sequence[str]) -> list[str]:
    """The run ids that `names` (ids, unique beginnings of ids, or ids in the imported file) stand for.

    Raises:
        UnknownName: a name fits no run; the near ones are offered.
    """
    return [reads.find_run(store, name) for name in names]


def _siblings(store: Store, chosen: Frames) -> list[str]:
    known = set(chosen.run_ids)
    found: list[str] = []
    for workflow in chosen.traces["workflow"].drop_nulls().unique().sort():
        runs = reads.runs(store, workflow=workflow, limit=BASELINE_RUNS)["run_id"]
        found += [run_id for run_id in runs if run_id not in known]
    return found


def _about(analysis: Analysis, run_ids: set[str]) -> Analysis:
    return Analysis(
        findings=tuple(f for f in analysis.findings if f.trace_id in run_ids),
        fleet=(),
        skipped=tuple(s for s in analysis.skipped if s.trace_id is None or s.trace_id in run_ids),
        failures=analysis.failures,
    )


def _frames(data: RunData) -> Frames:
    return Frames(spans=data.spans, traces=data.traces, contents=data.contents, events=data.events, links=data.links)
