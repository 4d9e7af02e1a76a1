"""How good the detectors are on faults put in on purpose, and how quiet on runs that only look faulty.

    python -m tests.benchmarks.detection [--part unseen|known|tuning] [--runs N] [--seed S] [--short] [--missed] [--only NAME]

Every scenario (tests/benchmarks/scenarios) is played N times through the real shim with a clock of its own, in
circumstances drawn by Latin hypercube: five topologies, 20 to 20,000 spans around it, 1 to 16 concurrent branches, 0 to
30 % irrelevant spans, texts full, hashed or absent, four kinds of paraphrase. The spans are then spoiled (up to 20 %
lost, clocks apart by up to 2 s, late and shuffled batches), folded into a store and analysed with hundreds of others.

Half of the runs are recorded whole ("clean"; text kept, clocks within 50 ms), a quarter lost 10 % of its spans ("gaps"),
a quarter has everything against it ("harsh"). A fault is found where a finding of its kind, warning or worse, names at
least one of the spans that show it; where kinds overlap (analyzers/overlaps.py) the stronger kind counts too.

The part "unseen" was written before it was measured and is never tuned on; its first figures are the ones to quote. "known" was the unseen
part before it; once read, it may guide a change as "tuning" may.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

import polars as pl

from tests.benchmarks.scenarios import known, tuning, unseen
from tests.benchmarks.scenarios.baselines import COST_RULES, LOOP_RULES, steps_of
from tests.benchmarks.scenarios.catalogue import Scenario
from tests.benchmarks.scenarios.playing import Case, Timing, cases, played
from tests.benchmarks.scenarios.reaction import Reaction, cpu_of_events, reaction
from tests.benchmarks.scenarios.scoring import TOLD, Score, by, share, wilson

PARTS: Mapping[str, tuple[Scenario, ...]] = {
    "unseen": unseen.SCENARIOS,
    "known": known.SCENARIOS,
    "tuning": tuning.SCENARIOS,
}


@dataclass
class Result:
    """What one part of the scenarios came to."""

    score: Score = field(default_factory=Score)
    timing: Timing = field(default_factory=Timing)
    cases: list[Case] = field(default_factory=list[Case])
    found: set[int] = field(default_factory=set[int])
    """ids of the cases whose fault was found"""
    failures: list[str] = field(default_factory=list[str])
    reactions: list[tuple[Case, Reaction | None]] = field(default_factory=list[tuple[Case, "Reaction | None"]])
    rules: dict[str, list[tuple[bool, bool]]] = field(default_factory=dict[str, list[tuple[bool, bool]]])
    """rule -> (flagged, at fault) of each run"""
    online_events: int = 0
    online_s: float = 0.0


def evaluate(scenarios: Sequence[Scenario], *, runs: int, seed: int, short: bool) -> Result:
    """Play, analyse and count everything."""
    result = Result()
    planned = cases(scenarios, runs, seed, short=short)
    for group, analysis, frames in played(planned, result.timing):
        result.failures += [f"{failure.detector}: {failure.error}" for failure in analysis.failures]
        for case in group:
            if result.score.add(case):
                result.found.add(id(case))
            _compare(case, frames.contents, result)
            if case.scenario.runs > 1:
                _compare_costs(case, frames.spans.filter(frames.spans["run_id"].is_in(sorted(case.run_ids))), result)
            case.rows = None
            result.cases.append(case)
    return result


def _compare(case: Case, contents: Mapping[int, str], result: Result) -> None:
    """The loop rules beside ours, and the online core, on runs recorded whole."""
    if case.rows is None or case.knobs.block != "clean":
        return
    if case.scenario.kind in ("loop", None):
        steps = steps_of(case.rows)
        told = {name: rule(steps) for name, rule in LOOP_RULES.items()}
        told["tracehound"] = any(f.kind == "loop" and f.severity in TOLD for f in case.findings)
        for name, flagged in told.items():
            result.rules.setdefault(name, []).append((flagged, case.scenario.kind == "loop"))
    if case.scenario.kind == "loop":
        result.reactions.append((case, reaction(case, contents)))
    if case.knobs.size <= 200:
        events, seconds = cpu_of_events(case, contents)
        result.online_events += events
        result.online_s += seconds


def _compare_costs(case: Case, rows: pl.DataFrame, result: Result) -> None:
    if case.scenario.kind not in ("cost_anomaly", None):
        return
    spent = rows.group_by("run_id").agg(pl.col("cost_usd").cast(pl.Float64).sum()).sort("run_id")
    costs: list[float] = spent["cost_usd"].to_list()
    blamed = {f.trace_id for f in case.findings if f.kind == "cost_anomaly" and f.severity in TOLD}
    told = {name: rule(costs) for name, rule in COST_RULES.items()}
    told["tracehound (cost)"] = [run in blamed for run in spent["run_id"]]
    for name, flagged in told.items():
        pairs = zip(flagged, (run in case.guilty_traces for run in spent["run_id"]), strict=True)
        result.rules.setdefault(name, []).extend(pairs)


def show(result: Result, *, missed: bool) -> None:
    """Print every table."""
    score = result.score
    faults = sum(score.recall(block)[1] for block in ("clean", "gaps", "harsh"))
    print(f"{faults} runs with a fault, {sum(score.healthy.values())} healthy ones, {result.timing.spans:,} spans\n")
    print(
        f"{'kind':29}{'precision, clean':19}{'recall, clean':19}{'recall, 10 % lost':19}{'recall, harsh':19}where  us/span"
    )
    names = sorted(set(score.kinds) | set(result.timing.seconds))
    for name in names:
        kind = score.kinds[name]
        told = kind.found["clean"] + kind.false["clean"]
        per_span = result.timing.seconds.get(name, 0.0) / max(1, result.timing.spans) * 1e6
        where = f"{fmean(kind.overlap):.2f}" if kind.overlap else " -  "
        print(
            f"{name:29}{share(kind.found['clean'], told):19}"
            + "".join(f"{share(kind.found[b], kind.faults[b]):19}" for b in ("clean", "gaps", "harsh"))
            + f"{where:>5}{per_span:9.2f}"
        )
    print(
        f"{'all':29}{share(*score.precision('clean')):19}"
        + "".join(f"{share(*score.recall(b)):19}" for b in ("clean", "gaps", "harsh"))
        + f"{'':5}{sum(result.timing.seconds.values()) / max(1, result.timing.spans) * 1e6:9.2f}"
    )
    print("\nfalse alarms per 1,000 healthy runs (95 % interval)")
    for block in ("clean", "gaps", "harsh"):
        print(f"  {block:6} of {score.healthy[block]:5}:  critical {_rate(score.critical[block], score.healthy[block])}"
              f"   any {_rate(score.alarms[block], score.healthy[block])}")  # fmt: skip
    whole = sum(score.healthy.values())
    print(f"  {'all':6} of {whole:5}:  critical {_rate(sum(score.critical.values()), whole)}")
    _show_reactions(result)
    _show_rules(result)
    _show_factors(result)
    for failure in sorted(set(result.failures)):
        print(f"CRASHED {failure}")
    if missed:
        _show_missed(result)


def _rate(part: int, whole: int) -> str:
    low, high = wilson(part, whole)
    return f"{1000 * part / max(1, whole):5.1f} ({1000 * low:.1f}-{1000 * high:.1f})"


def _show_reactions(result: Result) -> None:
    seen = [(case, told) for case, told in result.reactions if told is not None]
    if not seen:
        return
    rounds = [told.repetitions for _, told in seen]
    print(
        f"\nlive alarm on loops: {len(seen)} of {len(result.reactions)} runs, after {median(rounds):.0f} repetitions in the median"
        f" (90 % by {sorted(rounds)[int(0.9 * (len(rounds) - 1))]}), when {_paid(told for _, told in seen)} of the loop's money was spent"
    )
    for wording in ("verbatim", "template", "pool", "other"):
        part = [told.repetitions for case, told in seen if case.knobs.wording == wording]
        if part:
            print(f"  {wording:9} {median(part):.1f}")
    if result.online_events:
        print(
            f"online core: {result.online_s / result.online_events * 1e6:.0f} us CPU per event ({result.online_events:,} events)"
        )


def _paid(told: Iterable[Reaction]) -> str:
    shares = [one.spent_usd / one.of_usd for one in told if one.of_usd]
    return f"{median(shares):.0%}" if shares else "an unknown share"


def _show_rules(result: Result) -> None:
    print(f"\n{'rule, runs recorded whole':29}{'precision':19}{'recall':19}false alarms per 1,000")
    for name, pairs in result.rules.items():
        flagged = sum(a for a, _ in pairs)
        faults = sum(b for _, b in pairs)
        both = sum(a and b for a, b in pairs)
        print(f"{name:29}{share(both, flagged):19}{share(both, faults):19}{_rate(flagged - both, len(pairs) - faults)}")


def _show_factors(result: Result) -> None:
    """Recall by each circumstance, all kinds together."""
    faulty = [case for case in result.cases if case.scenario.kind is not None]
    print("\nrecall by circumstance")
    for factor in ("topology", "size", "branches", "irrelevant", "missing", "skew_ns", "arrival", "text", "wording"):
        parts = by(faulty, lambda c, f=factor: str(getattr(c.knobs, f)), lambda c: id(c) in result.found)
        ordered = sorted(parts.items(), key=lambda item: _as_number(item[0]))
        print(f"  {factor:11}" + "   ".join(f"{value} {a / b:.2f}" for value, (a, b) in ordered))


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return 0.0, text


def _show_missed(result: Result) -> None:
    print("\nmissed")
    for name, (count, of) in by(
        [c for c in result.cases if c.scenario.kind],
        lambda c: f"{c.knobs.block:6} {c.scenario.kind} / {c.scenario.name}",
        lambda c: id(c) not in result.found,
    ).items():
        if count:
            print(f"  {count:3} of {of:3}  {name}")
    print("\ntold though not true")
    wrong = by([c for c, _ in result.score.wrong], lambda c: c.scenario.name, lambda c: True)
    for name in wrong:
        kinds = by(
            [c for c, _ in result.score.wrong if c.scenario.name == name], lambda c: c.knobs.block, lambda c: True
        )
        said = sorted({k for c, k in result.score.wrong if c.scenario.name == name})
        print(f"  {name}: {', '.join(said)}  ({', '.join(f'{b} {n[1]}' for b, n in kinds.items())})")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables; exit code 1 where a detector crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), default="unseen")
    parser.add_argument(
        "--runs", type=int, default=24, help="runs of each scenario (a third of it where a scenario has many runs)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="8 runs of each scenario, small ones only")
    parser.add_argument("--only", action="append", metavar="NAME", help="scenarios whose name or kind contains NAME")
    parser.add_argument("--missed", action="store_true", help="name the scenarios that were missed or wrongly told")
    options = parser.parse_args(argv)
    scenarios = [
        s for s in PARTS[options.part]
        if not options.only or any(word in s.name or word == s.kind for word in options.only)
    ]  # fmt: skip
    kinds = [s.kind for s in scenarios]
    print(
        f"part {options.part}: {len(kinds) - kinds.count(None)} faults and {kinds.count(None)} healthy scenarios, seed {options.seed}"
    )
    started, cpu = time.perf_counter(), time.process_time()
    result = evaluate(scenarios, runs=8 if options.short else options.runs, seed=options.seed, short=options.short)
    show(result, missed=options.missed)
    print(f"\n{time.perf_counter() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
