"""One run as columns for the viewer (folder `viewer`): everything to draw and search, no prompt or payload text.

`payload` gives:
    trace_id, started (UTC text), t0_ns (text), duration_ns, timed (false where the source has no times: one second is one message), css (the palette), kinds [{id, glyph, word}], agents, agent_slots, statuses,
    labels and names (what a span is called here, and what its producer called it), findings [{id, kind, severity, title, tag, times, spans}],
    idle [[from, to]] (see `idle_gaps`),
    errors {span id: text}, columns {id, parent, depth, lane, start, dur, kind, agent, status, label, name, cost, tokens, flags, mark}
where columns are lists in depth-first order, times are ns from t0, and kind, agent, status, label, name, mark are indices
(-1: none). Cost and tokens are a span's own. With `path` (see `path_columns`) the viewer marks the critical path.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from analyzers.critical_path import Piece
from analyzers.finding import SEVERITIES, Finding
from analyzers.frames import Frames
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_mark, finding_times, on_figures
from dashboard.figures.idle import idle_gaps
from dashboard.figures.lanes import assign_lanes
from dashboard.figures.markup import readable
from dashboard.figures.tree import Tree, build_tree
from tracer.clock import has_clock
from tracer.model import SpanKind

VIEWER_PARTS: Final = ("words.js", "style.js", "axis.js", "rounds.js", "model.js", "save.js", "mount.js")
"""files of the folder `viewer`, in the order in which they make one script"""

STATUSES: Final = ("ok", "error", "running", "interrupted")
_STATUS_CODES: Final[Mapping[str | None, int]] = {status: code for code, status in enumerate(STATUSES)}

# Bits of the column `flags`.
DUPLICATE: Final = 1  # repeats another span; counted nowhere
UNPRICED: Final = 2  # an LLM call whose price is unknown
UNPRICED_BELOW: Final = 4  # such a call in the subtree: the total is a lower bound
ORPHAN: Final = 8  # its parent never arrived
AGENT_INFERRED: Final = 16  # the agent was derived, not recorded

_NAME_LIMIT: Final = 160


@dataclass(frozen=True)
class TraceView:
    """The tree of one run with everything the viewer draws; lists follow `tree`'s order. Costs are USD, times ns."""

    tree: Tree
    lane: list[int]
    label: list[str]
    own_cost: list[float]
    own_tokens: list[int]
    flags: list[int]
    mark: list[int]
    """index of the worst finding a span belongs to, -1 for none"""
    findings: Sequence[Finding]

    @cached_property
    def total_cost(self) -> list[float]:
        """Of each span and everything below it."""
        return self._rolled_up(self.own_cost)

    @cached_property
    def total_tokens(self) -> list[int]:
        """Of each span and everything below it."""
        return self._rolled_up(self.own_tokens)

    def _rolled_up(self, own: list[Any]) -> list[Any]:
        total = list(own)
        for i in range(len(total) - 1, -1, -1):
            if (parent := self.tree.parent[i]) >= 0:
                total[parent] += total[i]
        return total


def build_view(frames: Frames, findings: Sequence[Finding] = ()) -> TraceView:
    """Lay out one run. Findings of other runs and those about the recording are left out; their order is kept."""
    tree = build_tree(frames)
    counted = pl.col("duplicate_of").is_null()
    priced_kind = pl.col("kind").is_in([SpanKind.LLM, SpanKind.EMBEDDING])
    values = tree.select(
        cost=pl.when(counted).then(pl.col("cost_usd").cast(pl.Float64).fill_null(0.0)).otherwise(0.0),
        tokens=pl.when(counted)
        .then(pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0))
        .otherwise(0),
        flags=pl.when(pl.col("duplicate_of").is_not_null()).then(DUPLICATE).otherwise(0)
        + pl.when(priced_kind & pl.col("cost_usd").is_null() & counted).then(UNPRICED).otherwise(0)
        + pl.when(pl.col("agent_inferred")).then(AGENT_INFERRED).otherwise(0),
        label=_label(),
    )
    flags: list[int] = values["flags"].to_list()
    for i, orphan in enumerate(tree.orphan):
        if orphan:
            flags[i] |= ORPHAN
    for i, flag in enumerate(flags):
        if flag & UNPRICED:
            for above in tree.ancestors(i):
                if flags[above] & UNPRICED_BELOW:
                    break
                flags[above] |= UNPRICED_BELOW
    here = [finding for finding in on_figures(findings) if any(span in tree.index for span in finding.spans)]
    mark = [-1] * len(tree)
    # Worst severity last, so that it wins; among equals the first of the list.
    ranked = sorted(range(len(here)), key=lambda k: (SEVERITIES.index(here[k].severity), k), reverse=True)
    for k in ranked:
        for span in here[k].spans:
            if (i := tree.index.get(span)) is not None:
                mark[i] = k
    return TraceView(
        tree=tree,
        lane=assign_lanes(tree.parent, tree.start, tree.stop),
        label=values["label"].to_list(),
        own_cost=values["cost"].to_list(),
        own_tokens=values["tokens"].to_list(),
        flags=flags,
        mark=mark,
        findings=here,
    )


def labels(frame: pl.DataFrame) -> list[str]:
    """What a span is called in a figure, in the field's words: the agent, the model and purpose, the tool, the key and version."""
    return frame.select(_label()).to_series().to_list()


def _label() -> pl.Expr:

    def text(column: str, fallback: str = "") -> pl.Expr:
        return pl.col(column).cast(pl.String).fill_null(fallback)

    def tail(prefix: str, column: str) -> pl.Expr:
        return pl.when(pl.col(column).is_not_null()).then(pl.lit(prefix) + text(column)).otherwise(pl.lit(""))

    kind = pl.col("kind")
    name = pl.col("name")
    spoken = (
        pl.when((kind == SpanKind.AGENT) & pl.col("agent").is_not_null())
        .then(pl.col("agent"))
        .when((kind == SpanKind.LLM) & pl.col("model").is_not_null())
        .then(pl.col("model") + tail(" · ", "purpose") + tail(" · attempt ", "attempt"))
        .when(kind.is_in([SpanKind.TOOL, SpanKind.RETRIEVER]) & pl.col("tool_name").is_not_null())
        .then(pl.col("tool_name") + tail(" · attempt ", "attempt"))
        .when((kind == SpanKind.HANDOFF) & pl.col("target_agent").is_not_null())
        .then(text("agent", "?") + pl.lit(" hands off to ") + text("target_agent"))
        .when((kind == SpanKind.MESSAGE) & pl.col("target_agent").is_not_null())
        .then(text("agent", "?") + pl.lit(" → ") + text("target_agent"))
        .when((kind == SpanKind.ESCALATION) & pl.col("target_agent").is_not_null())
        .then(text("agent", "run") + pl.lit(" escalates to ") + text("target_agent"))
        .when((kind == SpanKind.STATE_READ) & pl.col("state_key").is_not_null())
        .then(pl.lit("reads ") + text("state_key") + tail(" v", "version_read"))
        .when((kind == SpanKind.STATE_WRITE) & pl.col("state_key").is_not_null())
        .then(pl.lit("writes ") + text("state_key") + tail(" v", "version_written"))
        .when((kind == SpanKind.WAIT) & (pl.col("wait_for").list.len() > 0))
        .then(pl.lit("waits for ") + pl.col("wait_for").list.join(", "))
        .when((kind == SpanKind.DECISION) & pl.col("choice").is_not_null())
        .then(text("scope_key", "decides") + pl.lit(" = ") + text("choice"))
        .when((kind == SpanKind.GUARD_TRIP) & pl.col("guard").is_not_null())
        .then(text("guard") + pl.lit(" guard trips"))
        .otherwise(name)
    )
    return spoken.fill_null(name).str.slice(0, _NAME_LIMIT)


def payload(view: TraceView) -> dict[str, Any]:
    """The JSON-able columns that `mountTrace` takes. Sums over subtrees and self times are left to the viewer: they follow from these."""
    tree = view.tree
    shown = tree.select("kind", "agent", name=pl.col("name").str.slice(0, _NAME_LIMIT))
    kinds, kind = _coded(shown["kind"])
    agents, agent = _coded(shown["agent"])
    label_names, label = _coded(pl.Series(view.label, dtype=pl.String))
    names, name = _coded(shown["name"])
    errors = (
        tree.select("span_id", "error_type", "error_message", "status")
        .filter(pl.col("status") == "error")
        .drop("status")
    ).rows()
    slots = palette.agent_slots(agents)
    return {
        "version": 1,
        "trace_id": tree.spans["trace_id"][tree.order[0]] if len(tree) else "",
        "started": units.moment(tree.t0) if len(tree) else "",
        "t0_ns": str(tree.t0),
        "duration_ns": tree.horizon - tree.t0,
        "timed": has_clock(tree.t0),
        "css": palette.FIGURE_CSS,
        "kinds": [{"id": k, "glyph": palette.look(k).glyph, "word": palette.look(k).word} for k in kinds],
        "agents": [readable(a) for a in agents],
        "agent_slots": [slots.get(a, -1) for a in agents],
        "idle": idle_gaps(tree),
        "statuses": list(STATUSES),
        "names": [readable(text) for text in names],
        "labels": [readable(text) for text in label_names],
        "findings": [
            {
                "id": finding.id,
                "kind": finding.kind,
                "severity": finding.severity,
                "title": readable(finding.title),
                "tag": finding_mark(finding),
                "times": finding_times(finding),
                "spans": [tree.index[span] for span in finding.spans if span in tree.index],
            }
            for finding in view.findings
        ],
        "errors": {
            span: readable(": ".join(part for part in (kind_of, (message or "")[:300]) if part))
            for span, kind_of, message in errors
        },
        "columns": {
            "id": tree.ids,
            "parent": tree.parent,
            "depth": tree.depth,
            "lane": view.lane,
            "start": [start - tree.t0 for start in tree.start],
            "dur": [stop - start for start, stop in zip(tree.start, tree.stop, strict=True)],
            "kind": kind,
            "agent": agent,
            "status": [_STATUS_CODES.get(status, 0) for status in tree.column("status")],
            "label": label,
            "name": name,
            "cost": [round(cost, 9) if cost else 0.0 for cost in view.own_cost],
            "tokens": view.own_tokens,
            "flags": view.flags,
            "mark": view.mark,
        },
    }


def path_columns(made: Mapping[str, Any], pieces: Sequence[Piece]) -> dict[str, list[int]]:
    """The critical path for the viewer's `path`, small: its pieces follow one another and mostly end with their span.

    Returns:
        {span, lead, took}, one value a piece: the span as an index into `made`, less the one before; ns between the end of the piece
        before (t0 for the first) and its start; its length in ns, or -1 where it ends with its span.
    """
    columns = made["columns"]
    ids: list[str] = columns["id"]
    place = {ids[i]: i for i in range(len(ids) - 1, -1, -1)}
    t0 = int(made["t0_ns"])
    span: list[int] = []
    lead: list[int] = []
    took: list[int] = []
    last, before = t0, 0
    for piece in pieces:
        i = None if piece.span_id is None else place.get(piece.span_id)
        if i is None:
            continue
        stop = t0 + columns["start"][i] + columns["dur"][i]
        span.append(i - before)
        lead.append(piece.start_ns - last)
        took.append(-1 if piece.end_ns == stop else piece.end_ns - piece.start_ns)
        last, before = piece.end_ns, i
    return {"span": span, "lead": lead, "took": took}


def as_json(data: Mapping[str, Any]) -> bytes:
    """A payload as compact JSON; lists of whole numbers, most of a large one, are written by column."""
    head = {name: value for name, value in data.items() if name != "columns"}
    columns = ",".join(f"{_dumped(name)}:{_dumped_list(values)}" for name, values in data["columns"].items())
    return f'{_dumped(head)[:-1]},"columns":{{{columns}}}}}'.encode("utf-8", "replace")


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _dumped_list(values: list[Any]) -> str:
    if not values or type(values[0]) is not int:
        return _dumped(values)
    return f"[{pl.Series(values, dtype=pl.Int64).cast(pl.String).str.join(',').item()}]"


def packed(data: Mapping[str, Any]) -> str:
    """A payload as gzip in base64, for a page that carries it: base64 cannot close a script element."""
    return base64.b64encode(gzip.compress(as_json(data), 9, mtime=0)).decode()


def viewer_source() -> str:
    """The viewer's files as one text, an ES module exporting `mountTrace`."""
    folder = Path(__file__).with_name("viewer")
    return "".join((folder / part).read_text(encoding="utf-8") for part in VIEWER_PARTS)


def _coded(values: pl.Series) -> tuple[list[str], list[int]]:
    """Dictionary-code a column: distinct texts in order of appearance ("" for None), and one index per row."""
    texts = pl.DataFrame({"text": values.cast(pl.String).fill_null("")})
    known = texts.unique("text", maintain_order=True).with_row_index("code")
    coded = texts.join(known, on="text", how="left", maintain_order="left")
    return known["text"].to_list(), coded["code"].to_list()
