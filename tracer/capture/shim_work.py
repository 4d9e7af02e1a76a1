"""Wrappers of what agents do: runs, invocations, LLM calls, tool calls, retries and fallbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..semconv import Tracehound
from .active import run_clock
from .live import LiveSpan, link_to
from .marks import wait
from .shim import Attempt, Notes, WatchedState, current_attempt, current_notes, notes
from .spans import agent as agent_span
from .spans import llm_call, tool, workflow

Wrapper = Callable[[Any], Any]


def run(runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(goal: str, **options: Any) -> Any:
            clock = run_clock.set(runtime.clock)
            state = getattr(runtime, "state", None)
            watched = WatchedState.of(state) if hasattr(state, "peek") else None
            remembered = current_notes.set(Notes(watched))
            try:
                scope = workflow(
                    runtime.workflow.name, session_id=runtime.session_id, user_id=runtime.user_id, input=goal
                )
                with scope as span:
                    span.set({Tracehound.SOURCE_ID: runtime.run_id})
                    try:
                        result = await original(goal, **options)
                    finally:
                        notes().look()
                        notes().end_decisions(span.span_id)
                    span.output(result.output)
                    span.outcome(result.outcome, result.reason or None)
                    if result.outcome == "failed":
                        span.fail(result.reason)
                return result
            finally:
                current_notes.reset(remembered)
                run_clock.reset(clock)

        return traced

    return wrap


def invoke(runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, task: Any, *, by: str, reason: str) -> Any:
            run_notes = notes()
            run_notes.look()
            handed = run_notes.handoffs.get((agent, task.id))
            links = () if handed is None else (link_to(handed, "takes_over"),)
            scope = agent_span(agent, reason=reason, task_id=task.id, input=task.goal, links=links, **_trying())
            handed_over: BaseException | None = None
            with scope as span:
                _tried(span)
                span.set({Tracehound.INVOKED_BY: by})
                if task.context:
                    span.input(task.context)
                direct = current_attempt.set(None)
                try:
                    result = await original(agent, task, by=by, reason=reason)
                    span.output(result.text)
                except Exception as error:
                    if not is_handover(error):
                        raise
                    # A person takes over: the agent did its part.
                    handed_over = error
                finally:
                    current_attempt.reset(direct)
                    run_notes.look()
                    run_notes.end_decisions(span.span_id)
            if handed_over is not None:
                raise handed_over
            return result  # pyright: ignore[reportPossiblyUnboundVariable]

        return traced

    return wrap


def complete(model: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(request: Any) -> Any:
            notes().look()
            scope = llm_call(
                request.model,
                messages=request.messages,
                provider=getattr(model, "provider", None),
                temperature=request.temperature,
                purpose=request.purpose,
                **_trying(),
            )
            with scope as span:
                _tried(span)
                response = await original(request)
                said: dict[str, Any] = {"role": "assistant", "content": response.text}
                if response.tool_calls:
                    said["tool_calls"] = list(response.tool_calls)
                span.completion(said)
                usage = response.usage
                span.usage(
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    cached_tokens=usage.cached_tokens or None,
                    reasoning_tokens=usage.reasoning_tokens or None,
                )
                span.response(model=response.model, response_id=response.id, finish_reason=response.finish_reason)
                for call in response.tool_calls:
                    notes().asked_for(call.id, call.name, dict(call.arguments))
            return response

        return traced

    return wrap


def call_tool(original: Any) -> Any:
    async def traced(agent: str, name: str, arguments: Any) -> Any:
        notes().look()
        given = dict(arguments)
        with tool(name, arguments=given, call_id=notes().call_id(name, given), agent=agent, **_trying()) as span:
            _tried(span)
            result = await original(agent, name, arguments)
            span.output(result)
        return result

    return traced


def retrying(original: Any) -> Any:
    async def traced(agent: str, operation: str, call: Any, **options: Any) -> Any:
        # Tries of what runs inside are counted apart from tries of what this is part of; what came of them counts there.
        around = current_attempt.get()
        is_fallback = around is not None and around.is_fallback
        slot = Attempt(None, around.previous if around is not None and is_fallback else None, is_fallback)
        outer = current_attempt.set(slot)
        try:
            return await original(agent, operation, call, **options)
        finally:
            current_attempt.reset(outer)
            if around is not None:
                around.spans += slot.spans

    return traced


def attempt(original: Any) -> Any:
    async def traced(agent: str, operation: str, number: int, call: Any) -> Any:
        before = current_attempt.get()
        if number > 1 or before is None or not before.is_fallback:
            trying = Attempt(number, before if number > 1 else None)
        else:
            trying = Attempt(
                number, before.previous, is_fallback=True
            )  # the first try of a fallback that is retried itself
        token = current_attempt.set(trying)
        try:
            return await original(agent, operation, number, call)
        finally:
            _leave(token, before)

    return traced


def fall_back(original: Any) -> Any:
    async def traced(agent: str, operation: str, to: str, call: Any, because: Any) -> Any:
        before = current_attempt.get()
        token = current_attempt.set(Attempt(None, before, is_fallback=True))
        try:
            return await original(agent, operation, to, call, because)
        finally:
            _leave(token, before)

    return traced


def _leave(token: Any, before: Attempt | None) -> None:
    """Let the next try see this one: the slot that `retrying` made takes its place."""
    tried = current_attempt.get()
    current_attempt.reset(token)
    if before is not None and tried is not None and tried.spans:
        before.spans = tried.spans


def back_off(runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, operation: str, attempt: int, delay_s: float, because: Any) -> Any:
            limited = type(because).__name__ == "RateLimited"
            until = runtime.clock.now_ns() + round(delay_s * 1e9)
            with wait(reason="rate_limit" if limited else "timer", deadline_ns=until, agent=agent) as span:
                span.event(
                    "back_off", operation=operation, attempt=attempt, because=f"{type(because).__name__}: {because}"
                )
                return await original(agent, operation, attempt, delay_s, because)

        return traced

    return wrap


def is_handover(error: BaseException) -> bool:
    """True for the exception by which a case goes to a person: control flow, not a failure."""
    return type(error).__name__ == "HandedToHuman"


def _trying() -> dict[str, Any]:
    current = current_attempt.get()
    return current.attributes() if current is not None and (current.number is not None or current.is_fallback) else {}


def _tried(span: LiveSpan) -> None:
    current = current_attempt.get()
    if current is not None:
        current.spans.append(span.span_id)
