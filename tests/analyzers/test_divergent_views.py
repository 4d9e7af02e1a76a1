"""Agents that decide on different versions of one thing."""

from __future__ import annotations

from typing import Any

import pytest

from analyzers.detectors.divergent_views import find_divergent_views
from analyzers.finding import Finding
from tests.drawn import Node, agent, decision, frames, run, state_read, state_write

OLD, NEW = {"units": 40}, {"units": 4}


def stock(*, versions: bool = True, value: Any = NEW, merge: str | None = None) -> Node:
    one, two = (1, 2) if versions else (None, None)
    return agent("Stock", 0, 6, state_write("stock", 1, version=one, value=OLD),
                 state_write("stock", 5, version=two, before=OLD, value=value, merge=merge, id="newer"))  # fmt: skip


def decides(name: str, read_at: float, at: float, version: int | None, *, value: Any = OLD, **fields: Any) -> Node:
    return agent(name, read_at - 1, at + 2, state_read("stock", read_at, version=version, value=value, id=f"{name}-read"),
                 decision(f"{name} order", "go", at, agent=name, id=f"{name}-decides", **fields))  # fmt: skip


def split(*, versions: bool = True, **fields: Any) -> list[Node]:
    """Sales reads version 1 and decides three seconds after version 2 was written; Dispatch decides on version 2."""
    one, two = (1, 2) if versions else (None, None)
    return [stock(versions=versions), decides("Sales", 2, 8, one, **fields), decides("Dispatch", 6, 7, two, value=NEW, **fields)]  # fmt: skip


def found(*items: Node) -> list[Finding]:
    return find_divergent_views(frames(run("w", *items)))


@pytest.mark.parametrize(("versions", "confidence"), [(True, 0.8), (False, 0.65)])
def test_two_agents_decide_on_two_versions(versions: bool, confidence: float) -> None:
    """The finding names both decisions, what they rest on, and the write in between; by versions or by values."""
    (finding,) = found(*split(versions=versions))

    assert finding.spans == ("Sales-read", "newer", "Dispatch-read", "Dispatch-decides", "Sales-decides")
    assert finding.agents == ("Sales", "Dispatch", "Stock")
    assert finding.severity == "warning"
    assert finding.confidence == confidence
    assert "3 s after Stock had written" in finding.explanation


def test_both_carried_out_is_critical() -> None:
    """Two decisions that had effects in two worlds."""
    assert found(*split(acted_on=True))[0].severity == "critical"


def test_a_decision_may_say_what_it_rests_on() -> None:
    """Named inputs are surer than the last read, and what they do not name does not count."""
    (said,) = found(stock(), decides("Sales", 2, 8, 1, inputs=['{"stock":1}']), decides("Dispatch", 6, 7, 2, inputs=['{"stock":2}']))  # fmt: skip

    assert said.confidence == 0.9
    assert [view["version"] for view in said.data["views"]] == [1, 2]
    assert found(stock(), decides("Sales", 2, 8, 1, inputs=['{"price":1}']), decides("Dispatch", 6, 7, 2)) == []


NEGATIVES: dict[str, list[Node]] = {
    "decided before the newer version came": [stock(), decides("Sales", 2, 4, 1), decides("Dispatch", 6, 7, 2, value=NEW)],
    "within the clock error": [stock(), decides("Sales", 2, 5.02, 1), decides("Dispatch", 6, 7, 2, value=NEW)],
    "looked again": [
        stock(), decides("Dispatch", 6, 7, 2, value=NEW),
        agent("Sales", 1, 9, state_read("stock", 2, version=1, value=OLD), state_read("stock", 7, version=2, value=NEW), decision("s", "go", 8)),
    ],
    "both on the old version": [stock(), decides("Sales", 2, 8, 1), decides("Dispatch", 3, 8, 1)],
    "one agent alone": [stock(), decides("Sales", 2, 8, 1), decides("Sales", 6, 7, 2, value=NEW)],
    "an append": [stock(merge="append"), decides("Sales", 2, 8, 1), decides("Dispatch", 6, 7, 2, value=NEW)],
    "only book-keeping changed": [stock(value={**OLD, "updated_at": 5}), decides("Sales", 2, 8, 1), decides("Dispatch", 6, 7, 2, value={**OLD, "updated_at": 5})],
    "no reads": [stock(), agent("Sales", 1, 9, decision("s", "go", 8)), agent("Dispatch", 1, 9, decision("d", "go", 8))],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_views_that_agree_or_were_current_are_left_alone(case: str) -> None:
    """One world, or a world that changed only afterwards."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """How late, how far apart, and how sure show in what was checked."""

    def values(finding: Finding) -> dict[str, object]:
        return {check.rule: check.value for check in finding.checked}

    late = "the newer version was there before the older view was decided on, seconds"
    (one,) = found(*split())
    (two,) = found(
        *split(),
        agent("Stock", 6.1, 6.9, state_write("stock", 6.4, version=3, value={"units": 3})),
        decides("Audit", 7, 7.5, 3, value={"units": 3}),
    )
    (gap,) = found(*split(), agent("Odd", 8, 9, state_read("stock", 8.5, version=9)))

    assert (values(one)["versions between the two views"], values(two)["versions between the two views"]) == (1, 2)
    assert (values(one)[late], values(one)["pairs of decisions with split views"]) == (3.0, 1)
    assert values(two)["pairs of decisions with split views"] == 3
    assert (values(one)["writes missing in the recording"], values(gap)["writes missing in the recording"]) == (0, 1)
    assert gap.confidence < 0.5 < one.confidence
