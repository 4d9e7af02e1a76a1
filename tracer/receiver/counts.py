"""What the receiver did so far, as Prometheus reads it."""

from __future__ import annotations

import threading

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
    "tracehound_forward_spans_total": "Spans and log records that the other back-end took.",
    "tracehound_forward_dropped_total": "Spans and log records not forwarded: queue full, refused, or given up.",
    "tracehound_forward_retries_total": "Attempts to forward that failed and were repeated.",
    "tracehound_forward_queue_bytes": "Bytes waiting to be forwarded.",
}


class Counts:
    """Counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}

    def add(self, name: str, number: float = 1, *, label: str = "") -> None:
        """Count `number` more of `name` (its spelling without the common prefix `tracehound_`)."""
        key = f"tracehound_{name}{label}"
        with self._lock:
            self._values[key] = self._values.get(key, 0) + number

    def render(self, gauges: dict[str, float]) -> str:
        """The text exposition of all counters and of `gauges` (same spelling), 0 where nothing was counted."""
        with self._lock:
            values = dict(self._values)
        values |= {f"tracehound_{name}": value for name, value in gauges.items()}
        lines: list[str] = []
        for name, text in _HELP.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            labelled = sorted(key for key in values if key.partition("{")[0] == name)
            lines += [f"{key} {values.get(key, 0):.15g}" for key in labelled or [name]]
        return "\n".join(lines) + "\n"
