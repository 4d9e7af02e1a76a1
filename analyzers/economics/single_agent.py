"""What would one agent with all the tools have cost for the same work? A computed range, with its assumptions.

    kept        calls that did the task and their tool results, in order; one system prompt, all tool descriptions, the task
    dropped     routing, planning, judging, handoffs, failed and repeated calls, loops, tool calls whose answer was known already
    input_i  =  system + tools + task + every earlier output and result

The range comes from what is not known: `lean` drops the reports that agents with tools wrote for each other (one agent has the results
before it) and writes what was said in a row without tools in one call; `full` keeps both. Each is priced without a cache, with a
prefix cache, and, where 80 % of the model's window is passed, with compaction. A variant whose peak context exceeds the window is
infeasible. The central figure is lean, with a prefix cache only where the run itself had cached tokens.

Ratios are several agents over one: 3 means that the run cost three times as much. Known weakness: one agent may think longer, or call
several tools at once; a chat whose speakers had to disagree cannot be replayed by one. Source: note on algorithms, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from analyzers.context_windows import context_window
from analyzers.economics.rates import Rates, rates_of
from analyzers.economics.turns import Run, Turn, read_turns, system_tokens
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.waste import wasted_spans
from tracer.model import Purpose, SpanKind

FULL_AT = 0.8
"""share of the window at which a context is compacted"""
SUMMARY_SHARE, SUMMARY_TOKENS = 0.1, 2_000
"""a compaction leaves this share of the history, at most so many tokens"""
CACHE_FROM = 1_024
"""shortest prefix that providers cache"""
DROPPED = frozenset(
    {Purpose.ROUTE, Purpose.PLAN, Purpose.SUMMARISE, Purpose.JUDGE, Purpose.MEMORY, Purpose.PARSE_REPAIR}
)
"""purposes that one agent does not need; planning stays in its head"""
LOST = ("loop", "ping_pong", "retry_storm", "duplicate_calls")
"""kinds of findings whose wasted calls are not repeated"""
History = Literal["lean", "full"]
Cache = Literal["none", "prefix", "compaction"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the imagined agent."""

    output: int
    results: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The imagined run under one set of assumptions."""

    history: History
    cache: Cache
    calls: int
    input_tokens: int
    output_tokens: int
    peak_tokens: int
    """largest input and its output"""
    usd: Decimal | None
    feasible: bool

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One agent instead of the recorded run."""

    variants: tuple[Variant, ...]
    central: Variant
    seconds: float
    """calls and tools one after the other, each as long as recorded"""
    model: str | None
    window_tokens: int | None
    fixed_tokens: int
    """system prompt, tool descriptions and task, sent with every call"""
    usd: Decimal | None
    tokens: int
    duration_s: float | None
    """of the recorded run"""

    @property
    def feasible(self) -> bool:
        return any(variant.feasible for variant in self.variants)

    def ratio(self, of: Literal["usd", "tokens"]) -> tuple[float, float, float] | None:
        """(low, central, high) of the recorded run over the imagined one, over the feasible variants."""
        paid = self.usd if of == "usd" else self.tokens
        held = [variant for variant in self.variants if variant.feasible]
        values = [getattr(variant, of) for variant in held]
        middle = getattr(self.central if self.central.feasible or not held else held[0], of)
        if not held or not paid or not middle or not all(values):
            return None
        return float(paid / max(values)), float(paid / middle), float(paid / min(values))


def estimate_single_agent(frames: Frames, findings: Sequence[Finding] = (), run: Run | None = None) -> Estimate | str:
    """The estimate for the one run in `frames`, or why there is none."""
    run = read_turns(frames) if run is None else run
    if not run.turns:
        return "no LLM call was recorded"
    if not any(turn.sent for turn in run.turns):
        return "no token counts were recorded"
    if not any(turn.texts for turn in run.turns):
        return "the messages were not recorded, so what one agent would have to read is not known"
    lost = {span for finding in findings if finding.kind in LOST for span in wasted_spans(finding)}
    kept = [turn for turn in run.turns if is_work(turn) and turn.span_id not in lost and not _known_already(turn)]
    if not kept:
        return "no call did recognisable work"
    fixed = _fixed(frames, run)
    rates = rates_of(frames.billed)
    window = context_window(rates.model) if rates.model else None
    cached = bool(frames.billed["cached_tokens"].sum())
    lean, full = _lean(kept), _steps(kept)
    histories: dict[History, list[Step]] = {"lean": lean, "full": full}
    caches: tuple[Cache, ...] = ("none", "prefix", "compaction")
    variants = tuple(
        _play(steps, history, cache, fixed, rates, window) for history, steps in histories.items() for cache in caches
    )
    wanted = "prefix" if cached else "none"
    central = next(v for v in variants if v.history == "lean" and v.cache == wanted)
    if not central.feasible:
        central = next(v for v in variants if v.history == "lean" and v.cache == "compaction")
    tools = sum(tool.seconds for turn in kept for tool in turn.tools)
    ends = frames.spans["end_ns"].drop_nulls()
    timed = not frames.timeless.len() and len(ends) > 0
    costs = frames.billed["cost_usd"].drop_nulls().to_list()
    return Estimate(
        variants=variants,
        central=central,
        seconds=sum(step.seconds for step in lean) + tools,
        model=rates.model,
        window_tokens=window,
        fixed_tokens=fixed,
        usd=sum(costs, Decimal(0)) if costs and len(costs) == frames.billed.height else None,
        tokens=int(frames.billed["input_tokens"].sum()) + int(frames.billed["output_tokens"].sum()),
        duration_s=(max(ends.to_list()) - min(frames.spans["start_ns"].to_list())) / 1e9 if timed else None,
    )


def is_work(turn: Turn) -> bool:
    """Whether the call did the task itself, as far as can be told."""
    return not turn.failed and not turn.delegates and turn.purpose not in DROPPED


def _known_already(turn: Turn) -> bool:
    """All its tools gave what an earlier call of the run had given: one agent has it before it."""
    return bool(turn.tools) and not any(tool.changes for tool in turn.tools)


def _steps(kept: Sequence[Turn]) -> list[Step]:
    return [Step(turn.received, turn.results, turn.seconds) for turn in kept]


def _lean(kept: Sequence[Turn]) -> list[Step]:
    steps: list[Step] = []
    spoken = False
    for turn in kept:
        report = not turn.tools and turn.after_tools and turn.last and turn is not kept[-1]
        if report:
            continue
        if not turn.tools and not turn.results and spoken:
            before = steps.pop()
            steps.append(Step(before.output + turn.received, 0, before.seconds + turn.seconds))
        else:
            steps.append(Step(turn.received, turn.results, turn.seconds))
        spoken = not turn.tools and not turn.results
    return steps


def _fixed(frames: Frames, run: Run) -> int:
    """Tokens sent with every call: the longest system prompt, each set of tools once, the task."""
    agents = system_tokens(run)
    used: dict[str | None, frozenset[str]] = {
        agent: frozenset(tool.name for turn in run.turns if turn.agent == agent for tool in turn.tools)
        for agent in agents
    }
    tools: dict[frozenset[str], int] = {}
    for agent, (_, _, beyond) in agents.items():
        if used[agent] or len(agents) == 1:
            tools[used[agent]] = max(tools.get(used[agent], 0), beyond)
    framing = max((beyond for agent, (_, _, beyond) in agents.items() if not used[agent]), default=0)
    task = _task(frames, run)
    return max((tokens for _, tokens, _ in agents.values()), default=0) + (sum(tools.values()) or framing) + task


def _task(frames: Frames, run: Run) -> int:
    """Tokens of what the run was asked: the input of its outermost span, else the first thing said to a model."""
    kinds = (SpanKind.WORKFLOW, SpanKind.AGENT)
    for row in run.rows:
        if row["kind"] in kinds and row["input_refs"] and row["parent_span_id"] is None:
            length = run.tokens(row["input_refs"])
            if length:
                return length
    first = next((turn for turn in run.turns if turn.texts), None)
    if first is None:
        return 0
    said = [ref for ref in first.input_refs if '"role":"user"' in frames.contents.get(ref, "").replace(" ", "")]
    return run.tokens(said[:1])


def _play(
    steps: Sequence[Step], history: History, cache: Cache, fixed: int, rates: Rates, window: int | None
) -> Variant:
    held = known = sent = received = peak = calls = 0
    usd: Decimal | None = Decimal(0)

    def call(given: int, output: int, before: int) -> None:
        nonlocal sent, received, peak, calls, usd
        calls += 1
        sent += given
        received += output
        peak = max(peak, given + output)
        cached = before if cache == "prefix" and before >= CACHE_FROM else 0
        one = rates.usd(given, output, cached)
        usd = None if usd is None or one is None else usd + one

    for step in steps:
        if cache == "compaction" and window and held and fixed + held + step.output > FULL_AT * window:
            short = min(SUMMARY_TOKENS, round(held * SUMMARY_SHARE))
            call(fixed + held, short, 0)
            held = short
        call(fixed + held, step.output, known)
        known = fixed + held + step.output
        held += step.output + step.results
    return Variant(
        history=history, cache=cache, calls=calls, input_tokens=sent, output_tokens=received, peak_tokens=peak, usd=usd,
        feasible=window is None or peak <= window,
    )  # fmt: skip


ASSUMPTIONS = (
    "one system prompt as long as the longest of the team, every set of tool descriptions once, the task once",
    "every earlier output and tool result is sent again with each call",
    "routing, planning, judging, handoffs, failed and repeated calls, and tool calls whose answer was known fall away",
    "low: agents' reports to each other are kept and every turn is a call; high: reports fall away and turns in a row are one call",
    f"prefix cache from {CACHE_FROM:,} tokens on; compaction at {FULL_AT:.0%} of the window leaves {SUMMARY_SHARE:.0%}, at most {SUMMARY_TOKENS:,} tokens",
    "calls and tools one after the other, each as long as recorded; the model that wrote most of the run",
)


def estimate_document(estimate: Estimate | str) -> dict[str, Any]:
    """The estimate as JSON: ranges as [low, central, high] of several agents over one, each variant, the assumptions."""
    if isinstance(estimate, str):
        return {"skipped": estimate}
    central = estimate.central
    return {
        "feasible": estimate.feasible,
        "infeasible_because": None if estimate.feasible else f"peak context of {central.peak_tokens:,} tokens > window of {estimate.window_tokens:,}",
        "model": estimate.model,
        "window_tokens": estimate.window_tokens,
        "peak_context_tokens": max(v.peak_tokens for v in estimate.variants if v.cache == "none"),
        "fixed_tokens": estimate.fixed_tokens,
        "calls": central.calls,
        "usd": None if central.usd is None else float(central.usd),
        "tokens": central.tokens,
        "seconds": round(estimate.seconds, 6),
        "cost_ratio": _rounded(estimate.ratio("usd")),
        "tokens_ratio": _rounded(estimate.ratio("tokens")),
        "time_ratio": round(estimate.duration_s / estimate.seconds, 4) if estimate.duration_s and estimate.seconds else None,
        "variants": [
            {"history": v.history, "cache": v.cache, "calls": v.calls, "input_tokens": v.input_tokens, "output_tokens": v.output_tokens,
             "peak_tokens": v.peak_tokens, "usd": None if v.usd is None else float(v.usd), "feasible": v.feasible}
            for v in estimate.variants
        ],
        "assumptions": list(ASSUMPTIONS),
    }  # fmt: skip


def _rounded(values: tuple[float, float, float] | None) -> list[float] | None:
    return None if values is None else [round(value, 4) for value in values]
