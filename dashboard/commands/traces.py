"""`tracehound traces`: the list of runs, newest first."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

import polars as pl

from analyzers.run import analyse
from analyzers.sampling import kept_with, stood_for
from analyzers.wording import amount
from dashboard.commands.common import (
    add_csv,
    add_json,
    add_store,
    count,
    note,
    positive_int,
    print_csv,
    print_json,
    print_table,
    seconds,
    usd,
)
from dashboard.loading import load_frames, open_store
from dashboard.trace_query import parse_query, select_runs

COLUMNS = (
    "trace_id", "run_id", "source_id", "workflow", "outcome", "start_ns", "duration_s", "spans", "agents", "llm_calls",
    "input_tokens", "output_tokens", "cost_usd",
)  # fmt: skip
"""of a run; its findings follow"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--filter", metavar="Q", default="", help='e.g. "agent:researcher status:error cost>0.5 finding:loop"'
    )
    parser.add_argument("--limit", type=positive_int, metavar="N", help="show the newest N runs (default: all)")
    add_store(parser)
    add_json(parser)
    add_csv(parser, "the runs")


def run(args: Namespace) -> int:
    """Print the runs that the filter lets through, with their findings."""
    query = parse_query(args.filter)
    frames = load_frames(open_store(args.store))
    analysis = analyse(frames)
    chosen = select_runs(query, frames, analysis.findings).sort("start_ns", "run_id", descending=[True, False])
    shown = chosen.head(args.limit) if args.limit else chosen

    findings: dict[str, list[dict[str, Any]]] = {}
    for finding in analysis.findings:
        summary = {"id": finding.id, "kind": finding.kind, "severity": finding.severity, "title": finding.title}
        findings.setdefault(finding.trace_id or "", []).append(summary)
    # A source without times says in which order things happened, not for how long.
    timed = ~pl.col("run_id").is_in(frames.timeless.implode())
    lasted = pl.when(timed).then((pl.col("end_ns") - pl.col("start_ns")) / 1e9)
    listed = shown.with_columns(duration_s=lasted).select(COLUMNS)
    rows = [{**row, "findings": findings.get(row["run_id"], [])} for row in listed.iter_rows(named=True)]
    if args.json:
        print_json(rows)
    elif args.csv:
        kinds = [{**row, "findings": [found["kind"] for found in row["findings"]]} for row in rows]
        print_csv(kinds, [*COLUMNS, "findings"])
    else:
        print_table(
            {"run": "left", "workflow": "left", "outcome": "left", "duration": "right", "spans": "right",
             "agents": "right", "LLM calls": "right", "tokens": "right", "cost": "right", "findings": "left"},
            [_cells(row) for row in rows],
        )  # fmt: skip
    kept = {run: probability for run, probability in kept_with(frames.spans).items() if run in set(shown["run_id"])}
    if kept:
        note(f"{amount(len(kept), 'run')} of these {'was' if len(kept) == 1 else 'were'} kept by a sampler; about {count(stood_for(kept))} took place.")  # fmt: skip
    if shown.height < chosen.height:
        note(f"Showing {count(shown.height)} of {amount(chosen.height, 'run')}.")
    return 0


def _cells(row: dict[str, Any]) -> list[str]:
    kinds = dict.fromkeys(f["kind"] for f in row["findings"] if f["severity"] != "info")
    return [
        row["source_id"] or row["run_id"][:8],
        row["workflow"] or "—",
        row["outcome"],
        seconds(row["duration_s"]),
        count(row["spans"]),
        count(row["agents"]),
        count(row["llm_calls"]),
        count(row["input_tokens"] + row["output_tokens"]),
        usd(row["cost_usd"]),
        ", ".join(kinds),
    ]
