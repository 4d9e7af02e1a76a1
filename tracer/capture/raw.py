"""From a span of the OpenTelemetry SDK to our `RawSpan`; nothing is interpreted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import Attributes

from ..model import RawEvent, RawLink, RawSpan
from ..semconv import Stored

STATUS: dict[StatusCode, Literal["unset", "ok", "error"]] = {
    StatusCode.UNSET: "unset",
    StatusCode.OK: "ok",
    StatusCode.ERROR: "error",
}
_PLAIN = frozenset({str, int, float, bool, type(None)})


def plain(value: Any) -> Any:
    """An attribute value as JSON knows it: tuples as lists, bytes as text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    return value if isinstance(value, (str, int, float)) else str(value)


def plain_attributes(attributes: Attributes) -> dict[str, Any]:
    if not attributes:
        return {}
    # The SDK's own mapping costs three Python calls an item; what it keeps them in costs none.
    attributes = cast("Attributes", getattr(attributes, "_dict", attributes)) or {}
    return {key: value if type(value) in _PLAIN else plain(value) for key, value in attributes.items()}


def raw_span(span: ReadableSpan, *, ended: bool, resource: dict[str, Any]) -> RawSpan:
    """`span` as it stands now; a start record (`ended=False`) has no end and no status."""
    context, parent, scope, status = span.context, span.parent, span.instrumentation_scope, span.status
    if context is None:
        raise ValueError(f"span {span.name!r} has no context")
    attributes = plain_attributes(getattr(span, "_attributes", None) or span.attributes)
    if context.trace_state and (state := context.trace_state.get("ot")):
        attributes[Stored.TRACE_STATE] = f"ot={state}"
    return RawSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=f"{parent.span_id:016x}" if parent is not None else None,
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time if ended else None,
        status=STATUS[status.status_code] if ended else "unset",
        status_message=(status.description or "") if ended else "",
        attributes=attributes,
        # The properties copy; most spans have neither events nor links.
        events=_events(span) if getattr(span, "_events", True) else [],
        links=_links(span) if getattr(span, "_links", True) else [],
        resource=resource,
        scope=scope.name if scope is not None else "",
        dropped_attributes=span.dropped_attributes,
    )


def _events(span: ReadableSpan) -> list[RawEvent]:
    return [
        RawEvent(name=event.name, time_ns=event.timestamp, attributes=plain_attributes(event.attributes))
        for event in span.events
    ]


def _links(span: ReadableSpan) -> list[RawLink]:
    return [
        RawLink(
            trace_id=f"{link.context.trace_id:032x}",
            span_id=f"{link.context.span_id:016x}",
            attributes=plain_attributes(link.attributes),
        )
        for link in span.links
    ]
