"""Question: did two agents decide the same thing differently, neither knowing of the other?

    approver   |--- decide refund-17: approve ---|---> refund paid
    auditor    |--- decide refund-17: reject ----|---> customer told no

A yes is two decisions with one scope key and different choices that are concurrent in happens-before (`analyzers.causality`). Where
one could have read the other it is a revision, where the decisions are votes it is meant. Choices are compared as names or numbers;
free text is compared by the numbers, ids and quoted names in it, and is at best "possible".

Without decision spans, two agents that hand one task to different agents at the same time count as deciding where it goes, and a tool
call that sets something on an object (`set_status(order_id, status)`) as deciding that.
Known misses: a conflict under two different scope keys; decisions in free text without any item. Known false alarm: a scope key that
is too coarse ("next step"). Cost: one grouping over all decisions; the relation is built only for runs in which choices differ.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.causality import HappensBefore
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.wording import amount, duration, listing, since
from tracer.model import SpanKind, SpanStatus
from tracer.semconv import Tracehound

Row = dict[str, Any]
ITEM = re.compile(r"\d[\w.,-]*|\"[^\"]+\"|'[^']+'|\b[A-Z]+-\d+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictThresholds:
    number_tolerance: float = 1e-6
    """relative difference up to which two numbers are one choice"""
    name_words: int = 6
    """a choice of at most so many words is a name, longer ones are free text"""
    sure: float = 0.95
    by_handoff: float = 0.6
    """no decision was recorded, only where the task went"""
    possible: float = 0.4
    """free text without items to compare"""
    pairs: int = 2_000
    """pairs of decisions compared per scope"""


def find_conflicting_decisions(frames: Frames, thresholds: ConflictThresholds = ConflictThresholds()) -> list[Finding]:
    """One finding per run and scope key on which concurrent choices differ."""
    decided = _decisions(frames)
    found: list[Finding] = []
    for run_id, rows in _contested(decided, thresholds).items():
        spans = frames.spans_of(run_id)
        relation = HappensBefore(spans, frames.links)
        by_scope: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_scope[row["scope_key"]].append(row)
        for scope, choices in sorted(by_scope.items()):
            finding = _clash(run_id, scope, choices, spans, relation, thresholds)
            if finding is not None:
                found.append(finding)
    return found


def _decisions(frames: Frames) -> pl.DataFrame:
    """One row per choice: decision spans, and handoffs of a named task where no decision names that scope."""
    columns = [
        "run_id",
        "span_id",
        "kind",
        "agent",
        "scope_key",
        "choice",
        "start_ns",
        "end_ns",
        "reason",
        "attributes",
    ]
    live = pl.col("duplicate_of").is_null() & (pl.col("status") != SpanStatus.ERROR)
    decisions = frames.spans.filter(
        live
        & pl.col("kind").is_in([SpanKind.DECISION, SpanKind.TOOL])  # a tool call that sets something settles it
        & pl.col("scope_key").is_not_null()
        & pl.col("choice").is_not_null()
    )
    handoffs = frames.spans.filter(
        live
        & (pl.col("kind") == SpanKind.HANDOFF)
        & pl.col("task_id").is_not_null()
        & pl.col("target_agent").is_not_null()
    )
    # A task that two agents give to each other is passed back and forth, not contested (see `ping_pong`).
    back = handoffs.select("run_id", "task_id", agent="target_agent", target_agent="agent")
    handoffs = handoffs.join(back, on=["run_id", "task_id", "agent", "target_agent"], how="anti")
    handoffs = handoffs.with_columns(scope_key="task_id", choice="target_agent").join(
        decisions.select("run_id", "scope_key"), on=["run_id", "scope_key"], how="anti"
    )
    return pl.concat([decisions.select(columns), handoffs.select(columns)])


def _contested(decided: pl.DataFrame, thresholds: ConflictThresholds) -> dict[str, list[Row]]:
    """Run id -> decisions on scopes where more than one choice was made, in order of time; votes are left out."""
    scopes = (
        decided.group_by("run_id", "scope_key")
        .agg(
            choices=pl.col("choice").n_unique(),
            agents=pl.col("agent").n_unique(),
            handed=(pl.col("kind") == SpanKind.HANDOFF).any(),
        )
        .filter((pl.col("choices") > 1) & (~pl.col("handed") | (pl.col("agents") > 1)))
    )
    rows = decided.join(scopes, on=["run_id", "scope_key"], how="semi").sort("run_id", "start_ns", "span_id")
    held: dict[str, list[Row]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        said = attributes_of(row["attributes"])
        if said.get(Tracehound.DECISION_MODE) != "vote":
            held[row["run_id"]].append({**row, "said": said})
    return held


def _clash(
    run_id: str,
    scope: str,
    choices: list[Row],
    spans: pl.DataFrame,
    relation: HappensBefore,
    thresholds: ConflictThresholds,
) -> Finding | None:
    pairs: list[tuple[Row, Row, float]] = []
    revised = compared = 0
    for one, other in combinations(choices, 2):
        if compared >= thresholds.pairs:
            break
        differ = _differ(one["choice"], other["choice"], thresholds)
        if differ == 0 or (one["agent"] == other["agent"] and one["agent"] is not None):
            continue
        compared += 1
        if relation.concurrent(one["span_id"], other["span_id"]):
            pairs.append((one, other, differ))
        else:
            revised += 1
    if not pairs:
        return None
    involved = sorted({row["span_id"] for one, other, _ in pairs for row in (one, other)})
    rivals = [row for row in choices if row["span_id"] in involved]
    acted = {row["span_id"]: _acted_on(row, spans) for row in rivals}
    carried_out = [row for row in rivals if acted[row["span_id"]]]
    both = any(acted[one["span_id"]] and acted[other["span_id"]] for one, other, _ in pairs)
    settled_by, resolution = _resolution(rivals, choices, relation)
    confidence = (
        thresholds.by_handoff if rivals[0]["kind"] == SpanKind.HANDOFF else max(differ for _, _, differ in pairs)
    )
    severity: Severity = "critical" if both and confidence > thresholds.by_handoff else "warning"
    if not both and (settled_by is not None or resolution in ("coordinator", "merged")):
        severity = "info"
    if confidence <= thresholds.possible:
        severity = "info"
    first, second, _ = pairs[0]
    first_start = spans["start_ns"].min()
    start_ns = first_start if isinstance(first_start, int) else first["start_ns"]
    apart = abs(second["start_ns"] - first["start_ns"])
    effects: list[str] = [effect for row in carried_out for effect in acted[row["span_id"]] if effect != row["span_id"]]
    named: list[str] = [row["span_id"] for row in rivals] + effects + ([settled_by["span_id"]] if settled_by else [])
    order = list(dict.fromkeys(named))
    agents: list[str] = [*dict.fromkeys(row["agent"] or "an unnamed agent" for row in rivals)]
    says = ", ".join(f"{row['agent'] or 'an unnamed agent'} chose {row['choice']!r}" for row in rivals[:4])
    how = _how_settled(settled_by, resolution, rivals)
    last = max(carried_out or rivals, key=lambda row: (row["end_ns"] or row["start_ns"], row["span_id"]))
    ended = (
        f"{settled_by['agent'] or 'A later decision'} settled it later with {settled_by['choice']!r} ({how})."
        if settled_by is not None
        else f"It was settled by: {how}."
        if resolution
        else f"Nothing in the run settled it: what was done last stands, {last['agent'] or 'an unnamed agent'}'s {last['choice']!r} (last wins)."
    )
    did = (
        "Both were acted on."
        if both
        else f"{amount(len(carried_out), 'of them was', 'of them were')} seen to be acted on."
    )
    return Finding(
        kind="conflicting_decisions",
        severity=severity,
        confidence=confidence,
        title=f"{listing(agents)} decided {scope!r} differently: {listing([repr(row['choice']) for row in rivals], 3)}",
        explanation=(
            f"On {scope!r}, {says}, {duration(apart)} apart, the first {since(first['start_ns'], start_ns)}. "
            "Neither could have known of the other: no message, handoff, shared read or common step lies between them. "
            f"{did} {ended} "
            + (
                "Sure: the choices differ by name and their order was derived from recorded causes."
                if confidence >= thresholds.sure
                else f"Only likely ({confidence:.0%}): the choices had to be read out of "
                + ("where the task was handed." if rivals[0]["kind"] == SpanKind.HANDOFF else "free text.")
            )
        ),
        suggestion=(
            f"Let one agent own {scope!r}, or make the second decision read the first (compare-and-set on the decision's key), "
            "and act only on the one that was stored. Where several opinions are wanted, mark the decisions as votes and count them."
        ),
        trace_id=run_id,
        spans=tuple(order),
        agents=tuple(agents),
        start_ns=first["start_ns"],
        end_ns=max(row["end_ns"] or row["start_ns"] for row in rivals),
        checked=(
            Check(rule="different choices on one scope", value=len({row["choice"] for row in rivals}), threshold=2, passed=True),
            Check(rule="concurrent pairs (neither could have read the other)", value=len(pairs), threshold=1, passed=True),
            Check(rule="ruled out: revisions (the later one could have read the earlier)", value=revised, threshold=None, passed=True),
            Check(rule="ruled out: the decisions are votes", value=False, threshold=True, passed=True),
            Check(rule="both were acted on", value=both, threshold=True, passed=both),
            Check(rule="settled by a later decision", value=settled_by is not None, threshold=False, passed=settled_by is None),
        ),
        data={
            "key": scope,
            "choices": len({row["choice"] for row in rivals}),
            "decisions": [
                {"span": row["span_id"], "agent": row["agent"], "choice": row["choice"], "reason": row["reason"], "acted_on": bool(acted[row["span_id"]])}
                for row in rivals
            ],
            "both_acted_on": both,
            "resolution": how,
            "settled_by": settled_by["span_id"] if settled_by else None,
            "apart_ns": apart,
            "wasted_spans": [],
        },
    )  # fmt: skip


def _differ(one: str, other: str, thresholds: ConflictThresholds) -> float:
    """How sure it is that two choices differ: 0 for the same choice."""
    left, right = " ".join(one.split()).casefold().strip("\"'. "), " ".join(other.split()).casefold().strip("\"'. ")
    if left == right:
        return 0.0
    try:
        number, rival = float(left.lstrip("$€")), float(right.lstrip("$€"))
    except ValueError:
        pass
    else:
        scale = max(abs(number), abs(rival))
        return 0.0 if abs(number - rival) <= thresholds.number_tolerance * scale else thresholds.sure
    if max(len(left.split()), len(right.split())) <= thresholds.name_words:
        return thresholds.sure
    items, rival_items = set(ITEM.findall(one)), set(ITEM.findall(other))
    if items and items == rival_items:
        return 0.0
    return thresholds.sure if items and rival_items else thresholds.possible


def _acted_on(row: Row, spans: pl.DataFrame) -> list[str]:
    """Spans that carried the choice out: the decision itself where it says so, else what its agent did by that name afterwards."""
    said = row["said"].get(Tracehound.ACTED_ON)
    if said is False:
        return []
    own = [row["span_id"]] if said is True or row["kind"] in (SpanKind.HANDOFF, SpanKind.TOOL) else []
    end = row["end_ns"] if row["end_ns"] is not None else row["start_ns"]
    done = spans.filter(
        (pl.col("start_ns") >= end)
        & pl.col("kind").is_in([SpanKind.HANDOFF, SpanKind.TOOL, SpanKind.MESSAGE])
        & (pl.col("agent") == row["agent"])
        & ((pl.col("target_agent") == row["choice"]) | (pl.col("tool_name") == row["choice"]))
    )
    return own + done.sort("start_ns", "span_id")["span_id"].to_list()[:3]


def _how_settled(settled_by: Row | None, said: str | None, rivals: list[Row]) -> str:
    """What was recorded, else: coordinator (somebody else took one of the choices), merged (a choice that nobody had made),
    later decision (one of the rivals, knowing the other), last wins (nothing)."""
    if said:
        return said
    if settled_by is None:
        return "last wins"
    if settled_by["choice"] not in {row["choice"] for row in rivals}:
        return "merged"
    return "later decision" if settled_by["agent"] in {row["agent"] for row in rivals} else "coordinator"


def _resolution(rivals: list[Row], choices: list[Row], relation: HappensBefore) -> tuple[Row | None, str | None]:
    """(the later decision that could have known all rivals, how the rivals themselves say it was settled)."""
    names = {row["span_id"] for row in rivals}
    later = [
        row
        for row in choices
        if row["span_id"] not in names and all(relation.before(rival, row["span_id"]) for rival in names)
    ]
    said = [str(row["said"][Tracehound.RESOLUTION]) for row in choices if row["said"].get(Tracehound.RESOLUTION)]
    return (later[-1] if later else None), (said[-1] if said else None)
