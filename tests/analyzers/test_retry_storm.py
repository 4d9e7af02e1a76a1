"""Retries: how many are a storm, and which layers make it."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.retry_storm import find_retry_storms
from analyzers.finding import Finding
from analyzers.run import analyse
from tests.drawn import Node, agent, frames, llm, node, run, tool
from tracer.semconv import Tracehound

DOWN: dict[str, Any] = {"status": "error", "error_type": "Unavailable", "error_message": "503"}


def fetch(at: float, ok: bool = False, url: str = "a", **fields: object) -> Node:
    return tool("fetch", at, at + 0.1, args={"url": url}, **({} if ok else DOWN), **fields)


def found(*items: Node) -> list[Finding]:
    return find_retry_storms(frames(run("crawl", agent("Crawler", 0, 400, *items))))


def nested(outer: int, inner: int) -> list[Node]:
    """
    load   X            X            X
    fetch  X X X        X X X        X X X
    """
    return [
        node("other", "load", 10 * o, 10 * o + 9, *(fetch(10 * o + i) for i in range(inner)), attempt=o + 1, **DOWN)
        for o in range(outer)
    ]


@pytest.mark.parametrize(
    ("fails", "ok", "severity"),
    [(3, True, None), (4, False, None), (4, True, "warning"), (5, False, "warning"), (9, True, "warning"), (10, False, "critical")],
)  # fmt: skip
def test_many_tries_of_one_call_are_a_storm(fails: int, ok: bool, severity: str | None) -> None:
    """Five tries warn; ten without success are critical; three retries are how it should be."""
    calls = [fetch(n) for n in range(fails)] + ([fetch(fails, ok=True)] if ok else [])

    assert [f.severity for f in found(*calls)] == ([severity] if severity else [])


def test_nested_retriers_multiply() -> None:
    """Three layers of three are told as such, critical although each layer tries but three times."""
    (finding,) = found(*nested(3, 3))

    assert finding.severity == "critical"
    assert finding.data["layers"] == [{"name": "load", "tries": 3}, {"name": "fetch", "tries": 9}]
    assert "3 x 3" in finding.title
    assert len(finding.spans) == 9


def test_failed_model_calls_are_charged() -> None:
    """Money of the failed tries is waste, that of the one that worked is not."""
    asked: dict[str, Any] = {"prompt": "Summarise", "cost": "0.02", "input_tokens": 100, "output_tokens": 1}
    (finding,) = found(*(llm(n, n + 0.5, **asked, **DOWN) for n in range(5)), llm(6, 7, **asked))

    assert float(finding.wasted_usd or 0) == pytest.approx(0.10)
    assert finding.data["solved"] is True


NEGATIVES: dict[str, list[Node]] = {
    "different arguments": [fetch(n, url=str(n)) for n in range(9)],
    "polling that works": [fetch(n, ok=True) for n in range(12)],
    "every call works at the second try": [fetch(2 * n + k, ok=k == 1) for n in range(8) for k in range(2)],
    "different agents": [agent(f"A{n}", n, n + 1, fetch(n)) for n in range(8)],
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_ordinary_failures_are_no_storm(case: str) -> None:
    """Other inputs, polls, and short retries that work are left alone."""
    assert found(*NEGATIVES[case]) == []


def test_retries_named_by_the_recorder_are_one_call() -> None:
    """Without arguments, `retry_of` says which calls belong together, whatever their parents."""
    calls = [
        node("other", f"step {n}", n, n + 0.9,
             tool("fetch", n, n + 0.5, id=f"t{n}", attempt=n + 1, retry_of=f"t{n - 1}" if n else None, **DOWN))
        for n in range(6)
    ]  # fmt: skip

    assert [f.data["attempts"] for f in found(*calls)] == [6]


def test_checks_follow_the_input() -> None:
    """Pauses that grow, and success, are seen in what was checked."""
    (hot,) = found(*(fetch(n) for n in range(6)))
    (polite,) = found(*(fetch(2**n) for n in range(6)), fetch(90, ok=True))

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    assert values(hot) | {"ruled out: growing pauses": True} != values(hot)
    assert values(polite)["ruled out: growing pauses"] is True
    assert values(polite)["ruled out: a try worked"] is True
    assert values(hot)["tries of the same call"] == 6
    assert values(polite)["tries of the same call"] == 7


def thinking(at: float) -> Node:
    return llm(
        at,
        at + 0.1,
        input_tokens=50,
        output_tokens=20,
        cost="0.001",
        answer=f"The page is still missing, so I fetch it once more, for the {at:.0f}th time.",
    )


@pytest.mark.parametrize(
    ("calls", "kind"),
    [
        ([fetch(n) for n in range(8)], "retry_storm"),
        ([fetch(n, attempt=n + 1, retry_of=f"t{n - 1}" if n else None, id=f"t{n}") for n in range(8)], "retry_storm"),
        ([call for n in range(8) for call in (fetch(n), thinking(n + 0.5))], "loop"),
    ],
    ids=["unmarked", "marked", "the agent thinks in between"],
)
def test_one_finding_for_one_trouble(calls: list[Node], kind: str) -> None:
    """The same call again at once after a failure is a storm, marked or not; where the agent decides on it each time, a loop."""
    told = analyse(frames(run("crawl", agent("Crawler", 0, 90, *calls)))).findings

    assert [f.kind for f in told if f.severity != "info"] == [kind]


def test_numbers_that_begin_again_tell_of_a_layer_without_spans() -> None:
    """1 2 3 1 2 3 1 2 3: what runs the retries retries too, although no span shows it."""
    (finding,) = found(*(fetch(n, attempt=n % 3 + 1) for n in range(9)))

    assert [layer["tries"] for layer in finding.data["layers"]] == [3, 9]
    assert finding.severity == "critical"
    assert "3 x 3" in finding.title
    assert "or what runs it, not both" in finding.suggestion


def test_tries_inside_a_client_count() -> None:
    """Three calls that failed, each after three requests of the client, are nine tries in two layers; one that worked is none."""
    busy: dict[str, Any] = {"attributes": {Tracehound.TRIES: 3, Tracehound.TRIES_FAILED: ["429", "429"]}}
    asked: dict[str, Any] = {"prompt": "Summarise", **busy}
    (finding,) = found(*(llm(n, n + 0.9, **asked, **DOWN) for n in range(3)))

    assert (finding.data["attempts"], finding.data["failures"], finding.severity) == (9, 9, "critical")
    assert finding.data["layers"][0]["tries"] == 3
    assert finding.data["errors"] == ["HTTP 429", "Unavailable"]
    assert len(finding.spans) == 3
    assert found(llm(0, 1, **asked)) == []


def test_a_call_that_gets_further_between_its_failures_is_no_storm() -> None:
    """Another error each time, after another tool has worked; the same error again, or nothing done in between, is one."""

    def builds(errors: list[str], *, mended: bool = True) -> list[Node]:
        failing = [
            tool("build", 2 * n, 2 * n + 0.5, args={"t": 1}, status="error", error_type="Missing", error_message=e)
            for n, e in enumerate(errors)
        ]
        return [
            *failing,
            *(tool("add", 2 * n + 1, 2 * n + 1.5, args={"n": n}, result="ok") for n in range(len(errors)) if mended),
        ]

    others = ["no module yaml", "no module codec", "no header zlib", "no font mono", "no schema v", "no licence file"]

    assert found(*builds(others)) == []
    assert len(found(*builds(["no module yaml"] * 6))) == 1
    assert len(found(*builds(others, mended=False))) == 1
