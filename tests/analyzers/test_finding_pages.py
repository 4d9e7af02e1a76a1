"""Every kind of finding has a page that a reader at 3 a.m. can use: meaning, picture, thresholds, known misses."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzers.detectors import DETECTORS, Detector

PAGES = Path(__file__).parents[2] / "docs" / "findings"
WORK_LIMITS = {"at_once", "memory", "pairs", "queries", "sampled", "shown", "spans", "wordings"}
"""fields of thresholds that bound work or the length of a finding, not what fires"""


def _section(text: str, heading: str) -> str | None:
    """What stands under the first `##` heading that begins like `heading`; None without one."""
    found = re.search(rf"^## (?:{heading})[^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE | re.IGNORECASE)
    return None if found is None else found[1].strip()


def _numbers(detector: Detector) -> Iterator[tuple[str, float]]:
    """(field, default) of each number that decides whether the detector speaks, and how."""
    for parameter in inspect.signature(detector.find).parameters.values():
        if not dataclasses.is_dataclass(parameter.default):
            continue
        for field in dataclasses.fields(parameter.default):
            value = getattr(parameter.default, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and field.name not in WORK_LIMITS:
                yield field.name, value


def _written(name: str, value: float) -> set[str]:
    """Ways to write the number on a page."""
    ways = {
        f"{value:g}",
        f"{value:.2f}",
        f"{value:.1f}",
        f"{value:,g}",
        f"{value / 1e3:g} kB",
        f"{value / 1e6:g} million",
    }
    ways |= {way.removeprefix("0") for way in ways if way.startswith("0.")} | {
        f"{value * 100:g} %",
        f"{value * 100:g} points",
    }
    if name.endswith("_ns"):
        units = {"ms": 1e6, "s": 1e9, "minutes": 6e10, "hours": 3.6e12, "days": 8.64e13}
        ways |= {f"{value / ns:g} {unit}" for unit, ns in units.items()}
    return ways


def test_folder_and_table_agree() -> None:
    """One page a detector, and none without."""
    assert {page.stem for page in PAGES.glob("*.md")} == {detector.name for detector in DETECTORS}


@pytest.mark.parametrize("kind", [detector.name for detector in DETECTORS])
def test_page_is_complete(kind: str) -> None:
    """It begins with its name and what it means, draws what it is about, says when it fires,
    what it misses and what to do."""
    text = (PAGES / f"{kind}.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n\n")
    pictures = list(re.finditer(r"^```(?:text|mermaid)\n.*?^```$|^<svg.*?</svg>$", text, re.DOTALL | re.MULTILINE))

    assert title == f"# {kind}"
    assert len(rest.split("\n\n")[0].split()) >= 5, "no meaning before anything else"
    assert pictures, "no picture"
    assert pictures[0].start() < text.index("\n## "), "the picture belongs to the meaning"
    assert _section(text, "When it fires|Thresholds"), "no thresholds"
    assert _section(text, "Known misses"), "no known misses"
    assert _section(text, "What to do"), "no advice"


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_page_gives_the_numbers_that_the_detector_goes_by(detector: Detector) -> None:
    """Whoever changes a threshold changes the page."""
    text = (PAGES / f"{detector.name}.md").read_text(encoding="utf-8")
    unsaid = {
        name: value
        for name, value in _numbers(detector)
        if not any(re.search(rf"(?<![\d.,]){re.escape(way)}(?![\d.,]*\d)", text) for way in _written(name, value))
    }

    assert unsaid == {}
