"""`tracehound report`: the post-mortem of one run, as one file that needs nothing else."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from dashboard.commands.common import add_json, add_store, note
from dashboard.loading import analyse_runs, find_runs, open_store
from dashboard.report import FORMATS
from tracer.errors import BadInput


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write: .html, .md or .json (default: tracehound-report-<run>.html)",
    )
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Write the report; with --json and no FILE, print the JSON form instead."""
    output: Path | None = args.output
    if output is not None and output.suffix not in FORMATS:
        raise BadInput(
            f"Cannot write a report as {output.name!r}.", hint=f"known endings: {', '.join(sorted(FORMATS))}."
        )
    store = open_store(args.store)
    [run_id] = find_runs(store, [args.trace])
    frames, analysis = analyse_runs(store, [run_id])
    findings = analysis.findings
    if output is None and args.json:
        print(FORMATS[".json"](frames, findings, analysis.skipped, analysis.failures))
        return 0
    target = output or Path(f"tracehound-report-{run_id[:8]}.html")
    write_report(target, FORMATS[target.suffix](frames, findings, analysis.skipped, analysis.failures))
    note(f"Wrote {target} ({target.stat().st_size / 1024:.0f} KB).")
    return 0


def write_report(target: Path, text: str) -> None:
    """Write `text`, or say plainly why that is not possible."""
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"Cannot write {str(target)!r}: {error.strerror}.", hint="choose another place with -o."
        ) from error
