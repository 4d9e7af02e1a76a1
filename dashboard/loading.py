"""From a store on disk to frames and analyses; every door to the outside (commands, pages) reads through here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from analyzers.attribution import verdicts
from analyzers.detectors import DETECTORS
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from dashboard.commands.common import note
from tracer.clock import SystemClock
from tracer.errors import BadInput
from tracer.model import SpanKind, SpanStatus
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.keeping import keep_to_limits
from tracer.store.reads import RunData

COMPARED_SPANS = 50_000
"""Spans of other runs that a failed run is compared with, newest first."""
BASELINE_RUNS = 500
"""Runs of the same workflow that one run is compared with, newest first; more do not move a median."""
FLEET_RUNS = 1_000
"""Runs that questions about many runs look at, newest first."""
_NUMBER = re.compile(r"-?\d+")


def open_store(path: Path, *, upkeep: bool = True) -> Store:
    """The store at `path`, with everything that was recorded so far folded in, and within the limits kept in it.

    Args:
        upkeep: False where runs that are over a limit must still be there, to be shown, pinned, marked or copied.

    Raises:
        BadInput: there is no store; a command that reads never creates one.
        StoreLocked, SchemaTooNew: see `tracer.errors`.
    """
    if path.is_dir():
        raise BadInput(f"The store {str(path)!r} is a directory; a file was expected.", hint="name the .duckdb file.")
    store = Store(path, create=False)
    store.fold()
    if upkeep and (kept := keep_to_limits(store)) and kept.removed.runs:
        note(
            f"{kept.removed.runs:,} runs went by the limits kept in the store (`tracehound prune --dry-run` shows them)."
        )
    return store


def load_frames(store: Store, run_ids: Sequence[str] | None = None, *, contents: bool = True) -> Frames:
    """Whole runs as frames: those in `run_ids`, or all of the store."""
    frames = replace(_frames(reads.load(store, run_ids, contents=contents)), marks=reads.marks(store))
    running = (frames.spans["status"] == SpanStatus.RUNNING).any()
    return replace(frames, read_ns=SystemClock().now_ns()) if running else frames


def load_every_text(store: Store, run_ids: Sequence[str] | None = None) -> Frames:
    """As `load_frames`, with the texts that stand in attributes too: all that is needed to write the runs as they came."""
    frames = load_frames(store, run_ids)
    found: set[int] = set()
    for table in (frames.spans, frames.events, frames.links):
        column = table.filter(pl.col("attributes").str.contains(r'"\$(?:content|messages)":'))["attributes"]
        for stands in column.str.extract_all(r'"\$(?:content|messages)":\s*(?:-?\d+|\[[-\d,\s]*\])').explode():
            found.update(map(int, _NUMBER.findall(stands)))
    return replace(frames, contents={**frames.contents, **reads.bodies(store, found - frames.contents.keys())})


def analyse_runs(store: Store, run_ids: Sequence[str]) -> tuple[Frames, Analysis]:
    """The runs `run_ids` with their texts and peers, and what the analysis says of them.

    The analysis also sees other runs of the same workflows (without texts), because whether a cost is an anomaly
    depends on what is usual; only findings about `run_ids` are returned, and none about the fleet.
    """
    chosen = load_frames(store, run_ids)
    others = _siblings(store, chosen)
    if not others:
        return chosen, _about(analyse(chosen), set(run_ids))
    baseline = load_frames(store, others, contents=False)
    together = replace(_joined(chosen, baseline), contents=chosen.contents, read_ns=chosen.read_ns)
    return _with_peers(store, chosen, baseline), _about(analyse(together), set(run_ids))


def analyse_fleet(store: Store, *, since_ns: int | None = None) -> tuple[list[Finding], int]:
    """What only a view over many runs can see: the findings that reach into the time since `since_ns`, most important first.

    Earlier runs say what is usual. The second value is how many runs were looked at, `FLEET_RUNS` of the newest at most.
    """
    frames = load_frames(store, reads.runs(store, limit=FLEET_RUNS)["run_id"].to_list())
    fleet = analyse(frames, [detector for detector in DETECTORS if detector.scope == "fleet"]).fleet
    return [one for one in fleet if since_ns is None or (one.end_ns or 0) >= since_ns], len(frames.run_ids)


def with_peers(store: Store, chosen: Frames) -> Frames:
    """`chosen` with what its failed runs are compared with; as it is where none failed."""
    if not any(verdict.failed for verdict in verdicts(chosen).values()):
        return chosen
    others = _siblings(store, chosen)
    return _with_peers(store, chosen, load_frames(store, others, contents=False)) if others else chosen


def alone(frames: Frames, run_id: str) -> Frames:
    """One run of `frames`; if it failed, what it is compared with are the others of its workflow and the peers of `frames`."""
    own = frames.only(run_id)
    if not verdicts(own)[run_id].failed:
        return own
    beside = (pl.col("workflow") == own.traces["workflow"][0]) & (pl.col("run_id") != run_id)
    others = _newest(replace(frames, traces=frames.traces.filter(beside), peers=None))
    if others.traces.is_empty():
        return own
    return replace(own, peers=others if own.peers is None else _joined(others, own.peers))


def _joined(one: Frames, other: Frames) -> Frames:
    """The runs of both."""
    return Frames(
        spans=pl.concat([one.spans, other.spans]).sort("run_id", "start_ns", "span_id"),
        traces=pl.concat([one.traces, other.traces]),
        contents={**other.contents, **one.contents},
        events=pl.concat([one.events, other.events]),
        links=pl.concat([one.links, other.links]),
    )


def _newest(frames: Frames) -> Frames:
    """The newest of the runs in `frames.traces`, up to `COMPARED_SPANS`."""
    newest = frames.traces.sort("start_ns", "run_id", descending=True)
    kept = pl.col("run_id").is_in(newest.filter(pl.col("spans").cum_sum() <= COMPARED_SPANS)["run_id"].implode())
    spans = frames.spans.filter(kept)
    inside = pl.col("span_id").is_in(spans["span_id"].unique().implode())
    return replace(
        frames, spans=spans, traces=frames.traces.filter(kept), events=frames.events.filter(inside), links=frames.links.filter(inside)
    )  # fmt: skip


def _with_peers(store: Store, chosen: Frames, baseline: Frames) -> Frames:
    if not any(verdict.failed for verdict in verdicts(chosen).values()):
        return chosen
    return replace(chosen, peers=_with_tool_results(store, baseline, chosen))


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


def _with_tool_results(store: Store, baseline: Frames, chosen: Frames) -> Frames:
    """The newest runs of `baseline`, up to `COMPARED_SPANS`, with the only texts that comparison reads."""
    newest = _newest(baseline)
    refs = (
        newest.spans.filter(pl.col("kind") == SpanKind.TOOL)["output_refs"].drop_nulls().explode().drop_nulls().unique()
    )
    held = {ref: text for ref, text in chosen.contents.items() if ref in set(refs)}
    texts = reads.bodies(store, [ref for ref in refs if ref not in held])
    return replace(newest, contents={**texts, **held})


def _about(analysis: Analysis, run_ids: set[str]) -> Analysis:
    return Analysis(
        findings=tuple(f for f in analysis.findings if f.trace_id in run_ids),
        fleet=(),
        skipped=tuple(s for s in analysis.skipped if s.trace_id is None or s.trace_id in run_ids),
        failures=analysis.failures,
    )


def _frames(data: RunData) -> Frames:
    return Frames(spans=data.spans, traces=data.traces, contents=data.contents, events=data.events, links=data.links)
