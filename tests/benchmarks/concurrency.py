"""Everybody at once: `python -m tests.benchmarks.concurrency [--seconds 60] [--short]`.

Part one, on one store: 8 recording processes (a run of 20 spans each, two spans a write, 20 writes a second), a reader that
does what the live page does (fold, list of runs, newest run, four times a second), `tracehound analyze` over the whole store
again and again, and `tracehound serve` with a client that sends 200 spans a second.
Part two: 3 recorders and 2 readers that ask without a pause.

Printed are the recorders' time of a write, how long after its acknowledgement a span was visible to the reader, how long
readers waited for the lease, what one look costs them (the figure that does not depend on the machine's load), the longest time that anybody got nothing done, and whether every acknowledged span is
there once. Exits with 1 where a span is lost or doubled, or a goal is missed by more than `--tolerance`
(default 4: CI machines are shared). `--short` takes 10 seconds a part.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

SPANS_A_RUN = 20
WRITE_EVERY_S = 0.05
LOOK_EVERY_S = 0.25
SEND_EVERY_S = 0.1
SENT_AT_ONCE = 20
WINDOW_NS = 30 * 10**9
"""how far back a reader looks for spans it has not seen"""
GOALS = {"freshness p95 ms": 1000.0, "lease wait p95 ms": 150.0}
SENDER = 900
"""number of the sender, whose spans have ids like a recorder's"""


def identity(program: int, number: int) -> tuple[str, str]:
    """Trace id and span id of span `number` of a program."""
    return f"{program * 10**9 + number // SPANS_A_RUN + 1:032x}", f"{program * 10**9 + number:016x}"


def record(store: str, log: str, program: int, until: float) -> None:
    """Write until the time has come; a line in the log is span id, when it was acknowledged, and how long that took."""
    from tracer.model import RawSpan
    from tracer.semconv import GenAI, Tracehound
    from tracer.store.segment import SegmentWriter

    writer = SegmentWriter(store)
    number = 0
    with open(log, "w") as told:
        while time.time() < until:
            now = time.time_ns()
            spans: list[RawSpan] = []
            for place in (number, number + 1):
                trace, span = identity(program, place)
                first = place - place % SPANS_A_RUN
                attributes = (
                    {Tracehound.KIND: "agent", Tracehound.AGENT: f"agent {program}"}
                    if place == first
                    else {GenAI.OPERATION: "chat", GenAI.REQUEST_MODEL: "gpt-4o-mini", GenAI.INPUT_TOKENS[0]: 900, "note": "x" * 400}
                )  # fmt: skip
                parent = None if place == first else identity(program, first)[1]
                spans.append(
                    RawSpan(trace_id=trace, span_id=span, parent_span_id=parent, name="step", start_ns=now, end_ns=now + 10**6, attributes=attributes)
                )  # fmt: skip
            before = time.perf_counter()
            writer.write_spans(spans)
            took = time.perf_counter() - before
            for span in spans:
                told.write(f"{span.span_id} {time.time_ns()} {took * 1e6:.0f}\n")
            number += 2
            time.sleep(WRITE_EVERY_S)
    writer.close()


def read(store: str, log: str, pause_s: float, until: float) -> None:
    """Look until the time has come; the log is one JSON document: seen, lease waits, gaps between answers."""
    from tracer.store import reads
    from tracer.store.database import Store
    from tracer.store.lease import Lease

    waits: list[float] = []
    enter = Lease._enter  # pyright: ignore[reportPrivateUsage]

    def timed(*given: Any) -> object:
        before = time.perf_counter()
        cursor = enter(*given)
        waits.append(time.perf_counter() - before)
        return cursor

    Lease._enter = timed  # type: ignore[method-assign]  # pyright: ignore
    seen: dict[str, int] = {}
    answered: list[float] = [time.time()]
    used = time.process_time()
    opened = Store(store)
    while time.time() < until:
        opened.fold()
        newest = reads.runs(opened, limit=100)
        if newest.height:
            reads.load(opened, [newest["run_id"][0]])
        since = time.time_ns() - WINDOW_NS
        with opened.lease() as con:
            rows = con.execute("SELECT span_id FROM spans WHERE start_ns > $since", {"since": since}).fetchall()
        now = time.time_ns()
        for (span,) in rows:
            seen.setdefault(span, now)
        answered.append(time.time())
        time.sleep(pause_s)
    gaps = [after - before for before, after in pairwise(answered)]
    Path(log).write_text(
        json.dumps({"seen": seen, "waits": waits, "gaps": gaps, "cpu": (time.process_time() - used) / len(gaps)})
    )


def send(port: int, log: str, until: float) -> None:
    """Post OTLP requests until the time has come; the log is like a recorder's."""
    import http.client

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    number = 0
    with open(log, "w") as told:
        while time.time() < until:
            body = ExportTraceServiceRequest()
            scope = body.resource_spans.add().scope_spans.add()
            ids: list[str] = []
            for place in range(number, number + SENT_AT_ONCE):
                trace, span = identity(SENDER, place)
                ids.append(span)
                now = time.time_ns()
                scope.spans.add(
                    trace_id=bytes.fromhex(trace), span_id=bytes.fromhex(span), name="sent", start_time_unix_nano=now, end_time_unix_nano=now + 10**6
                )  # fmt: skip
            before = time.perf_counter()
            connection.request(
                "POST", "/v1/traces", body.SerializeToString(), {"Content-Type": "application/x-protobuf"}
            )
            answer = connection.getresponse()
            answer.read()
            took = time.perf_counter() - before
            if answer.status == 200:
                for span in ids:
                    told.write(f"{span} {time.time_ns()} {took * 1e6:.0f}\n")
            number += SENT_AT_ONCE
            time.sleep(SEND_EVERY_S)


def analyse(store: str, log: str, until: float) -> None:
    """Run the real command over the whole store until the time has come; the log is how long each took."""
    took: list[float] = []
    while time.time() < until or not took:
        before = time.time()
        command = [sys.executable, "-m", "dashboard.cli", "analyze", "--json", "--store", store]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"analyze failed: {done.stderr}")
        took.append(time.time() - before)
    Path(log).write_text(json.dumps(took))


class Part:
    """The programs of one part, started together on one store, and what their logs say."""

    def __init__(self, directory: Path, seconds: float) -> None:
        self.directory = directory
        self.store = directory / "traces.duckdb"
        self.seconds = seconds
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self.writers: list[str] = []
        self.readers: list[str] = []

    def start(self, role: str, name: str, *words: object) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.concurrency", "--role", role, *map(str, words)]
        self.programs[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        {"record": self.writers, "send": self.writers, "read": self.readers}.get(role, []).append(name)

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def run(self) -> None:
        """Let all begin at once, when all have imported what they need, and wait for their end."""
        for program in self.programs.values():
            assert program.stdout is not None
            program.stdout.readline()
        until = time.time() + self.seconds
        for program in self.programs.values():
            assert program.stdin is not None
            program.stdin.write(f"{until}\n".encode())
            program.stdin.close()
        for program in self.programs.values():
            program.wait(600)

    def finish(self) -> dict[str, float]:
        """Fold what is left, compare, and measure.

        Raises:
            SystemExit: a program failed.
        """
        failed = [name for name, program in self.programs.items() if program.returncode]
        if failed:
            raise SystemExit(f"failed: {', '.join(failed)}")
        from tracer.store.database import Store

        store = Store(self.store)
        store.fold()
        with store.lease() as con:
            rows = [row for (row,) in con.execute("SELECT span_id FROM spans").fetchall()]
        lines = {name: [line.split() for line in self.log(name).read_text().splitlines()] for name in self.writers}
        acknowledged = {span: int(at) for part in lines.values() for span, at, _ in part}
        lost, doubled = len(acknowledged.keys() - set(rows)), len(rows) - len(set(rows))
        told = [json.loads(self.log(name).read_text()) for name in self.readers]
        fresh = sorted(
            (seen[span] - at) / 1e6 for seen in (told[0]["seen"],) for span, at in acknowledged.items() if span in seen
        )
        writes = sorted(int(took) for name, part in lines.items() if name.startswith("recorder") for _, _, took in part)
        waits = sorted(wait * 1e3 for each in told for wait in each["waits"])
        times = {name: [int(at) for _, at, _ in part] for name, part in lines.items()}
        pauses = [(b - a) / 1e9 for each in times.values() for a, b in pairwise(each)]
        measured = {
            "spans acknowledged": float(len(acknowledged)),
            "lost": float(lost),
            "doubled": float(doubled),
            "write p50 us": at_share(writes, 0.5),
            "write p99 us": at_share(writes, 0.99),
            "freshness p50 ms": at_share(fresh, 0.5),
            "freshness p95 ms": at_share(fresh, 0.95),
            "lease wait p50 ms": at_share(waits, 0.5),
            "lease wait p95 ms": at_share(waits, 0.95),
            "CPU of a look ms": max(each["cpu"] for each in told) * 1e3,
            "longest pause of a writer s": max(pauses),
            "longest pause of a reader s": max(gap for each in told for gap in each["gaps"]),
        }
        sent = sorted(int(took) / 1e3 for name, part in lines.items() if name == "sender" for _, _, took in part)
        if sent:
            measured["receiver's answer p99 ms"] = at_share(sent, 0.99)
        if self.log("analysis").exists():
            took = json.loads(self.log("analysis").read_text())
            measured |= {"analyses done": float(len(took)), "longest analysis s": max(took)}
        return measured


def at_share(values: Sequence[float], share: float) -> float:
    """The value that `share` of the sorted `values` do not exceed."""
    return float(values[min(int(len(values) * share), len(values) - 1)]) if values else float("nan")


def everybody(directory: Path, seconds: float) -> dict[str, float]:
    """Part one."""
    from tests.benchmarks.receiver import receiver

    part = Part(directory, seconds)
    with receiver(part.store) as (_, port):
        for number in range(8):
            part.start("record", f"recorder {number}", part.store, part.log(f"recorder {number}"), number + 1)
        part.start("send", "sender", port, part.log("sender"))
        part.start("read", "live page", part.store, part.log("live page"), LOOK_EVERY_S)
        part.start("analyse", "analysis", part.store, part.log("analysis"))
        part.run()
    return part.finish()


def readers(directory: Path, seconds: float) -> dict[str, float]:
    """Part two."""
    part = Part(directory, seconds)
    for number in range(3):
        part.start("record", f"recorder {number}", part.store, part.log(f"recorder {number}"), number + 1)
    for number in range(2):
        part.start("read", f"reader {number}", part.store, part.log(f"reader {number}"), 0.0)
    part.run()
    return part.finish()


def _warm_up() -> None:
    """Have everything imported and the price table read, as in a page that has been open for a while."""
    from tracer.store import reads
    from tracer.store.database import Store

    with tempfile.TemporaryDirectory() as directory:
        record(f"{directory}/traces.duckdb", f"{directory}/log", 1, time.time() + WRITE_EVERY_S / 2)
        store = Store(f"{directory}/traces.duckdb")
        store.fold()
        reads.load(store)


def play(role: str, words: Sequence[str]) -> None:
    """Be one of the programs: import, say so, and work until the time that stdin names."""
    if role == "read":
        _warm_up()
    print("ready", flush=True)
    until = float(sys.stdin.readline())
    if role == "record":
        record(words[0], words[1], int(words[2]), until)
    elif role == "read":
        read(words[0], words[1], float(words[2]), until)
    elif role == "send":
        send(int(words[0]), words[1], until)
    else:
        analyse(words[0], words[1], until)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--role"]:
        play(arguments[1], arguments[2:])
        return 0
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of part one (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=4.0, help="factor on the goals (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="10 seconds a part")
    args = parser.parse_args(arguments)
    good = True
    for title, work, seconds in (
        ("8 recorders, live page, analysis, receiver", everybody, 10.0 if args.short else args.seconds),
        ("3 recorders, 2 readers without a pause", readers, 10.0 if args.short else min(args.seconds, 20.0)),
    ):
        with tempfile.TemporaryDirectory() as directory:
            measured = work(Path(directory), seconds)
        load = os.getloadavg()[0]
        print(f"{title}: {seconds:g} s, load {load:.1f} on {os.cpu_count()} cores")
        for name, value in measured.items():
            goal = GOALS.get(name)
            print(f"  {name:30} {value:10.1f}" + (f"   (goal: {goal:g})" if goal else ""))
            good &= goal is None or value <= goal * args.tolerance
        good &= not measured["lost"] and not measured["doubled"]
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
