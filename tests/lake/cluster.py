"""What the proof of a Ray cluster runs in an environment of its own: `python -m tests.lake.cluster FOLDER [--spans N] [--kill]`.

FOLDER/traces.duckdb is shipped to an S3 server (moto) on loopback. A Ray head and two worker processes, all on loopback, then
analyse it; with --kill one worker is killed as soon as it has a partition. Prints one JSON object: both documents' digests
(the store's, made by the local engine, and the lake's), whether they are equal, seconds, and what was killed.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

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
    port = free_port()
    ray = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
    ]
    common = ["--object-store-memory=150000000", "--min-worker-port=0", "--max-worker-port=0"]
    head = [f"--port={port}", "--head", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}"]
    processes: list[subprocess.Popen[bytes]] = []
    env = {**os.environ, "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_raylet_start_wait_time_s": "240", "RAY_health_check_period_ms": "500", "RAY_health_check_timeout_ms": "1000"}  # fmt: skip

    def start(*more: str) -> subprocess.Popen[bytes]:
        log = (folder / f"{len(processes)}.log").open("wb")
        # A session of its own: all that a node started can be ended with it.
        made = subprocess.Popen([*ray, *common, *more], stdout=log, stderr=log, env=env, start_new_session=True)
        processes.append(made)
        return made

    try:
        start(*head)
        # Ray takes no loopback address where the machine has another one: it would look for the head there.
        address = f"{_own_address()}:{port}"
        _wait(port, 120, _own_address())
        os.environ["RAY_ADDRESS"] = address
        _wait_for_nodes(1)  # workers that come before the head has told its own node give up
        workers = [start(f"--address={address}", "--num-cpus=1") for _ in range(2)]
        yield workers
    finally:
        for process in processes:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """A node with everything it started, at once, as when a machine goes down."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _digest(document: Any) -> str:
    return hashlib.blake2b(json.dumps(document, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lake.cluster")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill", action="store_true", help="kill a worker while it works")
    parser.add_argument(
        "--deep", action="store_true", help="compare the whole document, with what is made of single runs"
    )
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the cluster would outlive whoever gave up on us
    store = Store(args.folder / "traces.duckdb")
    told: dict[str, Any] = {}
    with ExitStack() as stack:
        address = stack.enter_context(s3())
        import boto3

        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="lake")
        lake = open_lake("s3://lake/runs", create=True)
        began = time.perf_counter()
        told["shipped"] = ship(store, lake, reads.runs(store)["run_id"].to_list()).spans
        told["ship_s"] = time.perf_counter() - began
        short = Path(stack.enter_context(_short_folder()))
        workers = stack.enter_context(ray_cluster(short))
        _wait_for_nodes(3)
        if args.kill:
            stack.enter_context(_killer(workers[0], told))
        began = time.perf_counter()
        found = analyse_lake(lake, ENGINES["ray"])
        told["ray_s"] = time.perf_counter() - began
        lake_document = analysis_document(*found) if args.deep else _plain(found[1])
    began = time.perf_counter()
    frames = load_frames(store)
    analysis = analyse(frames)
    told["local_s"] = time.perf_counter() - began
    store_document = analysis_document(frames, analysis) if args.deep else _plain(analysis)
    told["runs"], told["findings"] = frames.traces.height, len(analysis.findings) + len(analysis.fleet)
    told["spans_equal"] = _digest(found[0].spans.select("trace_id", "span_id").rows()) == _digest(
        frames.spans.sort("run_id", "start_ns", "span_id").select("trace_id", "span_id").rows()
    )
    told["local"], told["lake"] = _digest(store_document), _digest(lake_document)
    told["equal"] = told["local"] == told["lake"]
    print(json.dumps(told))


@contextmanager
def _short_folder() -> Iterator[str]:
    """Ray's sockets lie in it, and their paths must be short."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


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
def _killer(worker: subprocess.Popen[bytes], told: dict[str, Any]) -> Iterator[None]:
    """Kills the node of `worker` once a process of it has worked, and tells so."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            busy = _busy_tasks(worker.pid)
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


def _busy_tasks(session: int) -> list[str]:
    """Names of Ray's worker processes of that session that carry a task: Ray titles them `ray::function`."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
                owner = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, ValueError):
                continue  # it has just ended
            if owner == session and "look_at" in title:
                found.append(title)
    return found


def _plain(analysis: Any) -> Any:
    return {
        "findings": [finding.to_json() for finding in analysis.findings],
        "fleet": [finding.to_json() for finding in analysis.fleet],
        "skipped": [repr(one) for one in analysis.skipped],
        "failures": [one.error for one in analysis.failures],
    }


if __name__ == "__main__":
    main(sys.argv[1:])
