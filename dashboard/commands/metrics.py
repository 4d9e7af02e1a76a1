"""`tracehound metrics`: numbers per agent, per workflow and on coordination."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import polars as pl

from analyzers.frames import Frames
from analyzers.metrics import Metrics, metrics
from analyzers.run import analyse
from dashboard.commands.common import (
    add_csv,
    add_json,
    add_store,
    count,
    note,
    print_csv,
    print_json,
    print_table,
    seconds,
    share,
    since_ns,
    usd,
)
from dashboard.loading import load_frames, open_store
from tracer.clock import SystemClock

Show = Callable[[Any], str]


def _text(value: Any) -> str:
    return "—" if value is None else str(value)


def _decimal(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f}"


AGENT_COLUMNS: dict[str, tuple[str, Show]] = {
    "agent": ("agent", _text),
    "calls": ("calls", count),
    "success_rate": ("success", share),
    "error_rate": ("errors", share),
    "latency_mean_s": ("mean", seconds),
    "latency_p50_s": ("p50", seconds),
    "latency_p95_s": ("p95", seconds),
    "llm_calls": ("LLM calls", count),
    "input_tokens": ("tokens in", count),
    "output_tokens": ("tokens out", count),
    "cost_usd": ("cost", usd),
    "coverage": ("coverage", share),
}
WORKFLOW_COLUMNS: dict[str, tuple[str, Show]] = {
    "workflow": ("workflow", _text),
    "runs": ("runs", count),
    "completion_rate": ("completed", share),
    "escalation_rate": ("escalated", share),
    "latency_mean_s": ("mean", seconds),
    "latency_p95_s": ("p95", seconds),
    "cost_mean_usd": ("mean cost", usd),
    "cost_total_usd": ("total cost", usd),
    "coverage": ("coverage", share),
}
COORDINATION_COLUMNS: dict[str, tuple[str, Show]] = {
    "workflow": ("workflow", _text),
    "handoffs_per_run": ("handoffs / run", _decimal),
    "loops": ("loops", count),
    "state_conflicts": ("state conflicts", count),
    "breaker_trips": ("breaker trips", count),
}
VARIANCE_COLUMNS: dict[str, tuple[str, Show]] = {
    "kind": ("call", _text),
    "name": ("model or tool", _text),
    "inputs": ("repeated inputs", count),
    "calls": ("calls", count),
    "variance": ("got other outputs", share),
    "answer_variance": ("two calls differ", share),
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--since", metavar="WHEN", help="only runs that started since then: 30m, 12h, 7d, 2026-11-01")
    parser.add_argument(
        "--period", choices=["hour", "day", "week"], default="day", help="of the trends in the JSON document"
    )
    add_store(parser)
    add_json(parser)
    add_csv(parser, "this list", ("agents", "workflows", "coordination"))


def run(args: Namespace) -> int:
    """Print the tables, or one JSON document with them."""
    since = since_ns(args, SystemClock().now_ns())
    frames = load_frames(open_store(args.store))
    if since is not None:
        frames = _started_since(frames, since)
    result = metrics(frames, analyse(frames).findings, period=args.period)
    if args.json:
        print_json(result.to_json())
    elif args.csv:
        table = {"agents": result.agents, "workflows": result.workflows, "coordination": result.coordination}[args.csv]
        print_csv(table.to_dicts(), table.columns)
    else:
        _print(result)
        note("Coverage is the share of LLM calls with tokens and a known price; numbers without it are lower bounds.")
    return 0


def _started_since(frames: Frames, since: int) -> Frames:
    traces = frames.traces.filter(pl.col("start_ns") >= since)
    return Frames(
        spans=frames.spans.filter(pl.col("run_id").is_in(traces["run_id"].implode())),
        traces=traces,
        contents=frames.contents,
        events=frames.events,
        links=frames.links,
    )


def _print(result: Metrics) -> None:
    tables = (
        ("Agents", result.agents, AGENT_COLUMNS),
        ("Workflows", result.workflows, WORKFLOW_COLUMNS),
        ("Coordination", result.coordination, COORDINATION_COLUMNS),
        ("Same input, other output", result.variance, VARIANCE_COLUMNS),
    )
    for title, frame, columns in tables:
        shown = {name: column for name, column in columns.items() if name in frame.columns}
        headings = {heading: "left" if show is _text else "right" for heading, show in shown.values()}
        if title.startswith("Same") and frame.is_empty():
            continue
        rows = [[show(row[name]) for name, (_, show) in shown.items()] for row in frame.iter_rows(named=True)]
        print_table(headings, list(rows), title=title)
        print()
