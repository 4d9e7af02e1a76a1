"""What the Compare page shows: two runs with their texts, or two groups of runs with what differs between them.

Each function takes short leases, copies out and lets go before it thinks. Nothing here knows Streamlit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from analyzers.comparison.alignment import compare_runs
from analyzers.comparison.groups import change_document, compare_tables, run_table
from analyzers.comparison.selection import By, Group, group_runs, neighbours
from analyzers.frames import Frames
from dashboard.loading import load_frames
from dashboard.population import Population
from dashboard.run_reads import matching_ids
from dashboard.trace_query import TraceQuery
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """`document` is that of `analyzers.comparison.alignment.compare_runs`; the frames hold the texts of both."""

    document: Mapping[str, Any]
    a: Frames
    b: Frames

    def texts(self, side: str, span_id: str, slot: str) -> list[str]:
        """The recorded bodies of a span, `slot` "input" or "output"; empty where nothing was recorded."""
        frames = self.a if side == "a" else self.b
        [refs] = frames.spans.filter(pl.col("span_id") == span_id)[f"{slot}_refs"].to_list()
        return [frames.contents[ref] for ref in refs or () if ref in frames.contents]


def two_runs(store: Store, a: str, b: str) -> TwoRuns:
    """Two runs by their ids, aligned."""
    first, second = load_frames(store, [a]), load_frames(store, [b])
    return TwoRuns(compare_runs(first, second), first, second)


@dataclass(frozen=True, slots=True)
class Sides:
    """Pairs of groups to compare; where there are none, `why` says why."""

    pairs: Sequence[tuple[Group, Group]]
    why: str = ""


def sides_by(shown: Population, by: By) -> Sides:
    """Each version (prompt, model, day, week) with the one before it, oldest pair first; pairs that share no workflow are left out."""
    groups = group_runs(shown.frames, by)
    workflow_of = dict(shown.frames.traces.select("run_id", "workflow").iter_rows())
    kinds = {group.label: {workflow_of[run_id] for run_id in group.run_ids} for group in groups}
    pairs = [(a, b) for a, b in neighbours(groups) if kinds[a.label] & kinds[b.label]]
    if pairs:
        return Sides(pairs)
    if not groups:
        return Sides((), f"None of these runs recorded a {by}.")
    if len(groups) == 1:
        return Sides((), f"All runs that recorded a {by} have the same one: {groups[0].label}.")
    return Sides(
        (),
        f"There are {len(groups):,} groups, but no two neighbours share a workflow. Write a query for each side instead.",
    )


def sides_of_queries(store: Store, shown: Population, a: tuple[str, TraceQuery], b: tuple[str, TraceQuery], *, now_ns: int) -> Sides:  # fmt: skip
    """The runs of `shown` that meet the one query, and those that meet the other; `a` and `b` are (text, parsed).

    Raises:
        BadInput: a query asks for findings, which are no property of a run in the store.
    """
    groups: list[Group] = []
    starts = dict(shown.frames.traces.select("run_id", "start_ns").iter_rows())
    for text, query in (a, b):
        if query.findings:
            raise BadInput(f"{text!r} asks for findings, which cannot be compared by.", hint="use outcome:, version, model: or text.")  # fmt: skip
        met = set(matching_ids(store, query, now_ns=now_ns, newest=shown.total))
        members = tuple(sorted((run_id for run_id in starts if run_id in met), key=lambda one: (starts[one], one)))
        if not members:
            return Sides((), f"No run meets {text or 'an empty query'!r}.")
        groups.append(Group(text or "all runs", starts[members[0]], members))
    return Sides([(groups[0], groups[1])])


def compare_pair(store: Store, shown: Population, a: Sequence[str], b: Sequence[str], *, across: bool) -> list[dict[str, Any]]:  # fmt: skip
    """The changes of the runs `b` against the runs `a`, as `change_document` writes them.

    The lengths of what runs were asked come from the store, so that larger tasks alone are no change.
    """
    frames = _with_tasks(store, shown.frames)
    changes = compare_tables(run_table(frames), a, b, frames, across=across)
    return [change_document(change) for change in changes]


def _with_tasks(store: Store, frames: Frames) -> Frames:
    """The frames with the texts of what each run was asked, which a population leaves out."""
    asked = frames.spans.filter(pl.col("parent_span_id").is_null())["input_refs"].explode().drop_nulls().unique()
    return replace(frames, contents=reads.bodies(store, asked.to_list()))
