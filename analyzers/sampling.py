"""Which runs a sampler kept, and with what probability, read from what samplers leave on the spans.

    otel.trace_state      ot=th:<hex>: rejection threshold, kept with 1 - th / 2**56; older ot=p:<n>: kept with 2**-n
    sampling.probability, logfire.sample_rate, sentry.sample_rate    the probability
    SampleRate            one in so many (Honeycomb)
    sampler.type "probabilistic" with sampler.param                  the probability (Jaeger)

A run kept with probability p stands for 1 / p runs that took place: counts and totals over runs are too small by that, shares and
means of the kept runs are not. Nothing here multiplies: the number of runs that were seen is the only one that is known.
Source: OTel's TraceState probability sampling; the documentation of those products. A sampler that writes nothing is not noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import polars as pl

from tracer.semconv import Stored

_BITS = 56
_NUMBER = r'"?([0-9.eE+-]+)'
_READ: tuple[tuple[str, str, Callable[[str], float]], ...] = (
    (Stored.TRACE_STATE, r'"otel\.trace_state": ?"[^"]*ot=[^",]*th:([0-9a-f]{1,14})', lambda th: 1 - int(th.ljust(14, "0"), 16) / 2**_BITS),
    (Stored.TRACE_STATE, r'"otel\.trace_state": ?"[^"]*ot=(?:[^",]*;)?p:(\d{1,2})', lambda power: 0.0 if power == "63" else 2.0 ** -int(power)),
    ("sampling.probability", rf'"sampling\.probability": ?{_NUMBER}', float),
    ("logfire.sample_rate", rf'"logfire\.sample_rate": ?{_NUMBER}', float),
    ("sentry.sample_rate", rf'"sentry\.sample_rate": ?{_NUMBER}', float),
    ("SampleRate", rf'"SampleRate": ?{_NUMBER}', lambda every: 1 / float(every)),
    ("sampler.param", rf'"sampler\.param": ?{_NUMBER}', float),
)  # fmt: skip
"""name of the attribute, where the value stands in a span's attributes, and how it is read"""
NAMES = tuple(dict.fromkeys(f'"{name}"' for name, _, _ in _READ))
"""what the attributes of a sampled span hold one of"""
_PROBABILISTIC = '"probabilistic"'


def kept_with(spans: pl.DataFrame) -> Mapping[str, float]:
    """run_id -> probability below 1 with which the least likely of its spans was kept; runs that nobody sampled are not in it.

    Args:
        spans: run_id, attributes (JSON).
    """
    marked = spans.select("run_id", "attributes").filter(pl.col("attributes").str.contains_any(list(NAMES))).unique()
    found: dict[str, float] = {}
    for run_id, attributes in marked.iter_rows():
        for kept in filter(None, (_read(attributes, *one) for one in _READ)):
            if 0 < kept < 1:
                found[run_id] = min(kept, found.get(run_id, 1.0))
    return found


def _read(attributes: str, name: str, pattern: str, value: Callable[[str], float]) -> float | None:
    if name == "sampler.param" and _PROBABILISTIC not in attributes:
        return None  # of another kind of sampler: so many a second, always, never
    told = re.search(pattern, attributes)
    try:
        return value(told[1]) if told else None
    except (ValueError, ZeroDivisionError):
        return None


def in_words(kept: float) -> str:
    """ "one run in 10", "30% of the runs"."""
    every = 1 / kept
    return (
        f"one run in {every:,.0f}"
        if abs(every - round(every)) < 0.02 * every and every >= 2
        else f"{kept:.0%} of the runs"
    )


def stood_for(kept: Mapping[str, float]) -> int:
    """About how many runs took place where those of `kept` were seen."""
    return round(sum(1 / probability for probability in kept.values()))
