"""What the Alerts page shows: the outbox of a store, and how fast its money goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from analyzers.alerts.parsing import default_rules
from analyzers.alerts.rules import Level, preview
from analyzers.alerts.states import Alert
from analyzers.wording import amount
from dashboard.alerting.outbox import Delivery, Looked, Outbox
from tracer.store import reads
from tracer.store.database import Store

HOUR_NS = 3_600 * 10**9
DAY_NS = 24 * HOUR_NS
SHOWN = 200
HOURS = 7 * 24
"""of the burn chart"""


@dataclass(frozen=True, slots=True)
class On:
    """A level that was told and is not over."""

    rule: str
    level: Level
    since_ns: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What one workflow spent in the last day, the day before it, and the last week, in USD."""

    workflow: str | None
    day_usd: float
    before_usd: float
    week_usd: float


@dataclass(frozen=True, slots=True)
class Burn:
    """Spend up to `end_ns`, the start of the newest run. `hours`: start_ns, cost_usd of the 24 hours up to there."""

    end_ns: int
    day_usd: float
    hours: pl.DataFrame
    workflows: Sequence[Spent]
    unpriced_calls: int
    """LLM calls of the last day that are in no sum here"""

    @property
    def unknown(self) -> bool:
        """Nothing of the last day has a price, though something was called."""
        return not self.day_usd and self.unpriced_calls > 0

    @property
    def month_usd(self) -> float:
        """Thirty days like the last."""
        return 30 * self.day_usd


@dataclass(frozen=True, slots=True)
class Alerting:
    """Everything the page needs."""

    runs: int
    looked_ns: int | None
    on: Sequence[On]
    alerts: Sequence[Alert]
    sent: Mapping[str, str]
    """alert id -> channels, with how it stands where it was not taken"""
    undelivered: Sequence[Delivery]
    burn: Burn
    looked: Looked
    """by which rules the last look went, and what it saw of budgets; the defaults where there was none"""

    @property
    def late_channels(self) -> Mapping[str, str]:
        """Channel -> how many alerts wait for it, and why."""
        found: dict[str, str] = {}
        for one in self.undelivered:
            waiting = sum(other.channel == one.channel for other in self.undelivered)
            found[one.channel] = (
                f"{amount(waiting, 'alert')} not delivered yet, tried up to {amount(one.attempts, 'time')}: {one.error}"
            )
        return found


def alerting_of(store: Store) -> Alerting:
    """Read the outbox and the runs."""
    outbox, runs = Outbox(store.path), reads.runs(store)
    alerts = outbox.alerts(SHOWN)
    newest: dict[str, Alert] = {}
    for alert in reversed(alerts):
        newest["|".join((alert.rule, alert.workflow or "", alert.agent or ""))] = alert
    on = [
        On(name.partition("|")[0], state.told_level, state.since_ns, newest[name].sentence if name in newest else name)
        for name, state in outbox.states().items()
        if state.told_level is not None
    ]
    sent: dict[str, list[str]] = {}
    for delivery in outbox.deliveries():
        sent.setdefault(delivery.alert.id, []).append(delivery.channel + ("" if delivery.status == "sent" else f" ({delivery.status})"))  # fmt: skip
    return Alerting(
        runs.height, outbox.setting("looked_ns"), on, alerts, {name: ", ".join(channels) for name, channels in sent.items()},
        outbox.undelivered(), burn_of(runs), outbox.looked() or Looked(rules=tuple((rule.name, preview(rule)) for rule in default_rules())),
    )  # fmt: skip


def burn_of(runs: pl.DataFrame) -> Burn:
    """How fast money goes, by the start of runs; `runs` are rows of `traces`."""
    end = int(runs["start_ns"].max() or 0)  # pyright: ignore[reportArgumentType]  (a column of ints)
    known = runs.filter(pl.col("cost_usd").is_not_null()).select("workflow", "start_ns", usd=pl.col("cost_usd").cast(pl.Float64))  # fmt: skip
    age = end - pl.col("start_ns")
    parts = known.group_by("workflow").agg(
        day=pl.col("usd").filter(age < DAY_NS).sum(),
        before=pl.col("usd").filter((age >= DAY_NS) & (age < 2 * DAY_NS)).sum(),
        week=pl.col("usd").filter(age < 7 * DAY_NS).sum(),
    )
    rows = parts.filter(pl.col("week") > 0).sort("day", "week", "workflow", descending=[True, True, False])
    first = (end // HOUR_NS - HOURS) * HOUR_NS
    per_hour = known.group_by(start_ns=pl.col("start_ns") // HOUR_NS * HOUR_NS).agg(pl.col("usd").sum())
    moments = pl.DataFrame({"start_ns": [first - DAY_NS + hour * HOUR_NS for hour in range(HOURS + 25)]}, schema={"start_ns": pl.Int64})  # fmt: skip
    sums = moments.join(per_hour, on="start_ns", how="left", maintain_order="left").with_columns(cost_usd=pl.col("usd").fill_null(0.0).rolling_sum(24, min_samples=1))  # fmt: skip
    return Burn(
        end, float(parts["day"].sum()), sums.filter(pl.col("start_ns") >= first).select("start_ns", "cost_usd"),
        [Spent(row["workflow"], row["day"], row["before"], row["week"]) for row in rows.iter_rows(named=True)],
        int(runs.filter(age < DAY_NS)["unpriced_calls"].sum()),
    )  # fmt: skip
