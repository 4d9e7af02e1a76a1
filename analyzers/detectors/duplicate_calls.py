"""Question: was the same thing asked for again, and the same answer paid for again?

    search("ACME revenue") -> r1    ...    search("ACME revenue") -> r1    ...    search("ACME revenue") -> r1
                                           |---- the answer was known ----|

A duplicate is a successful call with the arguments (for a model: the messages) of an earlier one that gave the very
same result, so that a cache would have given it. A tool call in other words counts where every number, id and name
agrees and the result is the very same. Not duplicates: retries of a failure, polls (a wait in between, or a
second of idleness), sampling (results differ), and calls after something that changes the world (a write, or a tool
that sounds like one). Source: note on cost, section 4, its "certain" saving. Known misses: other
words with another result. Duplicates over several runs are told by `duplicate_calls_across_runs`. Cost: one set-based
count per call and result; texts are compared only where one tool gave one result several times.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.lost_spans import lossy_runs
from analyzers.similarity import same_questions
from analyzers.tally import COUNTED, end_of, spent
from analyzers.wording import amount, duration, listing, onwards, share, usd
from tracer.model import SpanKind, SpanStatus

KIND = "duplicate_calls"
Row = Mapping[str, Any]
_CHANGES = re.compile(
    r"(?:^|[_\W])(?:write|update|create|delete|remove|send|set|edit|apply|run|exec|execute|insert|post|put|book|save|commit|patch|submit|add)(?:$|[_\W])"
)
_MOVES = re.compile(r"(?:^|[_\W])(?:click|type|go|goto|navigate|open|move)(?:$|[_\W])")
"""names of tools after which the same call may rightly be made again: by anybody where they change the world, by the agent itself
where they only move its own view of it"""
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "name", "agent", "start_ns", "end_ns", "status", "model", "tool_name", "args_hash", "call", "result",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateThresholds:
    same: int = 3
    """equal calls from which on they are looked at"""
    same_with_gaps: int = 2
    """the same where spans of the run were lost: another of the calls may be among them"""
    warn: int = 5
    """calls too many in one run; fewer are a remark"""
    warn_share: float = 0.2
    """or this share of the run's money"""
    felt_ns: int = 200_000_000
    """free calls that took less together are a remark: somebody keeps the answers already"""
    wordings: int = 200
    """one tool that gave one result for more different questions than this is a map ("valid", "valid" ...)"""
    idle_ns: int = 1_000_000_000
    """an agent that did nothing for so long was polling"""


def find_duplicate_calls(frames: Frames, thresholds: DuplicateThresholds = DuplicateThresholds()) -> list[Finding]:
    """One finding per run whose calls were made again for nothing."""
    model = pl.col("kind") == SpanKind.LLM
    spans = frames.spans.filter(pl.col("duplicate_of").is_null())
    calls = spans.filter(
        pl.col("kind").is_in([SpanKind.TOOL, SpanKind.RETRIEVER, SpanKind.LLM]) & (pl.col("status") == SpanStatus.OK)
    ).select(
        "run_id",
        "span_id",
        tool=pl.when(~model).then(pl.coalesce("tool_name", "name")),
        asked="input_refs",
        call=pl.when(model)
        .then(pl.format("{} {}", pl.col("model").fill_null(""), pl.col("input_refs").hash()))
        .otherwise(pl.format("{} {}", pl.coalesce("tool_name", "name"), "args_hash")),
        result=pl.when(model)
        .then(pl.when(pl.col("output_refs").is_not_null()).then(pl.col("output_refs").hash().cast(pl.String)))
        .otherwise("result_hash"),
        known=pl.when(model).then(pl.col("input_refs").is_not_null()).otherwise(pl.col("args_hash").is_not_null()),
    )
    calls = calls.filter(pl.col("known") & pl.col("result").is_not_null())
    calls = _in_other_words(calls, frames, thresholds)
    groups = calls.group_by("run_id", "call").agg(pl.len(), pl.col("result").n_unique().alias("results"))
    groups = groups.filter((pl.col("len") >= thresholds.same_with_gaps) & (pl.col("results") == 1))
    few = groups.filter(pl.col("len") < thresholds.same).select("run_id").unique()
    lossy = set(lossy_runs(frames.spans.join(few, on="run_id", how="semi")))
    groups = groups.filter((pl.col("len") >= thresholds.same) | pl.col("run_id").is_in(lossy)).select("run_id", "call")
    if groups.is_empty():
        return []
    members = calls.join(groups, on=["run_id", "call"], how="semi").select("run_id", "span_id", "call", "result")
    spans = spans.join(groups.select("run_id").unique(), on="run_id", how="semi")
    spans = spans.join(members, on=["run_id", "span_id"], how="left").sort("run_id", "start_ns", "span_id")
    found: list[Finding] = []
    for (run_id,), part in spans.group_by("run_id", maintain_order=True):
        rows = part.select(_COLUMNS).to_dicts()
        again = _again(rows, thresholds.same_with_gaps if run_id in lossy else thresholds.same, thresholds)
        if again:
            found.append(_finding(str(run_id), rows, again, thresholds))
    return found


def _in_other_words(calls: pl.DataFrame, frames: Frames, t: DuplicateThresholds) -> pl.DataFrame:
    """`calls`, of which those that ask one tool the same in other words, and were answered alike, have the same `call`."""
    family = ["run_id", "tool", "result"]
    several = (
        calls.filter(pl.col("tool").is_not_null() & (pl.col("asked").list.len() > 0))
        .group_by(family)
        .agg(pl.len(), pl.col("call").n_unique().alias("wordings"))
        .filter((pl.col("len") >= t.same) & pl.col("wordings").is_between(2, t.wordings))
    )
    if several.is_empty():
        return calls
    renamed: dict[tuple[str, str], str] = {}
    worded = calls.join(several, on=family, how="semi").sort("run_id", "tool", "result", "call")
    for (run_id, _, _), part in worded.group_by(family, maintain_order=True):
        text_of = {call: frames.text(refs) for call, refs in part.select("call", "asked").iter_rows()}
        names = [call for call, text in text_of.items() if text]
        for call, first in zip(names, same_questions([text_of[name] for name in names]), strict=True):
            if names[first] != call:
                renamed[str(run_id), call] = names[first]
    if not renamed:
        return calls
    table = pl.DataFrame(
        [(run_id, call, first) for (run_id, call), first in renamed.items()],
        schema={"run_id": pl.String, "call": pl.String, "first": pl.String},
        orient="row",
    )
    # Which wording stands for the others depends on the texts alone, so that the order of rows does not matter.
    joined = calls.join(table, on=["run_id", "call"], how="left", maintain_order="left")
    return joined.with_columns(call=pl.coalesce("first", "call")).drop("first")


def _again(rows: Sequence[Row], same: int, t: DuplicateThresholds) -> list[list[Row]]:
    """Groups of equal calls: the first and those that were not needed after it."""
    starts = [row["start_ns"] for row in rows]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["call"] is not None:
            groups.setdefault(row["call"], []).append(row)
    told: list[list[Row]] = []
    for members in groups.values():
        needless = [members[0]]
        before = members[0]
        for row in members[1:]:
            inside = rows[bisect_left(starts, before["start_ns"]) : bisect_right(starts, row["start_ns"])]
            if not _asked_anew(before, row, inside, t):
                needless.append(row)
            before = row
        if len(needless) >= same:
            told.append(needless)
    return told


def _asked_anew(before: Row, row: Row, inside: Sequence[Row], t: DuplicateThresholds) -> bool:
    """True where something between the two may have changed the answer, or where the caller waited for that."""
    last = end_of(before)
    for one in inside:
        if one["kind"] == SpanKind.WAIT and one["agent"] == row["agent"]:
            return True
        # What a model answers depends on what it is sent, and that was the same: nothing done in the world can change it.
        if row["kind"] == SpanKind.LLM:
            pass
        elif one["kind"] == SpanKind.STATE_WRITE:
            return True
        elif one["kind"] == SpanKind.TOOL and one["call"] != row["call"]:
            name = (one["tool_name"] or one["name"]).lower()
            if _CHANGES.search(name) or (one["agent"] == row["agent"] and _MOVES.search(name)):
                return True
        if one["kind"] not in (SpanKind.AGENT, SpanKind.WORKFLOW, SpanKind.OTHER) and one["span_id"] != row["span_id"]:
            last = max(last, end_of(one))
    return row["start_ns"] - last >= t.idle_ns


def _finding(run_id: str, rows: Sequence[Row], groups: Sequence[Sequence[Row]], t: DuplicateThresholds) -> Finding:
    groups = sorted(groups, key=lambda g: (-len(g), g[0]["start_ns"], g[0]["span_id"]))
    extra = [row for group in groups for row in group[1:]]
    money, tokens, calls = spent(extra)
    total = spent(rows)[0]
    part = float(money / total) if money and total else 0.0
    members = sorted((row for group in groups for row in group), key=lambda r: (r["start_ns"], r["span_id"]))
    names = [f"{_name(group[0])} ({len(group)} times)" for group in groups]
    seconds = sum(end_of(row) - row["start_ns"] for row in extra)
    felt = bool(money or tokens) or seconds >= t.felt_ns or seconds <= 0
    severity: Severity = "warning" if felt and (len(extra) >= t.warn or part >= t.warn_share) else "info"
    agents = tuple(dict.fromkeys(row["agent"] for row in members if row["agent"]))
    reworded = any(len({row["args_hash"] for row in group}) > 1 for group in groups)
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.8 if reworded or len(groups[0]) < t.same else 0.95,
        title=f"{amount(len(extra), 'call')} asked again for what was known: {listing(names, 3)}",
        explanation=(
            f"{onwards(members[0]['start_ns'], rows[0]['start_ns']).capitalize()}, {listing(names)} gave the same result for the same {'question, in several wordings,' if reworded else 'input'} every time. "
            f"{amount(len(extra), 'call')} after the first took {duration(seconds)}"
            + (f" and {usd(money)}, {share(part)} of the run" if money is not None else "")
            + (
                ". Likely because every number, id and name in the questions agrees and the results are equal"
                if reworded
                else ". Sure because inputs and results are equal"
            )
            + ", and nothing in between is known to change the answer; "
            "repeats after a wait, a write or a pause were not counted."
        ),
        suggestion=(
            f"Keep the result of {_name(groups[0][0])} for the length of the run (a cache keyed by its arguments), "
            "and put earlier results into the prompt so that they are not asked for again."
        ),
        trace_id=run_id,
        spans=tuple(row["span_id"] for row in members),
        agents=agents,
        start_ns=members[0]["start_ns"],
        end_ns=max(end_of(row) for row in members),
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=(
            Check(
                rule="equal calls in the largest group",
                value=len(groups[0]),
                threshold=min(t.same, len(groups[0])),
                passed=True,
            ),
            Check(rule="calls that were not needed", value=len(extra), threshold=t.warn, passed=len(extra) >= t.warn),
            Check(
                rule="share of the run's money",
                value=round(part, 4),
                threshold=t.warn_share,
                passed=part >= t.warn_share,
            ),
            Check(
                rule="needless calls cost money, tokens or time (s)",
                value=round(seconds / 1e9, 3),
                threshold=t.felt_ns / 1e9,
                passed=felt,
            ),
            Check(rule="different results among equal calls", value=1, threshold=1, passed=True),
        ),
        data={
            "calls": len(extra),
            "reworded": reworded,
            "groups": [{"name": _name(g[0]), "times": len(g), "first": g[0]["span_id"]} for g in groups],
            "lost_s": round(seconds / 1e9, 3),
            "wasted_spans": calls,
        },
    )


def _name(row: Row) -> str:
    return row["tool_name"] or row["model"] or row["name"]
