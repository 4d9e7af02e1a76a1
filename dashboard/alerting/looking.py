"""One look at a store: what the rules say now, kept in the outbox; or what they would have said over its whole history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analyzers.alerts.evaluate import Observed, Reading, evaluate
from analyzers.alerts.replay import replay
from analyzers.alerts.rules import Rule, preview
from analyzers.alerts.states import Alert, Step, advance
from analyzers.run import analyse
from dashboard.alerting.channels import Channel
from dashboard.alerting.outbox import Budget, Looked, Outbox
from dashboard.loading import load_frames
from tracer.store import reads
from tracer.store.database import Store

NEWEST = 1_000
"""runs whose spans and texts are looked at; costs and rates of workflows count all runs of the window"""
LOST = ("bad_frames", "rejected_spans", "dropped_spans")


def observe(store: Store, rules: Sequence[Rule], now_ns: int | None, *, lost_before: int = 0, newest: int = NEWEST) -> Observed:  # fmt: skip
    """The runs of twice the widest window (a run is compared with those before it), all of the store where `now_ns` is None."""
    widest = max((rule.window_ns for rule in rules), default=0)
    known = reads.runs(store, since_ns=None if now_ns is None else now_ns - 2 * widest)
    frames = load_frames(store, known["run_id"].head(newest).to_list())
    analysis = analyse(frames)
    lost = sum(reads.counters(store)[name] for name in LOST)
    return Observed(
        frames=replace(frames, traces=known.sort("start_ns", "run_id")), findings=analysis.findings, fleet=analysis.fleet,
        lost_records=max(0, lost - lost_before),
    )  # fmt: skip


def look(
    store: Store, rules: Sequence[Rule], channels: Sequence[Channel], outbox: Outbox, now_ns: int, *, source: Path | None = None
) -> tuple[Step, list[Reading]]:  # fmt: skip
    """Evaluate the rules at `now_ns`; alerts and their deliveries are in the outbox when this returns. `source`: where the rules are from."""
    before = outbox.setting("lost_total") or 0
    observed = observe(store, rules, now_ns, lost_before=before)
    readings = evaluate(rules, observed, now_ns)
    step = outbox.step(
        lambda states: advance(rules, states, readings, now_ns),
        lambda alert: [channel.name for channel in channels if channel.wants(alert)],
        now_ns,
        lost_total=before + observed.lost_records,
        looked=Looked(
            source=None if source is None else str(source),
            rules=tuple((rule.name, preview(rule)) for rule in rules),
            budgets=tuple(budgets_of(rules, readings)),
        ),
    )
    return step, readings


def budgets_of(rules: Sequence[Rule], readings: Sequence[Reading]) -> list[Budget]:
    """What is spent of each limit on spending: of its graver level where there are two."""
    by_name = {rule.name: rule for rule in rules if rule.measure.name == "spend_usd"}
    found: list[Budget] = []
    for reading in readings:
        rule = by_name.get(reading.rule)
        limit = None if rule is None else rule.warning if rule.critical is None else rule.critical
        if rule is not None and limit:
            found.append(Budget(rule=rule.name, workflow=reading.workflow, spent_usd=reading.value or 0.0, limit_usd=limit, window_ns=rule.window_ns))  # fmt: skip
    return found


def dry_run(store: Store, rules: Sequence[Rule]) -> list[Alert]:
    """What would have been sent over the stored history; nothing is kept or sent."""
    return replay(rules, observe(store, rules, None))
