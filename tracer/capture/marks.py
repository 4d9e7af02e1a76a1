"""Facts of coordination: decisions, handoffs, messages, waits, escalations, progress and guard trips.

All but `wait` are marks (see `scope`): a statement records one, a block or a decorated function gives it a duration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from opentelemetry.trace import SpanContext

from ..model import SpanKind
from ..semconv import Tracehound
from .held import held
from .kinds import directed_kind_of, scoped_kind_of
from .live import DecisionSpan, EscalationSpan, LiveSpan, WaitSpan, link_to
from .loose import loose_run
from .scope import Mark, Scope, Spec, given, who_in

F = TypeVar("F", bound=Callable[..., Any])


@scoped_kind_of(Mark, DecisionSpan)
def decision(
    called: str | None,
    /,
    *,
    choice: str | None = None,
    options: Sequence[str] = (),
    reason: str | None = None,
    inputs: Any = None,
    mode: str | None = None,
    acted_on: bool | None = None,
    resolution: str | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
) -> Spec:
    """A choice about `scope`; two choices with one scope in a run are rivals. `inputs` is what was looked at, such as
    `{state key: version}`. A decorated function's result is the choice. `mode="vote"` where several choices are meant."""
    return Spec(
        SpanKind.DECISION,
        f"decide {called or ''}".strip(),
        {
            Tracehound.SCOPE_KEY: called,
            Tracehound.CHOICE: choice,
            Tracehound.REASON: reason,
            Tracehound.DECISION_MODE: mode,
            Tracehound.ACTED_ON: acted_on,
            Tracehound.RESOLUTION: resolution,
        },
        agent=agent,
        start_ns=start_ns,
        inputs=given(inputs),
        outputs=tuple(options),
    )


@directed_kind_of(Mark, LiveSpan)
def handoff(
    called: str | None,
    /,
    *,
    reason: str | None = None,
    payload: Any = None,
    task_id: str | None = None,
    sender: str | None = None,
    start_ns: int | None = None,
) -> Spec:
    """The work goes to agent `to`; `sender` is the agent around, unless given."""
    return Spec(
        SpanKind.HANDOFF,
        f"handoff to {called}",
        {Tracehound.TARGET_AGENT: called, Tracehound.REASON: reason, Tracehound.TASK_ID: task_id},
        agent=sender,
        start_ns=start_ns,
        inputs=given(payload),
    )


def message(
    content: Any,
    *,
    to: str,
    sender: str | None = None,
    task_id: str | None = None,
    user_visible: bool = False,
    in_reply_to: LiveSpan | SpanContext | None = None,
    start_ns: int | None = None,
) -> Mark[LiveSpan]:
    """A message to `to`, from the agent around unless `sender` is given. What consumes it can `span.link(sent, "receives")`."""
    body = given(content)

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.MESSAGE,
            f"message to {to}",
            {Tracehound.TARGET_AGENT: to, Tracehound.TASK_ID: task_id, Tracehound.USER_VISIBLE: user_visible or None},
            agent=sender,
            start_ns=start_ns,
            links=() if in_reply_to is None else (link_to(in_reply_to, "replies_to"),),
            inputs=body,
        )

    return Mark(LiveSpan, build)


def wait(
    *awaited: str,
    for_: str | Sequence[str] = (),
    reason: str = "peer",
    mode: str = "all",
    deadline_ns: int | None = None,
    holds: Sequence[str] = (),
    agent: str | None = None,
    start_ns: int | None = None,
) -> Scope[WaitSpan]:
    """Waiting for agents or resources, named one by one or as `for_`; `reason` is peer, human, rate_limit, lock or timer, `mode` all or any.

    `deadline_ns` (ns since the epoch) is when it gives up; `holds` what it keeps from others meanwhile. The outcome is "met" unless
    the block raises TimeoutError or is cancelled, or says otherwise.
    """
    targets = [*awaited, *((for_,) if isinstance(for_, str) else for_)]
    return wait_of(
        targets, reason=reason, mode=mode, deadline_ns=deadline_ns, holds=holds, agent=agent, start_ns=start_ns
    )


def wait_of(
    targets: Sequence[str],
    *,
    reason: str,
    mode: str = "all",
    deadline_ns: int | None = None,
    holds: Sequence[str] = (),
    place: str | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
) -> Scope[WaitSpan]:
    """`wait` with its targets in a list, and with the thread or task that waits where it is for a lock."""

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.WAIT,
            f"wait for {', '.join(targets) or reason}",
            {
                Tracehound.WAIT_FOR: list(targets) or None,
                Tracehound.WAIT_MODE: mode,
                Tracehound.REASON: reason,
                Tracehound.WAIT_DEADLINE_NS: deadline_ns,
                Tracehound.WAIT_HOLDS: list(dict.fromkeys((*holds, *held()))) or None,
                Tracehound.WAIT_PLACE: place,
                Tracehound.AGENT_ID: who_in().agent_id if agent is None else None,
            },
            agent=agent,
            start_ns=start_ns,
        )

    return Scope(WaitSpan, build)


@directed_kind_of(Mark, EscalationSpan)
def escalate(
    called: str | None,
    /,
    *,
    reason: str | None = None,
    question: Any = None,
    agent: str | None = None,
    start_ns: int | None = None,
) -> Spec:
    """A person (or a higher instance) is asked or takes over. As a block it lasts until the answer: `span.answer(...)`."""
    return Spec(
        SpanKind.ESCALATION,
        f"escalate to {called}",
        {Tracehound.ESCALATION_TO: called, Tracehound.TARGET_AGENT: called, Tracehound.REASON: reason},
        agent=agent,
        start_ns=start_ns,
        inputs=given(question),
    )


def progress(
    note: str | None = None,
    *,
    task_id: str | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
) -> Mark[LiveSpan]:
    """The work got further: what repeats from here on is not a loop."""

    def build(called: str | None) -> Spec:
        return Spec(
            SpanKind.OTHER,
            "progress",
            {Tracehound.PROGRESS: True, Tracehound.REASON: note, Tracehound.TASK_ID: task_id},
            agent=agent,
            start_ns=start_ns,
        )

    return Mark(LiveSpan, build)


def guard_trip(
    guard: str,
    *,
    level: str = "stop",
    limit: float | None = None,
    spent: float | None = None,
    unit: str | None = None,
    reason: str | None = None,
    agent: str | None = None,
    start_ns: int | None = None,
) -> Mark[LiveSpan]:
    """A guard warned (`level="warn"`) or stopped the work; `limit` and `spent` are in `unit` (usd, tokens, s ...)."""

    def build(called: str | None) -> Spec:
        run = loose_run()
        return Spec(
            SpanKind.GUARD_TRIP,
            f"guard {guard}",
            {
                Tracehound.GUARD: guard,
                Tracehound.GUARD_LEVEL: level,
                Tracehound.GUARD_LIMIT: limit,
                Tracehound.GUARD_SPENT: spent,
                Tracehound.GUARD_UNIT: unit,
                Tracehound.REASON: reason,
                Tracehound.RUN_ID: run.run_id,
            },
            agent=agent,
            workflow=run.workflow,
            start_ns=start_ns,
        )

    return Mark(LiveSpan, build)
