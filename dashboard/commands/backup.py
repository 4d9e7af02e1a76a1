"""`tracehound backup`: a copy of the store, made while programs record and others read."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from dashboard.commands.common import add_json, add_store, count, note, print_json
from dashboard.loading import open_store
from tracer.store.backup import back_up


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy; it is a store and can be used with --store")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Bring in what is pending, copy, look into the copy, say what it holds."""
    done = back_up(open_store(args.store, upkeep=False), args.file)
    if args.json:
        print_json(asdict(done) | {"path": str(done.path)})
    else:
        note(f"{count(done.spans)} spans of {count(done.runs)} runs are in {done.path} ({count(done.bytes)} bytes).")
        note(f"Use it with --store {done.path}; to restore, put it in the place of the store.")
    return 0
