"""The leaves of a chunk as a frame: which spans are leaves, what their runs do to them, and they to their runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import polars as pl

from tracer.model import RawSpan, Span, SpanKind, SpanStatus
from tracer.normalise import ag2, logfire
from tracer.normalise.build import origin_of
from tracer.normalise.called_beside import stands_beside
from tracer.normalise.contents import Contents
from tracer.normalise.hanging import Hanging, Key, RunLeaves, TraceLeaves
from tracer.normalise.identity import WORKING
from tracer.normalise.langgraph import PAUSED
from tracer.normalise.leaves import COLUMN, KINDS, SHAPE, LeafShape, Shaped, leaf_shape, read_leaves
from tracer.normalise.llamaindex import TURN
from tracer.normalise.loose_calls import NO_CONTEXT
from tracer.normalise.reading import is_coworker, names_agents
from tracer.normalise.runs import is_setup
from tracer.normalise.unanswered import may_ask
from tracer.pricing import default_prices
from tracer.semconv import Frameworks
from tracer.store.columns import empty_frame, stacked
from tracer.store.records import SOURCE, TELLING, Records

ASKED = (
    "trace_id", "span_id", "parent_span_id", "run_id", "name", "kind", "start_ns", "end_ns", "status", "error_type",
    "error_message", "workflow", "agent", "agent_inferred", "session_id", "user_id", "service", "pid", "input_tokens",
    "output_tokens", "cost_usd", "target_agent", "reason", "convention", "derived", "input_refs", "output_refs",
    "attributes",
)  # fmt: skip
"""columns of `spans` that rows always have, known or not"""
LOOK_BESIDE = [*NO_CONTEXT, *ag2.SCOPES, logfire.SCOPE]
"""in the attributes of spans that may belong with what stands beside them: a client's call that was made for one, the agent
that a helper works for, the end of a stream"""


class Sources:
    """What rows were made from: records, and behind them spans that the general way has made."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records
        self._height = records.spans.height if records else 0
        self._spans: list[Span] = []

    def add(self, spans: Sequence[Span]) -> pl.Series:
        """The numbers by which `give` gives them."""
        first = self._height + len(self._spans)
        self._spans += spans
        return pl.Series(SOURCE, range(first, first + len(spans)), dtype=pl.Int64)

    def give(self, numbers: pl.Series) -> list[RawSpan | Span]:
        """What the rows with these numbers were made from, to go the general way."""
        records, height = self._records, self._height
        found: list[RawSpan | Span] = [self._spans[number - height] for number in numbers.filter(numbers >= height)]
        if records is not None:
            found += records.some(numbers.filter(numbers < height))
        return found


@dataclass(slots=True)
class Rows:
    """Rows of `spans` as `normalise` leaves them, with `SOURCE`."""

    frame: pl.DataFrame = field(default_factory=lambda: empty_frame("spans"))
    sources: Sources = field(default_factory=Sources)

    def take_out(self, chosen: pl.Series) -> list[RawSpan | Span]:
        """Remove the rows where `chosen` is true and give what they were made from, to go the general way."""
        return self.sources.give(self.part(chosen).frame[SOURCE]) if chosen.any() else []

    def part(self, chosen: pl.Series) -> Rows:
        """Remove the rows where `chosen` is true and give them."""
        found = type(self)(self.frame.filter(chosen), self.sources)
        self.frame = self.frame.filter(~chosen)
        return found

    def add(self, frame: pl.DataFrame) -> None:
        """Take in further rows, which `sources` knows."""
        self.frame = stacked("spans", [self.frame, frame])

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
        return is_among(self.frame, column, keys)


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
        if self.frame.is_empty():
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


def is_among(rows: pl.DataFrame, column: str, keys: Iterable[Key]) -> pl.Series:
    """Whether each row's trace and `column` are one of `keys`."""
    known = _keys(keys).rename({"span_id": column})
    narrow = rows.select("trace_id", column)
    return narrow.join(known, on=["trace_id", column], how="left", maintain_order="left")["_there"].is_not_null()


def _keys(keys: Iterable[Key]) -> pl.DataFrame:
    found = list(set(keys))
    columns = {"trace_id": [key[0] for key in found], "span_id": [key[1] for key in found]}
    return pl.DataFrame(columns, schema={"trace_id": pl.String, "span_id": pl.String}).with_columns(_there=True)


def readable(records: Records, others: Iterable[Key]) -> pl.Series:
    """Which of the spans may be read by column, by what they have; `others` are spans that have rows of their own.

    A span that came more than once goes the general way, every time it came.
    """
    rows = records.spans
    usual = rows.select(
        pl.col("end_ns").is_not_null()
        & pl.col("attributes").str.starts_with("{").fill_null(False)
        & pl.all_horizontal(pl.col("events", "links", "resource").is_null())
        & ~pl.col("attributes").str.contains('"$bytes"', literal=True).fill_null(False)
    ).to_series()
    return usual & ~rows.select("trace_id", "span_id").is_duplicated() & ~is_among(rows, "span_id", others)


@dataclass(slots=True)
class Found:
    """What is read by column of the readable spans of a chunk."""

    rows: pl.DataFrame
    """leaves, and all spans of the traces `whole`"""
    whole: pl.Series
    """traces that are there from their one root to the last span"""
    others: pl.Series
    """sources of those that go the general way"""


def find(rows: pl.DataFrame, others: Sequence[RawSpan], noted: Set[Key]) -> Found:
    """Leaves and whole traces among the readable `rows`, beside `others`; `noted` are spans that a log record names."""
    above = pl.DataFrame(
        {
            "trace_id": [span.trace_id for span in others],
            "parent_span_id": [span.span_id for span in others],
            "_start_ns": [span.start_ns for span in others],
        },
        schema={"trace_id": pl.String, "parent_span_id": pl.String, "_start_ns": pl.Int64},
    ).unique(["trace_id", "parent_span_id"], keep="last")
    known = rows.select("trace_id", pl.col("span_id").alias("parent_span_id"), pl.col("start_ns").alias("_start_ns"))
    parent = pl.col("parent_span_id").replace("", None)
    narrow = rows.select("trace_id", "span_id", parent, "start_ns", "status")
    narrow = narrow.join(
        pl.concat([known, above]), on=["trace_id", "parent_span_id"], how="left", maintain_order="left"
    )
    # What hangs from or links to a span asks it for more than a leaf has to give.
    needed = {(span.trace_id, span.parent_span_id) for span in others if span.parent_span_id}
    links = [(link.trace_id, link.span_id) for span in others for link in span.links]
    holding = _keys([*needed, *links, *noted]).select("trace_id", "span_id")
    holding = pl.concat([holding, narrow.select("trace_id", pl.col("parent_span_id").alias("span_id")).drop_nulls()])
    holds = narrow.select("trace_id", "span_id").join(
        holding.unique().with_columns(_holds=True), on=["trace_id", "span_id"], how="left", maintain_order="left"
    )
    # The parent of a whole run's span has a row here, not only one that goes the general way: such a run is partial.
    partial = {span.trace_id for span in others} | {trace_id for trace_id, _ in (*links, *noted)}
    roots = pl.col("parent_span_id").is_null()
    whole = (
        narrow.group_by("trace_id")
        .agg(roots.sum().alias("roots"), (~roots & pl.col("_start_ns").is_null()).any().alias("orphan"))
        .filter((pl.col("roots") == 1) & ~pl.col("orphan") & ~pl.col("trace_id").is_in(list(partial)))["trace_id"]
    )
    hangs = holds["_holds"].is_null() & (narrow["status"] != "error").fill_null(True)
    hangs &= (narrow["_start_ns"] < narrow["start_ns"]).fill_null(False)
    by_column = narrow["trace_id"].is_in(whole.implode()) | hangs
    chosen = rows.with_columns(hangs.alias("_hangs")).filter(by_column)
    return Found(chosen, whole, rows[SOURCE].filter(~by_column))


def read(found: Found, records: Records, sources: Sources, contents: Contents) -> tuple[Leaves, Rows, list[RawSpan]]:
    """(leaves, rows of whole traces, what says more than such rows may) among what was `found`."""
    if found.rows.is_empty():
        return Leaves(empty_frame("spans"), sources), Rows(empty_frame("spans"), sources), []
    try:
        frame, odd = read_leaves(_shaped(found.rows, records, contents), contents, default_prices())
    except Exception:  # noqa: BLE001  (the general way finds out which span it is, keeps it and counts it)
        frame, odd = found.rows, pl.Series([True]).new_from_index(0, found.rows.height)
    rows = Rows(stacked("spans", [frame.filter(~odd)], ASKED), sources)
    unread = found.rows.select("trace_id", SOURCE).filter(odd)
    if not rows.frame.height:
        return Leaves(empty_frame("spans"), sources), Rows(empty_frame("spans"), sources), _raw(sources, unread[SOURCE])
    whole = found.whole.filter(~found.whole.is_in(unread["trace_id"].implode()))
    runs = rows.part(rows.frame["trace_id"].is_in(whole.implode()))
    # Again: of a trace with a span that cannot be read so, the others may stand above it.
    leaf = rows.frame["_hangs"] & is_leaf_kind(rows.frame)
    others = [*_raw(sources, unread[SOURCE]), *_raw(sources, rows.frame[SOURCE].filter(~leaf))]
    return Leaves(rows.frame.filter(leaf).drop("_hangs"), sources), Rows(runs.frame.drop("_hangs"), sources), others


def _raw(sources: Sources, numbers: pl.Series) -> list[RawSpan]:
    return [span for span in sources.give(numbers) if isinstance(span, RawSpan)]


def _shaped(rows: pl.DataFrame, records: Records, contents: Contents) -> Shaped:
    """The rows with the number of their shape: those of one look alike to all adapters (`Adapter.recognises`)."""
    numbers: dict[int, int] = {}
    origins = [numbers.setdefault(id(head.resource), len(numbers)) for head in records.heads]
    resources = {number: head.resource for number, head in zip(origins, records.heads, strict=True)}
    heads = pl.DataFrame(
        {"frame": range(len(records.heads)), "_origin": origins, "_scope": [head.scope for head in records.heads]}
    )
    asked = rows.join(heads, on="frame", how="left", maintain_order="left").select(
        SOURCE,
        "structure",
        "_origin",
        pl.coalesce("scope", "_scope").alias("scope"),
        # `execute_tool search`: the first word, and whether there are more
        pl.col("name").str.splitn(" ", 2).struct.field("field_0").alias("_first"),
        pl.col("name").str.contains(" ", literal=True).alias("_more"),
        "slots",
        (pl.col("status") == "error").fill_null(False).alias("_failed"),
        (pl.col("status_message").fill_null("") != "").alias("_message"),
        *[COLUMN + name for name in TELLING],
    )
    groups = asked.group_by(asked.columns[1:], maintain_order=True).agg(SOURCE).with_row_index(SHAPE)
    placed = groups.select(SHAPE, SOURCE).explode(SOURCE).sort(SOURCE)  # as the rows are
    known = [origin_of(resources[number], contents) for number in range(len(numbers))]
    kinds = [records.kinds(structure) for structure in groups["structure"]]
    shapes = _shapes(records, groups[SOURCE].list.first())
    return Shaped(
        rows=rows.with_columns(placed[SHAPE], asked["_failed"]),
        shapes=[None if told is None else shape for shape, told in zip(shapes, kinds, strict=True)],
        kinds=[told or {} for told in kinds],
        origins=[known[number] for number in groups["_origin"]],
        scopes=groups["scope"].to_list(),
    )


def _shapes(records: Records, first: pl.Series) -> list[LeafShape | None]:
    """The shapes of which the rows `first` are one each; None where the general way has to find out."""
    try:
        return [leaf_shape(raw) for raw in records.some(first)]
    except Exception:  # noqa: BLE001  (the general way finds out which span it is, keeps it and counts it)
        return [None] if len(first) == 1 else [found for at in first for found in _shapes(records, pl.Series([at]))]


def is_leaf_kind(rows: pl.DataFrame) -> pl.Series:
    """Whether each of `rows` is of a kind that only takes from what is above it."""
    return rows["kind"].is_in([kind.value for kind in KINDS])


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
            or (
                span.kind == SpanKind.AGENT
                and (Frameworks.SMOLAGENTS_MAX_STEPS in span.attributes or stands_beside(span))
            )
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
    return pl.Series(checked, dtype=pl.Boolean) | frame["attributes"].str.contains_any(LOOK_BESIDE)


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
