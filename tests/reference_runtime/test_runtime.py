"""The parts of the runtime: time, state, controls, recovery, people, messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as PriceUsage
from genai_prices import calc_price

from reference_runtime import prices
from reference_runtime.agent import Agent
from reference_runtime.bus import Bus, Message
from reference_runtime.clock import DEFAULT_EPOCH_NS, RealClock, Stalled, VirtualClock
from reference_runtime.controls import CircuitBreaker, CostMonitor
from reference_runtime.coordination import Coordination
from reference_runtime.errors import (
    BreakerOpen,
    BudgetExceeded,
    ModelUnavailable,
    RateLimited,
    StateConflictError,
    ToolFailed,
    WaitTimedOut,
)
from reference_runtime.events import EventSourcedState
from reference_runtime.human import Human
from reference_runtime.model import ChatMessage, ModelRequest, Usage
from reference_runtime.patterns import PATTERNS, Coordinated, Pipeline, Stage
from reference_runtime.recovery import RetryPolicy
from reference_runtime.runtime import RunResult, Runtime
from reference_runtime.scripted import ScriptedModel, by_role, count_tokens, in_turn, vary
from reference_runtime.state import SharedState, State, UnprotectedState, size_bytes
from reference_runtime.tools import Tool, Tools
from tests.reference_runtime.recorder import Recorder


@dataclass(frozen=True)
class Steps:
    """A workflow that is just a function."""

    body: Callable[[Runtime], Awaitable[str]]
    name: str = "steps"

    async def run(self, runtime: Runtime, goal: str) -> str:
        return await self.body(runtime)


def run(body: Callable[[Runtime], Awaitable[str]], *, deadline_s: float | None = None, **parts: Any) -> RunResult:
    clock = VirtualClock()
    runtime = Runtime(workflow=Steps(body), clock=clock, model=ScriptedModel(in_turn("yes"), clock=clock), **parts)
    return clock.run(runtime.run("go", deadline_s=deadline_s))


# time ----------------------------------------------------------------------------------------------------------------


def test_virtual_sleeps_take_no_time_and_overlap() -> None:
    """Two sleeps of a week side by side are one week of virtual time and no real time."""
    clock = VirtualClock()

    async def main() -> list[int]:
        await asyncio.gather(clock.sleep(604_800), clock.sleep(604_799))
        return [clock.now_ns()]

    before = time.monotonic()

    assert clock.run(main()) == [DEFAULT_EPOCH_NS + 604_800 * 10**9]
    assert time.monotonic() - before < 2


def test_timers_fire_in_order_and_work_between_them_is_concurrent() -> None:
    """Virtual time keeps asyncio's semantics: who sleeps less comes first."""
    clock = VirtualClock()
    seen: list[str] = []

    async def step(name: str, *delays: float) -> None:
        for delay in delays:
            await clock.sleep(delay)
            seen.append(f"{name}{clock.elapsed_s:g}")

    async def main() -> None:
        await asyncio.gather(step("a", 1, 2), step("b", 2, 2))

    clock.run(main())

    assert seen == ["a1", "b2", "a3", "b4"]


def test_work_in_threads_takes_no_virtual_time() -> None:
    """While a thread works, the clock stands still, although a timer is due."""
    clock = VirtualClock()

    async def main() -> float:
        timer = asyncio.create_task(clock.sleep(5))
        await asyncio.to_thread(sum, range(1000))
        after = clock.elapsed_s
        await timer
        return after

    assert clock.run(main()) == 0.0


def test_true_deadlock_ends_the_run_and_not_the_others() -> None:
    """A run that waits for an event nobody sets fails with a reason, after the others are through."""
    clock = VirtualClock(patience_s=60)

    async def hang(runtime: Runtime) -> str:
        await runtime.coordination.wait("A", ("B",))
        return "never"

    async def fine(runtime: Runtime) -> str:
        await runtime.clock.sleep(30)
        return "fine"

    model = ScriptedModel(in_turn("yes"), clock=clock)
    runtimes = [Runtime(workflow=Steps(body), clock=clock, model=model) for body in (hang, fine)]

    async def main() -> list[RunResult]:
        return list(await asyncio.gather(*(runtime.run("go") for runtime in runtimes)))

    hung, completed = clock.run(main())

    assert (hung.outcome, completed.outcome) == ("failed", "completed")
    assert "deadlock" in hung.reason
    assert hung.ended_ns - hung.started_ns == 90 * 10**9


def test_deadlock_outside_of_a_run_is_an_error() -> None:
    """There is nothing to end, so the program is told."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled):
        VirtualClock().run(main())


def test_deadline_ends_a_run() -> None:
    """The run's own deadline gives the outcome timed_out."""

    async def slow(runtime: Runtime) -> str:
        await runtime.clock.sleep(100)
        return "late"

    result = run(slow, deadline_s=10)

    assert (result.outcome, result.ended_ns - result.started_ns) == ("timed_out", 10 * 10**9)


def test_programming_errors_are_raised() -> None:
    """A bug in a workflow is not an outcome."""

    async def wrong(_runtime: Runtime) -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run(wrong)


def test_real_clock_runs_the_same_workflows() -> None:
    """Real time works too; only the speed of the sleeps is scaled here."""
    batch = PATTERNS[0].build(1, clock=RealClock(speed=2000))

    assert [result.outcome for result in batch.play()] == ["completed"]


# state ---------------------------------------------------------------------------------------------------------------


def _state_run(state_of: Callable[[VirtualClock], State], body: Callable[[State], Awaitable[Any]]) -> Any:
    clock = VirtualClock()
    return clock.run(body(state_of(clock)))  # type: ignore[arg-type]


@pytest.mark.parametrize("state_of", [SharedState, EventSourcedState], ids=["shared", "events"])
def test_optimistic_concurrency(state_of: Callable[[VirtualClock], State]) -> None:
    """Of two writers from one version the second is refused, and told what is current."""

    async def body(state: State) -> StateConflictError:
        await state.write("A", "k", {"n": 1}, expected_version=0)
        assert await state.write("A", "k", {"n": 2}, expected_version=1) == 2
        with pytest.raises(StateConflictError) as caught:
            await state.write("B", "k", {"n": 3}, expected_version=1)
        assert (await state.read("B", "k")).value == {"n": 2}
        assert await state.write("B", "k", {"n": 4}) == 3
        return caught.value

    error = _state_run(state_of, body)

    assert (error.key, error.expected, error.current) == ("k", 1, 2)


@pytest.mark.parametrize(
    ("state_of", "seen"), [(SharedState, [1]), (EventSourcedState, [1]), (UnprotectedState, [1, 2])]
)
def test_values_changed_in_place(state_of: Callable[[VirtualClock], State], seen: list[int]) -> None:
    """Only the unprotected state hands out the very object it keeps."""

    async def body(state: State) -> Any:
        await state.write("A", "k", [1])
        (await state.read("B", "k")).value.append(2)
        return state.peek("k").value

    assert _state_run(state_of, body) == seen


@pytest.mark.parametrize("state_of", [SharedState, UnprotectedState])
def test_prune_forgets_the_oldest_keys(state_of: Callable[[VirtualClock], State]) -> None:
    """What was written last stays; the state gets smaller."""

    async def body(state: State) -> Any:
        for key in ("a", "b", "c", "a"):
            await state.write("A", key, "x" * 100)
        before = size_bytes(state)
        gone = await state.prune("A", keep=2)
        return gone, state.keys(), size_bytes(state) < before

    assert _state_run(state_of, body) == (("b",), ("c", "a"), True)


def test_events_add_up_and_survive_pruning() -> None:
    """Appends from everybody are kept; pruning folds old events without changing value or version."""
    clock = VirtualClock()
    state = EventSourcedState(clock, lambda value, event: [*(value or []), event])

    async def body() -> tuple[Any, ...]:
        await asyncio.gather(*(state.append(agent, "log", agent) for agent in "ABCD"))
        before = await state.read("A", "log")
        await state.prune("A", keep=1)
        after = await state.read("A", "log")
        return before, after, len(state.history("log")), await state.append("E", "log", "E")

    before, after, left, version = clock.run(body())

    assert before == after
    assert sorted(before.value) == ["A", "B", "C", "D"]
    assert (before.version, left, version) == (4, 1, 5)


# controls ------------------------------------------------------------------------------------------------------------


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


# recovery ------------------------------------------------------------------------------------------------------------


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


# people, messages, waits ---------------------------------------------------------------------------------------------


def test_human_answers_or_does_not() -> None:
    """An answer takes as long as it takes; without one, only the timeout ends the wait."""
    clock = VirtualClock()
    quick = Human(clock, lambda question: (30.0, question.options[0]))
    gone = Human(clock, lambda _question: None)

    async def body() -> tuple[str, float]:
        answer = await quick.ask("A", "Go on?", options=("yes", "no"))
        with pytest.raises(WaitTimedOut):
            await gone.ask("A", "Anyone?", timeout_s=60)
        return answer.text, answer.waited_s

    assert clock.run(body()) == ("yes", 30.0)
    assert clock.elapsed_s == 90.0


def test_hand_over_ends_the_run_as_escalated() -> None:
    """The person takes over; the agents are done."""

    async def body(runtime: Runtime) -> str:
        await runtime.human.hand_over("A", reason="out of my depth", summary="refund")
        return "not reached"

    result = run(body)

    assert (result.outcome, result.output) == ("escalated", "")
    assert "out of my depth" in result.reason


def test_bus_keeps_order_and_waits() -> None:
    """Messages arrive in order, by sender where one is named; an empty box waits until the timeout."""
    clock = VirtualClock()
    bus = Bus(clock)

    def message(number: int, sender: str) -> Message:
        return Message(id=f"m{number}", sender=sender, recipient="C", content="...")

    async def body() -> list[str]:
        reader = asyncio.create_task(bus.receive("C", sender="B"))
        for number, sender in enumerate(("A", "A", "B")):
            await bus.send(message(number, sender))
        got = [(await reader).id, (await bus.receive("C")).id, (await bus.receive("C")).id]
        with pytest.raises(WaitTimedOut):
            await bus.receive("C", timeout_s=5)
        return got

    assert clock.run(body()) == ["m2", "m0", "m1"]
    assert bus.unread("C") == 0


@pytest.mark.parametrize(
    ("mode", "timeout_s", "outcome", "met_by", "waited_s"),
    [
        ("all", None, "met", ("A", "B"), 20),
        ("any", None, "met", ("A",), 10),
        ("all", 15, "timed_out", ("A",), 15),
    ],
)
def test_waits(mode: Any, timeout_s: float | None, outcome: str, met_by: tuple[str, ...], waited_s: float) -> None:
    """`all` takes the slowest, `any` the fastest, a timeout ends either and says who had come."""
    clock = VirtualClock()
    coordination = Coordination(clock)

    async def finish(agent: str, after_s: float) -> None:
        await clock.sleep(after_s)
        coordination.signal(agent)

    async def body() -> Any:
        workers = [asyncio.create_task(finish("A", 10)), asyncio.create_task(finish("B", 20))]
        result = await coordination.wait("C", ("A", "B"), mode=mode, timeout_s=timeout_s)
        await asyncio.gather(*workers)
        return result

    result = clock.run(body())

    assert (result.outcome, result.met_by, result.waited_s) == (outcome, met_by, pytest.approx(waited_s))


def test_a_resource_has_one_holder_at_a_time() -> None:
    """Three agents take turns; nobody gets in while another holds it."""
    clock = VirtualClock()
    coordination = Coordination(clock)
    inside: list[str] = []

    async def use(agent: str) -> float:
        await coordination.acquire(agent, "printer")
        inside.append(agent)
        assert len(inside) == 1
        await clock.sleep(5)
        inside.remove(agent)
        coordination.release(agent, "printer")
        return clock.elapsed_s

    async def body() -> list[float]:
        return list(await asyncio.gather(use("A"), use("B"), use("C")))

    assert sorted(clock.run(body())) == [5.0, 10.0, 15.0]


# model and tools -----------------------------------------------------------------------------------------------------


def test_tokens_follow_the_text_and_prefixes_are_cached() -> None:
    """About four characters a token; a long prefix seen before counts as cached."""
    clock = VirtualClock()
    model = ScriptedModel(in_turn("word " * 100), clock=clock, prefix_cache=True)
    history = (ChatMessage(role="system", content="You are A. " + "x" * 6000),)
    first = ModelRequest(model="gpt-4.1", messages=history)
    second = ModelRequest(model="gpt-4.1", messages=(*history, ChatMessage(role="user", content="and now?")))

    async def body() -> list[Usage]:
        return [(await model.complete(request)).usage for request in (first, second)]

    cold, warm = clock.run(body())

    assert cold.output_tokens == count_tokens("word " * 100) == 125
    assert (cold.cached_tokens, 1500 < cold.input_tokens < 1520) == (0, True)
    assert 1500 < warm.cached_tokens < warm.input_tokens


def test_vary_fills_every_alternative() -> None:
    """Nested alternatives are resolved, and there are as many wordings as the template has."""
    import random

    rng = random.Random(1)
    seen = {vary("[a|b [c|d]] e", rng) for _ in range(50)}

    assert seen == {"a e", "b c e", "b d e"}


def test_agent_is_told_of_failed_tools() -> None:
    """A tool's failure goes back to the model as its result; a missing tool does not end the run either."""
    from reference_runtime.scripted import wants

    clock = VirtualClock()

    def broken(_arguments: Any) -> str:
        raise ToolFailed("lookup", "no such customer", retryable=False)

    seen: list[str] = []

    def respond(request: ModelRequest, _rng: Any) -> Any:
        if request.messages[-1].role == "tool":
            seen.append(request.messages[-1].content)
        return [wants("lookup", id=1), wants("nonsense"), "sorry"][len(seen)]

    async def body(runtime: Runtime) -> str:
        return (await runtime.invoke("A", runtime.new_task("find"), by="user", reason="asked")).text

    runtime = Runtime(
        workflow=Steps(body),
        clock=clock,
        model=ScriptedModel(respond, clock=clock),
        agents=[Agent(name="A", instructions="You help.", tools=("lookup",))],
        tools=Tools(clock, (Tool(name="lookup", description="Look up.", function=broken),)),
    )

    assert clock.run(runtime.run("go")).output == "sorry"
    assert "no such customer" in seen[0]
    assert "no such tool" in seen[1]


# patterns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_patterns_do_the_common_task(pattern: Any) -> None:
    """Each pattern ends with an answer to the same question, and says it to the user."""
    batch = pattern.build(2)
    (result,) = batch.play()

    assert result.outcome == "completed"
    assert len(result.output) > 100
    assert result.model_calls > 1


def test_teams_cost_more_calls_than_one_agent() -> None:
    """The single agent does the same look-ups with fewer calls than a supervised team."""
    calls = {pattern.name: pattern.build(2).play()[0].model_calls for pattern in PATTERNS}

    assert calls["single"] < calls["parallel"] < calls["supervisor"]


def _named_run(workflow: Any, responders: dict[str, Any], names: tuple[str, ...], human: Any = None) -> RunResult:
    clock = VirtualClock()
    runtime = Runtime(
        workflow=workflow,
        clock=clock,
        model=ScriptedModel(by_role(responders), clock=clock),
        agents=[Agent(name=name, instructions="You work.") for name in names],
        human=Human(clock, human) if human else None,
    )
    return clock.run(runtime.run("go"))


@pytest.mark.parametrize(
    ("answers", "outcome"), [(("bad", "good 7"), "completed"), (("bad",), "failed")], ids=["repaired", "hopeless"]
)
def test_pipeline_validates_between_stages(answers: tuple[str, ...], outcome: str) -> None:
    """A rejected output goes back to its stage; after all retries the run fails."""
    stage = Stage(agent="A", goal="count", check=lambda text: None if "7" in text else "no 7 in it")
    result = _named_run(Pipeline(stages=(stage,)), {"A": in_turn(*answers)}, ("A",))

    assert result.outcome == outcome


@pytest.mark.parametrize(
    ("answer", "outcome"), [("stop", "escalated"), ("go on", "stopped_by_guard")], ids=["stop", "go on"]
)
def test_coordinator_notices_repetition_and_has_a_limit(answer: str, outcome: str) -> None:
    """Sending the same member again and again brings a person in; if they let it go on, the limit ends it."""
    asked: list[str] = []

    def person(question: Any) -> tuple[float, str]:
        asked.append(question.text)
        return 5.0, answer

    coordinator = Agent(name="Boss", instructions="You lead.")
    workflow = Coordinated(coordinator=coordinator, members=("A", "B"), max_iterations=6)
    responders = {"Boss": in_turn('{"next": "A", "why": "again"}'), "A": in_turn("nothing new")}
    result = _named_run(workflow, responders, ("A", "B"), person)

    assert result.outcome == outcome
    assert asked
