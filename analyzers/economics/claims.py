"""What each of five strategies would have saved, call by call, before it is settled which strategy may count a call.

    strategy   certain                                  likely                                      upper
    budgets    rounds of a loop after the fifth         after the third                             all that a finding calls wasted
    caching    equal input, always equal output         and a known prefix of 1,024 tokens or       and equal input, other output
                                                        more at the cached price
    branches   -                                        parallel work whose words nobody read       the same
    batching   -                                        a system prompt sent once for independent   half the price of such calls (the
                                                        calls of one agent                          usual batch discount)
    model      -                                        small purposes on the cheapest model that   on the cheapest model of the workspace
                                                        already served this purpose three times

All of it replays the log: a cache hit counts only where the key existed earlier, a cheaper model only where this workspace uses it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from analyzers.economics.dataflow import Reading
from analyzers.economics.rates import Rates, rates_of
from analyzers.economics.single_agent import CACHE_FROM, is_work
from analyzers.economics.turns import Turn, system_tokens
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.purposes import purposes
from analyzers.resent import find_resent
from analyzers.waste import wasted_spans
from tracer.model import Purpose, SpanStatus

STRATEGIES = ("budgets", "caching", "branches", "batching", "model")
BREAKABLE = ("loop", "ping_pong", "retry_storm", "runaway_fanout")
STOPPED_CERTAINLY, STOPPED_LIKELY = 5, 3
"""rounds after which a loop guard stops, at its critical and at its warning level"""
SMALL_PURPOSES = (Purpose.ROUTE, Purpose.JUDGE, Purpose.SUMMARISE, Purpose.PARSE_REPAIR, Purpose.MEMORY)
PROVEN_CALLS = 3
BATCH_DISCOUNT = Decimal("0.5")
NONE = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one strategy would have saved on one call; certain <= likely <= upper."""

    span_id: str
    strategy: str
    certain: Decimal = NONE
    likely: Decimal = NONE
    upper: Decimal = NONE
    tokens: tuple[int, int, int] = (0, 0, 0)
    """the same in tokens that would not have been sent or written"""


@dataclass(frozen=True)
class Workspace:
    """What many runs together know: which inputs were seen before, and which models serve which purpose."""

    repeated: Mapping[str, bool]
    """span_id of a call whose input an earlier call had -> whether all calls with that input gave the same output"""
    models: Mapping[str, Mapping[tuple[str, str | None], int]]
    """purpose -> (model, provider) -> calls that went well"""

    @classmethod
    def of(cls, frames: Frames) -> Workspace:
        """Read off all runs in `frames`."""
        known = purposes(frames, frames.llm_calls)
        served: dict[str, dict[tuple[str, str | None], int]] = defaultdict(lambda: defaultdict(int))
        rows = frames.llm_calls.select("run_id", "span_id", "model", "provider", "status")
        for run, span, model, provider, status in rows.iter_rows():
            if model is not None and status == SpanStatus.OK:
                served[known[run, span][0]][model, provider] += 1
        return cls(repeated=repeated_inputs(frames), models=served)


def repeated_inputs(frames: Frames) -> dict[str, bool]:
    """span_id of every successful LLM call whose very input (model, temperature, messages) an earlier one had -> outputs all equal."""
    key = ["model", "temperature", "asked"]
    calls = frames.llm_calls.filter(
        (pl.col("status") == SpanStatus.OK)
        & (pl.col("input_refs").list.len() > 0)
        & pl.col("output_refs").is_not_null()
    ).select(
        "span_id",
        "start_ns",
        "model",
        "temperature",
        asked=pl.col("input_refs").hash(),
        got=pl.col("output_refs").hash(),
    )
    grouped = calls.sort("start_ns", "span_id").with_columns(
        number=pl.int_range(pl.len()).over(key), same=pl.col("got").n_unique().over(key) == 1
    )
    return dict(grouped.filter(pl.col("number") > 0).select("span_id", "same").iter_rows())


def find_claims(reading: Reading, findings: Sequence[Finding], workspace: Workspace) -> list[Claim]:
    """All claims on the calls of one run; a call may be claimed by several strategies."""
    calls = {row["span_id"]: row for row in reading.frames.llm_calls.iter_rows(named=True)}
    return [
        *_budgets(findings, calls),
        *_caching(reading.frames, calls, workspace),
        *_branches(reading, calls),
        *_batching(reading, calls),
        *_cheaper(reading, calls, workspace),
    ]


def _cost(row: Mapping[str, Any]) -> Decimal:
    return row["cost_usd"] or NONE


def _tokens(row: Mapping[str, Any]) -> int:
    return (row["input_tokens"] or 0) + (row["output_tokens"] or 0)


def _budgets(findings: Sequence[Finding], calls: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    for finding in findings:
        if finding.kind not in BREAKABLE:
            continue
        lost = sorted(
            (calls[one] for one in set(wasted_spans(finding)) if one in calls),
            key=lambda row: (row["start_ns"], row["span_id"]),
        )
        rounds = int(finding.data.get("iterations") or finding.data.get("attempts") or 0) or len(lost) + 1
        for place, row in enumerate(lost):
            number = 2 + place * (rounds - 1) // max(1, len(lost))  # the first round is no waste
            certain, likely = number > STOPPED_CERTAINLY, number > STOPPED_LIKELY
            cost, tokens = _cost(row), _tokens(row)
            yield Claim(span_id=row["span_id"], strategy="budgets", certain=cost * certain, likely=cost * likely, upper=cost,
                        tokens=(tokens * certain, tokens * likely, tokens))  # fmt: skip


def _caching(frames: Frames, calls: Mapping[str, Mapping[str, Any]], workspace: Workspace) -> Iterator[Claim]:
    resent = find_resent(frames.llm_calls, frames.contents)
    own = rates_of(frames.billed).per_weight_usd
    for span_id, row in calls.items():
        cost, tokens = _cost(row), _tokens(row)
        same = workspace.repeated.get(span_id)
        if same:
            yield Claim(
                span_id=span_id,
                strategy="caching",
                certain=cost,
                likely=cost,
                upper=cost,
                tokens=(tokens, tokens, tokens),
            )
            continue
        again = resent.get(span_id)
        saved = NONE
        if (
            again is not None
            and again.tokens >= CACHE_FROM
            and row["cost_usd"] is not None
            and row["status"] == SpanStatus.OK
        ):
            rates = Rates(row["model"], row["provider"], row["start_ns"], own)
            sent, received, cached = row["input_tokens"] or 0, row["output_tokens"] or 0, row["cached_tokens"] or 0
            before, after = (
                rates.usd(sent, received, cached),
                rates.usd(sent, received, max(cached, min(sent, again.tokens))),
            )
            if before and after is not None and after < before:
                saved = min(cost, cost * (before - after) / before)
        if saved or same is not None:
            yield Claim(span_id=span_id, strategy="caching", likely=saved, upper=cost if same is not None else saved,
                        tokens=(0, 0, tokens if same is not None else 0))  # fmt: skip


def _branches(reading: Reading, calls: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    """Invocations beside others whose words no later call was given; the last to speak answers the user."""
    flow = reading.flow
    if flow is None:
        return
    lanes: dict[str, list[int]] = defaultdict(list)
    for number, turn in enumerate(flow.turns):
        lanes[turn.lane].append(number)
    if len(lanes) < 2:
        return
    read_by = {
        one: number
        for number, needs in enumerate(flow.needs)
        for one in needs
        if flow.turns[one].lane != flow.turns[number].lane
    }
    final = max(range(len(flow.turns)), key=lambda number: flow.turns[number].end_ns)
    for members in lanes.values():
        turns = [flow.turns[number] for number in members]
        begin, end = min(turn.start_ns for turn in turns), max(turn.end_ns for turn in turns)
        beside = any(
            turn.start_ns < end and turn.end_ns > begin and turn.agent != turns[0].agent
            for turn in flow.turns
            if turn.lane != turns[0].lane
        )
        told = any(number in read_by for number in members) or any(
            calls[turn.span_id]["user_visible"] for turn in turns
        )
        acted = any(tool.ok for turn in turns for tool in turn.tools)
        said = bool(turns[-1].output_refs) and not turns[-1].failed
        if not beside or told or final in members or not said or not all(is_work(turn) for turn in turns):
            continue
        for turn in turns:
            row = calls[turn.span_id]
            cost, tokens = _cost(row), _tokens(row)
            # A branch whose tools ran may have acted on the world: nobody read its words, yet it may have been needed.
            yield Claim(span_id=turn.span_id, strategy="branches", likely=NONE if acted else cost, upper=cost,
                        tokens=(0, 0 if acted else tokens, tokens))  # fmt: skip


def _batching(reading: Reading, calls: Mapping[str, Mapping[str, Any]]) -> Iterator[Claim]:
    flow = reading.flow
    if flow is None:
        return
    prompts = system_tokens(reading.run)
    own = rates_of(reading.frames.billed).per_weight_usd
    groups: dict[tuple[str | None, str | None, str, int], list[int]] = defaultdict(list)
    for number, turn in enumerate(flow.turns):
        if not turn.failed and not turn.tools and not turn.delegates and len(turn.input_refs) >= 2:
            groups[turn.agent, turn.model, turn.purpose, turn.input_refs[0]].append(number)
    for members in groups.values():
        free: list[int] = []
        for number in members:
            if not any(one in flow.closure[number] for one in free):
                free.append(number)
        for number in free[1:]:
            turn: Turn = flow.turns[number]
            row = calls[turn.span_id]
            shared = min(prompts[turn.agent][1], turn.sent)
            rates = Rates(row["model"], row["provider"], row["start_ns"], own)
            saved = min(_cost(row), rates.usd(shared, 0) or NONE) if shared and row["cost_usd"] is not None else NONE
            most = max(saved, _cost(row) * BATCH_DISCOUNT)
            if most or shared:
                yield Claim(
                    span_id=turn.span_id, strategy="batching", likely=saved, upper=most, tokens=(0, shared, shared)
                )


def _cheaper(reading: Reading, calls: Mapping[str, Mapping[str, Any]], workspace: Workspace) -> Iterator[Claim]:
    used = {model for served in workspace.models.values() for model in served}
    for turn in reading.run.turns:
        row = calls[turn.span_id]
        if turn.purpose not in SMALL_PURPOSES or turn.failed or not row["cost_usd"]:
            continue
        proven = {model for model, number in workspace.models.get(turn.purpose, {}).items() if number >= PROVEN_CALLS}
        likely, upper = (_saved(row, models) for models in (proven, used))
        if upper:
            yield Claim(span_id=turn.span_id, strategy="model", likely=min(likely, upper), upper=upper)


def _saved(row: Mapping[str, Any], models: set[tuple[str, str | None]]) -> Decimal:
    """What the cheapest of `models` would have saved on a call, by the price table."""
    cost: Decimal = row["cost_usd"]
    prices = [
        Rates(model, provider, row["start_ns"], None).usd(
            row["input_tokens"] or 0, row["output_tokens"] or 0, row["cached_tokens"] or 0
        )
        for model, provider in sorted(models, key=str)
    ]
    return max(NONE, cost - min((one for one in prices if one is not None), default=cost))
