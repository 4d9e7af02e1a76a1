"""The current span as W3C Trace Context text, and back. Works without OpenTelemetry being imported: then there is none."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Final

TRACEPARENT: Final = "TRACEPARENT"
"""environment variable of processes, and with small letters the HTTP header"""
_PATTERN: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def traceparent() -> str | None:
    """`00-<trace id>-<span id>-<flags>` of the current span, None outside of any."""
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or not hasattr(api, "get_current_span"):
        return None
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        context = langchain_span_context()
        if context is None:
            return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags) & 1:02x}"


def langchain_span() -> Any:
    """OpenInference does not put LangChain's spans into the context; it can be asked for the one that runs here."""
    find: Any = getattr(sys.modules.get("openinference.instrumentation.langchain"), "get_current_span", None)
    return find() if find is not None else None


def langchain_span_context() -> Any:
    """The span context of `langchain_span()`; None where there is none."""
    span = langchain_span()
    return span.get_span_context() if span is not None else None


def context_with(text: str | None) -> Any:
    """An OpenTelemetry context whose current span is the one that `text` names; the current context where it names none."""
    from opentelemetry import context, trace

    found = _PATTERN.fullmatch(text.strip()) if text else None
    if found is None or found[1].strip("0") == "" or found[2].strip("0") == "" or (text or "")[:2] == "ff":
        return context.get_current()
    span = trace.SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=trace.TraceFlags(int(found[3], 16) & 1)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(span))


def inherited() -> str | None:
    """The span of the process that started this one."""
    return os.environ.get(TRACEPARENT) or None
