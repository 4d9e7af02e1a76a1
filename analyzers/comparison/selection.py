"""Which runs stand on which side: by version, by period, or as given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

import polars as pl

from analyzers.frames import Frames

By = Literal["version", "prompt", "model", "day", "week"]
COLUMNS: dict[str, tuple[str, ...]] = {
    "version": ("service_version", "release"),
    "prompt": ("prompt_name", "prompt_version"),
    "model": ("model",),
}
"""what the spans of a run are grouped by; of version the first that is recorded, of prompts all, of models all"""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs with one label; groups are ordered by their first run."""

    label: str
    start_ns: int
    run_ids: tuple[str, ...]


def group_runs(frames: Frames, by: By) -> list[Group]:
    """All runs of `frames` that have a label, in groups; runs without one (no version recorded) are left out."""
    labels = _periods(frames, by) if by in ("day", "week") else label_runs(frames, by)
    members: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for run_id, start in frames.traces.select("run_id", "start_ns").iter_rows():
        if run_id in labels:
            members[labels[run_id]].append((start, run_id))
    groups = [
        Group(label, min(held)[0], tuple(run_id for _, run_id in sorted(held))) for label, held in members.items()
    ]
    return sorted(groups, key=lambda group: (group.start_ns, group.label))


def neighbours(groups: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Each group with the one before it."""
    return list(pairwise(groups))


def label_runs(frames: Frames, by: str) -> dict[str, str]:
    """run_id -> its version, prompts or models; runs that record none are missing."""
    columns = COLUMNS[by]
    spans = frames.spans.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in columns))
    if by == "version":
        label = pl.coalesce(*columns)
    else:
        label = pl.concat_str([pl.col(name).fill_null("?") for name in columns], separator=" ")
    told = (
        spans.select("run_id", label=label)
        .unique()
        .sort("run_id", "label")
        .group_by("run_id")
        .agg(pl.col("label").str.join(", "))
    )
    return dict(told.iter_rows())


def _periods(frames: Frames, by: str) -> dict[str, str]:
    """run_id -> day, or Monday of the week, in UTC."""
    found: dict[str, str] = {}
    for run_id, start in frames.traces.select("run_id", "start_ns").iter_rows():
        day = datetime.fromtimestamp(start / 1e9, UTC).date()
        if by == "week":
            day -= timedelta(days=day.weekday())
        found[run_id] = day.isoformat() if by == "day" else f"week of {day.isoformat()}"
    return found
