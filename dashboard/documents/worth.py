"""What the orchestration of a workflow was worth, in blocks: verdict, evidence, cost over one agent, savings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.economics import Worth
from dashboard.figures import units


def worth_document(worth: Worth) -> list[b.Block]:
    """The verdict in words, its evidence as a table, and three numbers of savings with what each strategy adds."""
    told, savings = worth.architecture, worth.savings
    instead = f": {told['instead']}" if told["instead"] else ""
    rows = [b.fact("verdict", f"{told['verdict']}{instead}", hint=told["because"]), b.fact("pattern", told["pattern"])]
    rows.append(b.fact("cost over one agent", _range(told["cost_ratio"]), hint="estimated, for the same work; low, middle, high"))  # fmt: skip
    saved = [savings[f"{level}_usd"] for level in ("certain", "likely", "upper")]
    known = (
        None
        if saved[0] is None
        else f"{units.money(saved[0])} certain, {units.money(saved[1])} likely, {units.money(saved[2])} at most"
    )
    rows.append(b.fact("could be saved", known, hint="of what these runs cost"))
    blocks = [b.note(_over(worth)), b.facts(rows)]
    evidence = [
        b.row([one["rule"], _plain(one["value"]), _plain(one["threshold"]), one["speaks"]]) for one in told["evidence"]
    ]
    columns = [b.column("rule"), b.column("value", right=True), b.column("limit", right=True), b.column("speaks")]
    blocks.append(b.section("Evidence", [b.table(columns, evidence)], note=str(len(evidence))))
    strategies = [b.row([one["do"], units.count(one["calls"]), *(units.money(one[f"{level}_usd"]) for level in ("certain", "likely", "upper"))])
                  for one in savings["strategies"] if one["calls"]]  # fmt: skip
    if strategies:
        columns = [
            b.column("what to do"),
            *(b.column(name, right=True) for name in ("calls", "certain", "likely", "at most")),
        ]
        blocks.append(b.section("Savings", [b.table(columns, strategies)], note=str(len(strategies)), open=True))
    return blocks


def _over(worth: Worth) -> str:
    if worth.runs < worth.total:
        return f"Over the newest {worth.runs:,} of {amount(worth.total, 'ended run')}."
    return "Over its only ended run." if worth.total == 1 else f"Over its {amount(worth.total, 'ended run')}."


def _range(ratio: Mapping[str, float] | None) -> str | None:
    return None if ratio is None else f"{ratio['central']:.2f} × ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _plain(value: Any) -> str | None:
    return None if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
