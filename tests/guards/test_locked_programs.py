"""A real program of two threads that takes two locks in opposite order: seen while it hangs, explained, and stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import threading

import tracer

orders, ledger = tracer.lock("orders"), tracer.lock("ledger")
both_have_one = threading.Barrier(2)


def work(name, first, second):
    with tracer.agent(name) if name != "nobody" else tracer.tool("work"), first:
        both_have_one.wait()
        with second:
            print(name, "has both", flush=True)


names, guarded = sys.argv[1:3], sys.argv[3:]
tracer.init("traces.duckdb")
with tracer.workflow("books"), tracer.guard(deadlock=True) if guarded else tracer.tool("close the books"):
    threads = [threading.Thread(target=work, args=args) for args in ((names[0], orders, ledger), (names[1], ledger, orders))]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    for thread in threads:
        thread.join()
print("over", flush=True)
"""


def analysed(folder: Path) -> list[dict[str, Any]]:
    """The findings of the one run in the store."""
    command = [sys.executable, "-m", "dashboard.cli", "analyze", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    (trace,) = json.loads(done.stdout)["traces"]
    return trace["findings"]


def program(folder: Path, *args: str) -> subprocess.Popen[str]:
    (folder / "app.py").write_text(PROGRAM, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TRACEHOUND")}
    command = [sys.executable, "app.py", *args]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("names", [("Clerk", "Booker"), ("worker", "worker"), ("nobody", "nobody")])
def test_it_is_told_while_it_hangs_and_after_it_was_killed(names: tuple[str, str], tmp_path: Path) -> None:
    """The finding names the locks that each holds, also where both are instances of one agent or work for none; after the kill it stays."""
    hanging = program(tmp_path, *names)
    try:
        found = None
        for _ in range(20):  # until both starts are written: the analysis itself is what takes time
            if hanging.poll() is not None:
                break
            try:
                found = next((f for f in analysed(tmp_path) if f["kind"] == "deadlock"), None)
            except (subprocess.CalledProcessError, ValueError):  # not even the first span is there yet
                continue
            if found is not None:
                break
        assert hanging.poll() is None, hanging.communicate()
        assert found is not None
    finally:
        hanging.kill()
        hanging.communicate()
    (after,) = [f for f in analysed(tmp_path) if f["kind"] == "deadlock"]
    for finding in (found, after):
        assert (finding["severity"], finding["data"]["shape"]) == ("critical", "cycle")
        assert sorted(finding["data"]["holds"].values()) == [["ledger"], ["orders"]]
        if names[0] != "nobody":
            assert set(finding["agents"]) == set(names)
        assert len(finding["data"]["cycle"]) == 2
    if names[0] == names[1]:
        told = "worker (thread Thread-" if names[0] == "worker" else "thread Thread-"
        assert all(str(node).startswith(told) for node in after["data"]["cycle"])
    else:
        assert after["data"]["holds"] == {"Clerk": ["orders"], "Booker": ["ledger"]}


def test_a_guard_lets_one_of_them_finish(tmp_path: Path) -> None:
    """The wait that would close the cycle raises, its lock is let go, and the program ends by itself."""
    out, errors = program(tmp_path, "Clerk", "Booker", "guarded").communicate(timeout=60)
    assert out.count("has both") == 1
    assert out.endswith("over\n")
    assert "BudgetExceeded" in errors
    assert "holds" in errors
    (trip,) = [f for f in analysed(tmp_path) if f["kind"] == "guard_trip"]
    assert "would wait for ever" in trip["explanation"]
    assert not [f for f in analysed(tmp_path) if f["kind"] == "deadlock"]
