"""The drawn figures of a run as the pages mount them: one name, one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.figures.dependency import build_dependencies
from dashboard.figures.dependency_draw import DEPENDENCY_CSS, draw_dependencies
from dashboard.figures.sequence import PAGE, SEQUENCE_CSS, build_sequence, sequence_html


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure ready to mount: escaped markup, its style rules, and how many pages there are."""

    markup: str
    css: str
    pages: int = 1


def _sequence(frames: Frames, findings: Sequence[Finding], page: int) -> Picture:
    diagram = build_sequence(frames, findings)
    return Picture(sequence_html(diagram, page=page, page_rows=PAGE, width=860), SEQUENCE_CSS, diagram.pages)


def _graph(frames: Frames, findings: Sequence[Finding], page: int) -> Picture:
    del page  # always one
    return Picture(draw_dependencies(build_dependencies(frames, findings)), DEPENDENCY_CSS)


PICTURES: Mapping[str, Callable[[Frames, Sequence[Finding], int], Picture]] = {"sequence": _sequence, "graph": _graph}
"""name -> (frames of one run, its findings, page from 0)"""
