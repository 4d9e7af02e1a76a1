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
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
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


STARTS = 4
"""tries for each node: `ray start` gives its own raylet 30 s, which nothing can change, and ends everything where a busy machine needs more"""
START_LIMIT_S = 120.0
"""for one try"""
NO_CLUSTER = 75
"""exit code where Ray itself did not come up: nothing was proven, and nothing refuted (EX_TEMPFAIL of sysexits.h)"""


class NoCluster(Exception):
    """A node did not start; the text holds what each try printed."""


class Node:
    """One `ray start --block`; its output is in a file of its own."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.log = log
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"]
        # A node that has to find these ports itself dies where that takes its agents more than 15 s.
        agents = [f"--{name}={free_port()}" for name in AGENT_PORTS]
        with log.open("wb") as out:
            # A session of its own: all that a node started can be ended with it.
            self.process = subprocess.Popen(
                [*ray, *agents, *arguments],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def died(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        _kill(self.process)

    def told(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")


JOB_LIMIT_S = float(os.environ.get("CLUSTER_JOB_LIMIT_S", "240"))
RAY_SETTINGS = {
    # Below `uv run`, Ray would start each worker by `uv run`, in an environment made anew; they are of this environment already.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_agent_register_timeout_ms": "240000",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "240",
    "RAY_gcs_server_port_wait_time_s": "120",
    # A node that is killed refuses connections at once and is dead after five of these; one that is only slow must not be taken for dead,
    # or nobody is left to compute on.
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "30000",
    "RAY_memory_monitor_refresh_ms": "0",  # what others on this machine use is no reason to end our workers
}


def _started(make: Callable[[], Node], ready: Callable[[], bool], nodes: list[Node]) -> Node:
    """A node that is `ready`; one that dies first, or does not come in time, is made again. Every node made is in `nodes`."""
    told: list[str] = []
    for _ in range(STARTS):
        node = make()
        nodes.append(node)
        deadline = time.monotonic() + START_LIMIT_S
        while not node.died and time.monotonic() < deadline:
            if ready():
                return node
            time.sleep(0.2)
        told.append(f"{'died' if node.died else f'not ready in {START_LIMIT_S:.0f} s'}:\n{node.told()[-1_500:]}")
        node.kill()
    raise NoCluster(f"A node of the cluster did not start in {STARTS} tries.\n" + "\n".join(told))


@contextmanager
def ray_cluster(folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A head without a CPU of its own and two workers with one each; gives the workers' processes. $RAY_ADDRESS is set."""
    # Ray takes no loopback address where the machine has another one: it would look for the head there.
    os.environ.update(RAY_SETTINGS)  # for whoever connects, too, before Ray is imported
    own = _own_address()
    common = [f"--node-ip-address={own}", "--object-store-memory=150000000", "--min-worker-port=0", "--max-worker-port=0", "--include-log-monitor=false"]  # fmt: skip
    nodes: list[Node] = []

    def log() -> Path:
        return folder / f"{len(nodes)}.log"

    def head() -> Node:
        port = free_port()
        os.environ["RAY_ADDRESS"] = f"{own}:{port}"
        home = folder / f"h{len(nodes)}"  # what a head that died has left is in nobody's way
        home.mkdir()
        return Node(log(), *common, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", "--no-monitor", f"--temp-dir={home}")  # fmt: skip

    def worker() -> Node:
        return Node(log(), *common, f"--address={os.environ['RAY_ADDRESS']}", "--num-cpus=1")

    try:
        # `ray start` says so once its own raylet is known: nothing connects before, or it would be taken down with a head that gives up.
        first = _started(head, lambda: "Ray runtime started" in nodes[-1].told(), nodes)
        _connect()
        # One after the other: their start is the heaviest part.
        workers = [_started(worker, lambda wanted=2 + number: _alive() >= wanted, nodes) for number in range(2)]
        if first.died:
            raise RuntimeError(f"The head of the cluster died:\n{first.told()[-1_500:]}")
        yield [node.process for node in workers]
    finally:
        _disconnect()  # first, or Ray ends this process because its cluster is gone
        for node in nodes:
            node.kill()


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
    try:
        with redirect_stdout(sys.stderr):  # what Ray says of the node that died may come before, in or after the job
            told = prove(args.folder, commands=args.commands)
        print(json.dumps(told))
    except NoCluster as error:
        print(error, file=sys.stderr)
        sys.exit(NO_CLUSTER)


def prove(folder: Path, *, commands: bool = False, job_limit_s: float = JOB_LIMIT_S) -> dict[str, Any]:
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
        with _killer(workers, told), _no_longer_than(job_limit_s):
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


def _connect() -> None:
    import ray

    deadline = time.monotonic() + START_LIMIT_S
    while not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _alive() -> int:
    """Nodes that the head knows to be alive."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())


@contextmanager
def _no_longer_than(limit_s: float) -> Iterator[None]:
    """A cluster that nobody is left to compute on lets its tasks wait for ever; then this says who is there."""

    def too_long(*_: object) -> None:
        import ray

        raise TimeoutError(f"The job was not done in {limit_s:.0f} s; nodes: {ray.nodes()}")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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
