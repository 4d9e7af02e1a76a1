"""Who is to blame for a failed run: ranked steps with the evidence that speaks against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.documents import blocks as b

_COLUMNS = [b.column("", right=True), b.column("who", tight=True), b.column("step", tight=True), b.column("score", right=True), b.column("what speaks against it")]  # fmt: skip


def suspects_view(document: Mapping[str, Any] | None, names: Mapping[str, str]) -> list[b.Block]:
    """A card with the `suspects` of a failed run's entry in the analysis; None while they are being made.

    Args:
        names: span id -> what the figures call it.
    """
    head = b.heading("Where it most likely went wrong", level=2)
    if document is None:
        return [b.card([head, b.note("The suspects are being looked for. They appear here by themselves.", tone="running")])]  # fmt: skip
    suspects: Sequence[Mapping[str, Any]] = document.get("suspects") or ()
    if not suspects:
        return [b.card([head, b.note("The evidence in this run does not suffice to name a step.")])]
    parts = [head, b.note("Ranked by the evidence recorded in this run; scores compare within it only.")]
    rows: list[b.Block] = []
    for one in suspects:
        what = names.get(one["span_id"], one["span_id"][:8])
        step = None if one["step"] is None else f"message {one['step']}"
        told = list(dict.fromkeys(one["evidence"]))
        rows.append(b.row([str(one["rank"]), what, step, f"{one['score']:.2f}", "; ".join(told)], pick={"span": one["span_id"]}))  # fmt: skip
    return [b.card([*parts, b.table(_COLUMNS, rows)], tone="critical")]
