"""`init`: where spans go, whose provider it is, and that doing it twice is harmless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.spool import read_spool

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import tracer\nfrom opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"


def play(program: str, directory: Path, **variables: str) -> str:
    """Run a program in a process of its own (the global provider can be set once only); gives its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program], cwd=directory, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TRACEHOUND_STORE": "", **variables},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


OFF = "fold_at_exit=False"
WORK = "\nwith tracer.workflow('w'): pass\n"
CASES = {
    "the default is a file in the working directory": (f"tracer.init({OFF})", {}, "traces.duckdb", 1),
    "the environment names another": (f"tracer.init({OFF})", {"TRACEHOUND_STORE": "env.duckdb"}, "env.duckdb", 1),
    "the argument wins": (f"tracer.init('a.duckdb', {OFF})", {"TRACEHOUND_STORE": "env.duckdb"}, "a.duckdb", 1),
    "twice is once": (f"assert tracer.init('a.duckdb', {OFF}) is tracer.init() is tracer.init('a.duckdb')", {}, "a.duckdb", 1),
    "another store: recording moves": (f"tracer.init('b.duckdb', {OFF}); tracer.init('a.duckdb', {OFF})", {}, "a.duckdb", 1),
    "after a shutdown it can be begun again": (
        f"tracer.init('b.duckdb', {OFF}); tracer.shutdown(); tracer.shutdown(); tracer.init('a.duckdb', {OFF})", {}, "a.duckdb", 1,
    ),
    "a provider that is there is joined": (
        f"trace.set_tracer_provider(TracerProvider()); assert tracer.init('a.duckdb', {OFF}).joined", {}, "a.duckdb", 1,
    ),
    "nothing recorded, no file": (f"tracer.init('a.duckdb', {OFF}); tracer.shutdown()", {}, "a.duckdb", 0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_where_spans_go(case: str, tmp_path: Path) -> None:
    """Store by argument, environment, default; idempotent; joins; moves."""
    program, variables, store, spans = CASES[case]
    play(program + WORK, tmp_path, **variables)
    assert len(read_spool(tmp_path / store).spans) == spans
    assert len(list(tmp_path.glob("*.spool"))) == spans


def test_the_process_describes_itself(tmp_path: Path) -> None:
    """Service, version, environment, release and pid stand in the resource; limits are raised."""
    program = f"""
import os
tracer.init('a.duckdb', service='shop', service_version='2', environment='prod', release='r7', resource={{'x': 1}}, {OFF})
with tracer.workflow('w') as span:
    span.set({{f'k{{n}}': n for n in range(1000)}})
print(os.getpid())
"""
    pid = play(program, tmp_path)
    span = read_spool(tmp_path / "a.duckdb").spans[0]
    wanted = {
        "service.name": "shop", "service.version": "2", "deployment.environment.name": "prod", "tracehound.release": "r7",
        "x": 1, "process.pid": int(pid),
    }  # fmt: skip
    assert wanted.items() <= span.resource.items()
    assert (span.attributes["k999"], span.dropped_attributes) == (999, 0)


def test_other_processors_of_a_joined_provider_go_on(tmp_path: Path) -> None:
    """The host's exporter sees the same spans, ours included, also after our shutdown."""
    program = f"""
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import json
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer.init('a.duckdb', {OFF})
with provider.get_tracer('host').start_as_current_span('outer'):
    with tracer.agent('inner'): pass
tracer.shutdown()
with provider.get_tracer('host').start_as_current_span('later'): pass
print(json.dumps([span.name for span in exporter.get_finished_spans()]))
"""
    assert json.loads(play(program, tmp_path)) == ["inner", "outer", "later"]
    found = {span.name: span for span in read_spool(tmp_path / "a.duckdb").spans}
    assert list(found) == ["inner", "outer"]
    assert found["inner"].parent_span_id == found["outer"].span_id


def test_contents_go_into_attributes_where_only_the_host_records(tmp_path: Path) -> None:
    """Our decorators with somebody else's exporter, without `init`: texts travel as JSON attributes."""
    program = """
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import json
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with tracer.tool('t', arguments={'q': 1}) as span: span.output('yes')
found = exporter.get_finished_spans()[0].attributes
print(json.dumps([found['tracehound.input'], found['tracehound.output']]))
"""
    assert json.loads(play(program, tmp_path)) == ['{"q":1}', "yes"]


def test_a_store_that_cannot_be_written_does_not_stop_the_program(tmp_path: Path) -> None:
    """A path through a file: everything is counted as dropped, one warning is logged."""
    (tmp_path / "file").write_text("")
    program = f"""
import logging
logging.getLogger('tracehound').setLevel(logging.ERROR)
found = tracer.init('file/below/t.duckdb', {OFF})
with tracer.workflow('w'): pass
print(found.dropped)
"""
    assert int(play(program, tmp_path)) >= 1
