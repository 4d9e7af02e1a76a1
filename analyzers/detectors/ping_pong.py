"""Question: do two agents hand one task back and forth without anybody working on it?

    Sales    |handoff ->|           |handoff ->|           |
    Support             |<- handoff|           |<- handoff|      two returns, no work in between: warning, three: critical

A return counts when between the handoff and the one back nothing was done: no tool call with new arguments or a new
result, no new state, no progress mark, no text with anything new in it. A draft that goes to and fro and changes is
work. Chains are kept apart by task. Source: notes on length-two loops of handoffs. Known misses: three agents in a
ring (the loop detector finds them), work that leaves no trace. Cost: one set-based count of handoffs per pair of
agents; only runs with two returns are read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import polars as pl

from analyzers.events import spoken
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.lost_spans import lossy_runs
from analyzers.news import News
from analyzers.tally import COUNTED, end_of, spent
from analyzers.wording import amount, duration, onwards, usd
from tracer.model import SpanKind, SpanStatus

KIND = "ping_pong"
Row = Mapping[str, Any]
_FRAME = (SpanKind.HANDOFF, SpanKind.WORKFLOW)
_SAYS = (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.MESSAGE, SpanKind.STATE_WRITE)
IDLE_TURNS = 2
"""turns seen to be idle that a chain must have where others are lost: as many as the shortest chain that is told has"""
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "agent", "target_agent", "task_id", "reason", "start_ns", "end_ns", "tool_name", "args_hash", "result_hash",
    "state_key", "progress", "input_refs", "output_refs", "pid", "status",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PingPongThresholds:
    warn: int = 2
    """returns to the first sender"""
    critical: int = 3


def find_ping_pong(frames: Frames, thresholds: PingPongThresholds = PingPongThresholds()) -> list[Finding]:
    """One finding per chain of idle handoffs between two agents."""
    suspects = _suspects(frames.spans, thresholds)
    if suspects.is_empty():
        return []
    spans = frames.spans.filter(pl.col("run_id").is_in(suspects.implode()) & pl.col("duplicate_of").is_null())
    found: list[Finding] = []
    lossy = set(lossy_runs(spans))
    for (run_id,), part in spans.sort("run_id", "start_ns", "span_id").group_by("run_id", maintain_order=True):
        rows = part.select(_COLUMNS).to_dicts()
        worked = _work(rows, frames)
        found += [
            _finding(str(run_id), rows, chain, events, worked, thresholds)
            for chain, events in _joined(_chains(rows, worked, run_id in lossy), thresholds)
        ]
    return found


def _suspects(spans: pl.DataFrame, t: PingPongThresholds) -> pl.Series:
    """Runs in which two agents hand over to each other often enough, in both directions."""
    handoffs = spans.filter(
        (pl.col("kind") == SpanKind.HANDOFF)
        & pl.col("duplicate_of").is_null()
        & (pl.col("agent") != pl.col("target_agent"))
    )
    forward = pl.col("agent") < pl.col("target_agent")
    pairs = handoffs.group_by(
        "run_id",
        one=pl.when(forward).then("agent").otherwise("target_agent"),
        other=pl.when(forward).then("target_agent").otherwise("agent"),
    ).agg(there=forward.sum(), back=(~forward).sum())
    return pairs.filter((pl.col("there") >= t.warn) & (pl.col("back") >= t.warn))["run_id"].unique().sort()


def _work(rows: Sequence[Row], frames: Frames) -> set[str]:
    """Span ids that brought something new, in order of when it was known."""
    news, known = News(), set[tuple[object, ...]]()
    worked: set[str] = set()
    late = (SpanKind.LLM, SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.STATE_WRITE)
    # An answer that ends at the very moment at which it is handed on comes before the handoff: it began earlier.
    for row in sorted(
        rows, key=lambda r: (end_of(r) if r["kind"] in late else r["start_ns"], r["start_ns"], r["span_id"])
    ):
        kind, fresh = row["kind"], bool(row["progress"])
        if kind in (SpanKind.TOOL, SpanKind.RETRIEVER):
            for slot in ("args_hash", "result_hash"):
                key = (row["tool_name"], slot, row[slot])
                fresh = fresh or (row[slot] is not None and key not in known)
                known.add(key)
            # Of a call whose arguments and result were not recorded nobody can say that it was idle.
            fresh = fresh or (
                row["args_hash"] is None and row["result_hash"] is None and row["status"] == SpanStatus.OK
            )
        elif kind == SpanKind.STATE_WRITE:
            key = ("state", row["state_key"], *(row["output_refs"] or ()))
            fresh = fresh or key not in known or not row["output_refs"]
            known.add(key)
        elif kind in (SpanKind.LLM, SpanKind.MESSAGE, SpanKind.HANDOFF, SpanKind.AGENT):
            refs = row["output_refs"] if kind == SpanKind.LLM else row["input_refs"]
            texts = [spoken(frames.contents[ref]) for ref in refs or () if ref in frames.contents]
            told = news.told("\n".join(texts) or (row["reason"] or "" if kind == SpanKind.HANDOFF else ""))
            # A text that is not at hand (hashed, or not loaded) may say something new unless the same was there before.
            unread = {("text", ref) for ref in refs or () if ref not in frames.contents}
            told = told or bool(unread - known)
            known |= unread
            fresh = fresh or (told and kind != SpanKind.HANDOFF)
        if fresh:
            worked.add(row["span_id"])
    return worked


def _chains(rows: Sequence[Row], worked: set[str], lossy: bool) -> list[tuple[list[Row], list[Row]]]:
    """Chains of handoffs that each go back where the one before came from, cut where work was done; with what lies between.

    Where spans of the run are lost, nobody can say of a turn that it was idle if nothing of it is left and its agent speaks in other
    turns; such turns do not end a chain, but a chain needs enough others (`IDLE_TURNS`).
    """
    tasks: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] == SpanKind.HANDOFF and row["agent"] and row["target_agent"] not in (None, row["agent"]):
            tasks[row["task_id"] or ""].append(row)
    chains: list[tuple[list[Row], list[Row], int]] = []
    starts = [row["start_ns"] for row in rows]
    by_agent: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_agent[row["agent"] or ""].append(row)
    for _, given in sorted(tasks.items()):
        handoffs, apart = _in_turn(given)
        chain, between, unknown = [handoffs[0]], list[Row](), 0
        own: dict[str, Row] = {handoffs[0]["agent"]: handoffs[0]}
        heard = {agent for agent, held in by_agent.items() if lossy and any(r["kind"] in _SAYS for r in held)}
        for before, row in pairwise(handoffs):
            holder = before["target_agent"]
            if apart:  # clocks that cannot be compared: what the holder did since its own last handoff
                since_ns = own[holder]["start_ns"] if holder in own else 0
                window = [r for r in by_agent[holder] if since_ns < r["start_ns"] <= row["start_ns"]]
            else:
                window = rows[bisect_left(starts, before["start_ns"]) : bisect_right(starts, row["start_ns"])]
            own[row["agent"]] = row
            inside = [
                r for r in window if r["agent"] == holder and end_of(r) <= row["start_ns"] and r["kind"] not in _FRAME
            ]
            back = (row["agent"], row["target_agent"]) == (holder, before["agent"])
            # The first holder reads what it was given for the first time: only from then on can words be old.
            gone = holder in heard and not any(r["kind"] in _SAYS for r in inside)
            idle = not any(r["span_id"] in worked for r in inside)
            if back and (idle or len(chain) == 1):
                unknown += gone and len(chain) > 1
                chain.append(row)
                between += inside
            else:
                chains.append((chain, between, unknown))
                chain, between, unknown = [row], [], 0
        chains.append((chain, between, unknown))
    return [
        (chain, between) for chain, between, unknown in chains if not unknown or len(chain) - 2 - unknown >= IDLE_TURNS
    ]


def _in_turn(handoffs: Sequence[Row]) -> tuple[list[Row], bool]:
    """The handoffs of a task in order, and whether their times had to be left aside for it.

    Two agents in two processes, whose clocks may differ by more than a turn takes: then their handoffs do not alternate by
    time, but they must have, since nobody can give back what it does not have.
    """
    ordered = list(handoffs)
    names = sorted({row["agent"] for row in ordered})
    if len(names) != 2 or len({row["pid"] for row in ordered}) < 2:
        return ordered, False
    if all(one["agent"] != other["agent"] for one, other in pairwise(ordered)):
        return ordered, False
    one, other = ([row for row in ordered if row["agent"] == name] for name in names)
    if len({row["pid"] for row in one} & {row["pid"] for row in other}) or abs(len(one) - len(other)) > 1:
        return ordered, False
    if len(other) > len(one) or (len(one) == len(other) and other[0]["start_ns"] < one[0]["start_ns"]):
        one, other = other, one
    return [row for turn in zip_longest(one, other) for row in turn if row is not None], True


def _joined(chains: Sequence[tuple[list[Row], list[Row]]], t: PingPongThresholds) -> list[tuple[list[Row], list[Row]]]:
    """Chains of one pair and one task, told as one: a turn with something new in it interrupts, it does not end the affair."""
    kept: dict[tuple[object, ...], tuple[list[Row], list[Row]]] = {}
    for chain, between in chains:
        if len(chain) < 2 * t.warn:
            continue
        key = (chain[0]["task_id"], *sorted((chain[0]["agent"], chain[0]["target_agent"])))
        if key in kept:
            kept[key][0].extend(chain)
            kept[key][1].extend(between)
        else:
            kept[key] = (list(chain), list(between))
    return list(kept.values())


def _finding(
    run_id: str,
    rows: Sequence[Row],
    chain: Sequence[Row],
    between: Sequence[Row],
    worked: set[str],
    t: PingPongThresholds,
) -> Finding:
    one, other = chain[0]["agent"], chain[0]["target_agent"]
    returns = len(chain) // 2
    later = [r for r in between if r["start_ns"] >= chain[1]["start_ns"]]
    money, tokens, calls = spent(later)
    total = sum(r["kind"] == SpanKind.HANDOFF for r in rows)
    words = any(r["input_refs"] or r["output_refs"] or r["reason"] for r in (*chain, *between))
    confidence = 0.9 if words else 0.6
    severity: Severity = "critical" if returns >= t.critical and words else "warning"
    start_ns, end_ns = min(r["start_ns"] for r in chain), max(end_of(r) for r in chain)
    task = chain[0]["task_id"]
    cost = f" The calls after the first return cost {usd(money)}." if money is not None else ""
    spans = sorted({r["span_id"]: r for r in (*chain, *later)}.values(), key=lambda r: (r["start_ns"], r["span_id"]))
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=confidence,
        title=f"{one} and {other} handed one task back and forth {len(chain)} times without working on it",
        explanation=(
            f"{onwards(start_ns, rows[0]['start_ns']).capitalize()}, {one} and {other} passed "
            f"{f'task {task}' if task else 'the work'} to each other {len(chain)} times within {duration(end_ns - start_ns)}: "
            f"{amount(returns, 'return')} to {one} without a new tool call, a new state or a text with anything new in it."
            f"{cost} "
            + (
                "Sure because the texts in between were compared."
                if words
                else "Less sure because no texts were recorded, so work that leaves no other trace is invisible."
            )
        ),
        suggestion=(
            f"Say in the handoff what is missing and let {other} decide with what is there; stop a task that returns to the same agent "
            f"{t.warn} times without a result (a loop guard), and escalate it to a coordinator or a person."
        ),
        trace_id=run_id,
        spans=tuple(r["span_id"] for r in spans),
        agents=(one, other),
        start_ns=start_ns,
        end_ns=end_ns,
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=(
            Check(rule="returns to the first sender", value=returns, threshold=t.warn, passed=returns >= t.warn),
            Check(
                rule="calls, states or texts with something new after the first return",
                value=sum(r["span_id"] in worked for r in later),
                threshold=0,
                passed=True,
            ),
            Check(rule="texts were recorded", value=words, threshold=True, passed=words),
            Check(rule="share of the run's handoffs", value=round(len(chain) / total, 3), threshold=None, passed=True),
        ),
        data={
            "handoffs": [r["span_id"] for r in chain],
            "returns": returns,
            "task_id": task,
            "bounce_ratio": round(len(chain) / total, 3),
            "wasted_spans": calls,
        },
    )
