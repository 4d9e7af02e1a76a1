"""How fast the receiver takes spans in: `python -m tests.benchmarks.receiver [SPANS] [REPEATS]` (default 30,000 and 5; `--short`: 2,000, once).

A real `tracehound serve` in a process of its own; one client posts protobuf batches of 500 spans of 1.2 KB (runs of 30:
a workflow, agents, LLM calls with their messages, tool calls). `acknowledged`: spans a second from the first byte sent
to the last 200, with folding going on beside it. `folded`: spans a second from the first byte sent until all of them are
in the database, the client sending as fast as it can. The CPU times are of the receiver and of its folding process, per
span; they say what a machine with idle cores would reach, where the wall clock also shows who else is using this one.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.workload import text

SPANS_A_RUN = 30
BATCH = 500
START_NS = 1_700_000_000_000_000_000
GOALS = {"acknowledged spans/s": 15_000, "folded spans/s": 8_000}


def batch(first: int) -> bytes:
    """An export request with the spans `first` to `first + BATCH` of an endless sequence of runs."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    _set(group.resource.attributes, {"service.name": "benchmark"})
    scoped = group.scope_spans.add()
    scoped.scope.name = "benchmark"
    for number in range(first, first + BATCH):
        run, place = divmod(number, SPANS_A_RUN)
        root = run * SPANS_A_RUN
        span = scoped.spans.add()
        span.trace_id, span.span_id = (run + 1).to_bytes(16, "big"), (number + 1).to_bytes(8, "big")
        if place:
            parent = root if place % 5 == 0 or place < 5 else root + place // 5 * 5
            span.parent_span_id = (parent + 1).to_bytes(8, "big")
        span.name = f"step {place}"
        span.start_time_unix_nano = START_NS + number * 100_000
        span.end_time_unix_nano = span.start_time_unix_nano + (SPANS_A_RUN if place == 0 else 1) * 100_000
        _set(span.attributes, _attributes(place, number))
    return made.SerializeToString()


def _attributes(place: int, number: int) -> dict[str, str | int]:
    if place == 0:
        return {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": "benchmark",
            "note": text(1_100, number),
        }
    if place % 5 == 0:
        return {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": f"agent {place // 5}",
            "note": text(1_100, number),
        }
    if place % 5 == 4:
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "search",
            "gen_ai.tool.call.arguments": f'{{"query": "{text(480, number)}"}}',
            "gen_ai.tool.call.result": text(520, number),
        }
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.input_tokens": 900 + place,
        "gen_ai.usage.output_tokens": 120,
        "gen_ai.input.messages": f'[{{"role":"user","parts":[{{"type":"text","content":"{text(430, number)}"}}]}}]',
        "gen_ai.output.messages": f'[{{"role":"assistant","parts":[{{"type":"text","content":"{text(380, -number)}"}}]}}]',
    }


def _set(target: object, attributes: dict[str, str | int]) -> None:
    for key, value in attributes.items():
        pair = target.add()  # type: ignore[attr-defined]
        pair.key = key
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


@contextmanager
def receiver(store: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port."""
    command = [
        sys.executable,
        "-m",
        "dashboard.cli",
        "serve",
        "--port",
        "0",
        "--store",
        str(store),
        "--fold-every",
        "0.1",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r"http://\S+:(\d+) ", process.stderr.readline())
    if found is None:
        raise SystemExit("the receiver did not start")
    try:
        yield process, int(found[1])
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def metric(connection: http.client.HTTPConnection, name: str) -> float:
    connection.request("GET", "/metrics")
    found = re.search(rf"^tracehound_{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def child_of(pid: int) -> int:
    """The folding process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        if children:
            return int(children[0])
    raise SystemExit("the receiver has no folding process")


def post(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
    response = connection.getresponse()
    said = response.read()
    if response.status != 200 or said:
        raise SystemExit(f"{response.status}: {said!r}")


def wait_for(connection: http.client.HTTPConnection, spans: int) -> None:
    while metric(connection, "fold_spans_total") < spans:
        time.sleep(0.02)


def measure(bodies: list[bytes], warm_up: bytes) -> dict[str, float]:
    """One receiver with a store of its own, from empty to everything folded."""
    spans = len(bodies) * BATCH
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "traces.duckdb"
        with receiver(store) as (process, port):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            post(connection, warm_up)
            wait_for(connection, BATCH)
            folder = child_of(process.pid)
            serving, folding = cpu_seconds(process.pid), cpu_seconds(folder)
            began = time.perf_counter()
            for body in bodies:
                post(connection, body)
            acknowledged = time.perf_counter() - began
            serving = cpu_seconds(process.pid) - serving
            wait_for(connection, spans + BATCH)
            folded = time.perf_counter() - began
            folding = cpu_seconds(folder) - folding
            connection.close()
        return {
            "acknowledged spans/s": spans / acknowledged,
            "folded spans/s": spans / folded,
            "receive CPU us/span": serving / spans * 1e6,
            "fold CPU us/span": folding / spans * 1e6,
            "disk bytes/span": store.stat().st_size / (spans + BATCH),
        }


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.receiver", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("spans", type=int, nargs="?", default=30_000)
    parser.add_argument("repeats", type=int, nargs="?", default=5)
    parser.add_argument("--short", action="store_true", help="2,000 spans, once")
    given = parser.parse_args(arguments)
    spans, repeats = (2_000, 1) if given.short else (given.spans, given.repeats)
    warm_up = batch(SPANS_A_RUN * 1_000_000)
    bodies = [batch(first) for first in range(0, spans, BATCH)]
    print(
        f"{len(bodies) * BATCH} spans of {len(bodies[0]) / BATCH:.0f} bytes in batches of {BATCH}, median of {repeats}"
    )
    results = [measure(bodies, warm_up) for _ in range(repeats)]
    for name in results[0]:
        values = [result[name] for result in results]
        goal = f"   goal {GOALS[name]:,}" if name in GOALS else ""
        print(f"{name:22} {statistics.median(values):10,.1f}   ({min(values):,.1f} to {max(values):,.1f}){goal}")


if __name__ == "__main__":
    main(sys.argv[1:])
