"""The background analysis: pages never wait for it, and it is never made twice for nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

from dashboard import analyst
from dashboard.analyst import Analyst, StoreAnalysis, analyse_in_background
from tests.dashboard import stores
from tracer.errors import StoreLocked


def answer(token: str) -> StoreAnalysis:
    """An analysis that found nothing in nothing."""
    return StoreAnalysis(
        token=token, by_run={}, fleet=(), skipped=(), failures=(), traces=pl.DataFrame(), total=0, took_s=0.0
    )  # fmt: skip


def test_a_slow_analysis_does_not_hold_up_the_page() -> None:
    """The first question gets no answer while the work goes on, later ones get it."""
    go = threading.Event()

    def work(token: str) -> StoreAnalysis:
        go.wait()
        return answer(token)

    one = Analyst(work)
    assert one.ask("t1", patience_s=0) is None
    assert one.working
    go.set()
    assert one.wait("t1").token == "t1"


def test_the_last_answer_stands_while_the_next_is_made() -> None:
    """A changed store shows what was known before, until more is known."""
    go = threading.Event()

    def work(token: str) -> StoreAnalysis:
        if token != "t1":
            go.wait()
        return answer(token)

    one = Analyst(work, rest_s=0)
    one.wait("t1")
    stale = one.ask("t2", patience_s=0)
    assert stale is not None
    assert stale.token == "t1"
    go.set()
    fresh = one.ask("t2", patience_s=10)
    assert fresh is not None
    assert fresh.token == "t2"


def test_an_unchanged_store_is_not_analysed_again() -> None:
    """One state, one analysis; and after one, the analyst rests."""
    asked: list[str] = []

    def work(token: str) -> StoreAnalysis:
        asked.append(token)
        return answer(token)

    one = Analyst(work)
    for token in ("t1", "t1", "t2"):
        one.wait(token)
    assert asked == ["t1"]


def test_what_goes_wrong_is_raised_where_it_was_asked_and_tried_again() -> None:
    """An error is shown once, not swallowed, and does not stop later work."""
    errors: list[Exception] = [StoreLocked("busy")]

    def work(token: str) -> StoreAnalysis:
        if errors:
            raise errors.pop()
        return answer(token)

    one = Analyst(work)
    with pytest.raises(StoreLocked):
        one.wait("t1")
    assert one.wait("t1").token == "t1"


@pytest.mark.slow
def test_a_process_of_its_own_gives_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings of a large store come from another process and are equal to those made here."""
    store = stores.write(tmp_path / "t.duckdb", stores.examples(healthy=2))
    here = analyse_in_background(store, "t1")
    monkeypatch.setattr(analyst, "APART_FROM_SPANS", 0)
    apart = analyse_in_background(store, "t1")
    assert {run: [f.id for f in found] for run, found in apart.by_run.items()} == {
        run: [f.id for f in found] for run, found in here.by_run.items()
    }
    assert any(f.kind == "loop" for found in here.by_run.values() for f in found)


@pytest.mark.slow
def test_the_process_ends_when_its_server_is_killed() -> None:
    """A server that gets SIGKILL can tidy nothing up; only the pipe it held closes."""
    endless = (
        "import threading; from dashboard.analyst import end_with_parent; end_with_parent(); threading.Event().wait()"
    )
    server = (
        "import os, subprocess, sys, time\n"
        "watched, held = os.pipe()\n"
        f"child = subprocess.Popen([sys.executable, '-c', {endless!r}], stdin=watched)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        int(process.stdout.readline())
        process.kill()
        # The child holds the other end of our pipe: it is read to its end once both have ended.
        assert process.stdout.read() == b""
