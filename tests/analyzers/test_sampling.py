"""Sampled runs are recognised by what samplers leave on spans, and by nothing else."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from analyzers.sampling import in_words, kept_with, stood_for


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"otel.trace_state": "ot=th:c"}, 0.25),
        ({"otel.trace_state": "ot=th:e6666666666668"}, 0.1),
        ({"otel.trace_state": "congo=x,ot=rv:0123456789abcd;th:8,rojo=y"}, 0.5),
        ({"otel.trace_state": "ot=p:3;r:5"}, 0.125),
        ({"sampling.probability": 0.2}, 0.2),
        ({"logfire.sample_rate": 0.3}, 0.3),
        ({"sentry.sample_rate": "0.25"}, 0.25),
        ({"SampleRate": 20}, 0.05),
        ({"sampler.type": "probabilistic", "sampler.param": 0.01}, 0.01),
    ],
)
def test_what_samplers_write(attributes: dict[str, Any], kept: float) -> None:
    """The probability that a run was kept with, in every spelling, however the JSON is spaced."""
    for text in (json.dumps(attributes), json.dumps(attributes, separators=(",", ":"))):
        found = kept_with(pl.DataFrame({"run_id": ["a"], "attributes": [text]}))
        assert found["a"] == pytest.approx(kept, abs=1e-9)


@pytest.mark.parametrize(
    "attributes",
    [
        {}, {"otel.trace_state": "ot=th:0"}, {"otel.trace_state": "ot=rv:0123456789abcd"}, {"otel.trace_state": "dd=s:1;p:3"},
        {"SampleRate": 1}, {"SampleRate": 0}, {"sampling.probability": "often"}, {"sampling.probability": 1.0},
        {"sampler.type": "ratelimiting", "sampler.param": 0.5}, {"text": 'he wrote "ot=th:c" once'},
    ],
)  # fmt: skip
def test_what_is_no_sampling(attributes: dict[str, Any]) -> None:
    """Everything kept, nothing said, nonsense, other samplers, and texts that only look like it."""
    assert kept_with(pl.DataFrame({"run_id": ["a"], "attributes": [json.dumps(attributes)]})) == {}


def test_a_run_is_as_rare_as_its_rarest_span() -> None:
    """And stands for as many runs as it would have taken to see it once."""
    states = ["ot=th:8", "ot=th:c", "ot=th:8"]
    spans = pl.DataFrame(
        {"run_id": ["a", "a", "b"], "attributes": [json.dumps({"otel.trace_state": one}) for one in states]}
    )
    kept = kept_with(spans)
    assert kept == {"a": 0.25, "b": 0.5}
    assert stood_for(kept) == 6
    assert (in_words(0.1), in_words(0.3), in_words(0.001)) == ("one run in 10", "30% of the runs", "one run in 1,000")
