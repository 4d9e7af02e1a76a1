"""The stock OTLP/HTTP exporters of OpenTelemetry, installed from their registry, talk to the receiver."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.environments import Environments
from tests.receiver.serving import serving
from tracer.store import reads
from tracer.store.database import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # an environment may be installed meanwhile

PYTHON_EXPORTER = "opentelemetry-exporter-otlp-proto-http==1.45.2"
PROGRAM = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource({"service.name": "stock"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_export_batch_size=40))
tracer = provider.get_tracer("stock")
for number in range(100):
    with tracer.start_as_current_span(f"run {number}"):
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": number + 1}
        with tracer.start_as_current_span("chat", attributes=call):
            pass
provider.shutdown()
"""


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the stock exporter, in an environment of its own."""
    return Environments.of_run(tmp_path_factory).with_packages("stock exporter", [PYTHON_EXPORTER])


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_the_stock_exporter_of_python(compression: str, interpreter: Path, tmp_path: Path) -> None:
    """With a token and each compression: no complaint, every span stored once under its parent."""
    with serving(tmp_path / "t.duckdb", "--token", "a b/c") as server:
        environment = {
            "PATH": os.environ["PATH"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{server.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20a%20b%2Fc",
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        }
        done = subprocess.run(
            [str(interpreter), "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        assert server.stop()[0] == 0

    store = Store(tmp_path / "t.duckdb")
    spans = reads.load(store).spans
    assert spans.height == 200
    assert spans["service"].unique().to_list() == ["stock"]
    calls = spans.filter(spans["kind"] == "llm")
    assert sorted(calls["input_tokens"].to_list()) == list(range(1, 101))
    assert set(calls["parent_span_id"]) <= set(spans["span_id"])


NODE_PACKAGES = (
    "@opentelemetry/exporter-trace-otlp-http@0.223.1",
    "@opentelemetry/sdk-trace-base@2.12.1",
    "@opentelemetry/api@1.9.1",
)
NODE_PROGRAM = """
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { diag, DiagConsoleLogger, DiagLogLevel } = require("@opentelemetry/api");
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN);
const processor = new BatchSpanProcessor(new OTLPTraceExporter(), { maxExportBatchSize: 40 });
const provider = new BasicTracerProvider({ spanProcessors: [processor] });
const tracer = provider.getTracer("stock");
for (let number = 0; number < 100; number++) {
  const attributes = { "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": number + 1, "note": "ü" };
  tracer.startSpan(`call ${number}`, { attributes }).end();
}
provider.shutdown();
"""


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_stock_exporter_of_node(compression: str, node_modules: Path, tmp_path: Path) -> None:
    """It sends OTLP JSON: no complaint, every span stored once with its numbers as numbers."""
    with serving(tmp_path / "t.duckdb") as server:
        environment = {
            "PATH": os.environ["PATH"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://localhost:{server.port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
            "OTEL_SERVICE_NAME": "stock",
        }
        done = subprocess.run(
            ["node", "-e", NODE_PROGRAM],
            cwd=node_modules, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        assert server.stop()[0] == 0

    spans = reads.load(Store(tmp_path / "t.duckdb")).spans
    assert sorted(spans["input_tokens"].to_list()) == list(range(1, 101))
    assert spans["kind"].unique().to_list() == ["llm"]


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the stock exporter of Node."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    directory = tmp_path_factory.mktemp("node")
    (directory / "package.json").write_text("{}")
    done = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES],
        cwd=directory, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip()[-300:]
        assert "ERESOLVE" not in done.stderr, said  # our versions contradict each other
        pytest.skip(f"NOT PROVEN: the registry gave no {NODE_PACKAGES[0]}: {said}")
    return directory
