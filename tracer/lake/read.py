"""Runs out of a lake: which files make a partition, and their rows with every span once.

plan      per bucket: which runs there are and in which parts, from the small files of `traces`
load      a unit of the plan, or some runs: whole runs, joined from all parts they came in
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tracer.errors import BadInput, UnknownName
from tracer.lake.layout import Lake, Part
from tracer.model import SpanEvent, SpanLink, span_of
from tracer.normalise import resolve_owned, summarise
from tracer.store.columns import frame_of
from tracer.store.reads import RunData
from tracer.store.schema import table_schema

_PART = "_part"
UNIT_SPANS = 50_000
"""spans that small units are packed up to: a few seconds of detectors"""


@dataclass(frozen=True, slots=True)
class Unit:
    """Whole runs that one worker looks at: those of one bucket that began on one day, or several such packed together."""

    spans: int
    """about how many there are"""
    parts: tuple[Part, ...]
    """all that hold rows of these runs; a run whose late spans were shipped to another day is in two days' parts"""
    excluded: frozenset[str]
    """runs in these parts that belong to other units, or are gone"""


@dataclass(frozen=True, slots=True)
class LakeData:
    """Rows of whole runs. `texts` is the whole table `contents` of their parts, `marks` that of marks."""

    data: RunData
    texts: pl.DataFrame
    marks: pl.DataFrame


def plan(lake: Lake, bucket: int | None = None) -> list[Unit]:
    """The units of the lake, or of one bucket, in order of day and bucket. Every run is in exactly one."""
    parts = lake.parts(bucket=bucket)
    known = _runs(lake, parts)
    by_home: dict[tuple[str, int], set[int]] = {}
    if known.is_empty():
        return []
    days = pl.DataFrame({_PART: range(len(parts)), "day": [p.day for p in parts], "bucket": [p.bucket for p in parts]})
    placed = known.join(days.cast({_PART: known.schema[_PART]}), on=_PART)
    placed = placed.with_columns(home=pl.col("day").min().over("run_id"))
    for home, number, held in placed.select("home", "bucket", _PART).unique().iter_rows():
        by_home.setdefault((home, number), set()).add(held)
    everything = _all_runs(lake, parts)
    units: list[Unit] = []
    for (home, number), held in sorted(by_home.items()):
        inside = everything.filter(pl.col(_PART).is_in(sorted(held)))["run_id"].unique()
        own = placed.filter((pl.col("home") == home) & (pl.col("bucket") == number))["run_id"]
        size = int(
            placed.filter(pl.col("run_id").is_in(own.implode()))
            .group_by("run_id")
            .agg(pl.col("spans").max())["spans"]
            .sum()
        )
        others = inside.filter(~inside.is_in(own.implode()))
        units.append(Unit(size, tuple(parts[i] for i in sorted(held)), frozenset(others.to_list())))
    return units


def packed(units: Sequence[Unit], spans: int = UNIT_SPANS) -> list[Unit]:
    """Small units together, up to about `spans` spans: asking every question has a price of its own, however few runs there are."""
    found: list[Unit] = []
    for unit in units:
        last = found[-1] if found else None
        # Parts in common could hold runs that one of the two excludes because the other has them.
        if last is None or last.spans + unit.spans > spans or set(last.parts) & set(unit.parts):
            found.append(unit)
        else:
            parts = tuple(sorted({*last.parts, *unit.parts}))
            found[-1] = Unit(last.spans + unit.spans, parts, last.excluded | unit.excluded)
    return found


def load(lake: Lake, parts: Sequence[Part], run_ids: Iterable[str] | None = None, *, excluded: frozenset[str] = frozenset()) -> LakeData:  # fmt: skip
    """The runs in `parts` (oldest first), or those of `run_ids`, without `excluded` ones; ordered as `reads.load` orders them.

    A run that came in several parts whose rows differ is resolved and summarised anew from all of its spans.

    Raises:
        StoreError: a file cannot be read.
    """
    rows = _runs(lake, parts)
    kept = rows.filter(~pl.col("run_id").is_in(sorted(excluded)))
    if run_ids is not None:
        kept = kept.filter(pl.col("run_id").is_in(list(run_ids)))
    kept = kept.with_columns(newest=pl.col(_PART) == pl.col(_PART).max().over("run_id"))
    traces = _conform("traces", kept.filter("newest"))
    here = [part for number, part in enumerate(parts) if number in set(kept[_PART].to_list())]
    places = {part: number for number, part in enumerate(parts)}

    def table(name: str) -> pl.DataFrame:
        frames = [
            frame.with_columns(pl.lit(places[part], pl.Int64).alias(_PART))
            for part in reversed(here)
            if (frame := lake.table(part, name)) is not None
        ]
        empty = pl.DataFrame(schema={**table_schema(name), _PART: pl.Int64})
        return pl.concat([empty, *frames], how="diagonal_relaxed")

    spans = table("spans").join(kept.select("run_id", _PART), on=["run_id", _PART], how="semi")
    first = spans.group_by("run_id").agg(newest=pl.col(_PART).max(), spans=pl.len())
    spans = spans.unique(["trace_id", "span_id"], keep="first", maintain_order=True)
    # Rows that an older part adds to what the newest one holds: the newest summary does not count them.
    added = spans.join(first, on="run_id").filter(pl.col(_PART) < pl.col("newest"))["run_id"].unique().to_list()
    spans = _conform("spans", spans)
    ids = spans.select("trace_id").unique()
    events = _conform("events", table("events").join(ids, on="trace_id", how="semi")).unique(maintain_order=True)
    links = _conform("links", table("links").join(ids, on="trace_id", how="semi")).unique(maintain_order=True)
    texts = _conform("contents", table("contents")).unique("content_id", keep="first")
    marks = _conform("marks", table("marks").join(kept, on="run_id", how="semi")).unique()
    if added:
        spans, traces = _resolved(spans, traces, events, links, added)
    data = RunData(
        spans=spans.sort("run_id", "start_ns", "span_id"),
        traces=traces.sort("start_ns", "run_id"),
        contents=_wanted_texts(spans, events, texts),
        events=events.sort("trace_id", "time_ns", "span_id", "name"),
        links=links.sort("trace_id", "span_id", "linked_trace_id", "linked_span_id", "attributes"),
    )
    return LakeData(data, texts, marks.sort("run_id", "time_ns"))


def find_runs(lake: Lake, names: Sequence[str]) -> dict[str, list[Part]]:
    """Run id -> the parts it lies in, for each of `names`: run ids, their beginnings, or ids in the imported file.

    Raises:
        UnknownName: there is no such run. BadInput: the beginning fits several.
    """
    found: dict[str, list[Part]] = {}
    everything: tuple[list[Part], pl.DataFrame] | None = None
    for name in names:
        parts = lake.parts(bucket=lake.bucket_of(name))  # a whole id names its bucket
        rows = _runs(lake, parts).filter(pl.col("run_id") == name)
        if rows.is_empty():
            if everything is None:
                listed = lake.parts()
                everything = listed, _runs(lake, listed)
            parts, known = everything
            rows = known.filter((pl.col("source_id") == name) | (pl.col("trace_id") == name))
            if rows.is_empty():
                rows = known.filter(pl.any_horizontal(pl.col("run_id", "source_id").str.starts_with(name)))
            ids = rows["run_id"].unique().sort().to_list()
            if not ids or not name:
                newest = known.sort("start_ns", descending=True)["run_id"].unique(maintain_order=True)
                raise UnknownName.among(
                    "trace", name, newest.head(1000).to_list(), listed="`tracehound analyze --lake` lists them."
                )
            if len(ids) > 1:
                raise BadInput(f"{name!r} fits {len(ids)} traces: {', '.join(ids[:5])}.", hint="give more digits.")
        found[rows["run_id"][0]] = [parts[i] for i in sorted(rows[_PART].unique())]
    return found


def of_workflows(lake: Lake, workflows: Sequence[str], *, runs: int, spans: int) -> dict[str, list[Part]]:
    """Run id -> parts of the newest runs of each workflow: at most `runs` of each, and `spans` spans in all."""
    parts = lake.parts()
    rows = _runs(lake, parts).filter(pl.col("workflow").is_in(list(workflows)))
    newest = (
        rows.sort(_PART, descending=True).unique("run_id", keep="first").sort("start_ns", "run_id", descending=True)
    )
    newest = newest.filter(pl.col("start_ns").rank("ordinal", descending=True).over("workflow") <= runs)
    chosen = newest.filter(pl.col("spans").cum_sum() <= spans)["run_id"]
    held = rows.filter(pl.col("run_id").is_in(chosen.implode())).group_by("run_id").agg(_PART)
    return {run_id: [parts[i] for i in sorted(numbers)] for run_id, numbers in held.iter_rows()}


def _all_runs(lake: Lake, parts: Sequence[Part]) -> pl.DataFrame:
    """The rows of `traces` in all `parts`, with the number of the part; rows that say a run is gone among them."""
    frames = [
        frame.with_columns(pl.lit(number, pl.Int64).alias(_PART))
        for number, part in enumerate(parts)
        if (frame := lake.table(part, "traces")) is not None
    ]
    empty = pl.DataFrame(schema={**table_schema("traces"), _PART: pl.Int64})
    return pl.concat([empty, *frames], how="diagonal_relaxed")


def _runs(lake: Lake, parts: Sequence[Part]) -> pl.DataFrame:
    """As `_all_runs`, without what was there before a run was declared gone."""
    rows = _all_runs(lake, parts)
    ended = pl.when(pl.col("spans") == 0).then(pl.col(_PART)).otherwise(-1).max().over("run_id")
    return rows.filter(pl.col(_PART) > ended)


def _conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Exactly the columns of this program's layout, whichever version wrote the file."""
    schema = table_schema(table)
    have = frame.schema
    return frame.select(
        (pl.col(name).cast(dtype) if name in have else pl.lit(None, dtype).alias(name))
        for name, dtype in schema.items()
    )


def _wanted_texts(spans: pl.DataFrame, events: pl.DataFrame, texts: pl.DataFrame) -> Mapping[int, str]:
    lists = [spans["input_refs"], spans["output_refs"], events["refs"]]
    used = pl.concat([column.drop_nulls().explode().drop_nulls() for column in lists]).unique()
    wanted = texts.filter(pl.col("content_id").is_in(used.implode()))
    return dict(zip(wanted["content_id"].to_list(), wanted["body"].to_list(), strict=True))


def _resolved(
    spans: pl.DataFrame, traces: pl.DataFrame, events: pl.DataFrame, links: pl.DataFrame, run_ids: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`spans` and `traces` with the runs of `run_ids` worked out again from all of their spans, as a fold would."""
    chosen = pl.col("run_id").is_in(list(run_ids))
    mine = spans.filter(chosen)
    by_trace = pl.col("trace_id").is_in(mine["trace_id"].unique().implode())
    rows = resolve_owned(
        [span_of(row) for row in mine.iter_rows(named=True)],
        [SpanEvent(**row) for row in events.filter(by_trace).iter_rows(named=True)],
        [SpanLink(**row) for row in links.filter(by_trace).iter_rows(named=True)],
    )
    runs: dict[str, list[object]] = {}
    for row in rows:
        runs.setdefault(row.run_id, []).append(row)
    summaries = [summarise(members) for members in runs.values()]  # pyright: ignore[reportArgumentType]
    return (
        pl.concat([spans.filter(~chosen), frame_of("spans", rows)]),
        pl.concat([traces.filter(~chosen), frame_of("traces", summaries)]),
    )
