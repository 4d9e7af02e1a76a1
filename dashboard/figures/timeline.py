"""The flame graph over time as a still SVG: for paper, for Markdown, and where JavaScript is off. the viewer draws the same lanes."""

from __future__ import annotations

from typing import Final

from analyzers.wording import amount
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from dashboard.figures.markup import clip, esc, tag
from dashboard.figures.trace_view import TraceView

TIMELINE_CSS: Final = """
.tl{background:var(--th-bg);overflow-x:auto}.tl svg{max-width:100%;height:auto}.tl text{font-size:10.5px;fill:var(--th-fg)}.tl .tl-tick{fill:var(--th-muted)}.tl-grid{stroke:var(--th-line);stroke-width:1}
.tl-error{fill:var(--th-error)}.tl-pale{fill-opacity:.36}.tl-mark{fill:none;stroke:var(--th-error);stroke-width:1.6;stroke-dasharray:4 3}.tl-mark.th-warning{stroke:var(--th-warning)}.tl-mark.th-info{stroke:var(--th-muted)}.tl-caption{color:var(--th-muted);padding:4px 10px}
"""

_ROW: Final = 17
_TOP: Final = 22
_STEPS: Final = (1, 2, 5)


def draw_timeline(view: TraceView, *, width: int = 1100, most_spans: int = 600, most_lanes: int = 60) -> str:
    """HTML fragment of class `tl`. The longest spans are drawn; how many are not is said. Pale: covered by children."""
    tree = view.tree
    if not len(tree):
        return tag("div", tag("div", "No spans.", class_="tl-caption"), class_="th tl")
    span = max(1, tree.horizon - tree.t0)
    scale = (width - 2) / span
    fits = [i for i in range(len(tree)) if view.lane[i] < most_lanes]
    longest = sorted(fits, key=lambda i: (tree.start[i] - tree.stop[i], i))[:most_spans]
    out: list[str] = []
    lanes = max((view.lane[i] for i in longest), default=0) + 1
    height = _TOP + lanes * _ROW + 6
    for at in _ticks(span):
        x = 1 + at * scale
        out.append(
            f'<path class="tl-grid" d="M{x:.1f} 0V{height}"/><text class="tl-tick" x="{x + 4:.1f}" y="13">{units.after(tree.t0 + at, tree.t0).removeprefix("+")}</text>'
        )
    kinds, status = tree.column("kind"), tree.column("status")
    for i in sorted(longest):
        x, y = 1 + (tree.start[i] - tree.t0) * scale, _TOP + view.lane[i] * _ROW
        wide = max(0.8, (tree.stop[i] - tree.start[i]) * scale - 0.6)
        shape = palette.look(kinds[i])
        failed = status[i] == "error"
        parent = tree.subtree_end[i] > i + 1
        fill = 'class="tl-error"' if failed else f'fill="var(--th-k-{shape_name(kinds[i])})"'
        pale = ' fill-opacity=".36"' if parent else ""
        took = units.took(tree.stop[i] - tree.start[i], tree.t0)
        glyph = "✕" if failed else palette.STATUS_GLYPHS["running"] if status[i] == "running" else shape.glyph
        content = tag(
            "title",
            esc(
                " · ".join(
                    part
                    for part in (view.label[i], shape.word, took, f"at {units.after(tree.start[i], tree.t0)}")
                    if part
                )
            ),
        )
        content += f'<rect {fill}{pale} x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{_ROW - 3}"/>'
        if wide > 34:
            ink = "" if parent else f' fill="var(--th-on-{shape_name(kinds[i])})"'
            text = clip(f"{glyph} {view.label[i]}", int((wide - 6) / 5.8))
            content += f'<text x="{x + 4:.1f}" y="{y + 10.5}"{ink} class="{"tl-in" if ink else ""}">{esc(text)}</text>'
        if view.mark[i] >= 0:
            finding = view.findings[view.mark[i]]
            content += f'<rect class="tl-mark th-{finding.severity}" x="{x:.1f}" y="{y - 0.5}" width="{wide:.1f}" height="{_ROW - 2}"/>'
        out.append(
            tag(
                "g",
                content,
                data_span=tree.ids[i],
                data_finding=view.findings[view.mark[i]].id if view.mark[i] >= 0 else None,
            )
        )
    marks = ", ".join(dict.fromkeys(finding_tag(f) for f in view.findings))
    note = f"{amount(len(tree), 'span')} {f'over {lasted}' if (lasted := units.took(span, tree.t0)) else 'in their order; the source has no times'}"
    if len(longest) < len(tree):
        note = f"Showing the {len(longest):,} longest of {note}"
    if marks:
        note += f" · dashed: {marks}"
    svg = tag("svg", "".join(out), xmlns="http://www.w3.org/2000/svg", width=width, height=height, viewBox=f"0 0 {width} {height}",
              role="img", aria_label=f"Timeline of {len(longest)} spans")  # fmt: skip
    return tag("div", tag("div", esc(note), class_="tl-caption") + svg, class_="th tl")


def shape_name(kind: str) -> str:
    """The kind as the CSS variables know it."""
    return kind if kind in palette.LOOKS else "other"


def _ticks(span: int) -> list[int]:
    """About eight round times from 0 to `span` ns."""
    raw = span / 8
    scale = 1
    while scale * 10 <= raw:
        scale *= 10
    step = next((m * scale for m in _STEPS if m * scale >= raw), 10 * scale)
    if raw > 1e10:
        round_s = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)
        step = next((s * 10**9 for s in round_s if s * 10**9 >= raw), step)
    return list(range(0, span, step))
