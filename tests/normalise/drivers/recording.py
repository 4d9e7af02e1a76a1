"""What the drivers in this folder share: a scripted model on loopback, and a sink that keeps OTLP requests as they come.

A driver is run by hand in an environment that has its framework, from the root of the repository:

    python tests/normalise/drivers/llamaindex_agents.py ordinary OUTPUT_FOLDER

It writes `<framework>-<instrumentor>-<scenario>.otlp.json.gz`: one OTLP/JSON request a line.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.e2e.server import Reply, Request, Script, serving

__all__ = ["Reply", "Request", "recording"]


@contextmanager
def recording(name: str, script: Script, folder: str | Path) -> Iterator[Any]:
    """Serve `script`, give a global tracer provider that exports to the sink, and write the capture when the block ends."""
    lines: dict[str, list[str]] = {"traces": [], "logs": []}

    class Sink(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers["Content-Length"]))
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def do_POST(self) -> None:
            from google.protobuf.json_format import MessageToDict

            body = self.body()
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            signal = "logs" if self.path.endswith("logs") else "traces"
            if self.headers["Content-Type"] == "application/json":
                document = json.loads(body)
            else:
                document = _hex(MessageToDict(_request(signal).FromString(body), use_integers_for_enums=True))
            lines[signal].append(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    with serving(script) as model:
        url = f"http://127.0.0.1:{sink.server_address[1]}"
        os.environ.update(model.variables, OPENAI_API_BASE=model.variables["OPENAI_BASE_URL"])
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url  # of a program in another language
        provider, logger = _providers(url, name)
        provider.logger = logger
        try:
            yield provider
        finally:
            provider.shutdown()
            logger.shutdown()
    for signal, written in lines.items():
        if written:
            ending = ".otlp.json.gz" if signal == "traces" else ".logs.otlp.json.gz"
            text = "\n".join(written) + "\n"
            (Path(folder) / (name + ending)).write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(name, len(model.requests), "requests")


def _providers(url: str, name: str) -> tuple[Any, Any]:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # pyright: ignore[reportMissingImports]
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # pyright: ignore[reportMissingImports]
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": name.split("-")[0] + "-demo", "deployment.environment.name": "capture"})
    provider, logger = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces"), schedule_delay_millis=150))
    logger.add_log_record_processor(
        BatchLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs"), schedule_delay_millis=150)
    )
    trace.set_tracer_provider(provider)
    return provider, logger


def _request(signal: str) -> Any:
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        return ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return ExportTraceServiceRequest


def _hex(node: Any) -> Any:
    """OTLP/JSON writes ids in hex, protobuf's own JSON in base64."""
    if isinstance(node, dict):
        return {
            key: base64.b64decode(value).hex() if key in ("traceId", "spanId", "parentSpanId") else _hex(value)
            for key, value in node.items()
        }
    return [_hex(item) for item in node] if isinstance(node, list) else node
