"""What the proof of a Ray cluster runs in an environment of its own: `python -m tests.lake.cluster FOLDER [--commands]`.

FOLDER/traces.duckdb is shipped to an S3 server (moto) on loopback. A Ray head and two worker processes of this machine then
analyse it, and the first worker that has runs before it is killed with all its processes. Prints one JSON object: digests of the
documents (the store's, made by the local engine, and the cluster's), what is equal, seconds, and what was killed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl

from analyzers.document import analysis_document
from analyzers.run import analyse
from dashboard.engines import ENGINES
from dashboard.lakes import analyse_lake
from dashboard.loading import load_frames
from tracer.lake.layout import open_lake
from tracer.lake.write import ship
from tracer.store import reads
from tracer.store.database import Store

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
LAKE = "s3://lake/runs"
AGENT_PORTS = (
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "runtime-env-agent-port",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _own_address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())


def _wait(port: int, limit_s: float, host: str = "127.0.0.1") -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def s3() -> Iterator[str]:
    """An S3 server; gives its address. The variables that s3fs reads are set for this process and its children."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(port, 120)
        os.environ.update(
            KEYS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{port}"
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@contextmanager
def ray_cluster(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A head without a CPU of its own and two workers with one each; gives the workers' processes. $RAY_ADDRESS is set."""
    # Ray takes no loopback address where the machine has another one: it would look for the head there.
    own, port = _own_address(), free_port()
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
    common = [
        f"--node-ip-address={own}",
        "--object-store-memory=150000000",
        "--min-worker-port=0",
        "--max-worker-port=0",
    ]
    head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"]
    processes: list[subprocess.Popen[bytes]] = []
    env = {
        **os.environ,
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # workers are of this environment already
        "RAY_raylet_start_wait_time_s": "240",
        "RAY_agent_register_timeout_ms": "240000",
        "RAY_health_check_period_ms": "500",
        "RAY_health_check_timeout_ms": "1000",
    }

    def start(*more: str) -> subprocess.Popen[bytes]:
        # A node that has to find these ports itself dies where that takes its agents more than 15 s.
        agents = [f"--{name}={free_port()}" for name in AGENT_PORTS]
        with (folder / f"{len(processes)}.log").open("wb") as log:
            # A session of its own: all that a node started can be ended with it.
            made = subprocess.Popen(
                [*ray, *common, *agents, *more], stdout=log, stderr=log, env=env, start_new_session=True
            )
        processes.append(made)
        return made

    try:
        start(*head)
        _wait(port, 120, own)
        os.environ["RAY_ADDRESS"] = f"{own}:{port}"
        _wait_for_nodes(1)  # workers that come before the head has told its own node give up
        workers: list[subprocess.Popen[bytes]] = []
        for number in range(2):  # one after the other: their start is the heaviest part
            workers.append(start(f"--address={own}:{port}", "--num-cpus=1"))
            _wait_for_nodes(2 + number)
        yield workers
    finally:
        _disconnect()  # first, or Ray ends this process because its cluster is gone
        for process in processes:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """A node with everything it started, at once, as when a machine goes down."""
    if process.poll() is None:
        for pid, _ in _session(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _session(leader: int) -> list[tuple[int, str]]:
    """(process id, title) of all processes of a session; Ray titles those that carry a task `ray::function`."""
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                owner = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, ValueError):
                continue  # it has just ended
            if owner == leader:
                found.append((int(entry.name), title))
    return found


def _digest(document: Any) -> str:
    return hashlib.blake2b(json.dumps(document, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lake.cluster")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--commands", action="store_true", help="then ask the commands that read a lake, too")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the cluster would outlive whoever gave up on us
    print(json.dumps(prove(args.folder, commands=args.commands)))


def prove(folder: Path, *, commands: bool = False) -> dict[str, Any]:
    """Ship FOLDER/traces.duckdb, analyse it on the cluster with a worker killed meanwhile, and locally; what was seen."""
    store = Store(folder / "traces.duckdb")
    told: dict[str, Any] = {}
    with ExitStack() as stack:
        address = stack.enter_context(s3())
        import boto3

        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="lake")
        lake = open_lake(LAKE, create=True)
        began = time.perf_counter()
        told["shipped"] = ship(store, lake, reads.runs(store)["run_id"].to_list()).spans
        told["ship_s"] = time.perf_counter() - began
        began = time.perf_counter()
        frames = load_frames(store)
        analysis = analyse(frames)
        told["local_s"] = time.perf_counter() - began
        told["runs"], told["findings"] = frames.traces.height, len(analysis.findings) + len(analysis.fleet)
        workers = stack.enter_context(ray_cluster(Path(stack.enter_context(_short_folder()))))
        began = time.perf_counter()
        with _killer(workers, told):
            found, seen = analyse_lake(lake, ENGINES["ray"])
        told["ray_s"] = time.perf_counter() - began
        told["spans_equal"] = found.spans.drop("attributes").equals(_whole(frames.spans, found.spans))
        told["local"] = _digest(analysis_document(frames, analysis))
        told["ray"] = _digest(analysis_document(found, seen))
        told["findings_equal"] = _plain(analysis) == _plain(seen)
        if commands:
            told["commands"] = _ask_commands(folder, reads.runs(store)["run_id"][0])
    return told


def _whole(spans: pl.DataFrame, like: pl.DataFrame) -> pl.DataFrame:
    """In the order and with the columns of `like`; parts leave attributes of runs out that nothing looks into."""
    return spans.sort("run_id", "start_ns", "span_id").select(like.drop("attributes").columns)


def _ask_commands(folder: Path, run_id: str) -> dict[str, bool]:
    """Whether each command says of the lake what it says of the store; `import` makes a second store of it."""
    here, copy = ["--store", str(folder / "traces.duckdb")], str(folder / "copy.duckdb")
    there = ["--lake", LAKE]
    analysis = _tracehound("analyze", "--json", *here)
    report = _tracehound("report", run_id, "--json", *here)
    _tracehound("import", LAKE, "--store", copy)
    return {
        "analyze --engine ray --lake": _tracehound("analyze", "--engine", "ray", "--json", *there) == analysis,
        "analyze --lake": _tracehound("analyze", "--json", *there) == analysis,
        "report --lake": _tracehound("report", run_id, "--json", *there) == report,
        "import": _tracehound("analyze", "--json", "--store", copy) == analysis,
    }


def _tracehound(*arguments: str) -> Any:
    """The JSON that a command prints, None where it prints none."""
    program = str(Path(sys.executable).with_name("tracehound"))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=240)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"tracehound {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else None


@contextmanager
def _short_folder() -> Iterator[str]:
    """Ray's sockets lie in it, and their paths must be short."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


def _disconnect() -> None:
    import ray

    ray.shutdown()


def _wait_for_nodes(wanted: int) -> None:
    import ray

    deadline = time.monotonic() + 240
    while not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError):  # the head has not told its own node yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    while sum(node["Alive"] for node in ray.nodes()) < wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the cluster has {ray.nodes()}")
        time.sleep(0.2)


@contextmanager
def _killer(workers: Sequence[subprocess.Popen[bytes]], told: dict[str, Any]) -> Iterator[None]:
    """Kills the first node that has a process with whole runs before it, and tells what that was."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            for worker in workers:
                busy = [title for _, title in _session(worker.pid) if "look_at" in title]
                if busy:
                    _kill(worker)
                    told["killed"] = busy
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _plain(analysis: Any) -> Any:
    return {
        "findings": [finding.to_json() for finding in analysis.findings],
        "fleet": [finding.to_json() for finding in analysis.fleet],
        "skipped": [repr(one) for one in analysis.skipped],
        "failures": [one.error for one in analysis.failures],
    }


if __name__ == "__main__":
    main(sys.argv[1:])
