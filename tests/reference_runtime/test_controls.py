"""What keeps a run in bounds and what it does about errors: budgets, breakers, prices, retries and fallbacks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as PriceUsage
from genai_prices import calc_price

from reference_runtime import prices
from reference_runtime.clock import VirtualClock
from reference_runtime.controls import CircuitBreaker, CostMonitor
from reference_runtime.errors import (
    BreakerOpen,
    BudgetExceeded,
    ModelUnavailable,
    RateLimited,
)
from reference_runtime.model import Usage
from reference_runtime.recovery import RetryPolicy
from reference_runtime.runtime import Runtime
from reference_runtime.scripted import ScriptedModel, in_turn
from tests.reference_runtime.recorder import Recorder
from tests.reference_runtime.workflows import Steps


def test_budget_warns_once_at_75_percent_and_raises_at_100() -> None:
    """The call that reaches the limit is booked and refused; so is every check after it."""
    monitor = CostMonitor(Decimal("0.10"))
    cent = Usage(input_tokens=5000, output_tokens=0)
    levels = [monitor.charge("A", "gpt-4.1", cent).level for _ in range(9)]

    assert levels == ["ok"] * 7 + ["warn", "ok"]
    with pytest.raises(BudgetExceeded) as caught:
        monitor.charge("A", "gpt-4.1", cent)
    assert (caught.value.limit_usd, caught.value.spent_usd) == (Decimal("0.10"), Decimal("0.10"))
    with pytest.raises(BudgetExceeded):
        monitor.check("A")


def test_breaker_opens_on_time_and_stays_open_until_reset() -> None:
    """Time alone opens it, and only a reset closes it."""
    clock = VirtualClock()
    breaker = CircuitBreaker(clock, CostMonitor(), max_seconds=60)

    async def body() -> None:
        await clock.sleep(59)
        breaker.check("A")
        await clock.sleep(1)
        for _ in range(2):
            with pytest.raises(BreakerOpen, match="s of 60"):
                breaker.check("A")
        breaker.reset()
        breaker.check("A")

    clock.run(body())


def test_breaker_opens_on_cost() -> None:
    """Money alone opens it."""
    cost = CostMonitor()
    breaker = CircuitBreaker(VirtualClock(), cost, max_usd=Decimal("0.01"))
    breaker.check("A")
    cost.charge("A", "gpt-4.1", Usage(input_tokens=5000, output_tokens=0))

    with pytest.raises(BreakerOpen, match="usd"):
        breaker.check("A")


@pytest.mark.parametrize("model", sorted(prices.USD_PER_MILLION))
def test_prices_agree_with_the_public_table(model: str) -> None:
    """The runtime's own purse and anybody who prices its calls by name come to the same sum."""
    usage = Usage(input_tokens=10_000, output_tokens=2_000, cached_tokens=4_000)
    public = calc_price(
        PriceUsage(input_tokens=10_000, output_tokens=2_000, cache_read_tokens=4_000),
        model_ref=model,
        provider_id="anthropic" if model.startswith("claude") else "openai",
    )

    assert prices.cost_usd(model, usage) == public.total_price


def test_unknown_models_are_not_free() -> None:
    """A model that is missing from the table still counts against the budget."""
    assert prices.cost_usd("home-made", Usage(input_tokens=1000, output_tokens=0)) > 0


def _recover(errors: list[Exception], *, fallbacks: bool = False) -> tuple[list[tuple[str, Any]], Any, float]:
    """What `retrying` did while the call failed with these errors, one after the other."""
    clock = VirtualClock()
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    async def other() -> str:
        return "other answer"

    async def body(runtime: Runtime) -> str:
        return await runtime.recovery.retrying(
            "A", "ask", call, policy=RetryPolicy(attempts=3), fallbacks=[("small", other)] if fallbacks else ()
        )

    runtime = Runtime(workflow=Steps(body), clock=clock, model=ScriptedModel(in_turn("yes"), clock=clock))
    recorder = Recorder()
    recorder.watch(runtime)
    result = clock.run(runtime.run("go"))
    did = [
        (row["kind"], row["status"]) for row in recorder.rows if row["method"] in ("attempt", "back_off", "fall_back")
    ]
    return did, (result.outcome, result.output), clock.elapsed_s


@pytest.mark.parametrize(
    ("errors", "fallbacks", "did", "result", "seconds"),
    [
        ([], False, [("attempt", "ok")], ("completed", "answer"), 0),
        (
            [RateLimited("429"), RateLimited("429")],
            False,
            [("attempt", "error"), ("back_off", "ok")] * 2 + [("attempt", "ok")],
            ("completed", "answer"),
            3,
        ),
        (
            [RateLimited("429")] * 3,
            False,
            [("attempt", "error"), ("back_off", "ok")] * 2 + [("attempt", "error")],
            ("failed", ""),
            3,
        ),
        (
            [RateLimited("429")] * 3,
            True,
            [("attempt", "error"), ("back_off", "ok")] * 2 + [("attempt", "error"), ("fall_back", "ok")],
            ("completed", "other answer"),
            3,
        ),
        (
            [ModelUnavailable("gone")],
            True,
            [("attempt", "error"), ("fall_back", "ok")],
            ("completed", "other answer"),
            0,
        ),
    ],
    ids=["first try", "third try", "gives up", "falls back", "no use to retry"],
)
def test_retries_back_off_and_fall_back(
    errors: list[Exception], fallbacks: bool, did: list[Any], result: Any, seconds: float
) -> None:
    """Retries double their pause, useless ones are skipped, the fallback comes last."""
    assert _recover(errors, fallbacks=fallbacks) == (did, result, pytest.approx(seconds))
