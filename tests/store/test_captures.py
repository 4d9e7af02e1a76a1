"""What real frameworks sent: the store holds the same whatever was folded together, in which order, and how often."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tracer.normalise.otlp_json import json_to_protobuf
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

CAPTURES = sorted((Path(__file__).parents[2] / "fixtures" / "captures").glob("*.otlp.json.gz"))


def requests(capture: Path) -> list[tuple[bytes, bool]]:
    """(request, is it logs) of one capture: one JSON document, or one a line."""
    logs = ".logs." in capture.name
    text = gzip.decompress(capture.read_bytes()).decode()
    try:
        documents = [json.loads(text)]
    except json.JSONDecodeError:
        documents = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [(payload, logs) for document in documents for payload in json_to_protobuf(document, logs=logs).payloads]


def feed(store: Store, found: list[tuple[bytes, bool]], *, at_once: int) -> reads.RunData:
    """Record the requests, folding after every `at_once` of them."""
    writer = SegmentWriter(store.path)
    for number, (payload, logs) in enumerate(found, 1):
        writer.write_otlp(payload, logs=logs)
        if number % at_once == 0:
            store.fold()
    writer.close()
    store.fold()
    return reads.load(store)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [
        "pydantic-ai-native-v2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "autogen-openinference-roundrobin",
                "langgraph",
                "langgraph-openinference+openai",
                "openai-agents-genai",
            )
        ),
    ],
)
def test_the_order_of_arrival_does_not_matter(tmp_path: Path, family: str) -> None:
    """One fold, several folds of the requests backwards, and everything delivered again give equal tables."""
    found = [request for capture in CAPTURES if capture.name.startswith(family) for request in requests(capture)]
    together = feed(Store(tmp_path / "together.duckdb"), found, at_once=len(found))
    assert together.spans.height > 0
    backwards = Store(tmp_path / "backwards.duckdb")
    for data in (
        feed(backwards, found[::-1], at_once=max(len(found) // 4, 1)),
        feed(backwards, found, at_once=len(found)),
    ):
        assert data.spans.equals(together.spans)
        assert data.traces.equals(together.traces)
        assert data.contents == together.contents
        assert data.events.rows() == together.events.rows()
        assert data.links.rows() == together.links.rows()


@pytest.mark.slow
def test_a_resume_joins_the_run_that_paused(tmp_path: Path) -> None:
    """The trace with a person's answer continues the run, whether it is folded later, before, or at once."""
    capture = next(path for path in CAPTURES if path.name.startswith("langgraph-openinference-interrupt"))
    documents = [json.loads(line) for line in gzip.decompress(capture.read_bytes()).decode().splitlines()]
    groups = [group for document in documents for group in document["resourceSpans"]]
    spans = [(group, span) for group in groups for scope in group["scopeSpans"] for span in scope["spans"]]
    traces = list(
        dict.fromkeys(span["traceId"] for _, span in sorted(spans, key=lambda s: int(s[1]["startTimeUnixNano"])))
    )
    found = [
        (json_to_protobuf({"resourceSpans": [{"scopeSpans": [{"spans": [s for _, s in spans if s["traceId"] == trace]}]}]}).payloads[0], False)
        for trace in traces
    ]  # fmt: skip
    assert len(found) == 2
    alone = feed(Store(tmp_path / "alone.duckdb"), found[:1], at_once=1)
    assert alone.traces["outcome"].to_list() == ["unknown"]
    together, later, before = (
        feed(Store(tmp_path / f"{name}.duckdb"), order, at_once=at_once)
        for name, order, at_once in (("together", found, 2), ("later", found, 1), ("before", found[::-1], 1))
    )

    assert together.traces["outcome"].to_list() == ["completed"]
    assert together.spans.equals(later.spans)
    assert together.spans.equals(before.spans)
    assert together.traces.equals(later.traces)
    assert together.traces.equals(before.traces)
