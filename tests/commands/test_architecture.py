"""The architecture of runs of real frameworks, as `tracehound analyze --json` tells it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tests.commands.conftest import Ask

pytestmark = pytest.mark.slow


@pytest.fixture
def patterns(ask: Ask) -> dict[tuple[str, str], set[str | None]]:
    """(workflow, service of the run) -> patterns that were detected."""
    services = {run["run_id"]: run["service"] for run in ask("sql 'SELECT run_id, service FROM traces'")}
    found: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    entries: list[dict[str, Any]] = ask("analyze")["traces"]
    for entry in entries:
        found[entry["workflow"], services[entry["run_id"]]].add(entry["architecture"]["run"]["pattern"])
    return found


@pytest.mark.parametrize(
    ("workflow", "service", "pattern"),
    [
        pytest.param("support_desk", "langgraph-demo", "supervisor", id="langgraph: a supervisor calls researcher, analyst, writer"),
        pytest.param("coordinator", "pydantic-demo", "supervisor", id="pydantic-ai: a coordinator asks a researcher through a tool"),
        pytest.param("SelectorGroupChat", "autogen-demo", "chat", id="autogen: a moderator chooses speakers"),
        pytest.param("Swarm", "autogen-demo", "pipeline", id="autogen: the task is passed on"),
        pytest.param("refund_desk", "crewai-demo", "supervisor", id="crewai: the writer delegates and goes on"),
        pytest.param("coordinator", "strands-demo", "supervisor", id="strands: a coordinator asks a researcher"),
        pytest.param("coordinator", "agent-demo", "supervisor", id="agent framework: a coordinator asks a researcher"),
        pytest.param("coordinator", "google-demo", "pipeline", id="google-adk: the coordinator transfers for good"),
        pytest.param("my_workflow", "openai-demo", "single", id="plain client: nobody else is there"),
    ],
)  # fmt: skip
def test_pattern_of_a_framework(
    patterns: dict[tuple[str, str], set[str | None]], workflow: str, service: str, pattern: str
) -> None:
    """What the programs behind the captures do, read off their traces; recordings without LLM calls have no pattern."""
    assert patterns[workflow, service] - {None} == {pattern}


def test_handoffs_of_the_openai_agents_are_a_pipeline(patterns: dict[tuple[str, str], set[str | None]]) -> None:
    """Triage hands to the researcher, who hands to the writer; recordings without LLM calls have no pattern."""
    assert patterns["support desk", "openai-demo"] - {None} == {"pipeline"}


def test_round_robin_is_what_became_of_it(patterns: dict[tuple[str, str], set[str | None]]) -> None:
    """One round is a pipeline in all but name, the one that went round and round a chat; a member with a team of its own leads that."""
    assert patterns["RoundRobinGroupChat", "autogen-demo"] - {None} == {"pipeline", "chat", "supervisor"}


def test_every_estimate_is_a_range_or_a_reason(ask: Ask) -> None:
    """No run is left without an answer, and no range is upside down."""
    for entry in ask("analyze")["traces"]:
        estimate = entry["architecture"]["run"]["single_agent"]
        if "skipped" in estimate:
            assert estimate["skipped"]
            continue
        low, central, high = estimate["tokens_ratio"]
        assert 0 < low <= central <= high
