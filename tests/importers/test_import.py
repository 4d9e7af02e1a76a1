"""Importing files: the good part arrives in the store, the rest is named with file, line and reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import tracer.importers
from tests.importers.samples import ANY_AGENT, INSPECT, JAEGER, LANGFUSE, LANGSMITH, PHOENIX
from tests.normalise.captured import FOLDER
from tracer.errors import UnknownName
from tracer.importers import IMPORTERS, ImportReport, import_file
from tracer.importers.turns import agent_of
from tracer.normalise import resolve
from tracer.normalise.otlp_json import json_to_protobuf
from tracer.store.database import Store
from tracer.store.gather import gather
from tracer.store.segment import SegmentWriter, spool_path
from tracer.store.spool import list_spool

FORMATS = Path(__file__).parents[3] / "shared" / "traces" / "formats"
"""other people's files, not part of the project"""
PUBLISHED = {"any": "any-agent", "inspect": "inspect-log", "langfuse": "langfuse-export", "otlp": "otlp-json"}
Importing = Callable[..., tuple[ImportReport, list[dict[str, Any]]]]


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Importing]:
    """Imports a file (or bytes as a file called `name`); gives the report and the rows that the store's fold would insert."""
    store_path = tmp_path / "store" / "t.duckdb"
    writer = SegmentWriter(store_path)

    def run(
        content: bytes | str | Path, name: str = "file", format: str = "auto"
    ) -> tuple[ImportReport, list[dict[str, Any]]]:
        path = content if isinstance(content, Path) else tmp_path / name
        if not isinstance(content, Path):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        report = import_file(path, writer, format)
        writer.close()
        spool = spool_path(store_path)
        found = gather(spool, list_spool(spool).segments, {}, limit=100_000)
        assert not found.counts, found.counts
        rows = resolve(found.spans, found.events, found.links)
        return report, [asdict(row) for row in sorted(rows, key=lambda row: (row.start_ns, row.step or 0, row.span_id))]

    yield run
    writer.close()


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


def text(*documents: Any) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


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


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        ("Orchestrator (thought)", ("Orchestrator", None, "thought")),
        ("Orchestrator (-> WebSurfer)", ("Orchestrator", "WebSurfer", None)),
        ("Orchestrator (termination condition)", ("Orchestrator", None, "termination condition")),
        ("Assistant (GPT-4)", ("Assistant (GPT-4)", None, None)),
        (" WebSurfer ", ("WebSurfer", None, None)),
    ],
)
def test_authors(author: str, expected: tuple[str, str | None, str | None]) -> None:
    """Asides and addressees are taken off an author's name, model names are not."""
    assert expected == agent_of(author)


MAGENTIC = {
    "id": "run-7",
    "question": "Which one?",
    "is_correct": False,
    "history": [
        {"role": "human", "content": "Which one?"},
        {"role": "Orchestrator (thought)", "content": "Plan."},
        {"role": "Orchestrator (-> WebSurfer)", "content": "Look it up."},
        {"role": "WebSurfer", "content": "Found."},
    ],
}


def test_transcript_of_agents(importing: Importing) -> None:
    """One run: a turn per agent, a message per entry with its step, the addressee, the source's own id and verdict."""
    report, rows = importing(text(MAGENTIC), "logs.jsonl")
    steps = [(r["step"], r["kind"], r["agent"], r["target_agent"]) for r in rows if r["step"] is not None]

    assert (report.format, report.read, report.skipped, report.problems) == ("transcript", 1, 0, [])
    assert steps == [
        (0, "message", "human", None),
        (1, "message", "Orchestrator", None),
        (2, "message", "Orchestrator", "WebSurfer"),
        (3, "message", "WebSurfer", None),
    ]
    assert [r["agent"] for r in rows if r["kind"] == "agent"] == ["Orchestrator", "WebSurfer"]
    assert {"logs"} == {r["workflow"] for r in rows}
    assert all({"start_ns", "end_ns"} <= set(r["derived"]) for r in rows)
    assert json.loads(next(r for r in rows if r["kind"] == "workflow")["attributes"])["tracehound.source.id"] == "run-7"


def test_transcript_with_tools(importing: Importing) -> None:
    """A tool's answer becomes a tool call of the agent that asked, with the arguments of its request."""
    call = {"id": "c1", "type": "function", "function": {"name": "find_user", "arguments": '{"zip": "19122"}'}}
    report, rows = importing(
        json.dumps(
            [
                {
                    "task_id": 3,
                    "trial": t,
                    "reward": float(t),
                    "traj": [
                        {"role": "system", "content": "Policy"},
                        {"role": "user", "content": "Hi"},
                        {"role": "assistant", "content": None, "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "name": "find_user", "content": "yusuf"},
                    ],
                }
                for t in (0, 1)
            ]
        )
    )
    tools = [r for r in rows if r["kind"] == "tool"]

    assert report.read == 2
    assert [(r["tool_name"], r["agent"], r["step"]) for r in tools] == [("find_user", "assistant", 3)] * 2
    assert len({r["args_hash"] for r in tools}) == 1
    assert {"3/0", "3/1"} == {
        json.loads(r["attributes"])["tracehound.source.id"] for r in rows if r["kind"] == "workflow"
    }


def logged(kind: str, second: int, **fields: Any) -> dict[str, Any]:
    """An entry of ChatDev's log, as its converter writes it."""
    return {"ts": f"2025-05-13T09:10:{second:02}", "level": "INFO", "type": kind, **fields}


def spoken(second: int, agent: str, turn: int = 0) -> dict[str, Any]:
    return logged("message", second, agent=agent, pair=["Coder", "Chief"], turn=turn, content=f"{agent} {second}")


def billed(second: int, sent: int, made: int, cost: float | None) -> dict[str, Any]:
    return logged("llm_usage", second, prompt_tokens=sent, completion_tokens=made, total_tokens=sent + made) | (
        {} if cost is None else {"cost_usd": cost}
    )


def test_a_log_that_tells_calls_apart_from_messages(importing: Importing) -> None:
    """ChatDev: calls wait for the messages they made, in order, with the model of their phase; a message without a call has none.

    Its log shows both messages of a turn when the second call is over; each is dated by its own call.
    """
    events = [
        logged("phase_start", 0, phase="Plan", model="ModelType.GPT_3_5_TURBO"),
        logged("start_chat", 0, agent="Chief", content="Make a plan."),
        billed(4, 466, 104, 0.0016),
        billed(5, 610, 72, None),
        spoken(5, "Coder"), spoken(5, "Chief"),
        logged("phase_start", 6, phase="Code", model="ModelType.GPT_4O"),
        logged("start_chat", 6, agent="Chief", content="Code it."),
        billed(20, 638, 1_100, 0.0142),
        spoken(20, "Coder"), spoken(21, "Chief", 1),
        billed(25, 700, 9, 0.002),
    ]  # fmt: skip
    report, rows = importing(json.dumps({"id": "CD-1", "task": "a game", "events": events}))
    calls = [r for r in rows if r["kind"] == "llm"]
    turns = {r["span_id"]: (r["agent"], r["start_ns"], r["end_ns"]) for r in rows if r["kind"] == "agent"}
    told = [(r["agent"], r["model"], r["input_tokens"], r["output_tokens"], r["end_ns"] // 10**9 % 60) for r in calls]

    assert told == [
        ("Coder", "gpt-3.5-turbo", 466, 104, 4),
        ("Chief", "gpt-3.5-turbo", 610, 72, 5),
        ("Coder", "gpt-4o", 638, 1_100, 20),
        ("Chief", "gpt-4o", 700, 9, 25),  # made after the last message: it is counted with it
    ]
    assert [(str(r["cost_usd"]), r["cost_source"]) for r in calls if r["model"] == "gpt-4o"] == [
        ("0.0142", "recorder"), ("0.002", "recorder"),
    ]  # fmt: skip
    assert calls[1]["cost_usd"] is not None
    assert calls[1]["cost_source"].startswith("genai-prices")
    for call in calls:
        agent, start_ns, end_ns = turns[call["parent_span_id"]]
        assert agent == call["agent"]
        assert start_ns <= call["start_ns"] <= call["end_ns"] <= end_ns
    assert "2 of 8 entries have no author or no text" in report.problems[0].reason


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"models_usage": {"prompt_tokens": 50, "completion_tokens": 7}}, (None, 50, 7)),
        ({"usage": {"input_tokens": 5, "output_tokens": 0, "cost": 0.5}, "model": "house"}, ("house", 5, 0)),
        ({"usage_metadata": {"input_tokens": 3}}, (None, 3, None)),
        ({"models_usage": None}, None),
        ({"usage": {"prompt_tokens": "many"}}, None),
        ({"usage": {"prompt_tokens": -1}}, None),
        ({"usage": "much"}, None),
    ],
)
def test_usage_on_the_message_itself(
    importing: Importing, usage: dict[str, Any], expected: tuple[Any, ...] | None
) -> None:
    """AutoGen, LangChain and others: one call a message, none where nothing is counted; people make no calls."""
    messages = [
        {"source": "user", "content": "Hi", "usage": {"input_tokens": 1}},
        {"source": "x", "content": "a", **usage},
    ]
    report, rows = importing(json.dumps({"messages": messages}))
    calls = [(r["model"], r["input_tokens"], r["output_tokens"]) for r in rows if r["kind"] == "llm"]

    assert calls == ([] if expected is None else [expected])
    assert (report.read, report.problems) == (1, [])


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({"content": "Error: user not found"}, "Error: user not found"),
        ({"content": "ValueError: no such date"}, "ValueError: no such date"),
        ({"content": "Traceback (most recent call last):\n  x"}, "Traceback (most recent call last):\n  x"),
        ({"content": '{"error": "rate limited"}'}, "rate limited"),
        ({"content": "down", "is_error": True}, "down"),
        ({"content": "down", "status": "error"}, "down"),
        ({"content": "", "error": "timed out"}, "timed out"),
        ({"content": "The log says: Error: user not found"}, None),
        ({"content": "Errors were none"}, None),
        ({"content": '{"error": null, "rows": 3}'}, None),
        ({"content": '{"error": "partial", "rows": 3}'}, None),
        ({"content": '{"error": '}, None),
        ({"content": "fine", "status": "success"}, None),
    ],
)
def test_a_tool_that_says_it_failed(importing: Importing, fields: dict[str, Any], failed: str | None) -> None:
    """As tau-bench and others write it; an answer that only speaks of errors is none."""
    call = {"id": "c1", "function": {"name": "find", "arguments": "{}"}}
    messages = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", **fields},
    ]
    _, rows = importing(json.dumps({"traj": messages}))
    [tool] = [r for r in rows if r["kind"] == "tool"]

    assert (tool["status"], tool["error_message"]) == (("ok", None) if failed is None else ("error", failed))


TRANSCRIPTS: dict[str, tuple[str, int, list[str | None]]] = {
    "bare messages": ('[{"role": "user", "content": "a"}, {"name": "x", "content": "b"}]', 1, ["user", "x"]),
    "a message a line": ('{"source": "x", "content": "a"}\n{"source": "y", "content": "b"}\n', 1, ["x", "y"]),
    "nested list": ('{"id": 1, "result": {"messages": [{"role": "x", "content": "a"}]}}', 1, ["x"]),
    "pretty-printed": (json.dumps({"messages": [{"agent": "x", "content": "a"}]}, indent=2), 1, ["x"]),
    "content as parts": ('{"messages": [{"role": "x", "content": [{"type": "text", "text": "a"}]}]}', 1, ["x"]),
    "entries without author": (
        '{"history": [{"role": "x", "content": "a"}, {"content": "b"}, 5, {"role": "y", "content": "c"}]}',
        1,
        ["x", "y"],
    ),
}


@pytest.mark.parametrize("case", TRANSCRIPTS)
def test_shapes_of_transcripts(importing: Importing, case: str) -> None:
    """The list of messages is found wherever it is; entries that are none keep their number free."""
    content, read, agents = TRANSCRIPTS[case]
    report, rows = importing(content)

    assert read == report.read
    assert agents == [r["agent"] for r in rows if r["step"] is not None]
    if case == "entries without author":
        assert [r["step"] for r in rows if r["step"] is not None] == [0, 3]
        assert "2 of 4 entries" in report.problems[0].reason


def test_transcript_times(importing: Importing) -> None:
    """Times of the source are used where every message has one in order; a message is made after the one before it."""
    messages = [{"role": "x", "content": str(n), "timestamp": f"2025-05-13T09:08:{n:02}"} for n in (1, 4, 4)]
    _, rows = importing(json.dumps({"messages": messages}))
    steps = [r for r in rows if r["step"] is not None]

    assert [r["derived"] for r in steps] == [None] * 3
    assert steps[0]["end_ns"] == steps[1]["start_ns"] == 1_747_127_281 * 10**9 + 1_000
    assert [r["end_ns"] // 10**9 for r in steps[1:]] == [1_747_127_284] * 2
    assert steps[2]["end_ns"] - steps[2]["start_ns"] == 1_000


def test_bad_records_among_good_ones(importing: Importing) -> None:
    """A record without messages and a broken line are named; the others are imported."""
    report, rows = importing(
        text(MAGENTIC) + '{"id": 2}\n{"history": [\n' + text(MAGENTIC | {"id": "run-8"}), "logs.jsonl"
    )

    assert report.read == 2
    assert [problem.line for problem in report.problems] == [2, 3]
    assert "no list of messages" in report.problems[0].reason
    assert len({row["run_id"] for row in rows}) == 2
