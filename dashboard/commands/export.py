"""`tracehound export`: runs for other tools: one as a file, or many as Parquet or OTLP."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path

from analyzers.wording import amount
from dashboard.commands.common import add_store, count, note, progress
from dashboard.exports import FORMATS
from dashboard.loading import find_runs, load_every_text, load_frames, open_store
from tracer.errors import BadInput
from tracer.lake.layout import open_lake
from tracer.lake.write import ship
from tracer.store import reads


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "traces", nargs="*", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file"
    )
    parser.add_argument("--format", choices=tuple(FORMATS), default="json", help="what to write (default: json)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: stdout)")
    parser.add_argument(
        "--parquet",
        metavar="URL",
        help="write the runs named, else all, as Parquet by day and bucket into this lake: a folder, or s3://bucket/folder",
    )
    add_store(parser)


def run(args: Namespace) -> int:
    """Write the file or the lake.

    Raises:
        BadInput: the file cannot be written, or no run was named where one is needed.
        StoreError: the lake cannot be written.
    """
    if args.parquet is not None:
        return _parquet(args)
    chosen = FORMATS[args.format]
    if not args.traces and not chosen.many:
        raise BadInput(
            f"--format {args.format} is for one run, and none was named.", hint="`tracehound traces` lists them."
        )
    if len(args.traces) > 1 and not chosen.many:
        raise BadInput(f"--format {args.format} holds one run, but {len(args.traces)} were named.", hint="name one.")
    store = open_store(args.store)
    run_ids = find_runs(store, args.traces) if args.traces else None
    load = load_every_text if chosen.texts else partial(load_frames, contents=False)
    body = chosen.write(load(store, run_ids))
    if args.output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return 0
    try:
        args.output.write_bytes(body)
    except OSError as error:
        raise BadInput(f"Cannot write {str(args.output)!r}: {error.strerror}.", hint="name a file in a folder that exists.") from None  # fmt: skip
    note(f"Wrote {args.output} ({len(body):,} bytes).")
    return 0


def _parquet(args: Namespace) -> int:
    store = open_store(args.store)
    run_ids = find_runs(store, args.traces) if args.traces else reads.runs(store)["run_id"].to_list()
    if not run_ids:
        raise BadInput(f"The store {str(args.store)!r} has no runs.", hint="record or import something first.")
    lake = open_lake(args.parquet, create=True)
    with progress("runs", len(run_ids)) as advance:
        done = ship(store, lake, run_ids, progress=advance)
    note(
        f"Wrote {amount(done.runs, 'run')} with {amount(done.spans, 'span')} to {lake.url} ({amount(done.files, 'file')}, {count(done.bytes)} bytes)."
    )
    return 0
