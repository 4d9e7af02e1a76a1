"""A real receiver in a process of its own, and requests as exporters send them."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

START_NS = 1_700_000_000_000_000_000
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass
class Answer:
    """What the receiver said."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Serving:
    """A running receiver."""

    process: subprocess.Popen[str]
    port: int
    store: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; `content_type="x"` is the header Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-").title(): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def post(self, body: bytes, path: str = "/v1/traces", **headers: str) -> Answer:
        """Post an export request, protobuf unless told otherwise."""
        return self.ask("POST", path, body, **{"content_type": PROTOBUF, **headers})

    def metric(self, name: str) -> float:
        """One value from /metrics."""
        text = self.ask("GET", "/metrics").body.decode()
        found = re.search(rf"^tracehound_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Signal it and wait; exit code and what it wrote on stderr."""
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=60)
        return self.process.returncode, told


@contextmanager
def serving(
    store: Path, *options: str, env: Mapping[str, str] | None = None, before: Callable[[], None] | None = None
) -> Iterator[Serving]:
    """`tracehound serve` on a free port; folding is left to the reader unless `options` say otherwise."""
    command = [sys.executable, "-m", "dashboard.cli", "serve", "--port", "0", "--store", str(store)]
    if "--fold-every" not in options:
        command += ["--fold-every", "0"]
    process = subprocess.Popen(
        [*command, *options],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        preexec_fn=before,
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        port = re.search(r"http://\S+:(\d+) ", first)
        assert port, first + process.stderr.read()
        yield Serving(process, int(port[1]), store)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def request(numbers: Sequence[int], *, trace: int = 1, attributes: Mapping[str, str] | None = None) -> Any:
    """An ExportTraceServiceRequest of one span for each of `numbers`, all of one trace."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    pair = group.resource.attributes.add()
    pair.key, pair.value.string_value = "service.name", "tests"
    scoped = group.scope_spans.add()
    scoped.scope.name = "tests"
    for number in numbers:
        span = scoped.spans.add()
        span.trace_id, span.span_id = trace.to_bytes(16, "big"), number.to_bytes(8, "big")
        span.name = f"span {number}"
        span.start_time_unix_nano = START_NS + number * 1_000_000
        span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
        for key, value in (attributes or {}).items():
            pair = span.attributes.add()
            pair.key, pair.value.string_value = key, value
    return made


def log_request(numbers: Sequence[int], *, trace: int = 1) -> Any:
    """An ExportLogsServiceRequest of one record for each span of `numbers`; span 0 stands for no span."""
    made = ExportLogsServiceRequest()
    scoped = made.resource_logs.add().scope_logs.add()
    for number in numbers:
        record = scoped.log_records.add()
        record.time_unix_nano, record.event_name = START_NS, "gen_ai.choice"
        if number:
            record.trace_id, record.span_id = trace.to_bytes(16, "big"), number.to_bytes(8, "big")
    return made
