"""One LLM call under guard: admitted before it is made, settled when it is over.

Calls lie in each other (an own `llm_call` block around a client, LiteLLM around OpenAI's client): the innermost is the one
that is made, so it takes over from those around it, and nothing is charged twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

from opentelemetry import context as otel_context

from ...online.budget import Hold, Refusal
from ...online.ledger import Ledger, WindowFull, WindowLimit
from ...online.loop import Event
from ...online.tariff import Used
from ..complaints import complain
from ..scope import who_in
from .core import Guard, current
from .reading import Answered, Asked, guessed

TICKET: Final = otel_context.create_key("tracehound-guarded-call")


class Ticket:
    """The right to make one call."""

    def __init__(
        self, guard: Guard, asked: Asked, hold: Hold, window_holds: Sequence[tuple[Ledger, str]], outer: Ticket | None
    ) -> None:
        self.guard = guard
        self.asked = asked
        self._hold = hold
        self._window_holds = window_holds
        self._outer = outer
        self._agent = who_in().agent or asked.speaker
        self._taken_over = False

    @contextmanager
    def active(self) -> Generator[None]:
        """While the call is being made: a client inside takes over."""
        token = otel_context.attach(otel_context.set_value(TICKET, self))
        try:
            yield
        finally:
            otel_context.detach(token)

    def hand_over(self) -> None:
        """A call inside this one is the real one."""
        ticket: Ticket | None = self
        while ticket is not None:
            if not ticket._taken_over:
                ticket._taken_over = True
                ticket._book({}, Decimal(0))
            ticket = ticket._outer

    def settle(self, answered: Answered, made_chars: int | None = None, error: BaseException | None = None) -> None:
        """What it really was. The first settlement counts; never raises."""
        if self._taken_over or not self._hold.open:
            return
        try:
            self._settle(answered, made_chars, error)
        except Exception:  # noqa: BLE001 - the answer is there and belongs to the host; logged once
            complain("settling a guarded call")

    def _settle(self, answered: Answered, made_chars: int | None, error: BaseException | None) -> None:
        options = self.guard.options
        used = answered.used
        if used is None:
            free = error is not None and not _may_have_been_billed(error)
            used = Used() if free else guessed(self.asked, made_chars or len(answered.text), options.assumed_output)
        rate = options.tariff.rate(self.asked.model or answered.model)
        cost = rate.cost(used) if answered.cost_usd is None else answered.cost_usd
        self._book(
            {"budget": cost, "tokens": Decimal(used.input_tokens + used.output_tokens), "iterations": Decimal(1)}, cost
        )
        estimate = cost if answered.cost_usd is None and (used.estimated or rate.estimated) else Decimal(0)
        for guard in self.guard.chain():
            guard.heard(answered.text, estimate)
            if error is None and guard.limits.loop is not None:
                name = self.asked.model or ""
                guard.feed(
                    Event(id="", agent=self._agent, kind="llm", name=name, text=answered.text, heard=self.asked.newest)
                )

    def _book(self, amounts: dict[str, Decimal], cost: Decimal) -> None:
        try:
            warnings = self.guard.account.settle(self._hold, amounts)
        except OSError:
            complain("writing down what a call cost")  # what was promised for it counts as spent
            return
        for ledger, hold in self._window_holds:
            try:
                ledger.pay(hold, cost)
            except OSError:
                complain("writing to the guards' ledger")  # the hold stays and counts as spent
        for warning in warnings:
            for guard in self.guard.chain():
                if guard.account is warning.account:
                    guard.warn(warning)


def admit(asked: Asked) -> Ticket | None:
    """The right to make a call; None where no guard is around.

    Raises:
        BudgetExceeded: a guard refuses (HardStop where it was made with hard=True).
    """
    guard = current()
    if guard is None:
        return None
    outer = otel_context.get_value(TICKET)
    above = outer if isinstance(outer, Ticket) and outer.guard in guard.chain() else None
    if above is not None:
        above.hand_over()
    agent = who_in().agent or asked.speaker
    for each in guard.chain():
        for tool in asked.tools:
            each.feed(Event(id="", agent=agent, kind="tool", name=tool.name, args=tool.args, text=tool.text))
        each.refuse_if_closed()
    likely = guessed(asked, 0, guard.options.assumed_output)
    cost = guard.options.tariff.rate(asked.model).cost(likely)
    needs = {
        "budget": cost,
        "tokens": Decimal(likely.input_tokens + likely.output_tokens),
        "iterations": Decimal(1),
        "concurrency": Decimal(1),
    }
    hold = _reserve(guard, needs)
    try:
        window_holds = _reserve_windows(guard, cost)
    except BaseException:
        guard.account.release(hold)
        raise
    return Ticket(guard, asked, hold, window_holds, above)


def charge(asked: Asked, answered: Answered) -> None:
    """Book a call that is already over, for instance one read from a log; refuses nothing."""
    guard = current()
    if guard is None:
        return
    used = answered.used or guessed(asked, 0, guard.options.assumed_output)
    cost = guard.options.tariff.rate(asked.model).cost(used) if answered.cost_usd is None else answered.cost_usd
    amounts = {
        "budget": cost,
        "tokens": Decimal(used.input_tokens + used.output_tokens),
        "iterations": Decimal(1),
    }
    for warning in guard.account.charge(amounts):
        for each in guard.chain():
            if each.account is warning.account:
                each.warn(warning)


def _reserve(guard: Guard, needs: dict[str, Decimal]) -> Hold:
    while True:
        try:
            hold = guard.account.reserve(needs)
        except OSError as error:
            # A budget that cannot be read is taken for spent: a guard never silently switches itself off.
            guard.trip(
                "ledger", "", 0, 0, f"the budget shared by several processes cannot be read: {error}", latch=False
            )
            hold = Hold([])
        if not isinstance(hold, Refusal):
            return hold
        refusing = next(each for each in guard.chain() if each.account is hold.account)
        refusing.refused(hold)


def _reserve_windows(guard: Guard, cost: Decimal) -> list[tuple[Ledger, str]]:
    """One hold for each ledger, however many guards look at it."""
    asked: dict[Ledger, list[tuple[Guard, WindowLimit]]] = {}
    for each in guard.chain():
        if each.ledger is not None and each.windows:
            windows = each.open_windows(each.windows)
            asked.setdefault(each.ledger, []).extend((each, window) for window in windows)
    held: list[tuple[Ledger, str]] = []
    for ledger, rows in asked.items():
        while True:
            open_rows = [(each, window) for each, window in rows if each.open_windows((window,))]
            try:
                found = ledger.hold(cost, [window for _, window in open_rows])
            except OSError as error:
                # A window that cannot be read is taken for full: a guard never silently switches itself off.
                rows[0][0].trip("ledger", "", 0, 0, f"the ledger of this store cannot be used: {error}", latch=False)
                break
            if not isinstance(found, WindowFull):
                held.append((ledger, found))
                break
            try:
                next(each for each, window in open_rows if window is found.window).window_full(found)
            except BaseException:
                for other, hold in held:
                    other.pay(hold, Decimal(0))
                raise
    return held


def _may_have_been_billed(error: BaseException) -> bool:
    """A refusal with an HTTP status costs nothing; a call given up half-way may."""
    if isinstance(getattr(error, "status_code", None), int):
        return False
    gone = (TimeoutError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)
    return isinstance(error, gone) or "Timeout" in type(error).__name__
