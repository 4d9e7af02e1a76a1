"""Requests that were sent while one LLM call was under way."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tracer.capture.auto.tries import begin_try
from tracer.semconv import OpenInference, Tracehound


@pytest.mark.parametrize(
    ("requests", "failed"),
    [
        ([("POST", 429), ("POST", 500), ("POST", 200)], ("429", "500")),
        ([("POST", 200), ("POST", 200)], None),
        ([("GET", 503), ("GET", 503), ("POST", 200)], None),  # LiteLLM's list of prices
    ],
)
def test_only_what_is_posted_is_a_try(requests: list[tuple[str, int]], failed: tuple[str, ...] | None) -> None:
    """The call was answered at once where only a list of prices could not be had."""
    span = TracerProvider().get_tracer("t").start_span("call", attributes={OpenInference.KIND: "LLM"})
    with trace.use_span(span, end_on_exit=True):
        for method, status in requests:
            if (tries := begin_try(method)) is not None:
                tries.end(status)
    assert (span.attributes or {}).get(Tracehound.TRIES_FAILED) == failed  # type: ignore[attr-defined]
