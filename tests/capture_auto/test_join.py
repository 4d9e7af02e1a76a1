"""`tracer.join`: the run of whoever sent a request, from whatever form its headers have."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace

import tracer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"
HEADERS: dict[str, tuple[Any, bool]] = {
    "a mapping": ({"traceparent": GOOD}, True),
    "any case": ({"TraceParent": GOOD}, True),
    "ASGI pairs of bytes": ([(b"host", b"x"), (b"traceparent", GOOD.encode())], True),
    "the text itself": (GOOD, True),
    "a later version with more fields": (f"01-{TRACE}-{SPAN}-01-more", True),
    "no headers": (None, False),
    "other headers": ({"host": "x"}, False),
    "nonsense": ({"traceparent": "nonsense"}, False),
    "a trace id of zeros": (f"00-{'0' * 32}-{SPAN}-01", False),
    "a span id of zeros": (f"00-{TRACE}-{'0' * 16}-01", False),
    "the forbidden version": (f"ff-{TRACE}-{SPAN}-01", False),
}


@pytest.mark.parametrize("case", HEADERS)
def test_the_sender_is_the_parent_inside_the_block_only(case: str) -> None:
    """A valid W3C traceparent is taken over; anything else changes nothing and raises nothing."""
    headers, joined = HEADERS[case]
    before = trace.get_current_span().get_span_context()
    with tracer.join(headers):
        found = trace.get_current_span().get_span_context()
        ids = (f"{found.trace_id:032x}", f"{found.span_id:016x}")
        assert (ids == (TRACE, SPAN)) is joined
        assert joined or found == before
    assert trace.get_current_span().get_span_context() == before
