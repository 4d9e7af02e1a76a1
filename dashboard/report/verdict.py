"""What happened, in five lines and a handful of numbers: the part of a report that everybody reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import polars as pl

from analyzers.finding import SEVERITIES, Finding, Severity
from analyzers.frames import Frames
from analyzers.sampling import in_words, kept_with
from analyzers.wording import amount
from dashboard.figures import units
from tracer.model import RunOutcome, SpanKind

_ENDED: Final[Mapping[str, str]] = {
    RunOutcome.COMPLETED: "It completed",
    RunOutcome.FAILED: "It failed",
    RunOutcome.ESCALATED: "It was escalated to a person",
    RunOutcome.STOPPED_BY_GUARD: "A guard stopped it",
    RunOutcome.TIMED_OUT: "It ran out of time",
    RunOutcome.INTERRUPTED: "It was interrupted: its process died",
    RunOutcome.RUNNING: "It is still running",
    RunOutcome.UNKNOWN: "How it ended is not known",
}


_GRAVE: Final[Mapping[str, Severity]] = {
    RunOutcome.FAILED: "critical",
    RunOutcome.TIMED_OUT: "critical",
    RunOutcome.INTERRUPTED: "warning",
    RunOutcome.STOPPED_BY_GUARD: "warning",
    RunOutcome.ESCALATED: "warning",
}
"""outcomes that are bad news by themselves"""


@dataclass(frozen=True, slots=True)
class Number:
    """A headline number; `alarm` where it is bad news, `hint` says what it leaves out."""

    label: str
    value: str
    hint: str = ""
    alarm: bool = False


def run_row(frames: Frames) -> dict[str, Any]:
    """The run's row of `traces`."""
    return frames.traces.row(0, named=True)


def verdict(frames: Frames, findings: Sequence[Finding], suspects: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """Five sentences: what ran, how it ended, what was wrong, what it cost, what to change.

    Args:
        suspects: of a failed run, as the analysis document ranks them; they are told of where no detector objects.
    """
    row = run_row(frames)
    lines = [
        _ran(row, _duration_ns(frames)),
        _ENDED.get(row["outcome"], "How it ended is not known")
        + (f": {row['outcome_reason']}." if row["outcome_reason"] else "."),
    ]
    ranked = sorted(findings, key=lambda f: SEVERITIES.index(f.severity))
    cost = _cost_line(row, waste(frames, findings)[0])
    if not ranked or (suspects and ranked[0].severity == "info"):
        wrong, change = _without_findings(row, suspects)
        besides = f" Besides: {amount(len(ranked), 'remark')}." if ranked else ""
        return [*lines, wrong + besides, cost, change]
    worst = ranked[0]
    others = f" Besides: {amount(len(ranked) - 1, 'more finding')}." if len(ranked) > 1 else ""
    change = f"What to change: {_sentence(worst.suggestion)}" if worst.suggestion else "No change is suggested."
    return [*lines, _sentence(worst.title) + others, cost, change]


def alarm(outcome: str, findings: Sequence[Finding]) -> Severity | None:
    """How bad it is, None where all is well; a run that ended badly is no better than that, whatever was found."""
    ended = _GRAVE.get(outcome)
    return min(
        [*(finding.severity for finding in findings), *([ended] if ended else ())], key=SEVERITIES.index, default=None
    )


def _without_findings(row: Mapping[str, Any], suspects: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """What was wrong and what to change, where no detector objects; a run that ended badly has no clean bill."""
    if suspects:
        first = suspects[0]
        at = "" if first["step"] is None else f" at message {first['step']}"
        return (
            f"No detector objects, but the evidence points first to {first['agent'] or 'a step without an agent'}{at}.",
            f"Look there first: {_sentence('; '.join(dict.fromkeys(first['evidence'])) or 'see who is to blame')}",
        )
    if row["outcome"] in _GRAVE:
        return (
            "No detector objects, and nothing in the record says where it went wrong.",
            "Why it ended so has to be looked for outside of this record.",
        )
    return "No detector objects to this run.", "Nothing to change was found."


def _ran(row: Mapping[str, Any], lasted_ns: int) -> str:
    """How long, with whom, how many calls: of what was recorded."""
    tokens = row["input_tokens"] + row["output_tokens"]
    took = units.took(lasted_ns, row["start_ns"])
    parts = [amount(row["agents"], "agent")]
    if row["llm_calls"] or tokens:
        parts += [amount(row["llm_calls"], "LLM call"), f"{units.count(tokens)} tokens"]
    said = (
        f"{row['workflow'] or 'The run'} ran{f' {took}' if took else ''} with "
        + (", ".join(parts[:-1]) + " and " if parts[1:] else "")
        + parts[-1]
    )
    missing = [what for what, lacks in (("times", not took), ("model calls", not parts[1:])) if lacks]
    return said + (f"; the record has no {' and no '.join(missing)}." if missing else ".")


def numbers(frames: Frames, findings: Sequence[Finding]) -> list[Number]:
    """The strip of headline numbers."""
    row = run_row(frames)
    bad = row["outcome"] not in (RunOutcome.COMPLETED, RunOutcome.RUNNING)
    waiting = frames.spans.filter((pl.col("kind") == SpanKind.WAIT) & pl.col("end_ns").is_not_null())
    waited = int((waiting["end_ns"] - waiting["start_ns"]).sum() or 0)
    critical = sum(f.severity == "critical" for f in findings)
    unpriced = row["unpriced_calls"]
    tokens = row["input_tokens"] + row["output_tokens"]
    called = row["llm_calls"] or tokens or row["cost_usd"] is not None
    took = units.took(_duration_ns(frames), row["start_ns"])
    return [
        Number("Outcome", str(row["outcome"]).replace("_", " "), row["outcome_reason"] or "", bad),
        Number("Findings", units.count(len(findings)), f"{critical} critical" if critical else "none critical", critical > 0),
        Number("Duration", took or "—", "no times recorded" if took is None else f"{units.duration(waited)} in waits" if waited else ""),
        Number("Cost", units.money(row["cost_usd"]) if called else "—",
               f"{amount(unpriced, 'call')} without a price" if unpriced else "" if called else "no model call recorded", alarm=bool(unpriced)),
        Number("Tokens", units.count(tokens) if called else "—", f"{units.count(row['output_tokens'])} out" if called else ""),
        Number("LLM calls", units.count(row["llm_calls"]), amount(row["agents"], "agent")),
        Number("Errors", units.count(row["errors"]), f"of {amount(row['spans'], 'span')}", bool(row["errors"])),
    ]  # fmt: skip


def waste(frames: Frames, findings: Sequence[Finding]) -> tuple[Decimal | None, int]:
    """(USD, tokens) that the findings call wasted; never more than the run spent, because a guard that lost everything charges the
    whole run beside the findings that charge their calls. None: no price is known."""
    row = run_row(frames)
    paid = [f.wasted_usd for f in findings if f.wasted_usd is not None]
    tokens = sum(f.wasted_tokens or 0 for f in findings)
    usd = sum(paid, Decimal(0)) if paid else None
    if usd is not None and row["cost_usd"] is not None:
        usd = min(usd, row["cost_usd"])
    return usd, min(tokens, row["input_tokens"] + row["output_tokens"])


def quality(frames: Frames) -> list[tuple[str, str]]:
    """What the record lacks: (what, how much); empty where nothing is missing."""
    spans = frames.spans
    calls = frames.llm_calls
    ids = {(t, s) for t, s in spans.select("trace_id", "span_id").iter_rows()}
    named = spans.filter(pl.col("parent_span_id").is_not_null()).select("trace_id", "parent_span_id").iter_rows()
    refs = {
        ref for column in ("input_refs", "output_refs") for held in spans[column].drop_nulls().to_list() for ref in held
    }
    counts = [
        ("LLM calls without a known price", calls["cost_usd"].null_count(), calls.height),
        ("LLM calls without token counts", calls.filter(pl.col("input_tokens").is_null()).height, calls.height),
        ("spans whose parent never arrived", sum(parent not in ids for parent in named), spans.height),
        ("spans whose process died", spans.filter(pl.col("status") == "interrupted").height, spans.height),
        ("spans whose agent was inferred", int(spans["agent_inferred"].sum() or 0), spans.height),
        (
            "spans that repeat another one and are not counted",
            spans.height - spans["duplicate_of"].null_count(),
            spans.height,
        ),
        (
            "spans with values that were derived, not recorded",
            spans.filter(pl.col("derived").list.len() > 0).height,
            spans.height,
        ),
        ("attributes dropped by the producer's limits", int(spans["dropped_attributes"].sum() or 0), 0),
        ("texts that were not recorded or not kept", sum(ref not in frames.contents for ref in refs), len(refs)),
    ]
    sampled = [
        ("the run was kept by a sampler, others like it were not recorded", f"{in_words(kept)} kept")
        for kept in kept_with(spans).values()
    ]
    return sampled + [(what, f"{n:,}" + (f" of {whole:,}" if whole else "")) for what, n, whole in counts if n]


def _duration_ns(frames: Frames) -> int:
    """From the start to the end; for a running run to the last thing that happened."""
    row = run_row(frames)
    last = frames.spans.select(pl.max_horizontal("start_ns", "end_ns").max()).item()
    return max(0, (row["end_ns"] or last or row["start_ns"]) - row["start_ns"])


def _cost_line(row: Mapping[str, Any], wasted_usd: Decimal | None) -> str:
    if row["cost_usd"] is None:
        return (
            "What it cost is not known: no call has a known price."
            if row["llm_calls"]
            else "No model call was recorded, so that it has no known cost."
        )
    least = "at least " if row["unpriced_calls"] else ""
    wasted = float(wasted_usd or 0)
    bought = (
        f", of which {units.money(wasted)} ({units.share(wasted, float(row['cost_usd']))}) bought nothing"
        if wasted
        else ""
    )
    return f"It cost {least}{units.money(row['cost_usd'])}{bought}."


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."
