"""The pytest plugin: a test that asks for `tracehound_run` fails when its agents loop, overspend or get in each other's way.

    def test_the_desk_answers(tracehound_run):
        tracehound_run.limit(budget_usd=0.50, seconds=60)
        assert desk.answer("Where is my parcel?")

What the test does is recorded into a store of its own and judged when its body has ended, as part of the test. Nothing but pytest is
imported until then: the plugin is loaded by every pytest of an environment that has tracehound.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from analyzers.finding import Finding
    from analyzers.frames import Frames

FailOn = Literal["critical", "warning", "never"]
_OPTIONS = frozenset({"budget_usd", "tokens", "seconds", "fail_on", "allow"})
_AMOUNTS = frozenset({"budget_usd", "tokens", "seconds"})
_GRAVE = {"warning": ("critical", "warning"), "critical": ("critical",), "never": ()}
_HELD = pytest.StashKey["TracehoundRun"]()


class TracehoundRun:
    """What the fixture gives: limits to set before or during the test, and what was recorded so far."""

    def __init__(self, store: Path) -> None:
        self.store = store
        """the store of this test; `tracehound report --store ...` works on it"""
        self.budget_usd: float | None = None
        self.tokens: int | None = None
        self.seconds: float | None = None
        """limits over all runs of the test together; seconds for the longest"""
        self.fail_on: FailOn = "warning"
        self.allowed: set[str] = {"data_quality"}
        self.since_ns = 0
        self.frames: Frames | None = None
        self.findings: Sequence[Finding] = ()
        self.checked = False

    def limit(self, **options: Any) -> None:
        """Set `budget_usd`, `tokens`, `seconds`, `fail_on` ("warning", "critical", "never"), `allow` (kinds of findings that are all right).

        Raises:
            TypeError, ValueError: there is no such limit, or it cannot be this.
        """
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(
                f"tracehound_run has no limit {', '.join(sorted(unknown))}; there are {', '.join(sorted(_OPTIONS))}"
            )
        for name, value in options.items():
            _check(name, value)
            if name == "allow":
                self.allowed |= {value} if isinstance(value, str) else set(value)
            else:
                setattr(self, name, value)

    def problems(self) -> list[str]:
        """Look at what was recorded so far; one paragraph per thing that is wrong."""
        self.checked = True
        self._look()
        assert self.frames is not None
        traces = self.frames.traces
        if traces.is_empty():
            return ["nothing was recorded: the test ran no agent that tracehound sees (is its library instrumented?)"]
        told: list[str] = [_told(finding) for finding in self.findings if self._counts(finding)]
        from analyzers.wording import amount

        cost = float(traces["cost_usd"].sum() or 0)
        if self.budget_usd is not None and cost > self.budget_usd:
            told.append(f"overspent: {_usd(cost)} of {_usd(self.budget_usd)}")
        unpriced = int(traces["unpriced_calls"].sum())
        if self.budget_usd is not None and unpriced:
            told.append(
                f"cannot keep a budget of {_usd(self.budget_usd)}: {amount(unpriced, 'LLM call')} without a known price"
            )
        used = int(traces["input_tokens"].sum()) + int(traces["output_tokens"].sum())
        if self.tokens is not None and used > self.tokens:
            told.append(f"overspent: {used:,} tokens of {self.tokens:,}")
        longest = float((traces["end_ns"] - traces["start_ns"]).max() or 0) / 1e9  # pyright: ignore[reportArgumentType]  (a column of ints)
        if self.seconds is not None and longest > self.seconds:
            told.append(f"too slow: a run took {longest:.1f} s of {self.seconds:g} s")
        return told

    def check(self) -> None:
        """Fail now if something is wrong so far; otherwise the end of the test does."""
        __tracebackhide__ = True
        told = self.problems()
        if told:
            runs = self.frames.run_ids if self.frames is not None else []
            where = f"\n\nLook closer: tracehound report {runs[0]} --store {self.store}" if runs else ""
            pytest.fail("tracehound: " + "\n\n".join(told) + where, pytrace=False)

    def _counts(self, finding: Finding) -> bool:
        return finding.severity in _GRAVE[self.fail_on] and finding.kind not in self.allowed

    def _look(self) -> None:
        from analyzers.frames import Frames
        from analyzers.run import analyse
        from dashboard.loading import load_frames
        from tracer.capture.recording import recording
        from tracer.store import reads
        from tracer.store.database import Store

        here = recording()
        if here is not None:
            here.flush()
        path = here.store if here is not None else self.store  # the program may have named a store itself
        self.store = path
        store = Store(path)
        if not store.exists():
            self.frames = Frames.of(())
            return
        store.fold()
        self.frames = load_frames(store, reads.runs(store, since_ns=self.since_ns)["run_id"].to_list())
        self.findings = analyse(self.frames).findings


def _check(name: str, value: Any) -> None:
    if name == "fail_on" and value not in _GRAVE:
        raise ValueError(f"tracehound_run: fail_on is {value!r}; one of {', '.join(_GRAVE)} was expected")
    if name in _AMOUNTS and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
        raise ValueError(f"tracehound_run: {name} is {value!r}; a number from 0 on was expected")


def _usd(value: float) -> str:
    """To a tenth of a cent, and to two digits where it is less."""
    return f"${value:.4f}" if value >= 0.001 or value == 0 else f"${value:.{1 - floor(log10(value))}f}"


def _told(finding: Finding) -> str:
    return f"{finding.severity} {finding.kind}: {finding.title}\n{finding.explanation}\nDo: {finding.suggestion}"


@pytest.fixture
def tracehound_run(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[TracehoundRun]:
    """Record this test's agents, and fail it where they loop, overspend or conflict.

    `@pytest.mark.tracehound(budget_usd=0.5, seconds=60, fail_on="critical", allow=["context_growth"])` sets limits.
    """
    import time

    from tracer.capture import setup

    held = TracehoundRun(tmp_path / "traces.duckdb")
    for mark in reversed(list(request.node.iter_markers("tracehound"))):
        try:
            held.limit(**mark.kwargs)
        except (TypeError, ValueError) as error:
            pytest.fail(str(error), pytrace=False)
    held.since_ns = time.time_ns()
    monkeypatch.setenv("TRACEHOUND_STORE", str(held.store))  # for child processes
    setup.init(held.store, fold_at_exit=False)
    request.node.stash[_HELD] = held
    yield held
    del request.node.stash[_HELD]
    setup.shutdown()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """The end of a test's body: judged here and not at teardown, so that the test fails and is no error."""
    __tracebackhide__ = True
    result = yield
    held = item.stash.get(_HELD, None)
    if held is not None:
        held.check()
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, for pytest with --strict-markers."""
    config.addinivalue_line("markers", "tracehound(budget_usd, tokens, seconds, fail_on, allow): limits of `tracehound_run`")  # fmt: skip
