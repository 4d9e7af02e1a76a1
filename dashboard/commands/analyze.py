"""`tracehound analyze`: what went wrong, with the evidence, and what to change."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rich.padding import Padding
from rich.text import Text

from analyzers.document import analysis_document
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from dashboard.commands.common import (
    add_csv,
    add_json,
    add_lake,
    add_store,
    console,
    count,
    note,
    print_csv,
    print_json,
    printable,
    progress,
    usd,
)
from dashboard.commands.show import SEVERITY_STYLE
from dashboard.engines import ENGINES
from dashboard.judging import add_judge, judge_of
from dashboard.lakes import analyse_lake, store_of_runs
from dashboard.loading import analyse_runs, find_runs, load_frames, open_store
from tracer.errors import BadInput
from tracer.lake.layout import open_lake

EXIT_FOUND = 1
CSV_COLUMNS = (
    "trace_id", "id", "kind", "severity", "confidence", "title", "explanation", "suggestion", "spans", "agents", "steps",
    "start_ns", "end_ns", "wasted_usd", "wasted_tokens", "data",
)  # fmt: skip
"""of a finding; `data` has what was checked, as in --json"""
SUSPECTS_SHOWN = 3
LEAST_SAVED = 0.05
"""share of a run's time below which a change is not worth a line"""
FAILED_SHOWN = 5
FAIL_ON = {"critical": {"critical"}, "warning": {"critical", "warning"}, "info": {"critical", "warning", "info"}}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "traces", nargs="*", metavar="TRACE", help="runs to look at (default: all, and the fleet as a whole)"
    )
    parser.add_argument(
        "--engine", choices=tuple(ENGINES), default="local",
        help="where to compute what lies in a lake: here, or on a Ray cluster ($RAY_ADDRESS, else the one this machine is in)",
    )  # fmt: skip
    add_lake(parser, "look at the runs of this lake")
    parser.add_argument(
        "--fail-on", choices=list(FAIL_ON), help="exit with 1 if there is a finding at least this severe"
    )
    add_judge(parser)
    add_store(parser)
    add_json(parser)
    add_csv(parser, "the findings")


def run(args: Namespace) -> int:
    """Print findings, or the JSON document; exit 1 only where `--fail-on` is met."""
    judge = judge_of(args)
    if judge is not None and not args.traces and not args.json:
        raise BadInput(
            "--judge ranks suspects, which are shown for named runs.", hint="name a run, or add --json for all."
        )
    frames, analysis = _analysed(args)
    document = analysis_document(frames, analysis, judge) if args.json or args.traces else None
    if args.json:
        print_json(document)
    elif args.csv:
        findings = (*analysis.findings, *analysis.fleet)
        print_csv([{**one.to_json(), "wasted_usd": one.wasted_usd} for one in findings], CSV_COLUMNS)
    else:
        _print(frames, analysis)
        if document is not None:
            _print_suspects(document)
            _print_worth(document["traces"])
    _note_gaps(analysis, document)
    found = {finding.severity for finding in (*analysis.findings, *analysis.fleet)}
    return EXIT_FOUND if args.fail_on and found & FAIL_ON[args.fail_on] else 0


def _note_gaps(analysis: Analysis, document: dict[str, Any] | None) -> None:
    """What crashed, and why a judge that was asked for did not answer."""
    failures = [(one.detector, one.error) for one in analysis.failures]
    if document is not None:
        failures = [(one["detector"], one["error"]) for one in document["failures"]]
        for one in document["skipped"]:
            if one["detector"] == "judge":
                note(one["reason"])
    for detector, error in failures:
        note(f"The detector {detector} crashed: {error}")


def _analysed(args: Namespace) -> tuple[Frames, Analysis]:
    if args.engine != "local" and (args.lake is None or args.traces):
        raise BadInput(
            f"The engine {args.engine!r} computes over whole lakes.",
            hint="give --lake URL and no TRACE, or leave --engine out.",
        )
    if args.lake is not None and not args.traces:
        with ExitStack() as open_bars:

            def bar(units: int) -> Callable[[int], None]:
                return open_bars.enter_context(progress("partitions", units))

            return analyse_lake(open_lake(args.lake), ENGINES[args.engine], planned=bar)
    if args.lake is not None:
        with store_of_runs(args.lake, args.traces) as store:
            return analyse_runs(store, find_runs(store, args.traces))
    store = open_store(args.store)
    if args.traces:
        return analyse_runs(store, find_runs(store, args.traces))
    frames = load_frames(store)
    return frames, analyse(frames)


def _print(frames: Frames, analysis: Analysis) -> None:
    runs = {row["run_id"]: row for row in frames.traces.iter_rows(named=True)}
    worth_telling = [f for f in analysis.findings if f.severity != "info"]
    shown: set[str] = set()
    for finding in worth_telling:
        run_id = finding.trace_id or ""
        if run_id in shown:
            continue
        shown.add(run_id)
        row = runs[run_id]
        head = f"{row['workflow'] or 'run'}  {row['source_id'] or run_id}  {row['outcome']}  {usd(row['cost_usd'])}"
        console().print(Text(printable(head), style="bold underline"))
        _print_findings([f for f in worth_telling if f.trace_id == run_id])
    if analysis.fleet:
        console().print(Text("Over many runs", style="bold underline"))
        _print_findings(analysis.fleet)
    failed = [row for run_id, row in runs.items() if row["outcome"] == "failed" and run_id not in shown]
    if failed:
        names = ", ".join(printable(row["source_id"] or row["run_id"]) for row in failed[:FAILED_SHOWN])
        more = f" and {count(len(failed) - FAILED_SHOWN)} more" if len(failed) > FAILED_SHOWN else ""
        print(f"Failed without a finding: {names}{more}. tracehound analyze RUN ranks the steps that may be to blame.")
    remarks = len(analysis.findings) - len(worth_telling)
    print(
        f"{count(len(runs))} {'run' if len(runs) == 1 else 'runs'}: {count(len(shown))} with findings, {count(len(runs) - len(shown))} without; "
        f"{count(remarks)} remarks of severity info, {count(len(analysis.skipped))} questions without enough data (--json shows them)."
    )


def _print_suspects(document: dict[str, Any]) -> None:
    """Who says that a run failed, and which steps may have made it fail, best first."""
    reasons = {one["trace_id"]: one["reason"] for one in document["skipped"] if one["detector"] == "suspects"}
    for entry in document["traces"]:
        verdict: dict[str, Any] = entry["verdict"] or {}
        if not verdict.get("failed"):
            continue
        name = entry["source_id"] or entry["run_id"]
        console().print(Text(printable(f"Failed: {name} ({verdict['why']})"), style="bold underline"))
        for one in entry["suspects"][:SUSPECTS_SHOWN]:
            where = f"step {one['step']}" if one["step"] is not None else f"span {one['span_id']}"
            print(
                printable(
                    f"{one['rank']}. {one['agent'] or 'somebody'} at {where} [{one['tier']}]: {'; '.join(one['evidence'])}"
                )
            )
            if one["rank"] == 1 and one["spread"]:
                reached = ", ".join(
                    f"{agent} ({share:.0%} of its later steps)" for agent, share in one["spread"].items()
                )
                print(printable(f"   It reached {reached}."))
        if not entry["suspects"]:
            print(printable(f"Insufficient evidence for a suspect: {reasons.get(entry['run_id'], 'not looked at')}"))


def _print_worth(entries: Sequence[dict[str, Any]]) -> None:
    """What the orchestration of each run was worth, in three lines: verdict, savings, what would have made it shorter."""
    for entry in entries:
        ledger: dict[str, Any] = entry["ledger"] or {}
        architecture, savings = entry["architecture"], ledger.get("savings")
        console().print(
            Text(
                printable(f"{entry['workflow'] or 'run'}  {entry['source_id'] or entry['run_id']}"),
                style="bold underline",
            )
        )
        if architecture is not None:
            instead = f" ({architecture['instead']})" if architecture["instead"] else ""
            print(
                f"Architecture: {architecture['pattern'] or 'unknown'}; {architecture['verdict']}{instead}: {printable(architecture['because'])}."
            )
            ratio = architecture["run"]["single_agent"].get("cost_ratio")
            if ratio and architecture["pattern"] != "single":
                print(
                    f"Cost over one agent for the same work: {ratio[1]:.2f}x, between {ratio[0]:.2f}x and {ratio[2]:.2f}x."
                )
        if savings is not None and savings["upper_usd"]:
            sums = [usd(savings[f"{level}_usd"]) for level in ("certain", "likely", "upper")]
            print(f"Could have been saved: {sums[0]} certainly, {sums[1]} likely, {sums[2]} at most.")
        path: dict[str, Any] = entry["critical_path"] or {}
        faster: list[dict[str, Any]] = [one for one in path.get("what_if") or () if one["saved_share"] >= LEAST_SAVED]
        # A bound ignores what needed what, so it speaks only where nothing better founded does.
        for one in sorted(faster, key=lambda one: one["upper_bound"])[:1]:
            bound = " at best" if one["upper_bound"] else ""
            print(f"Shorter by {one['saved_share']:.0%}{bound} with {printable(one['change'])}.")


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        head = Text(f"{finding.severity:8} ", style=SEVERITY_STYLE[finding.severity])
        head.append(f"{finding.kind}: {printable(finding.title)}", style="bold")
        console().print(head)
        body = f"{printable(finding.explanation)}\nDo: {printable(finding.suggestion)}"
        console().print(Padding(Text(body), (0, 0, 1, 9)))
