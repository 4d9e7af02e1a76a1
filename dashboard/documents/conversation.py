"""The run as a transcript: who said what to whom, in order, each text once.

An LLM call is re-sent its history at every turn; only its answer and the messages nobody has seen yet are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analyzers.frames import Frames
from dashboard.documents import blocks as b
from dashboard.documents.messages import Message, pretty, read_message
from dashboard.figures import palette, units
from tracer.model import SpanKind, SpanStatus

SHOWN = 400
"""entries drawn at once; what is left out is said"""

_SPOKEN = (
    SpanKind.WORKFLOW, SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.MESSAGE, SpanKind.HANDOFF,
    SpanKind.DECISION, SpanKind.ESCALATION, SpanKind.GUARD_TRIP,
)  # fmt: skip

Row = Mapping[str, Any]


def conversation_document(frames: Frames, *, selected: str | None = None) -> list[b.Block]:
    """Entries of one run in order of time; an entry selects its span."""
    spans = frames.spans.filter(pl.col("kind").is_in(_SPOKEN) & pl.col("duplicate_of").is_null())
    origin = frames.spans["start_ns"].min()
    seen: set[int] = set()
    entries: list[b.Block] = []
    for row in spans.sort("start_ns", "span_id", maintain_order=True).iter_rows(named=True):
        time = units.duration(row["start_ns"] - (origin if isinstance(origin, int) else 0))
        entries += _entries(frames, row, f"+{time}", seen, row["span_id"] == selected)
    if not entries:
        return [
            b.note("No message, prompt or answer was recorded in this run. Was content switched off while recording?")
        ]
    hidden = len(entries) - SHOWN
    if hidden <= 0:
        return entries
    return [
        *entries[:SHOWN],
        b.note(f"Showing {SHOWN:,} of {len(entries):,} entries. Select a later span in the waterfall to read it."),
    ]


def _entries(frames: Frames, row: Row, time: str, seen: set[int], selected: bool) -> list[b.Block]:
    kind, who = row["kind"], row["agent"] or row["workflow"] or row["name"]
    pick = {"span": row["span_id"]}
    failed = row["status"] == SpanStatus.ERROR
    items = [b.chip(row["error_type"] or "failed", tone="critical", glyph="✕")] if failed else []
    if row["status"] == SpanStatus.RUNNING:
        items.append(b.chip("running", tone="running", glyph="◌"))

    def entry(role: str, text: str, role_class: str, **more: Any) -> b.Block:
        return b.message(
            role, text, time=time, role_class=role_class, pick=pick, selected=selected, items=items, **more
        )

    new_inputs = [ref for ref in row["input_refs"] or () if ref in frames.contents and ref not in seen]
    new_outputs = [ref for ref in row["output_refs"] or () if ref in frames.contents and ref not in seen]
    seen.update(new_inputs, new_outputs)
    given = "\n".join(frames.contents[ref] for ref in new_inputs)
    gave = "\n".join(frames.contents[ref] for ref in new_outputs)
    if kind == SpanKind.LLM:
        return _llm(frames, row, new_inputs, new_outputs, entry)
    if kind in (SpanKind.TOOL, SpanKind.RETRIEVER):
        name = row["tool_name"] or row["name"]
        call = b.tool_call(name, pretty(given), result=pretty(gave) or row["error_message"])
        return [entry(who, "", "tool", note="calls a tool", calls=[call])]
    if kind in (SpanKind.MESSAGE, SpanKind.HANDOFF, SpanKind.ESCALATION):
        verb = {SpanKind.HANDOFF: "hands off", SpanKind.ESCALATION: "escalates"}.get(kind)
        text = _plain(given) or row["reason"] or "(text not recorded)"
        reply = [entry(row["target_agent"] or "reply", _plain(gave), "assistant")] if gave else []
        return [entry(who, text, "handoff", to=row["target_agent"], note=verb), *reply]
    if kind == SpanKind.DECISION:
        why = f": {row['reason']}" if row["reason"] else ""
        return [entry(who, f"{row['scope_key'] or row['name']} = {row['choice'] or '?'}{why}", "other", note="decides")]
    if kind == SpanKind.GUARD_TRIP:
        return [
            entry(row["guard"] or "guard", row["reason"] or row["error_message"] or row["name"], "system", note="trips")
        ]
    said: list[b.Block] = []
    if given:
        said.append(
            entry(
                who,
                _plain(given),
                "user",
                note="is asked" if not row["reason"] else f"is asked, because {row['reason']}",
            )
        )
    if gave:
        said.append(entry(who, _plain(gave), "assistant", note="answers, " + _when(row)))
    return said


def _llm(frames: Frames, row: Row, inputs: list[int], outputs: list[int], entry: Any) -> list[b.Block]:
    who = row["agent"] or row["model"] or "model"
    note = " · ".join(part for part in (row["model"], row["purpose"] if row["purpose"] != "work" else None) if part)
    said: list[b.Block] = []
    for ref in inputs:
        message = read_message(frames.contents[ref])
        role = message.role.lower()
        if role in ("assistant", "ai", "model"):
            continue  # an earlier answer, recorded elsewhere or edited; the answers themselves tell the story
        shown = {"system": "system", "developer": "system", "tool": "tool", "function": "tool"}.get(role, "user")
        said.append(entry(message.name or message.role or "input", message.text, shown, to=who))
    for ref in outputs:
        message = read_message(frames.contents[ref])
        said.append(
            entry(
                who,
                message.text or ("" if message.calls else "(empty answer)"),
                "assistant",
                note=note,
                calls=_calls(message),
            )
        )
    if not outputs and not said and row["status"] == SpanStatus.ERROR:
        said.append(entry(who, row["error_message"] or "the call failed", "assistant", note=note))
    return said


def _calls(message: Message) -> list[b.Block]:
    return [b.tool_call(call.name, call.arguments, note="asked for") for call in message.calls]


def _plain(body: str) -> str:
    message = read_message(body)
    return message.text


def _when(row: Row) -> str:
    if row["end_ns"] is None:
        return "not ended"
    return f"after {units.duration(row['end_ns'] - row['start_ns'])} {palette.STATUS_GLYPHS.get(row['status'], '')}".rstrip()
