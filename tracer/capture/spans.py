"""What hand-written agents say about themselves. Everything here is public through `tracer`.

    @tracer.agent                                     one call = one span; sync, async, generators, methods
    with tracer.agent("planner", reason="...") as s:  one block = one span
    tracer.progress("draft 2 accepted")               a mark: one statement = one span without duration

`start_ns` (ns since the epoch) is for work that started earlier or runs on a clock of its own; `span.end_ns` likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from opentelemetry import trace
from opentelemetry.trace import Link

from ..model import Purpose, SpanKind
from ..semconv import Common, GenAI, Tracehound
from .active import target
from .kinds import kind_of
from .live import AgentSpan, LiveSpan, LlmSpan, RunSpan, ToolSpan
from .scope import Scope, Spec, give, given

F = TypeVar("F", bound=Callable[..., Any])
SpanRef = LiveSpan | str
"""a span or its id"""


def current_span() -> LiveSpan:
    """The span around the current code, whoever made it; a span that records nothing where there is none."""
    return LiveSpan(trace.get_current_span(), target())


def _attempts(attempt: int | None, retry_of: SpanRef | None, fallback_of: SpanRef | None) -> dict[str, Any]:
    """`attempt` counts from 1; the others name the span that is repeated or replaced."""
    return {
        Tracehound.ATTEMPT: attempt,
        Tracehound.RETRY_OF: retry_of.span_id if isinstance(retry_of, LiveSpan) else retry_of,
        Tracehound.FALLBACK_OF: fallback_of.span_id if isinstance(fallback_of, LiveSpan) else fallback_of,
    }


@kind_of(Scope, RunSpan)
def workflow(
    called: str | None,
    /,
    *,
    session_id: str | None = None,
    user_id: str | None = None,
    run_id: str | None = None,
    tags: Sequence[str] = (),
    input: Any = None,
    start_ns: int | None = None,
) -> Spec:
    """One run: the root of its trace, or a nested one. `name` is the kind of run; `span.outcome(...)` says how it ended."""
    return Spec(
        SpanKind.WORKFLOW,
        called or "workflow",
        {
            GenAI.OPERATION: "invoke_workflow",
            Common.SESSION_ID: session_id,
            Common.USER_ID[0]: user_id,
            Tracehound.RUN_ID: run_id,
            Common.TAGS: list(tags) or None,
        },
        workflow=called or "workflow",
        start_ns=start_ns,
        inputs=given(input),
    )


@kind_of(Scope, AgentSpan)
def agent(
    called: str | None,
    /,
    *,
    reason: str | None = None,
    agent_id: str | None = None,
    task_id: str | None = None,
    input: Any = None,
    attempt: int | None = None,
    retry_of: SpanRef | None = None,
    fallback_of: SpanRef | None = None,
    links: Sequence[Link] = (),
    start_ns: int | None = None,
) -> Spec:
    """One invocation of an agent; `reason` says why it was invoked. What happens inside is recorded as this agent's."""
    return Spec(
        SpanKind.AGENT,
        called or "agent",
        {
            GenAI.OPERATION: "invoke_agent",
            Tracehound.AGENT_ID: agent_id,
            Tracehound.REASON: reason,
            Tracehound.TASK_ID: task_id,
            **_attempts(attempt, retry_of, fallback_of),
        },
        agent=called or "agent",
        start_ns=start_ns,
        links=links,
        inputs=given(input),
    )


@kind_of(Scope, ToolSpan)
def tool(
    called: str | None,
    /,
    *,
    arguments: Mapping[str, Any] | None = None,
    call_id: str | None = None,
    agent: str | None = None,
    attempt: int | None = None,
    retry_of: SpanRef | None = None,
    fallback_of: SpanRef | None = None,
    start_ns: int | None = None,
) -> Spec:
    """One tool call; `call_id` joins it with the LLM's request for it. `span.output(...)` keeps the result."""
    return Spec(
        SpanKind.TOOL,
        called or "tool",
        {
            GenAI.OPERATION: "execute_tool",
            GenAI.TOOL_NAME: called or "tool",
            GenAI.TOOL_CALL_ID: call_id,
            **_attempts(attempt, retry_of, fallback_of),
        },
        agent=agent,
        start_ns=start_ns,
        inputs=given(dict(arguments) if arguments is not None else None),
    )


@overload
def llm_call(model: F, /) -> F: ...
@overload
def llm_call(
    model: str | None = None,
    *,
    messages: Sequence[Any] | None = None,
    provider: str | None = None,
    temperature: float | None = None,
    purpose: Purpose | str | None = None,
    prompt_name: str | None = None,
    prompt_version: str | None = None,
    user_visible: bool = False,
    attempt: int | None = None,
    retry_of: SpanRef | None = None,
    fallback_of: SpanRef | None = None,
    start_ns: int | None = None,
) -> Scope[LlmSpan]: ...
def llm_call(
    model: F | str | None = None,
    *,
    messages: Sequence[Any] | None = None,
    provider: str | None = None,
    temperature: float | None = None,
    purpose: Purpose | str | None = None,
    prompt_name: str | None = None,
    prompt_version: str | None = None,
    user_visible: bool = False,
    attempt: int | None = None,
    retry_of: SpanRef | None = None,
    fallback_of: SpanRef | None = None,
    start_ns: int | None = None,
) -> F | Scope[LlmSpan]:
    """One LLM call. `span.completion(...)`, `span.usage(...)` or `span.record(response)` say what came back.

    As a decorator the messages are the argument called messages, prompt or input, and the result is read like a response.
    """

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.LLM,
            f"chat {called}" if isinstance(model, str) and called else called or "chat",
            {
                GenAI.OPERATION: "chat",
                GenAI.REQUEST_MODEL: model if isinstance(model, str) else None,
                GenAI.PROVIDER[0]: provider,
                GenAI.TEMPERATURE: temperature,
                Tracehound.PURPOSE: None if purpose is None else str(purpose),
                GenAI.PROMPT_NAME: prompt_name,
                GenAI.PROMPT_VERSION: prompt_version,
                Tracehound.USER_VISIBLE: user_visible or None,
                Tracehound.START_GIVEN: True if start_ns is not None else None,
                **_attempts(attempt, retry_of, fallback_of),
            },
            start_ns=start_ns,
            messages=messages,
        )

    return give(model, lambda called: Scope(LlmSpan, build, called))


def record_llm_call(
    model: str,
    *,
    messages: Sequence[Any] = (),
    completion: Any = None,
    start_ns: int,
    end_ns: int,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cached_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    cost_usd: Any = None,
    provider: str | None = None,
    temperature: float | None = None,
    purpose: Purpose | str | None = None,
    response_id: str | None = None,
    finish_reason: str | None = None,
    first_token_s: float | None = None,
    attempt: int | None = None,
    retry_of: SpanRef | None = None,
    fallback_of: SpanRef | None = None,
    error: BaseException | str | None = None,
) -> LlmSpan:
    """An LLM call that is already over, for instance one read from a log; times in ns since the epoch."""
    scope = llm_call(
        model,
        messages=messages,
        provider=provider,
        temperature=temperature,
        purpose=purpose,
        attempt=attempt,
        retry_of=retry_of,
        fallback_of=fallback_of,
        start_ns=start_ns,
    )
    with scope as span:
        if completion is not None:
            span.completion(*(completion if isinstance(completion, (list, tuple)) else [completion]))
        span.usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            reasoning_tokens=reasoning_tokens,
            cost_usd=cost_usd,
        )
        span.response(response_id=response_id, finish_reason=finish_reason, first_token_s=first_token_s)
        if error is not None:
            span.fail(error)
        span.end_ns = end_ns
    return span
