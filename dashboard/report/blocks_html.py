"""Documents (`dashboard.documents`) as still HTML: the report's counterpart of `web/document.js`. Works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dashboard.figures.markup import esc, tag

Block = Mapping[str, Any]

SHOWN_CHARS: Final = 600
"""of a text before it folds"""
KEPT_CHARS: Final = 3_000
"""of a text at all; how much is left out is said"""


def render_blocks(blocks: Sequence[Block]) -> str:
    """HTML of the blocks in order; unknown ones are an error, because something would be missing from the report."""
    return "".join(_RENDER[block["block"]](block) for block in blocks)


def _foldable(text: str, css: str) -> str:
    left_out = len(text) - KEPT_CHARS
    body = text[:KEPT_CHARS]
    note = tag("div", f"… {left_out:,} more characters are in the store", class_="muted") if left_out > 0 else ""
    if len(body) <= SHOWN_CHARS * 1.25:
        return tag("div", esc(body), class_=f"text {css}".strip()) + note
    head, rest = body[:SHOWN_CHARS], body[SHOWN_CHARS:]
    more = tag(
        "details",
        tag("summary", f"{len(text) - SHOWN_CHARS:,} more characters")
        + tag("div", esc(rest), class_=f"text {css}".strip())
        + note,
    )
    return tag("div", esc(head), class_=f"text {css}".strip()) + more


def _data(pick: Mapping[str, str] | None) -> dict[str, str]:
    return {f"data_{name}": value for name, value in (pick or {}).items() if name in ("span", "finding")}


def _chip(item: Block) -> str:
    glyph = tag("span", esc(item["glyph"]), class_="glyph") if item.get("glyph") else ""
    return tag(
        "span",
        glyph + tag("span", esc(item["text"])),
        class_=f"chip tone-{item.get('tone', 'neutral')}",
        title=item.get("title"),
        **_data(item.get("pick")),
    )


def _chips(items: Sequence[Block] | None) -> str:
    return "".join(_chip(item) for item in items or ())


def _heading(block: Block) -> str:
    level = "h3" if block.get("level", 1) == 1 else "h4"
    glyph = (
        tag("span", esc(block["glyph"]), class_=f"glyph kind-{block.get('kind', 'other')}")
        if block.get("glyph")
        else ""
    )
    note = tag("span", esc(block["note"]), class_="muted") if block.get("note") else ""
    return tag(level, glyph + tag("span", esc(block["text"])) + note + _chips(block.get("chips")), class_="heading")


def _facts(block: Block) -> str:
    rows: list[str] = []
    for row in block["rows"]:
        hint = tag("span", esc(row["hint"]), class_="muted") if row.get("hint") else ""
        css = " ".join(
            c for c in ("mono" if row.get("mono") else "", f"tone-{row['tone']}" if row.get("tone") else "") if c
        )
        rows.append(tag("dt", esc(row["label"])) + tag("dd", esc(row["value"]) + " " + hint, class_=css or None))
    return tag("dl", "".join(rows), class_="facts")


def _message(block: Block) -> str:
    head = tag("span", esc(block["time"]), class_="time") if block.get("time") else ""
    head += tag("span", esc(block["role"]), class_="role")
    if block.get("to"):
        head += tag("span", "→", class_="muted") + tag("span", esc(block["to"]), class_="role")
    if block.get("note"):
        head += tag("span", esc(block["note"]), class_="muted")
    body = tag("div", head + _chips(block.get("chips")), class_="message-head")
    if block.get("text"):
        body += _foldable(block["text"], "")
    for call in block.get("calls") or ():
        line = tag("span", "⚒", class_="glyph") + tag("span", esc(call["name"]), class_="mono")
        line += tag("span", esc(call["note"]), class_="muted") if call.get("note") else ""
        inner = tag("div", line, class_="toolcall-head")
        inner += _foldable(call["arguments"], "mono code") if call.get("arguments") else ""
        inner += (
            tag("div", "returned", class_="muted small") + _foldable(call["result"], "mono code")
            if call.get("result")
            else ""
        )
        body += tag("div", inner, class_="toolcall")
    return tag("div", body, class_=f"message role-{block.get('role_class', 'other')}", **_data(block.get("pick")))


def _diff(block: Block) -> str:
    names = {"+": "added", "-": "removed", "@": "hunk"}
    lines = [
        tag("div", tag("span", "⋯" if mark == "@" else esc(mark), class_="mark") + tag("span", esc(text[:KEPT_CHARS])), class_=f"diff-line {names.get(mark, '')}".strip())
        for mark, text in block["rows"]
    ]  # fmt: skip
    return tag("div", "".join(lines), class_="diff mono")


def _line(block: Block) -> str:
    note = tag("span", esc(block["note"]), class_="muted cell-note") if block.get("note") else ""
    return tag(
        "div",
        tag("span", esc(block["text"])) + note + _chips(block.get("chips")),
        class_="line",
        **_data(block.get("pick")),
    )


def _cell(cell: object, column: Block) -> str:
    held_css = (
        str(column.get("align") or ""),
        "mono" if column.get("mono") else "",
        "tight" if column.get("tight") else "",
    )
    css = " ".join(name for name in held_css if name) or None
    if isinstance(cell, dict):
        held: dict[str, Any] = cell  # pyright: ignore[reportUnknownVariableType]
        note = tag("span", esc(held["note"]), class_="muted cell-note") if held.get("note") else ""
        text = tag("span", esc(held["text"]), class_=f"tone-{held.get('tone', 'none')}")
        return tag("td", text + note, class_=css, title=held.get("title"))
    return tag("td", "—" if cell is None else esc(cell), class_=css)


def _table(block: Block) -> str:
    columns: Sequence[Block] = block["columns"]
    head = tag("tr", "".join(tag("th", esc(c["label"]), class_=c.get("align")) for c in columns))
    body = "".join(
        tag(
            "tr",
            "".join(_cell(cell, c) for cell, c in zip(row["cells"], columns, strict=True)),
            **_data(row.get("pick")),
        )
        for row in block["rows"]
    )
    return tag("div", tag("table", tag("thead", head) + tag("tbody", body)), class_="table-wrap")


def _section(block: Block) -> str:
    note = tag("span", esc(block["note"]), class_="muted") if block.get("note") else ""
    summary = tag("summary", tag("span", esc(block["label"])) + note)
    return f'<details class="section"{" open" if block.get("open") else ""}>{summary}{tag("div", render_blocks(block["blocks"]), class_="section-body")}</details>'


def _card(block: Block) -> str:
    return tag(
        "div",
        render_blocks(block["blocks"]),
        class_=f"card edge-{block.get('tone', 'neutral')}",
        **_data(block.get("pick")),
    )


def _code(block: Block) -> str:
    label = tag("div", esc(block["label"]), class_="muted") if block.get("label") else ""
    return tag(
        "div", label + _foldable(block["text"], f"mono code tone-{block.get('tone') or 'none'}"), class_="codebox"
    )


def _toned(css: str) -> Callable[[Block], str]:
    def render(block: Block) -> str:
        tone = f" tone-{block['tone']}" if block.get("tone") else ""
        return (
            _foldable(block["text"], css + tone)
            if css == "prose"
            else tag("div", esc(block["text"]), class_=css + tone)
        )

    return render


_RENDER: Final[Mapping[str, Callable[[Block], str]]] = {
    "heading": _heading,
    "chips": lambda block: tag("div", _chips(block["items"]), class_="chips"),
    "facts": _facts,
    "message": _message,
    "code": _code,
    "diff": _diff,
    "table": _table,
    "line": _line,
    "section": _section,
    "card": _card,
    "prose": _toned("prose"),
    "note": _toned("note"),
    "divider": lambda block: tag("div", tag("span", esc(block.get("text") or ""), class_="muted"), class_="divider"),
}
"""block name -> renderer; the names are those of `dashboard.documents.blocks`"""
