"""Guards between an agent and its provider: exactly the allowed requests are made, whatever calls the client."""

# ruff: noqa: PT012 - a guard raises from somewhere within the work it guards

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tracer
from tests.guards.clients import Script, installed
from tracer.capture.guard import guards_from_options, install, stop_in, uninstall
from tracer.errors import BudgetExceeded, HardStop
from tracer.semconv import Tracehound
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]  # the fixture

MESSAGES = [{"role": "user", "content": "go"}]


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """A provider behind made-up client libraries."""
    found = Script()
    with installed(tmp_path, found):
        yield found


def calls(module: str, owner: str, method: str, *, is_async: bool = False, **more: Any) -> Callable[[], Any]:
    """One way to make one request, imported when it is used first."""

    def call() -> Any:
        place = importlib.import_module(module)
        function = getattr(getattr(place, owner)(), method) if owner else getattr(place, method)
        given = {"model": "gpt-4o", "messages": MESSAGES, **more}
        result = asyncio.run(_read(function(**given), "stream" in more)) if is_async else function(**given)
        result = result.parse() if hasattr(result, "http_response") else result
        return list(result) if "stream" in more and not is_async else result

    return call


async def _read(awaitable: Any, stream: bool) -> Any:
    result = await awaitable
    return [piece async for piece in result] if stream else result


CHAT, RESPONSES = "openai.resources.chat.completions", "openai.resources.responses"
RAW = {"extra_headers": {"X-Stainless-Raw-Response": "true"}}
WAYS: dict[str, Callable[[], Any]] = {
    "chat": calls(CHAT, "Completions", "create"),
    "chat parse": calls(CHAT, "Completions", "parse"),
    "chat raw": calls(CHAT, "Completions", "create", **RAW),
    "chat async": calls(CHAT, "AsyncCompletions", "create", is_async=True),
    "chat stream": calls(CHAT, "Completions", "create", stream=True),
    "chat raw stream": calls(CHAT, "Completions", "create", stream=True, **RAW),
    "chat async stream": calls(CHAT, "AsyncCompletions", "create", is_async=True, stream=True),
    "responses": calls(RESPONSES, "Responses", "create"),
    "responses async": calls(RESPONSES, "AsyncResponses", "create", is_async=True),
    "anthropic": calls("anthropic.resources.messages", "Messages", "create"),
    "anthropic async": calls("anthropic.resources.messages", "AsyncMessages", "create", is_async=True),
    "google": calls("google.genai.models", "Models", "generate_content"),
    "google async": calls("google.genai.models", "AsyncModels", "generate_content", is_async=True),
    "litellm": calls("litellm", "", "completion"),
    "litellm async": calls("litellm", "", "acompletion", is_async=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("imported_first", [True, False])
def test_exactly_the_allowed_requests_are_made(
    way: str, imported_first: bool, script: Script, recorder: Recorder
) -> None:
    """Three of six calls go out, through every client, imported before or after the guard; the rest are refused at once."""
    if imported_first:
        WAYS[way]()
        script.requests.clear()
    stops: list[BudgetExceeded] = []
    with tracer.workflow("w"), tracer.guard("mine", iterations=3) as guard:
        for _ in range(6):
            try:
                WAYS[way]()
            except BudgetExceeded as stop:
                stops.append(stop)
    assert len(script.requests) == 3
    assert [(s.guard, s.scope, s.limit, s.spent, s.unit) for s in stops] == [("iterations", "mine", 3, 3, "calls")] * 3
    assert guard.spent == {"iterations": 3}
    assert guard.stopped is not None
    stop_spans = [s for s in recorder.of_kind("guard_trip") if s.attributes[Tracehound.GUARD_LEVEL] == "stop"]
    assert [s.span_id for s in stop_spans] == [stops[0].span_ids[-1]]
    assert recorder.dropped == 0


@pytest.mark.parametrize("way", WAYS)
def test_tokens_and_money_are_counted_once(way: str, script: Script) -> None:
    """Input and output as reported, at the table's price, also through two libraries and an own span around them."""
    with tracer.guard(budget_usd=1, tokens=10_000) as guard, tracer.llm_call("gpt-4o", messages=MESSAGES):
        WAYS[way]()
    assert guard.spent == {"tokens": 200, "budget": Decimal("0.00125")}
    assert guard.estimated_usd == 0


UNREAD = {"extra_headers": {"X-Stainless-Raw-Response": "stream"}}
READERS: dict[str, Callable[[Any], Any]] = {
    "parses it": lambda response: response.parse(),
    "parses a stream": lambda response: list(response.parse()),
    "reads the bytes and closes it": lambda response: response.close(),
    "drops it": lambda response: None,
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_response_that_the_host_reads_itself_is_charged_what_it_says(reader: str, script: Script) -> None:
    """`with_streaming_response`: nothing is settled before the host has looked, and then at what the answer says."""
    more: dict[str, Any] = {"stream": True} if "stream" in reader else {}
    with tracer.guard(budget_usd=1, tokens=10_000) as guard:
        create = importlib.import_module(CHAT).Completions().create
        response = create(model="gpt-4o", messages=MESSAGES, **more, **UNREAD)
        READERS[reader](response)
        del response
        gc.collect()
    assert guard.spent == {"tokens": 200, "budget": Decimal("0.00125")}
    assert guard.estimated_usd == 0


def test_an_own_call_is_refused_and_charged(recorder: Recorder) -> None:
    """Hand-written agents: `llm_call` blocks and decorated functions, with the tokens that they report; no client is needed."""
    made = 0

    @tracer.llm_call("gpt-4o")
    def ask(prompt: str) -> dict[str, Any]:
        nonlocal made
        made += 1
        return {"usage": {"prompt_tokens": 400, "completion_tokens": 100}, "content": f"answer {made}"}

    with (
        pytest.raises(BudgetExceeded, match=r"stopped the work \(tokens\)") as stop,
        tracer.guard(tokens=3_000) as guard,
    ):
        while True:
            with tracer.llm_call("gpt-4o") as span:
                span.usage(input_tokens=400, output_tokens=100)
            ask("go")
    assert (guard.spent["tokens"], made, len(recorder.of_kind("llm"))) == (2_000, 2, 4)
    assert "answer 2" in stop.value.partial


def test_a_call_that_is_over_is_charged_but_not_refused() -> None:
    """`record_llm_call` reports what has happened; the next live call meets the limit."""
    with tracer.guard(tokens=1_000) as guard:
        tracer.record_llm_call("gpt-4o", start_ns=1, end_ns=2, input_tokens=900, output_tokens=200)
        tracer.record_llm_call("gpt-4o", start_ns=1, end_ns=2, input_tokens=900, output_tokens=200)
        assert guard.spent == {"tokens": 2_200}
        with pytest.raises(BudgetExceeded), tracer.llm_call("gpt-4o"):
            pytest.fail("was admitted")


@pytest.mark.parametrize("stream", [False, True])
def test_a_missing_price_and_missing_tokens_are_charged_by_estimate(stream: bool, tmp_path: Path) -> None:
    """The guard never switches itself off: it stops on estimates, and says that they are estimates."""
    script = Script(usage=False)
    more: dict[str, Any] = {"stream": True} if stream else {}
    with installed(tmp_path, script):
        with pytest.raises(BudgetExceeded, match="estimated") as stop, tracer.guard(budget_usd="0.5") as guard:
            while True:
                calls(CHAT, "Completions", "create", **more, model="house-model")()
        assert guard.estimated_usd == guard.spent["budget"] > 0
        with tracer.guard(budget_usd="0.5", unknown_price=(1, 1), prices={"house-*": (2, 4)}) as own:
            calls(CHAT, "Completions", "create", **more, model="house-model")()
        # 17 characters asked are 6 tokens; what was reserved for the answer is charged for it
        assert own.estimated_usd == own.spent["budget"] == (6 * 2 + 1_024 * 4) / Decimal(1_000_000)
    assert stop.value.spent < 0.5


def test_a_stream_that_is_dropped_is_charged(script: Script) -> None:
    """Half read, or not read at all: settled when it is let go."""
    completions = importlib.import_module(CHAT).Completions()
    with tracer.guard(iterations=5, tokens=100_000) as guard:
        next(completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
        completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        gc.collect()
    assert guard.spent["iterations"] == 2
    assert guard.spent["tokens"] > 0


class Refused(Exception):
    status_code = 429


@pytest.mark.parametrize(("error", "paid"), [(Refused(), 0), (TimeoutError(), 1)])
def test_a_failed_call_costs_what_it_may_have_cost(error: Exception, paid: int, tmp_path: Path) -> None:
    """A refusal by the provider is free, an answer that nobody waited for is charged by estimate; both are attempts."""

    def fail(_request: Any) -> Any:
        return error

    with installed(tmp_path, fail), tracer.guard(budget_usd=1, iterations=9) as guard:
        with pytest.raises(type(error)):
            WAYS["chat"]()
        assert (guard.spent["budget"] > 0, guard.spent["iterations"]) == (bool(paid), 1)


def test_children_share_what_is_left(script: Script) -> None:
    """The outer budget holds for everything inside, and a child's own limit closes only the child."""
    with tracer.guard("outer", iterations=5) as outer:
        with pytest.raises(BudgetExceeded) as inner_stop, tracer.guard("inner", iterations=2):
            while True:
                WAYS["chat"]()
        assert (inner_stop.value.scope, outer.stopped, outer.spent["iterations"]) == ("inner", None, 2)
        with pytest.raises(BudgetExceeded) as outer_stop, tracer.guard("inner 2", iterations=50):
            while True:
                WAYS["chat"]()
        assert (outer_stop.value.scope, len(script.requests)) == ("outer", 5)
        with pytest.raises(BudgetExceeded):
            WAYS["chat async"]()


def test_the_guard_goes_along_into_threads_and_stays_out_of_others(script: Script) -> None:
    """Threads and executor tasks are charged to who started them; a reused worker forgets."""
    with ThreadPoolExecutor(1) as pool:
        with tracer.guard(iterations=100) as guard:
            thread = threading.Thread(target=WAYS["chat"])
            thread.start()
            thread.join()
            pool.submit(WAYS["chat"]).result()
            asyncio.run(asyncio.to_thread(WAYS["chat"]))
        pool.submit(WAYS["chat"]).result()
    assert (guard.spent["iterations"], len(script.requests)) == (3, 4)


def test_each_call_of_a_decorated_function_has_a_budget_of_its_own(script: Script) -> None:
    """Sync, async and generator functions; named after the function."""

    @tracer.guard(iterations=1)
    def once() -> None:
        WAYS["chat"]()

    @tracer.guard(iterations=1)
    async def twice() -> None:
        create = importlib.import_module(CHAT).AsyncCompletions().create
        await create(model="gpt-4o", messages=MESSAGES)
        await create(model="gpt-4o", messages=MESSAGES)

    @tracer.guard(iterations=1)
    def steps() -> Iterator[int]:
        WAYS["chat"]()
        yield 1
        WAYS["chat"]()

    once()
    once()
    with pytest.raises(BudgetExceeded) as stop:
        asyncio.run(twice())
    assert stop.value.scope.endswith("twice")
    stepping = steps()
    next(stepping)
    WAYS["chat"]()  # between two steps nobody guards
    with pytest.raises(BudgetExceeded):
        next(stepping)
    assert len(script.requests) == 5


def test_hard_passes_except_exception_and_arrives_as_an_ordinary_stop(script: Script) -> None:
    """Inside it is a BaseException, outside of the block a BudgetExceeded."""
    seen: list[BaseException] = []
    with pytest.raises(BudgetExceeded), tracer.guard(iterations=1, hard=True):
        WAYS["chat"]()
        try:
            WAYS["chat"]()
        except Exception:  # noqa: BLE001 - what a framework does
            pytest.fail("was caught")
        except HardStop as stop:
            seen.append(stop)
            raise
    assert len(seen) == 1


def test_escalate_is_asked_instead(script: Script, recorder: Recorder) -> None:
    """It may allow a portion more, as often as asked, or say no; the run counts as escalated, not as stopped, until it does."""
    asked: list[BudgetExceeded] = []

    def manager(stop: BudgetExceeded) -> bool:
        asked.append(stop)
        return len(asked) < 3

    with pytest.raises(BudgetExceeded), tracer.workflow("w"), tracer.guard(iterations=2, escalate=manager):
        while True:
            WAYS["chat"]()
    assert (len(script.requests), [s.limit for s in asked]) == (6, [2, 4, 6])
    assert [s.attributes[Tracehound.ESCALATION_TO] for s in recorder.of_kind("escalation")] == ["manager"] * 3
    levels = [s.attributes[Tracehound.GUARD_LEVEL] for s in recorder.of_kind("guard_trip")]
    assert (levels.count("stop"), levels[-1]) == (1, "stop")


def test_a_warning_comes_once_at_three_quarters(script: Script, recorder: Recorder) -> None:
    """A span of level warn with the limit and what was spent, and the work goes on."""
    with tracer.guard(iterations=8):
        for _ in range(8):
            WAYS["chat"]()
    (warning,) = recorder.of_kind("guard_trip")
    wanted = {
        Tracehound.GUARD: "iterations", Tracehound.GUARD_LEVEL: "warn", Tracehound.GUARD_LIMIT: 8.0,
        Tracehound.GUARD_SPENT: 6.0, Tracehound.GUARD_UNIT: "calls",
    }  # fmt: skip
    assert wanted.items() <= warning.attributes.items()


class Clock:
    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns


def test_time_is_up() -> None:
    """Looked at before each call and by `check`, for work that makes none."""
    clock = Clock()
    with pytest.raises(BudgetExceeded) as stop, tracer.guard(seconds=10, clock=clock) as guard:
        clock.ns = 9_900_000_000
        guard.check()
        clock.ns = 10_100_000_000
        guard.check()
    assert (stop.value.guard, stop.value.limit, stop.value.unit) == ("time", 10, "s")


def test_too_many_calls_at_once(script: Script) -> None:
    """A runaway fan-out is stopped while the first calls are still under way."""
    with tracer.guard(concurrency=2) as guard, tracer.llm_call("a"), tracer.guard("inner"):
        streams = [
            importlib.import_module(CHAT).Completions().create(model="m", messages=MESSAGES, stream=True) for _ in "ab"
        ]
        with pytest.raises(BudgetExceeded, match="2 calls at once"):
            WAYS["chat"]()
    assert (len(script.requests), len(streams), guard.stopped is not None) == (2, 2, True)


def test_a_loop_is_stopped(script: Script) -> None:
    """The same words again and again: the next call is refused; a run with news is let alone."""
    script.text = "I need more context on the figures before I can go on with the analysis"
    with pytest.raises(BudgetExceeded) as stop, tracer.guard(loop="critical", iterations=40):
        while True:
            WAYS["chat"]()
    assert stop.value.guard == "loop"
    assert len(script.requests) <= 8
    with tracer.guard(loop="critical"):
        for number in range(40):
            script.text = (
                f"Section {number}: chapter{number * 7919} covers topic{number * 104729} of region{number * 31}"
            )
            WAYS["chat"]()


@pytest.mark.parametrize("news", [False, True])
def test_tool_results_are_news(news: bool, script: Script) -> None:
    """The same tool asked again is a loop only as long as it answers the same."""
    with tracer.guard(loop="critical") as guard:
        messages: list[dict[str, Any]] = [{"role": "system", "content": "You poll."}]
        script.text = ""
        with contextlib.suppress(BudgetExceeded):
            for number in range(12):
                call = {"id": f"c{number}", "function": {"name": "look", "arguments": "{}"}}
                result = f"order{number * 7919} shipped to depot{number * 104729}" if news else "nothing yet"
                messages += [
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": f"c{number}", "content": result},
                ]
                importlib.import_module(CHAT).Completions().create(model="gpt-4o", messages=messages)
    assert (guard.stopped is None) is news


def test_state_that_grows_too_large() -> None:
    """The write that passes the limit stops the agent; what was written stays."""
    with pytest.raises(BudgetExceeded, match="notes") as stop, tracer.guard(state_bytes=50):
        state = tracer.state({})
        state["notes"] = "short"
        state["notes"] = "x" * 100
    assert (stop.value.guard, stop.value.unit, len(state["notes"])) == ("state size", "bytes", 100)


def test_a_guard_for_the_whole_process(script: Script) -> None:
    """What `run --guard` does: it holds where nobody set a guard, also in threads, and around guards of the program."""
    guard = guards_from_options(["iterations=2", "tokens=200k", "loop=critical"])
    install(guard)
    try:
        WAYS["chat"]()
        thread = threading.Thread(target=WAYS["chat"])
        thread.start()
        thread.join()
        with pytest.raises(BudgetExceeded), tracer.guard("inner", iterations=9):
            WAYS["chat"]()
    finally:
        uninstall(guard)
    assert len(script.requests) == 2
    WAYS["chat"]()


def test_the_reason_is_found_behind_a_frameworks_error(script: Script) -> None:
    """Through causes, contexts and groups; an error with no trace of ours gets a note."""
    with pytest.raises(RuntimeError) as wrapped, tracer.guard(iterations=1):
        WAYS["chat"]()
        try:
            WAYS["chat"]()
        except BudgetExceeded as stop:
            raise RuntimeError("agent failed") from ExceptionGroup("tasks", [stop])
    found = stop_in(wrapped.value)
    assert found is not None
    assert found.reason["guard"] == "iterations"
    with pytest.raises(RuntimeError) as bare, tracer.guard(iterations=1):
        WAYS["chat"]()
        with contextlib.suppress(BudgetExceeded):
            WAYS["chat"]()
        raise RuntimeError("agent failed")
    assert "stopped the work (iterations)" in bare.value.__notes__[0]


def test_without_a_guard_nothing_changes(script: Script) -> None:
    """Wrapped clients give what they gave, and the result keeps its type."""
    with tracer.guard(iterations=9):
        inside = importlib.import_module(CHAT).Completions().create(model="m", messages=MESSAGES, stream=True)
    outside = importlib.import_module(CHAT).Completions().create(model="m", messages=MESSAGES, stream=True)
    assert type(inside) is type(outside)
    assert len(list(inside)) == len(list(outside)) == 3
    install_count = importlib.import_module(CHAT).Completions.create
    with tracer.guard(iterations=9):
        pass
    assert importlib.import_module(CHAT).Completions.create is install_count
