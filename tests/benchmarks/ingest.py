"""How fast spans are taken in beside Phoenix and MLflow: `python -m tests.benchmarks.ingest` (`--help` for the rest).

The same spans (OTel GenAI with messages, about 1.2 KB each, from `tests.benchmarks.generate`) are posted over OTLP/HTTP
in batches of 500 to a real `tracehound serve`, to Phoenix and to MLflow, each in an environment of its own, with SQLite,
one after the other, `--repeats` rounds. `acknowledged` counts to the last 200, `stored` until all are in the database.
CPU is that of the server and its children. The peers get fewer spans (`--peer-spans`): they take minutes for more.

The peers come from PyPI into `--dir` (environments there are used again; a temporary folder otherwise, about 1.1 GB).
`--short` measures our own receiver with 2,000 spans once, without peers and without a network.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.generate import BATCH, Shape, otlp_requests
from tests.benchmarks.receiver import cpu_seconds, post, receiver, wait_for

TEXT = 360
"""bytes of a message: makes spans of about 1.2 KB"""
STORED_WITHIN_S = 600


@dataclass(frozen=True, slots=True)
class Peer:
    package: str
    command: Callable[[Path, int, Path], list[str]]
    """(bin folder of the environment, port, working directory) -> how to start it"""
    environment: Callable[[Path, int], dict[str, str]]
    database: str
    headers: dict[str, str]


PEERS: dict[str, Peer] = {
    "phoenix": Peer(
        "arize-phoenix",
        lambda folder, _, __: [str(folder / "phoenix"), "serve"],
        lambda work, port: {
            "PHOENIX_WORKING_DIR": str(work),
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(_free_port()),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        },
        "phoenix.db",
        {},
    ),
    "mlflow": Peer(
        "mlflow",
        lambda folder, port, work: [
            str(folder / "mlflow"),
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--workers",
            "1",
            "--backend-store-uri",
            f"sqlite:///{work / 'mlflow.db'}",
            "--default-artifact-root",
            str(work / "artifacts"),
        ],
        lambda _, __: {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        "mlflow.db",
        {"x-mlflow-experiment-id": "0"},
    ),
}


def ours(bodies: Sequence[bytes], spans: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory) / "traces.duckdb"
        with receiver(store) as (process, port):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            post(connection, next(otlp_requests(Shape(spans=BATCH, seed=99, text=TEXT))))
            wait_for(connection, BATCH)
            before, began = _tree_cpu(process.pid), time.perf_counter()
            for body in bodies:
                post(connection, body)
            acknowledged = time.perf_counter() - began
            wait_for(connection, spans + BATCH)
            stored = time.perf_counter() - began
            cpu, memory = _tree_cpu(process.pid) - before, _tree_mb(process.pid)
            connection.close()
        return _result(spans, acknowledged, stored, cpu, memory, _size(Path(directory)) * spans / (spans + BATCH))


def theirs(name: str, folder: Path, bodies: Sequence[bytes], spans: int) -> dict[str, float]:
    peer, port = PEERS[name], _free_port()
    with (
        tempfile.TemporaryDirectory() as directory,
        _server(peer, folder / name / "bin", port, Path(directory)) as process,
    ):
        database = Path(directory) / peer.database
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STORED_WITHIN_S)
        warm = next(otlp_requests(Shape(spans=50, seed=99, text=TEXT)))
        _post(connection, warm, peer.headers)
        _until_stored(database, 50)
        before, began = _tree_cpu(process.pid), time.perf_counter()
        for body in bodies:
            _post(connection, body, peer.headers)
        acknowledged = time.perf_counter() - began
        _until_stored(database, spans + 50)
        stored = time.perf_counter() - began
        cpu, memory = _tree_cpu(process.pid) - before, _tree_mb(process.pid)
        connection.close()
        return _result(spans, acknowledged, stored, cpu, memory, _size(Path(directory)) * spans / (spans + 50))


def _result(spans: int, acknowledged: float, stored: float, cpu: float, mb: float, size: float) -> dict[str, float]:
    return {
        "acknowledged spans/s": spans / acknowledged,
        "stored spans/s": spans / stored,
        "server CPU us/span": cpu / spans * 1e6,
        "disk bytes/span": size / spans,
        "resident MB": mb,
    }


@contextmanager
def _server(peer: Peer, folder: Path, port: int, work: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **peer.environment(work, port)}
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        peer.command(folder, port, work),
        cwd=work,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 240
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{peer.package} did not start")
            time.sleep(0.5)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> None:
    connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf", **headers})
    response = connection.getresponse()
    said = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {said[:300]!r}")


def _until_stored(database: Path, spans: int) -> None:
    deadline = time.monotonic() + STORED_WITHIN_S
    while True:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as con:
            [(found,)] = con.execute("SELECT count(*) FROM spans").fetchall()
        if found >= spans:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"{found} of {spans} spans stored after {STORED_WITHIN_S} s")
        time.sleep(0.2)


def _tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for at in found:
        for task in Path(f"/proc/{at}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def _tree_cpu(pid: int) -> float:
    return sum(cpu_seconds(one) for one in _tree(pid))


def _tree_mb(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in _tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Make the environments that are not there yet; name -> version. They are made outside of this project on purpose."""
    versions: dict[str, str] = {}
    for name in names:
        package, home = PEERS[name].package, folder / name
        python = str(home / "bin" / "python")
        if not (home / "bin" / name).exists():
            print(f"installing {package} into {home} ...", file=sys.stderr)
            subprocess.run(["uv", "venv", "-q", "--python", "3.11", str(home)], cwd=folder, check=True)
            subprocess.run(["uv", "pip", "install", "-q", "--python", python, package], cwd=folder, check=True)
        code = f"from importlib.metadata import version; print(version('{package}'))"
        versions[name] = subprocess.run(
            [python, "-c", code], cwd=folder, capture_output=True, text=True, check=True
        ).stdout.strip()
    return versions


def run(spans: int, peer_spans: int, repeats: int, names: Sequence[str], folder: Path) -> None:
    versions = install(names, folder)
    bodies = list(otlp_requests(Shape(spans=spans, text=TEXT)))
    few = list(otlp_requests(Shape(spans=peer_spans, text=TEXT)))
    print(
        f"{spans:,} spans ({peer_spans:,} for peers) of {sum(map(len, bodies)) / spans:.0f} bytes, median of {repeats};"
    )
    print(f"load of the machine {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in ("tracehound", *names)}
    for _ in range(repeats):
        results["tracehound"].append(ours(bodies, spans))
        for name in names:
            results[name].append(theirs(name, folder, few, peer_spans))
    middle = {
        who: {key: statistics.median(one[key] for one in found) for key in found[0]} for who, found in results.items()
    }
    print(f"{'':24}{'tracehound':>12}" + "".join(f"{f'{name} {versions[name]}':>20}{'ratio':>8}" for name in names))
    for key, value in middle["tracehound"].items():
        others = "".join(f"{middle[name][key]:20,.1f}{value / middle[name][key]:8.2f}" for name in names)
        print(f"{key:24}{value:12,.1f}{others}")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.ingest", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--spans", type=int, default=30_000)
    parser.add_argument("--peer-spans", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--dir", type=Path, help="where the peers' environments are or will be")
    parser.add_argument("--short", action="store_true", help="2,000 spans, once, no peers")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = (given.dir or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if given.short:
            run(2_000, 0, 1, [], folder)
        else:
            run(given.spans, given.peer_spans, given.repeats, given.peers, folder)


if __name__ == "__main__":
    main(sys.argv[1:])
