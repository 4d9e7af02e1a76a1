"""Guards stop real programs of the OpenAI Agents SDK, LangGraph and Pydantic AI; a scripted server counts the requests."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.capture.spool import read_spool
from tests.e2e.environments import Environments
from tests.e2e.server import Reply, Request, serving
from tracer.semconv import Tracehound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile
ROOT = Path(__file__).resolve().parents[2]
PINS = (
    "openai==3.54.0", "openai-agents==0.24.0", "langgraph==1.2.22", "langchain-openai==1.7.3",
    "pydantic-ai-slim[openai]==2.68.0", "opentelemetry-sdk==1.45.1",
)  # fmt: skip
PRICE = Decimal("0.0006")
"""of one call of gpt-4.1-mini as the server counts it: 600 x $0.40 + 400 cached x $0.10 + 200 x $1.60 a million"""


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with the three frameworks; TRACEHOUND_GUARD_PYTHON names one that is there already."""
    given = os.environ.get("TRACEHOUND_GUARD_PYTHON")
    return given or str(Environments.of_run(tmp_path_factory).with_packages("guarded frameworks", PINS))


def always_more(request: Request) -> Reply:
    """A model that never comes to an end."""
    return Reply(tools=(("more", {}),)) if "more" in request.tools else Reply("more")


def always_more_with_words(request: Request) -> Reply:
    """The same, saying something meanwhile; a stream that begins with words is taken for the answer by Pydantic AI."""
    return replace(always_more(request), text="so far")


@pytest.mark.parametrize("how", ["whole", "stream"])
@pytest.mark.parametrize("framework", ["agents", "langgraph", "pydantic_ai"])
def test_exactly_the_paid_requests_reach_the_server(framework: str, how: str, python: str, tmp_path: Path) -> None:
    """$0.0040, a call costs $0.0006 and about $0.0017 is reserved for it: four calls, then our reason behind whatever is raised.

    Where a framework streams without asking for token counts, each call is charged what was reserved for it: two calls.
    """
    store = tmp_path / "traces.duckdb"
    with serving(always_more_with_words if how == "whole" else always_more) as model:
        done = subprocess.run(
            [python, "-W", "ignore", "-m", "tests.guards.programs", framework, str(store), how],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
            env={
                **os.environ, **model.variables, "PYTHONPATH": str(ROOT), "LANGSMITH_TRACING": "false",
                "OPENAI_AGENTS_DISABLE_TRACING": "1",
            },
        )  # fmt: skip
        requests = len(model.requests)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    blind = how == "stream" and framework != "pydantic_ai"
    assert requests == (2 if blind else 4), (seen, done.stderr)
    if blind:
        assert Decimal("0.0032") < Decimal(seen["spent"]) == Decimal(seen["estimated"]) < Decimal("0.0040")
    else:
        assert (Decimal(seen["spent"]), Decimal(seen["estimated"])) == (4 * PRICE, 0)
    assert seen["reason"] is not None, seen
    assert how == "stream" or "so far" in seen["partial"]
    assert (seen["reason"]["guard"], seen["reason"]["scope"], seen["reason"]["limit"]) == ("budget", "mine", 0.004)
    trips = [s for s in read_spool(store).spans if s.attributes.get(Tracehound.KIND) == "guard_trip"]
    stops = [s for s in trips if s.attributes[Tracehound.GUARD_LEVEL] == "stop"]
    assert [s.span_id for s in stops] == seen["reason"]["span_ids"][-1:]
    assert [s.attributes[Tracehound.GUARD] for s in stops] == ["budget"]
