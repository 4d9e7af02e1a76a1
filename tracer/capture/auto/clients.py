"""LLM spans for programs whose framework writes none: the calls of openai, anthropic, google-genai and litellm are wrapped.

A call is left to others where somebody tells of it already: the span around it is an LLM call, or it comes straight from
a framework whose instrumentor was switched on and gives LLM spans.
"""

from __future__ import annotations

import functools
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from ...errors import BudgetExceeded
from ...model import SpanKind
from ...semconv import GenAI, LangGraph, Tracehound
from ..complaints import complain
from ..graph_node import current_node
from ..live import LlmSpan
from ..loose import loose_run
from ..response import facts_of
from ..scope import Spec, begin, finish
from .carrier import langchain_span_context
from .managers import through_manager
from .streams import Sum, follow
from .tries import is_llm
from .unread import when_parsed

_RAW_HEADER: Final = "X-Stainless-Raw-Response"

told_by_frameworks: set[str] = set()
"""Top-level packages whose own calls of a client need no span of ours."""


class Wrapped(NamedTuple):
    """Methods of a client class, or functions of its module, that make one LLM call each."""

    module: str
    owner: str
    """"" for the module itself"""
    methods: tuple[str, ...]
    provider: str | None
    """None where the client talks to many"""
    is_async: bool = False
    streams: bool = False
    """the answer always comes in pieces; else where `stream=True` was asked for"""
    by_manager: bool = False
    """it gives a manager that makes the request when it is entered"""


CLIENTS: Final[Mapping[str, tuple[Wrapped, ...]]] = {
    "openai": tuple(
        Wrapped(f"openai.resources.{module}", f"{prefix}{owner}", ("create", "parse"), "openai", bool(prefix))
        for module, owner in (("chat.completions", "Completions"), ("responses", "Responses"))
        for prefix in ("", "Async")
    ),
    "anthropic": tuple(
        Wrapped(
            f"anthropic.resources.{module}",
            f"{prefix}Messages",
            (name,),
            "anthropic",
            bool(prefix),
            by_manager=name == "stream",
        )
        for module in ("messages", "beta.messages")
        for prefix in ("", "Async")
        for name in ("create", "parse", "stream")
    ),
    "google-genai": tuple(
        # The public methods may make several calls, where they call tools by themselves; these make one each.
        Wrapped(
            "google.genai.models",
            f"{prefix}Models",
            (f"_generate_content{suffix}",),
            "google",
            bool(prefix),
            bool(suffix),
        )
        for prefix in ("", "Async")
        for suffix in ("", "_stream")
    ),
    "litellm": (Wrapped("litellm", "", ("completion",), None), Wrapped("litellm", "", ("acompletion",), None, True)),
}


def wrap_client(package: str) -> list[str]:
    """Wrap the client library `package`; gives what was wrapped, as `Completions.create`. Twice is once."""
    done: list[str] = []
    for wrapped in CLIENTS[package]:
        try:
            module = import_module(wrapped.module)
            owner = getattr(module, wrapped.owner) if wrapped.owner else module
        except (ImportError, AttributeError):
            continue  # an older or newer version without this API
        for name in wrapped.methods:
            original = getattr(owner, name, None)
            if original is not None and not hasattr(original, "__tracehound__"):
                wrapper: Any = _wrapper(original, wrapped)
                wrapper.__tracehound__ = True
                setattr(owner, name, wrapper)
                done.append(".".join(filter(None, (wrapped.owner, name))))
    return done


def _wrapper(original: Callable[..., Any], wrapped: Wrapped) -> Callable[..., Any]:
    around = functools.partial(_async if wrapped.is_async else _sync, wrapped=wrapped)
    if wrapped.by_manager:
        return through_manager(original, around, is_async=wrapped.is_async)
    return functools.wraps(original)(around(original))


def _sync(original: Callable[..., Any], wrapped: Wrapped) -> Callable[..., Any]:
    def create(*args: Any, **kwargs: Any) -> Any:
        call = _begin(kwargs, args, wrapped)
        if not isinstance(call, _Call):
            with _below_framework():
                result = original(*args, **kwargs)
            return result if call is None else call.take(result, kwargs)
        token = otel_context.attach(call.inside)
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            call.end(None, error)
            raise
        finally:
            otel_context.detach(token)
        return call.take(result, kwargs)

    return create


def _async(original: Callable[..., Any], wrapped: Wrapped) -> Callable[..., Any]:
    async def create(*args: Any, **kwargs: Any) -> Any:
        call = _begin(kwargs, args, wrapped)
        if not isinstance(call, _Call):
            with _below_framework():
                result = await original(*args, **kwargs)
            return result if call is None else call.take(result, kwargs)
        token = otel_context.attach(call.inside)
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            call.end(None, error)
            raise
        finally:
            otel_context.detach(token)
        return call.take(result, kwargs)

    return create


class _Answers(ABC):
    """Looks at what a call returns."""

    streams = False

    def take(self, result: Any, kwargs: Mapping[str, Any]) -> Any:
        """The call has returned, with an answer, a stream of one, or either in a raw response. What the host gets."""
        streamed = self.streams or kwargs.get("stream") is True
        try:
            headers: Any = kwargs.get("extra_headers") or {}
            raw = headers.get(_RAW_HEADER)
            if raw == "stream":  # nothing is read yet
                when_parsed(result, lambda answer: self._look(answer, streamed), lambda error: self.end(None, error))
                return result
            # The answer is kept by the raw response: the host's own parse() gives the same object.
            answer = result if raw is None else result.parse()
        except Exception:  # noqa: BLE001 - the host must not feel it; logged once
            complain("reading an answer")
            self.end(None, None)
            return result
        followed = self._look(answer, streamed)
        return followed if answer is result else result

    def _look(self, answer: Any, streamed: bool) -> Any:
        """`answer`, or what to hand on in its place; the call ends here, or with its stream."""
        try:
            followed = follow(answer, self.end) if streamed else None
            if followed is not None:
                return followed
            self.record(answer)
        except Exception:  # noqa: BLE001 - the host must not feel it; logged once
            complain("reading an answer")
        self.end(None, None)
        return answer

    @abstractmethod
    def record(self, answer: Any) -> None: ...

    @abstractmethod
    def end(self, total: Sum | None, error: BaseException | None) -> None: ...


class _Call(_Answers):
    """One call in progress, with a span of ours."""

    def __init__(self, span: LlmSpan, inside: Context, *, streams: bool) -> None:
        self.span = span
        self.inside = inside
        self.streams = streams
        self._over = False

    def record(self, answer: Any) -> None:
        self.span.record(answer)

    def end(self, total: Sum | None, error: BaseException | None) -> None:
        """Once; later calls change nothing."""
        if self._over:
            return
        self._over = True
        if total is not None:
            self.span.record(total.answer())
            self.span.response(first_token_s=total.first_token_s)
        finish(self.span, error, self.inside)


class _Told(_Answers):
    """A call that a span of somebody else tells of. Some leave out what the price depends on (DSPy's all tokens): that is added to it."""

    def __init__(self, span: Any, *, streams: bool) -> None:
        self.span = span
        self.streams = streams

    def record(self, answer: Any) -> None:
        if not self.span.is_recording():
            return
        facts = facts_of(answer)
        known: Mapping[str, Any] = self.span.attributes or {}
        for (name, *_), value in (
            (GenAI.INPUT_TOKENS, facts.input_tokens),
            (GenAI.OUTPUT_TOKENS, facts.output_tokens),
            (GenAI.CACHED_TOKENS, facts.cached_tokens),
            (GenAI.CACHE_WRITE_TOKENS, facts.cache_write_tokens),
            (GenAI.REASONING_TOKENS, facts.reasoning_tokens),
            ((GenAI.RESPONSE_ID,), facts.response_id),
        ):
            if value is not None and name not in known:
                self.span.set_attribute(name, value)

    def end(self, total: Sum | None, error: BaseException | None) -> None:
        if total is not None and error is None:
            try:
                self.record(total.answer())
            except Exception:  # noqa: BLE001 - the host must not feel it; logged once
                complain("reading a streamed answer")


def _begin(kwargs: Mapping[str, Any], args: Sequence[Any], wrapped: Wrapped) -> _Answers | None:
    try:
        parent = otel_context.get_current()
        around = trace.get_current_span(parent)
        if is_llm(around):
            return _Told(around, streams=wrapped.streams)
        if _caller(wrapped.module.partition(".")[0]) in told_by_frameworks:
            return None
        if not around.get_span_context().is_valid:
            parent, around = _below_langchain(parent)
        model = kwargs.get("model") or next(
            iter(args[bool(wrapped.owner) :]), None
        )  # litellm.completion("gpt-4.1", ...)
        temperature = kwargs.get("temperature")
        spec = Spec(
            SpanKind.LLM,
            f"chat {model}" if isinstance(model, str) else "chat",
            {
                GenAI.OPERATION: "chat",
                GenAI.REQUEST_MODEL: model if isinstance(model, str) else None,
                GenAI.PROVIDER[0]: wrapped.provider,
                GenAI.TEMPERATURE: temperature if isinstance(temperature, (int, float)) else None,
            },
            messages=_messages(kwargs),
        )
        spec.attributes[LangGraph.CHECKPOINT_NS] = current_node()
        run = loose_run(parent)
        spec.attributes[Tracehound.RUN_ID], spec.workflow = run
        return _Call(*begin(LlmSpan, spec, parent), streams=wrapped.streams)
    except BudgetExceeded:  # a guard that was asked for
        raise
    except Exception:  # noqa: BLE001 - the host must not feel it; logged once
        complain("starting the span of an LLM call")
        return None


def _caller(package: str) -> str:
    """The top-level package of the code that called the client; "" at the end of the stack."""
    ours = __name__.partition(".")[0]
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        top = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if top not in (package, ours):
            return top
        frame = frame.f_back
    return ""


@contextmanager
def _below_framework() -> Generator[None]:
    """What happens inside a call that LangChain's spans tell of (a guard that trips, a request) belongs below them."""
    parent = otel_context.get_current()
    context = parent
    if not trace.get_current_span(parent).get_span_context().is_valid:
        context, _ = _below_langchain(parent)
    if context is parent:
        yield
        return
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def _below_langchain(parent: Context) -> tuple[Context, trace.Span]:
    found = langchain_span_context()
    if found is None:
        return parent, trace.INVALID_SPAN
    span = trace.NonRecordingSpan(found)
    return trace.set_span_in_context(span, parent), span


def _messages(kwargs: Mapping[str, Any]) -> list[Any]:
    given: list[Any] = []
    for key in ("system", "instructions"):
        value = kwargs.get(key)
        if value and isinstance(value, (str, list)):
            given.append({"role": "system", "content": cast("Any", value)})
    value: Any = next(
        (kwargs[name] for name in ("messages", "input", "contents") if kwargs.get(name) is not None), None
    )
    for item in cast("Sequence[Any]", value) if isinstance(value, (list, tuple)) else (value,):
        if isinstance(item, str):
            given.append({"role": "user", "content": item})
        elif isinstance(parts := getattr(item, "parts", None), list):  # Google's contents
            texts = (getattr(part, "text", None) or "" for part in cast("list[Any]", parts))
            given.append({"role": getattr(item, "role", None) or "user", "content": "".join(texts)})
        elif item is not None:
            given.append(item)
    return given
