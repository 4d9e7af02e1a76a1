"""`tracehound mark`: a person's verdict on a run, the label that comparison with good runs needs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dashboard.commands.common import add_store, note
from dashboard.loading import find_runs, open_store
from tracer.store import reads


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file")
    parser.add_argument("verdict", choices=["ok", "failed"], help="your verdict")
    parser.add_argument("--note", metavar="TEXT", help="why")
    add_store(parser)


def run(args: Namespace) -> int:
    """Append the verdict; the newest one counts."""
    store = open_store(args.store, upkeep=False)
    [run_id] = find_runs(store, [args.trace])
    reads.mark(store, run_id, args.verdict, args.note)
    note(f"Marked {run_id} as {args.verdict}.")
    return 0
