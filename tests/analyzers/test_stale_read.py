"""Reads that were out of date, and what was done with them."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.stale_read import find_stale_reads
from analyzers.finding import Finding
from tests.drawn import Node, agent, decision, frames, message, run, state_read, state_write, tool

OLD, NEW = {"price": 100}, {"price": 140}


def case(
    *after: Node, read_at: float = 5.0, version: int | None = 1, value: Any = OLD, versions: bool = True
) -> list[Node]:
    """
    Buyer   write v1 .. write v2
    Seller                        read v1 .. `after`
    """
    one, two = (1, 2) if versions else (None, None)
    return [
        agent("Buyer", 0, 3, state_write("offer", 1, version=one, value=OLD), state_write("offer", 2, version=two, value=NEW, before=OLD, id="new")),
        agent("Seller", 4, 20, state_read("offer", read_at, version=version if versions else None, value=value, id="old"), *after),
    ]  # fmt: skip


def found(*items: Node) -> list[Finding]:
    return find_stale_reads(frames(run("w", *items)))


@pytest.mark.parametrize(
    ("after", "severity"),
    [
        ([], "info"),
        ([tool("invoice", 6, 7, id="use")], "warning"),
        ([decision("discount", "none", 6, acted_on=True, id="use")], "critical"),
        ([message("Seller", "user", 6, "100 EUR", user_visible=True, id="use")], "critical"),
    ],
)
@pytest.mark.parametrize("versions", [True, False])
def test_a_read_behind_a_committed_version_is_ranked_by_use(after: list[Node], severity: str, versions: bool) -> None:
    """No use is a remark, an act a warning, what was carried out or told a person critical; versions make it sure."""
    (finding,) = found(*case(*after, versions=versions))

    assert finding.severity == severity
    assert {"old", "new"} <= set(finding.spans)
    assert (finding.confidence > 0.9) is versions
    assert ("use" in finding.spans) is bool(after)
    assert finding.agents == ("Seller", "Buyer")


NEGATIVES: dict[str, list[Node]] = {
    "the newest version": case(tool("t", 6, 7), version=2, value=NEW),
    "read while it was being written": case(tool("t", 6, 7), read_at=2.02),
    "equal values": [
        agent("A", 0, 3, state_write("k", 1, version=1, value=OLD), state_write("k", 2, version=2, value=OLD)),
        agent("B", 4, 9, state_read("k", 5, version=1, value=OLD), tool("t", 6, 7)),
    ],
    "changed only afterwards": [
        agent("B", 0, 9, state_read("k", 1, version=1, value=OLD), tool("t", 8, 9)),
        agent("A", 2, 4, state_write("k", 3, version=2, value=NEW)),
    ],
    "nothing recorded to compare": [
        agent("A", 0, 3, state_write("k", 1), state_write("k", 2)), agent("B", 4, 9, state_read("k", 5), tool("t", 6, 7))
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", NEGATIVES)
def test_reads_that_were_current_are_left_alone(name: str) -> None:
    """What was newest when the read began, or cannot be compared, is no stale read."""
    assert found(*NEGATIVES[name]) == []


def test_reading_again_ends_the_use() -> None:
    """What follows a fresh read does not rest on the stale one."""
    (finding,) = found(*case(state_read("offer", 6, version=2, value=NEW), tool("invoice", 7, 8)))

    assert finding.severity == "info"


def test_checks_follow_the_input() -> None:
    """Two missed versions and no use show in what was checked."""
    (used,) = found(*case(tool("invoice", 6, 7)))
    (idle,) = found(*case())

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    assert values(used)["uses of the value before it was read again"] == 1
    assert values(idle)["uses of the value before it was read again"] == 0
    assert values(used)["age of the newer version when it was read, seconds"] == 3.0


@pytest.mark.parametrize(("told", "confidence"), [(True, 0.95), (False, 0.5)])
def test_two_clocks_alone_prove_nothing(told: bool, confidence: float) -> None:
    """Reader and writer in two processes, a second apart: suspected, unless a message says that the write came first."""
    (finding,) = found(
        agent("Buyer", 0, 4, state_write("offer", 1, version=1, pid=1), state_write("offer", 2, version=2, pid=1),
              *([message("Buyer", "Seller", 2.5, pid=1)] if told else []), pid=1),
        agent("Seller", 2.9, 9, state_read("offer", 3, version=1, pid=2), tool("invoice", 6, 7, pid=2), pid=2),
    )  # fmt: skip

    assert finding.confidence == confidence
    assert {c.rule: c.passed for c in finding.checked}[
        "ruled out: the clocks of two processes differ by as much"
    ] is told


def test_a_gap_in_the_versions_makes_it_suspected() -> None:
    """A version that nobody was seen writing: the recording is not the whole story."""
    (finding,) = found(*case(tool("t", 6, 7)), agent("Odd", 21, 23, state_read("offer", 22, version=9)))

    assert finding.confidence == 0.5
    assert {c.rule: c.value for c in finding.checked}["writes missing in the recording"] == 1
