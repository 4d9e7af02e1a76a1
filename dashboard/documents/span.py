"""The details panel: everything known about one span, in the order a person asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from analyzers.finding import Finding
from analyzers.frames import Frames
from dashboard.documents import blocks as b
from dashboard.documents.diffs import json_diff
from dashboard.documents.messages import pretty
from dashboard.documents.prompt import prompt_blocks
from dashboard.figures import palette, units
from dashboard.figures.trace_view import labels
from tracer.clock import has_clock
from tracer.model import SpanKind, SpanStatus

_STATUS_TONES: dict[str, b.Tone] = {"ok": "ok", "error": "critical", "running": "running", "interrupted": "warning"}
_SEVERITY_TONES: dict[str, b.Tone] = {"critical": "critical", "warning": "warning", "info": "info"}

Row = dict[str, Any]


def span_document(frames: Frames, span_id: str, findings: Sequence[Finding] = ()) -> list[b.Block]:
    """The blocks of one span of `frames` (one run). An unknown id gives a note, because links may be old."""
    found = frames.spans.filter(pl.col("span_id") == span_id)
    if found.is_empty():
        return [b.note(f"This run has no span {span_id}.", tone="warning")]
    row = found.row(0, named=True)
    title = labels(found.head(1))[0]
    look = palette.look(row["kind"])
    parts = [
        b.heading(title, glyph=look.glyph, kind=row["kind"], copy=span_id, copy_label=f"Copy span id {span_id}"),
        b.chips(_state_chips(row, look.word, findings)),
    ]
    if row["error_type"] or row["error_message"]:
        what = ": ".join(part for part in (row["error_type"], row["error_message"]) if part)
        parts.append(b.code(what, label="Error", tone="critical"))
    parts.append(b.facts(_facts(frames, row)))
    parts += _payload(frames, row)
    parts.append(b.section("Recorded attributes", [b.code(_attributes(row))], note=row["convention"]))
    events = frames.events.filter(pl.col("span_id") == span_id).sort("time_ns")
    if not events.is_empty():
        shown = [
            b.row([event["name"], _after(row, event["time_ns"]), event["attributes"]])
            for event in events.iter_rows(named=True)
        ]
        columns = [b.column("event"), b.column("after", right=True), b.column("attributes", mono=True)]
        parts.append(
            b.section("Events", [b.table(columns, shown, first=50, noun="event")], note=units.count(events.height))
        )
    return parts


def _state_chips(row: Row, word: str, findings: Sequence[Finding]) -> list[b.Block]:
    status = row["status"]
    chips = [b.chip(word)]
    if status != SpanStatus.OK:
        chips.append(b.chip(status, tone=_STATUS_TONES.get(status, "neutral"), glyph=palette.STATUS_GLYPHS.get(status)))
    if row["duplicate_of"]:
        chips.append(b.chip("duplicate, not counted", title="Another instrumentor recorded the same call.",
                            pick={"span": row["duplicate_of"]}))  # fmt: skip
    if row["purpose"] and row["purpose"] != "work":
        chips.append(b.chip(f"purpose: {row['purpose']}"))
    chips += [
        b.chip(
            finding.kind.replace("_", " "), tone=_SEVERITY_TONES[finding.severity], title=finding.title,
            glyph=palette.SEVERITY_GLYPHS[finding.severity], pick={"finding": finding.id},
        )
        for finding in findings
        if row["span_id"] in finding.spans
    ]  # fmt: skip
    return chips


def _facts(frames: Frames, row: Row) -> list[b.Block]:
    origin = frames.spans["start_ns"].min()
    if not has_clock(row["start_ns"]):
        order = units.after(row["start_ns"], row["start_ns"])
        return [b.fact("Times", "not recorded", hint=f"in order of message {order}"), *_more_facts(frames, row)]
    duration = None if row["end_ns"] is None else row["end_ns"] - row["start_ns"]
    facts = [
        b.fact(
            "Took", units.duration(duration) if duration is not None else "still running" if row["status"] == "running" else None,
            hint=f"{duration:,} ns" if duration is not None else None if row["status"] == "running" else "the process ended before the span did",
        ),
        b.fact("Started", f"+{units.duration(row['start_ns'] - (origin if isinstance(origin, int) else row['start_ns']))}",
               hint=units.moment(row["start_ns"]), title=f"{row['start_ns']} ns"),
    ]  # fmt: skip
    if row["end_ns"] is not None and duration:
        facts.append(b.fact("Ended", units.moment(row["end_ns"]), title=f"{row['end_ns']} ns"))
    return facts + _more_facts(frames, row)


def _more_facts(frames: Frames, row: Row) -> list[b.Block]:
    """Who, to whom, why, of what: all but the times."""
    facts: list[b.Block] = []
    if row["agent"]:
        facts.append(b.fact("Agent", row["agent"], hint="inferred" if row["agent_inferred"] else None))
    if row["target_agent"]:
        facts.append(b.fact("To", row["target_agent"]))
    if row["reason"]:
        facts.append(b.fact("Because", row["reason"]))
    facts += _call_facts(row) + _coordination_facts(row)
    if row["parent_span_id"]:
        parent = frames.spans.filter(pl.col("span_id") == row["parent_span_id"])
        known = not parent.is_empty()
        facts.append(
            b.fact(
                "Inside", labels(parent.head(1))[0] if known else row["parent_span_id"],
                hint=None if known else "this parent was never recorded",
                pick={"span": row["parent_span_id"]} if known else None,
            )
        )  # fmt: skip
    for label, column in (("Retry of", "retry_of"), ("Fallback for", "fallback_of")):
        if row[column]:
            facts.append(b.fact(label, row[column], mono=True, pick={"span": row[column]}))
    return facts


def _call_facts(row: Row) -> list[b.Block]:
    if row["kind"] not in (SpanKind.LLM, SpanKind.EMBEDDING):
        return []
    facts = [b.fact("Model", row["model"], hint=row["provider"])]
    if row["status"] == SpanStatus.RUNNING:
        facts.append(b.fact("Tokens, cost", None, hint="known when the call ends"))
        return facts
    if row["input_tokens"] is None and row["output_tokens"] is None:
        facts.append(b.fact("Tokens", None, hint="not recorded"))
    else:
        cached, written, reasoning = row["cached_tokens"], row["cache_write_tokens"], row["reasoning_tokens"]
        parts = [
            f"{units.count(cached)} of the input from cache" if cached else "",
            f"{units.count(written)} written to the cache" if written else "",
            f"{units.count(reasoning)} of the output reasoning" if reasoning else "",
        ]
        value = f"{units.count(row['input_tokens'])} in, {units.count(row['output_tokens'])} out"
        facts.append(b.fact("Tokens", value, hint="; ".join(part for part in parts if part) or None))
    if row["cost_usd"] is None:
        facts.append(b.fact("Cost", "unknown", hint="no price for this call", tone="warning"))
    else:
        source = f"price from {row['cost_source']}" if row["cost_source"] else "source of the price not recorded"
        facts.append(b.fact("Cost", units.money(row["cost_usd"]), hint=source, title=f"${row['cost_usd']:f}"))
    if row["temperature"] is not None:
        facts.append(b.fact("Temperature", f"{row['temperature']:g}"))
    if row["ttft_ns"] is not None:
        facts.append(b.fact("First token", f"after {units.duration(row['ttft_ns'])}"))
    if row["finish_reason"]:
        facts.append(b.fact("Stopped", row["finish_reason"]))
    if row["attempt"] is not None and row["attempt"] > 1:
        facts.append(b.fact("Attempt", str(row["attempt"])))
    if row["prompt_name"]:
        facts.append(b.fact("Prompt", row["prompt_name"], hint=row["prompt_version"]))
    return facts


def _coordination_facts(row: Row) -> list[b.Block]:
    facts: list[b.Block] = []
    if row["wait_for"]:
        how = {"all": "all of them", "any": "any of them"}.get(row["wait_mode"] or "")
        facts.append(b.fact("Waits for", ", ".join(row["wait_for"]), hint=how if len(row["wait_for"]) > 1 else None))
        deadline = None if row["deadline_ns"] is None else _after(row, row["deadline_ns"])
        facts.append(b.fact("Gives up", f"after {deadline}" if deadline else "never"))
    if row["scope_key"]:
        facts.append(b.fact("Decides on", row["scope_key"]))
    if row["choice"]:
        facts.append(b.fact("Choice", row["choice"]))
    if row["state_key"]:
        facts.append(b.fact("State key", row["state_key"], mono=True))
    for label, column in (("Read version", "version_read"), ("Expected version", "version_expected"), ("Wrote version", "version_written")):  # fmt: skip
        if row[column] is not None:
            facts.append(b.fact(label, str(row[column])))
    if row["cas_outcome"]:
        bad = row["cas_outcome"] != "ok"
        facts.append(b.fact("Check", row["cas_outcome"], tone="warning" if bad else "ok"))
    if row["guard"]:
        facts.append(b.fact("Guard", row["guard"]))
    return facts


def _payload(frames: Frames, row: Row) -> list[b.Block]:
    if row["kind"] == SpanKind.LLM:
        return prompt_blocks(frames, row)
    bodies = {slot: [frames.contents.get(ref) for ref in row[f"{slot}_refs"] or ()] for slot in ("input", "output")}
    if row["kind"] == SpanKind.STATE_WRITE and any(bodies["output"]):
        before, after = (bodies[slot][0] if bodies[slot] else None for slot in ("input", "output"))
        return [
            b.heading("Change", level=2, note=", ".join(row["changed_paths"] or ()) or None),
            b.diff(json_diff(before or "", after or "")),
            b.section("Value after", [b.code(pretty(after or ""))]),
        ]
    names = {
        SpanKind.TOOL: ("Arguments", "Result"),
        SpanKind.STATE_READ: ("Query", "Value read"),
        SpanKind.DECISION: ("Looked at", "Options"),
        SpanKind.MESSAGE: ("Text", "Reply"),
        SpanKind.HANDOFF: ("Handed over", "Answer"),
    }.get(row["kind"], ("Task", "Answer"))
    parts: list[b.Block] = []
    for slot, label in zip(("input", "output"), names, strict=True):
        known = [pretty(body) for body in bodies[slot] if body is not None]
        if known:
            parts.append(b.code("\n".join(known), label=label))
        if len(known) < len(bodies[slot]):
            parts.append(b.note(f"{label}: {len(bodies[slot]) - len(known)} text(s) not recorded."))
    return parts


def _after(row: Row, time_ns: int) -> str:
    return units.duration(time_ns - row["start_ns"])


def _attributes(row: Row) -> str:
    try:
        parsed = json.loads(row["attributes"])
    except ValueError:
        return row["attributes"]  # stored as it came; shown as it is
    return json.dumps(parsed, ensure_ascii=False, indent=2, sort_keys=True)
