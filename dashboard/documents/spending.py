"""What money was spent on over many runs, in blocks: the ledger, what could be saved call by call, and what was unusual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.documents.ledger import parts_table
from dashboard.documents.run import SEVERITY_TONES
from dashboard.economics import Economy
from dashboard.figures import palette, units

_CALLS = 8
_ROWS = 12
_LEVELS = ("certain", "likely", "upper")


def ledger_blocks(economy: Economy) -> list[b.Block]:
    """The parts of the cost, which add up to the whole."""
    return [b.note(f"{_over(economy)} The parts add up to the whole; a row opens the first of its calls."),
            *parts_table(economy.ledger, economy.run_of)]  # fmt: skip


def savings_blocks(economy: Economy) -> list[b.Block]:
    """Three sums, and for every strategy that claims calls the three again with the calls themselves."""
    savings = economy.savings
    strategies: Sequence[Mapping[str, Any]] = [one for one in savings["strategies"] if one["calls"]]
    if not strategies:
        return [b.note(f"{_over(economy)} No strategy would have saved a call that was recorded.", tone="ok")]
    columns = [
        b.column("what to do"),
        *(b.column(name, right=True) for name in ("calls", "certain", "likely", "at most")),
    ]
    rows = [
        b.row([b.cell(one["strategy"], note=one["do"]), units.count(one["calls"]), *_three(one)]) for one in strategies
    ]
    rows.append(b.row([b.cell("all"), units.count(sum(one["calls"] for one in strategies)), *_three(savings)]))
    blocks = [b.note(f"{_over(economy)} Certain replays the log; likely and at most add what is known of the provider. "
                     "A call is counted under one strategy only."), b.table(columns, rows)]  # fmt: skip
    blocks += [
        _calls(one["strategy"], economy.calls.filter(pl.col("strategy") == one["strategy"])) for one in strategies
    ]
    return blocks


def _calls(strategy: str, calls: pl.DataFrame) -> b.Block:
    rows = [
        b.row([row["agent"] or "no agent", row["model"], units.money(row["cost_usd"]), *(_saved(row[level]) for level in _LEVELS)],
              pick={"run": row["run_id"], "span": row["span_id"]})
        for row in calls.iter_rows(named=True)
    ]  # fmt: skip
    columns = [b.column("agent"), b.column("model", tight=True), *(b.column(name, right=True) for name in ("cost", "certain", "likely", "at most"))]  # fmt: skip
    return b.section(
        f"Calls that {strategy} would save",
        [b.table(columns, rows, first=_CALLS, noun="call")],
        note=f"{calls.height:,}",
    )


def unusual_blocks(findings: Sequence[Finding]) -> list[b.Block]:
    """Runs that cost far more than their kind does, the worst first."""
    worst = sorted(findings, key=lambda f: (f.severity != "critical", -float(f.wasted_usd or 0), f.id))
    rows = [
        b.row(
            [b.cell(f"{palette.SEVERITY_GLYPHS[f.severity]} {f.title}", SEVERITY_TONES[f.severity]), ", ".join(f.agents[:3]) or None,
             units.moment(f.start_ns)[:16] if f.start_ns is not None else None, units.money(f.wasted_usd) if f.wasted_usd is not None else None],
            pick={"run": f.trace_id} if f.trace_id else None,
        )
        for f in worst
    ]  # fmt: skip
    columns = [b.column("what happened"), b.column("agents", tight=True), b.column("started", tight=True), b.column("above the usual", right=True)]  # fmt: skip
    return [b.table(columns, rows, first=_ROWS, noun="finding")]


def _over(economy: Economy) -> str:
    if economy.runs == economy.total:
        return f"Over {amount(economy.total, 'ended run')}."
    share = "" if economy.share is None else f", {economy.share:.0%} of the cost"
    return f"Over the {economy.runs:,} dearest of {amount(economy.total, 'ended run')}{share}."


def _three(one: Mapping[str, Any]) -> list[str]:
    """Money where a price is known, else tokens."""
    return [_saved(one[f"{level}_usd"]) if one[f"{level}_usd"] is not None else f"{units.count(one[f'{level}_tokens'])} tokens"
            for level in _LEVELS]  # fmt: skip


def _saved(usd: float) -> str:
    return units.money(usd) if usd else "–"
