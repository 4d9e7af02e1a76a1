"""Programs that go round in circles, and programs that a guard stops, under `tracehound run`."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.capture_auto.running import run
from tests.e2e.environments import Environments
from tests.e2e.found import Found
from tests.e2e.frameworks import FRAMEWORKS, PRICE, WORKER
from tests.e2e.scripts import script
from tests.e2e.server import serving
from tracer.semconv import Tracehound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments.of_run(tmp_path_factory)


LIMITS = {
    "openai-agents": (1, "stopped_by_guard", "Max turns"),
    "langgraph": (0, "completed", None),
    "pydantic-ai": (1, "stopped_by_guard", "request_limit of 12"),
    "crewai": (0, "completed", None),
    "smolagents": (0, "completed", None),
}
"""exit code, outcome, words of the reason; the last three make a worker that ran out of steps answer, and go on"""


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_program_that_goes_round_in_circles_is_told_so(name: str, environments: Environments, tmp_path: Path) -> None:
    """The worker searches for ever: one loop is found, at the worker, with its price; the framework's own limit is the outcome."""
    wanted = FRAMEWORKS[name]
    python = environments.python(wanted.environment)
    code, outcome, reason = LIMITS[name]
    with serving(script(loop=True)) as model:
        done = run(tmp_path, "--", *wanted.command(python, "loop"), **wanted.environ(model))
    assert done.code == code, done.err
    found = Found(done.store)
    assert found.of_kind("llm").height == len(model.requests)
    assert found.cost_usd == sum((PRICE[request.model] for request in model.requests), Decimal(0))
    assert found.outcome == outcome
    assert (reason or "") in (found.traces["outcome_reason"][0] or "")
    loops = found.findings("loop")
    worker = next(agent for (agent, model) in wanted.calls if model == WORKER)
    assert [loop.agents for loop in loops] == [(worker,)]
    assert loops[0].data["iterations"] >= 5
    assert loops[0].wasted_usd > 0


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_guard_stops_the_program(name: str, environments: Environments, tmp_path: Path) -> None:
    """After two calls no request reaches the model any more; the stop is a span inside the run, with its numbers."""
    wanted = FRAMEWORKS[name]
    python = environments.python(wanted.environment)
    with serving(script()) as model:
        words = ("--guard", "iterations=2", "--", *wanted.command(python))
        done = run(tmp_path, *words, **wanted.environ(model))
    assert done.code == 1, done.err
    assert len(model.requests) == 2
    assert "2 LLM calls made, 2 are allowed" in done.err
    assert "1 run," in done.last_line
    found = Found(done.store)
    assert found.cost_usd == sum((PRICE[request.model] for request in model.requests), Decimal(0))
    assert found.outcome == "stopped_by_guard"
    trips = found.of_kind("guard_trip")
    assert trips["parent_span_id"].null_count() == 0
    stops = [said for text in trips["attributes"] if (said := json.loads(text))[Tracehound.GUARD_LEVEL] == "stop"]
    assert [(s[Tracehound.GUARD], s[Tracehound.GUARD_LIMIT], s[Tracehound.GUARD_SPENT]) for s in stops] == [
        ("iterations", 2.0, 2.0)
    ]
    assert "2 LLM calls made" in stops[0][Tracehound.REASON]
    assert trips.filter(pl.col("agent").is_null()).is_empty()
