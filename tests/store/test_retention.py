"""Retention: what goes, what stays, and that texts are released exactly when nobody uses them any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.build import START_NS, span, span_id, trace_id
from tracer.errors import BadInput, UnknownName
from tracer.ids import canonical_json, content_id
from tracer.store import reads, retention
from tracer.store.database import Store
from tracer.store.retention import DAY_NS, Limits
from tracer.store.segment import SegmentWriter
from tracer.store.upkeep import without_folds


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


@pytest.fixture
def writer(store: Store) -> Iterator[SegmentWriter]:
    writer = SegmentWriter(store.path)
    yield writer
    writer.close()


def message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def saying(*texts: str) -> dict[str, Any]:
    """Attributes of an LLM call that was sent `texts`."""
    parts = [{"role": "user", "parts": [{"type": "text", "content": text}]} for text in texts]
    return {"gen_ai.operation.name": "chat", "gen_ai.input.messages": json.dumps(parts)}


def stored_texts(store: Store) -> set[str]:
    with store.lease() as con:
        return {body for (body,) in con.execute("SELECT body FROM contents").fetchall()}


def run_ids(store: Store) -> list[str]:
    return sorted(reads.runs(store)["run_id"])


@pytest.mark.slow
def test_old_runs_go_and_pinned_marked_and_running_ones_stay(store: Store, writer: SegmentWriter) -> None:
    """The age of a run is that of its last span; the plan counts what was spared."""
    day = DAY_NS // 1_000_000  # spans are numbered in ms
    writer.write_spans(
        [
            span(1, trace=1),
            span(2, trace=2),
            span(3, trace=3),
            span(5, trace=5),
            span(5 * day, trace=5),
            span(9 * day, trace=6),
        ],
        starts=[span(4, trace=4, ended=False)],
    )
    store.fold()
    retention.pin(store, [trace_id(1)])
    reads.mark(store, trace_id(2), "ok")
    plan = retention.plan(store, Limits(retention_days=5.5), now_ns=START_NS + 10 * DAY_NS)
    assert [(gone.run_id, gone.reason) for gone in plan.removals] == [(trace_id(3), "older than 5.5 days")]
    assert (plan.pinned, plan.running) == (2, 1)
    done = retention.remove(store, [gone.run_id for gone in plan.removals])
    assert (done.runs, done.spans) == (1, 1)
    assert run_ids(store) == [trace_id(n) for n in (1, 2, 4, 5, 6)]
    retention.pin(store, [trace_id(1)], pinned=False)
    assert retention.plan(store, Limits(retention_days=1), now_ns=START_NS + 10 * DAY_NS).removals[
        0
    ].run_id == trace_id(1)


@pytest.mark.slow
def test_a_size_takes_the_oldest_runs_first(store: Store, writer: SegmentWriter) -> None:
    """Nothing goes under a roomy limit, everything under none at all, and in between the oldest."""
    writer.write_spans([span(n, trace=n, attributes=saying(f"{n} " * 2000)) for n in range(1, 41)])
    store.fold()
    with store.lease() as con:
        con.execute("CHECKPOINT").fetchall()
        _, used = retention.used_bytes(con)
    chosen = [
        [gone.run_id for gone in retention.plan(store, Limits(max_bytes=size)).removals]
        for size in (used, used // 2, 0)
    ]
    assert chosen[0] == []
    assert chosen[1] == [trace_id(n) for n in range(1, 1 + len(chosen[1]))]
    assert len(chosen[1]) == pytest.approx(20, abs=2)
    assert len(chosen[2]) == 40


@pytest.mark.slow
def test_runs_are_removed_by_name(store: Store, writer: SegmentWriter) -> None:
    """Even a marked one, with its mark; not one that runs, and not one that is not there."""
    writer.write_spans([span(1, trace=1)], starts=[span(2, trace=2, ended=False)])
    store.fold()
    reads.mark(store, trace_id(1), "failed")
    with pytest.raises(BadInput, match="still running"):
        retention.plan(store, Limits(), run_ids=[trace_id(2)])
    with pytest.raises(UnknownName):
        retention.plan(store, Limits(), run_ids=["nowhere"])
    [gone] = retention.plan(store, Limits(), run_ids=[trace_id(1)]).removals
    assert gone.reason == "asked for"
    retention.remove(store, [gone.run_id])
    assert (run_ids(store), reads.marks(store).height) == ([trace_id(2)], 0)


def test_every_table_forgets_the_run(store: Store, writer: SegmentWriter) -> None:
    """No row of any table names it any more, and the others' rows are as they were."""
    from tracer.model import RawEvent, RawLink

    for n in (1, 2):
        event = RawEvent(name="gen_ai.user.message", time_ns=START_NS + n, attributes={"content": f"event {n}"})
        link = RawLink(trace_id=trace_id(8), span_id=span_id(8), attributes={"why": f"{n}" * 600})
        writer.write_spans(
            [span(n, trace=n, events=[event], links=[link], attributes=saying(f"text {n}") | {"long": f"{n}" * 600})]
        )
    store.fold()
    retention.pin(store, [trace_id(1), trace_id(2)])
    with store.lease() as con:
        tables = [
            name
            for (name,) in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'store'"
            ).fetchall()
        ]
        before = {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}
    retention.remove(store, [trace_id(1)])
    with store.lease() as con:
        after = {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}
    for name in tables:
        kept = [row for row in before[name] if trace_id(1) not in row]
        if name == "contents":
            kept = [row for row in kept if "1" not in row[2]]
        assert after[name] == kept, name
    assert any("2" in row[2] for row in after["contents"])


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.frozensets(st.integers(0, 6), max_size=4), min_size=1, max_size=5),
    removed=st.sets(st.integers(0, 4), min_size=1),
)
def test_exactly_the_texts_nobody_uses_are_released(
    store: Store, runs: list[frozenset[int]], removed: set[int]
) -> None:
    """Whatever runs share, after a removal the store holds the texts of the runs that are left, and no others."""
    writer = SegmentWriter(store.path)
    for number, texts in enumerate(runs):
        writer.write_spans([span(number, trace=number, attributes=saying(*(f"text {text}" for text in texts)))])
    writer.close()
    store.fold()
    gone = {number for number in removed if number < len(runs)}
    retention.remove(store, [trace_id(number) for number in gone])
    left = [texts for number, texts in enumerate(runs) if number not in gone]
    expected = {canonical_json(message(f"text {text}")) for texts in left for text in texts}
    assert stored_texts(store) == expected
    retention.remove(store, [trace_id(number) for number in range(len(runs))])
    assert stored_texts(store) == set()


@pytest.mark.slow
def test_a_text_that_a_living_recorder_may_refer_to_again_stays(store: Store, writer: SegmentWriter) -> None:
    """A segment holds a text once; a frame that refers to it may come after the run that brought it was removed."""
    body = canonical_json(message("hello"))
    key = content_id(body)
    written = {"content": {"input": [key]}, "attributes": {"gen_ai.operation.name": "chat"}}
    writer.write_spans([span(1, trace=1, **written)], contents={key: body})
    store.fold()
    assert stored_texts(store) == {body}
    retention.remove(store, [trace_id(1)])
    writer.write_spans([span(2, trace=2, **written)], contents={key: body})
    store.fold()
    assert reads.load(store).contents == {key: body}
    writer.close()
    store.fold()
    retention.remove(store, [trace_id(2)])
    assert stored_texts(store) == set()


@pytest.mark.slow
def test_folds_wait_for_the_end_of_upkeep_and_lose_nothing(store: Store, writer: SegmentWriter) -> None:
    """Meanwhile recording and reading go on, and a fold says what is pending instead of waiting."""
    with without_folds(retention.Lease.of(store.path)):
        writer.write_spans([span(1)])
        result = store.fold()
        assert (result.spans, result.pending_bytes > 0) == (0, True)
        assert run_ids(store) == []
    assert store.fold().spans == 1


def test_limits_are_kept_in_the_store(store: Store) -> None:
    """They come back as they were given, and go when they are taken away."""
    assert retention.read_limits(store) == Limits()
    retention.keep_limits(store, Limits(retention_days=1.5, max_bytes=10**12))
    assert retention.read_limits(Store(store.path)) == Limits(retention_days=1.5, max_bytes=10**12)
    retention.keep_limits(store, Limits(max_bytes=5))
    assert retention.read_limits(store) == Limits(max_bytes=5)
