"""A recorded run as the events the streaming cores read: what a live guard would have been fed.

One span gives at most one event; texts come from the content the span refers to. Times order the events of a lane:
what is known only afterwards (an answer, a result) counts when it ended, what starts something counts when it began.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

import polars as pl

from analyzers.lanes import LaneSpan, assign_lanes
from tracer.ids import canonical_json
from tracer.model import SpanKind, SpanStatus
from tracer.online.loop import Event, EventKind

EVENT_KINDS: dict[str, EventKind] = {
    SpanKind.MESSAGE: "message",
    SpanKind.HANDOFF: "handoff",
    SpanKind.AGENT: "agent",
    SpanKind.LLM: "llm",
    SpanKind.TOOL: "tool",
    SpanKind.RETRIEVER: "tool",
    SpanKind.DECISION: "decision",
    SpanKind.STATE_WRITE: "state",
    SpanKind.WAIT: "wait",
}
COLUMNS = (
    "span_id", "parent_span_id", "kind", "name", "agent", "agent_inferred", "start_ns", "end_ns", "status", "error_type",
    "error_message", "purpose", "attempt", "retry_of", "tool_name", "args_hash", "result_hash", "target_agent", "task_id",
    "reason", "scope_key", "choice", "wait_for", "progress", "state_key", "step", "duplicate_of", "input_refs",
    "output_refs", "cost_usd", "input_tokens", "output_tokens", "value_bytes",
)  # fmt: skip
POLL_REASONS = frozenset({"timer", "rate_limit", "human"})
"""waits that are a pause; a wait for a peer is how agents talk"""
PAUSE_NS = 30_000_000_000
"""so long nobody thinks before a tool call: a poll, whatever else is recorded"""
IDLE_NS = 1_000_000_000
"""nobody did anything for a second before a tool call: a poll, where model calls are recorded too"""
_IDS_OF_CALLS = frozenset({"tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id"})
"""what the answer to a call carries, under the names that frameworks use"""
_WORDS = ("content", "parts", "output", "result")
_OF_ROLES = frozenset({"content", "parts", "tool_calls"})
_SPEAKERS = frozenset({"human", "ai", "tool", "system", "function"})
ONE_QUESTION = 2
"""messages: instructions and a question, no history"""
SIZE_ONLY = " bytes"
"""end of what stands for a state of which only the size is known"""
_MESSAGE_MARKS = ('"role"', '"content"', '"output"', '"result"')
"""a body without any of these holds no message, and is not parsed"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and the span it stands for."""

    event: Event
    at_ns: int
    start_ns: int
    end_ns: int
    target: str
    """agent it goes to, if any"""
    step: int | None
    is_call: bool
    """an LLM call to bill"""
    cost_usd: Decimal | None
    tokens: int | None


def recorded_events(spans: pl.DataFrame, contents: Mapping[int, str]) -> list[Recorded]:
    """The events of one run, ordered so that each lane is in causal order. Repeated spans of one call are left out."""
    return events_of(spans.select(COLUMNS).iter_rows(named=True), contents)


def events_of(spans: Iterable[Mapping[str, Any]], contents: Mapping[int, str]) -> list[Recorded]:
    """As `recorded_events`, from rows that hold at least `COLUMNS`."""
    rows = [row for row in spans if row["duplicate_of"] is None]
    agent_of = {row["span_id"]: row["agent"] or "" for row in rows}
    lanes = assign_lanes(
        (LaneSpan(r["span_id"], r["parent_span_id"], r["kind"], _who(r), r["start_ns"], r["end_ns"]) for r in rows),
        _talks(rows),
    )
    speaking = {row["parent_span_id"] for row in rows if row["kind"] in (SpanKind.LLM, SpanKind.TOOL, SpanKind.MESSAGE)}
    made = [
        _recorded(row, lanes[row["span_id"]], agent_of, row["span_id"] in speaking, contents)
        for row in rows
        if row["kind"] in EVENT_KINDS or row["progress"]
    ]
    made.sort(key=lambda r: (r.at_ns, r.start_ns, r.event.id))
    return _mark_polls(made)


def _recorded(
    row: Mapping[str, Any], lane: str, agent_of: Mapping[str, str], speaks_itself: bool, contents: Mapping[int, str]
) -> Recorded:
    kind = EVENT_KINDS.get(row["kind"], "mark")
    # An LLM's input is the whole history again: nothing of it is new, and reading it would be quadratic.
    given = "" if kind == "llm" else _texts(row["input_refs"], contents)
    answered = _texts(row["output_refs"], contents)
    text, args, heard, args_hash, result_hash = "", "", "", row["args_hash"], row["result_hash"]
    name: str = row["target_agent"] or ""
    if kind == "agent":
        caller = agent_of.get(row["parent_span_id"] or "", "")
        name = caller if caller != (row["agent"] or "") else ""
        # Where calls inside the invocation are recorded, they say the answer; else only this span does.
        text = given if speaks_itself else f"{given}\n{answered}".strip()
        heard = given
        result_hash = _refs_hash(row["input_refs"])
    elif kind in ("message", "handoff"):
        text = given or answered or row["reason"] or ""
        result_hash = _refs_hash(row["input_refs"] or row["output_refs"])
    elif kind == "llm":
        name, text, result_hash = row["purpose"] or "", answered, _refs_hash(row["output_refs"])
        if not row["agent"] and row["input_refs"]:
            # A bare call: no message or task span says what was asked, so its newest input does.
            args = spoken(contents.get(row["input_refs"][-1], ""))
            args_hash = str(row["input_refs"][-1])
        elif row["input_refs"]:
            newest = row["input_refs"][-1]
            heard = spoken(contents.get(newest, ""))
            if not heard and len(row["input_refs"]) <= ONE_QUESTION:
                args_hash = str(newest)  # a question of its own, after instructions at most: told apart by its name
    elif kind == "tool":
        name, args, text = row["tool_name"] or row["name"], given, answered
    elif kind == "decision":
        name, text = row["scope_key"] or "", f"{row['choice'] or ''}"
    elif kind == "state":
        name, text, result_hash = row["state_key"] or "", answered, _refs_hash(row["output_refs"])
        if result_hash is None and row["value_bytes"] is not None:
            result_hash = (
                f"{row['value_bytes']}{SIZE_ONLY}"  # the value itself was not kept; another size is another value
            )
    error = None
    if row["status"] == SpanStatus.ERROR and kind in ("tool", "llm"):
        error = f"{row['error_type'] or ''} {row['error_message'] or text}".strip()
    end = row["start_ns"] if row["end_ns"] is None else row["end_ns"]
    return Recorded(
        event=Event(
            id=row["span_id"],
            lane=lane,
            agent=row["agent"] or "",
            kind=kind if kind != "wait" or _is_pause(row) else "mark",
            name=name,
            text=text,
            heard=heard,
            args=args,
            args_hash=args_hash,
            result_hash=result_hash,
            task_id=row["task_id"],
            error=error,
            progress=bool(row["progress"]),
            mechanical=row["retry_of"] is not None or (row["attempt"] or 1) > 1,
        ),
        at_ns=end if kind in ("llm", "tool", "state") else row["start_ns"],
        start_ns=row["start_ns"],
        end_ns=end,
        target=row["target_agent"] or "",
        step=row["step"],
        is_call=row["kind"] == SpanKind.LLM,
        cost_usd=row["cost_usd"],
        tokens=None
        if row["input_tokens"] is None and row["output_tokens"] is None
        else (row["input_tokens"] or 0) + (row["output_tokens"] or 0),
    )


def _mark_polls(made: Sequence[Recorded]) -> list[Recorded]:
    """The same events, tool calls after an idle moment marked as waited; only for agents whose model calls or pauses are recorded."""
    thinks = {(r.event.lane, r.event.agent) for r in made if r.event.kind in ("llm", "wait")}
    busy: dict[str, int] = {}
    out: list[Recorded] = []
    for one in made:
        event, lane = one.event, one.event.lane
        last = busy.get(lane)
        if event.kind == "tool" and one.step is None and last is not None:
            gap = one.start_ns - last
            if gap >= (IDLE_NS if (lane, event.agent) in thinks else PAUSE_NS) and gap >= 2 * (
                one.end_ns - one.start_ns
            ):
                one = replace(one, event=replace(event, waited=True))
        if event.kind not in ("agent", "mark"):
            busy[lane] = max(busy.get(lane, one.end_ns), one.end_ns)
        out.append(one)
    return out


def _is_pause(row: Mapping[str, Any]) -> bool:
    return row["reason"] in POLL_REASONS or (row["reason"] is None and not row["wait_for"])


def _who(row: Mapping[str, Any]) -> str:
    if row["kind"] in (SpanKind.TOOL, SpanKind.RETRIEVER):
        return f"{row['agent'] or ''}:{row['tool_name'] or row['name']}"
    return row["agent"] or row["name"]


def _talks(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    talks: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["agent"] and row["target_agent"]:
            talks[row["agent"]].add(row["target_agent"])
    return talks


def _refs_hash(refs: Sequence[int] | None) -> str | None:
    return ",".join(map(str, refs)) if refs else None


def _texts(refs: Sequence[int] | None, contents: Mapping[int, str]) -> str:
    return "\n".join(text for ref in refs or () if (text := spoken(contents.get(ref, ""))))


def value_in(body: str) -> Any:
    """What a stored content holds: an object or a list where it is JSON of one, else its text."""
    try:
        return json.loads(body) if body.startswith(("{", "[")) else body
    except ValueError:
        return body


def spoken(body: str) -> str:
    """The words of a stored content: the texts of messages without roles, tool calls and ids; other contents as they are.

    Ids of messages and of calls differ every time, so that an answer given twice would look like news.
    """
    if not any(mark in body for mark in _MESSAGE_MARKS):
        return body
    value = value_in(body)
    said = message_in(value)
    if said is not None:
        return _said(said)
    told = _with_messages_told(value)
    return body if told is value else canonical_json(told)


def message_in(value: Any) -> dict[str, Any] | None:
    """The message that `value` is, out of the envelopes of LangChain (`{"type", "data"}`, `{"lc", "kwargs"}`); None if none."""
    if not isinstance(value, dict):
        return None
    outer = cast("dict[str, Any]", value)
    inner: Any = outer.get("kwargs") if "lc" in outer else outer.get("data") if "type" in outer else None
    if isinstance(inner, dict) and "content" in inner:
        return cast("dict[str, Any]", inner)
    spoken_by = "role" in outer and not outer.keys().isdisjoint(_OF_ROLES)
    answering = not outer.keys().isdisjoint(_IDS_OF_CALLS) and not outer.keys().isdisjoint(_WORDS)
    return outer if spoken_by or answering or (outer.get("type") in _SPEAKERS and "content" in outer) else None


def _with_messages_told(value: Any) -> Any:
    """`value` itself, or a copy in which each message is what it says."""
    said = message_in(value)
    if said is not None:
        return _said(said)
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        copy = {key: _with_messages_told(item) for key, item in held.items()}
        return copy if any(copy[key] is not item for key, item in held.items()) else held
    if isinstance(value, list):
        items = cast("list[Any]", value)
        told = [_with_messages_told(item) for item in items]
        return told if any(new is not old for new, old in zip(told, items, strict=True)) else items
    return value


def _said(message: Mapping[str, Any]) -> str:
    content: Any = next((message[key] for key in _WORDS if message.get(key)), None)
    if not content:
        return "\n".join(_call_text(call) for call in cast("list[Any]", message.get("tool_calls") or ()))
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        return canonical_json(content)
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for part in cast("list[Any]", content):
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            piece = cast("dict[str, Any]", part)
            text = piece.get("text", piece.get("content"))
            if isinstance(text, str):
                texts.append(text)
    return "\n".join(texts)


def _call_text(call: Any) -> str:
    """A requested tool call as name and arguments, without its id."""
    if not isinstance(call, dict):
        return ""
    asked = cast("dict[str, Any]", call)
    inner = asked.get("function")
    what = cast("dict[str, Any]", inner) if isinstance(inner, dict) else asked
    arguments: Any = what.get("arguments", what.get("args", ""))
    return f"{what.get('name', '')} {arguments if isinstance(arguments, str) else canonical_json(arguments)}"
