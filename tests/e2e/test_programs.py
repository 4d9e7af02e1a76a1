"""Unmodified programs of real frameworks under `tracehound run`, against a scripted model on loopback."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.capture_auto.running import run
from tests.e2e.environments import CONTRADICTION, Environments
from tests.e2e.found import Found
from tests.e2e.frameworks import FRAMEWORKS, LEAD, PRICE, PROGRAMS, WORKER, Framework
from tests.e2e.scripts import script
from tests.e2e.server import CACHED, INPUT, OUTPUT, REASONING, Model, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile
TOKENS = ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"]


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments.of_run(tmp_path_factory)


WITHOUT = Framework(
    "openai-agents alone", "support_desk.py", "12 days ago.", {(None, LEAD): 1, (None, WORKER): 2},
    hint="install openinference-instrumentation-openai-agents",
)  # fmt: skip
"""A framework without its instrumentor: the client's calls, and the name of what is missing."""


@pytest.mark.parametrize("how", ["ordinary", "streaming"])
@pytest.mark.parametrize("name", [*FRAMEWORKS, "openai-agents without instrumentor"])
def test_an_unmodified_program_is_one_run_with_everything_in_it(
    name: str, how: str, environments: Environments, tmp_path: Path
) -> None:
    """Agents, who called whom, LLM calls, tokens, money, tools and handoffs, each once; the program says what it says without us."""
    wanted = FRAMEWORKS.get(name, WITHOUT)
    python = environments.python(wanted.environment)
    with serving(script()) as model:
        done = run(tmp_path, "--", *wanted.command(python, how), **wanted.environ(model))
    assert done.code == 0, done.err
    assert done.out.strip().endswith(wanted.says)  # smolagents prints what it streams, too
    assert "1 run," in done.last_line
    said = [line for line in done.err.splitlines() if line.startswith("tracehound:")]
    assert len(said) == (2 if wanted.hint else 1), done.err
    assert wanted.hint in said[0]
    found = Found(done.store)
    _check_calls(found, wanted, model)
    assert found.cost_usd == wanted.price
    assert found.outcome == "completed"
    assert found.agents == wanted.agents
    assert found.callers == wanted.callers
    assert found.tools == sorted((*tool, "ok") for tool in wanted.tools)
    assert found.handoffs == list(wanted.handoffs)


def _check_calls(found: Found, wanted: Framework, model: Model) -> None:
    llm = found.of_kind("llm")
    assert found.calls == wanted.calls
    assert Counter(llm["model"]) == Counter(request.model for request in model.requests)
    assert llm["response_id"].drop_nulls().n_unique() in (0, llm.height)  # LangChain's instrumentor leaves it out
    assert llm.select(TOKENS).unique().rows() == [(INPUT, CACHED, OUTPUT, REASONING)]
    assert [PRICE[model] for model in llm["model"]] == llm["cost_usd"].to_list()
    assert set(llm["status"]) == {"ok"}
    assert all("traceparent" in request.headers for request in model.requests)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_stream_that_says_nothing_about_tokens_costs_an_unknown_sum(
    name: str, environments: Environments, tmp_path: Path
) -> None:
    """The calls are there, each once, without tokens; their cost is unknown, not nothing, and the program is not disturbed."""
    wanted = FRAMEWORKS[name]
    python = environments.python(wanted.environment)
    with serving(script(usage=False)) as model:
        done = run(tmp_path, "--", *wanted.command(python, "streaming"), **wanted.environ(model))
    assert done.code == 0, done.err
    assert done.out.strip().endswith(wanted.says)
    found = Found(done.store)
    assert found.calls == wanted.calls
    assert len(model.requests) == sum(wanted.calls.values())
    llm = found.of_kind("llm")
    assert llm.select(pl.col("cost_usd", "input_tokens", "cached_tokens", "reasoning_tokens").count()).rows() == [
        (0,) * 4
    ]
    assert llm["output_tokens"].sum() == 0  # smolagents' instrumentor writes zeros
    assert found.cost_usd is None
    assert found.traces["unpriced_calls"].to_list() == [llm.height]


HANDLED = {"openai-agents", "crewai", "smolagents"}
"""frameworks that tell the model of an error in a tool; in the others it ends the program"""


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_error_in_a_tool_is_told_where_it_happened(name: str, environments: Environments, tmp_path: Path) -> None:
    """The tool's span failed with its message; the run failed only where the framework let the error end the program."""
    wanted = FRAMEWORKS[name]
    python = environments.python(wanted.environment)
    with serving(script()) as model:
        done = run(tmp_path, "--", *wanted.command(python, "toolerror"), **wanted.environ(model))
    assert done.code == (0 if name in HANDLED else 1), done.err
    found = Found(done.store)
    assert found.outcome == ("completed" if name in HANDLED else "failed")
    failed = found.of_kind("tool").filter(
        pl.col("status") == "error", pl.col("tool_name").is_in(["search_docs", "get_order"])
    )
    worker = next(agent for (agent, model) in wanted.calls if model == WORKER)
    assert failed["agent"].to_list() == [worker]
    assert ("redacted" if name == "openai-agents" else "is down") in failed["error_message"][0]
    assert found.of_kind("llm").height == len(model.requests)
    assert found.cost_usd == sum((PRICE[request.model] for request in model.requests), Decimal(0))
    assert sum(found.calls.values()) == (sum(wanted.calls.values()) if name in HANDLED else 2)
    assert not found.findings("loop")


def test_the_client_without_a_framework(environments: Environments, tmp_path: Path) -> None:
    """Chat and responses, async, streamed, in threads and processes of every kind: one run of eight calls."""
    python = environments.python("openai")
    with serving(script()) as model:
        words = (str(PROGRAMS / "plain_client.py"), "spawn", "fork", "forkserver")
        done = run(tmp_path, "--", str(python), *words, **model.variables)
    assert (done.code, done.out.strip()) == (0, "Hello to you too."), done.err
    found = Found(done.store)
    _check_calls(found, Framework("openai", "", "", {(None, LEAD): 8}), model)
    assert found.of_kind("llm")["ttft_ns"].count() == 2
    assert (found.cost_usd, found.outcome) == (8 * PRICE[LEAD], "completed")


def test_what_is_missing_is_installed_beside_the_environment(environments: Environments, tmp_path: Path) -> None:
    """With --install the same bare environment gives everything; it stays as it was; the second run installs nothing."""
    wanted = FRAMEWORKS["openai-agents"]
    python = environments.python(WITHOUT.environment)
    before = sorted(python.parent.parent.glob("lib/*/site-packages/*"))
    cache = tmp_path / "cache"
    inodes: list[int] = []
    for number in (1, 2):
        directory = tmp_path / f"run{number}"
        directory.mkdir()
        with serving(script()) as model:
            words = ("--install", "--", *wanted.command(python))
            done = run(directory, *words, XDG_CACHE_HOME=str(cache), **wanted.environ(model))
        if "cannot be installed" in done.err:
            assert CONTRADICTION not in done.err, done.err
            pytest.skip(f"NOT PROVEN: the registry gave no instrumentor: {done.err[-500:]}")
        assert done.code == 0, done.err
        found = Found(done.store)
        assert (found.calls, found.agents, found.handoffs) == (wanted.calls, wanted.agents, list(wanted.handoffs))
        (overlay,) = (path for path in (cache / "tracehound" / "overlays").iterdir() if path.is_dir())
        assert str(overlay) in done.err
        inodes.append(overlay.stat().st_ino)
    assert inodes[0] == inodes[1]
    assert sorted(python.parent.parent.glob("lib/*/site-packages/*")) == before
