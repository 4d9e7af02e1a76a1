"""Wrappers of how agents work together: messages, waits, decisions, handoffs, controls, and the person behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .active import now_ns, target
from .marks import decision, escalate, guard_trip, handoff, message, progress, wait
from .shim import notes
from .shim_work import is_handover
from .spans import current_span

Wrapper = Callable[[Any], Any]


def send(original: Any) -> Any:
    async def traced(sent: Any) -> Any:
        run_notes = notes()
        run_notes.look()
        scope = message(
            sent.content,
            to=sent.recipient,
            sender=sent.sender,
            task_id=sent.task_id,
            user_visible=sent.recipient == "user",
            in_reply_to=run_notes.sent.get(sent.in_reply_to or ""),
        )
        with scope as span:
            run_notes.sent[sent.id] = span
            return await original(sent)

    return traced


def receive(bus: Any, runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, *, sender: str | None = None, timeout_s: float | None = None) -> Any:
            notes().look()
            if sender is None and bus.unread(agent):
                # It is there already: nobody waits, and the receiving span is linked to the sending one.
                got = await original(agent, sender=sender, timeout_s=timeout_s)
                _received(current_span(), got)
                return got
            deadline = None if timeout_s is None else runtime.clock.now_ns() + round(timeout_s * 1e9)
            awaited = () if sender is None else (sender,)
            with wait(*awaited, reason="peer", mode="any", deadline_ns=deadline, agent=agent) as span:
                try:
                    got = await original(agent, sender=sender, timeout_s=timeout_s)
                except Exception as error:
                    if type(error).__name__ == "WaitTimedOut":
                        span.timed_out()
                    raise
                _received(span, got)
            return got

        return traced

    return wrap


def _received(span: Any, got: Any) -> None:
    sent = notes().sent.get(got.id)
    if sent is not None:
        span.link(sent, "receives")


def wait_for(runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, for_: Any, **options: Any) -> Any:
            notes().look()
            timeout_s = options.get("timeout_s")
            deadline = None if timeout_s is None else runtime.clock.now_ns() + round(timeout_s * 1e9)
            scope = wait(
                *for_,
                reason=options.get("reason", "peer"),
                mode=options.get("mode", "all"),
                deadline_ns=deadline,
                holds=tuple(options.get("holds", ())),
                agent=agent,
            )
            with scope as span:
                result = await original(agent, for_, **options)
                if result.outcome == "timed_out":
                    span.timed_out()
            return result

        return traced

    return wrap


def decide(original: Any) -> Any:
    async def traced(agent: str, scope: str, options: Any, choice: str, **facts: Any) -> Any:
        run_notes = notes()
        run_notes.look()
        within = current_span().span_id
        inputs, mode = facts.get("inputs"), facts.get("mode", "single")
        described = decision(
            scope,
            choice=choice,
            options=tuple(options),
            reason=facts.get("reason"),
            inputs=dict(inputs) if inputs else None,
            mode=mode if mode != "single" else None,
            agent=agent,
        )
        # Its end is written when it is carried out, or with the span around it: only then it is known whether it was.
        span = described.begin()
        try:
            decided = await original(agent, scope, options, choice, **facts)
        except BaseException as error:
            span.fail(error)
            span.end()
            raise
        span.end_ns = now_ns(target())
        run_notes.decisions[id(decided)] = (decided, span, within)
        return decided

    return traced


def carry_out(original: Any) -> Any:
    async def traced(agent: str, decided: Any, effect: str) -> Any:
        run_notes = notes()
        run_notes.look()
        known = run_notes.decisions.pop(id(decided), None)
        if known is not None:
            span = known[1]
            span.acted_on()
            span.event("carried_out", effect=effect, by=agent)
            span.end()
        return await original(agent, decided, effect)

    return traced


def hand_off(original: Any) -> Any:
    async def traced(from_agent: str, to_agent: str, task: Any, *, reason: str, context: str = "") -> Any:
        run_notes = notes()
        run_notes.look()
        payload = f"{task.goal}\n\n{context}" if context else task.goal
        with handoff(to_agent, reason=reason, payload=payload, task_id=task.id, sender=from_agent) as span:
            run_notes.handoffs[(to_agent, task.id)] = span
            return await original(from_agent, to_agent, task, reason=reason, context=context)

    return traced


def report_progress(original: Any) -> Any:
    async def traced(agent: str, task_id: str, note: str) -> Any:
        notes().look()
        with progress(note, task_id=task_id, agent=agent):
            return await original(agent, task_id, note)

    return traced


def charge(original: Any) -> Any:
    def traced(agent: str, model: str, usage: Any) -> Any:
        try:
            booked = original(agent, model, usage)
        except Exception as error:
            _budget(agent, error)
            raise
        if booked.level == "warn":
            _trip("budget", "warn", booked.limit_usd, booked.spent_usd, "usd", None, agent)
        return booked

    return traced


def check_budget(original: Any) -> Any:
    def traced(agent: str) -> Any:
        try:
            return original(agent)
        except Exception as error:
            _budget(agent, error)
            raise

    return traced


def check_breaker(original: Any) -> Any:
    def traced(agent: str) -> Any:
        try:
            return original(agent)
        except Exception as error:
            if hasattr(error, "limit") and hasattr(error, "spent") and hasattr(error, "unit"):
                facts: Any = error
                _trip_once("circuit_breaker", facts.limit, facts.spent, str(facts.unit).lower(), error, agent)
            raise

    return traced


def ask(human: Any, runtime: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, question: str, **options: Any) -> Any:
            notes().look()
            timeout_s = options.get("timeout_s")
            deadline = None if timeout_s is None else runtime.clock.now_ns() + round(timeout_s * 1e9)
            with escalate(human.name, reason="question", question=question, agent=agent) as span:
                for choice in options.get("options", ()):
                    span.input(choice)
                with wait(human.name, reason="human", deadline_ns=deadline, agent=agent) as waiting:
                    try:
                        answer = await original(agent, question, **options)
                    except Exception as error:
                        if type(error).__name__ == "WaitTimedOut":
                            waiting.timed_out()
                        raise
                span.answer(answer.text, by=answer.by)
            return answer

        return traced

    return wrap


def hand_over(human: Any) -> Wrapper:
    def wrap(original: Any) -> Any:
        async def traced(agent: str, *, reason: str, summary: str) -> Any:
            notes().look()
            handed_over: Exception | None = None
            with escalate(human.name, reason=reason, question=summary, agent=agent):
                try:
                    return await original(agent, reason=reason, summary=summary)
                except Exception as error:
                    if not is_handover(error):
                        raise
                    handed_over = error  # how the run is ended, not a failure of the escalation
            raise handed_over

        return traced

    return wrap


def _budget(agent: str, error: Exception) -> None:
    if hasattr(error, "limit_usd") and hasattr(error, "spent_usd"):
        facts: Any = error
        _trip_once("budget", facts.limit_usd, facts.spent_usd, "usd", error, agent)


def _trip_once(guard: str, limit: Any, spent: Any, unit: str, error: Exception, agent: str) -> None:
    key = (guard, str(limit), unit)
    tripped = notes().tripped
    if key not in tripped:
        tripped.add(key)
        _trip(guard, "stop", limit, spent, unit, str(error), agent)


def _trip(guard: str, level: str, limit: Any, spent: Any, unit: str, reason: str | None, agent: str) -> None:
    guard_trip(
        guard,
        level=level,
        limit=None if limit is None else float(limit),
        spent=None if spent is None else float(spent),
        unit=unit,
        reason=reason,
        agent=agent,
    ).record()
