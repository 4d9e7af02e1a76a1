"""The drawn figures of a run as the pages mount them: one name, one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import DEPENDENCY_CSS, draw_dependencies
from dashboard.figures.sequence import PAGE, SEQUENCE_CSS, build_sequence, sequence_html
from dashboard.figures.tables import FigureTable, edges_table, steps_table, turns_table
from dashboard.figures.turns import build_turns
from dashboard.figures.turns_draw import COLUMNS, TURNS_CSS, draw_turns
from dashboard.figures.turns_draw import pages as turn_pages


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure ready to mount: escaped markup, its style rules, what it shows as a table, and how many pages there are."""

    markup: str
    css: str
    table: FigureTable
    pages: int = 1


@dataclass(frozen=True, slots=True)
class Shown:
    """What a figure is drawn of."""

    frames: Frames
    findings: Sequence[Finding]
    path: Sequence[Piece] = ()


def _sequence(shown: Shown, page: int, *, fold: bool) -> Picture:
    diagram = build_sequence(shown.frames, shown.findings, shown.path, fold=fold)
    markup = sequence_html(diagram, page=page, page_rows=PAGE, width=860)
    table = steps_table(diagram, diagram.rows[page * PAGE : (page + 1) * PAGE])
    return Picture(markup, SEQUENCE_CSS, table, diagram.pages)


def _graph(shown: Shown, page: int, *, view: Literal["auto", "graph", "matrix"]) -> Picture:
    del page  # always one
    graph = build_dependencies(shown.frames, shown.findings, shown.path)
    return Picture(draw_dependencies(graph, view=view), DEPENDENCY_CSS, edges_table(graph))


def _turns(shown: Shown, page: int) -> Picture:
    turns = build_turns(shown.frames, shown.findings, shown.path)
    table = turns_table(turns, page * COLUMNS, (page + 1) * COLUMNS)
    return Picture(draw_turns(turns, page=page), TURNS_CSS, table, turn_pages(turns))


PICTURES: Mapping[str, Callable[[Shown, int], Picture]] = {
    "sequence": partial(_sequence, fold=True),
    "sequence_unfolded": partial(_sequence, fold=False),
    "graph": partial(_graph, view="auto"),
    "graph_drawn": partial(_graph, view="graph"),
    "graph_matrix": partial(_graph, view="matrix"),
    "turns": _turns,
}
"""name -> function of what is shown and the page from 0"""
