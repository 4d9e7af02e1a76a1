"""The run as it went, as SVG: a lane per agent, a box per turn, time from left to right in columns of equal width."""

from __future__ import annotations

from typing import Final

from analyzers.wording import amount
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_mark
from dashboard.figures.markup import attrs, clip, esc, tag
from dashboard.figures.turns import Link, Turn, Turns

COLUMNS: Final = 40
"""on one page"""
_LEFT, _TOP, _COLUMN, _LANE, _BOX_W, _BOX_H, _WIDE = 150, 46, 104, 46, 84, 30, 480

TURNS_CSS: Final = """
.tn{background:var(--th-bg);overflow:auto}.tn svg{max-width:none}.tn text{fill:var(--th-fg)}.tn .tn-name{font-weight:600;font-size:12px}.tn .tn-sub{font-size:10.5px;font-variant-numeric:tabular-nums;text-anchor:middle}.tn .tn-time{font-size:10.5px;fill:var(--th-muted);text-anchor:middle;font-variant-numeric:tabular-nums}
.tn-lane{stroke:var(--th-line);stroke-dasharray:2 4}.tn-caption{color:var(--th-muted);padding:4px 10px}.tn-turn,.tn-link{cursor:pointer;outline:none}.tn-back{fill:var(--th-bg)}.tn-box{fill-opacity:.16;stroke-width:1.4}.tn-turn:hover .tn-box,.tn-turn:focus-visible .tn-box{fill-opacity:.36;stroke-width:2.4}.tn-turn.selected .tn-box{stroke:var(--th-accent);stroke-width:3;fill-opacity:.36}
.tn-line{fill:none;stroke:var(--th-muted);stroke-width:1.4}.tn-link:hover .tn-line{stroke:var(--th-fg);stroke-width:2.6}.tn-tip{fill:var(--th-muted)}.tn-handoff .tn-line,.tn-escalation .tn-line{stroke:var(--th-k-handoff);stroke-width:2}.tn-handoff .tn-tip,.tn-escalation .tn-tip{fill:var(--th-k-handoff)}.tn-wide{fill:none;stroke:transparent;stroke-width:10}
.tn-error{fill:var(--th-error)}.tn-path{fill:var(--th-fg)}.tn-frame{fill:none;stroke:currentColor;stroke-width:1.6;stroke-dasharray:6 3}.tn-mark{cursor:pointer}.tn-mark.th-critical{color:var(--th-error)}.tn-mark.th-warning{color:var(--th-warning)}.tn-mark.th-info{color:var(--th-muted)}.tn .tn-marktext{fill:currentColor;font-size:11px;font-weight:600}.tn-mark.in-finding .tn-frame{stroke-width:3.2}
.tn-ring{fill:none;stroke-width:1.8;stroke-dasharray:4 3}.tn-ring.th-critical{stroke:var(--th-error)}.tn-ring.th-warning{stroke:var(--th-warning)}.tn-ring.th-info{stroke:var(--th-muted)}
"""


def pages(turns: Turns) -> int:
    return max(1, -(-turns.columns // COLUMNS))


def draw_turns(turns: Turns, *, page: int = 0) -> str:
    """HTML fragment of class `tn`: what is shown of how much, and the SVG."""
    if not turns.turns:
        return tag("div", tag("div", "No agent was recorded in this run.", class_="tn-caption"), class_="th tn")
    first = page * COLUMNS
    shown = {k: turn for k, turn in enumerate(turns.turns) if first <= turn.column < first + COLUMNS}
    tall: dict[str, int] = {}
    for turn in shown.values():
        tall[turn.agent] = max(tall.get(turn.agent, 1), turn.lane + 1)
    lanes: dict[str, int] = {}
    for name in (name for name in turns.agents if name in tall):
        lanes[name] = sum(tall[other] for other in lanes)
    text = f"{amount(len(turns.turns), 'turn')} of {amount(len(turns.agents), 'agent')}, in order of time"
    if len(shown) < len(turns.turns):
        text = f"Showing {len(shown):,} of {text} · columns {first + 1:,}–{min(first + COLUMNS, turns.columns):,} of {turns.columns:,}"
    if any(turn.path_ns for turn in shown.values()):
        text += " · ▂ on the critical path"
    width = max(_WIDE, _LEFT + _COLUMN * (1 + max(turn.column for turn in shown.values()) - first) + 20)
    height = _TOP + _LANE * sum(tall.values()) + 12
    slots = palette.agent_slots(turns.agents)
    out = [_lane(name, y, width, slots) for name, y in lanes.items()]
    out += [_time(turns, shown, column, first) for column in sorted({turn.column for turn in shown.values()})]
    out += [_link(turns, link, first, lanes) for link in turns.links if link.source in shown and link.target in shown]
    out += [_turn(turns, turn, first, lanes, slots) for turn in shown.values()]
    out += _frames(turns, shown, first, lanes)
    svg = tag("svg", "".join(out), xmlns="http://www.w3.org/2000/svg", width=width, height=height, viewBox=f"0 0 {width} {height}",
              role="img", aria_label=f"{text}; the same as a table is one click away")  # fmt: skip
    return tag("div", tag("div", esc(text), class_="tn-caption") + svg, class_="th tn")


def _at(turn: Turn, first: int, lanes: dict[str, int]) -> tuple[float, float]:
    """Centre of a turn's box."""
    return _LEFT + (turn.column - first + 0.5) * _COLUMN, _TOP + (lanes[turn.agent] + turn.lane + 0.5) * _LANE


def _lane(name: str, lane: int, width: float, slots: dict[str, int]) -> str:
    y = _TOP + (lane + 0.5) * _LANE
    ink = f"var(--th-a{slots[name] % len(palette.AGENT_INKS)})"
    return (
        f'<path class="tn-lane" d="M{_LEFT - 6} {y:.1f}H{width - 10:.1f}"/>'
        f'<rect x="8" y="{y - 9:.1f}" width="4" height="18" rx="2"{attrs(fill=ink)}/>'
        f'<text class="tn-name" x="18" y="{y + 4:.1f}">{tag("title", esc(name))}{esc(clip(name, 18))}</text>'
    )


def _time(turns: Turns, shown: dict[int, Turn], column: int, first: int) -> str:
    begun = min(turn.start_ns for turn in shown.values() if turn.column == column)
    x = _LEFT + (column - first + 0.5) * _COLUMN
    return f'<text class="tn-time" x="{x:.1f}" y="16">{units.after(begun, turns.t0)}</text>'


def _turn(turns: Turns, turn: Turn, first: int, lanes: dict[str, int], slots: dict[str, int]) -> str:
    x, y = _at(turn, first, lanes)
    ink = f"var(--th-a{slots[turn.agent] % len(palette.AGENT_INKS)})"
    box = f'x="{x - _BOX_W / 2:.1f}" y="{y - _BOX_H / 2:.1f}" width="{_BOX_W}" height="{_BOX_H}" rx="8"'
    lasted = units.took(turn.stop_ns - turn.start_ns, turns.t0)
    took = (lasted or "no times recorded") + (" so far" if turn.running else "")
    cost = units.money(turn.cost_usd) if turn.cost_usd else f"{units.count(turn.tokens)} tokens" if turn.tokens else ""
    full = f"{turn.agent}, turn {turn.number}: {took}, {cost or 'no cost'}, {amount(turn.calls, 'call')}"
    full += f", {units.duration(turn.path_ns)} of the critical path" if turn.path_ns else ""
    full += ", failed" if turn.failed else ""
    finding = turns.findings[turn.finding] if turn.finding >= 0 else None
    state = "✕ " if turn.failed else "◌ " if turn.running else ""
    beside = f" · {esc(lasted)}" if lasted else ""
    content = tag("title", esc(full + (f" · {finding_mark(finding)}" if finding else "")))
    content += f'<rect class="tn-back" {box}/><rect class="tn-box" {box}{attrs(fill=ink, stroke=ink)}/>'
    content += f'<text class="tn-sub{" tn-error" if turn.failed else ""}" x="{x:.1f}" y="{y - 2:.1f}">{state}{turn.number}{beside}</text>'
    content += f'<text class="tn-sub" x="{x:.1f}" y="{y + 11:.1f}">{esc(cost)}</text>'
    if turn.path_ns:
        content += f'<rect class="tn-path" x="{x - _BOX_W / 2 + 8:.1f}" y="{y + _BOX_H / 2 + 2:.1f}" width="{_BOX_W - 16}" height="2.4"/>'
    if finding is not None:
        content += f'<rect class="tn-ring th-{finding.severity}" x="{x - _BOX_W / 2 - 3:.1f}" y="{y - _BOX_H / 2 - 3:.1f}" width="{_BOX_W + 6}" height="{_BOX_H + 6}" rx="10"/>'
    return tag("g", content, class_="tn-turn", data_span=turn.span_id, tabindex="0", role="button", aria_label=full)


def _link(turns: Turns, link: Link, first: int, lanes: dict[str, int]) -> str:
    a, b = turns.turns[link.source], turns.turns[link.target]
    (xa, ya), (xb, yb) = _at(a, first, lanes), _at(b, first, lanes)
    if b.column > a.column:
        xa, xb = xa + _BOX_W / 2, xb - _BOX_W / 2 - 3
        bend = max(16.0, (xb - xa) * 0.5)
        line, tip = (
            f"M{xa:.1f} {ya:.1f}C{xa + bend:.1f} {ya:.1f} {xb - bend:.1f} {yb:.1f} {xb:.1f} {yb:.1f}",
            f"M{xb + 3:.1f} {yb:.1f}l-8 -4v8z",
        )
    else:  # at once: from one lane to the other
        down = 1 if yb > ya else -1
        ya, yb = ya + down * _BOX_H / 2, yb - down * (_BOX_H / 2 + 3)
        line, tip = f"M{xa:.1f} {ya:.1f}L{xb:.1f} {yb:.1f}", f"M{xb:.1f} {yb + down * 3:.1f}l-4 {-down * 8}h8z"
    content = tag("title", esc(f"{a.agent} {a.number} → {b.agent} {b.number}: {link.way}"))
    content += f'<path class="tn-wide" d="{line}"/><path class="tn-line" d="{line}"/><path class="tn-tip" d="{tip}"/>'
    return tag("g", content, class_=f"tn-link tn-{link.way}", data_span=link.span_id)


def _frames(turns: Turns, shown: dict[int, Turn], first: int, lanes: dict[str, int]) -> list[str]:
    """A bracket over the columns of each finding with several turns, with its name and cost; at most three, the most serious ones."""
    out: list[str] = []
    for f, finding in enumerate(turns.findings):
        held = [turn for turn in shown.values() if turn.finding == f]
        if len(held) < 2 or len(out) == 3:
            continue
        left = min(_at(turn, first, lanes)[0] for turn in held) - _BOX_W / 2 - 4
        right = max(_at(turn, first, lanes)[0] for turn in held) + _BOX_W / 2 + 4
        y = 27 + 6 * len(out)
        text = clip(finding_mark(finding), max(40, int((right - left) / 6.4)))
        content = (
            tag("title", esc(finding.title)) + f'<path class="tn-frame" d="M{left:.1f} {y + 10}V{y}H{right:.1f}v10"/>'
        )
        wide = len(text) * 6.5 + 8
        content += f'<rect class="tn-back" x="{left + 8:.1f}" y="{y - 7}" width="{wide:.1f}" height="14"/><text class="tn-marktext" x="{left + 12:.1f}" y="{y + 4}">{esc(text)}</text>'
        out.append(tag("g", content, class_=f"tn-mark th-{finding.severity}", data_finding=finding.id, tabindex="0", role="button", aria_label=finding.title))  # fmt: skip
    return out
