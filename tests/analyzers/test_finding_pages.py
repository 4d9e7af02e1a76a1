"""Every kind of finding has a page that a reader at 3 a.m. can use: meaning, picture, thresholds, known misses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzers.detectors import DETECTORS

PAGES = Path(__file__).parents[2] / "docs" / "findings"


def test_folder_and_table_agree() -> None:
    """One page a detector, and none without."""
    assert {page.stem for page in PAGES.glob("*.md")} == {detector.name for detector in DETECTORS}


@pytest.mark.parametrize("kind", [detector.name for detector in DETECTORS])
def test_page_is_complete(kind: str) -> None:
    """It begins with its name and one sentence of meaning, draws what it is about, gives thresholds as numbers, and says
    what it misses and what to do."""
    text = (PAGES / f"{kind}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```$|^<svg.*?</svg>$", text, re.DOTALL | re.MULTILINE)
    words = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)

    assert text.lower().startswith(f"# {kind}\n\n")
    assert blocks, "no picture"
    for part in ("known misses", "what to do"):
        assert re.search(rf"^(##|\*\*).*{part}", words.lower(), re.MULTILINE), part
    assert len(re.findall(r"\d+(?:\.\d+)?", words)) >= 3, "no thresholds"
