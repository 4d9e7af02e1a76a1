"""Importing files: the good part arrives in the store, the rest is named with file, line and reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import tracer.importers
from tests.importers.conftest import Importing
from tests.importers.samples import ANY_AGENT, INSPECT, JAEGER, LANGFUSE, LANGSMITH, MAGENTIC, PHOENIX, SPANS, text
from tests.normalise.captured import FOLDER
from tracer.errors import UnknownName
from tracer.importers import IMPORTERS, import_file
from tracer.normalise.otlp_json import json_to_protobuf
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

FORMATS = Path(__file__).parents[3] / "shared" / "traces" / "formats"
"""other people's files, not part of the project"""
PUBLISHED = {"any": "any-agent", "inspect": "inspect-log", "langfuse": "langfuse-export", "otlp": "otlp-json"}


def span(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A sound OTLP JSON span; `fields` replace or (None) remove keys."""
    whole = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{number:016x}",
        "name": f"s{number}",
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "2000000000",
    } | fields
    return {key: value for key, value in whole.items() if value is not None}


def request(*spans: Any) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "s"}, "spans": list(spans)}]}
        ]
    }


def test_table_and_folder_agree() -> None:
    """Every importer module is in the table, under a name of its own."""
    folder = Path(tracer.importers.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "IMPORTER = Importer(" in path.read_text()}

    assert modules == {importer.name.replace("-", "_") for importer in IMPORTERS}


SAMPLES: dict[str, bytes] = {
    "otlp-json": text(request(span())).encode(),
    "otlp-protobuf": json_to_protobuf(request(span())).payloads[0],
    "any-agent": json.dumps(ANY_AGENT).encode(),
    "jaeger": json.dumps(JAEGER).encode(),
    "langfuse-export": json.dumps(LANGFUSE).encode(),
    "inspect-log": json.dumps(INSPECT).encode(),
    "langsmith-runs": text(*LANGSMITH).encode(),
    "phoenix-spans": json.dumps(PHOENIX).encode(),
    "spans-json": json.dumps(SPANS).encode(),
    "transcript": b'{"id": 1, "history": [{"role": "user", "content": "hi"}]}',
}


@pytest.mark.parametrize("name", SAMPLES)
def test_one_importer_recognises_a_sample(name: str) -> None:
    """No format is mistaken for another."""
    assert [name] == [importer.name for importer in IMPORTERS if importer.sniff(SAMPLES[name])]


@pytest.mark.parametrize("path", sorted(FORMATS.glob("*.json")), ids=lambda path: path.name)
def test_published_samples(importing: Importing, path: Path) -> None:
    """Files that others published are recognised by one importer and read without a loss."""
    head = path.read_bytes()[:65_536]
    named = [importer.name for importer in IMPORTERS if importer.sniff(head)]
    report, rows = importing(path)

    assert report.format == PUBLISHED[path.name.split("_")[0]]
    assert (report.skipped, len(report.problems)) == (0, 0)
    assert named == [report.format]
    assert rows
    assert {"llm"} <= {row["kind"] for row in rows} or report.format == "otlp-json"


def _delimited(*payloads: bytes) -> bytes:
    assert all(len(payload) < 128 * 128 for payload in payloads)
    return b"".join(
        (bytes([len(p)]) if len(p) < 128 else bytes([len(p) % 128 + 128, len(p) // 128])) + p for p in payloads
    )


ONE, TWO = (json_to_protobuf(request(span(n))).payloads[0] for n in (1, 2))
BOTH = json_to_protobuf(request(span(1), span(2))).payloads[0]
REST = json_to_protobuf(request(span(2), span(3))).payloads[0]
SHAPES: dict[str, bytes] = {
    "one request a line": text(request(span(1)), request(span(2))).encode(),
    "one request over many lines": json.dumps(request(span(1), span(2)), indent=2).encode(),
    "array of requests": json.dumps([request(span(1)), request(span(2))]).encode(),
    "array over many lines": json.dumps([request(span(1)), request(span(2))], indent=1).encode(),
    "blank lines and a byte order mark": b"\xef\xbb\xbf\n"
    + text(request(span(1))).encode()
    + b"\n\n"
    + text(request(span(2))).encode(),
    "utf-16": json.dumps(request(span(1), span(2))).encode("utf-16"),
    "gzip": gzip.compress(text(request(span(1), span(2))).encode()),
    "snake case, numbers as numbers, enum names": json.dumps(
        {
            "resource_spans": [
                {
                    "scope_spans": [
                        {
                            "spans": [
                                span(1),
                                {
                                    "trace_id": "0af7651916cd43dd8448eb211c80319c",
                                    "span_id": "0000000000000002",
                                    "name": "s2",
                                    "start_time_unix_nano": 10**9,
                                    "end_time_unix_nano": 2 * 10**9,
                                    "kind": "SPAN_KIND_CLIENT",
                                    "status": {"code": "STATUS_CODE_OK"},
                                    "attributes": {"plain": [1, "x"]},
                                },
                            ]
                        }
                    ]
                }
            ]
        }
    ).encode(),
    "NaN as JavaScript writes it": text(
        request(span(1), span(2, attributes=[{"key": "rate", "value": {"doubleValue": None}}]))
    ).encode(),
    "base64 ids": text(request(span(1), span(2, traceId="CvdlGRbNQ92ESOshHIAxnA==", spanId="AAAAAAAAAAI="))).encode(),
    "protobuf": json_to_protobuf(request(span(1), span(2))).payloads[0],
    "protobuf requests appended": ONE + TWO,
    "protobuf, gzip": gzip.compress(ONE + TWO),
    "protobuf, length-delimited": _delimited(ONE, TWO),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_of_otlp(importing: Importing, shape: str) -> None:
    """However the requests are written, the same two spans arrive."""
    report, rows = importing(SHAPES[shape])

    assert (report.read, report.skipped, report.problems) == (2, 0, [])
    assert [row["name"] for row in rows] == ["s1", "s2"]


BAD_SPANS: list[tuple[dict[str, Any], str]] = [
    ({"traceId": None}, "traceId is missing"),
    ({"traceId": "xyz"}, "traceId is 'xyz'; expected 32 hex digits"),
    ({"traceId": "0" * 32}, "not all zero"),
    ({"traceId": 7}, "traceId is 7"),
    ({"spanId": None}, "spanId is missing"),
    ({"spanId": "0af7651916cd43dd8448eb211c80319c"}, "expected 16 hex digits"),
    ({"parentSpanId": "nobody"}, "parentSpanId is 'nobody'"),
    ({"name": ["x"]}, "name is ['x']; expected text"),
    ({"startTimeUnixNano": None}, "startTimeUnixNano is missing"),
    ({"startTimeUnixNano": "yesterday"}, "startTimeUnixNano is 'yesterday'"),
    ({"startTimeUnixNano": float("nan")}, "startTimeUnixNano is nan"),
    ({"startTimeUnixNano": "-5"}, "startTimeUnixNano is -5"),
    ({"startTimeUnixNano": "99999999999999999999"}, "no time in nanoseconds"),
    ({"endTimeUnixNano": "5"}, "end 5 is before start 1000000000"),
    ({"status": "ok"}, "status is 'ok'; expected an object"),
    ({"status": {"code": "GREAT"}}, "status.code is 'GREAT'"),
    ({"attributes": "none"}, "expected a list of objects"),
    ({"attributes": [{"key": 5}]}, "attribute key is 5"),
    ({"attributes": [{"key": "k", "value": {"intValue": "five"}}]}, "intValue of 'k' is 'five'"),
    ({"attributes": [{"key": "k", "value": {"stringValue": 5}}]}, "stringValue of 'k' is 5"),
    ({"attributes": [{"key": "k", "value": {"colour": "red"}}]}, "unknown type 'colour'"),
    ({"attributes": [{"key": "k", "value": "bare"}]}, "value of attribute 'k' is 'bare'"),
    ({"events": [5]}, "events is [5]"),
    ({"links": [{"traceId": "x", "spanId": "y"}]}, "links.traceId is 'x'"),
]


@pytest.mark.parametrize(("fields", "reason"), BAD_SPANS)
def test_a_bad_span_is_named_and_the_others_arrive(importing: Importing, fields: dict[str, Any], reason: str) -> None:
    """File, line, place and reason; the spans beside it are imported."""
    report, rows = importing(text(request(span(1)), request(span(2), span(3, **fields), span(4))), "bad.json")

    assert (report.read, report.skipped) == (3, 1)
    assert [row["name"] for row in rows] == ["s1", "s2", "s4"]
    problem = report.problems[0]
    assert problem.file.endswith("bad.json")
    assert problem.line == 2
    assert "resourceSpans[0].scopeSpans[0].spans[1]" in problem.reason
    assert reason in problem.reason


def test_line_inside_a_document_over_many_lines(importing: Importing) -> None:
    """In a pretty-printed file the line is that of the span."""
    document = json.dumps(request(span(1), span(2, startTimeUnixNano="soon")), indent=1)
    report, _ = importing(document)

    assert 'spanId": "0000000000000002"' in document.splitlines()[(report.problems[0].line or 0) - 1]


GOOD = text(request(span(1)))
BROKEN: dict[str, tuple[bytes, int, int | None, str]] = {
    "not json": (b"{resourceSpans: oops", 0, 1, "not recognised"),
    "a bad line between good ones": (
        (GOOD + '{"resourceSpans": [oops\n' + text(request(span(2)))).encode(),
        2,
        2,
        "not valid JSON",
    ),
    "cut off in the last line": ((GOOD + text(request(span(2), span(3))))[:-60].encode(), 2, 2, "cut off"),
    "cut off over many lines": (json.dumps(request(span(1), span(2)), indent=1)[:-90].encode(), 1, None, "cut off"),
    "cut off before anything": (b'{"resourceSpans": [{"scopeSp', 0, 1, "cut off"),
    "not utf-8": (GOOD.encode() + b'{"resourceSpans": "\xff\xfe"}\n', 1, 2, "not UTF-8: byte 0xff"),
    "wrong types": (b'{"resourceSpans": 5}', 0, 1, "resourceSpans: expected a list, got 5"),
    "groups of the wrong type": (
        (GOOD + text({"resourceSpans": ["x"]})).encode(),
        1,
        2,
        "resourceSpans[0]: expected an object",
    ),
    "another document": ((GOOD + '{"hello": 1}\n').encode(), 1, 2, "expected an OTLP request"),
    "empty": (b"", 0, None, "empty"),
    "blank": (b" \n\n ", 0, None, "empty"),
    "binary junk": (bytes(range(256)) * 4, 0, 1, "not recognised"),
    "a broken gzip": (gzip.compress(b"x" * 100)[:20], 0, None, "compressed data ends early"),
    "a gzip cut short": (
        gzip.compress((GOOD + text(request(*(span(n, name=f"n{n * 7919}") for n in range(2, 400))))).encode())[:-3000],
        1,
        None,
        "compressed data ends early",
    ),
    "protobuf cut short": (ONE + TWO[:-9], 1, None, "data ends early"),
    "protobuf cut short inside the request": (BOTH[:-9], 1, None, "data ends early"),
    "protobuf stream cut short": (_delimited(ONE, REST)[:-5], 2, None, "data ends early"),
    "protobuf stream cut inside its last span": (_delimited(ONE, TWO)[:-5], 1, None, "no OTLP request at byte"),
    "protobuf, then junk": (ONE + b"\xff" * 50, 1, None, "data ends early"),
    "bad log records": (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [5]}]}]}', 0, 1, "expected an object"),
    "deeply nested": (b'{"resourceSpans": ' + b"[" * 100_000, 0, 1, ""),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files(importing: Importing, case: str) -> None:
    """The good part is imported, the reason is given, nothing raises."""
    content, read, line, reason = BROKEN[case]
    report, rows = importing(content, "broken")

    assert report.skipped >= 1
    assert any(reason in problem.reason for problem in report.problems), report.problems
    assert len(rows) == report.read
    assert report.read >= read
    if line is not None:
        assert line in [problem.line for problem in report.problems]


def test_missing_file_directory_and_format(importing: Importing, tmp_path: Path) -> None:
    """Paths that are no files are reported; an unknown format is the caller's mistake."""
    assert "no such file" in importing(tmp_path / "nowhere.json")[0].problems[0].reason
    assert "is a directory" in importing(tmp_path)[0].problems[0].reason
    with pytest.raises(UnknownName, match="otlp-jsn"):
        importing(GOOD, format="otlp-jsn")


def test_parent_cycle_is_named_and_cut(importing: Importing) -> None:
    """A cycle names its line; its spans are imported as a tree."""
    report, rows = importing(
        text(
            request(span(1, parentSpanId=f"{2:016x}")),
            request(span(2, parentSpanId=f"{1:016x}")),
            request(span(3, parentSpanId=f"{1:016x}")),
        )
    )

    assert (report.read, report.skipped, len(report.problems)) == (3, 0, 1)
    assert "cycle" in report.problems[0].reason
    assert report.problems[0].line == 1
    assert [None, f"{1:016x}", f"{1:016x}"] == [row["parent_span_id"] for row in rows]


def test_bad_spans_inside_protobuf(importing: Importing) -> None:
    """Spans without sound ids or times are left out of a binary request; the good ones keep their resource."""
    good = ExportTraceServiceRequest.FromString(json_to_protobuf(request(span(1), span(2), span(3))).payloads[0])
    good.resource_spans[0].resource.attributes.add(key="service.name").value.string_value = "shop"
    good.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    good.resource_spans[0].scope_spans[0].spans[1].end_time_unix_nano = 5
    report, rows = importing(good.SerializeToString())

    assert (report.read, report.skipped) == (1, 2)
    assert [(row["name"], row["service"]) for row in rows] == [("s3", "shop")]


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    """The same files again are recognised by their ids; two imports store what one does."""
    store = Store(tmp_path / "t.duckdb")
    transcript = tmp_path / "logs.jsonl"
    transcript.write_text(text(MAGENTIC))
    stored: list[Any] = []
    summaries: list[Any] = []
    for _ in range(2):
        writer = SegmentWriter(store.path)
        for path in (FOLDER / "openai-agents-genai-ordinary.otlp.json.gz", transcript):
            assert import_file(path, writer).skipped == 0
        writer.close()
        store.fold()
        with store.lease() as connection:
            stored.append(connection.sql("SELECT * FROM spans ORDER BY trace_id, span_id").fetchall())
            summaries = connection.sql("SELECT source_id, workflow, outcome FROM traces ORDER BY start_ns").fetchall()

    assert len(stored[0]) == 6 + 7
    assert stored[0] == stored[1]
    assert summaries == [("run-7", "logs", "failed"), (None, "support desk", "completed")]


@pytest.mark.slow
def test_long_requests_are_cut(importing: Importing) -> None:
    """A request of many spans is handed over in parts, and nothing is lost or doubled."""
    report, rows = importing(text(request(*(span(n) for n in range(1, 1004)))))

    assert 1003 == report.read == len(rows)
    assert [
        sum(len(s.spans) for r in ExportTraceServiceRequest.FromString(p).resource_spans for s in r.scope_spans)
        for p in json_to_protobuf(request(*(span(n) for n in range(1, 1004)))).payloads
    ] == [1000, 3]


def test_bad_records_among_good_ones(importing: Importing) -> None:
    """A record without messages and a broken line are named; the others are imported."""
    report, rows = importing(
        text(MAGENTIC) + '{"id": 2}\n{"history": [\n' + text(MAGENTIC | {"id": "run-8"}), "logs.jsonl"
    )

    assert report.read == 2
    assert [problem.line for problem in report.problems] == [2, 3]
    assert "no list of messages" in report.problems[0].reason
    assert len({row["run_id"] for row in rows}) == 2
