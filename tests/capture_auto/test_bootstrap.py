"""An unmodified program under the bootstrap: its own modules, its children, its threads, its providers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.capture_auto.running import SPAN, bootstrapped, write


def test_modules_and_sitecustomize_of_the_program_are_its_own(tmp_path: Path) -> None:
    """tracer.py, dashboard.py and an existing sitecustomize are found as without us, and the path is the same."""
    site = tmp_path / "site"
    site.mkdir()
    write(site, sitecustomize="import builtins\nbuiltins.greeting = 'from the site'\n")
    write(
        tmp_path,
        tracer="NAME = 'my own tracer'\n",
        dashboard="NAME = 'my own dashboard'\n",
        program=f"""
            import sys, sitecustomize, tracer, dashboard
            assert (tracer.NAME, dashboard.NAME) == ("my own tracer", "my own dashboard")
            assert greeting == "from the site" and sitecustomize.__file__.startswith({str(site)!r})
            assert not any("bootstrap" in entry for entry in sys.path)
            from opentelemetry import trace
            with trace.get_tracer("x").start_as_current_span("worked"): pass
        """,
    )
    from dashboard.commands.run import environment

    path = environment(tmp_path / "t", ["x"])["PYTHONPATH"].split(os.pathsep)[0]
    assert set(bootstrapped(tmp_path, "program.py", PYTHONPATH=os.pathsep.join([path, str(site)]))) == {"worked"}


def test_a_program_that_needs_nothing_pays_and_leaves_nothing(tmp_path: Path) -> None:
    """No OpenTelemetry, no heavy package, no file, where nothing of interest is imported."""
    write(
        tmp_path,
        program="""
            import sys
            heavy = {"opentelemetry", "duckdb", "polars", "pyarrow", "streamlit", "asyncio", "http.client"}
            assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """,
    )
    assert bootstrapped(tmp_path, "program.py") == {}
    assert not (tmp_path / "traces.spool").exists()


@pytest.mark.slow
def test_children_are_in_the_run_of_their_parent(tmp_path: Path) -> None:
    """Whatever way a process is started inside a span, its spans are that span's children, in a process of their own."""
    write(
        tmp_path,
        child=SPAN + "import sys\nwith span('child ' + sys.argv[1]): pass\n",
        program=SPAN
        + """
import asyncio, multiprocessing, os, subprocess, sys
def work(name):
    with span("child " + name): pass
async def in_asyncio(name):
    process = await asyncio.create_subprocess_exec(sys.executable, "child.py", name)
    assert await process.wait() == 0
if __name__ == "__main__":
    with span("subprocess"):
        subprocess.run([sys.executable, "child.py", "subprocess"], check=True)
    with span("environment"):
        subprocess.run([sys.executable, "child.py", "environment"], env=dict(os.environ, A="b"), check=True)
    with span("asyncio"):
        asyncio.run(in_asyncio("asyncio"))
    with span("os.fork"):
        if os.fork() == 0:
            work("os.fork")
            os._exit(0)
        assert os.wait()[1] == 0
    for method in ("fork", "spawn", "forkserver"):
        with span(method):
            process = multiprocessing.get_context(method).Process(target=work, args=(method,))
            process.start(); process.join()
            assert process.exitcode == 0
""",
    )
    spans = bootstrapped(tmp_path, "program.py")
    kinds = ["subprocess", "environment", "asyncio", "os.fork", "fork", "spawn", "forkserver"]
    parents = {kind: spans[f"child {kind}"].parent_span_id for kind in kinds}
    assert parents == {kind: spans[kind].span_id for kind in kinds}
    assert all(spans[f"child {kind}"].trace_id == spans[kind].trace_id for kind in kinds)
    assert len({spans[f"child {kind}"].resource["process.pid"] for kind in kinds}) == len(kinds)


@pytest.mark.slow
def test_a_fork_server_outlives_the_span_it_was_started_in(tmp_path: Path) -> None:
    """The second child of a fork server belongs to the span around its own start; helpers record nothing."""
    write(
        tmp_path,
        program=SPAN
        + """
import multiprocessing
def work(name):
    with span(name): pass
if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    for name in ("first", "second"):
        with span("outer " + name):
            process = context.Process(target=work, args=(name,))
            process.start(); process.join()
    process = context.Process(target=work, args=("third",))
    process.start(); process.join()
""",
    )
    spans = bootstrapped(tmp_path, "program.py")
    assert spans["second"].parent_span_id == spans["outer second"].span_id
    assert spans["third"].parent_span_id is None
    assert len(list((tmp_path / "traces.spool").glob("*.live"))) == 4


def test_threads_keep_the_parent(tmp_path: Path) -> None:
    """Work in another thread belongs to the span it was handed out in, also where the thread has served others before."""
    write(
        tmp_path,
        program=SPAN
        + """
import asyncio, concurrent.futures, decimal, functools, threading
def child(name):
    with span("child " + name): pass
class Mine(threading.Thread):
    def run(self): child("own run")
async def in_executor(name):
    await asyncio.get_running_loop().run_in_executor(pool, child, name)
def through(thread):
    thread.start(); thread.join()
pool = concurrent.futures.ThreadPoolExecutor(1)
with span("earlier"): pool.submit(int).result()
decimal.getcontext().prec = 5
with span("thread"): through(threading.Thread(target=child, args=("thread",)))
with span("own run"): through(Mine())
with span("timer"): through(threading.Timer(0, child, ("timer",)))
with span("pool"): pool.submit(child, "pool").result()
with span("map"): list(pool.map(child, ["map"]))
with span("run_in_executor"): asyncio.run(in_executor("run_in_executor"))
with span("to_thread"): asyncio.run(asyncio.to_thread(child, "to_thread"))
pool.submit(child, "outside").result()
with span("last"):
    assert pool.submit(lambda: decimal.getcontext().prec).result() == 28, "context variables of the program are its own"
""",
    )
    spans = bootstrapped(tmp_path, "program.py")
    kinds = ["thread", "own run", "timer", "pool", "map", "run_in_executor", "to_thread"]
    parents = {kind: spans[f"child {kind}"].parent_span_id for kind in kinds}
    assert parents == {kind: spans[kind].span_id for kind in kinds}
    assert spans["child outside"].parent_span_id is None


def test_a_provider_that_the_program_sets_is_kept(tmp_path: Path) -> None:
    """Its exporter sees its spans as without us, and each span is recorded once."""
    write(
        tmp_path,
        program="""
            from opentelemetry import trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import SimpleSpanProcessor
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
            exporter = InMemorySpanExporter()
            early = trace.get_tracer("instrumentor switched on before")
            provider = TracerProvider(resource=Resource({"service.name": "mine"}))
            trace.set_tracer_provider(provider)
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            assert trace.get_tracer_provider() is provider
            with trace.get_tracer("x").start_as_current_span("own"):
                with early.start_as_current_span("instrumented"): pass
            assert [span.name for span in exporter.get_finished_spans()] == ["instrumented", "own"]
        """,
    )
    spans = bootstrapped(tmp_path, "program.py")
    assert set(spans) == {"own", "instrumented"}
    assert spans["own"].resource["service.name"] == "mine"


def test_decorators_and_init_of_the_program_share_the_recording(tmp_path: Path) -> None:
    """A program that uses tracehound itself is recorded once, with its texts, under the run's store."""
    root = Path(__file__).resolve().parents[2]
    write(
        tmp_path,
        program=f"""
            import sys
            sys.path.append({str(root)!r})
            import tracer
            tracer.init()
            with tracer.workflow("own", input="question"): pass
        """,
    )
    bootstrapped(tmp_path, "program.py")
    from tests.capture.spool import read_spool

    found = read_spool(tmp_path / "traces.duckdb")
    assert [span.name for span in found.spans] == ["own"]
    assert "question" in found.contents.values()


def test_two_services_over_http_are_one_run(tmp_path: Path) -> None:
    """urllib sends the context, http.server takes it over for that request only; `tracer.join` does it by hand."""
    write(
        tmp_path,
        service=SPAN
        + """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with span("served " + self.path): pass
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.handle_request()
""",
        program=SPAN
        + """
import http.client, subprocess, sys
service = subprocess.Popen([sys.executable, "service.py"], stdout=subprocess.PIPE, text=True)
connection = http.client.HTTPConnection("127.0.0.1", int(service.stdout.readline()))
with span("asking"):
    connection.request("GET", "/in"); connection.getresponse().read()
connection.request("GET", "/out"); connection.getresponse().read()
connection.close()
assert service.wait() == 0
""",
    )
    spans = bootstrapped(tmp_path, "program.py")
    assert spans["served /in"].parent_span_id == spans["asking"].span_id
    assert spans["served /in"].resource["process.pid"] != spans["asking"].resource["process.pid"]
    assert spans["served /out"].parent_span_id is None


def test_an_instrumentor_that_fails_stops_nobody(tmp_path: Path) -> None:
    """A framework without its instrumentor is named with the package to install; the program runs."""
    write(tmp_path, crewai="VERSION = 1\n", program="import crewai\nprint(crewai.VERSION)\n")
    import subprocess

    from dashboard.commands.run import environment

    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment(tmp_path / "t.duckdb", ["x"]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "1\n"
    assert "crewai" in done.stderr
    assert "install openinference-instrumentation-crewai" in done.stderr
