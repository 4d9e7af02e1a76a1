"""Whole runs by column: those in which everything is plain, from the workflow at the root to the last call.

A run of our own recorder is plain where it came in one piece, in one trace, as a workflow with agents directly below it
and calls, decisions, state and handoffs below those, and nothing in it or beside it says more (`_plain_traces`,
`_beside`). What resolving and summing up do to such a run is little, and is done here for all of them at once; this must
give what `resolve` and `summarise` give. All other runs go there, and their leaves by column (`leaves`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from tracer.model import RunOutcome, Span, SpanEvent, SpanKind, SpanLink, SpanStatus, span_of
from tracer.normalise.handoffs import Said, take_overs
from tracer.normalise.identity import WORKING
from tracer.normalise.llamaindex import TURN
from tracer.normalise.outcome import COUNTED_AGENTS, outcome_of
from tracer.normalise.reading import COUNTED
from tracer.normalise.runs import is_setup, workflow_of
from tracer.store.leaves import LOOK_BESIDE, Rows, is_leaf_kind
from tracer.store.schema import table_schema

_AGENT, _HANDOFF, _WORKFLOW = SpanKind.AGENT.value, SpanKind.HANDOFF.value, SpanKind.WORKFLOW.value
_FAILED = pl.col("status") == SpanStatus.ERROR.value
_SPAN = ("trace_id", "span_id", "run_id", "name", "kind", "start_ns", "end_ns")
"""what every span of the few is made of that rules are asked about one by one, with what the rule looks at"""
_TAKE_OVER = ("agent", "convention", "target_agent", "reason")
_OUTCOME = ("status", "error_type", "error_message", "agent", "convention", "target_agent")
_NAME = ("workflow", "attributes")


class WholeRuns(NamedTuple):
    """Resolved rows, and what is written beside them."""

    spans: pl.DataFrame
    traces: pl.DataFrame
    run_traces: pl.DataFrame


def set_apart(
    rows: Rows, spans: Iterable[Span], events: Iterable[SpanEvent], links: Iterable[SpanLink]
) -> tuple[Rows, Rows]:
    """Leave only plain runs among the `rows` of whole traces; (leaves of the others, what is left of them).

    `spans`, `events` and `links` are what else is at hand, normalised.
    """
    plain = _plain_traces(rows.frame) - _beside(rows.frame, spans, events, links)
    others = rows.part(~rows.of_traces(plain))
    return others.part(_leaves(others.frame)), others


def _with_parents(frame: pl.DataFrame) -> pl.DataFrame:
    """What is asked of the rows, and of the parent of each."""
    above = frame.select(
        "trace_id",
        pl.col("span_id").alias("parent_span_id"),
        pl.col("kind").alias("_kind"),
        pl.col("agent").alias("_agent"),
        pl.col("start_ns").alias("_start_ns"),
    )
    # Few columns: a join copies all there are.
    narrow = frame.select("trace_id", "span_id", "parent_span_id", "kind", "name", "start_ns", "agent", "target_agent")
    return narrow.join(above, on=["trace_id", "parent_span_id"], how="left", maintain_order="left")


def _plain_traces(frame: pl.DataFrame) -> set[str]:
    kind, above = pl.col("kind"), pl.col("_kind")
    plain = (
        pl.when(pl.col("parent_span_id").is_null())
        .then(kind == _WORKFLOW)
        .when(kind == _AGENT)
        .then((above == _WORKFLOW) & (pl.col("agent").fill_null("") != "") & ~pl.col("name").str.ends_with(TURN))
        .otherwise(
            above.is_in([_WORKFLOW, _AGENT])
            & (kind != _WORKFLOW)
            & ((kind != _HANDOFF) | pl.col("target_agent").is_not_null())
        )
    )
    plain &= ~pl.col("agent").fill_null("").str.ends_with("Manager")
    found = _with_parents(frame).select("trace_id", plain.fill_null(False).alias("plain"))
    loose = frame["attributes"].str.contains_any(LOOK_BESIDE)
    odd = found.filter(~pl.col("plain") | loose)["trace_id"]
    return set(found["trace_id"].unique()) - set(odd) - set(_with_instances(frame))


def _with_instances(frame: pl.DataFrame) -> pl.Series:
    """The traces in which agents of one name work at the same time."""
    own = ["trace_id", "agent"]
    agents = frame.filter(pl.col("kind") == _AGENT).select(*own, "start_ns", "end_ns").sort("start_ns")
    latest = pl.col("end_ns").cum_max().shift().over(own)
    return agents.filter(pl.col("start_ns") < latest)["trace_id"].unique()


def _beside(
    frame: pl.DataFrame, spans: Iterable[Span], events: Iterable[SpanEvent], links: Iterable[SpanLink]
) -> set[str]:
    """The traces that may belong with others: named together, linked, parts of one turn of a conversation."""
    found = {event.trace_id for event in events}
    for link in links:
        found |= {link.trace_id, link.linked_trace_id}
    talking = set[str]()
    for span in spans:
        if is_setup(span):
            return set(frame["trace_id"])
        found |= {span.trace_id, span.run_id}
        if span.session_id:
            talking.add(span.session_id)
    times = (
        frame.group_by("trace_id")
        .agg(pl.col("session_id").drop_nulls().first(), pl.col("start_ns").min(), pl.col("end_ns").max())
        .filter(pl.col("session_id").is_not_null())
        .sort("session_id", "start_ns")
        .with_columns(latest=pl.col("end_ns").cum_max().shift().over("session_id"))
    )
    overlapping = times.filter(pl.col("start_ns") <= pl.col("latest"))["session_id"].unique()
    talking.update(overlapping)
    return found | set(times.filter(pl.col("session_id").is_in(list(talking)))["trace_id"])


def _leaves(frame: pl.DataFrame) -> pl.Series:
    """Which rows of whole traces are leaves as `leaves` wants them."""
    holding = frame.select("trace_id", pl.col("parent_span_id").alias("span_id"), pl.lit(True).alias("_holds")).unique()
    joined = _with_parents(frame).join(holding, on=["trace_id", "span_id"], how="left", maintain_order="left")
    hangs = (pl.col("_start_ns") < pl.col("start_ns")) & pl.col("_holds").is_null()
    fine = joined.select(hangs.fill_null(False).alias("fine")).to_series() & is_leaf_kind(frame)
    return fine & (frame["status"] == SpanStatus.OK.value)


def resolved(rows: Rows) -> WholeRuns:
    """The plain runs of `rows` with what their spans pass on to each other, and their sums."""
    frame = rows.frame
    works = pl.col("kind").is_in([kind.value for kind in WORKING])
    names = pl.col("agent").filter(pl.col("kind") == _AGENT)
    runs = frame.group_by("trace_id", maintain_order=True).agg(
        pl.when(names.n_unique() == 1).then(names.first()).alias("_only"),
        pl.col("session_id").drop_nulls().first().alias("_session"),
    )
    runs = runs.join(_named(frame), on="trace_id", how="left", maintain_order="left")
    inherited = pl.coalesce("_agent", pl.when(works).then("_only"))
    passed = (
        _with_parents(frame)
        .join(runs, on="trace_id", how="left", maintain_order="left")
        .select(
            pl.coalesce("agent", inherited).alias("agent"),
            (pl.col("agent").is_null() & inherited.is_not_null()).alias("agent_inferred"),
            pl.col("_workflow").alias("workflow"),
            pl.col("_session").alias("session_id"),
        )
    )
    passed = _taken_over(frame.with_columns(passed.get_columns()))
    return WholeRuns(spans=passed, traces=_summaries(passed), run_traces=_extents(passed))


def _spans_of(frame: pl.DataFrame, names: tuple[str, ...]) -> list[Span]:
    columns = (*_SPAN, *names)
    return [span_of(dict(zip(columns, row, strict=True))) for row in frame.select(columns).iter_rows()]


def _by_trace(frame: pl.DataFrame, names: tuple[str, ...]) -> dict[str, list[Span]]:
    """trace -> its spans in order of start."""
    found: dict[str, list[Span]] = {}
    for span in _spans_of(frame.select(*_SPAN, *names).sort("start_ns", "trace_id", "span_id"), names):
        found.setdefault(span.trace_id, []).append(span)
    return found


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    roots = _spans_of(frame.filter(pl.col("parent_span_id").is_null()), _NAME)
    return pl.DataFrame(
        {"trace_id": [root.trace_id for root in roots], "_workflow": [workflow_of(root) for root in roots]},
        schema={"trace_id": pl.String, "_workflow": pl.String},
    )


def _taken_over(frame: pl.DataFrame) -> pl.DataFrame:
    """With what agents say of each other that work one after the other, where the producer records no handoffs."""
    agent = pl.col("kind") == _AGENT
    silent = frame.filter(agent & (pl.col("convention") != "tracehound"))["trace_id"].unique()
    if silent.is_empty():
        return frame
    ours = pl.col("trace_id").is_in(silent.implode())
    narrow = frame.select(*_SPAN, *_TAKE_OVER).filter(pl.col("kind").is_in([_AGENT, _HANDOFF]) & ours)
    turns = _by_trace(narrow.filter(agent), _TAKE_OVER)
    handoffs = _by_trace(narrow.filter(~agent), _TAKE_OVER)
    root = pl.col("parent_span_id").is_null()
    led = set(frame.filter(ours & root & (pl.col("convention") != "tracehound"))["trace_id"])  # by a framework
    changed: list[Span] = []
    for trace_id, spans in turns.items():
        take_overs(spans, handoffs.get(trace_id, ()), Said() if trace_id in led else None)
        changed += [span for span in spans if span.derived]
    told = pl.DataFrame(
        {
            "trace_id": [span.trace_id for span in changed],
            "span_id": [span.span_id for span in changed],
            "_reason": [span.reason for span in changed],
            "_target": [span.target_agent for span in changed],
            "_derived": [span.derived for span in changed],
        },
        schema={"trace_id": pl.String, "span_id": pl.String, "_reason": pl.String, "_target": pl.String}
        | {"_derived": pl.List(pl.String)},
    )
    narrow = frame.select("trace_id", "span_id", "reason", "target_agent", "derived")
    joined = narrow.join(told, on=["trace_id", "span_id"], how="left", maintain_order="left").select(
        pl.coalesce("_reason", "reason").alias("reason"),
        pl.coalesce("_target", "target_agent").alias("target_agent"),
        pl.coalesce("_derived", "derived").alias("derived"),
    )
    return frame.with_columns(joined.get_columns())


def _outcomes(frame: pl.DataFrame) -> Mapping[str, tuple[str, str | None]]:
    """trace -> (outcome, reason), of those that may not just have completed."""
    agent, handoff = pl.col("kind") == _AGENT, pl.col("kind") == _HANDOFF
    framework = frame.filter(agent & (pl.col("convention") != "tracehound"))["trace_id"].unique()
    telling = _FAILED & (pl.col("kind").is_in([_WORKFLOW, _AGENT]) | pl.col("error_message").is_not_null())
    telling |= handoff & pl.col("trace_id").is_in(framework.implode())  # which may have been the last it allowed
    asked = frame.filter(telling)["trace_id"].unique()
    if asked.is_empty():
        return {}
    narrow = frame.select(*_SPAN, *_OUTCOME, "parent_span_id").filter(pl.col("trace_id").is_in(asked.implode()))
    few = [_by_trace(narrow.filter(chosen), _OUTCOME) for chosen in (agent, _FAILED, handoff)]
    roots = _spans_of(narrow.filter(pl.col("parent_span_id").is_null()), _OUTCOME)
    return {root.trace_id: outcome_of(root, *(found.get(root.trace_id, ()) for found in few)) for root in roots}


def _summaries(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of `traces`."""
    llm = pl.col("kind") == SpanKind.LLM.value
    billed = pl.col("kind").is_in([kind.value for kind in COUNTED])
    costs = pl.col("cost_usd").filter(billed)
    takes_part = pl.col("kind").is_in([kind.value for kind in COUNTED_AGENTS]) & (pl.col("agent") != "")
    conventions = (
        frame.group_by("trace_id", "convention")
        .len()
        .sort("trace_id", "len", "convention", descending=[False, True, False])
        .unique("trace_id", keep="first", maintain_order=True)
        .select("trace_id", "convention")
    )
    found = frame.group_by("trace_id", maintain_order=True).agg(
        pl.col("workflow").first(),
        pl.col("start_ns").min(),
        pl.col("end_ns").max(),
        pl.len().alias("spans"),
        pl.col("agent").filter(takes_part).drop_nulls().n_unique().alias("agents"),
        llm.sum().alias("llm_calls"),
        pl.col("input_tokens").filter(billed).sum(),
        pl.col("output_tokens").filter(billed).sum(),
        pl.when(costs.count() > 0).then(costs.sum()).alias("cost_usd"),
        (billed.sum() - costs.count()).alias("unpriced_calls"),
        _FAILED.sum().alias("errors"),
        pl.col("session_id").first(),
        pl.col("user_id").drop_nulls().first(),
        pl.col("service").sort_by("start_ns", "span_id").first(),
    )
    found = found.join(conventions, on="trace_id", how="left", maintain_order="left")
    outcomes = _outcomes(frame)
    completed = (RunOutcome.COMPLETED.value, None)
    ended = [outcomes.get(trace_id, completed) for trace_id in found["trace_id"]]
    schema = table_schema("traces")
    return found.with_columns(
        pl.col("trace_id").alias("run_id"),
        pl.Series("outcome", [str(outcome) for outcome, _ in ended], dtype=pl.String),
        pl.Series("outcome_reason", [reason for _, reason in ended], dtype=pl.String),
        source_id=None,
        escalations=0,
    ).select([pl.col(name).cast(dtype) for name, dtype in schema.items()])


def _extents(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of `run_traces`."""
    return frame.group_by("trace_id", maintain_order=True).agg(
        pl.col("trace_id").first().alias("run_id"),
        pl.col("start_ns").min().alias("first_ns"),
        pl.col("start_ns").max().alias("last_ns"),
    )


def sessions(rows: Rows) -> dict[str, str | None]:
    """trace -> conversation."""
    roots = rows.frame.filter(pl.col("parent_span_id").is_null())
    return dict(roots.select("trace_id", "session_id").iter_rows())
