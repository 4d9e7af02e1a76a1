"""`tracehound watch`: what agents do, line by line, while they do it."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from rich.text import Text

from dashboard.commands.common import add_store, console, note, printable, seconds, seconds_given, usd
from dashboard.commands.show import SEVERITY_STYLE
from dashboard.loading import analyse_runs, find_runs, open_store
from dashboard.run_reads import SECOND_NS
from tracer.clock import SystemClock, has_clock
from tracer.model import RunOutcome
from tracer.store import reads
from tracer.store.database import Store

EVERY_S = 1.0
WITHIN_NS = 24 * 3_600 * SECOND_NS
"""runs that started longer ago are not looked at any more"""
QUIET = frozenset({"state_read", "message", "decision", "other"})
"""kinds that are shown with --all only"""
_STYLES = {"error": "red", "guard_trip": "bold red", "escalation": "magenta", "workflow": "bold", "running": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trace", nargs="?", metavar="TRACE", help="only this run, from its beginning, until it ends")
    parser.add_argument("--all", action="store_true", help="also messages, decisions and reads of state")
    parser.add_argument(
        "--for", dest="for_s", type=seconds_given, default=None, metavar="S", help="stop after so many seconds"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of text")
    add_store(parser)


def run(args: Namespace) -> int:
    """Follow until Ctrl-C, `--for`, or the end of the one run; findings are told when a run has ended."""
    store, clock = open_store(args.store, upkeep=False), SystemClock()
    only = find_runs(store, [args.trace])[0] if args.trace else None
    tail = Tail(store, since_ns=0 if only else clock.now_ns(), only=only)
    if not args.json:
        note(f"Watching {args.store}. Ctrl-C ends it.")
    began = time.monotonic()
    while True:
        for line in tail.news(clock.now_ns()):
            if args.all or line["kind"] not in QUIET:
                _print(line, args.json)
        if (only and tail.over) or (args.for_s is not None and time.monotonic() - began >= args.for_s):
            return 0
        time.sleep(EVERY_S)


class Tail:
    """What is new in a store since the last look. Spans are told when they begin and when they have ended, runs when they end."""

    def __init__(self, store: Store, *, since_ns: int, only: str | None = None) -> None:
        self._store, self._since_ns, self._only = store, since_ns, only
        self._told: dict[str, str] = {}
        """span id -> the status it was told with"""
        self._states: dict[str, tuple[int, str]] = {}
        """run id -> (spans, outcome) at the last look; a run that stays the same is not read again"""
        self.over = False
        """the one run has ended and was told"""

    def news(self, now_ns: int) -> Iterator[Mapping[str, Any]]:
        """Fold, and give one line per thing that happened, in order of time."""
        self._store.fold()
        runs = reads.runs(self._store, since_ns=None if self._only else min(self._since_ns, now_ns - WITHIN_NS))
        if self._only:
            runs = runs.filter(pl.col("run_id") == self._only)
        changed: list[dict[str, Any]] = []
        for row in runs.iter_rows(named=True):
            state = (row["spans"], row["outcome"])
            last = row["end_ns"] if row["end_ns"] is not None else now_ns
            if self._states.get(row["run_id"]) != state and (last >= self._since_ns):
                changed.append(row)
            self._states[row["run_id"]] = state
        yield from self._spans([row["run_id"] for row in changed])
        for row in sorted(changed, key=lambda one: one["start_ns"]):
            if row["outcome"] != RunOutcome.RUNNING:
                yield from self._ended(row)
                self.over = True

    def _spans(self, run_ids: list[str]) -> Iterator[Mapping[str, Any]]:
        if not run_ids:
            return
        spans = reads.load(self._store, run_ids, contents=False).spans
        lines: list[tuple[int, Mapping[str, Any]]] = []
        for row in spans.iter_rows(named=True):
            ended = row["end_ns"] is not None
            at_ns = row["end_ns"] if ended else row["start_ns"]
            if at_ns < self._since_ns or self._told.get(row["span_id"]) == row["status"] or row["duplicate_of"]:
                continue
            self._told[row["span_id"]] = row["status"]
            fields = ("run_id", "span_id", "kind", "name", "agent", "status", "error_message", "model", "tool_name", "target_agent")  # fmt: skip
            took = (row["end_ns"] - row["start_ns"]) / 1e9 if ended and has_clock(row["start_ns"]) else None
            cost = None if row["cost_usd"] is None else float(row["cost_usd"])
            lines.append((at_ns, {"at_ns": at_ns, "event": "span", **{name: row[name] for name in fields}, "seconds": took, "cost_usd": cost}))  # fmt: skip
        yield from (line for _, line in sorted(lines, key=lambda item: item[0]))

    def _ended(self, row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        _, analysis = analyse_runs(self._store, [row["run_id"]])
        cost = None if row["cost_usd"] is None else float(row["cost_usd"])
        timed = row["end_ns"] is not None and has_clock(row["start_ns"])
        took = (row["end_ns"] - row["start_ns"]) / 1e9 if timed else None
        yield {"at_ns": row["end_ns"] or row["start_ns"], "event": "run", "kind": "run", "run_id": row["run_id"], "workflow": row["workflow"],
               "status": row["outcome"], "seconds": took, "cost_usd": cost}  # fmt: skip
        for finding in analysis.findings:
            if finding.severity != "info":
                yield {"at_ns": row["end_ns"] or row["start_ns"], "event": "finding", "kind": finding.kind, "run_id": row["run_id"],
                       "status": finding.severity, "name": finding.title}  # fmt: skip


def _print(line: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(line, ensure_ascii=False), flush=True)
        return
    moment = datetime.fromtimestamp(line["at_ns"] / 1e9, UTC).strftime("%H:%M:%S")
    text = Text(f"{moment} {line['run_id'][:8]} ", style="dim")
    if line["event"] == "run":
        text.append(printable(f"run ended: {line['workflow'] or 'run'} {line['status']}, {seconds(line['seconds'])}, {usd(line['cost_usd'])}"), style="bold")  # fmt: skip
    elif line["event"] == "finding":
        text.append(printable(f"{line['status']} {line['kind']}: {line['name']}"), style=SEVERITY_STYLE[line["status"]])
    else:
        what = line["tool_name"] or line["model"] or line["target_agent"] or line["name"]
        took = "begins" if line["seconds"] is None else seconds(line["seconds"])
        money = f" {usd(line['cost_usd'])}" if line["cost_usd"] is not None else ""
        error = f" {line['status']}: {line['error_message']}" if line["status"] in ("error", "interrupted") else ""
        style = _STYLES.get(line["status"]) or _STYLES.get(line["kind"], "")
        text.append(printable(f"{line['agent'] or '—'}  {line['kind']} {what}  {took}{money}{error}"), style=style)
    console().print(text, soft_wrap=True)
