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


@pytest.mark.parametrize(
    "family", ["autogen-openinference-roundrobin", "langgraph", "openai-agents-genai", "pydantic-ai-native-v2"]
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
