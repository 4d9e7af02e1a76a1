"""What was said in one LLM call, for the details panel: roles, tool calls with what they returned, and what is new since the turn before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.diffs import json_diff
from dashboard.documents.messages import Message, ToolRequest, read_message
from dashboard.figures import units
from tracer.model import SpanKind

_ROLE_CLASSES: Final = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
                        "ai": "assistant", "model": "assistant", "tool": "tool", "function": "tool"}  # fmt: skip
_OLD_MESSAGES_SHOWN: Final = 2
_DIFF_CHARS: Final = 400_000
"""of both prompts together; beyond that they are not compared"""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Returned:
    """What a tool call gave back, and the span that ran it where that is known."""

    text: str | None
    span_id: str | None = None


def prompt_blocks(frames: Frames, row: Row) -> list[b.Block]:
    """The blocks of one LLM call. `row` is its row of `spans`."""
    inputs, outputs = (_bodies(frames, row[slot]) for slot in ("input_refs", "output_refs"))
    if not inputs and not outputs:
        return [b.note("No prompt or answer was recorded for this call.")]
    sent = [read_message(body) for body in inputs if body is not None]
    received = [read_message(body) for body in outputs if body is not None]
    before = _turn_before(frames, row)
    parts: list[b.Block] = []
    system = [m for m in sent if _class(m) == "system"]
    turns = [m for m in sent if _class(m) != "system"]
    if system:
        size = units.count(sum(len(m.text) for m in system))
        parts.append(b.section("System prompt", [message_block(m) for m in system], note=f"{size} characters"))
    if before is not None and sent:
        parts.append(_changes(frames, before, sent))
    answers = {m.answers: _Returned(m.text) for m in turns if m.answers}
    asked = {call.call_id for m in turns for call in m.calls if call.call_id}
    # A result stands with the call that asked for it, not once more as a message.
    told = [m for m in turns if not (m.answers and m.answers in asked)]
    old, new = told[:-_OLD_MESSAGES_SHOWN], told[-_OLD_MESSAGES_SHOWN:]
    if old:
        parts.append(b.section("Earlier messages", [message_block(m, answers) for m in old], note=amount(len(old), "message")))  # fmt: skip
    parts += [message_block(m, answers) for m in new]
    if received:
        parts.append(b.divider("answer"))
        results = _results(frames, row, [call for m in received for call in m.calls])
        parts += [message_block(m, results, default_role="assistant") for m in received]
    elif sent:
        parts.append(b.note("No answer was recorded."))
    lost = len(inputs) + len(outputs) - len(sent) - len(received)
    if lost:
        parts.append(b.note(f"{amount(lost, 'message')} not recorded."))
    raw = [b.code(body, label=label) for label, bodies in (("Sent", inputs), ("Received", outputs)) for body in bodies if body is not None]  # fmt: skip
    parts.append(b.section("Raw messages, as recorded", raw, note=amount(len(raw), "text")))
    return parts


def message_block(
    message: Message, returned: Mapping[str, _Returned] | None = None, *, default_role: str = "message"
) -> b.Block:
    """One message as a card; roles get their colour, tool calls stand below the text with what they returned."""
    role = message.role or default_role
    held = returned or {}
    return b.message(
        role,
        message.text if message.text or message.calls else "(empty)",
        note=message.name,
        role_class=_ROLE_CLASSES.get(role.lower(), "other"),
        calls=[_call(call, held.get(call.call_id or "")) for call in message.calls],
    )


def _call(call: ToolRequest, returned: _Returned | None) -> b.Block:
    pick = {"span": returned.span_id} if returned is not None and returned.span_id else None
    note = call.call_id if returned is None or returned.text is not None else "no result was recorded"
    return b.tool_call(call.name, call.arguments, result=returned.text if returned else None, note=note, pick=pick)


def _class(message: Message) -> str:
    return _ROLE_CLASSES.get(message.role.lower(), "other")


def _bodies(frames: Frames, refs: Iterable[int] | None) -> list[str | None]:
    return [frames.contents.get(ref) for ref in refs or ()]


def _same_agent(frames: Frames, row: Row) -> pl.DataFrame:
    """The other calls of the agent, in order of time."""
    own = pl.col("agent").eq_missing(pl.lit(row["agent"], pl.String)) & (pl.col("kind") == SpanKind.LLM)
    return frames.spans.filter(own & pl.col("duplicate_of").is_null() & (pl.col("span_id") != row["span_id"])).sort("start_ns", "span_id")  # fmt: skip


def _turn_before(frames: Frames, row: Row) -> Row | None:
    """The call of the same agent that began last before this one and has a prompt on record."""
    earlier = _same_agent(frames, row).filter(
        (pl.col("start_ns") < row["start_ns"]) & (pl.col("input_refs").list.len() > 0)
    )
    return earlier.row(-1, named=True) if earlier.height else None


def _changes(frames: Frames, before: Row, sent: Sequence[Message]) -> b.Block:
    """The prompt against that of the agent's turn before."""
    then = [read_message(body) for body in _bodies(frames, before["input_refs"]) if body is not None]
    old, new = (["\n".join((f"[{m.role or 'message'}]", *_said(m))) for m in one] for one in (then, sent))
    kept = next((k for k, (a, z) in enumerate(zip(old, new, strict=False)) if a != z), min(len(old), len(new)))
    added, gone = len(new) - kept, len(old) - kept
    parts = [f"{added} new" if added else "", f"{gone} replaced or gone" if gone else "", f"{kept} the same" if kept else ""]  # fmt: skip
    link = b.chips([b.chip("the turn before", pick={"span": before["span_id"]}, title="Select that call")])
    if sum(map(len, old)) + sum(map(len, new)) > _DIFF_CHARS:
        return b.section("Against the turn before", [link, b.note("The prompts are too long to compare.")])
    rows = json_diff("\n".join(old), "\n".join(new))
    return b.section("Against the turn before", [link, b.diff(rows)], note=", ".join(part for part in parts if part) + " messages")  # fmt: skip


def _said(message: Message) -> list[str]:
    calls = [f"calls {call.name} {call.arguments}" for call in message.calls]
    return [one for one in (message.text, *calls) if one]


def _results(frames: Frames, row: Row, calls: Sequence[ToolRequest]) -> dict[str, _Returned]:
    """What the calls of an answer gave back: as the agent's next prompt tells it, else as the tool's span says."""
    if not calls:
        return {}
    later = _same_agent(frames, row).filter(pl.col("start_ns") >= row["start_ns"])
    following = later.row(0, named=True) if later.height else None
    told: dict[str, str] = {}
    if following is not None:
        for body in _bodies(frames, following["input_refs"]):
            message = read_message(body) if body is not None else None
            if message is not None and message.answers:
                told[message.answers] = message.text
    since = row["end_ns"] or row["start_ns"]
    ran = frames.spans.filter(
        (pl.col("kind") == SpanKind.TOOL) & (pl.col("start_ns") >= since) & pl.col("duplicate_of").is_null()
        & pl.col("agent").eq_missing(pl.lit(row["agent"], pl.String))
    ).sort("start_ns", "span_id")  # fmt: skip
    if following is not None:
        ran = ran.filter(pl.col("start_ns") <= following["start_ns"])
    waiting = list(ran.head(200).iter_rows(named=True))
    found: dict[str, _Returned] = {}
    for call in calls:
        span = next((one for one in waiting if (one["tool_name"] or one["name"]) == call.name), None)
        if span is not None:
            waiting.remove(span)
        spoken = [body for body in _bodies(frames, span["output_refs"]) if body is not None] if span else []
        text = told.get(call.call_id or "") or ("\n".join(read_message(one).text for one in spoken) or None)
        if call.call_id and (text is not None or span is not None):
            found[call.call_id] = _Returned(text, span["span_id"] if span else None)
    return found
