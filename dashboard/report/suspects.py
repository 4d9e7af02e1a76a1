"""Who is to blame: the suspects of the analysis document for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dashboard.documents import blocks as b
from dashboard.report.case import Case

_TIERS: Final[Mapping[str, str]] = {
    "evidence": "evidence in this run",
    "differential": "comparison with a run that went well",
    "spectrum": "statistics over failed and good runs",
    "judge": "order by an LLM judge",
}


def suspects_document(case: Case, names: Mapping[str, str]) -> list[b.Block]:
    """Suspects in order with what speaks against them; `names`: span id -> what the figures call it."""
    suspects: list[dict[str, Any]] = case.run["suspects"]
    if not suspects:
        why = next((one.reason for one in case.skipped if one.detector == "suspects"), None)
        if why:
            return [b.note("Insufficient evidence: no suspect is named."), b.note(why)]
        return [b.note("Nobody is blamed: nothing says that this run failed." if not case.findings else "Insufficient evidence: no suspect is named.")]  # fmt: skip
    rows = [
        b.row(
            [
                str(one["rank"]),
                b.cell(one["agent"] or "no agent", note=names.get(one["span_id"], "") or None),
                f"{one['score']:.2f}",
                ", ".join(_TIERS.get(part, part) for part in str(one["tier"]).split("+")),
                "; ".join(one["evidence"]) or None,
            ],
            pick={"span": one["span_id"]},
        )
        for one in suspects
    ]
    columns = [b.column("", right=True), b.column("who, at which step"), b.column("score", right=True), b.column("by"), b.column("what speaks against it")]  # fmt: skip
    return [b.table(columns, rows), b.note("Scores compare suspects of this run only; they are no probabilities.")]
