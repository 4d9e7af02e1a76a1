"""The receiver as its clients see it, and what of it is in the store afterwards."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from dashboard.cli import main
from tests.receiver.serving import JSON, PROTOBUF, Serving, log_request, request, serving
from tests.store.build import in_threads
from tracer.store import reads
from tracer.store.database import Store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A receiver that the tests of this module share; each uses traces of its own."""
    with serving(tmp_path_factory.mktemp("served") / "traces.duckdb") as running:
        yield running


def stored(serving: Serving, trace: int) -> dict[int, dict[str, Any]]:
    """The rows of one trace by span number."""
    store = Store(serving.store)
    store.fold()
    rows = reads.load(store, [f"{trace:032x}"]).spans.to_dicts()
    return {int(row["span_id"], 16): row for row in rows}


def as_json(message: Any) -> dict[str, Any]:
    """OTLP JSON: as protobuf JSON, but ids are hex digits."""
    document = MessageToDict(message)
    for group in document["resourceSpans"]:
        for span in (span for scoped in group["scopeSpans"] for span in scoped["spans"]):
            for key in ("traceId", "spanId"):
                span[key] = base64.b64decode(span[key]).hex()
    return document


@pytest.mark.slow
@pytest.mark.parametrize("packed", ["plain", "gzip", "deflate", "two gzip members"])
def test_protobuf_is_stored_however_it_is_packed(packed: str, server: Serving) -> None:
    """The 200 has an empty body, and the rows are what was sent."""
    trace = {"plain": 100, "gzip": 101, "deflate": 102, "two gzip members": 103}[packed]
    body = request([1, 2], trace=trace, attributes={"gen_ai.operation.name": "chat"}).SerializeToString()
    half = len(body) // 2
    sent, encoding = {
        "plain": (body, "identity"),
        "gzip": (gzip.compress(body), "gzip"),
        "deflate": (zlib.compress(body), "deflate"),
        "two gzip members": (gzip.compress(body[:half]) + gzip.compress(body[half:]), "gzip"),
    }[packed]

    answer = server.post(sent, content_encoding=encoding)

    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", PROTOBUF)
    rows = stored(server, trace)
    assert {number: (row["name"], row["kind"]) for number, row in rows.items()} == {
        1: ("span 1", "llm"),
        2: ("span 2", "llm"),
    }


def test_json_and_protobuf_give_the_same_rows(server: Serving) -> None:
    """All columns but the ids of the trace are equal."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "note": "ü"}

    assert server.post(request([1, 2], trace=110, attributes=attributes).SerializeToString()).status == 200
    document = as_json(request([1, 2], trace=111, attributes=attributes))
    answer = server.post(json.dumps(document).encode(), content_type="application/json; charset=utf-8")

    assert (answer.status, answer.json) == (200, {})
    rows, twins = stored(server, 110), stored(server, 111)
    own = ("trace_id", "run_id")
    assert len(rows) == 2
    assert [{k: v for k, v in row.items() if k not in own} for row in rows.values()] == [
        {k: v for k, v in row.items() if k not in own} for row in twins.values()
    ]


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_bad_spans_are_named_and_the_good_ones_kept(form: str, server: Serving) -> None:
    """A partial success counts the spans without a sound id or time and says which and why."""
    trace = 120 if form == "protobuf" else 121
    sent = request([1, 2, 3, 4], trace=trace)
    spans = sent.resource_spans[0].scope_spans[0].spans
    spans[1].span_id = b"\x01\x02"
    spans[2].start_time_unix_nano = spans[2].end_time_unix_nano + 1
    if form == "protobuf":
        answer = server.post(sent.SerializeToString())
        partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
        rejected, message = partial.rejected_spans, partial.error_message
    else:
        answer = server.post(json.dumps(as_json(sent)).encode(), content_type=JSON)
        partial = answer.json["partialSuccess"]
        rejected, message = int(partial["rejectedSpans"]), partial["errorMessage"]

    assert (answer.status, rejected) == (200, 2)
    assert "spans[1]: span" in message
    assert "spans[2]: end" in message
    assert stored(server, trace).keys() == {1, 4}


def test_logs_reach_their_span_and_others_are_rejected(server: Serving) -> None:
    """A log record that names its span becomes its event; one that names none has no place and is told so."""
    assert server.post(request([1], trace=130).SerializeToString()).status == 200
    answer = server.post(log_request([1, 0], trace=130).SerializeToString(), "/v1/logs")

    partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, partial.rejected_log_records) == (200, 1)
    assert "names no span" in partial.error_message
    stored(server, 130)
    events = reads.load(Store(server.store), [f"{130:032x}"]).events
    assert events["name"].to_list() == ["gen_ai.choice"]


def test_the_same_payload_sent_again_is_not_doubled(server: Serving) -> None:
    """A client that did not hear the 200 repeats its batch, before and after a fold; rows stay single."""
    body = request([1, 2, 3], trace=140, attributes={"gen_ai.operation.name": "chat"}).SerializeToString()

    for _ in range(2):
        assert server.post(body).status == 200
    assert len(stored(server, 140)) == 3
    assert server.post(body).status == 200
    stored(server, 140)

    [row] = [row for row in reads.runs(Store(server.store)).to_dicts() if row["run_id"] == f"{140:032x}"]
    assert (row["spans"], row["llm_calls"]) == (3, 3)


@pytest.mark.slow
def test_concurrent_clients_all_get_through(server: Serving) -> None:
    """Eight clients at once with batches larger than a frame's share: each span is there once."""

    def send(client: int) -> None:
        numbers = range(client * 300 + 1, client * 300 + 301)
        assert server.post(request(numbers, trace=150).SerializeToString()).status == 200

    in_threads(*(lambda client=client: send(client) for client in range(8)))

    assert stored(server, 150).keys() == set(range(1, 2401))


def test_a_long_request_is_cut_into_bounded_frames(server: Serving) -> None:
    """A request of 2,500 spans comes in whole, over several frames."""
    assert server.post(request(range(1, 2501), trace=160).SerializeToString()).status == 200

    assert stored(server, 160).keys() == set(range(1, 2501))


DEEP = b'{"resourceSpans":' + b"[" * 100_000
NESTED = {"arrayValue": {"values": []}}
for _ in range(150):
    NESTED = {"arrayValue": {"values": [NESTED]}}
BOMB = gzip.compress(bytes(80 << 20), 1)
SPAN = request([1], trace=999).SerializeToString()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        pytest.param(413, BOMB, {"content_encoding": "gzip"}, "larger than 64 MB", id="gzip bomb"),
        pytest.param(413, b"", {"content_length": str(1 << 40)}, "larger than", id="declared too long"),
        pytest.param(415, SPAN, {"content_type": "text/plain"}, "Content-Type", id="text"),
        pytest.param(415, SPAN, {"content_type": ""}, "Content-Type", id="no type"),
        pytest.param(415, SPAN, {"content_encoding": "br"}, "Content-Encoding", id="unknown encoding"),
        pytest.param(400, SPAN, {"content_encoding": "gzip"}, "not gzip data", id="not packed"),
        pytest.param(400, gzip.compress(SPAN)[:-12], {"content_encoding": "gzip"}, "ends early", id="cut off"),
        pytest.param(400, SPAN[:-3], {}, "no OTLP trace request", id="cut protobuf"),
        pytest.param(400, b"xx", {}, "no OTLP trace request", id="noise"),
        pytest.param(400, b"{", {"content_type": JSON}, "not OTLP JSON", id="cut JSON"),
        pytest.param(400, b"\xff\xfe{", {"content_type": JSON}, "not OTLP JSON", id="not UTF-8"),
        pytest.param(400, b"[]", {"content_type": JSON}, "JSON object", id="list"),
        pytest.param(400, b'{"resourceLogs": []}', {"content_type": JSON}, "no resourceSpans", id="logs to traces"),
        pytest.param(400, DEEP, {"content_type": JSON}, "not OTLP JSON", id="deep JSON"),
        pytest.param(403, SPAN, {"host": "evil.example"}, "host name", id="rebound name"),
        pytest.param(403, SPAN, {"host": "127.0.0.1.evil.example:4318"}, "host name", id="name like an address"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_reason(
    status: int, body: bytes, headers: dict[str, str], said: str, server: Serving
) -> None:
    """Every refusal is JSON with its status and a sentence, nothing is stored, and the receiver goes on."""
    if "content_length" in headers:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("Content-Type", PROTOBUF)
        connection.putheader("Content-Length", headers["content_length"])
        connection.endheaders(b"x" * (70 << 20))
        response = connection.getresponse()
        found, told = response.status, json.loads(response.read())
        connection.close()
    else:
        answer = server.post(body, **headers)
        found, told = answer.status, answer.json

    assert (found, told["status"]) == (status, status)
    assert said in told["message"]
    assert server.ask("GET", "/healthz").json == {"status": "ok"}


def test_a_value_nested_too_deep_for_the_fold_is_not_acknowledged(server: Serving) -> None:
    """JSON can nest deeper than protobuf parsers go; such a request is refused instead of ending in quarantine."""
    document = as_json(request([1], trace=170))
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = [{"key": "deep", "value": NESTED}]

    answer = server.post(json.dumps(document).encode(), content_type=JSON)

    assert answer.status == 400, answer.body


def test_other_names_of_this_machine_are_answered(server: Serving) -> None:
    """`localhost` and the loopback addresses are not rebinding."""
    for host in ("localhost", "LOCALHOST:4318", "127.0.0.1", "[::1]:4318"):
        assert server.ask("GET", "/healthz", host=host).status == 200, host


def test_paths_and_methods_that_are_not_answered_say_what_is(server: Serving) -> None:
    """404 and 405 are JSON with a hint."""
    for method, path, status in (("POST", "/v1/metrics", 404), ("GET", "/v1/traces", 405)):
        answer = server.ask(method, path)
        assert answer.status == status
        assert "/v1/traces" in answer.json["hint"]


def test_metrics_count_what_happened(server: Serving) -> None:
    """Received and rejected spans, bytes and lag are in the Prometheus text."""
    names = ("receiver_spans_received_total", "receiver_spans_rejected_total", "receiver_bytes_total")
    before = [server.metric(name) for name in names]
    sent = request([1, 2, 3], trace=180)
    sent.resource_spans[0].scope_spans[0].spans[0].trace_id = b""
    body = sent.SerializeToString()
    assert server.post(body).status == 200

    after = [server.metric(name) for name in names]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 1, len(body)]
    assert server.metric("fold_lag_seconds") > 0
    assert server.metric("receiver_held_bytes") == 0


@pytest.mark.slow
def test_a_token_is_asked_for(tmp_path: Path) -> None:
    """With a token, requests without it or with another get 401; other host names are fine then; health is open."""
    body = request([1]).SerializeToString()
    with serving(tmp_path / "t.duckdb", "--host", "0.0.0.0", env={"TRACEHOUND_TOKEN": "s3cret"}) as server:
        statuses = [
            server.post(body, host="collector:4318", **headers).status
            for headers in (
                {},
                {"authorization": "Bearer wrong"},
                {"authorization": "Basic s3cret"},
                {"authorization": "Bearer s3cret"},
            )
        ]
        assert statuses == [401, 401, 401, 200]
        assert server.ask("GET", "/metrics").status == 401
        assert server.ask("GET", "/healthz").status == 200
        refused = server.post(body)
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert stored(server, 1).keys() == {1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--host 0.0.0.0", "needs a token"),
        ("--host example.invalid", "needs a token"),
        ("--port 70000", "no port"),
        ("--forward ftp://x", "no http(s) address"),
        ("--forward-header nonsense", "NAME=VALUE"),
        ("--store {tmp}", "is a directory"),
        ("--host 192.0.2.1 --token x --port 0", "Cannot listen"),
    ],
)
def test_bad_usage_ends_with_exit_code_2(
    options: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address others can reach needs a token; mistakes are named, nothing is served."""
    monkeypatch.delenv("TRACEHOUND_TOKEN", raising=False)
    words = ["serve", "--store", str(tmp_path / "t.duckdb"), *options.format(tmp=tmp_path).split()]
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(server: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two receivers on one port: the second ends with exit code 2 and a hint."""
    assert main(["serve", "--port", str(server.port), "--store", str(tmp_path / "t.duckdb")]) == 2
    assert "Hint: give another --port" in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """kill -9 right after each 200: every acknowledged span is in the store, once."""
    with serving(tmp_path / "t.duckdb") as server:
        for number in range(1, 21):
            assert server.post(request([number]).SerializeToString()).status == 200
        server.process.kill()
        server.process.wait(30)

        assert stored(server, 1).keys() == set(range(1, 21))
        assert reads.counters(Store(server.store))["bad_frames"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_seals_folds_and_ends_with_0(number: signal.Signals, tmp_path: Path) -> None:
    """After SIGTERM or Ctrl-C nothing is pending: the database has every span and the spool no segment."""
    with serving(tmp_path / "t.duckdb") as server:
        assert server.post(request([1, 2]).SerializeToString()).status == 200
        code, told = server.stop(number)

        assert (code, told) == (0, "")
        with Store(server.store).lease() as con:
            assert con.execute("SELECT count(*) FROM spans").fetchall() == [(2,)]
        assert list((tmp_path / "t.spool").glob("*.seg")) == []
