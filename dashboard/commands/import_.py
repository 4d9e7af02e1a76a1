"""`tracehound import`: traces that other tools or frameworks wrote, through the same door as recorded ones."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from dashboard.commands.common import add_json, add_store, count, note, print_json, print_table, progress
from tracer.errors import BadInput, TracehoundError
from tracer.importers import IMPORTERS, ImportReport, import_file
from tracer.lake.into_store import bring_in
from tracer.lake.layout import is_lake, open_lake
from tracer.lake.read import load, plan
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

SHOWN_REASONS = 20
LAKE = "parquet"
"""the format of a lake, as told of files that importers read"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="files to read; .gz is opened. Also what `export --parquet` wrote: a folder, or s3://bucket/folder",
    )  # fmt: skip
    formats = ["auto", *(importer.name for importer in IMPORTERS)]
    parser.add_argument("--format", choices=formats, default="auto", help="what the files hold (default: look)")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Import the good part of every file, say what was left out and why.

    Returns 2 when nothing at all could be read; what was stored before is never touched.
    """
    if args.store.is_dir():
        raise BadInput(
            f"The store {str(args.store)!r} is a directory; a file was expected.", hint="name a .duckdb file."
        )
    store = Store(args.store)
    writer = SegmentWriter(store.path)
    reports: list[ImportReport] = []
    known = 0
    try:
        with progress("Reading", len(args.files)) as advance:
            for file in args.files:
                if is_lake(file):
                    report, there = _lake(store, file)
                    known += there
                else:
                    report = import_file(file, writer, format=args.format)
                reports.append(report)
                advance(1)
    finally:
        writer.close()
    folded = store.fold()
    known += folded.duplicates

    read, skipped = sum(r.read for r in reports), sum(r.skipped for r in reports)
    problems = [problem for report in reports for problem in report.problems]
    if args.json:
        print_json(
            {
                "files": [
                    {
                        "file": str(file),
                        "format": report.format,
                        "read": report.read,
                        "skipped": report.skipped,
                        "problems": [{"line": p.line, "reason": p.reason} for p in report.problems],
                    }
                    for file, report in zip(args.files, reports, strict=True)
                ],
                "read": read,
                "skipped": skipped,
                "duplicates": known,
            }
        )
    else:
        print_table(
            {"file": "left", "format": "left", "read": "right", "skipped": "right"},
            [
                [Path(file).name, report.format or "—", count(report.read), count(report.skipped)]
                for file, report in zip(args.files, reports, strict=True)
            ],
        )
    for problem in problems[:SHOWN_REASONS]:
        note(f"{problem.file}:{problem.line or '-'}: {problem.reason}")
    if len(problems) > SHOWN_REASONS:
        note(f"... and {len(problems) - SHOWN_REASONS} more; --json lists them all.")
    note(
        f"{count(read)} read, {count(skipped)} skipped"
        + (f", {count(known)} already stored" if known else "")
        + f". Store: {args.store}"
    )
    if read or known:
        return 0
    note(f"Hint: {_hint(args.files, reports)}")
    return 2


def _hint(files: Sequence[str], reports: Sequence[ImportReport]) -> str:
    """What to do where nothing at all could be read."""
    if not any(is_lake(file) or Path(file).exists() for file in files):
        return "look at the path; it is taken from the folder that the command runs in."
    if all(report.format is None for report in reports):
        return "say what it is with --format NAME; docs/formats.md says what each format looks like."
    return "the lines above say where reading ended; a file that was cut off has to be exported again, another format is named by --format."


def _lake(store: Store, url: str) -> tuple[ImportReport, int]:
    """All runs of a lake; spans are counted. What cannot be read ends it, named by its file; what came before stays."""
    report = ImportReport(Path(url), LAKE)
    came, known = 0, 0
    try:
        lake = open_lake(url)
        for unit in plan(lake):
            brought = bring_in(store, load(lake, unit.parts, excluded=unit.excluded))
            came, known = came + brought.spans, known + brought.known
    except TracehoundError as error:
        report.skip(None, error.message)
    report.read = came
    if not came and not known and not report.problems:
        report.skip(None, "the lake has no runs")
    return report, known
