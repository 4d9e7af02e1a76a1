"""Runs that are read and resolved by column from root to leaf give the rows that the general way gives."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.store import test_leaves
from tests.store.build import START_NS, span_id, trace_id
from tests.store.test_leaves import both_ways, parts_alike
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.semconv import Common, GenAI, Tracehound
from tracer.store import gather, whole
from tracer.store.segment import SegmentWriter

RESOURCE = {"service.name": "desk", "process.pid": 7}
ERRORS = ("", "it broke", "Max turns exceeded", "the call timed out", "GraphInterrupt(value)")
AGENTS = ("planner", "writer", "critic")


def drawn(rng: random.Random, *, runs: int = 12, odd: float = 0.3) -> list[RawSpan]:
    """Ended spans of `runs` runs of a workflow, its agents and their work; a share `odd` of the runs has something unusual."""
    made: list[RawSpan] = []
    for run in range(1, runs + 1):
        made += _run(rng, run, rng.choice(ODDITIES) if rng.random() < odd else "")
    rng.shuffle(made)
    return made


ODDITIES = (
    "event", "link", "nested", "orphan", "two roots", "other resource", "named run", "user", "says how it ended",
    "pass on", "manager", "agent without a name", "setup", "state inside a call", "twice", "progress", "limit", "gave up",
)  # fmt: skip


def _run(rng: random.Random, run: int, oddity: str) -> list[RawSpan]:
    count = 0
    start = START_NS + run * rng.choice((1_000, 100_000))
    silent = rng.random() < 0.5  # its agents do not record handoffs

    def span(parent: RawSpan | None, name: str, attributes: dict[str, Any], **more: Any) -> RawSpan:
        nonlocal count, start
        count += 1
        start += rng.choice((0, 100, 1_000))
        failed = rng.random() < 0.08
        return RawSpan(
            trace_id=trace_id(run),
            span_id=span_id(run * 1_000 + rng.randint(0, 9) * 100 + count),
            parent_span_id=parent.span_id if parent else None,
            name=name,
            start_ns=start if parent or rng.random() < 0.9 else start + 5_000,
            end_ns=start + rng.choice((50, 500, 20_000)),
            status="error" if failed else rng.choice(("unset", "ok")),
            status_message=rng.choice(ERRORS) if failed else "",
            attributes=attributes
            | ({Common.ERROR_TYPE: rng.choice(("TimeoutError", "ValueError", "Exception"))} if failed else {}),
            resource=RESOURCE,
            scope="tracehound",
            **more,
        )

    root_says = [{Tracehound.KIND: "workflow", Tracehound.WORKFLOW: "flow"}, {GenAI.OPERATION: "invoke_workflow"}]
    root = span(None, rng.choice(("invoke_workflow desk", "desk.run")), rng.choice(root_says))
    if rng.random() < 0.5:
        root.attributes |= {GenAI.CONVERSATION_ID: f"talk {rng.randint(1, 6)}"}
    found, agents = [root], [root]
    for _ in range(rng.randint(0, 5)):
        who = rng.choice(AGENTS)
        says = {GenAI.OPERATION: "invoke_agent"} if silent else {Tracehound.KIND: "agent", Tracehound.AGENT: who}
        agent = span(root, f"invoke_agent {who}", says)
        if rng.random() < 0.1:
            agent.attributes |= {Tracehound.REASON: "was asked"}
        agents.append(agent)
        found.append(agent)
        found += [_leaf(rng, span, rng.choice(agents[-2:])) for _ in range(rng.randint(0, 4))]
        if rng.random() < 0.4:
            said = {Tracehound.KIND: "handoff", Tracehound.TARGET_AGENT: rng.choice(AGENTS), Tracehound.REASON: "go on"}
            found.append(span(rng.choice(agents[-2:]), "handoff", said))
    _make_odd(rng, oddity, span, found, agents)
    return found


def _leaf(rng: random.Random, span: Any, parent: RawSpan) -> RawSpan:
    model = rng.choice(("gpt-4o", "nobody-knows"))
    name, says = rng.choice(
        (
            (f"chat {model}", {GenAI.OPERATION: "chat", GenAI.REQUEST_MODEL: model, GenAI.INPUT_TOKENS[0]: 90, GenAI.OUTPUT_TOKENS[0]: 7}),
            ("execute_tool search", {GenAI.OPERATION: "execute_tool"}),
            ("execute_tool ask_writer", {GenAI.OPERATION: "execute_tool"}),
            ("embed", {GenAI.OPERATION: "embeddings", GenAI.REQUEST_MODEL: model, GenAI.INPUT_TOKENS[0]: 12}),
            ("decision", {Tracehound.KIND: "decision", Tracehound.SCOPE_KEY: "plan", Tracehound.CHOICE: "ä" * rng.choice((1, 600))}),
            ("set", {Tracehound.KIND: "state_write", Tracehound.STATE_KEY: "plan", Tracehound.CHANGED_PATHS: ["a"]}),
            ("search", {Tracehound.KIND: "tool", Tracehound.AGENT: rng.choice(AGENTS)}),
        )
    )  # fmt: skip
    return span(parent, name, dict(says))


def _make_odd(rng: random.Random, oddity: str, span: Any, found: list[RawSpan], agents: list[RawSpan]) -> None:
    one, root = rng.choice(found), found[0]
    if oddity == "event":
        one.events = [RawEvent(name="exception", time_ns=one.start_ns)]
    elif oddity == "link":
        one.links = [RawLink(trace_id=trace_id(rng.randint(1, 12)), span_id=span_id(1_001))]
    elif oddity == "nested":
        found.append(span(agents[-1], "invoke_agent helper", {GenAI.OPERATION: "invoke_agent"}))
        found.append(_leaf(rng, span, found[-1]))
    elif oddity == "orphan":
        found.remove(one)
    elif oddity == "two roots":
        found.append(span(None, "desk.run", {Tracehound.KIND: "workflow"}))
    elif oddity == "other resource":
        one.resource = {"service.name": "elsewhere", "process.pid": 8, "region": "x"}
    elif oddity == "named run":
        one.attributes |= {Tracehound.RUN_ID: trace_id(rng.randint(1, 12))}
    elif oddity == "user":
        one.attributes |= {Common.USER_ID[0]: "u", Common.SESSION_ID: "talk 1"}
    elif oddity == "says how it ended":
        root.attributes |= {Tracehound.OUTCOME: "escalated"}
    elif oddity == "pass on":
        found.append(span(agents[-1], "execute_tool transfer_to_writer", {GenAI.OPERATION: "execute_tool"}))
    elif oddity == "manager":
        found.append(span(root, "invoke_agent TeamManager", {GenAI.OPERATION: "invoke_agent"}))
    elif oddity == "agent without a name":
        found.append(span(root, "invoke_agent", {GenAI.OPERATION: "invoke_agent"}))
    elif oddity == "setup":
        found.append(span(root, "create_agent critic", {GenAI.OPERATION: "create_agent", GenAI.AGENT_NAME: "critic"}))
    elif oddity == "state inside a call":
        found.append(_leaf(rng, span, found[-1]))
    elif oddity == "twice":
        found.append(one)
    elif oddity == "progress":
        one.attributes |= {Tracehound.PROGRESS: True}
    elif oddity == "gave up":
        said = {GenAI.OPERATION: "execute_tool", Tracehound.CANCELLED: True}
        found.append(span(agents[-1], f"execute_tool ask_{rng.choice(AGENTS)}", said))
    elif oddity == "limit":
        agents[-1].attributes |= {GenAI.FINISH_REASONS: ["Maximum number of turns 3 reached"]}


def compare(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: Iterable[int], odd: float) -> None:
    kept: list[int] = []
    set_apart = whole.set_apart

    def noting(rows: Any, *beside: Any) -> Any:
        answer = set_apart(rows, *beside)
        kept.append(rows.frame.height)
        return answer

    monkeypatch.setattr(gather.whole, "set_apart", noting)
    read = 0
    for seed in seeds:
        spans = drawn(random.Random(seed), odd=odd)
        store = folder / f"{seed}.duckdb"
        writer = SegmentWriter(store)
        for at in range(0, len(spans), 25):
            writer.write_spans(spans[at : at + 25])
        writer.close()
        both_ways(store, monkeypatch, f"seed {seed}")
        read += len(spans)
    assert sum(kept) > read / 10, "hardly a run was read whole"  # agents of one name that overlap go the general way
    test_leaves.by_column.clear()


def test_plain_runs_by_column_are_what_the_general_way_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(tmp_path, monkeypatch, [0, 132], 0.3)  # 132: a run that ended before its last handoff was taken over


@pytest.mark.slow
@pytest.mark.parametrize("odd", [0.0, 0.3])
def test_many_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: float) -> None:
    compare(tmp_path, monkeypatch, [*range(4), *range(100, 150)], odd)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whole_runs_beside_stored_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """In order of run, so that many come whole, beside others that were cut or come again, of conversations that are stored."""
    rng = random.Random(seed)
    spans = sorted(drawn(rng, odd=0.1), key=lambda span: (span.trace_id, rng.random() < 0.05))
    spans += rng.choices(spans, k=6)
    parts_alike(tmp_path, monkeypatch, rng, spans)
