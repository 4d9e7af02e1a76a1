"""Our own attributes: what the recorder and the decorators write, and what any OTLP producer may add."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, cast

from tracer.model import RawSpan, SpanKind
from tracer.normalise.reading import Adapter, Reading
from tracer.normalise.values import as_bool, as_text, parse_json
from tracer.semconv import Tracehound

KINDS = frozenset(kind.value for kind in SpanKind)


def recognises(raw: RawSpan, words: frozenset[str]) -> bool:
    return "tracehound" in words or bool(raw.content)


def kind(raw: RawSpan) -> str | None:
    named = raw.attributes.get(Tracehound.KIND)
    return named if isinstance(named, str) and named in KINDS else None


def read(reading: Reading) -> None:
    span, attributes = reading.span, reading.attributes
    reading.take_slots(_sent_slots(reading) or reading.raw.content)
    if Tracehound.PROGRESS in attributes:
        span.progress = as_bool(attributes[Tracehound.PROGRESS])
    if Tracehound.USER_VISIBLE in attributes:
        span.user_visible = as_bool(attributes[Tracehound.USER_VISIBLE])
    if run_id := as_text(attributes.get(Tracehound.RUN_ID)):
        span.run_id = run_id
    if cost := as_text(attributes.get(Tracehound.COST_USD)):
        try:
            amount = Decimal(cost)
        except InvalidOperation:
            amount = None
        if amount is not None and amount.is_finite() and amount >= 0:
            span.cost_usd, span.cost_source = amount, "recorder"
    if as_bool(attributes.get(Tracehound.SYNTHETIC_TIME)):
        span.derived = [*(span.derived or ()), "start_ns", "end_ns"]
    _texts(reading)


def _sent_slots(reading: Reading) -> dict[str, list[int]]:
    """The texts that a recorder put aside, where they came as lists in attributes: they take the place they had."""
    found: dict[str, list[int]] = {}
    for name, value in reading.attributes.items():
        if name.startswith(Tracehound.CONTENT) and isinstance(value, list):
            texts = cast(list[Any], value)
            found[name.removeprefix(Tracehound.CONTENT)] = [reading.contents.put_value(text) for text in texts]
            reading.replaced[name] = None
    return found


def _texts(reading: Reading) -> None:
    given, got = reading.attributes.get(Tracehound.INPUT), reading.attributes.get(Tracehound.OUTPUT)
    if given is None and got is None:
        return
    if reading.kind == SpanKind.TOOL:
        reading.set_arguments(given)
        reading.set_result(got)
    elif reading.kind == SpanKind.LLM:
        reading.set_input(reading.messages(Tracehound.INPUT))
        reading.set_output(reading.messages(Tracehound.OUTPUT, answers=True))
    for value, put in ((given, reading.set_input), (got, reading.set_output)):
        if value is not None:
            parsed = parse_json(value) if reading.kind == SpanKind.DECISION else None
            bodies = cast(list[Any], parsed) if isinstance(parsed, list) else [value]
            put([reading.contents.put_value(body) for body in bodies])


ADAPTER = Adapter("tracehound", recognises, kind, read)
