"""`tracehound backtest`: what guards and alert rules would have done to the stored runs, and which thresholds suit."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from decimal import Decimal
from pathlib import Path

from analyzers.backtest.whole import BackTest, Policy, back_test, read_policy, sentence
from analyzers.run import analyse
from analyzers.wording import amount
from dashboard.commands.common import (  # fmt: skip
    add_json,
    add_store,
    count,
    note,
    positive_int,
    print_json,
    print_table,
    printable,
    seconds,
    since_ns,
    usd,
)
from dashboard.loading import load_frames, open_store
from tracer.clock import SystemClock
from tracer.errors import BadInput
from tracer.store import reads

SHOWN = 25


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("policy", nargs="?", type=Path, metavar="POLICY.toml", help="guards, sweeps and alert rules (default: sweep the usual guards)")  # fmt: skip
    parser.add_argument("--workflow", metavar="NAME", help="only runs of this workflow")
    parser.add_argument("--since", metavar="WHEN", help="only runs since then, e.g. 30m, 12h, 7d, 2026-11-01")
    parser.add_argument("--newest", type=positive_int, default=2_000, metavar="N", help="at most so many runs, the newest ones (default: 2000)")  # fmt: skip
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Replay and print.

    Raises:
        BadInput: a mistake in the policy, or no run to replay.
    """
    policy = read_policy(args.policy) if args.policy else Policy()
    store = open_store(args.store)
    known = reads.runs(store, since_ns=since_ns(args, SystemClock().now_ns()), workflow=args.workflow)
    if known.is_empty():
        raise BadInput(
            "There is no run to replay.", hint="see --workflow and --since; `tracehound traces` lists the runs."
        )
    frames = load_frames(store, known["run_id"].head(args.newest).to_list())
    found = back_test(frames, analyse(frames), policy)
    if args.json:
        print_json({**found.to_json(), "left_out": max(0, known.height - args.newest)})
    else:
        _print(found, {row["run_id"]: row for row in frames.traces.iter_rows(named=True)})
    if known.height > args.newest:
        note(f"{count(known.height - args.newest)} older runs were left out; see --newest.")
    return 0


def _worth(saved: Decimal, tokens: int) -> str:
    """Money; tokens where no price is known."""
    return usd(saved) if saved or not tokens else f"{count(tokens)} tokens"


def _print(found: BackTest, runs: dict[str, dict[str, object]]) -> None:
    total = found.tally
    if found.policy.thresholds:
        rows = [
            [str(runs[s.run_id]["workflow"] or "—"), s.run_id[:12], "good" if s.run_id in found.good else "", s.guard, count(s.step),
             _worth(s.usd_saved, s.tokens_saved), seconds(None if s.ns_saved is None else s.ns_saved / 1e9), sentence(s)]
            for s in sorted(found.stops.values(), key=lambda one: (one.run_id not in found.good, -one.usd_saved, one.run_id))
        ]  # fmt: skip
        if rows:
            print_table(
                {"workflow": "left", "run": "left", "": "left", "guard": "left", "step": "right", "saved": "right", "time": "right", "says": "left"},
                rows[:SHOWN], title="Runs that the policy would have stopped; good ones, stopped wrongly, first",
            )  # fmt: skip
        if len(rows) > SHOWN:
            print(f"... and {len(rows) - SHOWN} more; --json lists them all.")
        print(
            f"{count(total.stopped)} of {amount(total.runs, 'run')} stopped, saving {_worth(total.usd_saved, total.tokens_saved)} and {seconds(total.minutes_saved * 60)}; "
            f"{count(total.good_stopped)} of {count(total.good)} good runs stopped wrongly "
            f"(95 % between {total.wrong_low:.1%} and {total.wrong_high:.1%}), {usd(total.usd_lost)} of good work lost."
        )
    for one in found.sweeps:
        if one.points:
            rows = [
                ["→" if p is one.suggested else "", f"{p.threshold:,.12g}", count(p.tally.stopped), f"{count(p.tally.good_stopped)} of {count(p.tally.good)}",
                 f"{p.tally.wrong_high:.1%}", _worth(p.tally.usd_saved, p.tally.tokens_saved), seconds(p.tally.minutes_saved * 60)]
                for p in one.points
            ]  # fmt: skip
            print()
            print_table(
                {"": "left", one.guard: "right", "stopped": "right", "good ones": "right", "at most (95 %)": "right", "saved": "right", "time": "right"},
                rows,
            )  # fmt: skip
        print(printable(one.sentence))
    if found.policy.rules:
        print(f"{amount(len(found.alerts), 'alert')} would have been sent; they name {amount(len(found.good_alerted), 'good run')}.")  # fmt: skip
