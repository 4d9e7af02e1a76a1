"""What the orchestration of a run cost: parts that add up, what could be saved, and what one agent would have paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import units

_PARTS: Mapping[str, str] = {
    "work": "the task itself",
    "coordination": "routing, planning, summing up, handing over",
    "resent": "the same history sent again",
    "retries": "failed calls and their repetition",
    "duplicates": "work somebody had done already",
    "judging": "checking the work of others",
    "hidden": "calls nobody asked for, such as memory",
    "waiting": "time in which nobody worked",
    "unknown": "no span says what for",
}


def ledger_view(document: Mapping[str, Any] | None) -> list[b.Block]:
    """The `ledger` and `architecture` of one run's entry in the analysis; None while they are being made."""
    if document is None:
        return [b.note("The ledger of a run this large is being made. It appears here by itself.", tone="running")]
    ledger = document.get("ledger")
    if not ledger:
        return [b.note("No ledger could be made of this run.")]
    total = _honest(ledger)
    if not any(_any(part) for part in ledger["parts"]):
        return [
            b.note(
                "No model call with tokens or a price was recorded in this run, and no time, so there is nothing to add up."
            )
        ]
    blocks = [
        b.heading("Where the money and the time went", note=_whole(total)),
        b.note("The parts add up to the whole. A row selects the first of its calls."),
        *parts_table(ledger),
    ]
    blocks += _savings(ledger.get("savings"))
    blocks += _alone(document.get("architecture"))
    return blocks


def parts_table(ledger: Mapping[str, Any], run_of: Mapping[str, str] | None = None) -> list[b.Block]:
    """The parts with their sum, and what is not exact about them. A row selects its first call; `run_of` says in which run."""
    total = _honest(ledger)
    rows = [_part(part, total, run_of or {}) for part in ledger["parts"] if _any(part)]
    blocks = [b.table(_COLUMNS, [*rows, _sum(total)])]
    remarks = _remarks(ledger)
    if remarks:
        blocks.append(b.note(" ".join(remarks)))
    return blocks


_COLUMNS = [
    b.column("part"), b.column("cost", right=True), b.column("share", right=True), b.column("tokens", right=True),
    b.column("calls", right=True), b.column("time on the path", right=True), b.column("share", right=True),
]  # fmt: skip


def _whole(total: Mapping[str, Any]) -> str:
    time = "" if total["ns"] is None else f" · {units.duration(total['ns'])}"
    return (
        f"{units.money(total['usd'])} · {units.count(total['tokens'])} tokens · {amount(total['calls'], 'call')}{time}"
    )


def _honest(ledger: Mapping[str, Any]) -> Mapping[str, Any]:
    """The totals, with the money taken out where no call has a known price: that is not $0."""
    total = ledger["total"]
    priced = not total["calls"] or ledger["unpriced_calls"] < total["calls"]
    return {**total, "usd": total["usd"] if priced else None}


def _any(part: Mapping[str, Any]) -> bool:
    return bool(part["usd"] or part["tokens"] or part["calls"] or part["ns"])


def _part(part: Mapping[str, Any], total: Mapping[str, Any], run_of: Mapping[str, str]) -> b.Block:
    name = part["part"]
    return b.row(
        [
            b.cell(name.replace("_", " "), note=_PARTS.get(name)),
            None if total["usd"] is None else _money(part["usd"]),
            _share(part["usd_share"]),
            units.count(part["tokens"]),
            units.count(part["calls"]),
            None if part["ns"] is None else units.duration(part["ns"]),
            _share(part["time_share"]),
        ],
        pick=_first(part["spans"], run_of),
    )


def _first(spans: Sequence[str], run_of: Mapping[str, str]) -> b.Pick | None:
    if not spans:
        return None
    return {"run": run_of[spans[0]], "span": spans[0]} if spans[0] in run_of else {"span": spans[0]}


def _sum(total: Mapping[str, Any]) -> b.Block:
    time = None if total["ns"] is None else units.duration(total["ns"])
    whole = "100%"
    return b.row([b.cell("all"), _money(total["usd"]), whole if total["usd"] else None, units.count(total["tokens"]),
                  units.count(total["calls"]), time, whole if total["ns"] else None])  # fmt: skip


def _remarks(ledger: Mapping[str, Any]) -> list[str]:
    said: list[str] = []
    if ledger["overhead_share"]:
        said.append(f"{ledger['overhead_share']:.0%} of the cost is not the task itself.")
    if ledger["unpriced_calls"]:
        said.append(f"{amount(ledger['unpriced_calls'], 'call')} without a known price stand here with tokens only.")
    if ledger["estimated_calls"]:
        said.append(f"The resent part of {amount(ledger['estimated_calls'], 'call')} is estimated from text lengths.")  # fmt: skip
    return said


def _savings(savings: Mapping[str, Any] | None) -> list[b.Block]:
    found: Sequence[Mapping[str, Any]] = [one for one in (savings or {}).get("strategies", ()) if one["calls"]]
    if not savings or not found:
        return [b.heading("What could be saved", level=2), b.note("Nothing that the recorded calls would show.")]
    columns = [b.column("change"), b.column("calls", right=True), b.column("certain", right=True), b.column("likely", right=True),
               b.column("at most", right=True)]  # fmt: skip
    rows = [
        b.row([b.cell(one["strategy"].replace("_", " "), note=one["do"]), units.count(one["calls"]), *_saved(one)],
              pick={"span": one["spans"][0]} if one["spans"] else None)
        for one in found
    ]  # fmt: skip
    rows.append(b.row([b.cell("all"), None, *_saved(savings)]))
    return [
        b.heading("What could be saved", level=2),
        b.note("Every call is counted under one change only."),
        b.table(columns, rows),
    ]


def _saved(one: Mapping[str, Any]) -> list[str | None]:
    """Money where the price is known, else tokens."""
    return [
        f"{units.count(one[f'{level}_tokens'])} tokens" if one[f"{level}_usd"] is None else _money(one[f"{level}_usd"])
        for level in ("certain", "likely", "upper")
    ]


def _alone(architecture: Mapping[str, Any] | None) -> list[b.Block]:
    run: Mapping[str, Any] = {} if architecture is None else architecture.get("run") or {}
    estimate: Mapping[str, Any] = run.get("single_agent") or {}
    blocks = [b.heading("One agent instead", level=2)]
    if not estimate or "skipped" in estimate:
        return [*blocks, b.note(_sentence(estimate.get("skipped") or "there is not enough to estimate it from"))]
    facts = [b.fact("Would need", f"{amount(estimate['calls'], 'call')}, {units.count(estimate['tokens'])} tokens")]
    if estimate["usd"] is not None:
        facts.append(b.fact("Would cost", _money(estimate["usd"]), hint="central estimate"))
    if estimate["cost_ratio"]:
        low, middle, high = estimate["cost_ratio"]
        facts.append(b.fact("This run cost", f"{middle:.3g} times as much", hint=f"{low:.3g} to {high:.3g}"))
    if estimate["time_ratio"]:
        facts.append(b.fact("This run took", f"{estimate['time_ratio']:.3g} times as long"))
    facts.append(b.fact("Fits one context", "yes" if estimate["feasible"] else "no", hint=estimate["infeasible_because"],
                        tone=None if estimate["feasible"] else "warning"))  # fmt: skip
    assumed = [b.prose(one) for one in estimate["assumptions"]]
    return [*blocks, b.facts(facts), b.section("What this assumes", assumed)]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _money(usd: float | None) -> str | None:
    return None if usd is None else units.money(usd)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.0%}"
