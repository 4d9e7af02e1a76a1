"""The sequence diagram of one run: lifelines, arrows, waits as hatched bars, repeats folded to one frame with count, time and cost.

sequence = build_sequence(frames, findings)
draw_sequence(sequence, page=0)      one SVG with its heads
sequence_html(sequence)              heads that stay while scrolling, cut into page-high pieces for paper
mermaid(sequence)                    text for Markdown (`sequence_text`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from analyzers.critical_path import Piece
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_mark
from dashboard.figures.fold import Fold, Row, fold_steps
from dashboard.figures.markup import attrs, clip, esc, tag
from dashboard.figures.roles import CLOSING, holds, roles
from dashboard.figures.steps import Participant, Step, Steps, find_steps
from tracer.clock import has_clock

PAGE: Final = 500
"""rows on one page"""

_GUTTER, _HEAD, _ROW = 74, 44, 32
_PAPER_W, _PAPER_H = 695, 900
"""px of an A4 page for a figure, heads and caption apart; a wider figure is drawn smaller, and more of it fits"""
_RAIL, _MOST_RAILS, _RAIL_ROWS = 16, 4, 200
_CHAR: Final = 6.3
"""mean width of a character at 12 px; labels are cut by it, full texts stand in the tooltip"""

SEQUENCE_CSS: Final = """
.sq{background:var(--th-bg);overflow-x:auto}.sq svg{display:block;overflow:visible}.sq text{fill:var(--th-fg)}.sq .sq-t{fill:var(--th-muted);font-size:11px;font-variant-numeric:tabular-nums;text-anchor:end}
.sq-life{stroke:var(--th-line);stroke-dasharray:2 4;stroke-width:1.4}.sq-headbox{fill:var(--th-bg2);stroke:var(--th-line)}.sq-name{font-weight:600;text-anchor:middle}
.sq-step{cursor:pointer;outline:none}.sq-step .sq-line{stroke:var(--th-fg);stroke-width:1.4;fill:none}.sq-step .sq-tip{fill:var(--th-fg);stroke:none}.sq-step:hover .sq-line,.sq-step:focus-visible .sq-line{stroke-width:2.6}.sq-step:focus-visible .sq-hit{stroke:var(--th-accent);stroke-width:1.5}
.sq-hit{fill:transparent}.sq-step:hover .sq-hit{fill:color-mix(in srgb,var(--th-accent) 8%,transparent)}.sq-step.sq-selected .sq-hit,.sq-step.selected .sq-hit{fill:color-mix(in srgb,var(--th-accent) 18%,transparent)}
.sq-label{paint-order:stroke;stroke:var(--th-bg);stroke-width:4px;stroke-linejoin:round}.sq-answer .sq-line,.sq-read .sq-line{stroke-dasharray:5 3}
.sq-tool .sq-line{stroke:var(--th-k-tool)}.sq-tool .sq-tip{fill:var(--th-k-tool)}.sq-read .sq-line,.sq-write .sq-line{stroke:var(--th-k-state_write)}.sq-read .sq-tip,.sq-write .sq-tip{fill:var(--th-k-state_write)}
.sq-handoff .sq-line{stroke:var(--th-k-handoff);stroke-width:2.4}.sq-handoff .sq-tip{fill:var(--th-k-handoff)}.sq-escalation .sq-line{stroke:var(--th-k-escalation);stroke-width:2.4}.sq-escalation .sq-tip{fill:var(--th-k-escalation)}
.sq-step.sq-failed .sq-line{stroke:var(--th-error)}.sq-step.sq-failed .sq-tip{fill:var(--th-error)}.sq-step.sq-failed .sq-label{fill:var(--th-error)}
.sq-glyph{text-anchor:middle;font-size:13px}.sq .sq-wait .sq-glyph,.sq .sq-decision .sq-glyph{fill:var(--th-muted)}.sq .sq-guard .sq-glyph{fill:var(--th-k-guard_trip)}.sq-disc{fill:var(--th-bg)}.sq-bar{stroke:var(--th-k-wait);stroke-width:1}.sq-bar.sq-hot{stroke:var(--th-error);stroke-width:1.8;stroke-dasharray:4 3}
.sq-mark{stroke-width:1.6;stroke-dasharray:4 3}.sq .sq-tagtext{font-size:10px;font-weight:600}.sq-flag .sq-mark{fill:var(--th-bg);stroke:currentColor}.sq .sq-flag .sq-tagtext{fill:currentColor}.sq-flag.th-critical{color:var(--th-error)}.sq-flag.th-warning{color:var(--th-warning)}.sq-flag.th-info{color:var(--th-muted)}
.sq-frame{fill:color-mix(in srgb,var(--th-fg) 4%,transparent);stroke:var(--th-muted);stroke-width:1.4}.sq-tab{fill:var(--th-muted)}.sq .sq-tabtext{fill:var(--th-bg);font-size:11.5px;font-weight:600}
.sq-rail{cursor:pointer;fill:none;stroke-width:1.6;stroke:currentColor}.sq-rail circle{fill:var(--th-bg)}.sq-rail.th-critical{color:var(--th-error)}.sq-rail.th-critical path{stroke-dasharray:6 3}.sq-rail.th-warning{color:var(--th-warning)}.sq-rail.th-warning path{stroke-dasharray:2 3}.sq-rail.th-info{color:var(--th-muted)}.sq-rail.th-info path{stroke-dasharray:1 4}.sq-rail:hover path,.sq-rail.in-finding path{stroke-width:3.4}.sq-railhit{stroke:transparent;stroke-width:14;stroke-dasharray:none!important}
.sq-step.in-finding>.sq-hit{fill:color-mix(in srgb,var(--th-error) 9%,transparent)}.sq-awaits{fill:none;stroke:var(--th-error);stroke-width:1.8;stroke-dasharray:6 3}.sq-awaits.sq-closing{stroke-width:3.2}.sq-awaittip{fill:var(--th-error)}.sq-path{fill:var(--th-fg)}.sq-flag{cursor:pointer}
.sq-critical>.sq-frame{fill:color-mix(in srgb,var(--th-error) 7%,transparent);stroke:var(--th-error);stroke-dasharray:6 3}.sq-critical>.sq-tab{fill:var(--th-error)}
.sq-warning>.sq-frame{fill:color-mix(in srgb,var(--th-warning) 8%,transparent);stroke:var(--th-warning);stroke-dasharray:6 3}.sq-warning>.sq-tab{fill:var(--th-warning)}
.sq .sq-more{fill:var(--th-muted);font-style:italic;text-anchor:middle}.sq-caption{color:var(--th-muted);padding:4px 10px}.sq-sticky{position:sticky;top:0;z-index:1;background:var(--th-bg)}.sq-again{display:none}
@media print{.sq{overflow:visible}.sq svg{max-width:100%;height:auto}.sq-sticky{display:none}.sq-again{display:block}.sq-caption{break-after:avoid}.sq-piece{break-inside:avoid}}
"""


@dataclass(frozen=True)
class SequenceDiagram:
    """Steps and the rows they fold to; draw it with `draw_sequence`, `sequence_html` or `sequence_text.mermaid`."""

    found: Steps
    rows: list[Row]

    @property
    def pages(self) -> int:
        return max(1, -(-len(self.rows) // PAGE))


def build_sequence(
    frames: Frames, findings: Sequence[Finding] = (), path: Sequence[Piece] = (), *,
    tools: bool = True, state: bool = True, fold: bool = True,
) -> SequenceDiagram:  # fmt: skip
    """The diagram of one run, with its critical path where that is given. `fold=False` shows every repeat."""
    found = find_steps(frames, findings, path, tools=tools, state=state)
    return SequenceDiagram(found, fold_steps(found) if fold else list(range(len(found.steps))))


@dataclass(frozen=True)
class _Placed:
    """A drawn row: its markup and the band it takes."""

    top: float
    bottom: float
    markup: str
    at_ns: int


def draw_sequence(
    diagram: SequenceDiagram, *, page: int = 0, page_rows: int = PAGE, width: int = 1100, prefix: str = "sq"
) -> str:
    """One page as a single SVG, heads on top. `prefix` must differ between two figures of one document."""
    pen = _Pen(diagram, page, page_rows, width, prefix)
    body = pen.band(0, pen.height)
    return pen.svg(f'<g transform="translate(0 {_HEAD})">{body}</g>{pen.heads()}', 0, pen.height + _HEAD)


def sequence_html(
    diagram: SequenceDiagram, *, page: int = 0, page_rows: int = PAGE, width: int = 1100, prefix: str = "sq"
) -> str:
    """One page as an HTML fragment of class `sq`: what is shown and what is not, sticky heads, page-high pieces with their own heads on paper."""
    pen = _Pen(diagram, page, page_rows, width, prefix)
    heads = pen.svg(pen.heads(), 0, _HEAD, role="presentation")
    parts = [
        tag("div", esc(caption(diagram, page, page_rows)), class_="sq-caption"),
        tag("div", heads, class_="sq-sticky"),
    ]
    for number, (top, bottom) in enumerate(pen.pieces()):
        again = tag("div", heads, class_="sq-again", aria_hidden="true")
        parts.append(tag("div", again + pen.svg(pen.band(top, bottom, number), top, bottom - top), class_="sq-piece"))
    return tag("div", "".join(parts), class_="th sq")


def caption(diagram: SequenceDiagram, page: int = 0, page_rows: int = PAGE) -> str:
    """What is on this page: `188 steps in 9 rows`, or `rows 1–500 of 2,310 ...`."""
    steps, rows = diagram.found.steps, diagram.rows
    if not steps:
        return "No message, handoff, tool call or state access was recorded in this run."
    text = f"{amount(len(steps), 'step')} between {amount(len(diagram.found.participants), 'participant')}"
    folded = sum(len(row.folded) - len(row.shown) for row in rows if isinstance(row, Fold))
    if folded:
        text += f", {amount(folded, 'repeated step')} folded"
    if any(step.path_ns for step in steps):
        text += " · ▌ on the critical path"
    if len(rows) > page_rows:
        first = page * page_rows
        text += f" · showing rows {first + 1:,}–{min(len(rows), first + page_rows):,} of {len(rows):,}"
    return text


class _Pen:
    """Geometry of one page and the drawing of its parts."""

    def __init__(self, diagram: SequenceDiagram, page: int, page_rows: int, width: int, prefix: str) -> None:
        self.found = diagram.found
        self.prefix = prefix
        people = self.found.participants
        self.folded = {row.finding for row in diagram.rows if isinstance(row, Fold)}
        shown = diagram.rows[page * page_rows : (page + 1) * page_rows]
        self.rails = _rails(self.found, [row for row in shown if isinstance(row, int)], self.folded)
        self.roles = [roles(finding) for finding in self.found.findings]
        self.holds = [holds(finding) for finding in self.found.findings]
        margin = 16 + _RAIL * len({rail.lane for rail in self.rails})
        self.lane = max(96.0, min(190.0, (width - _GUTTER - margin) / max(1, len(people))))
        self.x = {p.name: _GUTTER + self.lane * (k + 0.5) for k, p in enumerate(people)}
        self.width = max(float(width), _GUTTER + self.lane * len(people) + margin)
        self.right = self.width - margin + 16
        """where the figure proper ends and the rails begin"""
        self.slots = palette.agent_slots(p.name for p in people if p.kind == "agent")
        self.rows: list[_Placed] = []
        y = 8.0
        for row in shown:
            y = self._row(row, y)
        self.height = y + 14
        self.waits = self._waits(shown)
        self.place = {
            row: placed.top + 17 for row, placed in zip(shown, self.rows, strict=True) if isinstance(row, int)
        }

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _row(self, row: Row, y: float) -> float:
        if isinstance(row, int):
            step = self.found.steps[row]
            self.rows.append(_Placed(y, y + _ROW, self._step(step, y), step.at_ns))
            return y + _ROW
        steps = [self.found.steps[k] for k in row.shown]
        folded = [self.found.steps[k] for k in row.folded]
        more = len(row.folded) // max(1, row.times) - len(row.shown)
        bottom = y + 26 + _ROW * len(steps) + (18 if more > 0 else 0) + 6
        touched = [self.x[name] for step in steps for name in (step.source, step.target)]
        left, right = (
            max(_GUTTER, min(touched) - self.lane * 0.46),
            min(self.right - 2, max(touched) + self.lane * 0.46),
        )
        finding = self.found.findings[row.finding] if row.finding >= 0 else None
        title = _fold_title(row, folded, finding)
        tab = min(self.right - left - 4, len(title) * 6.7 + 18)
        right = max(right, left + tab + 6)
        content = tag("title", esc(finding.title if finding else f"{row.times} repetitions of the same steps"))
        content += f'<rect class="sq-frame" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" height="{bottom - y:.1f}" rx="4"/>'
        content += f'<path class="sq-tab" d="M{left:.1f} {y + 4:.1f}a4 4 0 0 1 4 -4h{tab - 4:.1f}v10l-8 9h{12 - tab:.1f}l-4 0z"/>'
        content += f'<text class="sq-tabtext" x="{left + 8:.1f}" y="{y + 13.5:.1f}">{esc(title)}</text>'
        inner = y + 24
        for step in steps:
            content += self._step(step, inner, (left, right))
            inner += _ROW
        if more > 0:
            content += f'<text class="sq-more" x="{(left + right) / 2:.1f}" y="{inner + 10:.1f}">and {amount(more, "more step")} each time</text>'
        kind = f"sq-{finding.severity}" if finding else "sq-repeat"
        spans = " ".join(dict.fromkeys(step.span_id for step in folded[:200]))
        group = tag("g", content, class_=f"sq-fold {kind}", data_finding=finding.id if finding else None,
                    data_times=row.times, data_spans=None if finding else spans)  # fmt: skip
        self.rows.append(_Placed(y, bottom + 8, group, folded[0].at_ns))
        return bottom + 8

    def _step(self, step: Step, y: float, bounds: tuple[float, float] | None = None) -> str:
        """A row; `bounds` are the sides of the fold it stands in."""
        x1, x2, line = self.x[step.source], self.x[step.target], y + 21
        own = x1 == x2
        out = tag("title", esc(self._tooltip(step)))
        out += f'<rect class="sq-hit" x="2" y="{y:.1f}" width="{self.width - 4:.1f}" height="{_ROW}" rx="3"/>'
        out += f'<text class="sq-t" x="{_GUTTER - 12}" y="{line + 1:.1f}">{esc(units.after(step.at_ns, self.found.t0).removeprefix("+"))}</text>'
        label = ("✕ " if step.failed else "") + step.label
        reach = (min(x1, x2), max(x1, x2))
        if own:
            if step.kind == "wait":
                label += f" · {units.duration(step.until_ns - step.at_ns)}{' so far' if step.running else ''}"
            out += self._awaits(step, x1, line) + self._own(step, x1, line, label)
            if not self._right_of(x1, label):
                reach = (x1 - 16 - len(label) * (_CHAR + 0.6), x1)
        else:
            way = 1 if x2 > x1 else -1
            out += f'<path class="sq-line" d="M{x1 + way * 2:.1f} {line:.1f}H{x2 - way * 9:.1f}"/>'
            out += f'<path class="sq-tip" d="M{x2 - way * 1.5:.1f} {line:.1f}l{-way * 9} -4.5v9z"/>'
            # One arrow a row, so a label may be wider than its arrow; it stays inside the figure, or inside its fold.
            low, high = bounds or (_GUTTER, self.right - 6)
            text = clip(label, int(min(max(abs(x2 - x1) - 22, 330), high - low - 8) / _CHAR))
            half = len(text) * _CHAR / 2
            middle = min(max((x1 + x2) / 2, low + half + 4), high - half - 4)
            reach = (min(reach[0], middle - half), max(reach[1], middle + half))
            out += f'<text class="sq-label" text-anchor="middle" x="{middle:.1f}" y="{line - 6:.1f}">{esc(text)}</text>'
        if step.path_ns:
            out += f'<rect class="sq-path" x="{_GUTTER - 8}" y="{y + 4:.1f}" width="3" height="{_ROW - 6}" rx="1.5"/>'
        finding = self.found.findings[step.finding] if step.finding >= 0 else None
        if finding and bounds is None and step.finding not in self.folded:  # a fold says it for all its steps
            out += self._flag(step, reach[0], reach[1], y, beside=own and self._right_of(x1, label))
        who = step.source if own else f"{step.source} to {step.target}"
        return tag("g", out, class_=f"sq-step sq-{step.kind}{' sq-failed' if step.failed else ''}", data_span=step.span_id,
                   data_finding=finding.id if finding else None, tabindex="0", role="button",
                   aria_label=f"{who}: {clip(step.label, 80)}")  # fmt: skip

    def _own(self, step: Step, x: float, line: float, label: str) -> str:
        """A mark on one lifeline."""
        glyph = {"wait": "◔", "decision": "◇", "guard": "⊘"}.get(step.kind)
        right, left = self.right - x - 34, x - _GUTTER - 16
        on_right = self._right_of(x, label)
        text = clip(label, int(max(60.0, right if on_right else left) / (_CHAR + 0.6)))
        place = f'x="{x + 16:.1f}"' if on_right else f'x="{x - 16:.1f}" text-anchor="end"'
        if glyph is None:
            mark = f'<path class="sq-line" d="M{x:.1f} {line - 8:.1f}h14v10h-8"/>'
            mark += f'<path class="sq-tip" d="M{x + 2:.1f} {line + 2:.1f}l8 -4v8z"/>'
        else:
            mark = f'<circle class="sq-disc" cx="{x:.1f}" cy="{line - 4:.1f}" r="9"/>'
            mark += f'<text class="sq-glyph" x="{x:.1f}" y="{line + 0.5:.1f}">{glyph}</text>'
        return f'{mark}<text class="sq-label" {place} y="{line:.1f}">{esc(text)}</text>'

    def _awaits(self, step: Step, x: float, line: float) -> str:
        """Whom a wait of a deadlock waits for, as an arrow to their lifelines; the wait that closes the circle is thicker."""
        if step.kind != "wait" or step.finding < 0 or self.found.findings[step.finding].kind != "deadlock":
            return ""
        closing = " sq-closing" if self.roles[step.finding].get(step.span_id) == CLOSING else ""
        out = ""
        for name in step.symbol.replace(" or ", ", ").split(", "):
            if (to := self.x.get(name)) is not None and to != x:
                way = 1 if to > x else -1
                out += f'<path class="sq-awaits{closing}" d="M{x + way * 9:.1f} {line + 10:.1f}H{to - way * 9:.1f}"/>'
                out += f'<path class="sq-awaittip" d="M{to - way * 1.5:.1f} {line + 10:.1f}l{-way * 9} -4.5v9z"/>'
        return out

    def _right_of(self, x: float, label: str) -> bool:
        """Whether the label of a mark on the lifeline at `x` stands on its right."""
        right, left = self.right - x - 34, x - _GUTTER - 16
        return len(label) * _CHAR < right or right > left

    def _flag(self, step: Step, left: float, right: float, y: float, *, beside: bool) -> str:
        """The finding's name and cost where it begins, further on the part that the step plays in it.

        It stands on the free side; `beside` a mark whose label stands on its right, that is always the left.
        """
        finding, evidence = self.found.findings[step.finding], self.found.evidence[step.finding]
        held, part = self.holds[step.finding].get(step.source), self.roles[step.finding].get(step.span_id)
        first = bool(evidence) and self.found.steps[evidence[0]] is step
        text = " · ".join(
            one for one in (finding_mark(finding) if first else None, held, None if first and held else part) if one
        )
        if not text:
            return ""
        wide = len(text) * 5.9 + 10
        fits_left = left != right and left - wide - 12 > _GUTTER
        x = left - wide - 12 if beside or fits_left else right + 12
        x = max(_GUTTER - 2, min(x, self.right - wide - 4))
        box = f'<rect class="sq-mark" x="{x:.1f}" y="{y + 12:.1f}" width="{wide:.1f}" height="16" rx="3"/>'
        word = f'<text class="sq-tagtext" x="{x + 5:.1f}" y="{y + 23.5:.1f}">{esc(text)}</text>'
        return tag("g", box + word, class_=f"sq-flag th-{finding.severity}")

    def _tooltip(self, step: Step) -> str:
        who = step.source if step.source == step.target else f"{step.source} → {step.target}"
        parts = [f"{who}: {clip(step.label, 400)}", f"at {units.after(step.at_ns, self.found.t0)}"]
        if step.until_ns > step.at_ns and has_clock(self.found.t0):
            parts.append(f"lasts {units.duration(step.until_ns - step.at_ns)}")
        if step.path_ns:
            parts.append(f"{units.duration(step.path_ns)} of the critical path")
        if step.tokens:
            parts.append(
                f"{units.count(step.tokens)} tokens, {units.money(step.cost_usd) if step.cost_usd else 'price unknown'}"
            )
        parts.append(f"span {step.span_id}")
        return " · ".join(parts)

    # -- lifelines, waits, heads -----------------------------------------------------------------------------------------

    def _waits(self, rows: Sequence[Row]) -> list[tuple[float, float, float, bool]]:
        """(x, top, bottom, part of a finding) of every wait drawn as a row: down to the first row after its end."""
        bars: list[tuple[float, float, float, bool]] = []
        for k, row in enumerate(rows):
            if not isinstance(row, int) or (step := self.found.steps[row]).kind != "wait":
                continue
            placed = self.rows[k]
            after = next((r.top for r in self.rows[k + 1 :] if r.at_ns >= step.until_ns), None)
            if after is None:
                after = self.height - 4 if step.running or step.until_ns >= self.found.horizon else self.rows[-1].bottom
            bars.append((self.x[step.source], placed.top + 26, max(placed.bottom + 2, after), step.finding >= 0))
        return bars

    def band(self, top: float, bottom: float, piece: int = 0) -> str:
        """Everything between two heights: lifelines, wait bars, rows."""
        hatch = f"{self.prefix}-hatch-{piece}"
        out = [
            f'<defs><pattern{attrs(id=hatch)} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            '<rect width="6" height="6" fill="var(--th-bg)"/><rect width="2.4" height="6" fill="var(--th-k-wait)"/></pattern></defs>'
        ]
        out += [f'<path class="sq-life" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>' for x in self.x.values()]
        for x, a, b, hot in self.waits:
            if a < bottom and b > top:
                a, b = max(a, top), min(b, bottom)
                out.append(
                    f'<rect class="sq-bar{" sq-hot" if hot else ""}" x="{x - 5:.1f}" y="{a:.1f}" width="10" height="{b - a:.1f}" rx="2" fill="url(#{hatch})"/>'
                )
        out += [row.markup for row in self.rows if top <= row.top < bottom]
        out += [self._rail(rail, top, bottom) for rail in self.rails]
        return "".join(out)

    def _rail(self, rail: _Rail, top: float, bottom: float) -> str:
        """A line at the right edge from the first to the last row of a finding, with a dot at each of them."""
        places = [self.place[row] for row in rail.rows]
        a, b = max(top, places[0]), min(bottom, places[-1])
        if a > b:
            return ""
        finding = self.found.findings[rail.finding]
        x = self.right + _RAIL * (rail.lane + 0.5) - 6
        line = f"M{x:.1f} {a:.1f}V{b:.1f}"
        content = tag("title", esc(finding.title)) + f'<path class="sq-railhit" d="{line}"/><path d="{line}"/>'
        content += "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for y in places if top <= y < bottom)
        return tag("g", content, class_=f"sq-rail th-{finding.severity}", data_finding=finding.id, tabindex="0", role="button",
                   aria_label=f"{finding_mark(finding)}: {finding.title}")  # fmt: skip

    def pieces(self) -> list[tuple[float, float]]:
        """The page cut between rows into bands as high as a sheet of paper (a taller fold stays whole)."""
        cuts = [0.0]
        most = _PAPER_H * max(1.0, self.width / _PAPER_W)
        for row in self.rows:
            if row.bottom - cuts[-1] > most and row.top > cuts[-1]:
                cuts.append(row.top)
        return list(zip(cuts, [*cuts[1:], self.height], strict=True))

    def heads(self) -> str:
        return "".join(self._head(p) for p in self.found.participants)

    def _head(self, person: Participant) -> str:
        x, w = self.x[person.name], self.lane - 12
        glyph = {"person": "☺", "everyone": "◎", "workflow": "◆", "agent": "●", "tools": "⚒", "state": "▤"}[person.kind]
        ink = {
            "person": "var(--th-fg)",
            "everyone": "var(--th-fg)",
            "workflow": "var(--th-k-workflow)",
            "tools": "var(--th-k-tool)",
            "state": "var(--th-k-state_write)",
        }.get(person.kind, f"var(--th-a{self.slots.get(person.name, 0) % len(palette.AGENT_INKS)})")
        name = clip(person.name, int((w - 26) / 7))
        return tag(
            "g",
            tag("title", esc(f"{person.name} ({person.kind})"))
            + f'<rect class="sq-headbox" x="{x - w / 2:.1f}" y="6" width="{w:.1f}" height="28" rx="5"/>'
            + f'<rect x="{x - w / 2:.1f}" y="31" width="{w:.1f}" height="3" rx="1.5"{attrs(fill=ink)}/>'
            + f'<text class="sq-name" x="{x:.1f}" y="24">{glyph} {esc(name)}</text>',
            class_="sq-head",
            data_participant=person.name,
        )

    def svg(self, content: str, top: float, height: float, role: str = "img") -> str:
        label = f"Sequence of {len(self.found.steps)} steps between {len(self.found.participants)} participants"
        return tag("svg", content, class_="sq-svg", xmlns="http://www.w3.org/2000/svg", width=f"{self.width:.0f}", height=f"{height:.0f}",
                   viewBox=f"0 {top:.1f} {self.width:.0f} {height:.1f}", role=role, aria_label=label if role == "img" else None)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rail:
    """A finding whose evidence stands in several rows, ascending; `lane` keeps rails apart."""

    finding: int
    rows: tuple[int, ...]
    lane: int


def _rails(found: Steps, shown: Sequence[int], folded: set[int]) -> list[_Rail]:
    """Rails of the findings with more than one row in sight that no fold stands for; the most serious ones, in `_MOST_RAILS` lanes."""
    visible = set(shown)
    out: list[_Rail] = []
    for f, evidence in enumerate(found.evidence):
        rows = tuple(k for k in evidence if k in visible)
        if len(rows) < 2 or f in folded or len(rows) > _RAIL_ROWS:
            continue
        taken = {rail.lane for rail in out if rail.rows[0] <= rows[-1] and rows[0] <= rail.rows[-1]}
        lane = next((lane for lane in range(_MOST_RAILS) if lane not in taken), None)
        if lane is not None:
            out.append(_Rail(f, rows, lane))
    return out


def _fold_title(row: Fold, folded: Sequence[Step], finding: Finding | None) -> str:
    """`loop ×47 · 4m 58s · $4.83`."""
    word = finding.kind.replace("_", " ") if finding else "repeated"
    parts = [f"{word} ×{row.times}"]
    if took := units.took(max(s.done_ns for s in folded) - folded[0].at_ns, folded[0].at_ns):
        parts.append(took)
    cost, tokens = sum(s.cost_usd for s in folded), sum(s.tokens for s in folded)
    if cost:
        parts.append(units.money(cost))
    elif tokens:
        parts.append(f"{units.count(tokens)} tokens")
    return " · ".join(parts)
