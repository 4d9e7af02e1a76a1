"""The Health page in blocks: what is wrong and what to do, then the store, the spool, what is missing, and this environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES
from dashboard.figures import palette, units
from dashboard.health import Problem

_ROWS = 20
_ORDER = ("critical", "warning", "info")
COUNTERS: Mapping[str, str] = {
    "bad_frames": "stretches of bytes that could not be read",
    "rejected_spans": "spans with a malformed id or time",
    "duplicate_spans": "spans delivered more than once, stored once",
    "dropped_spans": "spans dropped by the programs that recorded them",
}


def problems_document(problems: Sequence[Problem]) -> list[b.Block]:
    """One card per problem, the gravest first."""
    if not any(problem.severity != "info" for problem in problems):
        head = [b.note("Nothing is wrong.", tone="ok")]
    else:
        head = list[b.Block]()
    ordered = sorted(problems, key=lambda problem: _ORDER.index(problem.severity))
    return head + [
        b.card([b.prose(f"{palette.SEVERITY_GLYPHS[problem.severity]} {_plain(problem.message)}"), *([b.note(f"Do: {_plain(problem.hint)}")] if problem.hint else [])],
               tone=SEVERITY_TONES[problem.severity])
        for problem in ordered
    ]  # fmt: skip


def _plain(text: str) -> str:
    """Texts for the terminal mark commands with backticks; a page draws them as they are."""
    return text.replace("`", "'")


def store_document(document: Mapping[str, Any]) -> list[b.Block]:
    """The store and the spool beside it."""
    store, spool = document["store"], document["spool"]
    rows = [b.fact("store", store["path"], mono=True, copy=store["path"])]
    if "layout" in store:
        running = f", {units.count(store['running_spans'])} of them running" if store["running_spans"] else ""
        rows += [
            b.fact("size", units.size(store["bytes"])),
            b.fact("holds", f"{amount(store['runs'], 'run')}, {amount(store['spans'], 'span')}{running}, {amount(store['events'], 'event')}"),
            b.fact("texts", f"{units.count(store['texts'])}, {units.size(store['text_bytes'])}"),
            b.fact("spans from", None if store["first_ns"] is None else f"{units.moment(store['first_ns'])[:19]} to {units.moment(store['last_ns'])[:19]} UTC"),
            b.fact("layout", f"{store['layout']}" + (f", made by {store['created_by']}" if store["created_by"] else "")),
        ]  # fmt: skip
    rows += [
        b.fact("spool", spool["path"], mono=True, copy=spool["path"]),
        b.fact("waiting in it", f"{units.size(spool['pending_bytes'])} in {amount(spool['segments'], 'segment')} before this look"),
        b.fact("programs", f"{units.count(spool['live_writers'])} recording now, {units.count(spool['dead_writers'])} gone without a last word"),
        b.fact("quarantine", f"{amount(spool['quarantined'], 'stretch', 'stretches')}, {units.size(spool['quarantined_bytes'])}",
               tone="critical" if spool["quarantined"] else None),
    ]  # fmt: skip
    counters: Mapping[str, int] = document["counters"]
    rows += [
        b.fact(name.replace("_", " "), units.count(counters[name]), hint=says)
        for name, says in COUNTERS.items()
        if name in counters
    ]
    return [b.facts(rows)]


def missing_document(document: Mapping[str, Any]) -> list[b.Block]:
    """Calls without a price and calls without tokens, per model."""
    blocks: list[b.Block] = []
    for name, title, fine in (
        ("unpriced", "Calls without a price", "Every call with tokens has a price."),
        ("missing_tokens", "Calls without tokens", "Every call that ended well says how many tokens it took."),
    ):
        calls: Sequence[Mapping[str, Any]] = document[name]
        if not calls:
            blocks.append(b.note(fine, tone="ok"))
            continue
        rows = [b.row([one["model"] or "no model name", one["provider"] or None, units.count(one["calls"]), units.count(one["tokens"])])
                for one in calls]  # fmt: skip
        columns = [
            b.column("model"),
            b.column("provider"),
            b.column("calls", right=True),
            b.column("tokens", right=True),
        ]
        blocks.append(
            b.section(
                title, [b.table(columns, rows, first=_ROWS, noun="model")], note=amount(len(calls), "model"), open=True
            )
        )
    return blocks


def environment_document(document: Mapping[str, Any]) -> list[b.Block]:
    """Who would record which library here, and which versions are installed."""
    recorded = [b.row([one["library"], b.cell("nobody", "warning") if one["by"] is None else one["by"]]) for one in document["libraries"]]  # fmt: skip
    versions = [
        b.row([name, found or b.cell("not installed", "muted")]) for name, found in document["versions"].items()
    ]
    blocks: list[b.Block] = []
    if recorded:
        blocks.append(b.section("Libraries and who records them", [b.table([b.column("library"), b.column("recorded by")], recorded)], note=str(len(recorded)), open=True))  # fmt: skip
    else:
        blocks.append(b.note("No agent framework or model client is installed in the environment of this page."))
    blocks.append(b.section("Versions", [b.table([b.column("package"), b.column("version", mono=True)], versions)], open=True))  # fmt: skip
    return blocks
