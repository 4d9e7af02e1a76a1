"""Post-mortems as files that need nothing else: of single runs, and an index over many (`index`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dashboard.report.case import Case
from dashboard.report.document import case_json, render_json
from dashboard.report.html import case_html, render_html
from dashboard.report.markdown import case_markdown, render_markdown

FORMATS: Final[Mapping[str, Callable[[Case], str]]] = {".html": case_html, ".md": case_markdown, ".json": case_json}
"""file ending -> function of a case giving the text"""

__all__ = ["FORMATS", "Case", "render_html", "render_json", "render_markdown"]
