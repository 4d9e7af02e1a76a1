"""Question: did an agent overwrite what another one had changed, without having seen it?

    A  read v1 ------------------------- write v3 (v1 + A's change)      B's change is gone
    B        read v1 --- write v2 (v1 + B's change)

A yes is a write whose *base* (the version its step last read, or the one it says it expected) is older than the version it
replaced, and which puts back or replaces a path that somebody else changed in between. Paths decide where values or changed
paths were recorded; merges, disjoint paths, equal values, appends to lists and refused compare-and-set writes are no losses.
With versions alone nobody can tell a merge from a loss, so the confidence is low and the finding says what to record.

Base and isolation model: Adya's item dependencies as in Elle (arXiv 2003.10554), with one agent step as the transaction.
Known misses: a blind write (nothing read before), a compare-and-set with a fresh version and a stale value, a counter that two
agents set to the same number. Cost: keys whose writes were all checked are dropped by a set-based filter; O(changed leaves) per other write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from analyzers.finding import Check, Finding
from analyzers.frames import Frames
from analyzers.state_history import KeyHistory, StateOp, histories, readable
from analyzers.state_losses import Loss, gaps, losses_of
from analyzers.wording import amount, duration, listing, since, usd
from tracer.model import CasOutcome, SpanKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LostUpdateThresholds:
    ignored_fields: tuple[str, ...] = (
        "updated_at",
        "ts",
        "timestamp",
        "step",
        "last_agent",
        "last_updated",
        "modified_at",
    )
    """book-keeping that every writer sets; notes on state, prototype"""
    sure: float = 0.95
    """confidence with versions or reads, and values"""
    by_paths: float = 0.8
    """confidence where only changed paths were recorded, or only snapshots before and after each write"""
    suspected: float = 0.5
    """confidence with versions alone, or where the chain has gaps: a merge looks the same (2 of 8 healthy cases in a simulated trial)"""
    shown: int = 12
    """losses whose spans a finding names"""


def find_lost_update(frames: Frames, thresholds: LostUpdateThresholds = LostUpdateThresholds()) -> list[Finding]:
    """One finding per run and key on which updates were lost."""
    keys = _suspects(frames)
    if keys.is_empty():
        return []
    found: list[Finding] = []
    for history in histories(frames, keys):
        losses = losses_of(history, thresholds.ignored_fields)
        if losses:
            found.append(_finding(frames, history, losses, gaps(history), thresholds))
    return found


def _suspects(frames: Frames) -> pl.DataFrame:
    """(run_id, state_key) with at least two writes that happened, by different steps or agents, not all of them checked; or
    with one that replaced another value than the one its step had read, so that somebody must have written in between."""
    spans = frames.spans.select("run_id", "trace_id", "state_key", "parent_span_id", "kind", "agent", "start_ns", "end_ns",
                                "duplicate_of", "cas_outcome", "input_refs", "output_refs")  # fmt: skip
    writes = spans.filter(
        (pl.col("kind") == SpanKind.STATE_WRITE)
        & pl.col("duplicate_of").is_null()
        & (pl.col("cas_outcome") != CasOutcome.CONFLICT).fill_null(value=True)
    )
    writer = pl.struct("agent", "parent_span_id")
    several = (
        writes.group_by("run_id", "state_key")
        .agg(
            writes=pl.len(),
            writers=writer.n_unique(),
            unchecked=(pl.col("cas_outcome") != CasOutcome.OK).fill_null(value=True).sum(),
        )
        .filter(
            (pl.col("writes") > 1)
            & (pl.col("writers") > 1)
            & (pl.col("unchecked") > 0)
            & pl.col("state_key").is_not_null()
        )
        .select("run_id", "state_key")
    )
    step = ["run_id", "trace_id", "state_key", "parent_span_id"]
    reads = spans.filter((pl.col("kind") == SpanKind.STATE_READ) & pl.col("duplicate_of").is_null())
    replaced = writes.drop_nulls("input_refs").join(reads.select(*step, read="output_refs", at="end_ns"), on=step)
    unseen = replaced.filter((pl.col("at") <= pl.col("start_ns")) & (pl.col("read") != pl.col("input_refs")))
    return pl.concat([several, unseen.select("run_id", "state_key")]).drop_nulls("state_key").unique()


def _finding(
    frames: Frames, history: KeyHistory, losses: list[Loss], missing: list[str], thresholds: LostUpdateThresholds
) -> Finding:
    writes = {op.span_id: op for op in history.chain}
    victims = sorted(
        {span for loss in losses for span in loss.victims if span}, key=lambda span: (writes[span].at_ns, span)
    )
    evidence = {loss.evidence for loss in losses}
    confidence = {
        "values": thresholds.sure,
        "snapshots": thresholds.by_paths,
        "changed paths": thresholds.by_paths,
        "versions only": thresholds.suspected,
    }
    sure = max(confidence[kind] for kind in evidence)
    if missing or any("" in loss.victims for loss in losses):
        sure = min(sure, thresholds.suspected)
    repaired = all(loss.repaired for loss in losses)
    severity = "critical" if sure >= thresholds.by_paths and not repaired else "warning"
    start_ns, work_usd, work_tokens, work_spans = _lost_work(frames, history, losses, victims, writes)
    first = losses[0]
    spans = _in_order(history, losses[: thresholds.shown])
    said = _said(history, [path for loss in losses for lost in loss.victims.values() for path in lost])
    paths = sorted(set(said.values()))
    losers = sorted({writes[span].agent or "an unnamed agent" for span in victims}) or [
        "a writer that was not recorded"
    ]
    writers = sorted({loss.write.agent or "an unnamed agent" for loss in losses})
    return Finding(
        kind="lost_update",
        severity=severity,
        confidence=sure,
        title=f"{listing(writers)} overwrote {amount(len(victims) or len(losses), 'update')} of {listing(losers)} on {history.key!r}",
        explanation=_explain(history, losses, first, writes, paths, start_ns, work_usd, sure, missing, repaired),
        suggestion=(
            f"Write {history.key!r} with the version that was read (compare-and-set) and read again when the store refuses it, "
            "or give the key a merge rule (a reducer) so that parallel writers change only their own fields."
        ),
        trace_id=history.run_id,
        spans=spans,
        agents=tuple(
            dict.fromkeys([*writers, *(name for name in losers if name in {op.agent for op in history.chain})])
        ),
        start_ns=first.write.at_ns,
        end_ns=losses[-1].write.at_ns,
        wasted_usd=work_usd,
        wasted_tokens=work_tokens,
        checked=_checks(history, losses, missing, repaired, evidence),
        data={
            "key": history.key,
            "losses": len(losses),
            "lost_writes": victims,
            "overwrites": [loss.write.span_id for loss in losses],
            "paths": paths,
            "put_back": sorted({said.get(path, path) for loss in losses for path in loss.put_back}),
            "base_versions": [loss.base.version if loss.base else None for loss in losses[: thresholds.shown]],
            "evidence": sorted(evidence),
            "gaps": missing[:5],
            "repaired": repaired,
            "wasted_spans": work_spans,
        },
    )


def _said(history: KeyHistory, paths: Iterable[str]) -> dict[str, str]:
    """Path -> how it is told, from the first write that had something there."""
    return {
        path: next(
            (readable(path, flat[path]) for op in history.chain if path in (flat := history.leaves_of(op))), path
        )
        for path in sorted(set(paths))
    }


def _in_order(history: KeyHistory, losses: list[Loss]) -> tuple[str, ...]:
    """Reads the losers and the overwriting steps rested on, the lost writes, the overwriting writes: in order of effect."""
    named: set[str] = set()
    for loss in losses:
        named.add(loss.write.span_id)
        named.update(span for span in loss.victims if span)
        if loss.base is not None:
            named.add(loss.base.span_id)
        for span in loss.victims:
            victim = next((op for op in history.chain if op.span_id == span), None)
            reads = [
                op
                for op in history.ops
                if victim and not op.write and op.step == victim.step and op.at_ns <= victim.at_ns
            ]
            if reads:
                named.add(reads[-1].span_id)
    return tuple(op.span_id for op in history.ops if op.span_id in named)


def _lost_work(
    frames: Frames, history: KeyHistory, losses: list[Loss], victims: list[str], writes: dict[str, StateOp]
) -> tuple[int, Decimal | None, int | None, list[str]]:
    """(start of the run, cost, tokens and spans of the LLM calls behind writes that were lost).

    Counted are calls inside the loser's step, between what it wrote before and the write that was lost. None where the loss was repaired.
    """
    spans = frames.spans_of(history.run_id)
    first = spans["start_ns"].min()
    start_ns = first if isinstance(first, int) else history.ops[0].at_ns
    if all(loss.repaired for loss in losses) or not victims:
        return start_ns, None, None, []
    calls = spans.filter(
        (pl.col("kind") == SpanKind.LLM) & pl.col("duplicate_of").is_null() & pl.col("end_ns").is_not_null()
    ).sort("end_ns")
    by_agent = calls.partition_by("agent", as_dict=True)
    own_writes: dict[str, list[int]] = defaultdict(list)
    for op in history.ops:
        if op.write:
            own_writes[op.step].append(op.at_ns)
    counted: dict[str, tuple[Decimal | None, int]] = {}
    for span in victims:
        lost = writes[span]
        mine = by_agent.get((lost.agent,))
        if lost.agent is None or mine is None:
            continue
        stamps = own_writes[lost.step]
        place = bisect_left(stamps, lost.at_ns)
        after = stamps[place - 1] if place else 0
        behind = mine.filter((pl.col("start_ns") >= after) & (pl.col("end_ns") <= lost.at_ns))
        for call, cost, sent, received in behind.select(
            "span_id", "cost_usd", "input_tokens", "output_tokens"
        ).iter_rows():
            counted[call] = (cost, (sent or 0) + (received or 0))
    known = [cost for cost, _ in counted.values() if cost is not None]
    tokens = sum(number for _, number in counted.values()) if counted else None
    return start_ns, sum(known, Decimal(0)) if known else None, tokens, sorted(counted)


def _explain(
    history: KeyHistory,
    losses: list[Loss],
    first: Loss,
    writes: dict[str, StateOp],
    paths: list[str],
    start_ns: int,
    work_usd: Decimal | None,
    sure: float,
    missing: list[str],
    repaired: bool,
) -> str:
    writer = first.write.agent or "An unnamed agent"
    victim = next((writes[span] for span in first.victims if span), None)
    loser = (victim.agent if victim else None) or "another writer"
    seen = "an older value"
    if first.base is not None:
        version = "" if first.base.version is None else f" (version {first.base.version})"
        seen = f"what it had {'written' if first.base.write else 'read'} {duration(first.write.at_ns - first.base.at_ns)} earlier{version}"
    parts = [f"{writer} wrote {history.key!r} {since(first.write.at_ns, start_ns)} from {seen}."]
    between = f"In between, {loser} had changed it"
    if victim is not None:
        between += f" {duration(first.write.at_ns - victim.at_ns)} before the overwrite"
    if paths:
        shown = listing([repr(path) for path in paths])
        one = len(paths) == 1
        back = "its old value" if one else "their old values"
        verb = f"went back to {back}" if first.put_back else "was replaced unseen" if one else "were replaced unseen"
        parts.append(f"{between}; {shown} {verb}.")
    else:
        parts.append(
            f"{between}; which fields were lost cannot be said, because neither values nor changed paths were recorded."
        )
    if len(losses) > 1:
        parts.append(
            f"This happened {len(losses)} times on this key, the last time {since(losses[-1].write.at_ns, start_ns)}."
        )
    if repaired:
        parts.append("The lost values were written again later, so the end state is right.")
    elif work_usd is not None:
        parts.append(f"The LLM calls behind the lost writes cost {usd(work_usd)}.")
    if missing or "" in first.victims:
        parts.append(f"Only suspected ({sure:.0%}): not every write to this key was recorded.")
    elif first.evidence == "versions only":
        parts.append(f"Only suspected ({sure:.0%}): with versions alone, a merge of both changes looks the same.")
    elif first.evidence == "changed paths":
        parts.append(f"Fairly sure ({sure:.0%}): both writes changed the same paths, but the values were not recorded.")
    elif first.evidence == "snapshots":
        parts.append(
            f"Fairly sure ({sure:.0%}): no read and no version was recorded; the value the writer says it replaced is an older one."
        )
    else:
        parts.append(
            f"Sure ({sure:.0%}): the values before and after were compared field by field, and no write is missing."
        )
    return " ".join(parts)


def _checks(
    history: KeyHistory, losses: list[Loss], missing: list[str], repaired: bool, evidence: set[str]
) -> tuple[Check, ...]:
    first = losses[0]
    return (
        Check(
            rule="versions between what the writer had seen and what it replaced",
            value=first.lag,
            threshold=1,
            passed=first.lag >= 1,
        ),
        Check(
            rule="fields of others that the write did not keep",
            value=sum(len(paths) for loss in losses for paths in loss.victims.values()),
            threshold=1,
            passed=evidence != {"versions only"},
        ),
        Check(
            rule="ruled out: the write was checked by the store",
            value=first.write.cas,
            threshold=CasOutcome.OK.value,
            passed=True,
        ),
        Check(
            rule="ruled out: the write merges by rule", value=first.write.merge, threshold="append or crdt", passed=True
        ),
        Check(
            rule="ruled out: the lost values were written again", value=repaired, threshold=True, passed=not repaired
        ),
        Check(rule="ruled out: writes that were not recorded", value=len(missing), threshold=0, passed=not missing),
        Check(
            rule="refused writes on this key (no losses)",
            value=sum(not op.applied for op in history.ops),
            threshold=None,
            passed=True,
        ),
    )
