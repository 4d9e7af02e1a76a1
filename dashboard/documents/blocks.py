"""The blocks a document is made of. Every function returns one JSON-able block; None fields are left out.

All text passes through `readable`, so that control characters and text-direction tricks show instead of acting.
A `pick` is what a click selects: `{"span": id}`, `{"finding": id}`, `{"run": id}` or `{"query": text}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from analyzers.wording import amount
from dashboard.figures.markup import readable

Block = dict[str, Any]
Pick = Mapping[str, str]
Tone = Literal["critical", "warning", "info", "ok", "running", "neutral", "muted", "none"]


def _block(**fields: Any) -> Block:
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: str | None) -> str | None:
    return None if value is None else readable(value)


def chip(
    text: str, *, tone: Tone = "neutral", glyph: str | None = None, pick: Pick | None = None, title: str | None = None,
    on: bool = False,
) -> Block:  # fmt: skip
    """A small label; with `pick` a button, `on` while that is selected."""
    return _block(text=readable(text), tone=tone, glyph=glyph, pick=pick, title=_text(title), on=on or None)


def chips(items: Sequence[Block]) -> Block:
    """A row of chips."""
    return _block(block="chips", items=list(items))


def heading(
    text: str, *, level: int = 1, glyph: str | None = None, kind: str | None = None, note: str | None = None,
    copy: str | None = None, copy_label: str | None = None, items: Sequence[Block] = (),
) -> Block:  # fmt: skip
    """A title line; `kind` colours the glyph."""
    return _block(
        block="heading", text=readable(text), level=level, glyph=glyph, kind=kind, note=_text(note), copy=copy,
        copy_label=copy_label, chips=list(items) or None,
    )  # fmt: skip


def fact(
    label: str, value: str | None, *, hint: str | None = None, mono: bool = False, tone: Tone | None = None,
    pick: Pick | None = None, copy: str | None = None, title: str | None = None,
) -> Block:  # fmt: skip
    """One row of `facts`; a value nobody recorded is shown as a dash."""
    return _block(
        label=label, value="—" if value is None else readable(value), hint=_text(hint), mono=mono or None, tone=tone,
        pick=pick, copy=copy, title=_text(title),
    )  # fmt: skip


def facts(rows: Sequence[Block]) -> Block:
    """Labels and values in two columns."""
    return _block(block="facts", rows=list(rows))


def message(
    role: str, text: str, *, to: str | None = None, note: str | None = None, time: str | None = None,
    role_class: str = "other", calls: Sequence[Block] = (), pick: Pick | None = None, selected: bool = False,
    items: Sequence[Block] = (),
) -> Block:  # fmt: skip
    """One message of a conversation, long text folded by the browser, `calls` below it."""
    return _block(
        block="message", role=readable(role), text=readable(text), to=_text(to), note=_text(note), time=time,
        role_class=role_class, calls=list(calls) or None, pick=pick, selected=selected or None, copy=text or None,
        chips=list(items) or None,
    )  # fmt: skip


def tool_call(
    name: str, arguments: str, *, result: str | None = None, note: str | None = None, pick: Pick | None = None
) -> Block:
    """A tool an assistant asked for, with what it returned where that is known."""
    return _block(name=readable(name), arguments=readable(arguments), result=_text(result), note=_text(note), pick=pick)


def code(text: str, *, label: str | None = None, tone: Tone | None = None, fold: int | None = None) -> Block:
    """Raw text in a fixed-width face, with a copy button."""
    return _block(block="code", text=readable(text), label=_text(label), tone=tone, fold=fold)


def diff(rows: Sequence[tuple[str, str]]) -> Block:
    """Lines with a mark: "+", "-", " ", or "@" where lines were left out."""
    return _block(block="diff", rows=[[mark, readable(text)] for mark, text in rows])


def column(label: str, *, right: bool = False, mono: bool = False, tight: bool = False) -> Block:
    """A column of a `table`; numbers stand right, `tight` text never breaks."""
    return _block(label=label, align="right" if right else None, mono=mono or None, tight=tight or None)


def row(cells: Sequence[str | Block | None], *, pick: Pick | None = None, selected: bool = False) -> Block:
    """A row of a `table`; a cell is text, None for a dash, or `cell(...)`."""
    return _block(
        cells=[readable(cell) if isinstance(cell, str) else cell for cell in cells],
        pick=pick,
        selected=selected or None,
    )


def cell(text: str, tone: Tone = "none", *, note: str | None = None, title: str | None = None) -> Block:
    """A table cell with a colour, or a quiet note behind its text."""
    return _block(text=readable(text), tone=tone, note=_text(note), title=_text(title))


def table(columns: Sequence[Block], rows: Sequence[Block], *, first: int | None = None, noun: str = "row") -> Block:
    """A plain table. Rows beyond the `first` are said, as so many `noun`s, and shown at a click."""
    cut = first if first is not None and len(rows) > first else None
    said = None if cut is None else f"Showing {cut:,} of {amount(len(rows), noun)}."
    return _block(block="table", columns=list(columns), rows=list(rows), first=cut, said=said)


def section(label: str, blocks: Sequence[Block], *, note: str | None = None, open: bool = False) -> Block:
    """A part that folds; what a person opens stays open from span to span."""
    return _block(block="section", label=label, blocks=list(blocks), note=_text(note), open=open)


def card(blocks: Sequence[Block], *, tone: Tone = "neutral", pick: Pick | None = None, selected: bool = False) -> Block:
    """A framed group."""
    return _block(block="card", blocks=list(blocks), tone=tone, pick=pick, selected=selected or None)


def prose(text: str, *, tone: Tone | None = None, fold: int | None = None) -> Block:
    """A paragraph in a readable measure."""
    return _block(block="prose", text=readable(text), tone=tone, fold=fold)


def note(text: str, *, tone: Tone | None = None) -> Block:
    """A remark in a quiet voice."""
    return _block(block="note", text=readable(text), tone=tone)


def line(
    text: str, *, note: str | None = None, items: Sequence[Block] = (), pick: Pick | None = None, selected: bool = False
) -> Block:
    """One quiet line that can be picked."""
    return _block(
        block="line",
        text=readable(text),
        note=_text(note),
        chips=list(items) or None,
        pick=pick,
        selected=selected or None,
    )


def divider(text: str | None = None) -> Block:
    """A line, with a word on it where something changes."""
    return _block(block="divider", text=_text(text))
