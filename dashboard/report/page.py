"""The frame of every file of the report: one page that asks for nothing and runs no script but its own."""

from __future__ import annotations

import base64
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from dashboard.figures import palette
from dashboard.figures.markup import esc

_STYLE: Final = Path(__file__).with_name("report.css")


def whole_page(title: str, body: str, *, css: str = "", script: str = "") -> str:
    """An HTML file with the report's style and a policy that admits exactly this style sheet and this script, by hash.

    `body` is markup already; `css` is added between the colours and the report's own rules.
    """
    style = palette.FIGURE_CSS + css + _STYLE.read_text(encoding="utf-8")
    allowed = f"script-src '{_hash(script)}'; " if script else ""
    policy = f"default-src 'none'; style-src '{_hash(style)}'; {allowed}base-uri 'none'; form-action 'none'"
    end = f'\n<script type="module">{script}</script>' if script else ""
    return (
        f'<!doctype html>\n<html lang="en" class="th"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer"><title>{esc(title)}</title>'
        f"<style>{style}</style></head>\n<body>{body}{end}</body></html>\n"
    )


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(sha256(source.encode()).digest()).decode()


def product_version() -> str:
    """The installed version, for the foot of a report."""
    try:
        return version("tracehound")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"
