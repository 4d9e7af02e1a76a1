"""What a store tells Prometheus: runs, calls, tokens, money, guards and alerts, counted anew from the store at each scrape.

Counted from the store, a counter survives restarts, agrees with every other answer of tracehound, and includes what was imported.
LLM calls have the names of OpenTelemetry's GenAI metrics; buckets carry a recent span as exemplar. No label has more than `MOST`
values: what is rarer is "other".
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

from dashboard.alerting.outbox import Outbox
from tracer.errors import TracehoundError
from tracer.store.database import Store

FRESH_S = 10.0
"""a scrape within this time gets the answer of the one before"""
MOST = 40
OTHER = "other"
TOKEN_BOUNDS: Final = tuple(4**power for power in range(14))
SECOND_BOUNDS: Final = tuple(round(0.01 * 2**power, 2) for power in range(14))
"""of OpenTelemetry's semantic conventions for GenAI clients"""
RUN_BOUNDS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600)

_HISTOGRAM = (
    "count(*), sum({value})::DOUBLE, max_by(trace_id, start_ns), max_by({value}, start_ns)::DOUBLE, max(start_ns) / 1e9"
)
_CALLS = "FROM spans WHERE kind = 'llm' AND duplicate_of IS NULL"
_SECONDS = "((end_ns - start_ns) / 1e9)"
_WHO = "coalesce(provider, ''), coalesce(model, '')"


def _histogram(labels: str, value: str, source: str, bounds: Sequence[float]) -> str:
    bucket = " + ".join(f"({value} > {bound})::INTEGER" for bound in bounds)
    return f"SELECT {labels}, {bucket} AS bucket, {_HISTOGRAM.format(value=value)} {source} GROUP BY ALL"


_TOKENS = (
    "FROM (SELECT trace_id, start_ns, provider, model, unnest(['input', 'output']) AS type, unnest([input_tokens, output_tokens]) AS used "
    f"{_CALLS}) WHERE used IS NOT NULL"
)
_QUERIES: Final[Mapping[str, str]] = {
    "tokens": _histogram(f"{_WHO}, type", "used", _TOKENS, TOKEN_BOUNDS),
    "seconds": _histogram(_WHO, _SECONDS, f"{_CALLS} AND end_ns IS NOT NULL", SECOND_BOUNDS),
    "run_seconds": _histogram("coalesce(workflow, '')", _SECONDS, "FROM traces WHERE end_ns IS NOT NULL", RUN_BOUNDS),
    "runs": "SELECT coalesce(workflow, ''), outcome, count(*) FROM traces WHERE outcome <> 'running' GROUP BY ALL",
    "running": "SELECT coalesce(workflow, ''), count(*) FROM traces WHERE outcome = 'running' GROUP BY ALL",
    "cost": f"SELECT coalesce(workflow, ''), coalesce(model, ''), sum(cost_usd)::DOUBLE {_CALLS} AND cost_usd IS NOT NULL GROUP BY ALL",
    "unpriced": f"SELECT coalesce(model, ''), count(*) {_CALLS} AND cost_usd IS NULL GROUP BY ALL",
    "agents": "SELECT coalesce(agent, ''), status, count(*) FROM spans WHERE kind = 'agent' AND duplicate_of IS NULL GROUP BY ALL",
    "guards": "SELECT coalesce(workflow, ''), coalesce(guard, ''), count(*) FROM spans WHERE kind = 'guard_trip' GROUP BY ALL",
}  # fmt: skip


class StoreCollector:
    """The metrics of one store. Thread-safe; a store that cannot be read now gives what it gave before."""

    def __init__(self, path: Path, *, fresh_s: float = FRESH_S) -> None:
        self._path, self._fresh_s = path, fresh_s
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._held: list[Metric] = []

    def families(self) -> Sequence[Metric]:
        """Everything, at most `fresh_s` old; whether it could be read is a metric of its own."""
        with self._lock:
            if time.monotonic() - self._at >= self._fresh_s:
                up = GaugeMetricFamily("tracehound_store_up", "1 if the store could be read for this scrape.")
                try:
                    self._held = list(_families(self._path))
                    up.add_metric([], 1)
                except TracehoundError:
                    up.add_metric([], 0)
                self._held = [metric for metric in self._held if metric.name != up.name] + [up]
                self._at = time.monotonic()
            return list(self._held)


def _families(path: Path) -> Iterable[Metric]:
    if not path.exists():
        return
    answers: dict[str, list[tuple[Any, ...]]] = {}
    with Store(path, create=False).lease() as connection:
        for name, query in _QUERIES.items():
            answers[name] = connection.execute(query).fetchall()
    operation = ["chat"]
    yield _histograms(
        "gen_ai_client_token_usage", "Tokens of LLM calls (OTel gen_ai.client.token.usage).",
        ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"], answers["tokens"], TOKEN_BOUNDS, operation,
    )  # fmt: skip
    yield _histograms(
        "gen_ai_client_operation_duration_seconds", "Duration of LLM calls (OTel gen_ai.client.operation.duration).",
        ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"], answers["seconds"], SECOND_BOUNDS, operation,
    )  # fmt: skip
    yield _histograms("tracehound_run_duration_seconds", "Wall time of ended runs.", ["workflow"], answers["run_seconds"], RUN_BOUNDS)  # fmt: skip
    yield _counts("tracehound_runs", "Ended runs by outcome.", ["workflow", "outcome"], answers["runs"])
    yield _counts("tracehound_cost_usd", "Known cost of LLM calls in USD.", ["workflow", "gen_ai_request_model"], answers["cost"])  # fmt: skip
    yield _counts("tracehound_unpriced_calls", "LLM calls whose price is not known.", ["gen_ai_request_model"], answers["unpriced"])  # fmt: skip
    yield _counts("tracehound_agent_invocations", "Agent invocations by status, tries included.", ["gen_ai_agent_name", "status"], answers["agents"])  # fmt: skip
    yield _counts("tracehound_guard_trips", "Warnings and stops of guards.", ["workflow", "guard"], answers["guards"])
    running = GaugeMetricFamily("tracehound_running_runs", "Runs that are going on.", labels=["workflow"])
    for labels, value in _bounded(answers["running"], 1):
        running.add_metric(labels, value)
    yield running
    yield from _alerts(path)


def _alerts(path: Path) -> Iterable[Metric]:
    outbox = Outbox(path)
    on = GaugeMetricFamily("tracehound_alerts_on", "Levels that are on: rates and sums over their threshold.", labels=["rule", "level"])  # fmt: skip
    counted = Counter((name.partition("|")[0], state.told_level) for name, state in outbox.states().items() if state.told_level)  # fmt: skip
    for (rule, level), number in sorted(counted.items()):
        on.add_metric([rule, str(level)], number)
    late = GaugeMetricFamily("tracehound_alerts_undelivered", "Alerts that a channel did not take yet.", labels=["channel"])  # fmt: skip
    for channel, number in sorted(Counter(delivery.channel for delivery in outbox.undelivered()).items()):
        late.add_metric([channel], number)
    yield on
    yield late


def _counts(name: str, text: str, labels: list[str], rows: Sequence[tuple[Any, ...]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in _bounded(rows, len(labels)):
        family.add_metric(values, number)
    return family


def _bounded(rows: Sequence[tuple[Any, ...]], labels: int) -> list[tuple[list[str], float]]:
    """Rows of label values and a number, with rare values merged into "other"."""
    kept = _kept(rows, labels)
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for row in rows:
        sums[tuple(str(row[at]) if row[at] in kept[at] else OTHER for at in range(labels))] += float(row[labels])
    return [(list(values), number) for values, number in sorted(sums.items())]


def _kept(rows: Sequence[tuple[Any, ...]], labels: int) -> list[frozenset[Any]]:
    """For each label the `MOST` values with most rows' weight; the weight is the column after the labels, or after the bucket."""
    found: list[frozenset[Any]] = []
    for at in range(labels):
        weights: dict[Any, float] = defaultdict(float)
        for row in rows:
            weights[row[at]] += float(row[labels] or 0)
        ranked = sorted(weights, key=lambda value: (-weights[value], str(value)))
        found.append(frozenset(ranked[:MOST]))
    return found


def _histograms(
    name: str, text: str, labels: list[str], rows: Sequence[tuple[Any, ...]], bounds: Sequence[float], fixed: Sequence[str] = ()
) -> Metric:  # fmt: skip
    """Rows: label values, bucket, count, sum, trace id and value and time (s) of its newest member."""
    family = HistogramMetricFamily(name, text, labels=labels)
    own = len(labels) - len(fixed)
    kept = _kept([(*row[:own], row[own + 1]) for row in rows], own)
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        groups[tuple(str(row[at]) if row[at] in kept[at] else OTHER for at in range(own))].append(row[own:])
    for values, members in sorted(groups.items()):
        total, reached = 0.0, 0
        buckets: list[tuple[str, float, Exemplar | None]] = []
        for place, bound in enumerate([*bounds, float("inf")]):
            mine = [member for member in members if member[0] == place]
            reached += sum(member[1] for member in mine)
            total += sum(member[2] for member in mine)
            newest = max(mine, key=lambda member: member[5], default=None)
            exemplar = None if newest is None else Exemplar({"trace_id": newest[3]}, newest[4], newest[5])
            buckets.append((floatToGoString(bound), reached, exemplar))
        family.add_metric([*fixed, *values], buckets, total)  # pyright: ignore[reportArgumentType]  (an exemplar may be None)
    return family
