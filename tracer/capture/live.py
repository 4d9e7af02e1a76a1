"""A span while it is open: the handle that `with tracer.agent(...) as span` gives, and its kinds.

Nothing here raises into the host: `contained` logs what went wrong and goes on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, StatusCode, TraceFlags

from ..model import RunOutcome
from ..semconv import Common, GenAI, Tracehound
from .active import Target, now_ns
from .complaints import complain
from .content import encode
from .response import ResponseFacts, facts_of

_PLAIN = frozenset({str, bool, int, float})
P = ParamSpec("P")
S = TypeVar("S", bound="LiveSpan")


def contained(method: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """`method`, whose own errors are logged instead of reaching the host."""

    @functools.wraps(method)
    def safe(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:  # noqa: BLE001 - the host must not feel it; logged once
            complain(f"{type(self).__name__}.{method.__name__}")

    return safe


class LiveSpan:
    """An open span. Everything may be said until it ends; `end_ns` overrides the clock."""

    ended: Callable[[Any, BaseException | None], None] | None = None
    """called with the span and its error at the end, where a guard let it begin"""

    def __init__(self, span: trace.Span, where: Target) -> None:
        self._span = span
        self._where = where
        self._recorded = where.processor is not None and where.processor.has(span.get_span_context().span_id)
        self.end_ns: int | None = None

    @property
    def trace_id(self) -> str:
        """32 hex digits; all zero when nothing is recorded."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """16 hex digits; all zero when nothing is recorded."""
        return f"{self._span.get_span_context().span_id:016x}"

    @property
    def otel(self) -> trace.Span:
        """The OpenTelemetry span itself."""
        return self._span

    @contained
    def set(self, attributes: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Set attributes; values that OpenTelemetry cannot hold are written as JSON."""
        self._set({**(attributes or {}), **named})

    @contained
    def input(self, *values: Any) -> None:
        """What went in, as it stands now; each value becomes one content."""
        self._content("input", values)

    @contained
    def output(self, *values: Any) -> None:
        """What came out, as it stands now; each value becomes one content."""
        self._content("output", values)

    @contained
    def event(self, name: str, /, **attributes: Any) -> None:
        """Something that happened inside the span."""
        plain = {key: _attribute(value) for key, value in attributes.items() if value is not None}
        self._span.add_event(name, plain, now_ns(self._where))

    @contained
    def link(self, other: LiveSpan | SpanContext, relation: str) -> None:
        """A causal edge to a span that is not the parent: "receives", "acts_on" ..."""
        context = other.otel.get_span_context() if isinstance(other, LiveSpan) else other
        self._span.add_link(context, {Tracehound.LINK_RELATION: relation})

    @contained
    def fail(self, error: BaseException | str) -> None:
        """The span failed, for a reason that was not raised through it."""
        if isinstance(error, BaseException):
            self._span.record_exception(error, timestamp=now_ns(self._where))
            self._span.set_attribute(Common.ERROR_TYPE, type(error).__qualname__)
        self._span.set_status(StatusCode.ERROR, str(error))

    @contained
    def end(self, end_ns: int | None = None) -> None:
        """End it now or at `end_ns`; a `with` block or decorator does this by itself."""
        if self._span.is_recording():
            self._span.end(end_ns or self.end_ns or now_ns(self._where))

    def closing(self, error: BaseException | None) -> None:
        """Called just before the end; `error` is what passes through."""
        if error is not None and not _is_ordinary_end(error):
            self.fail(error)

    def take_arguments(self, arguments: dict[str, Any]) -> None:
        """What a decorated function was called with."""
        if arguments:
            texts = list(arguments.values())
            self.input(texts[0] if len(texts) == 1 and isinstance(texts[0], str) else arguments)

    def take_result(self, result: Any) -> None:
        """What a decorated function returned; for a generator the list of its items."""
        if result is not None:
            self.output(result)

    def _set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes({key: _attribute(value) for key, value in attributes.items() if value is not None})

    def _content(self, slot: str, values: Sequence[Any], *, messages: bool = False) -> None:
        processor = self._where.processor
        if self._recorded and processor is not None:
            if processor.names_contents:
                contents = processor.contents
                ids = contents.messages(values) if messages else [contents.text(value) for value in values]
                processor.attach(self._span.get_span_context().span_id, slot, ids)
        elif self._span.is_recording():
            key = Tracehound.INPUT if slot == "input" else Tracehound.OUTPUT
            self._span.set_attribute(key, encode(values[0] if len(values) == 1 else list(values)))


class RunSpan(LiveSpan):
    """A workflow: one run."""

    @contained
    def outcome(self, outcome: RunOutcome | str, reason: str | None = None) -> None:
        """How the run ended, where that is more than "it returned" or "it raised"."""
        self.set({Tracehound.OUTCOME: str(outcome), Tracehound.OUTCOME_REASON: reason})


class AgentSpan(LiveSpan):
    """One invocation of an agent."""


class ToolSpan(LiveSpan):
    """One tool call."""

    def take_arguments(self, arguments: dict[str, Any]) -> None:
        self.input(arguments)


class LlmSpan(LiveSpan):
    """One LLM call."""

    told: Mapping[str, Any] = MappingProxyType({})
    """tokens and text of the answer, for the guard around the call"""

    @contained
    def messages(self, messages: Iterable[Any]) -> None:
        """The messages sent, in order."""
        self._content("input", tuple(messages), messages=True)

    @contained
    def completion(self, *messages: Any) -> None:
        """The messages received; a plain text is the assistant's."""
        said = tuple({"role": "assistant", "content": m} if isinstance(m, str) else m for m in messages)
        if self.ended is not None:
            self.told = {**self.told, "text": " ".join(encode(m) for m in messages)}
        self._content("output", said, messages=True)

    @contained
    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_tokens: int | None = None,
        cache_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        cost_usd: Any = None,
    ) -> None:
        """Tokens; cached ones are part of the input, reasoning part of the output. `cost_usd` wins over the price table."""
        if self.ended is not None:
            self.told = {
                **self.told, "input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached_tokens,
                "cache_write_tokens": cache_write_tokens, "cost_usd": cost_usd,
            }  # fmt: skip
        self._set(
            {
                GenAI.INPUT_TOKENS[0]: input_tokens,
                GenAI.OUTPUT_TOKENS[0]: output_tokens,
                GenAI.CACHED_TOKENS[0]: cached_tokens,
                GenAI.CACHE_WRITE_TOKENS[0]: cache_write_tokens,
                GenAI.REASONING_TOKENS[0]: reasoning_tokens,
                Tracehound.COST_USD: None if cost_usd is None else str(cost_usd),
            }
        )

    @contained
    def response(
        self,
        *,
        model: str | None = None,
        response_id: str | None = None,
        finish_reason: str | None = None,
        first_token_s: float | None = None,
    ) -> None:
        """What the provider said about its answer; `first_token_s` counts from the start of the call."""
        self._set(
            {
                GenAI.RESPONSE_MODEL: model,
                GenAI.RESPONSE_ID: response_id,
                GenAI.FINISH_REASONS: [finish_reason] if finish_reason else None,
                GenAI.TIME_TO_FIRST_CHUNK_S: first_token_s,
            }
        )

    @contained
    def record(self, response: Any) -> None:
        """Everything that can be read off a client library's response object: text, tool calls, tokens, model."""
        self._apply(facts_of(response))

    def take_arguments(self, arguments: dict[str, Any]) -> None:
        for key in ("messages", "prompt", "input"):
            if key in arguments:
                given = arguments[key]
                self.messages(_as_list(given))
                return
        for given in arguments.values():
            if given and isinstance(given, (str, list)):
                self.messages(_as_list(cast("Any", given)))
                return

    def take_result(self, result: Any) -> None:
        if result and isinstance(result, list) and _all_texts(cast("list[Any]", result)):
            self.completion("".join(cast("list[str]", result)))
        elif result is not None:
            self.record(result)

    def _apply(self, facts: ResponseFacts) -> None:
        if facts.messages:
            self.completion(*facts.messages)
        self.usage(
            input_tokens=facts.input_tokens,
            output_tokens=facts.output_tokens,
            cached_tokens=facts.cached_tokens,
            cache_write_tokens=facts.cache_write_tokens,
            reasoning_tokens=facts.reasoning_tokens,
        )
        self.response(model=facts.model, response_id=facts.response_id, finish_reason=facts.finish_reason)


class DecisionSpan(LiveSpan):
    """A choice between options."""

    @contained
    def choose(self, choice: str, *, reason: str | None = None) -> None:
        self.set({Tracehound.CHOICE: choice, Tracehound.REASON: reason})

    @contained
    def acted_on(self) -> None:
        """The choice was carried out."""
        self.set({Tracehound.ACTED_ON: True})

    def take_result(self, result: Any) -> None:
        if result is not None:
            self.choose(result if isinstance(result, str) else encode(result))


class WaitSpan(LiveSpan):
    """Somebody waits for somebody or something."""

    _said = False

    def met(self) -> None:
        self._outcome("met")

    def timed_out(self) -> None:
        self._outcome("timed_out")

    def cancelled(self) -> None:
        self._outcome("cancelled")

    def _outcome(self, outcome: str) -> None:
        self._said = True
        self.set({Tracehound.WAIT_OUTCOME: outcome})

    def closing(self, error: BaseException | None) -> None:
        if not self._said and error is None:
            self.met()
        elif not self._said and isinstance(error, TimeoutError):
            self.timed_out()
        elif not self._said and type(error).__name__ == "CancelledError":
            self.cancelled()
        super().closing(error)


class EscalationSpan(LiveSpan):
    """A person or a higher instance was asked."""

    @contained
    def answer(self, text: Any, *, by: str | None = None) -> None:
        self.output(text)
        self.set({Tracehound.ESCALATION_BY: by})

    def take_result(self, result: Any) -> None:
        if result is not None:
            self.answer(result)


def span_context(span: LiveSpan | SpanContext) -> SpanContext:
    return span.otel.get_span_context() if isinstance(span, LiveSpan) else span


def link_to(span: LiveSpan | SpanContext, relation: str) -> Link:
    return Link(span_context(span), {Tracehound.LINK_RELATION: relation})


def context_of(trace_id: str, span_id: str) -> SpanContext:
    """A span known only by its ids."""
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _is_ordinary_end(error: BaseException) -> bool:
    """A generator that was closed early and a program that exits with success did not fail."""
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0))


def _attribute(value: Any) -> Any:
    """`value` if OpenTelemetry can hold it, else its JSON text; a text subclass such as an enum as plain text."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and _all_texts(cast("Sequence[Any]", value)):
        return list(cast("Sequence[str]", value))
    return encode(value)


def _all_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _as_list(messages: Any) -> Sequence[Any]:
    return cast("Sequence[Any]", messages) if isinstance(messages, (list, tuple)) else [messages]
