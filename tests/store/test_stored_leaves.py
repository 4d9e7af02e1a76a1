"""Leaves of stored runs that stay columns while more of their runs comes in: the store is what rows one by one give."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store import test_leaves, test_whole
from tests.store.build import span, span_id
from tests.store.test_captures import CAPTURES, requests
from tracer.model import RawSpan
from tracer.semconv import GenAI, Tracehound
from tracer.store import fold as fold_module
from tracer.store import gather, merge, reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many stored leaves stayed columns, merge by merge."""
    counted: list[int] = []
    settle = merge.settle

    def noting(leaves: Any, *beside: Any) -> Any:
        rows = settle(leaves, *beside)
        counted.append(leaves.frame.height)
        return rows

    monkeypatch.setattr(merge, "settle", noting)
    return counted


def compare(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: Iterable[int]) -> None:
    """Runs of all shapes, in order of start or end as they come while they go on, or with some spans late."""
    for seed in seeds:
        rng = random.Random(seed)
        starts: list[RawSpan] = []
        if rng.random() < 0.5:
            spans, starts, _ = test_leaves.drawn(rng, traces=rng.randint(1, 3), spans=40)
        else:
            spans = test_whole.drawn(rng, odd=rng.choice((0.0, 0.3)))
        late = {id(one): rng.random() < 0.1 for one in spans}
        by_end = rng.random() < 0.5
        spans.sort(key=lambda one: (late[id(one)], (one.end_ns or 0) if by_end else one.start_ns))
        spans += rng.choices(spans, k=rng.choice((0, 3)))
        (folder / str(seed)).mkdir()
        test_leaves.parts_alike(folder / str(seed), monkeypatch, rng, spans, starts)


def test_what_stays_columns_is_what_rows_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: list[int]) -> None:
    compare(tmp_path, monkeypatch, [36])
    assert sum(kept) > 0


@pytest.mark.slow
def test_many_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: list[int]) -> None:
    compare(tmp_path, monkeypatch, range(10, 40))
    assert sum(kept) > 300


@pytest.mark.slow
@pytest.mark.parametrize("odd", [0.0, 0.02])
def test_a_long_run_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: list[int], odd: float) -> None:
    """Two agents whose calls come a few at a time; now and then a call turns out to hold another, or comes again changed."""
    rng = random.Random(1)
    flow = span(1, attributes={Tracehound.KIND: "workflow"})
    agents = [span(number, parent=1, attributes={GenAI.OPERATION: "invoke_agent", GenAI.AGENT_NAME: name}) for number, name in ((2, "a"), (3, "b"))]  # fmt: skip
    spans = [flow, *agents]
    for number in range(4, 300):
        parent = rng.randint(2, 3) if rng.random() > odd else rng.randint(4, number)
        operation = rng.choice(("chat", "execute_tool"))
        spans.append(span(number, parent=min(parent, number - 1), attributes={GenAI.OPERATION: operation}))
        if rng.random() < odd:
            spans.append(replace(rng.choice(spans[3:]), name="again"))
    test_leaves.parts_alike(tmp_path, monkeypatch, rng, spans, [replace(one, end_ns=None) for one in (flow, *agents)])
    assert sum(kept) > 300


@pytest.mark.slow
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_what_frameworks_sent_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: Path) -> None:
    monkeypatch.setattr(fold_module, "AT_ONCE_SPANS", 0)
    found = list(requests(capture))
    step = max(len(found) // 6, 1)
    stores: list[Store] = []
    for by_column_from in (0, test_leaves.NEVER):
        monkeypatch.setattr(gather, "BY_COLUMN_FROM", by_column_from)
        store = Store(tmp_path / f"{by_column_from}.duckdb")
        writer = SegmentWriter(store.path)
        for at in range(0, len(found), step):
            for payload, logs in found[at : at + step]:
                writer.write_otlp(payload, logs=logs)
            store.fold()
        writer.close()
        store.fold()
        stores.append(store)
    test_leaves.stores_alike(*stores)


def test_a_new_name_of_an_agent_reaches_what_is_stored(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch, kept: list[int]
) -> None:
    """The agent's end, which says its name, comes after its calls: all of these are its own then."""
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", 0)
    desk = span(1, attributes={Tracehound.KIND: "agent", Tracehound.AGENT: "desk"})
    calls = [span(number, parent=1, attributes={GenAI.OPERATION: "chat"}) for number in range(2, 6)]
    writer = SegmentWriter(empty_store.path)
    writer.write_spans(calls, starts=[replace(desk, end_ns=None, attributes={Tracehound.KIND: "agent"})])
    empty_store.fold()
    writer.write_spans([desk])
    empty_store.fold()
    writer.close()

    assert kept == [4]
    rows = reads.sql(empty_store, "SELECT span_id, agent, agent_inferred FROM spans ORDER BY start_ns").rows()
    assert rows == [(span_id(number), "desk", number > 1) for number in range(1, 6)]
    assert reads.sql(empty_store, "SELECT spans, llm_calls, agents FROM traces").rows() == [(5, 4, 1)]
