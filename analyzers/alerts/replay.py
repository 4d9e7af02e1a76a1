"""Rules over a stored history, as if they had been evaluated while it happened: what would have been sent, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from analyzers.alerts.evaluate import Observed, evaluate
from analyzers.alerts.rules import Rule
from analyzers.alerts.states import Alert, State, advance
from analyzers.frames import Frames

MOST_LOOKS = 200
"""moments at which the rules are evaluated; more would only make ends of levels sharper in time"""


def replay(rules: Sequence[Rule], observed: Observed, *, most_looks: int = MOST_LOOKS) -> list[Alert]:
    """The alerts of the whole history, in order of time.

    The rules are evaluated when runs end, at `most_looks` moments at most, each time knowing only runs that had begun by then.
    Findings about a run count from its end on. What is lost in the recording has no time and is left out.
    """
    traces = observed.frames.traces
    ends = traces.select(at=pl.coalesce("end_ns", "start_ns")).sort("at")["at"].unique(maintain_order=True).to_list()
    looks: list[int] = _thinned(ends, most_looks)
    ended = {row["run_id"]: row["end_ns"] or row["start_ns"] for row in traces.iter_rows(named=True)}
    states: dict[str, State] = {}
    alerts: list[Alert] = []
    widest = max((rule.window_ns for rule in rules), default=0)
    for now_ns in looks:
        known = replace(
            observed,
            lost_records=0,
            frames=_until(observed.frames, now_ns, now_ns - 2 * widest),
            findings=[f for f in observed.findings if ended.get(f.trace_id or "", now_ns) <= now_ns],
        )
        step = advance(rules, states, evaluate(rules, known, now_ns), now_ns)
        states = dict(step.states)
        alerts.extend(step.alerts)
    return alerts


def _until(frames: Frames, now_ns: int, since_ns: int) -> Frames:
    """The runs that had begun, those that had not ended still running."""
    began = pl.col("start_ns").is_between(since_ns, now_ns)
    going_on = pl.coalesce("end_ns", "start_ns") > now_ns
    traces = frames.traces.filter(began).with_columns(
        outcome=pl.when(going_on).then(pl.lit("running")).otherwise("outcome"),
        end_ns=pl.when(going_on).then(None).otherwise("end_ns"),
    )
    spans = frames.spans.filter(pl.col("start_ns").is_between(since_ns, now_ns)).with_columns(
        status=pl.when(pl.col("end_ns") > now_ns).then(pl.lit("running")).otherwise("status"),
        end_ns=pl.when(pl.col("end_ns") > now_ns).then(None).otherwise("end_ns"),
    )
    return Frames(spans=spans, traces=traces)


def _thinned(moments: list[int], most: int) -> list[int]:
    """At most `most` of them, the last one included, evenly chosen."""
    if len(moments) <= most:
        return moments
    return [moments[(at + 1) * len(moments) // most - 1] for at in range(most)]
