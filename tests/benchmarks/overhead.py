"""What recording costs a program, beside the bare OpenTelemetry SDK with its OTLP/HTTP exporter and other tools' SDKs:

    .venv/bin/python -m tests.benchmarks.overhead                 # all of it, about 5 minutes and 300 MB of environments
    .venv/bin/python -m tests.benchmarks.overhead --short         # the SDK alone, few repeats: for CI

Every measurement is a process of its own, in an environment of its own, which this program makes where it is missing; a sink on loopback
takes what they export. Rounds are interleaved: each plays every arm once. CPU time throughout, medians with the lowest and highest.

    ready     from the start of the interpreter until it can record, less a bare interpreter
    caller    on the calling thread, per span; ours is on disk by then, the others' spans wait in a queue
              (`delayed`: within 50 ms, by `init(write_delay_s=0.05)`)
    process   of the whole process, per span, until everything has left it (or is on disk)

The workload is in `workload.py`, the arms are in `overhead_arms.py`. Ratios are against `otel`; below them the goals.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ARMS = "tests.benchmarks.overhead_arms"
OTEL = ["opentelemetry-sdk==1.45.2", "opentelemetry-exporter-otlp-proto-http==1.45.2"]
PEERS = {
    "langfuse": [*OTEL, "langfuse==5.0.4"],
    "logfire": [*OTEL, "logfire==5.2.0"],
    "phoenix": [*OTEL, "arize-phoenix-otel==0.17.2"],
    "mlflow": [*OTEL, "mlflow-tracing==3.17.2"],
}
GOALS = {"ready": 1.0, "caller": 0.5, "process": 0.3}
"""at most this much of what `otel` costs"""


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def sink() -> Iterator[str]:
    """The address of what takes exports, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def environment(name: str, packages: list[str], directory: Path) -> Path:
    """The interpreter of an environment with `packages`, made where there is none yet."""
    home = directory / name
    python, done = home / "bin" / "python", home / "made-of"
    if not done.exists() or done.read_text() != " ".join(packages):
        print(f"making {home} ...", file=sys.stderr)
        uv = shutil.which("uv")
        make = (
            [uv, "venv", "--quiet", "--no-project", "--clear", "-p", sys.executable]
            if uv
            else [sys.executable, "-m", "venv"]
        )
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "-p", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]  # fmt: skip
        directory.mkdir(parents=True, exist_ok=True)
        subprocess.run([*make, str(home)], check=True, cwd=directory)
        subprocess.run([*install, *packages], check=True, cwd=directory)
        done.write_text(" ".join(packages))
    return python


def once(python: Path, arm: str, runs: int, sink_url: str, store: Path) -> dict[str, Any]:
    """One measurement; SystemExit says what the process said where it failed."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEHOUND_"))}
    variables["PYTHONPATH"] = str(ROOT)
    if arm == "bootstrap":
        from dashboard.commands.run import environment as of_run

        variables["PYTHONPATH"] = of_run(store, ["bench"])["PYTHONPATH"] + os.pathsep + str(ROOT)
        variables |= {key: value for key, value in of_run(store, ["bench"]).items() if key.startswith("TRACEHOUND_")}
    command = [str(python), "-m", ARMS, arm, str(runs), sink_url, str(store)]
    process = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300, check=False)
    lines = process.stdout.strip().splitlines()
    if process.returncode or not lines:
        raise SystemExit(f"{arm} failed: {process.stderr[-2_000:]}")
    return json.loads(lines[-1])


def table(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print medians and ratios."""
    bare = statistics.median(each["ready_us"] for each in found["bare"])
    columns = {"ready": ("ready_us", "ms", 1e3), "caller": ("caller_us", "us", 1), "process": ("process_us", "us", 1)}
    base: dict[str, float] = {}
    ratios: dict[str, dict[str, float]] = {}
    for arm in ("otel", *(name for name in found if name not in ("otel", "bare"))):
        shown: list[str] = []
        for label, (key, unit, scale) in columns.items():
            values = [(each[key] - (bare if key == "ready_us" else 0)) / scale for each in found[arm] if key in each]
            if not values:
                continue
            middle = statistics.median(values)
            ratio = middle / base.setdefault(label, middle)
            ratios.setdefault(arm, {})[label] = ratio
            shown.append(f"{label} {middle:7.1f} {unit} [{min(values):.1f}..{max(values):.1f}] {ratio:5.2f}x")
        print(f"{arm:11} " + "   ".join(shown))
    for arm in ("tracehound", "delayed", "bootstrap"):
        for label, ratio in ratios.get(arm, {}).items():
            print(
                f"goal: {arm} {label} <= {GOALS[label]}x: {ratio:.2f}x, {'met' if ratio <= GOALS[label] else 'MISSED'}"
            )
    for arm in ("tracehound", "bootstrap"):
        heavy = sorted({module for each in found.get(arm, []) for module in each["heavy"]})
        print(f"{arm} loads {', '.join(heavy) or 'none of the packages of the reading side'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--runs", type=int, default=15, help="runs of 29 spans in a measurement (default: 15)")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="names separated by commas, '' for none (default: %(default)s)"
    )
    parser.add_argument("--short", action="store_true", help="3 rounds of 3 runs, without peers")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracehound-benchmarks"
    parser.add_argument("--environments", type=Path, default=cache, help="where they are kept (default: %(default)s)")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        serve()
    peers = [] if options.short else [name for name in options.peers.split(",") if name]
    if unknown := sorted(set(peers) - set(PEERS)):
        parser.error(f"no such peers: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    repeats, runs = (3, 3) if options.short else (options.repeats, options.runs)
    pythons = {name: environment(name, PEERS[name], options.environments) for name in peers}
    otel = environment("otel", OTEL, options.environments)
    ours = Path(sys.executable)
    arms = {
        "tracehound": ours,
        "delayed": ours,
        "otel": otel,
        "otel alone": otel,
        "bootstrap": ours,
        "bare": ours,
        **pythons,
    }
    found: dict[str, list[dict[str, Any]]] = {}
    with sink() as url, tempfile.TemporaryDirectory() as directory:
        for repeat in range(repeats):
            for arm, python in arms.items():
                store = Path(directory) / f"{arm}-{repeat}.duckdb"
                found.setdefault(arm, []).append(
                    once(python, arm, 0 if arm in ("bootstrap", "bare") else runs, url, store)
                )
    print(f"medians of {repeats} rounds, {runs} runs of 29 spans each; load average {os.getloadavg()[0]:.1f}")
    table(found)
    return 0


def serve() -> None:
    """Take whatever is posted, until terminated."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
