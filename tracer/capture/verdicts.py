"""What came of a run, said by the program: `score` for evaluations, `mark` for a verdict.

    with tracer.workflow("refund") as run:
        answer = desk(question)
    tracer.score(0.9, name="correctness", of=run)     an evaluation, as OpenTelemetry names it: `gen_ai.evaluation.result`
    tracer.mark("failed", note="wrong sum", of=run)   the same as `tracehound mark RUN failed`

Both are events on a span of the run, not spans: an hour later they make the run no longer.
"""

from __future__ import annotations

import time
from typing import Any, Final, Literal

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from ..errors import BadInput
from ..model import RawEvent
from ..semconv import GenAI, Tracehound
from .active import now_ns, target
from .complaints import complain, logger
from .live import LiveSpan, span_context

VERDICTS: Final = ("ok", "failed")


def score(
    value: float | None = None,
    *,
    name: str = "outcome",
    label: str | None = None,
    note: str | None = None,
    of: LiveSpan | SpanContext | None = None,
) -> bool:
    """Record an evaluation of the run around, or of the run that `of` is a span of; True where it was recorded.

    A `label` such as "pass" or "fail" decides whether the run counts as failed, else a `value` from 0 to 1, or True and False: it passes
    from 0.5 on. Values on other scales are kept and decide nothing. `name` says what was looked at, `note` why.
    """
    return _record(
        GenAI.EVENT_EVALUATION,
        {
            GenAI.EVALUATION_NAME: name,
            GenAI.EVALUATION_VALUE: None if value is None else float(value),
            GenAI.EVALUATION_LABEL: label,
            GenAI.EVALUATION_EXPLANATION: note,
        },
        of,
    )


def mark(
    verdict: Literal["ok", "failed"], note: str | None = None, *, of: LiveSpan | SpanContext | None = None
) -> bool:
    """Record a verdict on the run around, or on the run that `of` is a span of; True where it was recorded. The newest verdict counts.

    Raises:
        BadInput: `verdict` is neither "ok" nor "failed".
    """
    if verdict not in VERDICTS:
        raise BadInput(
            f"{verdict!r} is no verdict on a run.", hint="say 'ok' or 'failed'; for anything else there is score()."
        )
    return _record(Tracehound.EVENT_MARK, {Tracehound.MARK_VERDICT: verdict, Tracehound.MARK_NOTE: note}, of)


def _record(name: str, attributes: dict[str, Any], of: LiveSpan | SpanContext | None) -> bool:
    where = target()
    context = span_context(of) if of is not None else trace.get_current_span().get_span_context()
    if where.processor is None:
        return False  # nothing is recorded, as for spans
    if not context.is_valid:
        logger.warning(
            "tracehound: %s says nothing of a run: call it inside of one, or name a span of the run (of=...)", name
        )
        return False
    event = RawEvent(
        name=name,
        time_ns=now_ns(where) or time.time_ns(),
        attributes={key: value for key, value in attributes.items() if value is not None},
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
    )
    try:
        return where.processor.record_event(event)
    except Exception:  # noqa: BLE001 - the host must not feel it; logged once
        complain(f"recording {name}")
        return False
