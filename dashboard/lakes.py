"""Analyses over a lake: all of it, part by part on an engine; single runs by way of a small store of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from analyzers.document import deep_runs
from analyzers.frames import Frames
from analyzers.partition import Partial, combine, look_at
from analyzers.run import Analysis
from dashboard.engines import Engine
from dashboard.loading import BASELINE_RUNS, COMPARED_SPANS
from tracer.lake.into_store import bring_in
from tracer.lake.layout import Lake, Part, open_lake
from tracer.lake.read import LakeData, Unit, find_runs, load, of_workflows, packed, plan
from tracer.lake.write import texts_of
from tracer.store.database import Store


def analyse_lake(
    lake: Lake, engine: Engine, *, planned: Callable[[int], Callable[[int], None]] = lambda units: lambda done: None
) -> tuple[Frames, Analysis]:
    """What `analyse` says of all runs of the lake, and frames for `analysis_document`: texts only of the runs it looks into.

    Args:
        planned: told the number of units; what it returns is called as they are done.
    """
    planned_units = dict(engine(partial(plan, lake), range(lake.buckets)))
    units = packed([unit for bucket in range(lake.buckets) for unit in planned_units[bucket]])
    advance = planned(len(units))
    partials: dict[int, Partial] = {}
    for number, found in engine(partial(look_at_unit, lake), units):
        partials[number] = found
        advance(1)
    ordered = [partials[number] for number in range(len(units))]
    frames, analysis = combine(ordered)
    return _with_texts(lake, frames, units, ordered, deep_runs(frames, analysis)), analysis


def look_at_unit(lake: Lake, unit: Unit) -> Partial:
    """What one machine does: read whole runs, and ask what can be asked of each."""
    return look_at(_frames(load(lake, unit.parts, excluded=unit.excluded)))


@contextmanager
def store_of_runs(url: str, names: Sequence[str]) -> Generator[Store]:
    """A store for as long as the block lasts, with the runs `names` of the lake at `url` and newest others of their workflows.

    Raises:
        BadInput, StoreError: there is no such lake, or it cannot be read. UnknownName: it has no such run.
    """
    lake = open_lake(url)
    with tempfile.TemporaryDirectory(prefix="tracehound-lake-") as folder:
        store = Store(Path(folder) / "traces.duckdb")
        chosen = find_runs(lake, names)
        workflows = _bring(store, lake, chosen)
        others = of_workflows(lake, sorted(workflows), runs=BASELINE_RUNS, spans=COMPARED_SPANS)
        _bring(store, lake, {run_id: parts for run_id, parts in others.items() if run_id not in chosen})
        yield store


def _bring(store: Store, lake: Lake, runs: Mapping[str, Sequence[Part]]) -> set[str]:
    """Runs that lie in the same parts are read at once; the workflows they are of."""
    together: dict[tuple[Part, ...], list[str]] = {}
    for run_id, parts in runs.items():
        together.setdefault(tuple(parts), []).append(run_id)
    workflows: set[str] = set()
    for parts, run_ids in together.items():
        found = load(lake, parts, run_ids)
        wanted = texts_of({"spans": found.data.spans, "events": found.data.events, "links": found.data.links})
        bring_in(store, replace(found, texts=found.texts.filter(pl.col("content_id").is_in(wanted.implode()))))
        workflows |= set(found.data.traces["workflow"].drop_nulls())
    return workflows


def _with_texts(lake: Lake, frames: Frames, units: Sequence[Unit], partials: Sequence[Partial], run_ids: Sequence[str]) -> Frames:  # fmt: skip
    """`frames` with whole rows, texts, events and links of `run_ids`."""
    asked = set(run_ids)
    spans, events, links = list[pl.DataFrame](), list[pl.DataFrame](), list[pl.DataFrame]()
    contents = dict(frames.contents)
    for unit, seen in zip(units, partials, strict=True):
        wanted = [run_id for run_id in seen.frames.traces["run_id"] if run_id in asked]
        if wanted:
            data = load(lake, unit.parts, wanted, excluded=unit.excluded).data
            spans.append(data.spans)
            events.append(data.events)
            links.append(data.links)
            contents.update(data.contents)
    own = frames.spans.filter(pl.col("run_id").is_in(run_ids))["trace_id"].unique().implode()
    return replace(
        frames,
        spans=pl.concat([frames.spans.filter(~pl.col("run_id").is_in(run_ids)), *spans]).sort("run_id", "start_ns", "span_id"),
        contents=contents,
        events=pl.concat([frames.events.filter(~pl.col("trace_id").is_in(own)), *events]).sort("trace_id", "time_ns", "span_id", "name"),
        links=pl.concat([frames.links, *links]).sort("trace_id", "span_id"),
    )  # fmt: skip


def _frames(found: LakeData) -> Frames:
    newest = found.marks.sort("time_ns", descending=True).unique("run_id", keep="first").sort("run_id")
    return replace(Frames.loaded(found.data), marks=newest)
