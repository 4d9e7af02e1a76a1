"""State that grows: with every write, without bound."""

from __future__ import annotations

import pytest

from analyzers.detectors.state_growth import find_state_growth
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, run, state_read, state_write


def writes(sizes: list[int], key: str = "log", **fields: object) -> list[Node]:
    return [state_write(key, n, value_bytes=size, id=f"{key}{n}", **fields) for n, size in enumerate(sizes)]  # type: ignore[arg-type]


def found(*items: Node, model: str | None = "gpt-4o") -> list[Finding]:
    return find_state_growth(frames(run("w", agent("a", 0, 99, llm(0, 1, model=model), *items))))


GROWING = [2_000 * (n + 1) for n in range(50)]


def test_fifty_steps_and_a_hundred_kilobytes() -> None:
    """Size, pace, share of the context window and the writes that are left are told."""
    (finding,) = found(*writes(GROWING))

    assert finding.severity == "warning"
    assert finding.data["bytes"] == 100_000
    assert finding.data["bytes_per_write"] == 2_000
    assert finding.data["window_share"] == pytest.approx(25_000 / 128_000, abs=1e-3)
    assert finding.data["writes_until_full"] == (128_000 * 4 - 100_000) // 2_000
    assert finding.data["never_read"] == ["log"]
    assert len(finding.spans) == 50


def test_half_of_the_window_is_critical() -> None:
    """The severity follows the model that is used; without one the share stays open."""
    large = writes([8 * size for size in GROWING])

    assert [f.severity for f in found(*large)] == ["critical"]
    (unknown,) = found(*large, model="my-own-model")
    assert unknown.severity == "warning"
    assert unknown.data["window_share"] is None


def test_many_keys_that_grow_together() -> None:
    """Fifty keys of two kilobytes are one growing state; each alone is none."""
    (finding,) = found(*(state_write(f"step{n}", n, value_bytes=2_000) for n in range(50)))

    assert finding.data["key"] == ""
    assert finding.data["bytes"] == 100_000
    assert "as a whole" in finding.title


def test_a_key_that_is_read_is_not_called_unread() -> None:
    """Reads anywhere in the run take a key off the list of what can go."""
    (finding,) = found(*writes(GROWING), state_read("log", 60))

    assert finding.data["never_read"] == []


NEGATIVES: dict[str, list[Node]] = {
    "constant": writes([50_000] * 30),
    "pruned": writes([2_000 * (n % 10 + 1) + 20_000 for n in range(50)]),
    "small": writes([100 * n for n in range(50)]),
    "few writes": writes([10_000 * n for n in range(7)]),
    "refused writes": writes(GROWING, cas="conflict"),
}


@pytest.mark.parametrize("case", NEGATIVES)
def test_bounded_state_is_left_alone(case: str) -> None:
    """State that stays, shrinks, is small, or was never stored."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """More writes and more bytes show in what was checked."""
    (short,), (long,) = found(*writes(GROWING[:20])), found(*writes(GROWING))

    assert {c.rule: c.value for c in short.checked}["bytes at the end"] == 40_000
    assert {c.rule: c.value for c in long.checked}["writes"] == 50


def test_keys_that_nobody_reads_again_are_named() -> None:
    """A read long ago does not count, one of the newest versions does; it shows in what was checked."""
    (long_ago,) = found(*writes(GROWING), state_read("log", 3.5, id="old"))
    (recent,) = found(*writes(GROWING), state_read("log", 48.5, id="new"))

    def value(finding: Finding) -> object:
        return {check.rule: check.value for check in finding.checked}["keys never read again"]

    assert (long_ago.data["never_read"], value(long_ago)) == (["log"], 1)
    assert (recent.data["never_read"], value(recent)) == ([], 0)
    assert "Nobody reads 'log' again" in long_ago.explanation
