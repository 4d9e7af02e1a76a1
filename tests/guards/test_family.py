"""Processes that share a budget: what one has spent, another has not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.commands.run import environment
from tests.capture_auto.running import variables, write
from tests.guards.clients import FILES
from tracer.online.budget import Account, Hold, Meter
from tracer.online.shared import SharedBook

ROOT = Path(__file__).resolve().parents[2]
CALLS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 40), st.integers(0, 60)), max_size=25)
"""(which process, reserved, really spent)"""


def account(limit: int) -> Account:
    return Account(
        "a",
        {"budget": Meter("budget", "usd", Decimal(limit)), "concurrency": Meter("concurrency", "calls", Decimal(3))},
    )


@settings(max_examples=15, deadline=None)
@given(calls=CALLS, limit=st.integers(1, 200))
def test_processes_with_one_book_spend_like_one_process(
    calls: list[tuple[int, int, int]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Three accounts with a book admit exactly the calls that one account admits, and know the same of them."""
    folder = tmp_path_factory.mktemp("book")
    several, alone = [account(limit) for _ in range(3)], account(limit)
    for each in several:
        each.share(SharedBook(folder))
    under_way: list[tuple[int, Hold, Hold, int]] = []
    for which, reserved, spent in calls:
        if len(under_way) == 2:
            by, hold, single, cost = under_way.pop(0)
            several[by].settle(hold, {"budget": Decimal(cost)})
            alone.settle(single, {"budget": Decimal(cost)})
        needs = {"budget": Decimal(reserved), "concurrency": Decimal(1)}
        one, other = several[which].reserve(needs), alone.reserve(needs)
        assert type(one) is type(other)
        meters = [(m.spent, m.reserved) for m in several[which].meters.values()]
        assert meters == [(m.spent, m.reserved) for m in alone.meters.values()]
        if isinstance(one, Hold) and isinstance(other, Hold):
            under_way.append((which, one, other, spent))
    for each in several:
        assert each.book is not None
        each.book.close()


def test_a_budget_is_shared_in_the_middle_of_a_call(tmp_path: Path) -> None:
    """What was spent and promised before counts; the promise is replaced by what the call really cost."""
    first, second = account(10), account(10)
    first.charge({"budget": Decimal(4)})
    hold = first.reserve({"budget": Decimal(3), "concurrency": Decimal(1)})
    assert isinstance(hold, Hold)
    first.share(SharedBook(tmp_path / "b"))
    second.share(SharedBook(tmp_path / "b"))
    assert (second.meters["budget"].spent, second.meters["budget"].reserved) == (4, 3)
    first.settle(hold, {"budget": Decimal(5)})
    assert not isinstance(second.reserve({"budget": Decimal(2)}), Hold)
    assert isinstance(second.reserve({"budget": Decimal(1)}), Hold)
    assert second.book is not None
    second.book.discard()
    assert (tmp_path / "b").exists()  # the first still has a part in it
    assert first.book is not None
    first.book.discard()
    assert not (tmp_path / "b").exists()


KILLED = """
import sys
from decimal import Decimal
from tracer.online.shared import SharedBook
book = SharedBook(sys.argv[1])
with book.open(): book.hold({"budget": Decimal(7), "concurrency": Decimal(1)})
print("ready", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_had_promised_counts_as_spent(tmp_path: Path) -> None:
    """The money may have been charged; the call is over."""
    dying = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert dying.stdout is not None
    assert dying.stdout.readline() == "ready\n"
    mine = account(10)
    mine.share(SharedBook(tmp_path))
    assert (mine.meters["budget"].reserved, mine.meters["concurrency"].reserved) == (7, 1)
    dying.send_signal(signal.SIGKILL)
    dying.communicate()
    assert not isinstance(mine.reserve({"budget": Decimal(4)}), Hold)
    assert (mine.meters["budget"].spent, mine.meters["concurrency"].reserved) == (7, 0)
    assert isinstance(mine.reserve({"budget": Decimal(3)}), Hold)


PROGRAM = """
import multiprocessing, os, subprocess, sys
from contextlib import nullcontext

def ask(count):
    import openai
    from openai.resources.chat.completions import Completions
    from types import SimpleNamespace as N
    def server(request):
        with open("requests", "a") as file: file.write(f"{os.getpid()}\\n")
        return N(id="r", model="m", usage=N(prompt_tokens=1, completion_tokens=1), choices=[])
    openai.server = server
    try:
        for _ in range(count): Completions().create(model="m", messages=[])
    except Exception as error:
        assert type(error).__name__ == "BudgetExceeded", error

def guarded():
    if "own" not in sys.argv: return nullcontext()
    sys.path.append(ROOT)
    import tracer
    return tracer.guard("mine", iterations=7)

if __name__ == "__main__":
    way = sys.argv[1]
    with guarded():
        ask(2)
        if way == "os.fork":
            if os.fork() == 0:
                ask(3); os._exit(0)
            assert os.wait()[1] == 0
        elif way == "subprocess":
            subprocess.run([sys.executable, "-c", "import program; program.ask(3)"], check=True)
        else:
            process = multiprocessing.get_context(way).Process(target=ask, args=(3,))
            process.start(); process.join()
            assert process.exitcode == 0
        ask(10)
"""
WAYS = [(whose, way) for whose in ("own", "run") for way in ("os.fork", "fork", "spawn", "forkserver", "subprocess")]


@pytest.mark.slow
@pytest.mark.parametrize(("whose", "way"), WAYS)
def test_children_have_what_is_left(whose: str, way: str, tmp_path: Path) -> None:
    """Seven calls: two before, three in the child, two after; the eighth is refused. A guard of the program's, or of `run --guard`."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write(tmp_path, program=PROGRAM.replace("ROOT", repr(str(ROOT))))
    started = environment(
        tmp_path / "traces.duckdb", [sys.executable, "program.py"], guards=["iterations=7"] if whose == "run" else []
    )
    started = {key: value for key, value in started.items() if key.startswith("TRACEHOUND_") or key == "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "program.py", way, whose], cwd=tmp_path, env=variables(**started), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    requests = (tmp_path / "requests").read_text().split()
    parent = requests[0]
    assert [pid == parent for pid in requests] == [True] * 2 + [False] * 3 + [True] * 2, done.stderr
    if whose == "own":
        assert not list((tmp_path / "traces.guards").iterdir())


CROWD = """
import multiprocessing, subprocess, sys, threading
import tracer
from tracer.errors import BudgetExceeded

tracer.init("traces.duckdb", fold_at_exit=False)

def ask():
    made = 0
    try:
        while made < 40:
            with tracer.llm_call("gpt-4o"): made += 1
    except BudgetExceeded:
        pass
    with open("made", "a") as file: file.write(f"{made}\\n")

if __name__ == "__main__":
    if sys.argv[1:]: sys.exit(ask())
    with tracer.guard(iterations=70, seconds=3600):
        ways = ("fork", "spawn", "forkserver", "spawn")
        work = [multiprocessing.get_context(way).Process(target=ask) for way in ways]
        work += [threading.Thread(target=ask) for _ in range(2)]
        children = [subprocess.Popen([sys.executable, "crowd.py", "child"]) for _ in range(2)]
        for each in work: each.start()
        for each in work: each.join()
        sys.exit(any(child.wait() for child in children))
"""


@pytest.mark.slow
def test_children_and_threads_at_once_spend_no_more_than_is_left(tmp_path: Path) -> None:
    """Eight workers of five kinds that each want 40 calls: exactly the 70 that are allowed are made, and nothing stays behind."""
    write(tmp_path, crowd=CROWD)
    done = subprocess.run(
        [sys.executable, "crowd.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = [int(line) for line in (tmp_path / "made").read_text().split()]
    assert (len(made), sum(made)) == (8, 70), done.stderr
    assert not list((tmp_path / "traces.guards").iterdir())
