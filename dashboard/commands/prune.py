"""`tracehound prune`: remove old runs, or named ones, and give the disk space back. Pinned and marked runs stay."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from analyzers.wording import amount
from dashboard.commands.common import add_json, add_store, count, note, print_json, print_table, progress
from dashboard.loading import find_runs, open_store
from tracer.errors import BadInput
from tracer.store import retention
from tracer.store.compaction import compact
from tracer.store.database import Store
from tracer.store.health import file_bytes
from tracer.store.retention import Limits, Plan, Removal, Removed
from tracer.store.spool import SHIPPED

_DAYS = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_ROUNDS = 5
"""times that runs are chosen anew because the file is still too large: what a run takes of it is estimated"""
_FREE_SHARE = 0.25
"""part of the file that must be unused for a compaction to pay"""


def _days(text: str) -> float:
    """An argparse type: `30d`, `12h`, `4w` as days."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no length of time; examples: 12h, 30d, 8w")
    return float(match[1]) * _DAYS[match[2]]


def _size(text: str) -> int:
    """An argparse type: `500MB`, `2GB` or a number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt]?)b?", text.lower())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no size; examples: 500MB, 2GB, 1000000")
    return int(float(match[1]) * _BYTES[match[2]])


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--older-than", type=_days, metavar="AGE", help="runs whose last span is older: 12h, 30d, 8w")
    parser.add_argument(
        "--max-bytes", type=_size, metavar="SIZE", help="the oldest runs until the file is this small: 2GB"
    )
    parser.add_argument(
        "--trace", action="append", default=[], metavar="TRACE", help="this run, pinned or not (repeatable)"
    )
    parser.add_argument(
        "--pin", action="append", default=[], metavar="TRACE", help="from now on never remove this run for a limit"
    )
    parser.add_argument("--unpin", action="append", default=[], metavar="TRACE", help="take a pin away")
    parser.add_argument(
        "--remember", action="store_true",
        help="keep --older-than and --max-bytes in the store: `tracehound prune` alone goes by them from now on",
    )  # fmt: skip
    parser.add_argument("--forget", action="store_true", help="take the limits kept in the store away")
    parser.add_argument("--dry-run", action="store_true", help="show what would go and change nothing")
    parser.add_argument(
        "--compact", action="store_true", help="rewrite the file sorted and as small as it can be, in any case"
    )
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Choose, show, remove, compact where it pays; one JSON document with --json."""
    store = open_store(args.store, upkeep=False)
    if not args.dry_run:
        retention.pin(store, find_runs(store, args.pin))
        retention.pin(store, find_runs(store, args.unpin), pinned=False)
        if args.forget:
            retention.keep_limits(store, Limits())
    limits = _limits(args, store)
    wanted = find_runs(store, args.trace)
    if not (args.pin or args.unpin or args.forget or args.compact or wanted) and limits == Limits():
        raise BadInput(
            "Nothing says what to remove.",
            hint="give --older-than 30d, --max-bytes 2GB or --trace TRACE; with --remember limits are kept in the store.",
        )
    if limits != Limits() and (memory := store.spool_path / SHIPPED).exists():
        raise BadInput(
            "Limits cannot be kept here: tracehound serve ships this store to a lake, and removes a run a day after that.",
            hint=f"--trace RUN removes one run, from the lake too; --forget drops kept limits; where no receiver ships this store any more, remove {memory}.",
        )
    if args.remember and not args.dry_run:
        retention.keep_limits(store, limits)
    plan = retention.plan(store, limits, run_ids=wanted)
    before = file_bytes(store.path)
    done = _Done(list(plan.removals), before=before, after=before)
    if not args.dry_run:
        _carry_out(store, limits, plan, done, always=args.compact)
    document = {
        "dry_run": args.dry_run,
        "limits": asdict(limits),
        "runs": [asdict(gone) for gone in done.removals],
        "kept_pinned": plan.pinned,
        "kept_running": plan.running,
        "removed": asdict(done.removed),
        "bytes_before": done.before,
        "bytes_after": done.after,
        "compacted": done.compacted,
    }
    if args.json:
        print_json(document)
    else:
        _print(document, limits)
    return 0


@dataclass(slots=True)
class _Done:
    """What was chosen and done; bytes are those of the file."""

    removals: list[Removal]
    before: int
    after: int
    removed: Removed = field(default_factory=Removed)
    compacted: bool = False


def _limits(args: Namespace, store: Store) -> Limits:
    """Those of the command line; where it gives none and names no run, those kept in the store."""
    given = Limits(retention_days=args.older_than, max_bytes=args.max_bytes)
    if args.remember:
        kept = retention.read_limits(store)
        return replace(
            kept,
            **{name: value for name, value in asdict(given).items() if value is not None},
        )
    if given == Limits() and not args.trace and not args.pin and not args.unpin:
        return retention.read_limits(store)
    return given


def _carry_out(store: Store, limits: Limits, plan: Plan, done: _Done, *, always: bool) -> None:
    for round_number in range(_ROUNDS):
        if plan.removals:
            with progress("removing runs", len(plan.removals)) as advance:
                removed = retention.remove(store, [gone.run_id for gone in plan.removals], progress=advance)
            for name in ("runs", "spans", "texts", "text_bytes"):
                setattr(done.removed, name, getattr(done.removed, name) + getattr(removed, name))
        with store.lease() as con:
            con.execute("CHECKPOINT").fetchall()
            total, used = retention.used_bytes(con)
        over = limits.max_bytes is not None and total > limits.max_bytes
        pays = used < total * (1 - _FREE_SHARE)
        if (always and not done.compacted) or (plan.removals and (over or pays)) or (over and pays):
            with progress("compacting") as advance:
                compact(store, progress=advance)
            done.compacted = True
        done.after = file_bytes(store.path)
        if limits.max_bytes is None or done.after <= limits.max_bytes or round_number == _ROUNDS - 1:
            return
        plan = retention.plan(store, Limits(max_bytes=limits.max_bytes))
        if not plan.removals:
            return
        done.removals += plan.removals


def _print(document: dict[str, Any], limits: Limits) -> None:
    runs = document["runs"]
    if runs:
        rows = [
            [gone["run_id"][:8], gone["workflow"] or "—", _date(gone["start_ns"]), count(gone["spans"]), gone["reason"]]
            for gone in runs
        ]
        print_table({"run": "left", "workflow": "left", "started": "left", "spans": "right", "why": "left"}, rows)
    verb = "would be removed" if document["dry_run"] else "removed"
    note(
        f"{amount(len(runs), 'run')} {verb}; {count(document['kept_pinned'])} pinned or marked and {count(document['kept_running'])} running ones stay."
    )
    if not document["dry_run"]:
        removed = document["removed"]
        note(f"Gone: {amount(removed['spans'], 'span')} and {amount(removed['texts'], 'text')} that nobody else used.")
        note(f"The file had {count(document['bytes_before'])} bytes and has {count(document['bytes_after'])}.")
    if limits.max_bytes is not None and not document["dry_run"] and document["bytes_after"] > limits.max_bytes:
        note(
            f"That is still over {count(limits.max_bytes)}: what is left is pinned or running, or the file has no less."
        )


def _date(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
