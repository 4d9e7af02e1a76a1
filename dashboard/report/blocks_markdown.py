"""Documents (`dashboard.documents`) as Markdown: headings, tables, lists. Recorded text renders as that text, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dashboard.figures.markup import readable

Block = Mapping[str, Any]

_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]<>()#+!|~&@:=$^-]")
_ENTITY: Final = "<>&|@:"
_NUMBERED: Final = re.compile(r"^(\d+)([.)])(?=\s|$)")
TEXT_CHARS: Final = 2_000


def plain(text: str, limit: int = TEXT_CHARS) -> str:
    """Recorded text as Markdown that renders as that text: no link, no HTML, no table cell, list or fence of its own."""
    line = readable(text[:limit] + ("…" if len(text) > limit else "")).replace("\n", " ").replace("\t", " ").strip()
    line = _SPECIAL.sub(lambda m: f"&#{ord(m[0])};" if m[0] in _ENTITY else f"\\{m[0]}", line)
    return _NUMBERED.sub(lambda m: f"{m[1]}\\{m[2]}", line)


def code(text: str, limit: int = TEXT_CHARS) -> list[str]:
    """A fenced block that ends where it should: its fence is longer than any run of backticks inside."""
    body = readable(text[:limit] + ("…" if len(text) > limit else ""))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    return [f"{fence}text", body, fence, ""]


def line(cells: Sequence[str]) -> str:
    """A table row of cells that are Markdown already."""
    return "| " + " | ".join(cells) + " |"


def rule(columns: Sequence[Block] | int) -> str:
    """The row under a table's head; columns of numbers stand right."""
    if isinstance(columns, int):
        return "|" + " --- |" * columns
    return "|" + "".join(" ---: |" if column.get("align") == "right" else " --- |" for column in columns)


def render_blocks_markdown(blocks: Sequence[Block], level: int = 3) -> list[str]:
    """Lines for headings, prose, notes, facts, tables, code, cards and sections; blocks that only decorate are left out."""
    out: list[str] = []
    for block in blocks:
        match block["block"]:
            case "heading":
                note = f" ({plain(block['note'])})" if block.get("note") else ""
                out += [f"{'#' * level} {plain(block['text'])}{note}", ""]
            case "prose" | "note":
                out += [plain(block["text"]), ""]
            case "line":
                out += [f"- {plain(block['text'])}" + (f" ({plain(block['note'])})" if block.get("note") else "")]
            case "facts":
                out += [_fact(fact) for fact in block["rows"]] + [""]
            case "table":
                columns: Sequence[Block] = block["columns"]
                out += [line([plain(column["label"]) or " " for column in columns]), rule(columns)]
                out += [line([_cell(cell) for cell in row["cells"]]) for row in block["rows"]] + [""]
            case "code":
                out += ([plain(block["label"]), ""] if block.get("label") else []) + code(block["text"])
            case "card" | "section":
                out += render_blocks_markdown(block["blocks"], level)
            case _:
                pass
    return out


def _fact(fact: Block) -> str:
    hint = f" ({plain(fact['hint'])})" if fact.get("hint") else ""
    return f"- **{plain(fact['label'])}:** {plain(fact['value'])}{hint}"


def _cell(cell: object) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, dict):
        held: dict[str, Any] = cell  # pyright: ignore[reportUnknownVariableType]
        return plain(held["text"]) + (f" ({plain(held['note'])})" if held.get("note") else "")
    return plain(str(cell)) or "–"
