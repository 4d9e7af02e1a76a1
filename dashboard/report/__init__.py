"""Post-mortems as files that need nothing else: of single runs, and an index over many (`index`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dashboard.report.document import render_json
from dashboard.report.html import render_html
from dashboard.report.markdown import render_markdown

FORMATS: Final[Mapping[str, Callable[..., str]]] = {".html": render_html, ".md": render_markdown, ".json": render_json}
"""file ending -> function of (frames of one run, its findings, skipped questions, crashed detectors) giving the text"""

__all__ = ["FORMATS", "render_html", "render_json", "render_markdown"]
