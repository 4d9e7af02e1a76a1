"""`tracehound doctor`: the state of the store, of what waits beside it, and of this environment; what is wrong, what to do, and mending it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from analyzers.wording import amount
from dashboard.commands.common import add_json, add_store, console, count, print_json, print_table, printable
from dashboard.health import Problem, examine

EXIT_FOUND = 1
FAIL_ON = {"critical": {"critical"}, "warning": {"critical", "warning"}, "info": {"critical", "warning", "info"}}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="mend what can be worked out anew, and say what was done")
    parser.add_argument(
        "--fail-on", choices=list(FAIL_ON), help="exit with 1 if there is a problem at least this severe"
    )
    add_store(parser)
    add_json(parser)


def run(args: Namespace) -> int:
    """Look at everything, bring in what is pending, print; exit 1 only where `--fail-on` is met."""
    found = examine(args.store, mend=args.repair)
    if args.json:
        print_json(found.document)
    else:
        _print(found.document, found.problems)
    met = {problem.severity for problem in found.problems} & FAIL_ON.get(args.fail_on, set())
    return EXIT_FOUND if met else 0


def _print(document: Mapping[str, Any], problems: Sequence[Problem]) -> None:
    store, spool = document["store"], document["spool"]
    rows = [["store", store["path"]]]
    if "layout" in store:
        made = f" (made by {store['created_by']})" if store["created_by"] else ""
        running = f", {count(store['running_spans'])} running" if store["running_spans"] else ""
        rows += [
            ["", f"{_size(store['bytes'])}, layout {store['layout']}{made}"],
            ["", f"{amount(store['spans'], 'span')}{running}, {amount(store['runs'], 'run')}"],
            ["", f"{amount(store['texts'], 'text')} of {_size(store['text_bytes'])}"],
        ]
    rows += [
        ["spool", spool["path"]],
        ["", f"{_size(spool['pending_bytes'])} were pending in {amount(spool['segments'], 'segment')}"],
        [
            "",
            f"{amount(spool['live_writers'], 'live writer')}, {amount(spool['dead_segments'], 'segment')} of ended ones",
        ],
        ["instrumentors", ", ".join(f"{i['package']} {i['version']}" for i in document["instrumentors"]) or "none"],
        *(
            ["recorded" if at == 0 else "", f"{one['library']} by {one['by'] or 'nobody'} ({one['why']})"]
            for at, one in enumerate(document["libraries"])
        ),
        *([] if document["libraries"] else [["recorded", "none"]]),
        ["versions", ", ".join(f"{name} {found}" for name, found in document["versions"].items() if found)],
    ]
    print_table({"": "left", "state": "left"}, rows)
    out = console()
    out.print()
    for done in document["repairs"]:
        out.print(f"repaired: {count(done['number'])} {done['what']}.")
    for problem in problems:
        out.print(f"{problem.severity}: {printable(problem.message)}")
        if problem.hint:
            out.print(f"  Hint: {printable(problem.hint)}")
    if not any(problem.severity != "info" for problem in problems):
        out.print("Nothing is wrong.")


def _size(number: int) -> str:
    """Bytes for people."""
    if number < 1_000_000:
        return f"{number / 1_000:,.1f} kB"
    return f"{number / 1_000_000:,.1f} MB"
