"""`tracehound export`: one run as a file for another tool."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from dashboard.commands.common import add_store, note
from dashboard.exports import FORMATS
from dashboard.loading import find_runs, load_frames, open_store
from tracer.errors import BadInput


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file")
    parser.add_argument("--format", choices=tuple(FORMATS), default="json", help="what to write (default: json)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: stdout)")
    add_store(parser)


def run(args: Namespace) -> int:
    """Write the file; prompts and payloads are not part of any of these formats.

    Raises:
        BadInput: the file cannot be written.
    """
    store = open_store(args.store)
    [run_id] = find_runs(store, [args.trace])
    body = FORMATS[args.format].write(load_frames(store, [run_id], contents=False))
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
