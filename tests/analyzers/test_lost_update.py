"""Lost updates on shared state: what is one, what only looks like one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.detectors.lost_update import find_lost_update
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, run, state_read, state_write

PLAN = {"owner": "", "budget": 100, "steps": ["a"]}
BY_B = {"owner": "b", "budget": 100, "steps": ["a"]}
BY_A = {"owner": "", "budget": 80, "steps": ["a"]}
BOTH = {"owner": "b", "budget": 80, "steps": ["a"]}


def read(at: float, version: int | None, value: Any = None, **fields: Any) -> Node:
    return state_read("plan", at, version=version, value=value, **fields)


def write(at: float, version: int | None, value: Any = None, **fields: Any) -> Node:
    return state_write("plan", at, version=version, value=value, **fields)


def found(*items: Node) -> list[Finding]:
    return [f for f in find_lost_update(frames(run("w", *items))) if isinstance(f, Finding)]


def clash(a_reads: dict[str, Any], b_writes: dict[str, Any], a_writes: dict[str, Any]) -> list[Node]:
    """
    a  read r1 ................ write w3
    b      read r2 .. write w2
    """
    return [
        agent("a", 0, 10, read(1, id="r1", **a_reads), write(9, id="w3", **a_writes)),
        agent(
            "b",
            0,
            10,
            read(2, id="r2", **a_reads),
            llm(3, 4, id="think", cost="0.02", input_tokens=10, output_tokens=5),
            write(5, id="w2", **b_writes),
        ),
    ]


LOST: dict[str, list[Node]] = {
    "versions and values": clash(
        {"version": 1, "value": PLAN}, {"version": 2, "value": BY_B, "before": PLAN}, {"version": 3, "value": BY_A, "before": BY_B}
    ),
    "values only": clash({"version": None, "value": PLAN}, {"version": None, "value": BY_B, "before": PLAN}, {"version": None, "value": BY_A, "before": BY_B}),
    "changed paths only": clash({"version": 1}, {"version": 2, "changed": ["owner"]}, {"version": 3, "changed": ["owner", "budget"]}),
    "versions only": clash({"version": 1}, {"version": 2}, {"version": 3}),
    "third value": clash(
        {"version": 1, "value": PLAN}, {"version": 2, "value": BY_B, "before": PLAN}, {"version": 3, "value": PLAN | {"owner": "a"}, "before": BY_B}
    ),
    "expected version told, not checked": [
        agent("a", 0, 10, write(9, 3, BY_A, before=BY_B, expected=1, id="w3")),
        agent("b", 0, 10, write(2, 1, PLAN, id="w1"), write(5, 2, BY_B, before=PLAN, id="w2")),
    ],
    "list item dropped": clash(
        {"version": 1, "value": PLAN},
        {"version": 2, "value": PLAN | {"steps": ["a", "b"]}, "before": PLAN},
        {"version": 3, "value": PLAN | {"steps": ["a", "c"]}, "before": PLAN | {"steps": ["a", "b"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST)
def test_finds_the_overwritten_update(case: str) -> None:
    """A write on an older base that drops another's change is found, with the lost and the overwriting write."""
    findings = found(*LOST[case])

    assert len(findings) == 1
    assert {"w2", "w3"} <= set(findings[0].spans)
    assert {"a", "b"} == set(findings[0].agents)
    assert findings[0].data["key"] == "plan"


HEALTHY: dict[str, list[Node]] = {
    "disjoint paths kept": clash({"version": 1, "value": PLAN}, {"version": 2, "value": BY_B, "before": PLAN}, {"version": 3, "value": BOTH, "before": BY_B}),
    "disjoint changed paths": clash({"version": 1}, {"version": 2, "changed": ["owner"]}, {"version": 3, "changed": ["budget"]}),
    "equal value": clash({"version": 1, "value": PLAN}, {"version": 2, "value": BY_B, "before": PLAN}, {"version": 3, "value": BY_B, "before": BY_B}),
    "append merge": clash({"version": 1}, {"version": 2, "merge": "append"}, {"version": 3, "merge": "append"}),
    "both list items kept": clash(
        {"version": 1, "value": PLAN},
        {"version": 2, "value": PLAN | {"steps": ["a", "b"]}, "before": PLAN},
        {"version": 3, "value": PLAN | {"steps": ["a", "c", "b"]}, "before": PLAN | {"steps": ["a", "b"]}},
    ),
    "refused compare-and-set": clash(
        {"version": 1, "value": PLAN}, {"version": 2, "value": BY_B, "before": PLAN, "cas": "ok"},
        {"version": None, "value": BY_A, "expected": 1, "cas": "conflict", "status": "error"},
    ),
    "compare-and-set retried": [
        agent("a", 0, 10, read(1, 1, PLAN), write(6, None, BY_A, expected=1, cas="conflict", status="error"), read(7, 2, BY_B), write(9, 3, BOTH, before=BY_B, expected=2, cas="ok")),
        agent("b", 0, 10, read(2, 1, PLAN), write(5, 2, BY_B, before=PLAN, cas="unchecked")),
    ],
    "read again before writing": [
        agent("a", 0, 10, read(1, 1, PLAN), read(7, 2, BY_B), write(9, 3, BY_B | {"owner": "a"}, before=BY_B)),
        agent("b", 0, 10, read(2, 1, PLAN), write(5, 2, BY_B, before=PLAN)),
    ],
    "one after the other": [
        agent("a", 0, 4, read(1, 1, PLAN), write(3, 2, BY_A, before=PLAN)),
        agent("b", 5, 9, read(6, 2, BY_A), write(8, 3, PLAN, before=BY_A)),
    ],
    "one agent alone": [agent("a", 0, 9, read(1, 1, PLAN), write(3, 2, BY_A, before=PLAN), write(8, 3, PLAN, before=BY_A))],
    "book-keeping field": clash(
        {"version": 1, "value": PLAN | {"updated_at": 1}}, {"version": 2, "value": PLAN | {"updated_at": 2}, "before": PLAN | {"updated_at": 1}},
        {"version": 3, "value": PLAN | {"updated_at": 3}, "before": PLAN | {"updated_at": 2}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HEALTHY)
def test_silent_where_nothing_was_lost(case: str) -> None:
    """Merges, equal values, refused writes and re-reads are no losses."""
    assert found(*HEALTHY[case]) == []


def test_says_what_was_lost_and_what_it_cost() -> None:
    """The explanation names writer, loser, field and the cost of the work that was thrown away."""
    finding = found(*LOST["versions and values"])[0]

    assert list(finding.spans) == ["r1", "r2", "w2", "w3"]
    assert finding.severity == "critical"
    assert ["owner"] == finding.data["paths"] == finding.data["put_back"]
    assert float(finding.wasted_usd or 0) == 0.02
    assert finding.data["wasted_spans"] == ["think"]
    for word in ("a wrote 'plan'", "b had changed it", "'owner' went back", "$0.02"):
        assert word in finding.explanation


def test_an_item_of_a_list_is_named_by_what_it_says() -> None:
    """Items of lists are told apart by digests; people read their beginning."""
    note = {"text": "the boiler in the basement of the north wing leaks again"}
    finding = found(
        *clash(
            {"version": 1, "value": {"notes": ["x"]}},
            {"version": 2, "value": {"notes": ["x", note, "dry"]}, "before": {"notes": ["x"]}},
            {"version": 3, "value": {"notes": ["x", "mine"]}, "before": {"notes": ["x", note, "dry"]}},
        )
    )[0]

    assert finding.data["paths"] == ["notes[dry]", 'notes[{"text":"the boiler in the basement o...]']
    assert "'notes[dry]'" in finding.explanation


def test_confidence_follows_the_evidence() -> None:
    """Values make it sure, changed paths fairly sure, versions alone only a suspicion."""
    sure, paths, versions = (
        found(*LOST[case])[0] for case in ("versions and values", "changed paths only", "versions only")
    )

    assert sure.confidence > paths.confidence > versions.confidence
    assert (sure.severity, paths.severity, versions.severity) == ("critical", "critical", "warning")


def test_a_gap_in_the_chain_lowers_confidence() -> None:
    """A write that was not recorded makes the loss a suspicion."""
    items = clash(
        {"version": 1, "value": PLAN},
        {"version": 2, "value": BY_B, "before": PLAN},
        {"version": 4, "value": BY_A, "before": BOTH},
    )
    finding = found(*items)[0]

    assert finding.severity == "warning"
    assert finding.data["gaps"]
    assert not next(c for c in finding.checked if "not recorded" in c.rule).passed


def test_a_repaired_loss_is_a_warning() -> None:
    """Values that are written again later end well; the check that ruled this out changes sides."""
    lost = LOST["versions and values"]
    mended = found(*lost, agent("b2", 11, 14, read(12, 3, BY_A), write(13, 4, BOTH, before=BY_A)))[0]
    checks = [next(c for c in f.checked if "written again" in c.rule).passed for f in (found(*lost)[0], mended)]

    assert mended.severity == "warning"
    assert mended.wasted_usd is None
    assert checks == [True, False]


def test_many_keys_and_runs_do_not_mix() -> None:
    """Equal keys of different runs are different keys."""
    sick = run("w", *LOST["versions and values"], id="sick")
    well = run("w", *HEALTHY["disjoint paths kept"], id="well")

    assert [sick.run_id] == [f.trace_id for f in find_lost_update(frames(sick, well))]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=14), st.booleans())
def test_a_simulated_store_agrees(moves: list[tuple[int, bool]], versioned: bool) -> None:
    """Agents read and write back a whole dict with their own field set, in any order: found are exactly the fields that vanish.

    The oracle looks only at the store: a write loses what is there when it lands and is not in it.
    """
    current: dict[str, int] = {}
    seen: dict[int, dict[str, int]] = {}
    lost: set[str] = set()
    inside: dict[int, list[Node]] = {0: [], 1: [], 2: []}
    version = 1
    for at, (who, writes) in enumerate(moves, start=1):
        if not writes or who not in seen:
            seen[who] = dict(current)
            inside[who].append(read(at, version if versioned else None, dict(current)))
            continue
        written = {**seen[who], f"by_{who}": at}
        if any(written.get(path) != value for path, value in current.items() if path != f"by_{who}"):
            lost.add(f"w{at}")
        version += 1
        inside[who].append(write(at, version if versioned else None, written, before=dict(current), id=f"w{at}"))
        current = written
        seen[who] = dict(written)

    findings = found(*(agent(f"a{who}", 0, 20, *nodes) for who, nodes in inside.items()))

    assert {span for f in findings for span in f.data["overwrites"]} == lost


@pytest.mark.slow
def test_thousands_of_orderly_operations_are_clean() -> None:
    """Read-modify-write one after the other, by two agents, loses nothing."""
    steps = [
        agent("ab"[n % 2], n, n + 0.9, read(n + 0.1, n, {"n": n}), write(n + 0.5, n + 1, {"n": n + 1}, before={"n": n})) for n in range(1, 1500)
    ]  # fmt: skip

    assert found(*steps) == []


def test_a_writer_without_versions_tells_what_it_had_read() -> None:
    """The value it says it replaced is an older one, though the other's write lies between: its snapshot, not the store."""
    with_reads = clash(
        {"version": None, "value": PLAN},
        {"version": None, "value": BY_B, "before": PLAN},
        {"version": None, "value": BY_A, "before": PLAN},
    )
    alone = [agent("a", 0, 10, write(9, None, BY_A, before=PLAN, id="w3")), agent("b", 0, 10, write(5, None, BY_B, before=PLAN, id="w2"))]  # fmt: skip
    sure, fairly = found(*with_reads)[0], found(*alone)[0]

    assert [f.data["lost_writes"] for f in (sure, fairly)] == [["w2"], ["w2"]]
    assert sure.confidence > fairly.confidence >= 0.8
    assert (
        found(agent("b", 0, 4, write(3, None, BY_B, before=PLAN)), agent("a", 5, 9, write(8, None, BY_A, before=None)))
        == []
    )
