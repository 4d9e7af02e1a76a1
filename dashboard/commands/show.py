"""`tracehound show`: one run as a tree in the terminal, with its findings marked."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from rich.text import Text
from rich.tree import Tree

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard.commands.common import add_json, add_store, console, count, note, print_json, printable, seconds, usd
from dashboard.figures.palette import LOOKS
from dashboard.loading import analyse_runs, find_runs, open_store
from tracer.clock import has_clock

SEVERITY_STYLE = {"critical": "bold red", "warning": "yellow", "info": "dim"}
LIMIT = 2_000
"""Spans shown; a terminal is not the place for more, and the note says so."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("trace", metavar="TRACE", help="run id, the beginning of one, or the id in the imported file")
    parser.add_argument("--all", action="store_true", help=f"also when there are more than {LIMIT:,} spans")
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Print the tree; with --json, the same tree nested under `children`."""
    store = open_store(args.store)
    [run_id] = find_runs(store, [args.trace])
    frames, analysis = analyse_runs(store, [run_id])
    findings = analysis.findings
    marks: dict[str, list[Finding]] = {}
    for finding in findings:
        for span_id in finding.spans:
            marks.setdefault(span_id, []).append(finding)

    rows = list(frames.spans.iter_rows(named=True))
    shown = rows if args.all or args.json else rows[:LIMIT]
    roots, children = _forest(shown)
    if args.json:
        print_json({"trace_id": run_id, "spans": [_nested(root, children, marks) for root in roots]})
        return 0
    summary = frames.traces.row(0, named=True)
    head = f"{summary['workflow'] or 'run'} {run_id}  {summary['outcome']}  {usd(summary['cost_usd'])}"
    tree = Tree(Text(printable(head), style="bold"), guide_style="dim")
    # Walked with a stack: a runaway chain of agents is deeper than Python's recursion limit.
    stack = [(root, tree) for root in reversed(roots)]
    while stack:
        row, parent = stack.pop()
        branch = parent.add(_line(row, marks.get(row["span_id"], [])))
        stack += [(child, branch) for child in reversed(children.get(row["span_id"], []))]
    console().print(tree)
    for finding in findings:
        console().print(
            Text(
                f"{finding.severity:8} {finding.kind}: {printable(finding.title)}",
                style=SEVERITY_STYLE[finding.severity],
            )
        )
    if len(shown) < len(rows):
        note(f"Showing {count(len(shown))} of {amount(len(rows), 'span')}; --all shows the rest.")
    return 0


def _forest(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Roots and children by parent id; a span whose parent is missing, or is its own descendant, is a root."""
    by_id = {row["span_id"]: row for row in rows}
    roots: list[dict[str, Any]] = []
    children: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parent = row["parent_span_id"]
        if parent in by_id and not _is_below(row["span_id"], parent, by_id):
            children.setdefault(parent, []).append(row)
        else:
            roots.append(row)
    return roots, children


def _is_below(span_id: str, parent: str | None, by_id: dict[str, dict[str, Any]]) -> bool:
    """Whether climbing from `parent` comes back to `span_id`."""
    seen: set[str] = set()
    while parent in by_id and parent not in seen:
        if parent == span_id:
            return True
        seen.add(parent)
        parent = by_id[parent]["parent_span_id"]
    return False


def _line(row: dict[str, Any], findings: list[Finding]) -> Text:
    text = Text(f"{LOOKS[row['kind']].glyph} {printable(row['name'])}")
    if row["agent"] and row["agent"] not in row["name"]:
        text.append(f"  {printable(row['agent'])}", style="cyan")
    if row["target_agent"]:
        text.append(f" → {printable(row['target_agent'])}", style="cyan")
    if row["end_ns"] is not None and has_clock(row["start_ns"]):
        text.append(f"  {seconds((row['end_ns'] - row['start_ns']) / 1e9)}", style="dim")
    if row["kind"] == "llm" and row["duplicate_of"] is None:
        tokens = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
        text.append(f"  {row['model'] or 'unknown model'} {count(tokens)} tok {usd(row['cost_usd'])}", style="dim")
    if row["duplicate_of"]:
        text.append("  (already counted)", style="dim")
    if row["status"] != "ok":
        text.append(
            f"  {row['status']}: {printable(row['error_message'] or row['error_type'] or '')}"[:200], style="red"
        )
    for kind, severity in {f.kind: f.severity for f in findings}.items():
        text.append(f"  [{kind}]", style=SEVERITY_STYLE[severity])
    return text


def _nested(
    root: dict[str, Any], children: dict[str, list[dict[str, Any]]], marks: dict[str, list[Finding]]
) -> dict[str, Any]:
    top = _node(root, marks)
    stack = [(root, top)]
    while stack:
        row, node = stack.pop()
        for child in children.get(row["span_id"], []):
            below = _node(child, marks)
            node["children"].append(below)
            stack.append((child, below))
    return top


def _node(row: dict[str, Any], marks: dict[str, list[Finding]]) -> dict[str, Any]:
    keep = (
        "span_id", "name", "kind", "agent", "target_agent", "status", "start_ns", "end_ns", "model",
        "input_tokens", "output_tokens", "cost_usd", "tool_name", "error_type", "error_message", "duplicate_of",
    )  # fmt: skip
    return {
        **{key: row[key] for key in keep},
        "findings": [f.id for f in marks.get(row["span_id"], [])],
        "children": [],
    }
