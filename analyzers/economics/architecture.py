"""Is this workflow better off with several agents, in another pattern, or with one agent? The evidence, and a verdict by rules.

    speaks against several agents                      speaks for them
    coordination share of cost or tokens  > 50 %       parallelism achieved                 >= 1.5
    cost ratio over one agent             > 3          one agent's peak context             > 80 % of the window
    parallelism achieved                  <= 1.2       agents use different tools           overlap <= 0.5
    same tools and models for all roles
    one agent's context fits the window

    coverage too low, or no estimate          insufficient evidence
    one agent already                         keep
    cost ratio or coordination speaks, two others do, and nothing speaks for it     single agent
    the same, had the rules that lack their data spoken against it too              insufficient evidence
    workers do not need each other's words, and could run >= 1.5 at a time, but run one after the other     another pattern: parallel
    a model names the next agent, and the order was the same in every one of >= 3 runs                    another pattern: pipeline
    else                                      keep

Runs that spent 30 % or more on loops and retries say what a fault costs, not what the architecture does: they are left out, and where no others
are there, the evidence is insufficient. The rules and their thresholds are listed in docs/architecture.md; each is in the answer with its value, whichever way it came out. What is not
known here: whether one agent would do as well. `tracehound compare` of both says. Everything is the median over the workflow's runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import polars as pl

from analyzers.economics.dataflow import Reading, busy_s
from analyzers.economics.patterns import Pattern, detect_pattern, specialisation
from analyzers.economics.single_agent import Estimate, estimate_document, estimate_single_agent
from analyzers.economics.turns import system_tokens
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.ledger import COORDINATION, JUDGING, RETRIES, UNKNOWN, Ledger, split
from tracer.model import Purpose, SpanKind

Verdict = Literal["keep", "another pattern", "single agent", "insufficient evidence"]
MAX_COORDINATION, MAX_RATIO, SERIAL, PARALLEL, FULL_AT = 0.5, 3.0, 1.2, 1.5, 0.8
ALIKE, APART = 0.8, 0.5
"""overlaps from which on roles are the same, and up to which they are different"""
SEPARABLE = 0.5
LEAST_COVERAGE = 0.5
SAME_ORDER_RUNS = 3
FAULTY = 0.3
"""share of a run's money (of its tokens, where there is no price) spent on loops and retries from which on it is left out"""
COORDINATION_SHARE, COST_RATIO, TOKENS_RATIO = (
    "coordination share of cost or tokens",
    "cost ratio over one agent",
    "token ratio over one agent (no prices)",
)
SAME_ROLES, FITS = "same tools and models for all roles", "one agent's peak context over its window (fits)"
AGAINST = frozenset({COORDINATION_SHARE, SAME_ROLES, FITS})
"""rules that may lack their data and would speak against several agents"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one run says about its architecture; None where it does not."""

    pattern: Pattern | None
    separability: float | None
    specialisation: Mapping[str, float | int | None]
    achieved: float | None
    """busy time of calls and tools over the length of the run"""
    possible: float | None
    """over the longest chain of calls that needed each other; an upper bound"""
    coordination_usd: float | None
    coordination_tokens: float | None
    coordination_time: float | None
    estimate: Estimate | str
    coverage: Mapping[str, float | None]
    routed: bool
    """a model named the next agent"""
    retried: float = 0.0
    """share of the money, or else of the tokens, that went into loops and retries"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One rule, looked at."""

    rule: str
    value: float | str | bool | None
    threshold: float | str | bool | None
    speaks: Literal["against several agents", "for several agents", "neither", "unknown"]


def profile_run(reading: Reading, findings: Sequence[Finding] = (), ledger: Ledger | None = None) -> Profile:
    """The profile of one run."""
    frames, run = reading.frames, reading.run
    held = split(frames, findings, reading) if ledger is None else ledger
    pattern = detect_pattern(frames, run)
    flow = reading.flow
    work = sum(busy_s(turn) for turn in run.turns)
    longest = flow.longest_s() if flow is not None else 0.0
    tokens = held.input_tokens + held.output_tokens
    steering = [held[COORDINATION], held[JUDGING]]
    workers: set[str] = set()
    if pattern is not None and run.turns:
        # The last to speak puts the others' work together, and the hub hands it out: both need it, whatever the rest does.
        workers = {turn.agent for turn in run.turns if turn.agent} - {pattern.hub or "", run.turns[-1].agent or ""}
    prompts = {agent: told[0] for agent, told in system_tokens(run).items() if agent}
    return Profile(
        pattern=pattern,
        separability=flow.separability(workers) if flow is not None else None,
        specialisation=specialisation(frames, run, prompts),
        achieved=work / (held.ns / 1e9) if held.ns else None,
        possible=work / longest if longest and not frames.timeless.len() else None,
        coordination_usd=float(sum(part.usd for part in steering) / held.usd) if held.usd else None,
        coordination_tokens=sum(part.tokens for part in steering) / tokens if tokens else None,
        coordination_time=sum(part.ns for part in steering) / held.ns if held.ns else None,
        estimate=estimate_single_agent(frames, findings, run),
        coverage=_coverage(frames, held),
        routed=any(turn.purpose == Purpose.ROUTE or turn.delegates for turn in run.turns),
        retried=_retried(held),
    )


def _retried(ledger: Ledger) -> float:
    again, tokens = ledger[RETRIES], ledger.input_tokens + ledger.output_tokens
    if ledger.usd:
        return float(again.usd / ledger.usd)
    return again.tokens / tokens if tokens else 0.0


def sound(profiles: Sequence[Profile]) -> list[Profile]:
    """Those of runs that loops and retries did not spoil."""
    return [one for one in profiles if one.retried < FAULTY]


def _coverage(frames: Frames, ledger: Ledger) -> dict[str, float | None]:
    calls, tools = frames.llm_calls, frames.spans.filter(pl.col("kind") == SpanKind.TOOL)

    def share(table: pl.DataFrame, told: pl.Expr) -> float | None:
        return round(float(table.select(told.mean()).item()), 4) if table.height else None

    return {
        "agent": share(calls, pl.col("agent").is_not_null()),
        "tokens": share(calls, pl.col("input_tokens").is_not_null() & pl.col("output_tokens").is_not_null()),
        "price": share(calls, pl.col("cost_usd").is_not_null()),
        "messages": share(calls, pl.col("input_refs").is_not_null() & pl.col("output_refs").is_not_null()),
        "tool_results": share(tools, pl.col("result_hash").is_not_null() | (pl.col("status") == "error")),
        "time": round(1 - ledger[UNKNOWN].ns / ledger.ns, 4) if ledger.ns else None,
    }


def judge(profiles: Sequence[Profile]) -> tuple[Verdict, str | None, str, list[Evidence]]:
    """(verdict, pattern to try instead, why in words, evidence) for the runs of one workflow."""
    profiles = sound(profiles) or profiles
    evidence = _evidence(profiles)
    against = [one for one in evidence if one.speaks == "against several agents"]
    favour = [one for one in evidence if one.speaks == "for several agents"]
    name = common_pattern(profiles)
    thin = [
        what
        for what in ("agent", "tokens", "messages")
        if (_median(p.coverage[what] for p in profiles) or 0.0) < LEAST_COVERAGE
    ]
    if name is None:
        return "insufficient evidence", None, "no LLM call of an agent was recorded", evidence
    if name == "single":
        return "keep", None, "one agent does all of it already", evidence
    if thin:
        return "insufficient evidence", None, f"too few calls have their {', '.join(thin)} recorded", evidence
    if all(p.retried >= FAULTY for p in profiles):
        why = f"every run spent {min(p.retried for p in profiles):.0%} or more on loops and retries: mend those first, then ask again"
        return "insufficient evidence", None, why, evidence
    reasons = [p.estimate for p in profiles if isinstance(p.estimate, str)]
    if len(reasons) == len(profiles):
        return "insufficient evidence", None, f"one agent cannot be estimated: {reasons[0]}", evidence
    dear = [one for one in against if one.rule in (COORDINATION_SHARE, COST_RATIO, TOKENS_RATIO)]
    if dear and len(against) >= 3 and not favour:
        return "single agent", None, "; ".join(_say(one) for one in against), evidence
    unknown = [one.rule for one in evidence if one.speaks == "unknown" and one.rule in AGAINST]
    undecided = dear and not favour and len(against) + len(unknown) >= 3
    achieved, possible = _median(p.achieved for p in profiles), _median(p.possible for p in profiles)
    separable = _median(p.separability for p in profiles)
    if (
        name != "parallel"
        and (separable or 0) >= SEPARABLE
        and (possible or 0) >= PARALLEL
        and (achieved or PARALLEL) <= SERIAL
    ):
        why = f"workers do not need each other's words ({separable:.0%} of pairs) and could run {possible:.1f} at a time, but run one after the other"
        return "another pattern", "parallel", why, evidence
    orders = Counter(p.pattern.order for p in profiles if p.pattern is not None)
    if (
        name in ("supervisor", "chat")
        and all(p.routed for p in profiles)
        and len(profiles) >= SAME_ORDER_RUNS
        and len(orders) == 1
    ):
        return (
            "another pattern",
            "pipeline",
            f"a model names the next agent, and the order was the same in all {len(profiles)} runs",
            evidence,
        )
    if undecided:
        why = f"{'; '.join(_say(one) for one in against)}; not known, and it would decide: {', '.join(unknown)}"
        return "insufficient evidence", None, why, evidence
    why = "nothing speaks clearly for a change"
    if favour:
        why = f"for several agents speaks {'; '.join(_say(one) for one in favour)}"
    elif against:
        why = f"too little speaks against several agents, only {'; '.join(_say(one) for one in against)}"
    return "keep", None, why, evidence


def _evidence(profiles: Sequence[Profile]) -> list[Evidence]:
    estimates = [p.estimate for p in profiles if isinstance(p.estimate, Estimate)]
    priced = any(one.ratio("usd") for one in estimates)
    ratios = [r for one in estimates for r in [one.ratio("usd" if priced else "tokens")] if r]
    share = max(
        (
            v
            for v in (_median(p.coordination_usd for p in profiles), _median(p.coordination_tokens for p in profiles))
            if v is not None
        ),
        default=None,
    )
    achieved = _median(p.achieved for p in profiles)
    fullness = _median(_fullness(p.estimate) for p in profiles)
    tools, models = (_median(p.specialisation[what] for p in profiles) for what in ("tool_overlap", "model_overlap"))
    ratio = _median(r[1] for r in ratios)
    return [
        _rule(COORDINATION_SHARE, share, MAX_COORDINATION, above=True),
        _rule(COST_RATIO if priced else TOKENS_RATIO, ratio, MAX_RATIO, above=True),
        _rule("parallelism achieved (low)", achieved, SERIAL, above=False),
        Evidence(rule=SAME_ROLES, value=None if tools is None or models is None else min(tools, models), threshold=ALIKE,
                 speaks="unknown" if tools is None or models is None else "against several agents" if min(tools, models) >= ALIKE else "neither"),
        _rule(FITS, fullness, FULL_AT, above=False),
        _rule("parallelism achieved (high)", achieved, PARALLEL, above=True, side="for several agents"),
        _rule("one agent's peak context over its window (too full)", fullness, FULL_AT, above=True, side="for several agents"),
        _rule("overlap of the agents' tools (different permissions)", tools, APART, above=False, side="for several agents"),
    ]  # fmt: skip


def _rule(
    rule: str, value: float | None, threshold: float, *, above: bool,
    side: Literal["against several agents", "for several agents"] = "against several agents",
) -> Evidence:  # fmt: skip
    if value is None:
        return Evidence(rule=rule, value=None, threshold=threshold, speaks="unknown")
    met = value > threshold if above else value <= threshold
    return Evidence(rule=rule, value=round(value, 4), threshold=threshold, speaks=side if met else "neither")


def _fullness(estimate: Estimate | str) -> float | None:
    if isinstance(estimate, str) or not estimate.window_tokens:
        return None
    return max(v.peak_tokens for v in estimate.variants if v.cache == "none") / estimate.window_tokens


def common_pattern(profiles: Sequence[Profile]) -> str | None:
    """The pattern of most runs, of equals the first by name."""
    names = Counter(p.pattern.name for p in profiles if p.pattern is not None)
    return min(names, key=lambda name: (-names[name], name)) if names else None


def _say(one: Evidence) -> str:
    value = f"{one.value:.2f}" if isinstance(one.value, float) else one.value
    return f"{one.rule}: {value} (limit {one.threshold})"


def _median(values: Iterable[float | None]) -> float | None:
    held = [value for value in values if value is not None]
    return median(held) if held else None


def architecture_document(workflow: str | None, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """The `architecture` of a workflow in the JSON document; `profiles`: run id -> profile of its runs that were looked into."""
    everyone = list(profiles.values())
    verdict, instead, why, evidence = judge(everyone)
    held = sound(everyone) or everyone
    ratios = [r for p in held if isinstance(p.estimate, Estimate) for r in [p.estimate.ratio("usd")] if r]
    tokens = [r for p in held if isinstance(p.estimate, Estimate) for r in [p.estimate.ratio("tokens")] if r]
    hubs = Counter(p.pattern.hub for p in held if p.pattern is not None)
    return {
        "workflow": workflow,
        "runs": len(everyone),
        "spoiled_runs": len(everyone) - len(sound(everyone)),
        "pattern": common_pattern(held),
        "patterns": dict(sorted(Counter(p.pattern.name if p.pattern else "unknown" for p in held).items())),
        "hub": min(hubs, key=lambda name: (-hubs[name], name or "")) if hubs else None,
        "separability": _rounded(_median(p.separability for p in held)),
        "role_specialisation": {
            what: _rounded(_median(p.specialisation[what] for p in held)) for what in ("agents", "tool_overlap", "prompt_overlap", "model_overlap")
        },
        "parallelism": {"achieved": _rounded(_median(p.achieved for p in held)), "possible": _rounded(_median(p.possible for p in held))},
        "coordination_share": {
            "usd": _rounded(_median(p.coordination_usd for p in held)),
            "tokens": _rounded(_median(p.coordination_tokens for p in held)),
            "critical_path_time": _rounded(_median(p.coordination_time for p in held)),
        },
        "cost_ratio": _range(ratios),
        "tokens_ratio": _range(tokens),
        "coverage": {what: _rounded(_median(p.coverage[what] for p in held)) for what in (held[0].coverage if held else ())},
        "verdict": verdict,
        "instead": instead,
        "because": why,
        "evidence": [{"rule": e.rule, "value": e.value, "threshold": e.threshold, "speaks": e.speaks} for e in evidence],
    }  # fmt: skip


def run_document(profile: Profile) -> dict[str, Any]:
    """What one run adds to its workflow's verdict: its own pattern and its single-agent estimate."""
    pattern = profile.pattern
    return {
        "pattern": None if pattern is None else pattern.name,
        "why": None if pattern is None else pattern.why,
        "order": [] if pattern is None else list(pattern.order[:50]),
        "single_agent": estimate_document(profile.estimate),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _range(ratios: Sequence[tuple[float, float, float]]) -> dict[str, float] | None:
    """Low of the lows, median of the central ones, high of the highs."""
    if not ratios:
        return None
    return {
        "low": round(min(r[0] for r in ratios), 4),
        "central": round(median(r[1] for r in ratios), 4),
        "high": round(max(r[2] for r in ratios), 4),
    }
