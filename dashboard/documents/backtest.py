"""The Back-test page in blocks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from analyzers.backtest.guards import Stop
from analyzers.backtest.sweep import Sweep
from analyzers.backtest.whole import sentence
from dashboard.documents import blocks as b
from dashboard.figures import units

ROWS = 50


def saved(usd: Decimal, tokens: int) -> str:
    """What stopping spares: money, or tokens where no price is known."""
    return units.worth(usd, tokens) or "nothing"


def points_document(curve: Sweep) -> list[b.Block]:
    """One row per threshold; the suggested one is marked."""
    columns = [b.column(curve.guard, right=True), *(b.column(name, right=True) for name in ("stopped", "good ones", "at most (95 %)", "saved", "time"))]  # fmt: skip
    rows = [
        b.row(
            [b.cell(f"{'→ ' if point is curve.suggested else ''}{point.threshold:,.12g}", "ok" if point is curve.suggested else "none"),
             units.count(point.tally.stopped), f"{units.count(point.tally.good_stopped)} of {units.count(point.tally.good)}",
             f"{point.tally.wrong_high:.1%}", saved(point.tally.usd_saved, point.tally.tokens_saved), units.duration(point.tally.minutes_saved * 60e9)],
            selected=point is curve.suggested,
        )
        for point in curve.points
    ]  # fmt: skip
    return [b.table(columns, rows)]


def stops_document(stops: Mapping[str, Stop], runs: Mapping[str, Mapping[str, Any]], good: Collection[str]) -> list[b.Block]:  # fmt: skip
    """Good runs, stopped wrongly, first; then by what stopping saves. A click opens the run."""
    if not stops:
        return [b.note("No run would have been stopped.")]
    ordered = sorted(
        stops.values(), key=lambda stop: (stop.run_id not in good, -stop.usd_saved, -stop.tokens_saved, stop.run_id)
    )
    rows = [
        b.row(
            [b.cell(runs[stop.run_id]["workflow"] or "unnamed", note=runs[stop.run_id]["source_id"] or stop.run_id[:8]),
             b.cell("good", "warning") if stop.run_id in good else str(runs[stop.run_id]["outcome"]).replace("_", " "),
             units.count(stop.step), saved(stop.usd_saved, stop.tokens_saved), sentence(stop)],
            pick={"run": stop.run_id},
        )
        for stop in ordered
    ]  # fmt: skip
    return [b.table([b.column("run", tight=True), b.column("was", tight=True), b.column("after calls", right=True, tight=True), b.column("saved", right=True, tight=True), b.column("says")], rows, first=ROWS, noun="run")]  # fmt: skip
