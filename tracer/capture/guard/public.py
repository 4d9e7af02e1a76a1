"""`tracer.guard(...)`: limits around a block or a function.

with tracer.guard(budget_usd=5, iterations=50) as guard: ...
@tracer.guard(tokens=200_000, seconds=300)
async def answer(question: str) -> str: ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import Token
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from ...clock import Clock
from ...errors import BudgetExceeded, HardStop
from ...online.ledger import WindowFull
from ...online.limits import Limits, LoopLevel, checked, parse
from ...online.tariff import ASSUMED_OUTPUT, UNKNOWN, Rate, Tariff
from ..complaints import complain
from ..wrap import name_of, wrap
from .core import GUARD, Escalate, Guard, Options, current
from .family import leave
from .making import make

F = TypeVar("F", bound=Callable[..., Any])
Money = Decimal | float | int | str


class GuardScope:
    """A guard to be: enter it, or decorate a function with it; then every call has a guard of its own."""

    def __init__(self, limits: Limits, options: Options, *, named: bool = False) -> None:
        self._limits = limits
        self._options = options
        self._named = named
        self._entered: list[_Entered] = []

    def __enter__(self) -> Guard:
        entered = _Entered(make(self._limits, self._options))
        self._entered.append(entered)
        return entered.guard

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self._entered.pop().leave(error)

    async def __aenter__(self) -> Guard:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace_back)

    def __call__(self, function: F, /) -> F:
        """Decorate a function of any kind; each call begins with the whole budget."""
        options = self._options if self._named else replace(self._options, name=name_of(function))
        return wrap(function, lambda _args: _Call(make(self._limits, options)))


class _Entered:
    """A guard that is the innermost one, from its making until `leave`."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        guard.begin(current())
        self._run = _start_run(guard)
        self.context = otel_context.set_value(GUARD, guard)
        self._token: Token[Context] | None = otel_context.attach(self.context)

    def detach(self) -> None:
        if self._token is not None and otel_context.get_current() is self.context:
            otel_context.detach(self._token)
        self._token = None

    def leave(self, error: BaseException | None) -> None:
        """The block is over; a hard stop becomes an ordinary exception here."""
        self.detach()
        if self._run is not None and self.guard.ledger is not None:
            try:
                self.guard.ledger.end_run(self._run)
            except OSError:
                complain("writing to the guards' ledger")
        leave(self.guard)
        stopped = self.guard.stopped
        if isinstance(error, HardStop):
            raise error.exceeded from error
        if error is not None and stopped is not None and stop_in(error) is None:
            # A framework put an error of its own in the place of ours: say what was behind it.
            error.add_note(f"tracehound: {stopped.message}")


class _Call:
    """One call of a decorated function, as `wrap` wants it."""

    def __init__(self, guard: Guard) -> None:
        self.span = self
        self._entered = _Entered(guard)
        self._entered.detach()

    def take_arguments(self, arguments: dict[str, Any]) -> None:
        """A guard does not look at them."""

    def take_result(self, result: Any) -> None:
        """Nor at the result."""

    @contextmanager
    def active(self) -> Generator[None]:
        context = otel_context.set_value(GUARD, self._entered.guard)
        token = otel_context.attach(context)
        try:
            yield
        finally:
            if otel_context.get_current() is context:
                otel_context.detach(token)

    def end(self, error: BaseException | None) -> None:
        self._entered.leave(error)


def guard(
    name: str = "guard",
    *,
    budget_usd: Money | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    iterations: int | None = None,
    concurrency: int | None = None,
    loop: LoopLevel | float | bool | None = None,
    fanout: int | bool | None = None,
    deadlock: bool | None = None,
    state_bytes: int | None = None,
    per_hour_usd: Money | None = None,
    per_day_usd: Money | None = None,
    runs_per_hour: int | None = None,
    concurrent_runs: int | None = None,
    escalate: Escalate | None = None,
    hard: bool = False,
    warn_at: float | None = 0.75,
    prices: Mapping[str, tuple[Money, Money]] | None = None,
    unknown_price: tuple[Money, Money] | None = None,
    assumed_output_tokens: int = ASSUMED_OUTPUT,
    store: str | os.PathLike[str] | None = None,
    clock: Clock | None = None,
) -> GuardScope:
    """Limits that stop what runs inside, whichever framework it is; see docs/guards.md.

    Args:
        budget_usd, tokens: reserved before each LLM call, settled after it.
        seconds: wall time; looked at before each LLM call, so that a call under way is not cut off.
        iterations, concurrency: LLM calls in all, and at once.
        loop: "critical" or "warning", the alarm that stops a run without progress.
        fanout: agents at work at once (True: 64); agents that double, grow without ending or go deeper than 8 are stopped, too.
        deadlock: refuse the wait after which agents could only be released by each other.
        state_bytes: the largest value that may be written to tracked state.
        per_hour_usd, per_day_usd, runs_per_hour, concurrent_runs: over all processes that guard with windows on this store.
        escalate: called with the stop instead of raising it; False stops after all, else one portion more is allowed.
        hard: raise a BaseException inside the block, which `except Exception` does not catch. It hangs AutoGen.
        warn_at: share of a limit at which a warning is recorded.
        prices: model, or beginning ending in `*` -> (input, output) in USD per million tokens.
        unknown_price: what a model without a known price is charged, (15, 75) by default.
        assumed_output_tokens: reserved for an answer of unknown length, and charged where it stays unknown.
        store: whose windows count; by default the store that is recorded to.
        clock: replaces the clocks.

    Raises:
        BadInput: a limit is no number above zero.
        BudgetExceeded: from whatever asks for more inside; on entering where a window for runs is full.
    """
    limits = checked(
        budget_usd=budget_usd, tokens=tokens, seconds=seconds, iterations=iterations, concurrency=concurrency, loop=loop,
        fanout=fanout, deadlock=deadlock, state_bytes=state_bytes, per_hour_usd=per_hour_usd, per_day_usd=per_day_usd, runs_per_hour=runs_per_hour,
        concurrent_runs=concurrent_runs,
    )  # fmt: skip
    own = {model.lower(): Rate(Decimal(str(a)), Decimal(str(b))) for model, (a, b) in (prices or {}).items()}
    unknown = UNKNOWN
    if unknown_price is not None:
        unknown = Rate(Decimal(str(unknown_price[0])), Decimal(str(unknown_price[1])), estimated=True)
    options = Options(
        name=name,
        escalate=escalate,
        hard=hard,
        warn_at=None if warn_at is None else Decimal(str(warn_at)),
        assumed_output=assumed_output_tokens,
        tariff=Tariff(own, unknown),
        store=Path(store) if store is not None else None,
        clock=clock,
    )
    return GuardScope(limits, options, named=name != "guard")


def guards_from_options(
    options: Iterable[str], *, name: str = "run", store: str | os.PathLike[str] | None = None
) -> Guard:
    """The guard for `--guard budget=5 --guard loop=critical`; `install` makes it hold for the whole process.

    Raises:
        BadInput: an option that is not `name=value`, an unknown name, or no number above zero.
    """
    return make(parse(options), Options(name=name, store=Path(store) if store is not None else None))


def stop_in(error: BaseException | None) -> BudgetExceeded | None:
    """The guard's stop behind an error of a framework, by its causes, contexts and members; None where there is none."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, BudgetExceeded):
            return each
        if isinstance(each, HardStop):
            return each.exceeded
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += list(cast("BaseExceptionGroup[BaseException]", each).exceptions)
    return None


def _start_run(guard: Guard) -> str | None:
    """Count the run in the windows of the store; raises where they are full."""
    windows, ledger = guard.run_windows, guard.ledger
    while ledger is not None and windows:
        try:
            found = ledger.start_run(guard.open_windows(windows))
        except OSError as error:
            guard.trip("ledger", "", 0, 0, f"the ledger of this store cannot be used: {error}", latch=False)
            return None
        if not isinstance(found, WindowFull):
            return found
        guard.window_full(found)
    return None
