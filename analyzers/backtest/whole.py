"""A policy file over the runs of a store: `read_policy(path)`, `back_test(frames, analysis, policy)`.

[guard]                        as `tracer.guard` takes them
loop = 4
budget_usd = 5

[sweep]                        thresholds to try; "auto" or a list
loop = [3, 4, 5, 8]
budget_usd = "auto"
tolerated = 0.01

[[rule]]                       alert rules (docs/alerts.md): what they would have told
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from analyzers.alerts.evaluate import Observed
from analyzers.alerts.parsing import rules_of
from analyzers.alerts.replay import replay
from analyzers.alerts.rules import Rule
from analyzers.alerts.states import Alert
from analyzers.backtest.guards import GUARDS, Recording, Stop, recordings
from analyzers.backtest.policy import Tally, good_runs, run_policy, tally
from analyzers.backtest.sweep import SWEPT, TOLERATED, Sweep, sweep
from analyzers.backtest.windows import WINDOWS_NS
from analyzers.frames import Frames
from analyzers.run import Analysis
from analyzers.toml_tables import TomlFile
from analyzers.wording import amount, duration, usd
from tracer.errors import BadInput
from tracer.online.limits import Limits, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is to be tried. An empty grid is made from what the runs are like."""

    thresholds: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    sweeps: Mapping[str, Sequence[float]] = field(default_factory=lambda: dict.fromkeys(SWEPT, ()))
    tolerated: float = TOLERATED
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackTest:
    """What a policy would have done."""

    policy: Policy
    stops: Mapping[str, Stop]
    """run id -> its stop by the whole policy"""
    tally: Tally
    good: frozenset[str]
    sweeps: tuple[Sweep, ...]
    alerts: tuple[Alert, ...]
    good_alerted: frozenset[str]
    """good runs that an alert of the policy's rules named"""

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": dict(self.policy.thresholds),
            "summary": self.tally.to_json(),
            "runs": [
                {**asdict(stop), "usd_saved": float(stop.usd_saved), "good": stop.run_id in self.good, "sentence": sentence(stop)}
                for stop in self.stops.values()
            ],
            "sweeps": [one.to_json() for one in self.sweeps],
            "alerts": [alert.to_json() for alert in self.alerts],
            "good_runs_alerted": sorted(self.good_alerted),
        }  # fmt: skip


def read_policy(path: Path) -> Policy:
    """
    Raises:
        BadInput: the file cannot be read, an unknown guard, or a threshold that no guard takes; with file and line.
    """
    return policy_of(TomlFile.read(path))


def policy_of(file: TomlFile) -> Policy:
    """As `read_policy`, of a file that is read already."""
    guard, swept = file.table("guard"), file.table("sweep")
    known = {one.name for one in fields(Limits)}
    thresholds: dict[str, float | str] = {}
    for name, value in guard.values.items():
        if name not in known:
            guard.known |= known
            guard.done()
        guard.known.add(name)
        try:
            limit = getattr(checked(**{name: value}), name)
        except BadInput as error:
            raise BadInput(f"{guard.place(name)}: {error.message}", hint=error.hint) from error
        if limit is not None and limit is not False:
            thresholds[name] = limit if isinstance(limit, str) else float(limit)
    tolerated = swept.number("tolerated", TOLERATED, least=0.0, most=1.0)
    sweeps: dict[str, Sequence[float]] = {}
    for name in [name for name in swept.values if name in known]:
        grid = swept.raw(name)
        values = cast("list[Any]", grid) if isinstance(grid, list) else []
        numbers = all(
            isinstance(one, (int, float)) and not isinstance(one, bool) and 0 < one < math.inf for one in values
        )
        if grid != "auto" and not (values and numbers):
            swept.refuse(name, grid, '"auto", or a list of numbers above zero')
        sweeps[name] = tuple(float(one) for one in values)
    swept.known |= known
    swept.done()
    if not sweeps:
        sweeps = dict.fromkeys((name for name in thresholds if name not in ("deadlock", "concurrency")), ())
    rules = rules_of(file)
    own = rules if file.values.get("rule") else ()
    return Policy(
        thresholds=thresholds, sweeps=sweeps or dict.fromkeys(SWEPT, ()), tolerated=tolerated or 0.0, rules=own
    )


def back_test(frames: Frames, analysis: Analysis, policy: Policy) -> BackTest:
    """Run every run through the policy, alone and together, and through every threshold of the sweeps."""
    runs = recordings(frames, analysis.findings)
    good = good_runs(frames, analysis.findings)
    stops = run_policy(runs, policy.thresholds)
    ordered = {run.run_id: stops[run.run_id] for run in runs if run.run_id in stops}
    alerts = replay(policy.rules, Observed(frames=frames, findings=analysis.findings, fleet=analysis.fleet)) if policy.rules else []  # fmt: skip
    return BackTest(
        policy=policy, stops=ordered, tally=tally(runs, ordered, good), good=good,
        sweeps=tuple(sweep(runs, good, guard, grid, tolerated=policy.tolerated) for guard, grid in policy.sweeps.items()),
        alerts=tuple(alerts), good_alerted=frozenset(run for alert in alerts for run in alert.runs if run in good),
    )  # fmt: skip


NAMES: Mapping[str, str] = {
    "loop": "A loop breaker at", "budget_usd": "A budget of", "tokens": "A token limit of", "seconds": "A time limit of", "iterations": "A limit on LLM calls of",
    "concurrency": "A limit on calls at once of", "fanout": "A limit on agents at work of", "deadlock": "A deadlock guard", "state_bytes": "A limit on state of",
    "per_hour_usd": "An hourly budget of", "per_day_usd": "A daily budget of", "runs_per_hour": "A limit on runs per hour of", "concurrent_runs": "A limit on runs at once of",
}  # fmt: skip
assert NAMES.keys() == GUARDS.keys() | WINDOWS_NS.keys()


def sentence(stop: Stop) -> str:
    """ "A loop breaker at 4 would have stopped this at repetition 5, saving $3,180." """
    limit = usd(stop.threshold) if stop.guard.endswith("_usd") else f"{stop.threshold:,.12g}"
    what = NAMES[stop.guard] if stop.guard == "deadlock" else f"{NAMES[stop.guard]} {limit}"
    where = f"at repetition {stop.round}" if stop.round is not None else f"after {amount(stop.step, 'LLM call')}"
    saved = usd(stop.usd_saved) if stop.usd_saved else f"{stop.tokens_saved:,} tokens" if stop.tokens_saved else amount(stop.calls_saved, "LLM call")  # fmt: skip
    time = f" and {duration(stop.ns_saved)}" if stop.ns_saved else ""
    return f"{what} would have stopped this {where}, saving {saved}{time}."


def loop_sentence(run: Recording, rounds: float) -> str | None:
    """The sentence of a loop breaker at `rounds`, None where it stops nothing."""
    stop = GUARDS["loop"](run, rounds)
    return None if stop is None else sentence(stop)
