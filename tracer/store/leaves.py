"""The leaves of a chunk as a frame: which spans are leaves, what their runs do to them, and they to their runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress
from operator import not_
from typing import Any, NamedTuple

import polars as pl

from tracer.model import RawSpan, Span, SpanKind, SpanStatus
from tracer.normalise.build import Origin, origin_of
from tracer.normalise.contents import Contents
from tracer.normalise.hanging import Hanging, Key, RunLeaves, TraceLeaves
from tracer.normalise.identity import WORKING
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.leaves import KINDS, Body, LeafShape, leaf_shape, read_leaves, shape_key
from tracer.normalise.llamaindex import TURN
from tracer.normalise.loose_calls import NO_CONTEXT
from tracer.normalise.reading import is_coworker, names_agents
from tracer.normalise.runs import is_setup
from tracer.normalise.unanswered import may_ask
from tracer.pricing import Prices
from tracer.semconv import Frameworks
from tracer.store.columns import empty_frame, frame_of_columns, stacked
from tracer.store.frame import span_of_body


class Written(NamedTuple):
    """An ended span as its segment holds it, not yet made a `RawSpan`."""

    body: Body
    resource: dict[str, Any]
    scope: str

    @property
    def key(self) -> Key:
        return self.body["trace_id"], self.body["span_id"]

    def raw(self) -> RawSpan:
        """The span; the body may be used again."""
        return span_of_body(dict(self.body), self.resource, self.scope)


_BLOCK = 4_000
"""spans that are read at once: more of them do not fit into the processor's cache, and reading takes half as long again"""
ASKED = (
    "trace_id", "span_id", "parent_span_id", "run_id", "name", "kind", "start_ns", "end_ns", "status", "error_type",
    "error_message", "workflow", "agent", "agent_inferred", "session_id", "user_id", "service", "pid", "input_tokens",
    "output_tokens", "cost_usd", "target_agent", "reason", "convention", "derived", "input_refs", "output_refs",
    "attributes",
)  # fmt: skip
"""columns of `spans` that rows always have, known or not"""


@dataclass(slots=True)
class Rows:
    """Rows of `spans` as `normalise` leaves them, and what they were made from."""

    frame: pl.DataFrame = field(default_factory=lambda: empty_frame("spans"))
    written: list[Written | Span] = field(default_factory=list["Written | Span"])

    def take_out(self, chosen: pl.Series) -> list[Written | Span]:
        """Remove the rows where `chosen` is true and give what they were made from, to go the general way."""
        return self.part(chosen).written if chosen.any() else []

    def part(self, chosen: pl.Series) -> Rows:
        """Remove the rows where `chosen` is true and give them."""
        out = chosen.to_list()
        found = Rows(self.frame.filter(chosen), list(compress(self.written, out)))
        self.written = list(compress(self.written, map(not_, out)))
        self.frame = self.frame.filter(~chosen)
        return found

    def add(self, more: Rows) -> None:
        """Take in further rows."""
        self.frame = stacked("spans", [self.frame, more.frame])
        self.written += more.written

    def of_traces(self, trace_ids: Iterable[str]) -> pl.Series:
        """Which rows are of these traces."""
        return self.frame["trace_id"].is_in(list(trace_ids))

    def of_spans(self, keys: Set[Key]) -> pl.Series:
        """Which rows are these spans."""
        return self._keyed("span_id", keys)

    def below(self, keys: Set[Key]) -> pl.Series:
        """Which rows hang from these spans."""
        return self._keyed("parent_span_id", keys)

    def _keyed(self, column: str, keys: Set[Key]) -> pl.Series:
        found = [key in keys for key in self.frame.select("trace_id", column).iter_rows()]
        return pl.Series(found, dtype=pl.Boolean)


class Leaves(Rows):
    """Leaves, whose parents have rows of their own."""

    __slots__ = ()

    def hanging(self) -> Hanging:
        """What the rows do to their runs."""
        frame = self.frame
        if frame.is_empty():
            return Hanging({}, {})
        works = pl.col("kind").is_in([kind.value for kind in WORKING])
        below = frame.group_by("trace_id", "parent_span_id").agg(works.any())
        traces = frame.group_by("trace_id").agg(
            pl.col("start_ns").min(),
            pl.col("start_ns").max().alias("last_ns"),
            pl.col("end_ns").max(),
            pl.struct("service", "pid").unique().alias("processes"),
            pl.col("agent").drop_nulls().unique(),
        )
        return Hanging(
            below={(trace_id, parent): working for trace_id, parent, working in below.rows()},
            traces={
                trace_id: TraceLeaves(first, last, end, {(p["service"], p["pid"]) for p in processes}, set(agents))
                for trace_id, first, last, end, processes, agents in traces.rows()
            },
        )

    def resolved(self, spans: Mapping[Key, Span], hanging: Hanging) -> pl.DataFrame:
        """The rows with what their parents, the resolved `spans`, pass on."""
        if not self.written:
            return self.frame
        above = [(key, spans[key], who) for key, who in hanging.passed.items()]
        parents = pl.DataFrame(
            {
                "trace_id": [key[0] for key, _, _ in above],
                "parent_span_id": [key[1] for key, _, _ in above],
                "_run": [span.run_id for _, span, _ in above],
                "_workflow": [span.workflow for _, span, _ in above],
                "_session": [span.session_id for _, span, _ in above],
                "_agent": [who for _, _, who in above],
                "_instance": [span.agent_id if "agent_id" in (span.derived or ()) else None for _, span, _ in above],
                "_instance_of": [span.agent for _, span, _ in above],
                "_only": [hanging.only_agent.get(key[0]) for key, _, _ in above],
            },
            schema=dict.fromkeys(
                (
                    "trace_id",
                    "parent_span_id",
                    "_run",
                    "_workflow",
                    "_session",
                    "_agent",
                    "_instance",
                    "_instance_of",
                    "_only",
                ),
                pl.String(),
            ),
        )
        works = pl.col("kind").is_in([kind.value for kind in WORKING])
        narrow = self.frame.select("trace_id", "parent_span_id", "kind", "agent")
        joined = narrow.join(parents, on=["trace_id", "parent_span_id"], how="left", maintain_order="left")
        inherited = pl.coalesce("_agent", pl.when(works).then("_only"))
        who = pl.coalesce("agent", inherited)
        instance = pl.when(who == pl.col("_instance_of")).then("_instance")
        derived = pl.concat_list(
            pl.when(instance.is_not_null()).then(pl.lit(["agent_id"])).otherwise(pl.lit([], pl.List(pl.String))),
            pl.when(pl.col("_run") != pl.col("trace_id"))
            .then(pl.lit(["run_id"]))
            .otherwise(pl.lit([], pl.List(pl.String))),
        )
        passed = joined.select(
            who.alias("agent"),
            instance.alias("agent_id"),
            (pl.col("agent").is_null() & inherited.is_not_null()).alias("agent_inferred"),
            pl.col("_run").alias("run_id"),
            pl.col("_workflow").alias("workflow"),
            pl.col("_session").alias("session_id"),
            pl.when(derived.list.len() > 0).then(derived).alias("derived"),
        )
        return self.frame.with_columns(passed.get_columns())


def by_run(rows: pl.DataFrame) -> dict[str, RunLeaves]:
    """What resolved leaves add to the summaries of their runs."""
    if rows.is_empty():
        return {}
    llm = pl.col("kind") == SpanKind.LLM.value
    billed = llm | (pl.col("kind") == SpanKind.EMBEDDING.value)
    found = rows.group_by("run_id").agg(
        pl.len(),
        pl.col("end_ns").max(),
        pl.col("agent").filter(pl.col("agent") != "").drop_nulls().unique(),
        llm.sum().alias("calls"),
        pl.col("input_tokens").filter(billed).sum(),
        pl.col("output_tokens").filter(billed).sum(),
        pl.col("cost_usd").filter(billed).drop_nulls().sum().alias("cost"),
        pl.col("cost_usd").filter(billed).count().alias("priced"),
        billed.sum().alias("billed"),
        pl.col("convention"),
    )
    return {
        run_id: RunLeaves(
            spans=spans,
            end_ns=end_ns,
            agents=set(agents),
            llm_calls=calls,
            input_tokens=sent,
            output_tokens=got,
            cost_usd=cost if priced else None,
            unpriced_calls=billed - priced,
            conventions=Counter(conventions),
        )
        for run_id, spans, end_ns, agents, calls, sent, got, cost, priced, billed, conventions in found.rows()
    }


@dataclass(slots=True)
class Found:
    """Which of the ended spans are read by column."""

    ended: Mapping[Key, RawSpan | Written]
    running: Mapping[Key, RawSpan]
    noted: Container[Key]
    """spans that a log record names"""
    parents: set[Key] = field(default_factory=set[Key])
    """spans that something hangs from or links to"""
    whole: set[str] = field(default_factory=set[str])
    """traces that are there from their one root to the last span"""
    written: list[Written] = field(default_factory=list[Written])
    """leaves, and all spans of the traces `whole`"""
    others: list[RawSpan] = field(default_factory=list[RawSpan])
    """to go the general way"""

    def hangs(self, span: Written) -> bool:
        """Whether `span` may be a leaf: nothing hangs from it, and its parent is at hand and started before, so that it
        is never the first of its run."""
        body, key = span.body, span.key
        if key in self.parents or key in self.noted or body.get("status") == "error":
            return False
        above = (key[0], body.get("parent_span_id") or "")
        parent = self.ended.get(above) or self.running.get(above)
        if parent is None:
            return False
        return (parent.start_ns if isinstance(parent, RawSpan) else parent.body["start_ns"]) < body["start_ns"]


def find(ended: Mapping[Key, RawSpan | Written], running: Mapping[Key, RawSpan], noted: Container[Key]) -> Found:
    """Leaves and whole traces; `noted` are spans that a log record names."""
    found = Found(ended, running, noted)
    parents = found.parents
    partial: set[str] = set()
    roots: dict[str, int] = {}
    for key, span in (*ended.items(), *running.items()):
        trace_id = key[0]
        if isinstance(span, RawSpan):
            partial.add(trace_id)
            if span.parent_span_id:
                parents.add((trace_id, span.parent_span_id))
            for link in span.links:  # a link to a leaf asks for its agent
                parents.add((link.trace_id, link.span_id))
                partial.add(link.trace_id)
        elif parent := span.body.get("parent_span_id"):
            above = (trace_id, parent)
            parents.add(above)
            if above not in ended:
                partial.add(trace_id)
        else:
            roots[trace_id] = roots.get(trace_id, 0) + 1
        if key in noted:
            partial.add(trace_id)
    whole = found.whole = {trace_id for trace_id, number in roots.items() if number == 1} - partial
    for key, span in ended.items():
        if isinstance(span, RawSpan):
            found.others.append(span)
        elif key[0] in whole or found.hangs(span):
            found.written.append(span)
        else:
            found.others.append(span.raw())
    return found


def read(found: Found, contents: Contents, prices: Prices) -> tuple[Leaves, Rows]:
    """(leaves, rows of whole traces) among what was `found`; what says more than such rows may goes to its others."""
    frames: list[pl.DataFrame] = []
    rows = Rows()
    shapes: dict[tuple[object, ...], LeafShape | None] = {}
    origins: dict[int, Origin] = {}
    odd: set[str] = set()
    for start in range(0, len(found.written), _BLOCK):
        groups: dict[tuple[object, ...], list[Written]] = {}
        for written in found.written[start : start + _BLOCK]:
            key = (id(written.resource), *shape_key(written.body, written.scope))
            if (group := groups.get(key)) is None:
                groups[key] = [written]
            else:
                group.append(written)
        for key, group in groups.items():
            resource = group[0].resource
            origin = origins.get(id(resource))
            if origin is None:
                origin = origins[id(resource)] = origin_of(resource, contents)
            if key not in shapes:
                shapes[key] = leaf_shape(group[0].raw())
            frame = _frame(group, shapes[key], origin, contents, prices)
            if frame is None:
                found.others += [written.raw() for written in group]
                odd.update(written.body["trace_id"] for written in group)
            else:
                frames.append(frame)
                rows.written += group
    found.whole -= odd
    rows.frame = stacked("spans", frames, ASKED)
    whole = rows.part(rows.of_traces(found.whole))
    # Again: of a trace with a span that cannot be read so, the others may stand above it.
    hangs = [isinstance(row, Written) and found.hangs(row) for row in rows.written]
    leaf = pl.Series(hangs, dtype=pl.Boolean) & is_leaf_kind(rows.frame)
    found.others += [row.raw() for row in rows.take_out(~leaf) if isinstance(row, Written)]
    return Leaves(rows.frame, rows.written), whole


def is_leaf_kind(rows: pl.DataFrame) -> pl.Series:
    """Whether each of `rows` is of a kind that only takes from what is above it."""
    return rows["kind"].is_in([kind.value for kind in KINDS])


def _frame(
    group: Sequence[Written], shape: LeafShape | None, origin: Origin, contents: Contents, prices: Prices
) -> pl.DataFrame | None:
    if shape is None:
        return None
    bodies = [written.body for written in group]
    try:
        columns = read_leaves(bodies, shape, origin, group[0].scope, contents, prices)
        return None if columns is None else frame_of_columns("spans", *columns, rows=len(group))
    except Exception:  # noqa: BLE001  (the general way finds out which span it is, keeps it and counts it)
        return None


def among(spans: Sequence[Span], needed: Set[Key]) -> tuple[list[Span], list[Span]]:
    """(leaves, all others) of normalised spans, whoever sent them. `needed` are spans that something else refers to."""
    known = {(span.trace_id, span.span_id): span.start_ns for span in spans}
    parents = needed | {(span.trace_id, span.parent_span_id or "") for span in spans}
    leaves: list[Span] = []
    others: list[Span] = []
    for span in spans:
        key = (span.trace_id, span.span_id)
        is_leaf = (
            span.kind in KINDS
            and key not in parents
            and span.status == SpanStatus.OK
            and span.parent_span_id is not None
            and known.get((span.trace_id, span.parent_span_id), span.start_ns) < span.start_ns
            and span.derived is None
            and span.convention != "autogen"
            and span.run_id == span.trace_id
            and span.workflow is None
            and span.session_id is None
            and span.user_id is None
            and span.agent_id is None
            and span.target_agent is None
            and span.finish_reason != PAUSED
            and not (span.tool_name is not None and names_agents(span.tool_name))
            and not may_ask(span)
        )
        (leaves if is_leaf else others).append(span)
    return leaves, others


def not_plain(leaves: Leaves, spans: Sequence[Span]) -> pl.Series:
    """Which leaves need a row of their own because of what is above or beside them, the normalised `spans`.

    Where in doubt, they do: it only takes longer.
    """
    odd: set[str] = set()
    passing_on = False
    for span in spans:
        tool = span.kind in (SpanKind.TOOL, SpanKind.HANDOFF)
        if (tool and span.target_agent is not None and span.convention != "tracehound") or may_ask(span):
            passing_on = True
        if (
            is_setup(span)
            or (tool and is_coworker(span.tool_name))
            or span.finish_reason == PAUSED
            or (span.kind == SpanKind.AGENT and (Frameworks.SMOLAGENTS_MAX_STEPS in span.attributes))
            or span.name.endswith(TURN)
            or (span.agent or "").endswith("Manager")
        ):
            odd.add(span.trace_id)
    inside = {kind: _inside(spans, (kind,)) for kind in (SpanKind.LLM.value, SpanKind.EMBEDDING.value)}
    inside[SpanKind.TOOL.value] = _inside(spans, (SpanKind.TOOL, SpanKind.HANDOFF))
    known = {(span.trace_id, span.span_id) for span in spans}
    frame = leaves.frame
    checked: list[bool] = [
        trace_id in odd
        or (parent := (trace_id, parent_id)) not in known
        or parent in inside.get(kind, ())
        or (passing_on and agent is not None)
        for trace_id, parent_id, kind, agent in frame.select("trace_id", "parent_span_id", "kind", "agent").iter_rows()
    ]
    # A client's call may have been made for it.
    return pl.Series(checked, dtype=pl.Boolean) | frame["attributes"].str.contains_any(list(NO_CONTEXT))


def _inside(spans: Sequence[Span], kinds: Container[str]) -> set[Key]:
    """The spans of these kinds and all below them: a call inside a call may be the same one, seen twice."""
    found = {(span.trace_id, span.span_id) for span in spans if span.kind in kinds}
    children: dict[Key, list[Key]] = {}
    if found:
        for span in spans:
            if span.parent_span_id:
                key = (span.trace_id, span.span_id)
                children.setdefault((span.trace_id, span.parent_span_id), []).append(key)
    pending = list(found)
    while pending:
        for key in children.get(pending.pop(), ()):
            if key not in found:
                found.add(key)
                pending.append(key)
    return found
