"""Pages in Streamlit's own test runner."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

Open = Callable[..., AppTest]


def said(app: AppTest) -> str:
    """All plain texts of the page."""
    kinds = ("title", "text", "caption", "info", "warning", "markdown", "subheader")
    return "\n".join(str(getattr(element, "value", "")) for kind in kinds for element in app.get(kind))
