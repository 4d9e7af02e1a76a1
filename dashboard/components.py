"""The bridge to the browser: Streamlit components (v2) around our own JavaScript.

    document_view   blocks composed by dashboard.documents, drawn with textContent
    figure_view     an SVG or HTML fragment of dashboard.figures; clicks on marked elements come back
    viewer          waterfall and flame graph (figures/viewer/)

Each returns nothing: what a person picks is written to the URL by `on_pick`, and every view reads its state from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from dashboard.figures.palette import FIGURE_CSS
from dashboard.figures.tables import FigureTable
from dashboard.figures.trace_view import viewer_source

_WEB = Path(__file__).with_name("web")

Pick = Mapping[str, str]
"""What was clicked: `span`, `finding`, `run` or `query`; `clear` names a selection to undo"""
_PICKED = ("span", "finding", "run", "query", "clear", "step")


@cache
def _source(name: str) -> str:
    return (_WEB / name).read_text(encoding="utf-8")


def _renderer(name: str, css: str, js: str) -> Any:
    """Register a component once per server process; Streamlit warns when a name is registered twice."""
    return component(f"tracehound_{name}", css=css, js=js)


@cache
def _document_renderer() -> Any:
    return _renderer("document", FIGURE_CSS + _source("document.css"), _source("saving.js") + _source("document.js"))


@cache
def _figure_renderer() -> Any:
    return _renderer("figure", FIGURE_CSS + _source("figure.css"), _source("saving.js") + _source("figure.js"))


@cache
def _viewer_renderer() -> Any:
    return _renderer(
        "viewer", _source("viewer_mount.css"), viewer_source() + _source("press.js") + _source("viewer_mount.js")
    )


@cache
def _columns_renderer() -> Any:
    return _renderer("columns", ":host{display:none}\n", _source("columns.js"))


@cache
def _keys_renderer() -> Any:
    return _renderer("keys", FIGURE_CSS + _source("keys.css"), _source("press.js") + _source("keys.js"))


def page_keys(views: Sequence[str], *, key: str, on_pick: Callable[[Pick], None] | None = None) -> None:
    """The keyboard of a page: ? shows a sheet, / goes to the search box.

    With views, brackets pick `step` ("next", "previous"), x `clear`, and 1 to 9 press the buttons of the widget with the key
    `view`: what a person changes in the browser, the browser alone says.

    Args:
        views: what the buttons say.
    """
    _keys_renderer()(key=key, data={"views": list(views)}, on_pick_change=_relay(key, on_pick))


def document_view(
    blocks: Sequence[Mapping[str, Any]],
    *,
    key: str,
    on_pick: Callable[[Pick], None] | None = None,
    label: str = "",
    subject: str = "",
    panel: bool = False,
) -> None:
    """Draw `blocks` (see `dashboard.documents.blocks`).

    Args:
        label: what a screen reader says for the whole.
        subject: what the document is about; scrolling is kept while it stays the same.
        panel: a frame of the window's height that scrolls inside.
    """
    _document_renderer()(
        key=key,
        data={"blocks": list(blocks), "label": label, "subject": subject, "panel": panel},
        on_pick_change=_relay(key, on_pick),
    )


def figure_view(
    markup: str,
    *,
    key: str,
    css: str = "",
    on_pick: Callable[[Pick], None] | None = None,
    selected: str | None = None,
    finding: str | None = None,
    label: str = "",
    table: FigureTable | None = None,
    file: str = "figure",
    natural_width: bool = False,
) -> None:
    """Mount a figure. `markup` must come from `dashboard.figures`, where every text is escaped.

    Args:
        css: the figure's own style rules.
        selected: span id whose elements are highlighted.
        finding: finding id whose elements are marked.
        table: what the figure shows as rows; with it the figure gets a bar with table, CSV, SVG and keyboard.
        file: name of saved files, without an ending.
        natural_width: scroll sideways inside the frame instead of shrinking the drawing.
    """
    _figure_renderer()(
        key=key,
        data={
            "markup": markup,
            "css": css,
            "selected": selected,
            "finding": finding,
            "label": label,
            "natural": natural_width,
            "table": None if table is None else table.to_json(),
            "file": file,
        },
        on_pick_change=_relay(key, on_pick),
    )


def viewer(
    packed: bytes, *, key: str, mode: str, weight: str, selected: str | None, finding: str | None,
    on_pick: Callable[[Pick], None], on_weight: Callable[[str], None],
) -> None:  # fmt: skip
    """Waterfall ("waterfall") or flame graph ("flame") of `figures.trace_view.payload`.

    The columns travel apart from the selection: a component of their own carries nothing else, so Streamlit sends them
    once and later only their hash. Zoom, folded rows and scroll position survive a change of them.

    Args:
        packed: the payload as gzipped JSON; its last eight bytes (checksum and length) name the content.
        finding: id of the finding whose spans stand out.
        weight: "time", "work", "cost" or "tokens": what the width of the flame graph means.
        on_weight: told the weight when the person changes it inside the viewer; another mode presses a button of the page.
    """

    def changed() -> None:
        said = st.session_state[key].state
        if said:
            on_weight(str(said["weight"]))

    _viewer_renderer()(
        key=key,
        data={
            "stamp": packed[-8:].hex(),
            "mode": mode,
            "weight": weight,
            "selected": selected,
            "finding": finding,
            # Until its newest pick is answered the viewer shows what was clicked, and says it again if nothing comes.
            "answered": st.session_state.get(_answered(key), 0),
        },
        on_pick_change=_relay(key, on_pick),
        on_state_change=changed,
    )
    _columns_renderer()(key=f"{key}_columns", data=packed)


def _answered(key: str) -> str:
    """Where the session keeps the time of the newest pick of a component, by the browser's clock in ms."""
    return f"{key}_answered"


def _relay(key: str, on_pick: Callable[[Pick], None] | None) -> Callable[[], None]:
    """A component calls back without arguments; what was picked stands in the session's state under its key."""

    def relay() -> None:
        picked = st.session_state[key].pick
        if picked and on_pick is not None:
            st.session_state[_answered(key)] = picked.get("at", 0)
            on_pick({name: str(value) for name, value in picked.items() if name in _PICKED})

    return relay
