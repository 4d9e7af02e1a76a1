"""Whatever bytes come in, something sensible is said, what is sound is kept, and nothing falls over."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.importers.samples import ANY_AGENT, INSPECT, JAEGER, LANGFUSE, SPANS
from tests.normalise.captured import documents
from tests.receiver.serving import JSON, PROTOBUF, request, serving
from tests.store.build import span, span_id
from tracer.importers import import_file
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter, spool_path

pytestmark = pytest.mark.slow
SAMPLES: dict[str, Any] = {
    "any-agent": ANY_AGENT,
    "spans-json": SPANS,
    "inspect-log": INSPECT,
    "jaeger": JAEGER,
    "langfuse-export": LANGFUSE,
    "otlp-json": documents("openai-openinference-ordinary")[0],
    "transcript": [{"id": "c", "history": [{"name": "A", "role": "assistant", "content": "go"}]}],
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.just("\x00\ud800"),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value, outermost first."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    for here in todo:
        if isinstance(here, dict | list):
            keys = list(here) if isinstance(here, dict) else range(len(here))
            found += [(here, key) for key in keys]
            todo += [here[key] for key in keys]
    return found


@st.composite
def twisted(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sample with values replaced or removed somewhere inside, then perhaps cut or with bytes changed."""
    name = draw(st.sampled_from(sorted(SAMPLES)))
    document = json.loads(json.dumps(SAMPLES[name]))
    for _ in range(draw(st.integers(0, 3))):
        inside = places(document)
        if inside:
            container, key = inside[draw(st.integers(0, len(inside) - 1))]
            if draw(st.booleans()):
                container[key] = draw(ODD)
            else:
                del container[key]
    data = bytearray(json.dumps(document).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data) - 1))
        if draw(st.booleans()):
            data[at] = draw(st.integers(0, 255))
        else:
            del data[at + 1 :]
    return name, bytes(data)


def test_any_file_is_read_or_refused_and_what_was_read_can_be_folded(tmp_path: Path) -> None:
    """No exception, a reason for everything that was left out, and a store that is whole afterwards."""
    store = Store(tmp_path / "t.duckdb")
    path = tmp_path / "given"

    @settings(max_examples=400, deadline=None)
    @given(twisted())
    def read(case: tuple[str, bytes]) -> None:
        name, data = case
        path.write_bytes(data)
        for asked in ("auto", name):
            writer = SegmentWriter(store.path)
            report = import_file(path, writer, asked)
            writer.close()

            assert all(problem.reason for problem in report.problems)

    read()
    store.fold()

    assert reads.runs(store).height > 0
    assert reads.counters(store).get("bad_frames", 0) == 0


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6))
def test_damaged_segments_lose_only_what_is_damaged(damage: list[tuple[int, float, int]]) -> None:
    """Of thirty frames with a span each, those with a changed byte are set aside, and all others are stored."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "t.duckdb")
        writer = SegmentWriter(store.path)
        borders = [0]
        spool = spool_path(store.path)
        for number in range(30):
            writer.write_spans([span(number)])
            [segment] = spool.glob("*.seg")
            borders.append(segment.stat().st_size)
        writer.close()
        data = bytearray(segment.read_bytes())
        before = bytes(data)
        for frame, where, flip in damage:
            data[borders[frame] + int(where * (borders[frame + 1] - borders[frame]))] ^= flip
        segment.write_bytes(data)
        hurt = {n for n in range(30) if data[borders[n] : borders[n + 1]] != before[borders[n] : borders[n + 1]]}
        store.fold()

        assert {span_id(n) for n in range(30) if n not in hurt} == set(reads.load(store).spans["span_id"].to_list())


def test_any_request_is_answered_and_the_receiver_goes_on(tmp_path: Path) -> None:
    """Arbitrary and damaged bodies under every content type get 200, 400, 413 or 415; a sound one still is stored."""
    sound = request(range(1, 4)).SerializeToString()
    with serving(tmp_path / "t.duckdb") as server:

        @settings(max_examples=300, deadline=None)
        @given(
            st.one_of(
                st.binary(max_size=200),
                st.tuples(st.integers(0, len(sound) - 1), st.integers(0, 255)).map(
                    lambda change: sound[: change[0]] + bytes([change[1]]) + sound[change[0] + 1 :]
                ),
                twisted().map(lambda case: case[1]),
            ),
            st.sampled_from([PROTOBUF, JSON, "text/plain"]),
            st.sampled_from(["identity", "gzip", "deflate", "br"]),
            st.sampled_from(["/v1/traces", "/v1/logs"]),
        )
        def send(body: bytes, content_type: str, encoding: str, path: str) -> None:
            answer = server.post(body, path, content_type=content_type, content_encoding=encoding)
            assert answer.status in (200, 400, 413, 415), answer

        send()
        assert server.post(request([900], trace=77).SerializeToString()).status == 200
        assert server.stop()[0] == 0
    assert span_id(900) in reads.load(Store(tmp_path / "t.duckdb")).spans["span_id"].to_list()
