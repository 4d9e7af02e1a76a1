"""Who is to blame: the suspects of the analysis document for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.documents import blocks as b
from dashboard.documents.suspects import suspects_table
from dashboard.report.case import Case


def suspects_document(case: Case, names: Mapping[str, str]) -> list[b.Block]:
    """Suspects in order with what speaks against them; `names`: span id -> what the figures call it."""
    suspects: list[dict[str, Any]] = case.run["suspects"]
    if suspects:
        return suspects_table(suspects, names, case.frames)
    why = next((one.reason for one in case.skipped if one.detector == "suspects"), None)
    if why:
        return [b.note("Insufficient evidence: no suspect is named."), b.note(why)]
    return [b.note("Nobody is blamed: nothing says that this run failed." if not case.findings else "Insufficient evidence: no suspect is named.")]  # fmt: skip
