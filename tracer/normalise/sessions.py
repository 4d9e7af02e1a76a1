"""Which conversation a stored span names itself.

All spans of a run carry the run's conversation (`runs.name_runs`). Where runs are joined later, which conversation the
joined run belongs to, and with what it is joined, depends on what each span said before; its attributes still say it.
"""

from __future__ import annotations

import json

from tracer.model import RawSpan, Span
from tracer.normalise.build import look_at
from tracer.normalise.mapping import TABLE
from tracer.semconv import Stored

_, _CELLS = TABLE["session_id"]
SESSION_NAMES = tuple(
    {f'"{name}"' for names in _CELLS.values() for name in ((names,) if isinstance(names, str) else names)}
)


def own_session(span: Span) -> str | None:
    """The conversation that the attributes of `span` name, read as `normalise` read it; None where they name none."""
    if not any(name in span.attributes for name in SESSION_NAMES):
        return None
    attributes = json.loads(span.attributes)
    raw = RawSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        scope=attributes.pop(Stored.SCOPE, ""),
        attributes=attributes,
    )
    found: str | None = None
    for column, name, convert in look_at(raw).plan:
        if column == "session_id":
            found = convert(attributes[name]) or found
    return found
