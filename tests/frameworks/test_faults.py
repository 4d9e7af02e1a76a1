"""Unmodified programs of real frameworks in which something goes wrong, and their twins in which nothing does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analyzers.requests import is_request
from tests.capture_auto.running import command, run, variables
from tests.e2e import environments as built
from tests.e2e.environments import Environments
from tests.e2e.server import Reply, Request
from tests.frameworks.server import measuring
from tracer.store import reads
from tracer.store.database import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile
PROGRAMS = Path(__file__).parent / "programs"

built.PINS.setdefault("autogen", [built.OPENAI, "autogen-agentchat==0.7.5", "autogen-ext[openai]==0.7.5"])


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments.of_run(tmp_path_factory)


REMARKS = (
    "Fresh bread, every morning.", "Too plain: say who bakes it.", "Baked by Anna since 1982.", "Better, now name the town.",
    "Anna's bakery, the heart of Ulm.", "Good. Shorter?", "Anna bakes Ulm.", "That is a slogan.", "Thank you.",
)  # fmt: skip


QUESTIONS = ("Which year do you mean?", "What year do you mean, please?", "Please say which year you mean.")
ANSWERS = ("The year in question, of course.", "Of course the year in question.")
CHRONICLE = (
    "1204: the mill burns down.", "1231: monks dig the canal.", "1277: a market is granted to the weavers.", "1310: plague ships from Genoa.",
    "1349: bell foundry, lightning, famine.", "1402: dyers quarrel with tanners over alum.", "1466: printers settle near the gate.",
    "1521: peasants storm the granary.", "1588: surveyors map every orchard.", "1632: cavalry quartered in the school.",
)  # fmt: skip


def script(request: Request) -> Reply:
    """What the model says to each agent of the programs."""
    system, called = request.system, request.called
    if "select the next role" in system:
        if not request.texts:
            return Reply("Both could go on now.")
        return Reply("critic" if system.count("writer:") > system.count("critic:") else "writer")
    if "pages" in system:
        pages = int(system.split("Read ")[1].split()[0])
        return Reply(tools=(("read_page", {"number": len(called)}),)) if len(called) < pages else Reply("All read.")
    if "approver" in system or "auditor" in system:
        status = "approved" if "approver" in system or "agreed" in system else "rejected"
        done = "set_order_status" in called
        return Reply("Done.") if done else Reply(tools=(("set_order_status", {"order_id": "A-17", "status": status}),))
    if "archive researcher" in system:
        pages = range(21) if not called else range(21, 22) if len(called) == 21 else ()
        return Reply("Within 30 days.", tools=tuple(("search", {"page": page}) for page in pages))
    if "watcher" in system:
        return Reply("Done.") if len(called) == 14 else Reply(tools=(("look", {"hour": len(called)}),))
    if "bookkeeper" in system:
        if called:
            return Reply("May is closed.")
        asked = {"month": "May"} if request.tools[0] == "look_up" else {"question": "Is May done?"}
        return Reply(tools=((request.tools[0], asked),))
    if "chronicler" in system or "proofreader" in system:
        n = int(next(word for word in system.replace(".", "").split() if word.isdecimal()))
        if "page" in system:
            return Reply(f"{CHRONICLE[n % len(CHRONICLE)]} ({'read' if 'proofreader' in system else 'written'})")
        return Reply(QUESTIONS[n % 3] if "chronicler" in system else ANSWERS[n % 2])
    if "reviewer" in system or "booker" in system or "planner" in system:
        return Reply("fine")
    return Reply(REMARKS[len(request.texts) % len(REMARKS)])


@dataclass(frozen=True)
class Case:
    environment: str
    program: str
    faulty: str
    healthy: str
    kind: str
    agents: frozenset[str]
    """who is named by the finding"""


CASES = {
    "lost update": Case("langgraph", "langgraph_review.py", "lost", "merged", "lost_update", frozenset({"legal", "style"})),
    "loop, counted": Case("langgraph", "langgraph_rounds.py", "stuck", "reading", "loop", frozenset({"chronicler", "proofreader"})),
    "stale read": Case("langgraph", "langgraph_booking.py", "stale", "current", "stale_read", frozenset({"booker", "pricer"})),
    "hidden calls": Case("autogen", "autogen_team.py", "selector", "roundrobin", "hidden_calls", frozenset({"SelectorGroupChatManager"})),
    "context growth": Case("openai-agents", "agents_history.py", "12", "3", "context_growth", frozenset({"researcher"})),
    "conflicting decisions": Case("openai-agents", "agents_orders.py", "apart", "agreed", "conflicting_decisions", frozenset({"approver", "auditor"})),
}  # fmt: skip


def findings(case: Case, variant: str, environments: Environments, directory: Path) -> list[dict[str, Any]]:
    """What `tracehound analyze --json` says of one run of the program under `tracehound run`."""
    python = environments.python(case.environment)
    with measuring(script) as model:
        done = run(directory, "--", str(python), str(PROGRAMS / case.program), variant, **model.variables)
    assert done.code == 0, done.err
    return analyzed(done.store)


def analyzed(store: Path) -> list[dict[str, Any]]:
    words = ["-P", "-m", "dashboard.cli", "analyze", "--json", "--store", str(store)]
    done = subprocess.run(
        [sys.executable, *words], cwd=store.parent, env=variables(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [finding for trace in json.loads(done.stdout)["traces"] for finding in trace["findings"]]


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_found(name: str, environments: Environments, tmp_path: Path) -> None:
    """The finding names the agents and gives spans as evidence."""
    case = CASES[name]
    found = [f for f in findings(case, case.faulty, environments, tmp_path) if f["kind"] == case.kind]
    assert len(found) == 1
    assert case.agents <= set(found[0]["agents"])
    assert found[0]["spans"]


@pytest.mark.parametrize("name", CASES)
def test_its_healthy_twin_is_silent(name: str, environments: Environments, tmp_path: Path) -> None:
    """The same program without the fault has no finding of that kind, and none that is critical."""
    case = CASES[name]
    found = findings(case, case.healthy, environments, tmp_path)
    assert [f["title"] for f in found if f["kind"] == case.kind or f["severity"] == "critical"] == []


LEDGERS = {"autogen": "autogen_ledger.py", "langgraph": "langgraph_ledger.py", "openai-agents": "agents_ledger.py"}
PAIR = {"ledger", "payroll"}


@pytest.mark.parametrize("environment", LEDGERS)
def test_a_request_that_times_out_is_no_answer(environment: str, environments: Environments, tmp_path: Path) -> None:
    """Told from the request alone: no wait is recorded. In the twin all requests are answered."""
    python, program = environments.python(environment), str(PROGRAMS / LEDGERS[environment])
    told: dict[str, list[tuple[str, set[str]]]] = {}
    for variant in ("unheard", "answered"):
        (tmp_path / variant).mkdir()
        with measuring(script) as model:
            done = run(tmp_path / variant, "--", str(python), program, variant, **model.variables)
        assert done.code == 0, done.err
        told[variant] = [(f["kind"], set(f["agents"])) for f in analyzed(done.store) if f["severity"] != "info"]
    assert told == {"unheard": [("no_answer", PAIR)], "answered": []}


@pytest.mark.parametrize("environment", LEDGERS)
def test_requests_that_cross_are_a_deadlock(environment: str, environments: Environments, tmp_path: Path) -> None:
    """Two agents ask each other and answer nobody meanwhile; somebody loses patience and kills the program."""
    python, store = environments.python(environment), tmp_path / "traces.duckdb"
    words = ("--", str(python), str(PROGRAMS / LEDGERS[environment]), "crossed")
    with measuring(script) as model:
        program = subprocess.Popen(
            command(*words),
            cwd=tmp_path,
            env=variables(**model.variables),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            asked: set[str] = set()
            deadline = time.monotonic() + 600
            while asked != PAIR and program.poll() is None and time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):  # the program works meanwhile
                    program.wait(timeout=1)
                if any(tmp_path.glob("traces.spool/*")):
                    asked = open_requests(store) & PAIR
        finally:
            os.killpg(program.pid, signal.SIGKILL)
            program.communicate(timeout=60)
    found = [f for f in analyzed(store) if f["kind"] == "deadlock"]
    assert [set(f["agents"]) for f in found] == [PAIR]
    assert found[0]["severity"] == "critical"
    assert found[0]["data"]["inferred"]


def open_requests(store: Path) -> set[str]:
    """The agents that wait now, by what is derived of the spans."""
    opened = Store(store)
    opened.fold()
    spans = reads.load(opened, contents=False).spans
    return set(spans.filter(is_request() & (pl.col("status") == "running"))["agent"])


def test_a_call_that_is_not_answered_is_found_while_it_waits(environments: Environments, tmp_path: Path) -> None:
    """Told from the open span, with the program still running; once it is answered the finding is gone."""
    python = environments.python("openai-agents")
    words = ("--", str(python), str(PROGRAMS / "agents_archive.py"), "silent")
    with measuring(script) as model:
        program = subprocess.Popen(
            command(*words), cwd=tmp_path, env=variables(**model.variables), stdout=subprocess.PIPE
        )
        try:
            found: list[dict[str, Any]] = []
            deadline = time.monotonic() + 600
            while not found and program.poll() is None and time.monotonic() < deadline:
                with suppress(subprocess.TimeoutExpired):  # the program works meanwhile
                    program.wait(timeout=1)
                if any(tmp_path.glob("traces.spool/*")):
                    found = [f for f in analyzed(tmp_path / "traces.duckdb") if f["kind"] == "no_answer"]
        finally:
            (tmp_path / "stop").touch()
            program.communicate(timeout=60)
    assert program.returncode == 0
    assert [f["agents"] for f in found] == [["researcher"]]
    assert "search has not answered" in found[0]["title"]
    assert [f["title"] for f in analyzed(tmp_path / "traces.duckdb") if f["kind"] == "no_answer"] == []
