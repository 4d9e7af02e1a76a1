"""Two runs, or two groups of runs, side by side: what is the same, what differs, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from analyzers.wording import amount
from dashboard.comparing import TwoRuns
from dashboard.documents import blocks as b
from dashboard.documents.diffs import json_diff
from dashboard.documents.messages import read_message
from dashboard.documents.run import OUTCOME_GLYPHS, OUTCOME_TONES
from dashboard.figures import units
from dashboard.figures.palette import look
from dashboard.run_reads import SECOND_NS
from tracer.model import SpanKind

CHANGES: Mapping[str, tuple[str, b.Tone]] = {
    "same": ("= same", "muted"),
    "changed": ("≠ differs", "warning"),
    "only_a": ("− only in A", "critical"),
    "only_b": ("+ only in B", "ok"),
}
VERDICTS: Mapping[str, tuple[str, b.Tone]] = {
    "changed": ("≠ changed", "warning"),
    "same": ("= same", "ok"),
    "inconclusive": ("? inconclusive", "muted"),
}
METRICS: Mapping[str, str] = {
    "completed": "completed", "escalated": "escalated", "any_error": "with an error", "cost_usd": "cost, median", "latency_s": "time, median",
    "tokens": "tokens, median", "llm_calls": "LLM calls, median", "handoffs": "who passes on to whom",
}  # fmt: skip
FOLDED_FROM = 3
"""equal steps in a row from which on they are one line, where only differences are looked at"""
LINE_CHARS = 2_000


def totals_document(document: Mapping[str, Any]) -> list[b.Block]:
    """Both runs in numbers, and B minus A."""
    a, other, totals = document["a"], document["b"], document["totals"]
    rows = [b.row(["outcome", _outcome(a), _outcome(other), None if a["outcome"] == other["outcome"] else "differs"])]
    for label, name, show in _TOTALS:
        rows.append(
            b.row([label, _known(a[name], show), _known(other[name], show), _against(a[name], totals[name], show)])
        )
    columns = [b.column(""), *(b.column(label, right=True, tight=True) for label in ("A", "B", "B against A"))]
    return [b.table(columns, rows)]


def _outcome(run: Mapping[str, Any]) -> b.Block:
    outcome = run["outcome"]
    return b.cell(
        f"{OUTCOME_GLYPHS.get(outcome, '')} {outcome.replace('_', ' ')}", OUTCOME_TONES.get(outcome, "neutral")
    )


def summary(document: Mapping[str, Any]) -> str:
    """What became of the steps, in one sentence."""
    counts = document["counts"]
    parts = [f"{counts[name]:,} {word}" for name, word in
             (("same", "the same"), ("changed", "different"), ("only_a", "only in A"), ("only_b", "only in B")) if counts[name]]  # fmt: skip
    said = (
        f"{document['structure']:.0%} of the steps are in both runs: {', '.join(parts)}."
        if parts
        else "Neither run has a step."
    )
    return said + (" Only the first 4,000 steps of a run are compared." if document["truncated"] else "")


def steps_document(
    steps: Sequence[Mapping[str, Any]], *, first: int, most: int, chosen: int | None, only_differences: bool
) -> tuple[list[b.Block], int]:
    """The lines `first` to `first + most` of the steps, and how many lines there are. A click picks `{"query": step number}`."""
    lines = _lines(steps, only_differences)
    rows = [
        b.row([None, b.cell(amount(len(group), "step"), "muted", note="the same in both runs"), None, None, None, None])
        if len(group) > 1 else _step_row(steps[group[0]], group[0], chosen)
        for group in lines[first : first + most]
    ]  # fmt: skip
    columns = [b.column("", tight=True), b.column("step"), b.column("what differs"),
               *(b.column(label, right=True, tight=True) for label in ("tokens", "cost", "time"))]  # fmt: skip
    return [b.table(columns, rows)], len(lines)


PASSED_ON = (SpanKind.MESSAGE, SpanKind.HANDOFF)
"""kinds that go from one agent to another"""


def _lines(steps: Sequence[Mapping[str, Any]], only_differences: bool) -> list[list[int]]:
    """Step numbers, one list a line; with `only_differences` neighbours that are the same share a line."""
    if not only_differences:
        return [[number] for number in range(len(steps))]
    lines: list[list[int]] = []
    for same, group in groupby(range(len(steps)), key=lambda number: steps[number]["change"] == "same"):
        members = list(group)
        lines += [members] if same and len(members) >= FOLDED_FROM else [[number] for number in members]
    return lines


def _step_row(step: Mapping[str, Any], number: int, chosen: int | None) -> b.Block:
    word, tone = CHANGES[step["change"]]
    delta: Mapping[str, Any] = step["delta"] or {}
    tokens = [delta.get(name) for name in ("input_tokens", "output_tokens")]
    lone = (step["a"] or step["b"]) if not step["delta"] else None
    if lone is not None:
        sign = -1 if step["b"] is None else 1
        tokens = [None if lone[name] is None else sign * lone[name] for name in ("input_tokens", "output_tokens")]
        delta = {name: None if lone[name] is None else sign * lone[name] for name in ("cost_usd", "seconds")}
    known = [value for value in tokens if value is not None]
    return b.row(
        [
            b.cell(word, tone), b.cell("\u2003" * min(step["depth"], 8) + step_title(step), note=step["purpose"]), ", ".join(step["differs"]) or None,
            _signed(sum(known), units.count) if known else None, _signed(delta.get("cost_usd"), units.money), _signed(delta.get("seconds"), _seconds),
        ],
        pick={"query": str(number)}, selected=number == chosen,
    )  # fmt: skip


def step_title(step: Mapping[str, Any]) -> str:
    """`✦ LLM call Researcher`, `▸ message Researcher → Analyst`: kind, who, what or to whom."""
    shown = look(step["kind"])
    what = step["what"] if step["what"] != step["agent"] else None
    who = (
        " → ".join(part for part in (step["agent"], what) if part)
        if step["kind"] in PASSED_ON
        else " ".join(part for part in (step["agent"], what) if part)
    )
    return " ".join(part for part in (shown.glyph, shown.word, who) if part)


def step_document(shown: TwoRuns, step: Mapping[str, Any]) -> list[b.Block]:
    """One step of both runs: its numbers side by side and its texts as a diff; a click on a side opens that span."""
    word, tone = CHANGES[step["change"]]
    chips = [b.chip(word, tone=tone)]
    for side in ("a", "b"):
        if step[side] is not None:
            run = shown.document[side]["run_id"]
            chips.append(
                b.chip(f"open in {side.upper()} →", tone="info", pick={"run": run, "span": step[side]["span_id"]})
            )
    blocks: list[b.Block] = [b.heading(step_title(step), level=2), b.chips(chips)]
    rows = [
        b.row([label, *(None if step[side] is None or step[side][name] is None else show(step[side][name]) for side in ("a", "b"))])
        for label, name, show in _STEP_FACTS
    ]  # fmt: skip
    blocks.append(b.table([b.column(""), b.column("A", right=True), b.column("B", right=True)], rows))
    for slot in ("input", "output"):
        texts = [_text(shown, side, step, slot) for side in ("a", "b")]
        if not any(texts):
            continue
        if step["delta"] is None:
            blocks.append(b.section(slot.capitalize(), [b.code(texts[0] or texts[1] or "", fold=40)], open=True))
        elif texts[0] == texts[1]:
            blocks.append(b.section(slot.capitalize(), [b.code(texts[0] or "", fold=20)], note="the same in both"))
        else:
            rows_ = [(mark, _cut(line)) for mark, line in json_diff(texts[0] or "", texts[1] or "")]
            blocks.append(b.section(slot.capitalize(), [b.diff(rows_)], note="− A, + B", open=True))
    if len(blocks) == 3:
        blocks.append(b.note("No text was recorded for this step."))
    return blocks


def _text(shown: TwoRuns, side: str, step: Mapping[str, Any], slot: str) -> str | None:
    """What a step was given or gave: messages as `role: text`, with the tools they ask for."""
    if step[side] is None:
        return None
    said: list[str] = []
    for body in shown.texts(side, step[side]["span_id"], slot):
        message = read_message(body)
        said.append(f"{message.role}: {message.text}" if message.role else message.text)
        said += [f"→ {call.name} {call.arguments}" for call in message.calls]
    return "\n".join(said) or None


def _cut(line: str) -> str:
    return line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]} … {len(line) - LINE_CHARS:,} more characters"


def changes_document(changes: Sequence[Mapping[str, Any]]) -> list[b.Block]:
    """One table per workflow: every metric on both sides, the effect with its interval, and the verdict."""
    blocks: list[b.Block] = []
    for workflow, group in groupby(changes, key=lambda change: change["workflow"]):
        held = list(group)
        runs = f"{max(c['n_a'] for c in held):,} against {max(c['n_b'] for c in held):,} runs"
        blocks.append(b.heading(workflow or "all workflows together", level=2, note=runs))
        columns = [b.column("metric"), b.column("A", right=True, tight=True), b.column("B", right=True, tight=True), b.column("B against A", right=True, tight=True),
                   b.column("95 % interval", right=True, tight=True), b.column("q", right=True, tight=True), b.column("verdict")]  # fmt: skip
        blocks.append(b.table(columns, [_change_row(change) for change in held]))
        for change in held:
            edges: Mapping[str, Sequence[str]] = change.get("edges") or {}
            if change["verdict"] == "changed":
                blocks += [b.note(f"Handoffs that {word}: {', '.join(edges[name])}") for name, word in (("new", "are new in B"), ("vanished", "are gone in B")) if edges.get(name)]  # fmt: skip
    return blocks


def _change_row(change: Mapping[str, Any]) -> b.Block:
    word, tone = VERDICTS[change["verdict"]]
    needed, least = change["runs_needed"], min(change["n_a"], change["n_b"])
    note = f"about {needed:,} runs a side would tell" if needed and needed > least else None
    if change["effect"] is None:
        note = f"{amount(least, 'run')} on the smaller side; 3 are needed" if least < 3 else "nothing to test"
    return b.row(
        [METRICS.get(change["metric"], change["metric"]), _value(change["a"], change), _value(change["b"], change), _effect(change["effect"], change),
         " to ".join(_effect(end, change) or "" for end in change["interval_95"]) if change["interval_95"] else None,
         None if change["q"] is None else f"{change['q']:.3f}" if change["q"] >= 0.001 else "<0.001", b.cell(word, tone, note=note)]
    )  # fmt: skip


def verdict_sentence(changes: Sequence[Mapping[str, Any]]) -> str:
    """How many metrics changed, stayed, or cannot be told."""
    if not changes:
        return "No workflow has runs on both sides."
    counts = {name: sum(change["verdict"] == name for change in changes) for name in VERDICTS}
    return f"{counts['changed']:,} changed, {counts['same']:,} the same, {counts['inconclusive']:,} inconclusive."


def _value(value: float | None, change: Mapping[str, Any]) -> str | None:
    if value is None:
        return None
    if change["unit"] == "difference":
        return f"{value:.1%}"
    shown: Mapping[str, Callable[[float], str]] = {"cost_usd": units.money, "latency_s": _seconds}
    return shown.get(change["metric"], units.count)(value)


def _effect(value: float | None, change: Mapping[str, Any]) -> str | None:
    if value is None:
        return None
    return {"difference": f"{value * 100:+.1f} points", "ratio": f"× {value:.2f}", "distance": f"distance {value:.2f}"}[
        change["unit"]
    ]


def _known(value: Any, show: Callable[[Any], str]) -> str | None:
    return None if value is None else show(value)


def _against(before: Any, delta: Any, show: Callable[[Any], str]) -> b.Block | str | None:
    if delta is None:
        return None
    return b.cell(
        _signed(delta, show) or "0", note=f"{delta / before:+.0%}".replace("-", "−") if before and delta else None
    )


def _signed(value: Any, show: Callable[[Any], str]) -> str | None:
    return None if not value else f"{'−' if value < 0 else '+'}{show(abs(value))}"


def _seconds(value: float) -> str:
    return units.duration(value * SECOND_NS)


_TOTALS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("cost", "cost_usd", units.money), ("time", "duration_s", _seconds), ("LLM calls", "llm_calls", units.count),
    ("tokens in", "input_tokens", units.count), ("tokens out", "output_tokens", units.count), ("spans", "spans", units.count),
)  # fmt: skip
_STEP_FACTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("status", "status", str), ("model", "model", str), ("time", "seconds", _seconds), ("cost", "cost_usd", units.money),
    ("tokens in", "input_tokens", units.count), ("tokens out", "output_tokens", units.count),
)  # fmt: skip
