"""`tracehound report`: the post-mortem of one run as one file that needs nothing else, or of many runs with an index."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from dashboard.commands.common import add_json, add_lake, add_store, note, print_json, progress, since_ns
from dashboard.judging import add_judge, judge_of
from dashboard.lakes import store_of_runs
from dashboard.loading import alone, analyse_fleet, analyse_runs, find_runs, open_store
from dashboard.report import FORMATS
from dashboard.report.case import Case
from dashboard.report.html import case_html
from dashboard.report.index import Entry, entry_of, file_name, in_order, index_html
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store

BATCH: int = 200
"""Runs held in memory at once by --all."""
FOLDER = "tracehound-report"
INDEX = "index.html"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "trace", nargs="?", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file"
    )
    parser.add_argument(
        "--all", action="store_true", help="an index over many runs, and a report for each that failed or has findings"
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="with --all: only runs since then, e.g. 30m, 12h, 7d, 2026-11-01"
    )
    parser.add_argument(
        "--every", action="store_true", help="with --all: a report for runs without findings or with remarks only, too"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="where to write: a .html, .md or .json file (default: tracehound-report-<run>.html), "
        f"with --all a folder (default: {FOLDER})",
    )
    add_judge(parser)
    add_lake(parser, "take the run from this lake")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Write the report or the folder of reports; with --json and no PATH, print the JSON form instead."""
    if args.all:
        if args.lake is not None:
            raise BadInput(
                "--lake is for one run, not for --all.", hint="name the run; `tracehound import` brings a lake here."
            )
        if args.trace is not None:
            raise BadInput(f"--all is about many runs, but {args.trace!r} was named.", hint="leave one of the two out.")
        if judge_of(args) is not None:
            raise BadInput("--judge is for one run, not for --all.", hint="name the run, or leave --judge out.")
        return _many(args)
    if args.since is not None or args.every:
        word = "--since" if args.since is not None else "--every"
        raise BadInput(f"{word} chooses among many runs.", hint="add --all.")
    if args.trace is None:
        raise BadInput("No run was named.", hint="name one (`tracehound traces` lists them), or take --all.")
    return _one(args)


def _one(args: Namespace) -> int:
    output: Path | None = args.output
    judge = judge_of(args)
    if output is not None and output.suffix not in FORMATS:
        raise BadInput(
            f"Cannot write a report as {output.name!r}.", hint=f"known endings: {', '.join(sorted(FORMATS))}."
        )
    with nullcontext(open_store(args.store)) if args.lake is None else store_of_runs(args.lake, [args.trace]) as store:
        [run_id] = find_runs(store, [args.trace])
        frames, analysis = analyse_runs(store, [run_id])
    case = Case.of(frames, analysis.findings, analysis.skipped, analysis.failures, judge)
    for one in case.skipped:
        if one.detector == "judge":
            note(one.reason)
    if output is None and args.json:
        print(FORMATS[".json"](case))
        return 0
    target = output or Path(f"tracehound-report-{file_name(run_id).removesuffix('.html')[:8]}.html")
    write_report(target, FORMATS[target.suffix](case))
    note(f"Wrote {target} ({target.stat().st_size / 1024:.0f} KB).")
    return 0


def _many(args: Namespace) -> int:
    since = since_ns(args, time.time_ns())
    output: Path | None = args.output
    if output is not None and (output.suffix in FORMATS or output.is_file()):
        raise BadInput(f"--all writes a folder, but {str(output)!r} is a file.", hint="name a folder with -o.")
    store = open_store(args.store)
    run_ids = reads.runs(store, since_ns=since)["run_id"].to_list()
    if not run_ids:
        when = f" since {args.since}" if args.since else ""
        raise BadInput(f"No run was recorded{when}.", hint="`tracehound traces` lists what there is.")
    folder = None if output is None and args.json else output or Path(FOLDER)
    if folder is not None:
        make_folder(folder)
    entries: list[Entry] = []
    with progress("reports", len(run_ids)) as advance:
        for case in _cases(store, run_ids):
            entry = entry_of(case, every=None if folder is None else args.every)
            entries.append(entry)
            if folder is not None and entry.file is not None:
                write_report(folder / entry.file, case_html(case))
            advance(1)
    fleet, looked_at = analyse_fleet(store, since_ns=since)
    if args.json:
        runs = [entry.to_json() for entry in in_order(entries)]
        print_json({"since_ns": since, "fleet": [finding.to_json() for finding in fleet], "runs": runs})
    if folder is not None:
        write_report(folder / INDEX, index_html(entries, args.since, fleet, looked_at))
        reports = sum(entry.file is not None for entry in entries)
        note(f"Wrote {folder / INDEX} and {reports:,} reports of {len(entries):,} runs.")
    return 0


def _cases(store: Store, run_ids: list[str]) -> Iterator[Case]:
    """The runs one by one, analysed in batches, each with what the others of its workflow make usual."""
    for at in range(0, len(run_ids), BATCH):
        chosen = run_ids[at : at + BATCH]
        frames, analysis = analyse_runs(store, chosen)
        for run_id in frames.run_ids:
            skipped = [one for one in analysis.skipped if one.trace_id in (None, run_id)]
            yield Case.of(alone(frames, run_id), analysis.of(run_id), skipped, analysis.failures)


def make_folder(folder: Path) -> None:
    """Make `folder`, or say plainly why that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"Cannot make the folder {str(folder)!r}: {error.strerror}.", hint="choose another place with -o."
        ) from error


def write_report(target: Path, text: str) -> None:
    """Write `text`, or say plainly why that is not possible."""
    try:
        target.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise BadInput(
            f"Cannot write {str(target)!r}: {error.strerror}.", hint="choose another place with -o."
        ) from error
