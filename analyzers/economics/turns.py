"""The LLM calls of one run as turns: what was asked, what the model wanted, which tools ran for it and what they gave.

    agent Price   |= call 1 =| search_docs |= call 2 =|         call 1 has one tool use, call 2 is a report: it ends an
                                                                invocation that used tools, for another agent to read

A tool belongs to the last call before it in the same invocation (the nearest agent span above, else the agent). The tokens of a
turn's results are what the next call of the invocation was sent beyond this one's input and output, where it goes on with the same
messages; else the length of the results over the run's characters per token. O(spans log spans).
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

import polars as pl

from analyzers.frames import Frames
from analyzers.purposes import message_text, purposes
from analyzers.tally import end_of
from tracer.model import SpanKind, SpanStatus

USUAL_CHARS = 4.0
"""characters per token, where the run does not say"""
TELLING_CHARS = 40
"""an answer from here on tells how many characters a token has"""
ASKING = frozenset({"tool_call", "function_call", "tool_use"})
COLUMNS = ["run_id", "trace_id", "span_id", "parent_span_id", "name", "kind", "agent", "target_agent", "start_ns", "end_ns", "status", "model",
           "purpose", "input_tokens", "output_tokens", "cached_tokens", "cost_usd", "input_refs", "output_refs", "tool_name", "args_hash",
           "result_hash", "duplicate_of", "user_visible"]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that ran for a turn."""

    span_id: str
    name: str
    args: str | None
    ok: bool
    changes: bool
    """its result differs from an earlier one of the same call, or is the first"""
    seconds: float
    tokens: int
    """of its result, by length; 0 where it was not recorded"""


@dataclass(slots=True, kw_only=True)
class Turn:
    """One LLM call of the run."""

    span_id: str
    lane: str
    """the invocation it belongs to"""
    agent: str | None
    model: str | None
    start_ns: int
    end_ns: int
    sent: int
    received: int
    purpose: str
    marked: bool
    """the program says the purpose; else it was read off the texts"""
    failed: bool
    delegates: bool
    """all it asks for is another agent"""
    texts: bool
    """its input was recorded"""
    input_refs: tuple[int, ...] = ()
    output_refs: tuple[int, ...] = ()
    tools: list[ToolUse] = field(default_factory=list[ToolUse])
    results: int = 0
    """tokens of what the tools gave"""
    last: bool = False
    """of its invocation"""
    after_tools: bool = False
    """tools ran before it in its invocation"""

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Run:
    """The turns of one run in order of start, and how long its texts are."""

    turns: Sequence[Turn]
    chars_per_token: float
    contents: Mapping[int, str]
    rows: Sequence[Mapping[str, Any]]
    lengths: dict[int, int] = field(default_factory=dict[int, int])
    """characters of the messages that were measured so far; a history is measured once, not at every call"""

    def tokens(self, refs: Iterable[int]) -> int:
        """Tokens of messages by their length."""
        total = 0
        for ref in refs:
            if ref not in self.lengths:
                self.lengths[ref] = len(message_text(self.contents.get(ref, "")))
            total += round(self.lengths[ref] / self.chars_per_token)
        return total


def read_turns(frames: Frames) -> Run:
    """The turns of the one run in `frames`."""
    spans = frames.spans.filter(pl.col("duplicate_of").is_null()).select(COLUMNS).sort("start_ns", "span_id")
    rows = spans.to_dicts()
    parents = {
        row["span_id"]: row
        for row in frames.spans.select("span_id", "parent_span_id", "kind", "agent", "duplicate_of").to_dicts()
    }
    known = purposes(frames, frames.llm_calls)
    chars = _chars_per_token(rows, frames.contents)
    delegating = _delegating_tools(rows, parents)
    turns: list[Turn] = []
    for row in rows:
        if row["kind"] != SpanKind.LLM:
            continue
        purpose, reason = known[row["run_id"], row["span_id"]]
        wanted = requested_tools(frames.contents.get(ref, "") for ref in row["output_refs"] or ())
        turns.append(
            Turn(
                span_id=row["span_id"], lane=_lane(row, parents), agent=row["agent"], model=row["model"], start_ns=row["start_ns"],
                end_ns=end_of(row), sent=row["input_tokens"] or 0, received=row["output_tokens"] or 0, purpose=purpose,
                marked=reason == "marked", failed=row["status"] == SpanStatus.ERROR,
                delegates=bool(wanted) and all(plain_name(name) in delegating for name in wanted),
                texts=bool(row["input_refs"]) and all(ref in frames.contents for ref in row["input_refs"]),
                input_refs=tuple(row["input_refs"] or ()), output_refs=tuple(row["output_refs"] or ()),
            )
        )  # fmt: skip
    run = Run(turns, chars, frames.contents, rows)
    _give_tools(run, parents, delegating)
    return run


def requested_tools(bodies: Iterable[str]) -> list[str]:
    """Names of the tools that stored answers ask for, in the shapes in which messages are stored."""
    return [name for body in bodies for name, _ in requests(body)]


def requests(body: str) -> list[tuple[str, Any]]:
    """(tool, arguments) that a stored answer asks for; arguments None where they were not recorded."""
    if '"tool_' not in body and '"function_call"' not in body:
        return []
    try:
        held: object = json.loads(body)
    except ValueError:
        return []
    if not isinstance(held, dict):
        return []
    message = cast("dict[str, Any]", held)
    asked = [message.get("function_call"), *_items(message.get("tool_calls"))]
    for slot in ("parts", "content"):
        asked += [
            one
            for one in _items(message.get(slot))
            if isinstance(one, dict) and cast("dict[str, Any]", one).get("type") in ASKING
        ]
    found: list[tuple[str, Any]] = []
    for one in asked:
        if isinstance(one, dict):
            fields = cast("dict[str, Any]", one)
            inner = cast("dict[str, Any]", fields["function"]) if isinstance(fields.get("function"), dict) else fields
            name = inner.get("name")
            if isinstance(name, str):
                found.append((name, inner.get("arguments", inner.get("input"))))
    return found


def _items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def plain_name(name: str) -> str:
    """A tool's name as models and spans both write it."""
    return "".join(c if c.isalnum() else "_" for c in name.casefold())


def _lane(row: Mapping[str, Any], parents: Mapping[str, Mapping[str, Any]]) -> str:
    """The nearest agent span above and the agent that acts."""
    seen: set[str] = set()
    above = row["parent_span_id"]
    while above and above in parents and above not in seen:
        seen.add(above)
        held = parents[above]
        if held["kind"] == SpanKind.AGENT:
            return f"{held['duplicate_of'] or above} {row['agent']}"
        above = held["parent_span_id"]
    return f"agent {row['agent']}"


def _delegating_tools(rows: Sequence[Mapping[str, Any]], parents: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Names of tools that set another agent to work: agents, recorded handoffs, tools with another agent's span inside."""
    names = {plain_name(row["agent"]) for row in rows if row["agent"]}
    for row in rows:
        if row["kind"] == SpanKind.HANDOFF or (row["kind"] == SpanKind.TOOL and row["target_agent"]):
            names.add(plain_name(row["tool_name"] or row["name"]))
    by_id = {row["span_id"]: row for row in rows}
    for row in rows:
        if row["kind"] != SpanKind.AGENT:
            continue
        seen: set[str] = set()
        above = row["parent_span_id"]
        while above and above in parents and above not in seen and parents[above]["kind"] != SpanKind.AGENT:
            seen.add(above)
            tool = by_id.get(above)
            if tool is not None and tool["kind"] in (SpanKind.TOOL, SpanKind.HANDOFF) and tool["agent"] != row["agent"]:
                names.add(plain_name(tool["tool_name"] or tool["name"]))
            above = parents[above]["parent_span_id"]
    return names


def _chars_per_token(rows: Sequence[Mapping[str, Any]], contents: Mapping[int, str]) -> float:
    """By the answers in text, whose tokens are counted; within what tokenizers do."""
    chars = tokens = 0
    for row in rows:
        if row["kind"] == SpanKind.LLM and row["output_tokens"] and row["output_refs"]:
            length = sum(len(message_text(contents.get(ref, ""))) for ref in row["output_refs"])
            if length >= TELLING_CHARS:
                chars += length
                tokens += row["output_tokens"]
    return min(8.0, max(2.0, chars / tokens)) if tokens else USUAL_CHARS


def _give_tools(run: Run, parents: Mapping[str, Mapping[str, Any]], delegating: set[str]) -> None:
    lanes: dict[str, list[Turn]] = defaultdict(list)
    for turn in run.turns:
        lanes[turn.lane].append(turn)
    starts = {lane: [turn.start_ns for turn in turns] for lane, turns in lanes.items()}
    seen: dict[tuple[str, str | None], str | None] = {}
    for row in run.rows:
        if row["kind"] not in (SpanKind.TOOL, SpanKind.RETRIEVER):
            continue
        lane = _lane(row, parents)
        place = bisect_right(starts.get(lane, []), row["start_ns"])
        name = row["tool_name"] or row["name"]
        if not place or plain_name(name) in delegating:
            continue
        key, ok = (name, row["args_hash"]), row["status"] != SpanStatus.ERROR
        fresh = not ok or row["args_hash"] is None or key not in seen or seen[key] != row["result_hash"]
        if ok:
            seen[key] = row["result_hash"]
        lanes[lane][place - 1].tools.append(
            ToolUse(
                span_id=row["span_id"], name=name, args=row["args_hash"], ok=ok, changes=fresh,
                seconds=(end_of(row) - row["start_ns"]) / 1e9, tokens=run.tokens(row["output_refs"] or ()),
            )
        )  # fmt: skip
    for turns in lanes.values():
        for turn, following in zip(turns, [*turns[1:], None], strict=True):
            turn.last = following is None
            turn.results = sum(tool.tokens for tool in turn.tools)
            if following is not None:
                following.after_tools = turn.after_tools or bool(turn.tools)
                goes_on = turn.input_refs and following.input_refs[: len(turn.input_refs)] == turn.input_refs
                if goes_on and turn.sent and following.sent:
                    turn.results = max(0, following.sent - turn.sent - turn.received)


def system_tokens(run: Run) -> dict[str | None, tuple[str, int, int]]:
    """agent -> (system prompt, its tokens, tokens of its tool descriptions and framing); the latter is what its first calls
    were billed beyond their messages."""
    prompts: dict[str | None, str] = {}
    beyond: dict[str | None, list[int]] = defaultdict(list)
    lanes: set[str] = set()
    for turn in run.turns:
        if not turn.texts:
            continue
        first = run.contents.get(turn.input_refs[0], "")
        if '"system"' in first[-40:] + first[:40] or '"developer"' in first[:40]:
            prompts.setdefault(turn.agent, message_text(first))
        if turn.lane not in lanes and turn.sent:
            lanes.add(turn.lane)
            beyond[turn.agent].append(turn.sent - run.tokens(turn.input_refs))
    agents = {turn.agent for turn in run.turns}
    return {
        agent: (
            prompts.get(agent, ""),
            round(len(prompts.get(agent, "")) / run.chars_per_token),
            max(0, round(median(beyond[agent]))) if beyond[agent] else 0,
        )
        for agent in agents
    }
