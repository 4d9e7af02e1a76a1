"""The real client libraries against a scripted server on loopback: recorded, guarded, and asked again after a 429."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest

from tests.capture_auto.running import run
from tests.e2e.environments import Environments
from tests.e2e.found import Found
from tests.e2e.frameworks import PROGRAMS
from tests.e2e.server import CACHED, INPUT, OUTPUT, REASONING, Reply, Request, serving
from tracer.semconv import Tracehound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments.of_run(tmp_path_factory)


CLIENTS = {
    # 600 x 3.00 + 400 x 0.30 + 200 x 15.00 = 1,800 + 120 + 3,000 millionths
    "anthropic": ("claude-sonnet-4-5", None, Decimal("0.00492")),
    "anthropic_helpers": ("claude-sonnet-4-5", None, Decimal("0.00492")),
    # 600 x 0.30 + 400 x 0.03 + 200 x 2.50 = 180 + 12 + 500; thoughts are part of the 200
    "google": ("gemini-2.5-flash", REASONING, Decimal("0.000692")),
    "litellm": ("gpt-4.1-mini", REASONING, Decimal("0.0006")),
}
"""model, reasoning tokens, USD of one call"""
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def hello(request: Request) -> Reply:
    return Reply("Hello to you too.")


@pytest.mark.parametrize("client", CLIENTS)
def test_every_call_of_a_client_is_recorded_once(client: str, environments: Environments, tmp_path: Path) -> None:
    """Plain, streamed, async, async streamed: four spans of one run with tokens and money; what the program gets is as without us."""
    python = environments.python("clients")
    model_name, reasoning, price = CLIENTS[client]
    with serving(hello) as model:
        done = run(tmp_path, "--", str(python), str(PROGRAMS / "clients.py"), client, model.url, **QUIET)
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["Hello to you too."] * 4
    assert len(model.requests) == 4
    found = Found(done.store)
    llm = found.of_kind("llm")
    tokens = llm.select(
        "model", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd"
    ).rows()
    assert [(name.removeprefix("openai/"), *more) for name, *more in tokens] == [
        (model_name, INPUT, CACHED, OUTPUT, reasoning, price)
    ] * 4
    assert llm["response_id"].n_unique() == 4
    assert (found.cost_usd, found.outcome) == (4 * price, "completed")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_guard_stops_a_client(client: str, environments: Environments, tmp_path: Path) -> None:
    """The budget is for three calls: the fourth never reaches the server."""
    python = environments.python("clients")
    with serving(hello) as model:
        words = ("--guard", "iterations=3", "--", str(python), str(PROGRAMS / "clients.py"), client, model.url)
        done = run(tmp_path, *words, **QUIET)
    assert done.code == 1
    assert "3 LLM calls made, 3 are allowed" in done.err
    assert len(model.requests) == 3
    found = Found(done.store)
    assert (found.outcome, found.cost_usd) == ("stopped_by_guard", 3 * CLIENTS[client][2])


def test_tries_inside_a_client_are_told(environments: Environments, tmp_path: Path) -> None:
    """429, 429, 200 are one call that says so, with the time that the client waited."""
    python = environments.python("openai")
    numbers = count()

    def busy(request: Request) -> Reply:
        return Reply("slow down", status=429) if next(numbers) % 3 < 2 else Reply("Hello to you too.")

    with serving(busy) as model:
        done = run(tmp_path, "--", str(python), str(PROGRAMS / "plain_client.py"), **model.variables)
    assert done.code == 0, done.err
    found = Found(done.store)
    llm = found.of_kind("llm")
    assert llm.height * 3 == len(model.requests) == 15
    for said in map(json.loads, llm["attributes"]):
        assert said[Tracehound.TRIES] == 3
        assert said[Tracehound.TRIES_FAILED] == ["429", "429"]
        assert said[Tracehound.TRIES_WAITED_NS] >= 2 * 20_000_000
