"""The leaves of a stored run stay columns while more of the run comes in.

A run that is still going on may have thousands of rows when the next few of its spans arrive, and is resolved with them
anew. What its leaves (`leaves`) do to it is in few numbers, and what it does to them is passed on by their parents, so
that only the rest of its rows become objects; of the leaves only those are rewritten to which something else is passed
on now. What this gives is what resolving all rows one by one gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import polars as pl

from tracer.model import SPAN_FIELDS, Span, SpanEvent, SpanLink, SpanStatus, span_of
from tracer.normalise.hanging import Key
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.marks import reset
from tracer.normalise.reading import names_agents
from tracer.normalise.runs import WORKFLOW_NAMES
from tracer.normalise.sessions import SESSION_NAMES
from tracer.normalise.tree import copied
from tracer.semconv import Tracehound
from tracer.store.leaves import LOOK_BESIDE, Leaves, Rows, is_among, is_leaf_kind, not_plain

_PASSED_ON = ("agent", "agent_id", "agent_inferred", "run_id", "workflow", "session_id", "derived")
"""columns that a leaf has from its parent"""
_MARKS = ["agent_id", "run_id"]
"""of those, the ones that are noted in `derived`"""
_TELLING = (*LOOK_BESIDE, *SESSION_NAMES, *(f'"{name}"' for name in (*WORKFLOW_NAMES, Tracehound.CANCELLED)))


def may_hang(rows: pl.DataFrame) -> pl.Series:
    """Which `rows` of table `spans`, all there are of their runs, are leaves by what stands in them."""
    derived = pl.col("derived").fill_null(pl.lit([], pl.List(pl.String)))
    marked = derived.list.contains
    tools = [name for name in rows["tool_name"].unique() if names_agents(name)]
    plain = rows.select(
        (pl.col("status") == SpanStatus.OK.value)
        & pl.col("end_ns").is_not_null()
        & pl.col("parent_span_id").is_not_null()
        & (derived.list.set_difference(_MARKS).list.len() == 0)
        & (pl.col("convention") != "autogen").fill_null(True)
        & ((pl.col("run_id") == pl.col("trace_id")) | marked("run_id"))
        & (pl.col("agent_id").is_null() | marked("agent_id"))
        & pl.all_horizontal(pl.col("user_id", "target_agent", "duplicate_of").is_null())
        & (pl.col("finish_reason") != PAUSED).fill_null(True)
        & ~pl.col("tool_name").is_in(tools).fill_null(False)
        & ~pl.col("attributes").str.contains_any(list(_TELLING))
    ).to_series()
    return plain & is_leaf_kind(rows) & ~_holding(rows)


def _holding(rows: pl.DataFrame) -> pl.Series:
    """From which of the rows others hang."""
    held = rows.select("trace_id", pl.col("parent_span_id").alias("span_id"), pl.lit(True).alias("_holds")).unique()
    narrow = rows.select("trace_id", "span_id")
    return narrow.join(held, on=["trace_id", "span_id"], how="left", maintain_order="left")["_holds"].is_not_null()


def settle(
    leaves: Rows, beside: Sequence[Span], new: Sequence[Span], events: Iterable[SpanEvent], links: Iterable[SpanLink]
) -> list[Span]:
    """Take out of the stored `leaves` those that need a row of their own, and give these.

    They do because of the other stored rows `beside` them, or of what is `new`: in doubt they do, it only takes longer.
    """
    frame = leaves.frame
    others = [*beside, *new]
    if any(span.status == SpanStatus.INTERRUPTED for span in others):  # what it did last tells how the run ended
        needed = pl.Series([True]).new_from_index(0, frame.height)
    else:
        referred: set[Key] = {(span.trace_id, span.parent_span_id) for span in others if span.parent_span_id}
        referred |= {(span.trace_id, span.span_id) for span in others}
        referred |= {(event.trace_id, event.span_id) for event in events if event.refs}
        for link in links:
            referred |= {(link.trace_id, link.span_id), (link.linked_trace_id, link.linked_span_id)}
        needed = is_among(frame, "span_id", referred) | ~_after_their_parents(frame, beside, new)
    found = leaves.part(needed)
    rows = spans_of(found.frame)
    if not leaves.frame.is_empty():
        above = [copied(span) for span in (*others, *rows)]
        for span in above:
            reset(span)
        rows += spans_of(leaves.part(not_plain(Leaves(leaves.frame), above)).frame)
    return rows


def _after_their_parents(frame: pl.DataFrame, beside: Iterable[Span], new: Iterable[Span]) -> pl.Series:
    """Those whose parent is stored: a leaf that came before it has given its run a name meanwhile."""
    latest = {(span.trace_id, span.span_id): span.start_ns for span in beside}
    for span in new:
        if (key := (span.trace_id, span.span_id)) in latest:
            latest[key] = max(latest[key], span.start_ns)
    starts = pl.DataFrame(
        [(*key, start_ns) for key, start_ns in latest.items()],
        schema={"trace_id": pl.String, "parent_span_id": pl.String, "_start_ns": pl.Int64},
        orient="row",
    )
    narrow = frame.select("trace_id", "parent_span_id", "start_ns")
    joined = narrow.join(starts, on=["trace_id", "parent_span_id"], how="left", maintain_order="left")
    return joined.select((pl.col("_start_ns") < pl.col("start_ns")).fill_null(False)).to_series()


def unresolved(frame: pl.DataFrame) -> Leaves:
    """The stored leaves as they came."""
    said = pl.when(~pl.col("agent_inferred")).then(pl.col("agent"))
    nothing = [
        pl.lit(None, frame.schema[name]).alias(name) for name in ("agent_id", "workflow", "session_id", "derived")
    ]
    return Leaves(
        frame.with_columns(
            said.alias("agent"), pl.lit(False).alias("agent_inferred"), pl.col("trace_id").alias("run_id"), *nothing
        )
    )


def changed(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """Which leaves have something else from their parents than they had."""
    text = partial(pl.DataFrame.with_columns, derived=pl.col("derived").list.join(" "))
    one, other = (text(frame.select(_PASSED_ON)) for frame in (before, after))
    differ = [one[name].ne_missing(other[name]) for name in _PASSED_ON]
    return pl.DataFrame(differ).select(pl.any_horizontal(pl.all())).to_series()


def spans_of(rows: pl.DataFrame) -> list[Span]:
    """Rows of table `spans` as objects, without what is NULL, which is most of a row, and the default of every such column."""
    found = rows.select(SPAN_FIELDS).iter_rows()
    return [
        span_of({name: value for name, value in zip(SPAN_FIELDS, row, strict=True) if value is not None})
        for row in found
    ]
