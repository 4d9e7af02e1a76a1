"""The run as a transcript: who said what to whom, in order, each text once.

An LLM call is re-sent its history at every turn; only its answer and the messages nobody has seen yet are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.frames import Frames
from dashboard.documents import blocks as b
from dashboard.documents.messages import read_message
from dashboard.figures import palette, units
from dashboard.stored_texts import read_ahead, references
from tracer.model import SpanKind, SpanStatus

SHOWN = 400
"""entries drawn at once; what is left out is said"""
PAGE_SPANS = 300
"""spans on a page"""

_SPOKEN = (
    SpanKind.WORKFLOW, SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.MESSAGE, SpanKind.HANDOFF,
    SpanKind.DECISION, SpanKind.ESCALATION, SpanKind.GUARD_TRIP,
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something said or done: when, by which span, and how to draw it."""

    at_ns: int
    order: int
    block: b.Block


def conversation_pages(frames: Frames) -> int:
    """How many pages the transcript of a run has, at least one."""
    return max(1, -(-_spoken(frames).height // PAGE_SPANS))


def page_of(frames: Frames, span_id: str | None) -> int:
    """The page, from 0, on which a span speaks; the first one where it does not."""
    spans = _spoken(frames)
    places = spans["span_id"].index_of(span_id) if span_id is not None else None
    return 0 if places is None else places // PAGE_SPANS


def conversation_document(frames: Frames, *, selected: str | None = None, page: int | None = None) -> list[b.Block]:
    """Entries of one run in order of time, answers where they were given; an entry selects its span.

    Args:
        page: only what the spans of this page say, from 0; None for the beginning of the whole.
    """
    spans = _spoken(frames)
    earlier = spans.clear()
    if page is not None:
        earlier, spans = spans.head(page * PAGE_SPANS), spans.slice(page * PAGE_SPANS, PAGE_SPANS)
    seen = set(references(earlier.filter(pl.col("kind") == SpanKind.LLM)))
    read_ahead(frames.contents, spans)
    origin = frames.spans["start_ns"].min()
    writer = _Writer(frames, spans, origin if isinstance(origin, int) else 0, selected, seen)
    for row in spans.iter_rows(named=True):
        writer.add(row)
    entries = [entry.block for entry in sorted(writer.entries, key=lambda entry: (entry.at_ns, entry.order))]
    if not entries:
        return [
            b.note("No message, prompt or answer was recorded in this run. Was content switched off while recording?")
        ]
    if len(entries) <= SHOWN:
        return entries
    if page is not None:
        return entries
    more = f"Showing {SHOWN:,} of {len(entries):,} entries. Select a later span in the waterfall to read it."
    return [*entries[:SHOWN], b.note(more)]


def _spoken(frames: Frames) -> pl.DataFrame:
    spans = frames.spans.filter(pl.col("kind").is_in(_SPOKEN) & pl.col("duplicate_of").is_null())
    return spans.sort("start_ns", "span_id", maintain_order=True)


class _Writer:
    """Turns spans, in order of their start, into entries."""

    def __init__(self, frames: Frames, spans: pl.DataFrame, origin: int, selected: str | None, seen: set[int]) -> None:
        self.entries: list[_Entry] = []
        self._frames = frames
        self._spans = spans
        self._origin = origin
        self._selected = selected
        self._seen = seen
        """contents that stand in an entry already"""
        self._task: dict[str, str] = {}
        """agent -> what it was last asked, to tell a prompt that only repeats it"""
        self._spoken = self._answers_of_models()
        self._asked = self._first_words()

    def add(self, row: Row) -> None:
        """Add what this span says."""
        kind = row["kind"]
        if kind == SpanKind.LLM:
            self._add_llm(row)
        elif kind in (SpanKind.TOOL, SpanKind.RETRIEVER):
            result = self._text(row["output_refs"]) or row["error_message"]
            call = b.tool_call(row["tool_name"] or row["name"], self._text(row["input_refs"]), result=result)
            self._say(row, row["start_ns"], _who(row), "", "tool", note="calls a tool", calls=[call])
        elif kind in (SpanKind.MESSAGE, SpanKind.HANDOFF, SpanKind.ESCALATION):
            self._add_message(row)
        elif kind == SpanKind.DECISION:
            why = f": {row['reason']}" if row["reason"] else ""
            choice = f"{row['scope_key'] or row['name']} = {row['choice'] or '?'}{why}"
            self._say(row, row["start_ns"], _who(row), choice, "other", note="decides")
        elif kind == SpanKind.GUARD_TRIP:
            what = row["reason"] or row["error_message"] or row["name"]
            self._say(row, row["start_ns"], row["guard"] or "guard", what, "system", note="trips")
        else:
            self._add_invocation(row)

    def _add_invocation(self, row: Row) -> None:
        who, because = _who(row), f", because {row['reason']}" if row["reason"] else ""
        if task := self._text(row["input_refs"]):
            self._task[who] = task
            if row["kind"] != SpanKind.WORKFLOW or task not in self._asked:
                self._say(row, row["start_ns"], who, task, "user", note=f"is asked{because}")
        answer = self._text(row["output_refs"])
        if answer and (who, answer) not in self._spoken:
            took = "not ended" if row["end_ns"] is None else units.took(row["end_ns"] - row["start_ns"], self._origin)
            note = f"answers after {took}" if took else "answers"
            self._say(row, row["end_ns"] or row["start_ns"], who, answer, "assistant", note=note)

    def _add_message(self, row: Row) -> None:
        verb = {SpanKind.HANDOFF: "hands off", SpanKind.ESCALATION: "escalates"}.get(row["kind"])
        text = self._text(row["input_refs"]) or row["reason"] or ""
        before = self.entries[-1].block if self.entries else {}
        if verb and before.get("text") == text and before.get("to") == row["target_agent"]:
            text = ""  # the message just before said it
        self._say(row, row["start_ns"], _who(row), text, "handoff", to=row["target_agent"], note=verb)
        if reply := self._text(row["output_refs"]):
            self._say(row, row["end_ns"] or row["start_ns"], row["target_agent"] or "reply", reply, "assistant")

    def _add_llm(self, row: Row) -> None:
        who = row["agent"] or row["model"] or "model"
        for ref in row["input_refs"] or ():
            if ref in self._seen or ref not in self._frames.contents:
                continue
            self._seen.add(ref)
            message = read_message(self._frames.contents[ref])
            role = message.role.lower()
            # Earlier answers tell their story where they were given; a prompt that is the task was said already.
            if role in ("assistant", "ai", "model") or message.text == self._task.get(who):
                continue
            shown = {"system": "system", "developer": "system", "tool": "tool", "function": "tool"}.get(role, "user")
            self._say(row, row["start_ns"], message.name or message.role or "input", message.text, shown, to=who)
        parts = (row["model"], row["purpose"] if row["purpose"] != "work" else None)
        note = " · ".join(part for part in parts if part)
        ended = row["end_ns"] or row["start_ns"]
        for ref in row["output_refs"] or ():
            if ref not in self._frames.contents:
                continue
            self._seen.add(ref)
            message = read_message(self._frames.contents[ref])
            calls = [b.tool_call(call.name, call.arguments, note="asked for") for call in message.calls]
            text = message.text or ("" if calls else "(empty answer)")
            self._say(row, ended, who, text, "assistant", note=note, calls=calls)
        if row["status"] == SpanStatus.ERROR:
            self._say(row, ended, who, row["error_message"] or "the call failed", "assistant", note=note)

    def _say(self, row: Row, at_ns: int, role: str, text: str, role_class: str, **more: Any) -> None:
        items: list[b.Block] = []
        if row["status"] == SpanStatus.ERROR:
            items.append(b.chip(row["error_type"] or "failed", tone="critical", glyph=palette.STATUS_GLYPHS["error"]))
        elif row["status"] == SpanStatus.RUNNING:
            items.append(b.chip("running", tone="running", glyph=palette.STATUS_GLYPHS["running"]))
        block = b.message(
            role, text, time=units.after(at_ns, self._origin), role_class=role_class, items=items,
            pick={"span": row["span_id"]}, selected=row["span_id"] == self._selected, **more,
        )  # fmt: skip
        self.entries.append(_Entry(at_ns, len(self.entries), block))

    def _text(self, refs: list[int] | None) -> str:
        bodies = [self._frames.contents[ref] for ref in refs or () if ref in self._frames.contents]
        return "\n".join(read_message(body).text for body in bodies)

    def _first_words(self) -> set[str]:
        """The texts of the first messages: a task that one of them puts needs no entry of its own."""
        first = self._spans.filter(pl.col("kind") == SpanKind.MESSAGE).head(3)
        return {self._text(refs) for refs in first["input_refs"].to_list()}

    def _answers_of_models(self) -> set[tuple[str, str]]:
        """(agent, text) of every answer of a model: an agent that returns just that has nothing to add."""
        return {
            (row["agent"] or "", self._text(row["output_refs"]))
            for row in self._spans.filter(pl.col("kind") == SpanKind.LLM).iter_rows(named=True)
            if row["output_refs"]
        }


def _who(row: Row) -> str:
    return row["agent"] or row["workflow"] or row["name"]
