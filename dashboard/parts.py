"""Parts of a page that are drawn alone: when something in them was clicked, or every so often."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import streamlit as st

from dashboard import address

P = ParamSpec("P")


def part(draw: Callable[P, None], *, every_s: float | None = None) -> Callable[P, None]:
    """`draw` as a part of the page; what it draws has to stand at the same place whenever the whole page is drawn.

    (Streamlit knows a part by its function and its place, and drops a click in one it does not know.)

    Args:
        every_s: seconds after which it is drawn again by itself; None: only when it was used.
    """

    @wraps(draw)
    def settled(*args: P.args, **kwargs: P.kwargs) -> None:
        address.settle()
        draw(*args, **kwargs)

    return st.fragment(settled, run_every=every_s)
