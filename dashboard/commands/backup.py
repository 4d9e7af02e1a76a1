"""`tracehound backup`: a copy of the store, made while programs record and others read."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from analyzers.wording import amount
from dashboard.alerting.outbox import Outbox, outbox_path
from dashboard.commands.common import add_json, add_store, count, note, print_json
from dashboard.loading import open_store
from tracer.errors import BadInput
from tracer.store.backup import back_up


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the copy; it is a store and can be used with --store")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Bring in what is pending, copy, look into the copy, say what it holds. What alerts were told and wait goes along.

    Raises:
        BadInput: something lies where a copy would go; nothing was copied.
    """
    store = open_store(args.store, upkeep=False)
    if (taken := outbox_path(args.file)).exists():
        raise BadInput(f"{str(taken)!r} exists already.", hint="give a name that is free; a back-up never overwrites.")
    done = back_up(store, args.file)
    alerts = Outbox(store.path).back_up(args.file)
    if args.json:
        print_json(asdict(done) | {"path": str(done.path), "alerts": None if alerts is None else str(alerts)})
    else:
        note(
            f"Wrote {amount(done.spans, 'span')} of {amount(done.runs, 'run')} to {done.path} ({count(done.bytes)} bytes)."
        )
        if alerts is not None:
            note(f"What alerts were told, and which wait, is in {alerts}.")
        also = "" if alerts is None else ", and the other file beside it"
        note(f"Use it with --store {done.path}; to restore, put it in the place of the store{also}.")
    return 0
