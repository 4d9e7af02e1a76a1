"""What the receiver did so far, as Prometheus reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

_HELP = {
    "tracehound_receiver_requests_total": "Answered requests by status code.",
    "tracehound_receiver_spans_received_total": "Spans written durably and acknowledged.",
    "tracehound_receiver_spans_rejected_total": "Spans that cannot be stored (malformed id or time).",
    "tracehound_receiver_log_records_received_total": "Log records written durably and acknowledged.",
    "tracehound_receiver_log_records_rejected_total": "Log records that name no span.",
    "tracehound_receiver_bytes_total": "Bytes of acknowledged request bodies, as sent.",
    "tracehound_receiver_write_failures_total": "Requests answered 503 because the segment could not be written.",
    "tracehound_receiver_held_bytes": "Bytes of request bodies being received or written at the moment.",
    "tracehound_fold_lag_seconds": "Age of the oldest acknowledged request that is not in the database yet.",
    "tracehound_fold_spans_total": "Spans brought into the database by this receiver.",
    "tracehound_fold_failures_total": "Folds that failed; nothing is lost, they are tried again.",
    "tracehound_fold_pending_bytes": "Bytes in the spool after the last fold.",
    "tracehound_retention_removed_runs_total": "Runs removed by the limits kept in the store.",
    "tracehound_lake_runs_total": "Runs shipped to the lake, again where spans came late.",
    "tracehound_lake_failures_total": "Attempts to ship that failed; the runs stay and are tried again.",
    "tracehound_forward_spans_total": "Spans and log records that the other back-end took.",
    "tracehound_forward_dropped_total": "Spans and log records not forwarded: queue full, refused, or given up.",
    "tracehound_forward_retries_total": "Attempts to forward that failed and were repeated.",
    "tracehound_forward_queue_bytes": "Bytes waiting to be forwarded.",
}


class Counts:
    """Counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], float] = {}
        """(name, status code or "") -> so many"""

    def add(self, name: str, number: float = 1, *, code: str = "") -> None:
        """Count `number` more of `name` (its spelling without the common prefix `tracehound_`), under a status code if given."""
        key = f"tracehound_{name}", code
        with self._lock:
            self._values[key] = self._values.get(key, 0) + number

    def collect(self, gauges: Mapping[str, float]) -> Iterator[Metric]:
        """All counters and `gauges` (same spelling) as metric families, 0 where nothing was counted."""
        with self._lock:
            values = dict(self._values)
        for name, text in _HELP.items():
            counted = {code: value for (known, code), value in values.items() if known == name}
            labels = ["code"] if any(counted) else []
            if name.endswith("_total"):
                family: Metric = CounterMetricFamily(name, text, labels=labels)
            else:
                family = GaugeMetricFamily(name, text, labels=labels)
                counted = {"": gauges.get(name.removeprefix("tracehound_"), 0.0)}
            for code, value in sorted(counted.items()) or [("", 0.0)]:
                family.add_metric([code] if labels else [], value)  # pyright: ignore[reportAttributeAccessIssue]
            yield family

    def render(self, gauges: Mapping[str, float], more: Iterable[Metric] = (), accept: str = "") -> tuple[bytes, str]:
        """(body, content type) of everything, in the form that `accept` asks for: OpenMetrics or the older text."""
        encode, content_type = choose_encoder(accept)
        return encode(_Families([*self.collect(gauges), *more])), content_type


class _Families(Collector):
    """What is to be encoded, as the library wants it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
