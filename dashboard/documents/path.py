"""The critical path of a run as a table: what the run waited for from its start to its end, and what had time to spare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from analyzers.critical_path import Piece
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import palette, units
from dashboard.figures.trace_view import labels
from tracer.model import SpanKind

SHOWN_PIECES, SHOWN_SPARE = 200, 12
_WORKS = (SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL)


def path_document(
    frames: Frames, pieces: Sequence[Piece], slack: Mapping[str, int], *, selected: str | None = None
) -> list[b.Block]:
    """Who held the run up, the pieces in order of time (the longest ones of a long path), and the work with the most slack.

    Args:
        pieces, slack: `analyzers.critical_path`; no pieces where the source has no times.
    """
    if not pieces:
        return [b.note("The source of this run has no times, so there is no critical path.")]
    total = sum(piece.length_ns for piece in pieces)
    names = _names(frames, {piece.span_id for piece in pieces if piece.span_id} | set(slack))
    running = bool((frames.traces["outcome"] == "running").any())
    blocks = [
        *([b.note("The run goes on: this is its path so far.", tone="running")] if running else []),
        b.heading("Critical path", note=f"{units.duration(total)} in {amount(len(pieces), 'stretch', 'stretches')}"),
        b.prose("These spans, one after the other, made the run take as long as it did. Making anything else faster changes nothing. In the waterfall they have a line below their bar; press c to see only them."),
        _by_agent(pieces, total),
    ]  # fmt: skip
    longest = sorted(range(len(pieces)), key=lambda i: (-pieces[i].length_ns, i))[:SHOWN_PIECES]
    if len(longest) < len(pieces):
        held = sum(pieces[i].length_ns for i in longest)
        blocks.append(b.note(f"Showing the {len(longest)} longest of {len(pieces):,} stretches, {held / total:.0%} of the time, in order of time. The CSV has them all."))  # fmt: skip
    columns = [
        b.column("at", right=True),
        b.column("took", right=True),
        b.column("share", right=True),
        b.column("agent"),
        b.column("what"),
        b.column("why"),
    ]
    rows = [_row(pieces[i], pieces[0].start_ns, total, names, selected) for i in sorted(longest)]
    blocks.append(b.table(columns, rows))
    blocks += _spare(frames, slack, {piece.span_id for piece in pieces}, names, selected)
    return blocks


def _names(frames: Frames, wanted: set[str]) -> dict[str, str]:
    rows = frames.spans.filter(pl.col("span_id").is_in(list(wanted)))
    glyphs = [palette.look(kind).glyph for kind in rows["kind"].to_list()]
    spoken = zip(rows["span_id"].to_list(), glyphs, labels(rows), strict=True)
    return {span: f"{glyph} {label}" for span, glyph, label in spoken}


def _by_agent(pieces: Sequence[Piece], total: int) -> b.Block:
    held: dict[str, int] = defaultdict(int)
    for piece in pieces:
        held[piece.agent or "no agent"] += piece.length_ns
    ranked = sorted(held.items(), key=lambda entry: (-entry[1], entry[0]))
    return b.facts(
        [b.fact(agent, units.duration(ns), hint=f"{ns / total:.1%} of the path" if total else None) for agent, ns in ranked[:8]]
        + ([b.fact("others", units.duration(sum(ns for _, ns in ranked[8:])), hint=f"{len(ranked) - 8} more agents")] if len(ranked) > 8 else [])
    )  # fmt: skip


def _row(piece: Piece, origin: int, total: int, names: Mapping[str, str], selected: str | None) -> b.Block:
    if piece.waited_by is not None:
        why = f"waited for in {names.get(piece.waited_by, 'a wait')}"
    elif piece.span_id is None:
        why = "nothing recorded"
    elif piece.kind == SpanKind.WAIT:
        why = "waiting, nobody seen at work"
    else:
        why = "own time"
    return b.row(
        [
            f"+{units.duration(piece.start_ns - origin)}",
            units.duration(piece.length_ns),
            f"{piece.length_ns / total:.1%}" if total else None,
            piece.agent,
            names.get(piece.span_id or "", piece.name),
            why,
        ],
        pick={"span": piece.span_id} if piece.span_id else None,
        selected=piece.span_id is not None and piece.span_id == selected,
    )


def _spare(
    frames: Frames, slack: Mapping[str, int], on_path: set[str | None], names: Mapping[str, str], selected: str | None
) -> list[b.Block]:
    """The longest work off the path, with the time by which it could have been later."""
    ended = frames.spans.filter(pl.col("kind").is_in(_WORKS) & pl.col("end_ns").is_not_null())
    off = ended.filter(~pl.col("span_id").is_in([one for one in on_path if one]))
    off = off.with_columns(took=pl.col("end_ns") - pl.col("start_ns")).sort("took", "span_id", descending=[True, False])
    rows = [
        b.row([row["agent"], names.get(row["span_id"], row["name"]), units.duration(row["took"]), units.duration(slack[row["span_id"]])],
              pick={"span": row["span_id"]}, selected=row["span_id"] == selected)
        for row in off.head(SHOWN_SPARE).iter_rows(named=True)
        if row["span_id"] in slack
    ]  # fmt: skip
    if not rows:
        return []
    columns = [b.column("agent"), b.column("what"), b.column("took", right=True), b.column("could be later by", right=True)]  # fmt: skip
    note = f"longest {len(rows)} of {off.height:,}" if off.height > len(rows) else None
    return [b.section("Not on the path", [b.table(columns, rows)], note=note, open=True)]
