"""Two runs side by side, step by step: what both did, what only one did, and for each pair cost, tokens, time and text.

    A   plan   search(x)            write
    B   plan   search(y)   search   write      search: other text, +0.4 s; one search only in B

Steps are the spans that say what was done (agents, LLM calls, tools, handoffs, decisions, state, guards), in the order of the tree, so
that branches which ran side by side do not shuffle. They are matched by who did what, then by depth; texts only tell matched pairs
apart. Longest common subsequences of difflib; O(steps x steps) at worst, so at most `MAX_STEPS` steps a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher, unified_diff
from typing import Any, Literal, cast

import polars as pl

from analyzers.events import message_in, value_in
from analyzers.frames import Frames
from analyzers.purposes import message_text
from tracer.model import SpanKind

KINDS = (
    SpanKind.AGENT, SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.EMBEDDING, SpanKind.HANDOFF, SpanKind.DECISION,
    SpanKind.STATE_READ, SpanKind.STATE_WRITE, SpanKind.WAIT, SpanKind.GUARDRAIL, SpanKind.GUARD_TRIP, SpanKind.ESCALATION, SpanKind.MESSAGE,
)  # fmt: skip
MAX_STEPS = 4_000
DIFF_LINES, DIFF_CHARS = 40, 4_000
_SAYS = ("role", "type", "name", "content", "parts", "output", "result", "tool_calls", "function_call")
_CALL_IDS = frozenset({"id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id"})
Change = Literal["same", "changed", "only_a", "only_b"]
Symbol = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a run did."""

    row: Mapping[str, Any]
    depth: int

    @property
    def symbol(self) -> Symbol:
        row = self.row
        what = (
            row["tool_name"]
            or row["target_agent"]
            or row["state_key"]
            or row["scope_key"]
            or ("" if row["kind"] == SpanKind.LLM else row["name"])
        )
        return row["kind"], row["agent"] or "", what, row["purpose"] or ""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs, and where the source has no times."""
        timed = self.row["end_ns"] is not None and "start_ns" not in (self.row["derived"] or ())
        return (self.row["end_ns"] - self.row["start_ns"]) / 1e9 if timed else None


@dataclass(frozen=True, slots=True)
class Pair:
    """Matched steps, or a step of one run only."""

    change: Change
    a: Step | None
    b: Step | None
    differs: tuple[str, ...] = ()
    """of a matched pair: which of status, model, input, output, args, result differ"""


def read_steps(frames: Frames) -> list[Step]:
    """The steps of the one run in `frames`, parents before children, siblings in order of start; at most `MAX_STEPS`.

    What began at one moment (the keys that one node of a graph writes) is ordered by what it is: ids differ from run to run.
    """
    order = ("start_ns", "kind", "state_key", "tool_name", "name", "span_id")
    rows = frames.spans.filter(pl.col("duplicate_of").is_null()).sort(order).to_dicts()
    ids = {row["span_id"] for row in rows}
    children: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        parent = row["parent_span_id"]
        children[parent if parent in ids and parent != row["span_id"] else None].append(row)
    pending = [(row, 0) for row in reversed(children[None])]
    steps: list[Step] = []
    while pending and len(steps) < MAX_STEPS:
        row, depth = pending.pop()
        counts = row["kind"] in KINDS
        if counts:
            steps.append(Step(row, depth))
        pending += [(child, depth + counts) for child in reversed(children[row["span_id"]])]
    return steps


def align(
    a: Sequence[Step],
    b: Sequence[Step],
    a_texts: Mapping[int, str] | None = None,
    b_texts: Mapping[int, str] | None = None,
) -> list[Pair]:
    """Every step of both, in order; matched ones once. With the texts, what differs in generated ids alone is the same."""
    matcher = SequenceMatcher(None, [step.symbol for step in a], [step.symbol for step in b], autojunk=False)
    pairs: list[Pair] = []
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            for one, other in zip(a[a_from:a_to], b[b_from:b_to], strict=True):
                differs = _differs(one.row, other.row, a_texts or {}, b_texts or {})
                pairs.append(Pair("changed" if differs else "same", one, other, differs))
        else:
            pairs += [Pair("only_a", one, None) for one in a[a_from:a_to]]
            pairs += [Pair("only_b", None, other) for other in b[b_from:b_to]]
    return pairs


def _differs(
    a: Mapping[str, Any], b: Mapping[str, Any], a_texts: Mapping[int, str], b_texts: Mapping[int, str]
) -> tuple[str, ...]:
    compared = {
        "status": "status", "error": "error_type", "model": "model", "prompt_version": "prompt_version", "input": "input_refs", "output": "output_refs",
        "args": "args_hash", "result": "result_hash", "choice": "choice",
    }  # fmt: skip
    unequal = [name for name, column in compared.items() if a[column] != b[column]]
    for slot, others in (("input", ("input", "args")), ("output", ("output", "result"))):
        if any(name in unequal for name in others):
            said = [_said(row[f"{slot}_refs"], texts) for row, texts in ((a, a_texts), (b, b_texts))]
            if said[0] is not None and said[0] == said[1]:
                unequal = [name for name in unequal if name not in others]
    return tuple(unequal)


def _said(refs: Sequence[int] | None, texts: Mapping[int, str]) -> list[Any] | None:
    """What was said, without the ids that frameworks give to messages and calls; None where texts are not all there."""
    return [_without_ids(value_in(texts[ref])) for ref in refs] if refs and all(ref in texts for ref in refs) else None


def _without_ids(value: Any, *, within: bool = False) -> Any:
    """The same with of each message only what it says and calls. Outside of messages an id may be what it is about, and stays."""
    if isinstance(value, list):
        return [_without_ids(item, within=within) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    held = cast("dict[str, Any]", value)
    message = None if within else message_in(held)
    if message is not None:
        return {key: _without_ids(message[key], within=True) for key in _SAYS if message.get(key)}
    return {key: _without_ids(item, within=within) for key, item in held.items() if not (within and key in _CALL_IDS)}


def compare_runs(a: Frames, b: Frames) -> dict[str, Any]:
    """Two runs as one JSON document: `a` and `b` summed up, `totals` of B minus A, `steps` with deltas and text diffs.

    `structure` is the share of steps that both runs have (twice the matches over all steps).
    """
    first, second = read_steps(a), read_steps(b)
    pairs = align(first, second, a.contents, b.contents)
    matched = sum(pair.a is not None and pair.b is not None for pair in pairs)
    told = [_summary(one) for one in (a, b)]
    return {
        "a": told[0],
        "b": told[1],
        "totals": {
            name: None if told[0][name] is None or told[1][name] is None else told[1][name] - told[0][name]
            for name in ("cost_usd", "input_tokens", "output_tokens", "llm_calls", "duration_s", "spans")
        },
        "structure": round(2 * matched / (len(first) + len(second)), 4) if first or second else 1.0,
        "counts": {change: sum(pair.change == change for pair in pairs) for change in ("same", "changed", "only_a", "only_b")},
        "truncated": max(len(first), len(second)) >= MAX_STEPS,
        "steps": [_document(pair, a.contents, b.contents) for pair in pairs],
    }  # fmt: skip


def _summary(frames: Frames) -> dict[str, Any]:
    row = frames.traces.row(0, named=True)
    cost: Decimal | None = row["cost_usd"]
    timed = row["end_ns"] is not None and not frames.timeless.len()
    names = (
        "trace_id",
        "run_id",
        "source_id",
        "workflow",
        "outcome",
        "start_ns",
        "spans",
        "agents",
        "llm_calls",
        "input_tokens",
        "output_tokens",
    )
    return {
        **{name: row[name] for name in names},
        "cost_usd": None if cost is None else float(cost),
        "duration_s": (row["end_ns"] - row["start_ns"]) / 1e9 if timed else None,
    }


def _document(pair: Pair, a_texts: Mapping[int, str], b_texts: Mapping[int, str]) -> dict[str, Any]:
    shown = pair.a or pair.b
    assert shown is not None
    kind, agent, what, purpose = shown.symbol
    document: dict[str, Any] = {
        "change": pair.change, "kind": kind, "agent": agent or None, "what": what or None, "purpose": purpose or None, "depth": shown.depth,
        "differs": list(pair.differs), "a": _side(pair.a), "b": _side(pair.b), "delta": None, "text": None,
    }  # fmt: skip
    if pair.a is not None and pair.b is not None:
        one, other = _side(pair.a) or {}, _side(pair.b) or {}
        document["delta"] = {
            name: None if one[name] is None or other[name] is None else other[name] - one[name]
            for name in ("cost_usd", "input_tokens", "output_tokens", "seconds")
        }
        if "output" in pair.differs or "input" in pair.differs:
            document["text"] = {
                slot: diff_text(_text(pair.a.row[f"{slot}_refs"], a_texts), _text(pair.b.row[f"{slot}_refs"], b_texts))
                for slot in ("input", "output")
                if slot in pair.differs
            }
    return document


def _side(step: Step | None) -> dict[str, Any] | None:
    if step is None:
        return None
    row = step.row
    cost: Decimal | None = row["cost_usd"]
    return {
        "span_id": row["span_id"], "name": row["name"], "status": row["status"], "model": row["model"], "seconds": step.seconds,
        "cost_usd": None if cost is None else float(cost), "input_tokens": row["input_tokens"], "output_tokens": row["output_tokens"],
    }  # fmt: skip


def _text(refs: Sequence[int] | None, texts: Mapping[int, str]) -> str:
    return "\n".join(message_text(texts[ref]) or texts[ref] for ref in refs or () if ref in texts)


def diff_text(a: str, b: str) -> dict[str, Any]:
    """`{similarity, diff}`: share of words in common order, and a unified diff without its head, cut to `DIFF_LINES` lines."""
    words = SequenceMatcher(None, a[:DIFF_CHARS].split(), b[:DIFF_CHARS].split(), autojunk=False)
    lines = list(unified_diff(a[:DIFF_CHARS].splitlines(), b[:DIFF_CHARS].splitlines(), lineterm="", n=1))[2:]
    return {
        "similarity": round(words.ratio(), 4),
        "diff": lines[:DIFF_LINES],
        "cut": len(lines) > DIFF_LINES or max(len(a), len(b)) > DIFF_CHARS,
    }
