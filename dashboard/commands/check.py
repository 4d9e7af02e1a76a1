"""`tracehound check`: the gate of a build. Fails where runs have findings, break alert rules, or are worse than the baseline."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from analyzers.alerts.parsing import default_rules, read_rules
from analyzers.gate import Gate, judge
from analyzers.run import Analysis, analyse
from analyzers.wording import amount
from dashboard.checks.outputs import github_annotations, junit_xml
from dashboard.checks.reading import read_baseline, store_of_files, write_baseline
from dashboard.commands.common import add_json, add_store, count, note, print_json, print_table, printable, since_ns
from dashboard.loading import load_frames, open_store
from tracer.clock import SystemClock
from tracer.errors import BadInput
from tracer.store import reads

EXIT_FOUND = 1
SHOWN = 40
"""problems in the table; --json and the JUnit file have all"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="trace files in any format that `import` reads (default: the store)")  # fmt: skip
    parser.add_argument("--fail-on", choices=["critical", "warning", "info", "never"], default="critical", help="exit with 1 if there is a new problem at least this severe (default: critical)")  # fmt: skip
    parser.add_argument("--rules", type=Path, metavar="FILE", help="alert rules in TOML, over the defaults")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="usual runs (Parquet): what they have already does not fail")  # fmt: skip
    parser.add_argument("--write-baseline", type=Path, metavar="FILE", help="keep these runs as the baseline of later checks")  # fmt: skip
    parser.add_argument("--since", metavar="WHEN", help="only runs since then, e.g. 30m, 12h, 7d, 2026-11-01")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit file")
    parser.add_argument("--github", action="store_true", default=os.environ.get("GITHUB_ACTIONS") == "true", help="print annotations for GitHub (default: where GITHUB_ACTIONS is true)")  # fmt: skip
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Judge, print, write; exit 1 where the gate is closed.

    Raises:
        BadInput: no runs to look at, or a file that cannot be used.
    """
    rules = read_rules(args.rules) if args.rules else default_rules()
    baseline = read_baseline(args.baseline) if args.baseline else None
    with ExitStack() as stack:
        store = stack.enter_context(store_of_files(args.files, note)) if args.files else open_store(args.store)
        since = since_ns(args, SystemClock().now_ns())
        chosen = None if since is None else reads.runs(store, since_ns=since)["run_id"].to_list()
        frames = load_frames(store, chosen)
        lost = reads.counters(store)
    if frames.traces.is_empty():
        raise BadInput(
            "There is no run to check.", hint="a gate that looked at nothing must not be green; see --since."
        )
    analysis = analyse(frames)
    now_ns = int(frames.traces.select(("end_ns", "start_ns")).max().max_horizontal()[0])  # pyright: ignore[reportArgumentType]  (a column of ints)
    gate = judge(
        frames, analysis, rules, now_ns=now_ns, baseline=baseline, fail_on=args.fail_on,
        lost_records=sum(lost[name] for name in ("bad_frames", "rejected_spans", "dropped_spans")),
    )  # fmt: skip
    _answer(args, gate, analysis)
    return EXIT_FOUND if gate.failing else 0


def _answer(args: Namespace, gate: Gate, analysis: Analysis) -> None:
    if args.json:
        print_json(_document(gate, analysis))
    else:
        _print(gate)
    for failure in analysis.failures:
        note(f"The detector {failure.detector} crashed: {failure.error}")
    if args.github:
        for line in github_annotations(gate):
            print(line, file=sys.stderr if args.json else sys.stdout)
    if args.junit:
        try:
            args.junit.parent.mkdir(parents=True, exist_ok=True)
            args.junit.write_bytes(junit_xml(gate))
        except OSError as error:
            raise BadInput(f"Cannot write {str(args.junit)!r}: {error.strerror or error}.") from error
    if args.write_baseline:
        write_baseline(gate.runs, args.write_baseline)
        note(f"Wrote {amount(gate.runs.height, 'run')} to {args.write_baseline}.")


def _document(gate: Gate, analysis: Analysis) -> dict[str, Any]:
    failing = set(gate.failing)
    return {
        "passed": not failing,
        "fail_on": gate.fail_on,
        "runs": gate.runs.height,
        "problems": [{**problem.to_json(), "fails": problem in failing} for problem in gate.problems],
        "failures": [{"detector": one.detector, "error": one.error} for one in analysis.failures],
    }


def _print(gate: Gate) -> None:
    failing = set(gate.failing)
    told = [problem for problem in gate.problems if problem.severity != "info" or problem in failing]
    if told:
        print_table(
            {"": "left", "severity": "left", "what": "left", "workflow": "left", "run": "left", "says": "left"},
            [
                ["✗" if p in failing else "·", "known" if p.known else p.severity, p.name, p.workflow or "—", (p.run_id or "—")[:12], p.title]
                for p in told[:SHOWN]
            ],
        )  # fmt: skip
    if len(told) > SHOWN:
        print(f"... and {len(told) - SHOWN} more; --json lists them all.")
    known = sum(problem.known for problem in gate.problems)
    remarks = len(gate.problems) - len(told)
    word = "FAILED" if failing else "passed"
    others = len(told) - len(failing) - known
    if gate.fail_on == "never":
        failed = f"{amount(others, 'problem')} (none fails: --fail-on never), "
    else:
        failed = f"{amount(len(failing), 'new problem')} at or above {gate.fail_on!r}, {count(others)} below, "
    print(
        printable(
            f"check {word}: {amount(gate.runs.height, 'run')}, {failed}"
            f"{count(known)} known from the baseline, {amount(remarks, 'remark')}."
        )
    )
