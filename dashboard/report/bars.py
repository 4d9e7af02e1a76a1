"""Shares of a whole as one still bar: for the ledger and the critical path. Sizes are attributes, because the report's policy admits no inline style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.figures.markup import clip, esc, tag

BAR_CSS: Final = """
.bar{margin:4px 0 10px}.bar svg{display:block;width:100%;height:auto}.bar text{font-size:11px}.bar rect{stroke:var(--th-bg);stroke-width:1}
"""
_WIDTH: Final = 1100
_HEIGHT: Final = 26


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a bar. `ink` is the name of a kind's colour; `size` may have any unit."""

    label: str
    size: float
    ink: str
    hint: str


def draw_bar(slices: Sequence[Slice], label: str) -> str:
    """HTML fragment of class `bar`, or nothing where there is nothing to divide. Slices touch and fill the width; labels stand where they fit."""
    whole = sum(part.size for part in slices)
    if whole <= 0:
        return ""
    out: list[str] = []
    x = 0.0
    for part in slices:
        wide = part.size / whole * _WIDTH
        content = tag("title", esc(f"{part.label}: {part.hint}"))
        content += f'<rect x="{x:.2f}" y="0" width="{wide:.2f}" height="{_HEIGHT}" fill="var(--th-k-{part.ink})"/>'
        if wide > 44:
            text = clip(part.label, int((wide - 10) / 6.2))
            content += f'<text x="{x + 6:.1f}" y="17" fill="var(--th-on-{part.ink})">{esc(text)}</text>'
        out.append(tag("g", content))
        x += wide
    svg = tag("svg", "".join(out), viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=label)
    return tag("div", svg, class_="th bar")
