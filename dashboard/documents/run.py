"""The head of the trace page: what ran, how it ended, what it cost, what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.sampling import in_words
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from tracer.clock import has_clock
from tracer.model import RunOutcome

OUTCOME_TONES: Mapping[str, b.Tone] = {
    RunOutcome.COMPLETED: "ok",
    RunOutcome.FAILED: "critical",
    RunOutcome.TIMED_OUT: "critical",
    RunOutcome.INTERRUPTED: "warning",
    RunOutcome.STOPPED_BY_GUARD: "warning",
    RunOutcome.ESCALATED: "warning",
    RunOutcome.RUNNING: "running",
    RunOutcome.UNKNOWN: "neutral",
}
OUTCOME_GLYPHS: Mapping[str, str] = {
    RunOutcome.COMPLETED: "✓",
    RunOutcome.FAILED: "✕",
    RunOutcome.TIMED_OUT: "◔",
    RunOutcome.INTERRUPTED: "⊗",
    RunOutcome.STOPPED_BY_GUARD: "⊘",
    RunOutcome.ESCALATED: "⚑",
    RunOutcome.RUNNING: "◌",
    RunOutcome.UNKNOWN: "?",
}
SEVERITY_TONES: Mapping[str, b.Tone] = {"critical": "critical", "warning": "warning", "info": "info"}
SAMPLED_GLYPH = "≈"
_CHIPS_SHOWN = 8
_SPANS_SHOWN = 24


def header_document(
    row: Mapping[str, Any],
    findings: Sequence[Finding],
    mark: Mapping[str, Any] | None,
    *,
    selected: str | None = None,
    kept: float | None = None,
) -> list[b.Block]:
    """Title, outcome, numbers and finding chips of a run. `row` is its row of `traces`, `mark` a person's verdict.

    Args:
        kept: probability with which a sampler kept the run, if one did.
    """
    outcome = row["outcome"]
    first = [
        b.chip(
            outcome.replace("_", " "),
            tone=OUTCOME_TONES.get(outcome, "neutral"),
            glyph=OUTCOME_GLYPHS.get(outcome),
            title=row["outcome_reason"],
        )
    ]
    if mark is not None:
        failed = mark["verdict"] == "failed"
        first.append(
            b.chip(
                f"marked {mark['verdict']}" + (f": {mark['note']}" if mark["note"] else ""),
                tone="critical" if failed else "ok", glyph="✎", title=f"on {units.moment(mark['time_ns'])}",
            )
        )  # fmt: skip
    if kept is not None:
        first.append(b.chip("sampled", tone="info", glyph=SAMPLED_GLYPH, title=f"A sampler kept {in_words(kept)}."))
    blocks = [
        b.heading(
            row["workflow"] or "unnamed workflow",
            note=(row["source_id"] or row["run_id"][:8]),
            copy=row["run_id"],
            copy_label=f"Copy run id {row['run_id']}",
            items=first,
        ),
        b.note(" · ".join(_numbers(row))),
    ]
    if row["outcome_reason"]:
        why = f"whether it did its task is not known: {row['outcome_reason']}" if outcome == RunOutcome.UNKNOWN else row["outcome_reason"]  # fmt: skip
        blocks.append(b.note(_sentence(why), tone=OUTCOME_TONES.get(outcome)))
    if kept is not None:
        blocks.append(b.note(f"{SAMPLED_GLYPH} A sampler kept {in_words(kept)}. This one may be whole; the others were never recorded, so it stands for about {amount(round(1 / kept), 'run')} in counts and costs over many.", tone="info"))  # fmt: skip
    if findings:
        shown = list(findings[:_CHIPS_SHOWN])
        chosen = next((finding for finding in findings if finding.id == selected), None)
        if chosen is not None and chosen not in shown:
            shown.append(chosen)
        chips = [
            b.chip(
                finding_tag(finding),
                tone=SEVERITY_TONES[finding.severity],
                glyph=palette.SEVERITY_GLYPHS[finding.severity],
                title=finding.title,
                pick={"finding": finding.id},
                on=finding.id == selected,
            )
            for finding in shown
        ]
        if len(findings) > len(shown):
            chips.append(b.chip(f"{len(findings) - len(shown)} more under Findings"))
        blocks.append(b.chips(chips))
    return blocks


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _numbers(row: Mapping[str, Any]) -> list[str]:
    took, tokens = took_cell(row), row["input_tokens"] + row["output_tokens"]
    times = ["started " + started_cell(row, 19) + " UTC", took if row["end_ns"] is None else f"took {took}"]
    money = [cost_text(row), f"{units.count(tokens)} tokens", amount(row["llm_calls"], "LLM call")]
    numbers = [
        *(times if has_clock(row["start_ns"]) else ["a transcript without times, shown in order of its messages"]),
        *(
            money
            if row["llm_calls"] or tokens or row["cost_usd"] is not None
            else ["no LLM call yet" if row["outcome"] == RunOutcome.RUNNING else "no LLM calls recorded"]
        ),
        amount(row["agents"], "agent"),
        amount(row["spans"], "span"),
    ]
    if row["errors"]:
        numbers.append(amount(row["errors"], "failed span"))
    return numbers


def started_cell(row: Mapping[str, Any], chars: int = 16) -> str:
    """When a run started, UTC, for a table; 16 characters are to the minute, 19 to the second. A dash where its source has no times."""
    return units.moment(row["start_ns"])[:chars] if has_clock(row["start_ns"]) else "—"


def took_cell(row: Mapping[str, Any]) -> str:
    """How long a run took, for a table; a dash where its source has no times."""
    if not has_clock(row["start_ns"]):
        return "—"
    if row["end_ns"] is None:
        return "running" if row["outcome"] == RunOutcome.RUNNING else "never ended"
    return units.duration(row["end_ns"] - row["start_ns"])


def cost_cell(row: Mapping[str, Any]) -> str:
    """What a run cost, for a table: a dash without LLM calls, "unknown" without prices, "≥" where some are missing."""
    if row["cost_usd"] is None:
        return "unknown" if row["llm_calls"] else "—"
    return ("≥ " if row["unpriced_calls"] else "") + units.money(row["cost_usd"])


def cost_text(row: Mapping[str, Any]) -> str:
    """Cost with its coverage: "$0.42", "at least $0.42 (3 of 9 calls without a price)", "cost unknown"."""
    calls, unpriced, cost = row["llm_calls"], row["unpriced_calls"], row["cost_usd"]
    if not calls and cost is None:
        return "no LLM cost"
    if cost is None:
        return f"cost unknown (no price for {amount(calls, 'call')})"
    if unpriced:
        return f"at least {units.money(cost)} ({unpriced:,} of {amount(calls, 'call')} without a price)"
    return units.money(cost)


def findings_document(
    findings: Sequence[Finding], skipped: Sequence[Skipped], failures: Sequence[DetectorFailure], *,
    names: Mapping[str, str], selected: str | None, quiet: bool = True,
) -> list[b.Block]:  # fmt: skip
    """Every finding of a run with its evidence, then what could not be judged, then detectors that crashed.

    Args:
        quiet: the run itself is no reason for alarm; "nothing found" about a failed one is no good news.
    """
    blocks = [
        b.card(finding_blocks(finding, names=names), tone=SEVERITY_TONES[finding.severity], selected=finding.id == selected,
               pick={"finding": finding.id})
        for finding in findings
    ]  # fmt: skip
    if not findings:
        below = " What could not be judged is listed below." if skipped or failures else ""
        blocks.append(b.card([b.heading("Nothing found", level=2), b.prose(f"No detector objects to this run.{below}")], tone="ok" if quiet else "neutral"))  # fmt: skip
    if failures:
        rows = [b.row([failure.detector, failure.error]) for failure in failures]
        blocks.append(
            b.section("Detectors that crashed", [b.note("Their questions stay unanswered for this run. This is a defect of tracehound.", tone="critical"),
                      b.table([b.column("detector"), b.column("error", mono=True)], rows)], note=str(len(failures)), open=True)
        )  # fmt: skip
    if skipped:
        rows = [b.row([item.detector.replace("_", " "), item.reason]) for item in skipped]
        blocks.append(
            b.section(
                "Not judged", [b.table([b.column("question"), b.column("why not")], rows)], note=str(len(skipped))
            )
        )
    return blocks


def finding_blocks(
    finding: Finding, *, names: Mapping[str, str] | None = None, brief: bool = False, items: Sequence[b.Block] = ()
) -> list[b.Block]:
    """One finding: title, what happened, what to change, and the checks and spans it rests on.

    Args:
        names: span id -> what the figures call it, for spans that can be selected here; None where none can.
        brief: the evidence starts folded.
        items: further chips behind the standing ones.
    """
    chips = [
        b.chip(
            finding.severity, tone=SEVERITY_TONES[finding.severity], glyph=palette.SEVERITY_GLYPHS[finding.severity]
        ),
        b.chip(finding.kind.replace("_", " ")),
        b.chip(f"confidence {finding.confidence:.0%}", title="How sure the rule is, not how bad it would be."),
    ]
    if finding.wasted_usd:
        chips.append(b.chip(f"{units.money(finding.wasted_usd)} wasted"))
    elif finding.wasted_tokens:
        chips.append(b.chip(f"{units.count(finding.wasted_tokens)} tokens wasted"))
    chips += items
    blocks = [b.heading(finding.title, level=1 if not brief else 2), b.chips(chips), b.prose(finding.explanation)]
    if finding.suggestion:
        blocks.append(b.facts([b.fact("What to change", finding.suggestion)]))
    evidence: list[b.Block] = []
    if finding.checked:
        rows = [
            b.row([check.rule.replace("_", " "), _plain(check.value), _plain(check.threshold),
                   b.cell("✓", title="speaks for the finding") if check.passed else b.cell("no", "muted")])
            for check in finding.checked
        ]  # fmt: skip
        columns = [
            b.column("rule"),
            b.column("value", right=True),
            b.column("threshold", right=True),
            b.column("speaks for it", right=True),
        ]
        evidence.append(b.table(columns, rows))
    if finding.spans and names is not None:
        shown = finding.spans[:_SPANS_SHOWN]
        evidence.append(
            b.chips([b.chip(names.get(span, span[:8]), pick={"finding": finding.id, "span": span}, title=f"Select span {span}") for span in shown])
        )  # fmt: skip
        if len(finding.spans) > len(shown):
            evidence.append(b.note(f"Showing {len(shown)} of {amount(len(finding.spans), 'span')}."))
    if evidence:
        blocks.append(b.section("Evidence", evidence, note=_evidence_note(finding), open=not brief))
    return blocks


def finding_summary(finding: Finding, names: Mapping[str, str]) -> list[b.Block]:
    """A finding for the narrow panel beside a view: short, with everything else folded."""
    title, chips, *rest = finding_blocks(finding, names=names, brief=True)
    blocks = [title, chips, b.prose(finding.explanation, fold=260)]
    if finding.suggestion:
        blocks.append(b.section("What to change", [b.prose(finding.suggestion)]))
    return blocks + [block for block in rest if block["block"] == "section"]


def _evidence_note(finding: Finding) -> str:
    parts = [amount(len(finding.checked), "check")] if finding.checked else []
    if finding.spans:
        parts.append(amount(len(finding.spans), "span"))
    if finding.agents:
        parts.append(", ".join(finding.agents))
    return " · ".join(parts)


def _plain(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
