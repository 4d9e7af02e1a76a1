"""From a description of a span to a span: as a `with` block, as a decorator, or recorded at once.

    with tracer.agent("planner") as span:      begin, attach to the context .. detach, end
    @tracer.agent("planner")                   the same around every call, see `wrap`
    tracer.message("hi", to="writer")          a mark: recorded as soon as the expression has been evaluated

A mark that is neither entered nor used as a decorator records itself when it is let go, with the time and the parent of the
call that made it; CPython does that at the end of the statement. `.record()` does it explicitly and gives the span.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import Token
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link

from ..model import SpanKind
from ..semconv import Tracehound
from .active import Target, now_ns, target
from .complaints import complain
from .content import CONTENT, Name, encode
from .live import LiveSpan
from .wrap import NOTHING, OneCall, name_of, wrap, wrap_entries

S = TypeVar("S", bound=LiveSpan)
F = TypeVar("F", bound=Callable[..., Any])
Make = Callable[[trace.Span, Target], S]


class Who(NamedTuple):
    """On whose behalf code runs; travels with the OpenTelemetry context."""

    workflow: str | None = None
    agent: str | None = None
    agent_id: str | None = None
    """as given; tells instances of one name apart"""


_WHO: Final = otel_context.create_key("tracehound-who")
_NOBODY: Final = Who()
_OWNER: Final = otel_context.create_key("tracehound-owner")
"""id of the object of a decorated class within whose call we are"""


def who_in(context: Context | None = None) -> Who:
    """The workflow and agent around the current code."""
    found = otel_context.get_value(_WHO, context)
    return found if isinstance(found, Who) else _NOBODY


@dataclass(slots=True)
class Spec:
    """What a span will be; made once per use or per decorated function."""

    kind: SpanKind
    name: str
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    """None values are left out"""
    agent: str | None = None
    workflow: str | None = None
    start_ns: int | None = None
    links: Sequence[Link] = ()
    inputs: Sequence[Any] = ()
    messages: Sequence[Any] | None = None
    outputs: Sequence[Any] = ()


class Scope(Generic[S]):
    """A span to be: enter it (once, or nested in itself), or decorate a function with it (many calls)."""

    def __init__(self, make: Make[S], build: Callable[[str | None], Spec], name: str | None = None) -> None:
        self._make = make
        self._build = build
        self._name = name
        self._entered: list[tuple[S, Context, Token[Context]]] = []

    def __enter__(self) -> S:
        span, context = begin(self._make, self._build(self._name))
        self._entered.append((span, context, otel_context.attach(context)))
        return span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        span, context, token = self._entered.pop()
        _detach(context, token)
        finish(span, error, context)

    async def __aenter__(self) -> S:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace_back)

    def __call__(self, function: F, /) -> F:
        """Decorate `function`: every call of it is a span of its own; of a class, every call of a method that runs it."""
        name = self._name or name_of(function)
        if isinstance(function, type):
            wrap_entries(function, lambda args: self._call_of(args[0] if args else None, name))
            return cast("F", function)
        return wrap(function, lambda args: Call(self._make, self._build(name)))

    def _call_of(self, owner: Any, name: str) -> OneCall:
        """A call of an object; what it does to itself meanwhile, such as `run` calling `arun`, is part of that."""
        if otel_context.get_value(_OWNER) == id(owner):
            return NOTHING
        return Call(self._make, self._build(name), owner)

    def record(self, *, end_ns: int | None = None, error: BaseException | str | None = None) -> S:
        """Begin and end at once: a fact without a duration, or with one that is already over."""
        spec = self._build(self._name)
        span, context = begin(self._make, spec)
        span.end_ns = end_ns if end_ns is not None else spec.start_ns
        if error is not None:
            span.fail(error)
        finish(span, None, context)
        if _gate is not None:
            _gate.recorded(spec)
        return span


class Mark(Scope[S]):
    """A scope that records itself when nothing else was done with it."""

    def __init__(self, make: Make[S], build: Callable[[str | None], Spec], name: str | None = None) -> None:
        self._used = False
        super().__init__(make, build, name)
        self._context = otel_context.get_current()
        self._made_ns = now_ns(target()) or time.time_ns()

    def __enter__(self) -> S:
        self._used = True
        return super().__enter__()

    def __call__(self, function: F, /) -> F:
        self._used = True
        return super().__call__(function)

    def begin(self) -> S:
        """Begin without becoming the current span; `span.end()` is up to the caller."""
        self._used = True
        return begin(self._make, self._build(self._name), self._context)[0]

    def record(self, *, end_ns: int | None = None, error: BaseException | str | None = None) -> S:
        self._used = True
        spec = self._build(self._name)
        if spec.start_ns is None:
            spec.start_ns = self._made_ns
        span, context = begin(self._make, spec, self._context)
        span.end_ns = end_ns if end_ns is not None else spec.start_ns
        if error is not None:
            span.fail(error)
        finish(span, None, context)
        return span

    def __del__(self) -> None:
        if not self._used:
            try:
                self.record()
            except Exception:  # noqa: BLE001 - a finaliser has nobody to raise to; logged once
                complain(f"recording a {type(self).__name__}")


class Call(Generic[S]):
    """One call of a decorated function. `active()` puts the span into the context for one step of it."""

    def __init__(self, make: Make[S], spec: Spec, owner: Any = None) -> None:
        self.span, self._context = begin(make, spec)
        if owner is not None:
            self._context = otel_context.set_value(_OWNER, id(owner), self._context)

    @contextmanager
    def active(self) -> Generator[None]:
        token = otel_context.attach(self._context)
        try:
            yield
        finally:
            _detach(self._context, token)

    def end(self, error: BaseException | None) -> None:
        finish(self.span, error, self._context)


def begin(make: Make[S], spec: Spec, parent: Context | None = None) -> tuple[S, Context]:
    """Start the span of `spec` below `parent` (the current one); gives it and the context in which it is the current one."""
    where = target()
    if parent is None:
        parent = otel_context.get_current()
    admitted = None if _gate is None else _gate.admit(spec)
    try:
        span, inside = _begin(make, spec, where, parent)
    except Exception:  # noqa: BLE001 - the host must not feel it; logged once
        complain(f"starting a span of kind {spec.kind}")
        span, inside = make(trace.INVALID_SPAN, where), parent
    if admitted is not None:
        mark, span.ended = admitted
        inside = mark(inside)
    return span, inside


def _begin(make: Make[S], spec: Spec, where: Target, parent: Context) -> tuple[S, Context]:
    around = who_in(parent)
    agent, workflow = spec.agent or around.agent, spec.workflow or around.workflow
    attributes: dict[str, Any] = {Tracehound.KIND: spec.kind.value}
    if agent is not None:
        attributes[Tracehound.AGENT] = agent
    if spec.workflow is not None:
        attributes[Tracehound.WORKFLOW] = workflow
    attributes.update((key, value) for key, value in spec.attributes.items() if value is not None)
    content = _content(spec, where)
    start_ns = spec.start_ns or now_ns(where)
    otel_span: trace.Span | None = None
    if where.light is not None:
        otel_span = where.light.start(spec.name, parent, attributes, spec.links, start_ns, content)
    if otel_span is None:
        otel_span = where.tracer.start_span(
            spec.name,
            context=otel_context.set_value(CONTENT, content, parent) if content else parent,
            attributes=attributes,
            links=spec.links,
            start_time=start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
    span = make(otel_span, where)
    if where.processor is None:
        if spec.messages is not None or spec.inputs:
            span.input(*(spec.messages or spec.inputs))
        if spec.outputs:
            span.output(*spec.outputs)
    inside = trace.set_span_in_context(otel_span, parent)
    if spec.kind is SpanKind.AGENT or spec.kind is SpanKind.WORKFLOW:
        given_id = spec.attributes.get(Tracehound.AGENT_ID) if spec.kind is SpanKind.AGENT else around.agent_id
        inside = otel_context.set_value(_WHO, Who(workflow, agent, given_id), inside)
    return span, inside


def _content(spec: Spec, where: Target) -> dict[str, list[Name]] | None:
    """Content ids of what is known at the start, so that the start record carries them already."""
    processor = where.processor
    if processor is None or not processor.names_contents:
        return None
    found: dict[str, list[Name]] = {}
    if spec.messages is not None:
        found["input"] = processor.contents.messages(spec.messages)
    elif spec.inputs:
        found["input"] = [processor.contents.text(value) for value in spec.inputs]
    if spec.outputs:
        found["output"] = [processor.contents.text(value) for value in spec.outputs]
    return found


class Gate(Protocol):
    """Asked before a span begins; the one thing that may raise into the host, because the host asked for a guard."""

    def admit(
        self, spec: Spec
    ) -> tuple[Callable[[Context], Context], Callable[[Any, BaseException | None], None]] | None:
        """What marks the span's context, and what is called with the span and its error at its end; None for nothing."""
        ...

    def recorded(self, spec: Spec) -> None:
        """A span was begun and ended at once."""
        ...


_gate: Gate | None = None


def gate_with(gate: Gate) -> None:
    """From now on `gate` is asked; see `guard`."""
    global _gate
    _gate = gate


_before_end: list[Callable[[LiveSpan, Context], None]] = []


def before_end(look: Callable[[LiveSpan, Context], None]) -> None:
    """`look` is called before a span of ours ends, in no particular order; see `tracked`."""
    _before_end.append(look)


def finish(span: LiveSpan, error: BaseException | None, context: Context) -> None:
    """End `span`, which `error` passes through; never raises."""
    try:
        for look in _before_end:
            look(span, context)
        span.closing(error)
        if span.ended is not None:
            span.ended(span, error)
    except Exception:  # noqa: BLE001 - the host must not feel it; logged once
        complain(f"ending a {type(span).__name__}")
    span.end()


def _detach(context: Context, token: Token[Context]) -> None:
    """Undo an attach. In another context (a generator closed by the collector) there is nothing to undo."""
    if otel_context.get_current() is context:
        otel_context.detach(token)


def give(name: Callable[..., Any] | str | None, scope: Callable[[str | None], Scope[Any]]) -> Any:
    """`@kind` decorates the function it gets; `kind("name")` gives the scope."""
    if name is None or isinstance(name, str):
        return scope(name)
    return scope(None)(name)


def given(value: Any) -> tuple[Any, ...]:
    """`value` as the contents of a slot, as it stands now; None is no content."""
    return () if value is None else (encode(value),)
