"""A run as the steps that can be blamed: who said or did what, in order. The same shape for spans and for transcripts.

Only columns and recorded texts are read, never `attributes`: imported records may carry somebody's verdict there (`source.*`), and
an answer that was read off is none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from analyzers.frames import Frames
from analyzers.purposes import message_text
from tracer.model import SpanKind, SpanStatus

Role = Literal["task", "worker", "manager", "machine", "person"]
"""machine: a tool, or an agent that only runs what others wrote; manager: tells others what to do"""

COLUMNS = ["span_id", "parent_span_id", "kind", "name", "agent", "target_agent", "status", "error_type", "error_message", "tool_name",
           "args_hash", "step", "start_ns", "end_ns", "input_refs", "output_refs", "duplicate_of", "retry_of", "choice", "scope_key",
           "guard", "purpose", "state_key"]  # fmt: skip
BLAMABLE = (SpanKind.MESSAGE, SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.HANDOFF, SpanKind.DECISION,
            SpanKind.STATE_WRITE, SpanKind.AGENT)  # fmt: skip
PEOPLE = frozenset({"user", "human", "customer", "system", "developer", "environment", "user_proxy"})
RUNS_CODE = re.compile(r"\s*(exitcode:|exit code:|there is no code from the last)", re.IGNORECASE)
CLOSING = re.compile(r"\W*(terminate|done|end|approve)\W*", re.IGNORECASE)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?")
WORD = re.compile(r"[^\W\d_]{4,}")
HARD_ERROR = re.compile(
    r"Traceback \(most recent call last\)|\bexit ?code: ?[1-9]|execution failed|\bHTTP(?: Error)? ?[45]\d\d|\b(?:404|403)\b[^\n]{0,40}"
    r"(?:not found|forbidden|error)|\b\w+(?:Error|Exception): |page (?:not found|isn.t available)|\bError: ",
)
TEXT_CHARS = 20_000
"""a longer text is read at its beginning only"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing somebody said or did."""

    place: int
    """0, 1, 2 ... in order of start"""
    span_id: str
    step: int | None
    """0-based index of the message, where the source is a transcript"""
    agent: str | None
    role: Role
    kind: str
    text: str
    """what came out of it"""
    given: str = ""
    """arguments of a tool; the newest message an LLM was sent"""
    target: str | None = None
    tool: str | None = None
    args_hash: str | None = None
    error: str | None = None
    """what failed: the span's error, or a hard error in the text"""
    purpose: str | None = None
    state_key: str | None = None
    failed: bool = False
    """the span itself ended with an error"""
    retry_of: str | None = None
    """the span of the attempt that this one repeats"""
    start_ns: int = 0
    end_ns: int | None = None
    inputs: frozenset[int] = frozenset()
    outputs: frozenset[int] = frozenset()
    words: frozenset[str] = field(default=frozenset(), repr=False)
    numbers: frozenset[str] = field(default=frozenset(), repr=False)


def steps_of(frames: Frames) -> list[Step]:
    """The steps of the one run in `frames`, in order. A transcript gives its messages, spans their calls."""
    blamable = frames.spans.filter(pl.col("kind").is_in(BLAMABLE) & pl.col("duplicate_of").is_null())
    rows = blamable.select(COLUMNS).sort("start_ns", "span_id").to_dicts()
    if any(row["step"] is not None for row in rows):
        rows = [row for row in rows if row["step"] is not None]
        rows.sort(key=lambda row: row["step"])
    else:
        speaking = {row["parent_span_id"] for row in rows if row["kind"] != SpanKind.AGENT}
        rows = [row for row in rows if row["kind"] != SpanKind.AGENT or row["span_id"] not in speaking]
    made: list[Step] = []
    for place, row in enumerate(rows):
        came_in = row["kind"] in (SpanKind.MESSAGE, SpanKind.HANDOFF)
        spoken = row["input_refs"] if came_in else row["output_refs"]
        text = row["choice"] or _text(frames, spoken)
        asked: list[int] = [] if came_in or not row["input_refs"] else row["input_refs"]
        given = _text(frames, asked[-1:])
        failed = row["status"] == SpanStatus.ERROR
        hard = HARD_ERROR.search(text)
        error = (
            " ".join(dict.fromkeys(str(part) for part in (row["error_type"], row["error_message"]) if part)) or "error"
            if failed
            else None
        )
        made.append(
            Step(
                place=place, span_id=row["span_id"], step=row["step"], agent=row["agent"], role="worker", kind=row["kind"], text=text,
                given=given, target=row["target_agent"], tool=row["tool_name"], args_hash=row["args_hash"],
                error=error or (hard[0].strip() if hard else None), failed=failed, retry_of=row["retry_of"], purpose=row["purpose"], state_key=row["state_key"], start_ns=row["start_ns"], end_ns=row["end_ns"],
                inputs=frozenset(row["input_refs"] or ()), outputs=frozenset(row["output_refs"] or ()),
                words=frozenset(word.lower() for word in WORD.findall(text)), numbers=frozenset(numbers_in(text)),
            )
        )  # fmt: skip
    return _with_roles(made)


def numbers_in(text: str) -> set[str]:
    """Numbers as they compare: without thousands' commas and leading plus; single digits say too little."""
    found = {number.replace(",", "").lstrip("+").rstrip(".") for number in NUMBER.findall(text)}
    return {number for number in found if len(number.lstrip("-")) > 1}


def task_of(frames: Frames) -> str:
    """What the run was asked: the text that went into its root span; "" where it was not recorded."""
    return _text(frames, _root_refs(frames))


def fails(step: Step) -> bool:
    """Whether it is a failure to whoever compares runs; of texts only those of tools count, which are loaded for all of them."""
    return step.failed or (bool(step.tool) and step.error is not None)


def lost(steps: Sequence[Step]) -> set[int]:
    """Places of the failures that nobody made good: the same agent did not do the same (tools: with the same arguments) with success later.

    Of attempts that repeat each other the last one counts.
    """
    again = {s.retry_of for s in steps if s.retry_of}
    well = {(s.agent, s.kind, s.tool, s.args_hash): s.place for s in steps if not fails(s)}
    return {
        s.place
        for s in steps
        if fails(s) and s.span_id not in again and well.get((s.agent, s.kind, s.tool, s.args_hash), -1) < s.place
    }


def opening(source_id: str | None, frames: Frames, steps: Sequence[Step]) -> str:
    """What tells runs of one task from others: the task part of an imported id `task/trial`, else the texts that went into the
    root, else the first thing a person said. By content id, so that no text has to be loaded."""
    if source_id and "/" in source_id:
        return source_id.rsplit("/", 1)[0]
    asked = _root_refs(frames)
    said = [sorted(step.inputs) for step in steps if step.role == "person" and step.agent != "system"]
    return " ".join(str(ref) for ref in asked or (said[0] if said else []))


def _root_refs(frames: Frames) -> list[int]:
    roots = frames.spans.filter(
        pl.col("parent_span_id").is_null() & pl.col("kind").is_in([SpanKind.WORKFLOW, SpanKind.AGENT])
    )
    refs: list[list[int] | None] = roots["input_refs"].to_list()
    return (refs[0] or []) if refs else []


def _text(frames: Frames, refs: list[int] | None) -> str:
    return "\n".join(message_text(frames.contents[ref]) for ref in refs or () if ref in frames.contents)[:TEXT_CHARS]


def _with_roles(steps: list[Step]) -> list[Step]:
    """Machines and people by what they are; a manager addresses others at least twice and more than it is addressed."""
    said: Counter[str] = Counter(step.agent or "" for step in steps)
    ran: Counter[str] = Counter(step.agent or "" for step in steps if RUNS_CODE.match(step.text))
    sent: Counter[str] = Counter(
        step.agent or "" for step in steps if step.target and step.kind in (SpanKind.MESSAGE, SpanKind.HANDOFF)
    )
    got: Counter[str] = Counter(step.target for step in steps if step.target)
    roles: list[Step] = []
    for step in steps:
        name = step.agent or ""
        role: Role = "worker"
        if step.kind in (SpanKind.TOOL, SpanKind.RETRIEVER) or (said[name] and 2 * ran[name] >= said[name]):
            role = "machine"
        elif name.lower() in PEOPLE:
            role = "person"
        elif sent[name] >= 2 and sent[name] > got[name]:
            role = "manager"
        roles.append(replace(step, role=role))
    spoken = [step for step in roles if step.role != "person"]
    first = spoken[0] if spoken else None
    # The first message of a transcript that no person opened is what the others were asked to do, whoever it is signed by.
    if first is not None and first.place == 0 and first.step is not None and first.role == "worker" and len(spoken) > 1:
        roles[0] = replace(first, role="task")
    return roles
