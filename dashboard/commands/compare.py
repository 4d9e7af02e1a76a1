"""`tracehound compare`: two runs step by step, or many runs against many."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text

from analyzers.comparison.alignment import compare_runs
from analyzers.comparison.groups import Change, change_document, compare_tables, run_table
from analyzers.comparison.selection import Group, group_runs, neighbours
from analyzers.frames import Frames
from analyzers.wording import amount
from dashboard.commands.common import (
    add_json,
    add_store,
    console,
    count,
    note,
    print_json,
    print_table,
    printable,
    seconds,
    since_ns,
    usd,
)
from dashboard.loading import find_runs, load_frames, open_store
from dashboard.trace_query import parse_query, select_runs
from tracer.clock import SystemClock
from tracer.errors import BadInput
from tracer.store.database import Store

STYLE = {"same": "dim", "changed": "yellow", "only_a": "red", "only_b": "green"}
MARK = {"same": " ", "changed": "~", "only_a": "-", "only_b": "+"}
SHOWN_CHARS = 200
VERDICT_STYLE = {"changed": "bold yellow", "same": "green", "inconclusive": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="two runs to compare step by step")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--by",
        choices=["version", "prompt", "model", "day", "week"],
        help="compare each group of runs with the one before it",
    )
    ways.add_argument("--filter-a", metavar="Q", help='runs of side A, e.g. "model:gpt-4o"; with --filter-b')
    parser.add_argument("--filter-b", metavar="Q", help="runs of side B")
    parser.add_argument("--before", metavar="WHEN", help="side A: runs that started before (7d, 12h, 2026-11-01)")
    parser.add_argument(
        "--after", metavar="WHEN", help="side B: runs that started at or after; by default where --before ends"
    )
    parser.add_argument(
        "--filter", metavar="Q", default="", help="only runs that this query lets through, on both sides"
    )
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Print the comparison, or one JSON document."""
    if args.runs:
        return _two(args, open_store(args.store))
    if not (args.by or args.filter_a or args.filter_b or args.before or args.after):
        raise BadInput(
            "There is nothing to compare.",
            hint="name two runs, or use --by version, --before WHEN, or --filter-a Q --filter-b Q.",
        )
    frames = load_frames(open_store(args.store))
    if args.filter:
        frames = _only(frames, _chosen(frames, args.filter))
    sides = _sides(args, frames)
    table = run_table(frames)
    told = [(a, b, compare_tables(table, a.run_ids, b.run_ids, frames, across=bool(args.filter_a))) for a, b in sides]
    if args.json:
        print_json({"comparisons": [_comparison(*one) for one in told]})
        return 0
    for a, b, changes in told:
        _print_changes(a, b, [change_document(change) for change in changes])
    note(
        "A change needs a false discovery rate of at most 5 % and 5 points, 20 %, or a distance of 0.1; docs/compare.md says more."
    )
    return 0


def _two(args: Namespace, store: Store) -> int:
    if len(args.runs) != 2 or args.by or args.filter_a or args.filter_b or args.before or args.after or args.filter:
        raise BadInput(
            f"Runs named: {len(args.runs)}; two were expected, and no other way to choose runs.",
            hint="tracehound compare A B",
        )
    first, second = (load_frames(store, [run_id]) for run_id in find_runs(store, args.runs))
    document = compare_runs(first, second)
    if args.json:
        print_json(document)
    else:
        _print_steps(document)
    return 0


def _sides(args: Namespace, frames: Frames) -> list[tuple[Group, Group]]:
    """Pairs of groups to compare.

    Raises:
        BadInput: there is only one group, or one side of the question is missing or empty.
    """
    if args.by:
        groups = group_runs(frames, args.by)
        if len(groups) < 2:
            had = f"only one {args.by}, {groups[0].label!r}" if groups else f"no {args.by}"
            raise BadInput(f"The runs have {had}; at least two were expected.", hint="--before WHEN compares by time.")
        return neighbours(groups)
    starts = dict(frames.traces.select("run_id", "start_ns").iter_rows())
    if args.filter_a or args.filter_b:
        if args.before or args.after or not (args.filter_a and args.filter_b):
            raise BadInput(
                "--filter-a and --filter-b belong together, without --before and --after.",
                hint="give both, or --filter.",
            )
        chosen = [(args.filter_a, _chosen(frames, args.filter_a)), (args.filter_b, _chosen(frames, args.filter_b))]
    else:
        now = SystemClock().now_ns()
        before, after = (
            since_ns(Namespace(since=when), now) for when in (args.before or args.after, args.after or args.before)
        )
        if before is None or after is None:
            raise BadInput("--before or --after needs a time.", hint="examples: 7d, 12h, 2026-11-01.")
        chosen = [
            (f"before {args.before or args.after}", [one for one, start in starts.items() if start < before]),
            (f"from {args.after or args.before} on", [one for one, start in starts.items() if start >= after]),
        ]
    for label, ids in chosen:
        if not ids:
            raise BadInput(f"No run is on the side {label!r}.", hint="`tracehound traces` lists what there is.")
    a, b = (
        Group(label, min(starts[one] for one in ids), tuple(sorted(ids, key=lambda one: (starts[one], one))))
        for label, ids in chosen
    )
    return [(a, b)]


def _chosen(frames: Frames, query: str) -> list[str]:
    parsed = parse_query(query)
    if parsed.findings:
        raise BadInput(
            f"{query!r} asks for findings, which compare does not look for.", hint="filter by outcome, version or text."
        )
    return select_runs(parsed, frames)["run_id"].to_list()


def _only(frames: Frames, run_ids: Sequence[str]) -> Frames:
    kept = set(run_ids)
    return Frames(
        spans=frames.spans.filter(frames.spans["run_id"].is_in(sorted(kept))), traces=frames.traces.filter(frames.traces["run_id"].is_in(sorted(kept))),
        contents=frames.contents, events=frames.events, links=frames.links,
    )  # fmt: skip


def _comparison(a: Group, b: Group, changes: Sequence[Change]) -> dict[str, Any]:
    documents = [change_document(change) for change in changes]
    return {"a": _group(a), "b": _group(b), "verdict": _verdict(changes), "changes": documents}


def _group(group: Group) -> dict[str, Any]:
    return {
        "label": group.label,
        "runs": len(group.run_ids),
        "start_ns": group.start_ns,
        "run_ids": list(group.run_ids[:200]),
    }


def _verdict(changes: Sequence[Change]) -> str:
    """The comparison in one word: changed where anything changed, same where everything is known to be, else inconclusive."""
    verdicts = {change.verdict for change in changes}
    return "changed" if "changed" in verdicts else "same" if verdicts == {"same"} else "inconclusive"


def _print_changes(a: Group, b: Group, changes: Sequence[dict[str, Any]]) -> None:
    columns = {
        "workflow": "left",
        "metric": "left",
        "A": "right",
        "B": "right",
        "B against A": "left",
        "q": "right",
        "verdict": "left",
    }
    rows = [
        [printable(c["workflow"] or "—"), c["metric"], _value(c["a"], c), _value(c["b"], c), _effect(c),
         "—" if c["q"] is None else f"{c['q']:.3g}", Text(_said(c), style=VERDICT_STYLE[c["verdict"]])]
        for c in changes
    ]  # fmt: skip
    title = f"A = {a.label} ({amount(len(a.run_ids), 'run')}), B = {b.label} ({amount(len(b.run_ids), 'run')})"
    print_table(columns, rows, title=printable(title))
    if not rows:
        note("No workflow has runs on both sides.")
    for change in changes:
        edges: dict[str, list[str]] = change.get("edges") or {}
        for what, names in edges.items():
            if names and change["verdict"] == "changed":
                print(f"  {what}: {printable(', '.join(names))}")
    print()


def _said(change: dict[str, Any]) -> str:
    needed = change["runs_needed"]
    return (
        f"{change['verdict']} ({count(needed)} runs a side would tell)"
        if needed and needed > min(change["n_a"], change["n_b"])
        else change["verdict"]
    )


def _value(value: float | None, change: dict[str, Any]) -> str:
    if value is None:
        return "—"
    if change["unit"] == "difference":
        return f"{value:.1%}"
    shown: dict[str, Callable[[float], str]] = {"cost_usd": usd, "latency_s": seconds}
    return shown[change["metric"]](value) if change["metric"] in shown else f"{value:,.0f}"


def _effect(change: dict[str, Any]) -> str:
    effect, interval = change["effect"], change["interval_95"]
    if effect is None:
        return "too few runs"
    if change["unit"] == "difference":
        return f"{effect * 100:+.1f} points [{interval[0] * 100:+.1f}, {interval[1] * 100:+.1f}]"
    return f"{effect:.3f}x [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else f"distance {effect:.3f}"


def _print_steps(document: dict[str, Any]) -> None:
    for side in ("a", "b"):
        told = document[side]
        name = told["source_id"] or told["run_id"]
        text = f"{side.upper()}  {told['workflow'] or 'run'}  {name}  {told['outcome']}  {usd(told['cost_usd'])}  {seconds(told['duration_s'])}"
        console().print(Text(printable(text), style="bold"))
    for step in document["steps"]:
        console().print(Text(printable(_line(step)), style=STYLE[step["change"]]))
        texts: dict[str, dict[str, list[str]]] = step["text"] or {}
        for slot, told in texts.items():
            if slot == "output":
                for line in told["diff"]:
                    style = "red" if line.startswith("-") else "green" if line.startswith("+") else "dim"
                    console().print(Text("      " + printable(line[:SHOWN_CHARS]), style=style))
    counts, totals = document["counts"], document["totals"]
    print(
        f"{document['structure']:.0%} of the steps are shared: {count(counts['same'])} the same, {count(counts['changed'])} changed, "
        f"{count(counts['only_a'])} only in A, {count(counts['only_b'])} only in B. B against A: {_signed(totals['cost_usd'], usd)}, "
        f"{_signed(totals['input_tokens'], count)} tokens in, {_signed(totals['output_tokens'], count)} out, {_signed(totals['duration_s'], seconds)}."
    )


def _line(step: dict[str, Any]) -> str:
    what = "  " * step["depth"] + " ".join(
        part for part in (step["kind"], step["agent"], step["what"], step["purpose"]) if part
    )
    delta: dict[str, float | None] = step["delta"] or {}
    parts = [
        text
        for key, show in (("cost_usd", usd), ("seconds", seconds))
        if delta.get(key) and (text := _signed(delta[key], show))
    ]
    differs = f"  differs in {', '.join(step['differs'])}" if step["differs"] else ""
    return f"{MARK[step['change']]} {what}{differs}{'  ' + ', '.join(parts) if parts else ''}"


def _signed(value: Any, show: Any) -> str:
    if value is None:
        return "—"
    return f"{'-' if value < 0 else '+'}{show(abs(value))}"
