"""The figures as tables with exact values: for readers of tables, for screen readers, and for files.

A cell is what is shown, or `[shown, exact]` where a file should hold another value; a row may name a span and a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from analyzers.finding import Finding
from dashboard.figures import units
from dashboard.figures.dependency import DependencyGraph
from dashboard.figures.findings import finding_mark
from dashboard.figures.fold import Row
from dashboard.figures.markup import readable
from dashboard.figures.sequence import SequenceDiagram
from dashboard.figures.turns import Turns
from tracer.clock import has_clock

Cell = str | list[str]

MOST_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class FigureTable:
    """`right` says per column whether it holds numbers; `left_out` counts the rows that are not there."""

    columns: Sequence[str]
    right: Sequence[bool]
    rows: Sequence[Sequence[Cell]]
    spans: Sequence[str]
    findings: Sequence[str]
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"columns": self.columns, "right": self.right, "rows": self.rows, "spans": self.spans, "findings": self.findings, "leftOut": self.left_out}  # fmt: skip


def _time(ns: int | None) -> Cell:
    return ["", ""] if ns is None else [units.duration(ns), str(ns)]


def _at(ns: int, origin_ns: int) -> Cell:
    if has_clock(origin_ns):
        return _time(ns - origin_ns)
    order = units.after(ns, origin_ns)
    return [order, order.removeprefix("#")]


def _lasts(ns: int, origin_ns: int) -> Cell:
    return _time(ns if has_clock(origin_ns) else None)


def _money(usd: float, unpriced: bool = False) -> Cell:
    return (
        ["unknown", ""]
        if unpriced and not usd
        else [units.money(usd) if usd else "", f"{usd:.9f}".rstrip("0").rstrip(".") if usd else "0"]
    )


def _named(findings: Sequence[Finding], place: int) -> tuple[str, str]:
    return (finding_mark(findings[place]), findings[place].id) if place >= 0 else ("", "")


def steps_table(diagram: SequenceDiagram, rows: Sequence[Row]) -> FigureTable:
    """Every step that `rows` stand for, folded repeats written out."""
    places = [k for row in rows for k in ((row,) if isinstance(row, int) else row.folded)]
    shown = sorted(places)[:MOST_ROWS]
    steps = [diagram.found.steps[k] for k in shown]
    marks = [_named(diagram.found.findings, step.finding) for step in steps]
    return FigureTable(
        columns=("at", "from", "what", "to", "says", "lasts", "on the path", "tokens", "cost", "failed", "finding"),
        right=(True, False, False, False, False, True, True, True, True, False, False),
        rows=[
            [
                _at(step.at_ns, diagram.found.t0), readable(step.source), step.kind, readable(step.target), readable(step.label),
                _lasts(step.until_ns - step.at_ns, diagram.found.t0), _time(step.path_ns or None), [units.count(step.tokens) if step.tokens else "", str(step.tokens)],
                _money(step.cost_usd), "✕ failed" if step.failed else "◌ running" if step.running else "", mark,
            ]
            for step, (mark, _) in zip(steps, marks, strict=True)
        ],
        spans=[step.span_id for step in steps],
        findings=[name for _, name in marks],
        left_out=len(places) - len(shown),
    )  # fmt: skip


def edges_table(graph: DependencyGraph) -> FigureTable:
    """Every edge, busiest first; then who clashed without a contact."""
    edges = sorted(graph.edges, key=lambda edge: (-edge.count, edge.source[1], edge.target[1]))[:MOST_ROWS]
    marks = [_named(graph.findings, edge.finding) for edge in edges]
    rows: list[list[Cell]] = [
        [
            readable(edge.source[1]), edge.source[0], readable(edge.target[1]), edge.target[0], ", ".join(edge.ways), [units.count(edge.count), str(edge.count)],
            _time(round(edge.total_ns / edge.count)) if edge.total_ns else ["", ""], _time(edge.total_ns), _money(edge.cost_usd),
            [units.count(edge.errors) if edge.errors else "", str(edge.errors)], mark or ("part of a cycle" if edge.in_cycle else ""),
        ]
        for edge, (mark, _) in zip(edges, marks, strict=True)
    ]  # fmt: skip
    for clash in graph.clashes:
        mark = finding_mark(graph.findings[clash.finding])
        rows.append(
            [readable(clash.a[1]), clash.a[0], readable(clash.b[1]), clash.b[0], "clash", "", "", "", "", "", mark]
        )
    return FigureTable(
        columns=("from", "", "to", "", "how", "times", "mean time", "total time", "cost", "errors", "finding"),
        right=(False, False, False, False, False, True, True, True, True, True, False),
        rows=rows,
        spans=[edge.spans[0] if edge.spans else "" for edge in edges] + [""] * len(graph.clashes),
        findings=[name for _, name in marks] + [graph.findings[clash.finding].id for clash in graph.clashes],
        left_out=len(graph.edges) - len(edges),
    )


def turns_table(turns: Turns, first: int, last: int) -> FigureTable:
    """The turns of the columns from `first` up to `last`."""
    held = [turn for turn in turns.turns if first <= turn.column < last]
    shown = held[:MOST_ROWS]
    marks = [_named(turns.findings, turn.finding) for turn in shown]
    led: dict[int, list[str]] = {}
    for link in turns.links:
        source = turns.turns[link.source]
        led.setdefault(link.target, []).append(f"{source.agent} {source.number} ({link.way})")
    place = {id(turn): k for k, turn in enumerate(turns.turns)}
    return FigureTable(
        columns=("agent", "turn", "at", "took", "because of", "on the path", "calls", "tokens", "cost", "failed", "finding"),
        right=(False, True, True, True, False, True, True, True, True, False, False),
        rows=[
            [
                readable(turn.agent), str(turn.number), _at(turn.start_ns, turns.t0), _lasts(turn.stop_ns - turn.start_ns, turns.t0), readable(", ".join(led.get(place[id(turn)], ()))),
                _time(turn.path_ns or None), str(turn.calls), [units.count(turn.tokens) if turn.tokens else "", str(turn.tokens)], _money(turn.cost_usd),
                "✕ failed" if turn.failed else "◌ running" if turn.running else "", mark,
            ]
            for turn, (mark, _) in zip(shown, marks, strict=True)
        ],
        spans=[turn.span_id for turn in shown],
        findings=[name for _, name in marks],
        left_out=len(held) - len(shown),
    )  # fmt: skip
