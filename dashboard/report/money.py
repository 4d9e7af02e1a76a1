"""The ledger of the analysis document for a reader: parts that sum, what one agent would have cost, what could have been saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import units
from dashboard.report.bars import Slice
from dashboard.report.case import Case

_INKS: Final[Mapping[str, str]] = {
    "work": "llm", "coordination": "handoff", "resent": "state_read", "retries": "guard_trip", "duplicates": "escalation",
    "judging": "agent", "hidden": "other", "waiting": "wait", "unknown": "other",
}  # fmt: skip


def ledger_slices(case: Case) -> list[Slice]:
    """Parts of the cost; of the tokens where no price is known."""
    ledger: dict[str, Any] = case.run["ledger"] or {}
    unit, show = ("usd", units.money) if _usd(ledger) else ("tokens", units.count)
    return [
        Slice(part["part"], part[unit], _INKS.get(part["part"], "other"), f"{show(part[unit])}{'' if unit == 'usd' else ' tokens'}")
        for part in ledger.get("parts") or ()
        if part[unit]
    ]  # fmt: skip


def _usd(ledger: Mapping[str, Any]) -> float:
    total: dict[str, Any] = ledger.get("total") or {}
    return total.get("usd") or 0.0


def ledger_document(case: Case) -> list[b.Block]:
    """Table of the parts with their sum, then the single agent, then savings."""
    ledger: dict[str, Any] | None = case.run["ledger"]
    if ledger is None:
        return [b.note("The ledger could not be made; see what this record lacks.")]
    total = ledger["total"]
    if not total["calls"] and not total["tokens"] and not total["ns"]:
        return [b.note("No model call was recorded in this run, so that there is nothing to split.")]
    priced = ledger["unpriced_calls"] < total["calls"]

    def row(name: str, part: Mapping[str, Any], share: float | None) -> b.Block:
        money = units.money(part["usd"]) if priced else None
        cells = [
            name,
            money,
            f"{share:.1%}" if share is not None else None,
            units.count(part["tokens"]),
            units.count(part["calls"]),
        ]
        return b.row([*cells, None if part["ns"] is None else units.duration(part["ns"])])  # fmt: skip

    share = "usd_share" if priced and total["usd"] else "tokens_share"
    parts = [part for part in ledger["parts"] if part["usd"] or part["tokens"] or part["calls"] or part["ns"]]
    rows = [row(part["part"], part, part[share]) for part in parts]
    rows.append(row("all", total, 1.0 if total["tokens"] else None))
    columns = [
        b.column("part"),
        *(b.column(name, right=True) for name in ("cost", "share", "tokens", "LLM calls", "time on the critical path")),
    ]
    document = [b.table(columns, rows)]  # fmt: skip
    if ledger["unpriced_calls"]:
        document.append(
            b.note(f"{amount(ledger['unpriced_calls'], 'call')} without a known price: tokens count, money does not.")
        )
    if ledger["estimated_calls"]:
        document.append(b.note(f"Of {amount(ledger['estimated_calls'], 'call')} the split is an estimate."))
    return [*document, *_single_agent(case), *_savings(ledger.get("savings"), priced)]


def _single_agent(case: Case) -> list[b.Block]:
    architecture: dict[str, Any] | None = case.run["architecture"]
    if architecture is None or architecture["pattern"] in (None, "single"):
        return []
    one = architecture["run"]["single_agent"]
    facts = [b.fact("Pattern", architecture["pattern"], hint=architecture["run"]["why"])]
    if "skipped" in one:
        facts.append(b.fact("One agent instead", f"not estimated: {one['skipped']}"))
    elif one["feasible"] is False:
        facts.append(b.fact("One agent instead", f"not feasible: {one['infeasible_because']}"))
    elif one.get("calls"):
        cost = f", {units.money(one['usd'])}" if one.get("usd") is not None else ""
        facts.append(
            b.fact("One agent instead", f"{amount(one['calls'], 'call')}, {units.count(one['tokens'])} tokens{cost}")
        )
        ratio, what = (one["cost_ratio"], "cost") if one.get("cost_ratio") else (one.get("tokens_ratio"), "tokens")
        if ratio:
            facts.append(
                b.fact(
                    "This team over one agent",
                    f"{ratio[1]:.1f} times the {what}",
                    hint=f"between {ratio[0]:.1f} and {ratio[2]:.1f}",
                )
            )
    instead = f" ({architecture['instead']})" if architecture["instead"] else ""
    facts.append(b.fact("Verdict", f"{architecture['verdict']}{instead}", hint=architecture["because"]))
    return [b.heading("Was a team worth it?", level=2), b.facts(facts), b.note("An estimate from this run's own calls; analyze --json lists its assumptions.")]  # fmt: skip


def _savings(savings: Mapping[str, Any] | None, priced: bool) -> list[b.Block]:
    if not savings:
        return []
    unit = "usd" if priced and savings["upper_usd"] is not None else "tokens"

    def show(value: float | None) -> str:
        return units.money(value) if unit == "usd" else units.count(value)

    rows = [
        b.row([one["do"], *(show(one[f"{level}_{unit}"]) for level in ("certain", "likely", "upper"))])
        for one in savings["strategies"]
        if one[f"upper_{unit}"]
    ]
    if not rows:
        return [b.heading("What could have been saved", level=2), b.note("Nothing that this recording shows.")]
    rows.append(b.row(["all", *(show(savings[f"{level}_{unit}"]) for level in ("certain", "likely", "upper"))]))
    columns = [b.column("by"), *(b.column(name, right=True) for name in ("certainly", "likely", "at most"))]
    return [b.heading("What could have been saved", level=2, note="each call counted once" if unit == "usd" else "tokens, each call counted once"), b.table(columns, rows)]  # fmt: skip
