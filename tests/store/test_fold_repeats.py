"""Deliveries of what is stored: the same again changes nothing and reads no run, anything else still counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from tests.store.build import span, span_id, trace_id
from tracer.model import RawEvent, RawSpan
from tracer.semconv import Tracehound
from tracer.store import apply, reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

RUN = [span(1), *(span(n, parent=1, attributes={Tracehound.KIND: "tool"}) for n in range(2, 20))]


def delivered(store: Store, spans: list[RawSpan]) -> int:
    """Record and fold; how many duplicates that were."""
    writer = SegmentWriter(store.path)
    writer.write_spans(spans)
    writer.close()
    return store.fold().duplicates


def rows(store: Store) -> list[pl.DataFrame]:
    data = reads.load(store, [trace_id(1)])
    return [data.spans, data.traces, data.events]


def test_the_same_again_changes_nothing_and_reads_no_run(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is sent again costs a look at its own spans, however large their run is."""
    read: list[int] = []
    real: Callable[..., Any] = apply.read_stored

    def counted(con: Any, looked_for: apply.Wanted) -> Any:
        read.append(looked_for.ids.height)
        return real(con, looked_for)

    assert delivered(empty_store, RUN) == 0
    before = rows(empty_store)
    monkeypatch.setattr(apply, "read_stored", counted)
    assert delivered(empty_store, RUN[3:8]) == 5
    assert read == [0]
    assert all(map(pl.DataFrame.equals, before, rows(empty_store)))
    assert reads.counters(empty_store)["duplicate_spans"] == 5


OTHER: dict[str, tuple[RawSpan, dict[str, Any]]] = {
    "another attribute": (span(5, parent=1, attributes={Tracehound.KIND: "agent"}), {"kind": "agent"}),
    "an error after all": (
        span(5, parent=1, attributes={Tracehound.KIND: "tool"}, status="error", status_message="no"),
        {"status": "error", "error_message": "no"},
    ),
    "an event": (
        span(
            5, parent=1, attributes={Tracehound.KIND: "tool"}, events=[RawEvent(name="seen", time_ns=RUN[4].start_ns)]
        ),
        {"events": 1},
    ),
    "a text": (span(5, parent=1, attributes={Tracehound.KIND: "tool"}, content={"input": [7]}), {"input_refs": [7]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_a_delivery_that_says_more_replaces_the_row(empty_store: Store, name: str) -> None:
    """Only what is the same in everything counts as sent twice; the newest word on a span wins."""
    again, expected = OTHER[name]
    delivered(empty_store, RUN)
    assert delivered(empty_store, [*RUN[10:12], again]) == 3
    data = reads.load(empty_store, [trace_id(1)])
    found = data.spans.filter(pl.col("span_id") == span_id(5)).to_dicts()[0] | {"events": data.events.height}
    assert {column: found[column] for column in expected} == expected
    assert data.spans.height == len(RUN)
