"""Question: do agents start agents without bound?

    Lead ─┬─ Scout ─┬─ Scout ─┬─ Scout ...       1, 3, 9, 27, 81 agents: each generation starts more than end
          ├─ Scout  ├─ Scout  ├─ Scout
          └─ Scout  └─ Scout  └─ Scout

The starts and ends of a run's agents are replayed through `tracer/online/fanout.py`, which a live guard uses too: too many descendants
at work at once, too deep, four doublings in a row, three generations that grow without ending. What is too many is raised to three times
what other runs of the workflow need, and by plans: a wait that names N agents, or a list of N that was recorded before the first was
started, allows N. Source: note on cost, section 4. Known misses: agents that are no spans; work spread over many runs (see
`spend_rate`). Known false alarm: a large map whose plan was not recorded. Cost: a set-based count of agents at work; only runs with nine at once are replayed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import polars as pl

from analyzers.events import spoken
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.tally import COUNTED, spent
from analyzers.wording import amount, listing, since, usd
from tracer.model import RunOutcome, SpanKind
from tracer.online.fanout import FanoutAlarm, FanoutCore, FanoutLimits

KIND = "runaway_fanout"
Row = Mapping[str, Any]
_BAD = frozenset(
    {RunOutcome.FAILED, RunOutcome.TIMED_OUT, RunOutcome.INTERRUPTED, RunOutcome.STOPPED_BY_GUARD, RunOutcome.RUNNING}
)
_PLANNERS = frozenset({SpanKind.LLM, SpanKind.TOOL, SpanKind.STATE_WRITE, SpanKind.DECISION})
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "trace_id", "parent_span_id", "name", "agent", "start_ns", "end_ns", "wait_for", "output_refs",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FanoutThresholds:
    limits: FanoutLimits = field(default_factory=FanoutLimits)
    at_once: int = 9
    """agents at work at once below which no rule can hold: depth 8 and 8 doubled agents both need more"""
    known_runs: int = 20
    """other runs of the workflow from which on they say what is usual"""
    shown: int = 40
    """agents a finding names"""
    spans: int = 500
    """invocations it names"""


@dataclass(frozen=True, slots=True)
class Replay:
    """One run as the core saw it."""

    alarms: Sequence[tuple[int, FanoutAlarm]]
    """(time, alarm) in order; the first is what a guard would have stopped at"""
    sizes: Sequence[int]
    """agents per generation, the root's generation first"""
    peak: int
    planned: int
    above: Mapping[str, str]
    """agent span -> span of the agent that started it, or the run"""
    depth: Mapping[str, int]


def find_runaway_fanout(frames: Frames, thresholds: FanoutThresholds = FanoutThresholds()) -> list[Finding]:
    """At most one finding per run."""
    t = thresholds
    agents = (
        frames.spans.lazy()
        .filter((pl.col("kind") == SpanKind.AGENT) & pl.col("duplicate_of").is_null())
        .select("run_id", "start_ns", "end_ns")
        .collect()
    )
    many = agents.group_by("run_id").len().filter(pl.col("len") >= t.at_once)["run_id"]
    if many.is_empty():
        return []
    peaks = _peaks(agents.filter(pl.col("run_id").is_in(many.implode())))
    suspects = [run for run, peak in peaks.items() if peak >= t.at_once]
    if not suspects:
        return []
    usual = _usual(frames, peaks, t)
    outcomes = dict(frames.traces.select("run_id", "outcome").iter_rows())
    spans = frames.spans.select("run_id", *_COLUMNS, "duplicate_of").filter(
        pl.col("run_id").is_in(suspects) & pl.col("duplicate_of").is_null()
    )
    found: list[Finding] = []
    for (run_id,), part in spans.sort("run_id", "start_ns", "span_id").group_by("run_id", maintain_order=True):
        run = str(run_id)
        rows = part.select(_COLUMNS).to_dicts()
        limits = t.limits.learned(usual.get(run))
        replay = replay_fanout(run, rows, frames.contents, limits)
        if replay.alarms:
            found.append(_finding(run, rows, replay, limits, usual.get(run), outcomes.get(run, ""), t))
    return found


def _peaks(agents: pl.DataFrame) -> dict[str, int]:
    """Run -> most agents at work at once."""
    last = pl.lit(2**62)
    starts = agents.select("run_id", at="start_ns", step=pl.lit(1, pl.Int64))
    ends = agents.select("run_id", at=pl.col("end_ns").fill_null(last), step=pl.lit(-1, pl.Int64))
    events = pl.concat([starts, ends]).sort("run_id", "at", "step")
    return dict(events.group_by("run_id").agg(pl.col("step").cum_sum().max()).iter_rows())


def _usual(frames: Frames, peaks: Mapping[str, int], t: FanoutThresholds) -> dict[str, float]:
    """Run -> what the other runs of its workflow have at work at once, 99th percentile (90th below a hundred runs)."""
    usual: dict[str, float] = {}
    named = frames.traces.select("run_id", "workflow", "agents").filter(pl.col("workflow").is_not_null())
    for _, part in named.group_by("workflow"):
        runs = part["run_id"].to_list()
        if len(runs) <= t.known_runs:
            continue
        held = sorted(peaks.get(run, 0) for run in runs)
        for run in runs:
            if run not in peaks:
                continue
            others = held.copy()
            others.remove(peaks[run])
            share = 0.99 if len(others) >= 100 else 0.9
            usual[run] = others[min(len(others) - 1, int(share * len(others)))]
    return usual


def replay_fanout(run_id: str, rows: Sequence[Row], contents: Mapping[int, str], limits: FanoutLimits) -> Replay:
    """The run through the core: `rows` in order of start; the run itself is the root of agents that no agent started."""
    held = {row["span_id"]: row for row in rows}
    starters = {row["span_id"]: _starter(row, held, run_id) for row in rows}
    agents = [row for row in rows if row["kind"] == SpanKind.AGENT]
    above = {row["span_id"]: starters[row["span_id"]] for row in agents}
    first: dict[str, int] = {}
    for row in agents:
        first.setdefault(above[row["span_id"]], row["start_ns"])
    core = FanoutCore(limits)
    core.start(run_id, None)
    planned = Counter[str]()
    for row in rows:
        who = row["span_id"] if row["kind"] == SpanKind.AGENT else starters[row["span_id"]]
        size = _planned(row, first.get(who), contents)
        if size > planned[who]:
            planned[who] = size
            core.plan(who, size)
    # Ends before starts at one moment: an agent that makes room for the next was never at work beside it.
    events = sorted(
        [(row["start_ns"], 1, place) for place, row in enumerate(agents)]
        + [(max(row["end_ns"], row["start_ns"] + 1), 0, place) for place, row in enumerate(agents) if row["end_ns"] is not None]
    )  # fmt: skip
    alarms: list[tuple[int, FanoutAlarm]] = []
    depth: dict[str, int] = {run_id: 0}
    sizes = Counter({0: 1})
    live = peak = 0
    for at, starting, place in events:
        who = agents[place]["span_id"]
        if not starting:
            core.end(who)
            live -= 1
            continue
        live += 1
        peak = max(peak, live)
        starter = above[who]
        depth[who] = depth.get(starter, 0) + 1
        sizes[depth[who]] += 1
        alarm = core.start(who, starter)
        if alarm is not None:
            alarms.append((at, alarm))
    return Replay(alarms, [sizes[g] for g in range(max(sizes) + 1)], peak, sum(planned.values()), above, depth)


def _starter(row: Row, held: Mapping[str, Row], run_id: str) -> str:
    """The nearest agent invocation around a span, else the run."""
    seen = {row["span_id"]}
    parent = held.get(row["parent_span_id"] or "")
    while parent is not None and parent["span_id"] not in seen:
        if parent["kind"] == SpanKind.AGENT:
            return parent["span_id"]
        seen.add(parent["span_id"])
        parent = held.get(parent["parent_span_id"] or "")
    return run_id


def _planned(row: Row, first_ns: int | None, contents: Mapping[int, str]) -> int:
    """How many agents a span announces: those a wait names, or the longest list recorded before the first was started."""
    if first_ns is None:
        return 0
    if row["kind"] == SpanKind.WAIT:
        return len(row["wait_for"] or ())
    if row["kind"] not in _PLANNERS or row["end_ns"] is None or row["end_ns"] > first_ns:
        return 0
    return max((_longest_list(spoken(contents[ref])) for ref in row["output_refs"] or () if ref in contents), default=0)


def _longest_list(text: str) -> int:
    """Length of the longest list in a text that is, or holds, JSON; lists are looked for two levels deep."""
    places = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    if not places:
        return 0
    try:
        value: Any = json.JSONDecoder().raw_decode(text[min(places) :])[0]
    except ValueError:
        return 0
    longest, level = 0, [value]
    for _ in range(3):
        below: list[Any] = []
        for one in level:
            if isinstance(one, list):
                longest = max(longest, len(cast("list[Any]", one)))
            elif isinstance(one, dict):
                below += cast("dict[Any, Any]", one).values()
        level = below
    return longest


def _finding(
    run_id: str,
    rows: Sequence[Row],
    replay: Replay,
    limits: FanoutLimits,
    usual: float | None,
    outcome: str,
    t: FanoutThresholds,
) -> Finding:
    at, alarm = replay.alarms[0]
    held = {row["span_id"]: row for row in rows}
    agents = [row for row in rows if row["span_id"] in replay.above]
    later = {row["span_id"] for row in agents if row["start_ns"] > at}
    starters = {row["span_id"]: row["span_id"] if row["span_id"] in replay.above else _starter(row, held, run_id) for row in rows}  # fmt: skip
    money, tokens, calls = spent([row for row in rows if starters[row["span_id"]] in later])
    line = [alarm.who]
    while (up := replay.above.get(line[-1])) in held and up is not None:
        line.append(up)
    chain = line[::-1]
    rules = [one.rule for _, one in replay.alarms]
    critical = len(rules) > 1 or outcome in _BAD or replay.peak >= 2 * limits.live
    severity: Severity = "critical" if critical else "warning"
    names = Counter(row["agent"] or row["name"] for row in agents)
    common = [name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0]))]
    sizes = " → ".join(str(size) for size in replay.sizes[:10])
    spans = list(dict.fromkeys([*chain, *(row["span_id"] for row in agents)]))[: t.spans]
    order = {row["span_id"]: place for place, row in enumerate(rows)}
    ended = sum(row["end_ns"] is not None for row in agents)
    why = {
        "live": f"{alarm.value} were at work at once, {alarm.limit} are allowed",
        "depth": f"the {alarm.value}th level was reached, {alarm.limit} are allowed",
        "doublings": f"{alarm.value} generations in a row were at least twice the size of the one before",
        "growing": f"{alarm.value} generations in a row grew while fewer than half of them had ended",
    }[alarm.rule]
    usually = "" if usual is None else f" Other runs of this workflow have up to {usual:.0f} at work at once."
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.95 if len(rules) > 1 else 0.85,
        title=f"{listing(common, 3)} multiplied to {amount(len(agents), 'agent')} in {amount(len(replay.sizes) - 1, 'generation')} ({sizes})",
        explanation=(
            f"{since(at, rows[0]['start_ns']).capitalize()}, when {amount(alarm.started, 'agent')} had been started, {why}. "
            f"By generation, the first being the run itself: {sizes}; at most {replay.peak} were at work at once and {ended} of {len(agents)} ended. "
            f"The line of the one that gave the alarm: {' → '.join(held[span]['agent'] or held[span]['name'] for span in chain)}.{usually} "
            + (f"What the agents started after that moment cost {usd(money)}. " if money is not None else "")
            + (f"A plan for {amount(replay.planned, 'agent')} was recorded and allowed for. " if replay.planned else "No plan of so many parts was recorded. ")
            + (f"Sure: {len(rules)} rules hold ({listing(rules)})." if len(rules) > 1 else "Fairly sure: a map of that size whose plan was not recorded looks the same.")
        ),
        suggestion=(
            f"Stop at {min(limits.live, max(8, alarm.live - 1))} agents at work and {min(limits.depth, max(2, alarm.depth - 1))} levels (a depth counter in the task, or a guard), "
            "let only the lead start agents, and record the plan (how many parts) before starting them."
        ),
        trace_id=run_id,
        spans=tuple(sorted(spans, key=lambda span: order[span])),
        agents=tuple(common[: t.shown]),
        start_ns=agents[0]["start_ns"],
        end_ns=max((row["end_ns"] for row in agents if row["end_ns"] is not None), default=None),
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=_checks(replay, limits, alarm, usual),
        data={
            "generations": list(replay.sizes),
            "agents": len(agents),
            "peak": replay.peak,
            "depth": len(replay.sizes) - 1,
            "rules": rules,
            "alarm_at_ns": at,
            "alarm_agents": alarm.started,
            "alarm_span": alarm.who,
            "planned": replay.planned,
            "lasted_s": None if agents[-1]["end_ns"] is None else round((agents[-1]["end_ns"] - agents[0]["start_ns"]) / 1e9, 3),
            "wasted_spans": calls,
        },
    )  # fmt: skip


def _checks(replay: Replay, limits: FanoutLimits, alarm: FanoutAlarm, usual: float | None) -> tuple[Check, ...]:
    rules = {one.rule: one for _, one in replay.alarms}
    depth = len(replay.sizes) - 1
    return (
        Check(
            rule="agents at work at once",
            value=replay.peak,
            threshold=limits.live + replay.planned,
            passed="live" in rules,
        ),
        Check(rule="levels of agents", value=depth, threshold=limits.depth, passed="depth" in rules),
        Check(
            rule="generations in a row that doubled",
            value=rules["doublings"].value if "doublings" in rules else 0,
            threshold=limits.doublings,
            passed="doublings" in rules,
        ),
        Check(
            rule="generations in a row that grew without ending",
            value=rules["growing"].value if "growing" in rules else 0,
            threshold=limits.growing,
            passed="growing" in rules,
        ),
        Check(
            rule="ruled out: a plan of so many parts",
            value=replay.planned,
            threshold=alarm.live,
            passed=replay.planned < alarm.live,
        ),
        Check(
            rule="ruled out: usual for this workflow (agents at work at once in other runs)",
            value=usual,
            threshold=alarm.live,
            passed=usual is None or usual < alarm.live,
        ),
    )
