"""Why an LLM was called, where nobody said so: read off what went in and came out.

    rule                                                                        purpose
    the output is the name of an agent, or small JSON that names one            route
    the input is an earlier input plus a complaint about its format             parse_repair
    the input is that of an earlier call that failed                            recover
    asked for a summary, and the output is much shorter than the input          summarise
    asked what to remember, output small                                        memory
    asked to grade, the output is small JSON or one word                        judge
    asked for a plan, the output is a list of steps                             plan
    anything else                                                               work

A call with tools to call, or that answers the user, is work whatever it says. The first rule that fits wins. The purpose attribute,
where there is one, is never overruled.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import polars as pl

from analyzers.frames import Frames
from tracer.model import Purpose, SpanStatus

SMALL_CHARS = 400
"""an output up to here is small"""
ROUTE_WORDS = 4
"""an answer of at most so many words can be a bare name"""
SHRINK = 0.5
"""a summary has at most this share of its input's length"""
ROUTE_KEYS = frozenset(
    {
        "next",
        "next_speaker",
        "next_agent",
        "agent",
        "route",
        "recipient",
        "speaker",
        "goto",
        "destination",
        "is_request_satisfied",
    }
)
JUDGE_KEYS = frozenset({"score", "grade", "verdict", "rating", "passed", "is_correct"})
COMPLAINT, SUMMARY, MEMORY, JUDGE, PLAN = "complaint", "summary", "memory", "judge", "plan"
CUES: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {
    COMPLAINT: (
        ("pars", "json", "malformed", "schema", "validation", "format", "missing field"),
        re.compile(
            r"could not (be )?pars|can(no|')t (be )?pars|failed to parse|not valid json|invalid json|malformed|did not match the schema|"
            r"validation error|reply (only )?with (valid )?json|fix the (format|json|errors)|output pars|missing field"
        ),
    ),
    SUMMARY: (
        ("summar", "condense", "compress", "shorten"),
        re.compile(r"\b(summari[sz]e|summary|condense|compress|shorten)\b"),
    ),
    MEMORY: (
        ("remember", "memor", "facts"),
        re.compile(r"\b(worth remembering|remember|memor(y|ies|i[sz]e)|long-term facts|extract (the )?facts)\b"),
    ),
    JUDGE: (
        ("grade", "judge", "score", "evaluate", "rate"),
        re.compile(r"\b(grade|judge|score|evaluate|rate) (the|this|its|their|how|whether)\b"),
    ),
    PLAN: (
        ("plan", "break"),
        re.compile(
            r"\b(make|write|create|devise|draft|produce) (a|the|an) ([\w-]+ ){0,2}plan\b|\bbreak .{0,40}(into|down).{0,20}(steps|tasks)\b"
        ),
    ),
}
"""cue -> (parts of words without which it cannot be there, the rule itself); both look at lower-case text, the first is 50 times faster"""
HEAD_CHARS, TAIL_CHARS = 600, 300
"""where a message says what is asked: its beginning and its end"""
STEPS = re.compile(r"(?m)^\s*(?:\d+[.)]|[-*])\s+\S")


@dataclass(frozen=True, slots=True)
class Call:
    """An LLM call as the rules see it."""

    span_id: str
    input_refs: tuple[int, ...]
    output_refs: tuple[int, ...]
    failed: bool
    user_visible: bool


def purposes(frames: Frames, calls: pl.DataFrame) -> dict[tuple[str, str], tuple[str, str]]:
    """(run_id, span_id) -> (purpose, how it is known: "marked" or the rule's reason) of each of `calls`, rows of LLM calls."""
    names: dict[str, set[str]] = defaultdict(set)
    told = frames.spans.lazy().filter(pl.col("run_id").is_in(calls["run_id"].unique().implode()))
    named = (
        pl.concat([told.select("run_id", name=one) for one in ("agent", "target_agent")]).drop_nulls("name").unique()
    )
    plain = cache(_plain)
    for run, name in named.collect().iter_rows():
        names[run].add(plain(name))
    earlier: dict[str, dict[tuple[int, ...], Call]] = defaultdict(dict)
    known: dict[tuple[str, str], tuple[str, str]] = {}
    texts = _Texts(frames.contents)
    columns = ["run_id", "span_id", "purpose", "input_refs", "output_refs", "status", "user_visible"]
    for run, span, purpose, given, got, status, visible in (
        calls.select(*columns, "start_ns").sort("run_id", "start_ns", "span_id").select(columns).iter_rows()
    ):
        call = Call(span, tuple(given or ()), tuple(got or ()), status == SpanStatus.ERROR, visible)
        known[run, span] = (purpose, "marked") if purpose else _infer(call, names[run], earlier[run], texts)
        if call.input_refs:
            earlier[run][call.input_refs] = call
    return known


def _infer(call: Call, names: set[str], earlier: Mapping[tuple[int, ...], Call], texts: _Texts) -> tuple[str, str]:
    if call.user_visible or not call.input_refs:
        return Purpose.WORK, "nothing speaks against it"
    before = earlier.get(call.input_refs)
    if before is not None and before.failed:
        return Purpose.RECOVER, "repeats the input of a call that failed"
    if COMPLAINT in texts.cues(call.input_refs[-1]) and _extends(call, earlier):
        return Purpose.PARSE_REPAIR, "repeats an earlier input and complains about the format of the answer"
    if any(map(texts.calls_tools, call.output_refs)):
        return Purpose.WORK, "calls a tool"
    output = "\n".join(map(texts.said, call.output_refs)).strip()
    if not output:
        return Purpose.WORK, "the output was not recorded"
    asked = texts.cues(call.input_refs[0]) | texts.cues(call.input_refs[-1])
    held = _small_json(output)
    if _routes(output, held, names):
        return Purpose.ROUTE, "the output only names who is next"
    if SUMMARY in asked and len(output) <= SHRINK * sum(len(texts.said(ref)) for ref in call.input_refs):
        return Purpose.SUMMARISE, "asked for a summary, much shorter than the input"
    if MEMORY in asked and len(output) <= SMALL_CHARS:
        return Purpose.MEMORY, "asked what to remember, small output"
    if (held is not None and JUDGE_KEYS & held.keys()) or (JUDGE in asked and len(output.split()) <= ROUTE_WORDS):
        return Purpose.JUDGE, "the output is a grade"
    if PLAN in asked and len(STEPS.findall(output)) >= 2:
        return Purpose.PLAN, "asked for a plan, the output is a list of steps"
    return Purpose.WORK, "nothing speaks against it"


def _extends(call: Call, earlier: Mapping[tuple[int, ...], Call]) -> bool:
    """True where the input is that of an earlier call, followed by at most its answer and the complaint."""
    return any(call.input_refs[:-extra] in earlier for extra in (1, 2, 3) if len(call.input_refs) > extra)


def _routes(output: str, held: dict[str, Any] | None, known: Collection[str]) -> bool:
    if held is not None:
        pointed = [value for name, value in held.items() if name in ROUTE_KEYS]
        said = [
            _plain(str(cast("dict[str, Any]", value).get("answer", "")) if isinstance(value, dict) else str(value))
            for value in pointed
        ]
        return any(value in known or value in {"finish", "end", "__end__"} for value in said)
    return len(output.split()) <= ROUTE_WORDS and _plain(output) in known


def _small_json(output: str) -> dict[str, Any] | None:
    text = output.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not text.startswith("{") or len(text) > 4 * SMALL_CHARS:
        return None
    try:
        held: object = json.loads(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", held) if isinstance(held, dict) else None


def _plain(name: str) -> str:
    return name.strip().strip("\"'.`*").casefold()


class _Texts:
    """What a stored message says, taken out of its JSON once."""

    def __init__(self, contents: Mapping[int, str]) -> None:
        self._contents = contents
        self._said: dict[int, str] = {}
        self._cues: dict[int, frozenset[str]] = {}

    def said(self, ref: int) -> str:
        if ref not in self._said:
            self._said[ref] = message_text(self._contents.get(ref, ""))
        return self._said[ref]

    def cues(self, ref: int) -> frozenset[str]:
        """Which of `CUES` the message gives."""
        if ref not in self._cues:
            text = self.said(ref).lower()
            if len(text) > HEAD_CHARS + TAIL_CHARS:
                text = text[:HEAD_CHARS] + "\n" + text[-TAIL_CHARS:]
            self._cues[ref] = frozenset(
                cue
                for cue, (hints, pattern) in CUES.items()
                if any(hint in text for hint in hints) and pattern.search(text)
            )
        return self._cues[ref]

    def calls_tools(self, ref: int) -> bool:
        body = self._contents.get(ref, "")
        return '"tool_calls"' in body or '"tool_call"' in body or '"function_call"' in body


def message_text(body: str) -> str:
    """The text of a stored message (a JSON object with role and content, or parts); any other body as it is."""
    if not body.startswith("{"):
        return body
    try:
        message: object = json.loads(body)
    except ValueError:
        return body
    if not isinstance(message, dict):
        return body
    held = cast("dict[str, Any]", message)
    if "role" not in held:
        return body
    found: list[str] = []
    for slot in ("content", "parts"):
        value = held.get(slot)
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Sequence):
            for part in cast("Sequence[object]", value):
                if isinstance(part, str):
                    found.append(part)
                elif isinstance(part, dict):
                    inner = cast("dict[str, Any]", part)
                    text = inner.get("text", inner.get("content"))
                    found.extend([text] if isinstance(text, str) else [])
    return "\n".join(found)
