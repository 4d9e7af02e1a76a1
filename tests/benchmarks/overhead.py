"""What recording costs the program: caller CPU and whole-process CPU per LLM span with a growing chat history.

    .venv/bin/python tests/benchmarks/overhead.py
    uv run --with opentelemetry-exporter-otlp-proto-http python tests/benchmarks/overhead.py     # beside the peer

Workload: runs of 1 workflow > 5 agents > 23 LLM calls; the history grows from 4 to 40 KB (mean 22 KB a call), each answer has 1 KB,
14 attributes a call. `caller` is CPU on the calling thread (for us the record is durable by then), `process` is the CPU of the whole process
until everything is flushed. Arms run interleaved; medians of the repeats with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import tracer
from tracer.capture.active import SCOPE_NAME, Target, push, remove
from tracer.capture.light import RecordingProvider, light_tracer
from tracer.capture.processor import RecordingProcessor
from tracer.capture.writer import MemoryWriter, SpanWriter
from tracer.store.segment import SegmentWriter

AGENTS, CALLS = 5, 23
SPANS = 1 + AGENTS + CALLS
WORDS = [
    "the",
    "agent",
    "looks",
    "at",
    "the",
    "order",
    "and",
    "asks",
    "the",
    "warehouse",
    "for",
    "stock",
    "before",
    "it",
    "answers",
    "the",
    "customer",
    "again",
]


def text(size: int, salt: int) -> str:
    words = [WORDS[(salt * 7 + n * 3) % len(WORDS)] for n in range(size // 6)]
    return f"{salt} " + " ".join(words)


Chat = list[dict[str, str]]


def prepare(salt: int) -> tuple[Chat, list[str]]:
    """(messages to start with and to add, answers): 4 KB at first, about 1.6 KB more with each call; distinct for each `salt`."""
    messages = [
        {"role": "system", "content": text(3_000, 0) + str(salt)},
        {"role": "user", "content": text(1_000, 1) + str(salt)},
    ]
    messages += [{"role": "user" if n % 2 else "tool", "content": f"{salt} {text(640, n + 2)}"} for n in range(CALLS)]
    return messages, [f"{salt} {text(1_000, n + 100)}" for n in range(CALLS)]


def ours_run(messages: Chat, answers: list[str]) -> None:
    chat = messages[:2]
    with tracer.workflow("bench", session_id="s"):
        done = 0
        for agent in range(AGENTS):
            with tracer.agent(f"agent-{agent}", reason="its turn"):
                for _ in range(CALLS // AGENTS + (agent < CALLS % AGENTS)):
                    call = tracer.llm_call(
                        "gpt-4.1", messages=chat, provider="openai", temperature=0.2, purpose="work", prompt_name="p"
                    )
                    with call as span:
                        answer = answers[done]
                        span.completion(answer)
                        span.usage(input_tokens=5000, output_tokens=250, cached_tokens=100, reasoning_tokens=5)
                        span.response(model="gpt-4.1-x", response_id=f"r{done}", finish_reason="stop")
                    chat.append({"role": "assistant", "content": answer})
                    chat.append(messages[2 + done])
                    done += 1


@contextmanager
def ours(writer: SpanWriter) -> Iterator[Callable[[], None]]:

    provider = RecordingProvider(Resource.create({}))
    processor = RecordingProcessor(writer)
    provider.add_span_processor(processor)
    where = Target(provider.get_tracer(SCOPE_NAME), processor, None, light_tracer(provider, processor, SCOPE_NAME))
    push(where)
    try:
        yield lambda: (processor.force_flush(), None)[1]
    finally:
        remove(where)
        processor.shutdown()


def otel_run(otel: Any, messages: Chat, answers: list[str]) -> None:
    """The same with plain OpenTelemetry, messages as the JSON text its GenAI conventions ask for."""
    chat = messages[:2]
    with otel.start_as_current_span("bench", attributes={"session.id": "s"}):
        done = 0
        for agent in range(AGENTS):
            with otel.start_as_current_span(f"agent-{agent}", attributes={"gen_ai.agent.name": f"agent-{agent}"}):
                for _ in range(CALLS // AGENTS + (agent < CALLS % AGENTS)):
                    attributes = {
                        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4.1", "gen_ai.provider.name": "openai",
                        "gen_ai.request.temperature": 0.2, "gen_ai.prompt.name": "p", "gen_ai.input.messages": json.dumps(chat),
                    }  # fmt: skip
                    with otel.start_as_current_span("chat gpt-4.1", attributes=attributes) as span:
                        answer = answers[done]
                        span.set_attribute(
                            "gen_ai.output.messages", json.dumps([{"role": "assistant", "content": answer}])
                        )
                        span.set_attributes(
                            {
                                "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.output_tokens": 250,
                                "gen_ai.usage.cache_read.input_tokens": 100, "gen_ai.usage.reasoning.output_tokens": 5,
                                "gen_ai.response.model": "gpt-4.1-x", "gen_ai.response.id": f"r{done}",
                                "gen_ai.response.finish_reasons": ["stop"],
                            }
                        )  # fmt: skip
                    chat.append({"role": "assistant", "content": answer})
                    chat.append(messages[2 + done])
                    done += 1


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def otel_http(endpoint: str) -> Iterator[tuple[Any, Callable[[], None]]]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # type: ignore[import-not-found]
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    try:
        yield provider.get_tracer("bench"), lambda: (provider.force_flush(), None)[1]
    finally:
        provider.shutdown()


def measure(play: Callable[[Chat, list[str]], None], flush: Callable[[], None], runs: int) -> tuple[float, float]:
    """(caller us, process us) per span."""
    play(*prepare(-1))
    flush()
    chats = [prepare(salt) for salt in range(runs)]
    process, caller = time.process_time_ns(), time.thread_time_ns()
    for messages, answers in chats:
        play(messages, answers)
    caller = time.thread_time_ns() - caller
    flush()
    process = time.process_time_ns() - process
    return caller / runs / SPANS / 1e3, process / runs / SPANS / 1e3


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments.add_argument("--runs", type=int, default=15)
    options = arguments.parse_args()
    results: dict[str, list[tuple[float, float]]] = {}
    try:
        import opentelemetry.exporter.otlp.proto.http  # type: ignore[import-not-found]  # noqa: F401

        peer = True
    except ImportError:
        peer = False
        print("opentelemetry-exporter-otlp-proto-http is not installed: our own figures only", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        endpoint = ""
        if peer:
            # In a process of its own, so that its CPU is not ours.
            import subprocess

            sink = subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True)
            assert sink.stdout is not None
            endpoint = f"http://127.0.0.1:{sink.stdout.readline().strip()}/v1/traces"
        for repeat in range(options.repeats):
            with ours(SegmentWriter(Path(directory) / f"{repeat}.duckdb")) as flush:
                results.setdefault("tracehound, durable", []).append(measure(ours_run, flush, options.runs))
            with ours(MemoryWriter()) as flush:
                results.setdefault("tracehound, in memory", []).append(measure(ours_run, flush, options.runs))
            bare = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
            results.setdefault("OTel SDK, no exporter", []).append(
                measure(partial(otel_run, bare), lambda: None, options.runs)
            )
            if peer:
                with otel_http(endpoint) as (otel, flush):
                    results.setdefault("OTel SDK + OTLP/HTTP", []).append(
                        measure(partial(otel_run, otel), flush, options.runs)
                    )
        if peer:
            sink.terminate()
            sink.wait()
    base = [statistics.median(column) for column in zip(*results.get("OTel SDK + OTLP/HTTP", [(0, 0)]), strict=True)]
    for name, pairs in results.items():
        shown: list[str] = []
        for label, column, against in zip(("caller", "process"), zip(*pairs, strict=True), base, strict=True):
            middle = statistics.median(column)
            ratio = f" = {middle / against:.2f}x" if against else ""
            shown.append(f"{label} {middle:7.1f} us/span [{min(column):.1f}..{max(column):.1f}]{ratio}")
        print(f"{name:24} " + "   ".join(shown))
    return 0


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    if "--sink" in sys.argv:
        serve()
    else:
        sys.exit(main())
