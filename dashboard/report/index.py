"""The index over many runs: totals, findings by kind, and the runs in order of severity and waste, each with a link to its report."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from analyzers.finding import SEVERITIES, Finding
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.run import OUTCOME_GLYPHS, SEVERITY_TONES, cost_cell, finding_blocks, started_cell, took_cell
from dashboard.figures import palette, units
from dashboard.figures.findings import finding_tag
from dashboard.figures.markup import clip, esc, tag
from dashboard.report.blocks_html import render_blocks
from dashboard.report.case import Case
from dashboard.report.page import product_version, whole_page
from dashboard.report.verdict import alarm, run_row, verdict, waste
from tracer.clock import has_clock
from tracer.model import RunOutcome

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TAGS: Final = 4


REMARK: Final = SEVERITIES.index("info")
"""from this rank on a run has remarks at most; if it went well, it gets a report only when every run does"""
_FINE: Final = (RunOutcome.COMPLETED, RunOutcome.RUNNING, RunOutcome.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run in the index. `rank`: 0 critical, 1 warning, 2 info, 3 nothing found; `file` None where no report was written."""

    row: dict[str, Any]
    """the run's row of `traces`"""
    rank: int
    alarm: int
    """`rank`, or how badly the run ended, if that is worse"""
    kinds: tuple[str, ...]
    tags: tuple[str, ...]
    said: str
    wasted_usd: Decimal | None
    wasted_tokens: int
    file: str | None

    def to_json(self) -> dict[str, Any]:
        row = self.row
        cost = None if row["cost_usd"] is None else float(row["cost_usd"])
        return {
            "run_id": row["run_id"], "source_id": row["source_id"], "workflow": row["workflow"], "outcome": row["outcome"],
            "start_ns": row["start_ns"], "severity": None if self.rank == len(SEVERITIES) else SEVERITIES[self.rank],
            "findings": list(self.kinds), "cost_usd": cost, "wasted_usd": None if self.wasted_usd is None else float(self.wasted_usd),
            "wasted_tokens": self.wasted_tokens, "file": self.file,
        }  # fmt: skip


def file_name(run_id: str) -> str:
    """The report's name in the folder: the run id where it is a harmless name, else a hash of it. Never a recorded text."""
    stem = run_id if _SAFE.fullmatch(run_id) else blake2b(run_id.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return f"{stem}.html"


def entry_of(case: Case, *, every: bool | None) -> Entry:
    """What the index says of a run; `every`: runs without findings get a report, too; None: no run gets one."""
    row = run_row(case.frames)
    found = case.findings
    wasted_usd, wasted_tokens = waste(case.frames, found)
    rank = min((SEVERITIES.index(finding.severity) for finding in found), default=len(SEVERITIES))
    written = every is not None and (every or rank < REMARK or row["outcome"] not in _FINE)
    worst = alarm(row["outcome"], found)
    return Entry(
        row=row,
        rank=rank,
        alarm=SEVERITIES.index(worst) if worst else len(SEVERITIES),
        kinds=tuple(finding.kind for finding in found),
        tags=tuple(finding_tag(finding) for finding in found),
        said=verdict(case.frames, found, case.run["suspects"])[2],
        wasted_usd=wasted_usd,
        wasted_tokens=wasted_tokens,
        file=file_name(row["run_id"]) if written else None,
    )


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Worst first: how it ended or what was found, whatever is worse; then severity, wasted money and tokens, cost; of equals the newest."""
    return sorted(
        entries,
        key=lambda e: (e.alarm, e.rank, -(e.wasted_usd or 0), -e.wasted_tokens, -(e.row["cost_usd"] or 0), -e.row["start_ns"], e.row["run_id"]),
    )  # fmt: skip


def index_html(entries: Sequence[Entry], since: str | None, fleet: Sequence[Finding] = (), looked_at: int = 0) -> str:
    """The page.

    Args:
        since: the window in the words it was asked for, None for the whole store.
        fleet: findings that only a view over many runs can see, of the `looked_at` newest runs.
    """
    ordered = in_order(entries)
    written = [entry for entry in ordered if entry.file is not None]
    title = "Post-mortems" + (f" since {since}" if since else "")
    starts = [e.row["start_ns"] for e in ordered if has_clock(e.row["start_ns"])]
    left = len(ordered) - len(written)
    between = (
        f" started between {units.moment(min(starts))[:16]} and {units.moment(max(starts))[:16]} UTC" if starts else ""
    )
    note = (
        amount(len(ordered), "run")
        + between
        + (f", {len(ordered) - len(starts):,} of them without times" if len(starts) < len(ordered) else "")
    )
    note += f"; {amount(len(written), 'report')} below" + (f", {left:,} that went well without findings {'has' if left == 1 else 'have'} none" if left else "")  # fmt: skip
    body = tag("header", tag("h1", esc(title)) + tag("p", esc(note), class_="muted") + _numbers(ordered, fleet))
    if fleet:
        body += _section("fleet", "What many runs show together", _fleet(fleet, looked_at))
    body += _section("runs", "Runs, worst first", _runs(written))
    body += _section("kinds", "Findings by kind", _kinds(ordered))
    body += tag("footer", esc(f"Written by tracehound {product_version()}. No model was asked."))
    return whole_page(title, body)


def _section(name: str, title: str, content: str) -> str:
    return tag("section", tag("h2", esc(title)) + content, id=name)


def _fleet(fleet: Sequence[Finding], looked_at: int) -> str:
    cards = [b.card(finding_blocks(finding, brief=True), tone=SEVERITY_TONES[finding.severity]) for finding in fleet]
    return tag("div", render_blocks([*cards, b.note(f"From the {amount(looked_at, 'newest run')}.")]), class_="stack")


def _numbers(entries: Sequence[Entry], fleet: Sequence[Finding]) -> str:
    costs = [entry.row["cost_usd"] for entry in entries if entry.row["cost_usd"] is not None]
    unpriced = sum(entry.row["unpriced_calls"] for entry in entries)
    wasted = [entry.wasted_usd for entry in entries if entry.wasted_usd is not None]
    bad = sum(entry.rank < REMARK for entry in entries)
    worst = sum(entry.rank == 0 for entry in entries)
    spent, lost = sum(costs, Decimal(0)), sum(wasted, Decimal(0))
    together = sum((finding.wasted_usd or Decimal(0) for finding in fleet), Decimal(0))
    hints = [f"{units.share(float(lost), float(spent))} of the cost"] if spent and lost else []
    hints += [f"{units.money(together)} more by many runs together"] if together else []
    shown = [
        ("Runs", units.count(len(entries)), "", False),
        ("With findings", units.count(bad), f"{worst:,} critical", worst > 0),
        ("Cost", units.money(spent) if costs else "not known", f"{amount(unpriced, 'call')} without a price" if unpriced else "", False),
        ("Wasted", units.money(lost) if wasted else "none known", "; ".join(hints), lost + together > 0),
        ("Tokens wasted", units.count(sum(entry.wasted_tokens for entry in entries)), "", False),
    ]  # fmt: skip
    strip = "".join(
        tag("div", tag("span", esc(label)) + tag("b", esc(value)) + tag("span", esc(hint), class_="muted"), class_="number alarm" if alarm else "number")
        for label, value, hint, alarm in shown
    )  # fmt: skip
    return tag("div", strip, class_="numbers")


def _runs(entries: Sequence[Entry]) -> str:
    if not entries:
        return tag("p", "No detector objects to any of these runs; --every writes their reports too.", class_="muted")
    heads = ("", "Run", "Started", "Outcome", "What", "Took", "Cost", "Wasted")
    right = {"Took", "Cost", "Wasted"}
    head = tag("tr", "".join(tag("th", esc(name), class_="right" if name in right else None) for name in heads))
    return tag("div", tag("table", tag("thead", head) + tag("tbody", "".join(_run(e) for e in entries))), class_="table-wrap")  # fmt: skip


def _run(entry: Entry) -> str:
    row = entry.row
    severity = SEVERITIES[entry.rank] if entry.rank < len(SEVERITIES) else None
    quiet = ("✓", "ok") if row["outcome"] in _FINE else ("–", "muted")
    glyph, tone = (palette.SEVERITY_GLYPHS[severity], severity) if severity else quiet
    mark = tag("span", glyph, class_=f"tone-{tone}", title=severity or "nothing found")
    name = tag("a", esc(row["workflow"] or "unnamed workflow"), href=entry.file) + " "
    name += tag("span", esc(clip(row["source_id"] or row["run_id"][:8], 24)), class_="muted tight")
    more = f", {len(entry.tags) - _TAGS} more" if len(entry.tags) > _TAGS else ""
    what = esc(entry.said) + " " + tag("span", esc(", ".join(entry.tags[:_TAGS]) + more), class_="muted")
    outcome = f"{OUTCOME_GLYPHS.get(row['outcome'], '?')} {str(row['outcome']).replace('_', ' ')}"
    wasted = units.money(entry.wasted_usd) if entry.wasted_usd is not None else f"{entry.wasted_tokens:,} tokens" if entry.wasted_tokens else "—"  # fmt: skip
    cells = [
        (mark, None), (name, "name"), (esc(started_cell(row)), "tight"), (esc(outcome), "tight"), (what, None),
        (esc(took_cell(row)), "right tight"), (esc(cost_cell(row)), "right tight"), (esc(wasted), "right tight"),
    ]  # fmt: skip
    return tag("tr", "".join(tag("td", content, class_=css) for content, css in cells))


def _kinds(entries: Sequence[Entry]) -> str:
    runs: dict[str, set[str]] = defaultdict(set)
    times: dict[str, int] = defaultdict(int)
    for entry in entries:
        for kind in entry.kinds:
            runs[kind].add(entry.row["run_id"])
            times[kind] += 1
    if not runs:
        return tag("p", "None.", class_="muted")
    head = tag("tr", tag("th", "Kind") + "".join(tag("th", name, class_="right") for name in ("Runs", "Share of the runs", "Findings")))  # fmt: skip
    body = "".join(
        tag("tr", tag("td", esc(kind.replace("_", " "))) + "".join(
            tag("td", esc(text), class_="right")
            for text in (units.count(len(runs[kind])), units.share(len(runs[kind]), len(entries)), units.count(times[kind]))
        ))
        for kind in sorted(runs, key=lambda kind: (-len(runs[kind]), kind))
    )  # fmt: skip
    return tag("div", tag("table", tag("thead", head) + tag("tbody", body)), class_="table-wrap")
