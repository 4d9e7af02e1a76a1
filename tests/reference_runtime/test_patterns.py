"""Models, agents and the patterns they work in."""

from __future__ import annotations

from typing import Any

import pytest

from reference_runtime.agent import Agent
from reference_runtime.clock import VirtualClock
from reference_runtime.errors import (
    ToolFailed,
)
from reference_runtime.human import Human
from reference_runtime.model import ChatMessage, ModelRequest, Usage
from reference_runtime.patterns import PATTERNS, Coordinated, Pipeline, Stage
from reference_runtime.runtime import RunResult, Runtime
from reference_runtime.scripted import ScriptedModel, by_role, count_tokens, in_turn, vary
from reference_runtime.tools import Tool, Tools
from tests.reference_runtime.workflows import Steps


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
