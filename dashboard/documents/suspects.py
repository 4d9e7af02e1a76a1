"""Who is to blame for a failed run: ranked steps with the evidence that speaks against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from analyzers.frames import Frames
from dashboard.documents import blocks as b
from dashboard.figures import units

_TIERS: Final[Mapping[str, str]] = {
    "evidence": "evidence in this run",
    "differential": "comparison with a run that went well",
    "spectrum": "statistics over failed and good runs",
    "judge": "order by an LLM judge",
}
_COLUMNS = [
    b.column("", right=True), b.column("who", tight=True), b.column("step", tight=True), b.column("score", right=True), b.column("what speaks against it"),
]  # fmt: skip


def suspects_table(suspects: Sequence[Mapping[str, Any]], names: Mapping[str, str], frames: Frames) -> list[b.Block]:
    """The `suspects` of the analysis document in their order, and by what they were found.

    Args:
        names: span id -> what the figures call it.
        frames: the run, which says when their steps began.
    """
    rows: list[b.Block] = []
    starts = dict(frames.spans.select("span_id", "start_ns").iter_rows())
    origin_ns = min(starts.values(), default=0)
    for one in suspects:
        what = names.get(one["span_id"], one["span_id"][:8])
        agent = one["agent"] or "no agent"
        who = b.cell(what) if what.startswith(agent) else b.cell(agent, note=what)
        after = units.after(starts.get(one["span_id"], origin_ns), origin_ns)
        step = after if one["step"] is None else f"message {one['step']}"
        told = list(dict.fromkeys(one["evidence"]))
        rows.append(b.row([str(one["rank"]), who, step, f"{one['score']:.2f}", "; ".join(told)], pick={"span": one["span_id"]}))  # fmt: skip
    tiers = dict.fromkeys(_TIERS.get(part, part) for one in suspects for part in str(one["tier"]).split("+"))
    return [b.table(_COLUMNS, rows), b.note(f"Ranked by {', '.join(tiers)}. Scores compare suspects of this run only; they are no probabilities.")]  # fmt: skip


def suspects_view(document: Mapping[str, Any] | None, names: Mapping[str, str], frames: Frames) -> list[b.Block]:
    """A card with the `suspects` of a failed run's entry in the analysis; one that says so while they are being made."""
    head = b.heading("Where it most likely went wrong", level=2)
    if document is None:
        return [b.card([head, b.note("The suspects are being looked for. They appear here by themselves.", tone="running")])]  # fmt: skip
    suspects: Sequence[Mapping[str, Any]] = document.get("suspects") or ()
    if not suspects:
        return [b.card([head, b.note("The evidence in this run does not suffice to name a step.")])]
    return [b.card([head, *suspects_table(suspects, names, frames)], tone="critical")]
