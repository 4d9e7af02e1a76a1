"""Files and processes that are too large or run too long: bounded memory, a clear answer, no leak."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.build import span
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter, spool_path

pytestmark = pytest.mark.slow
MB = 1 << 20
ALLOWED_MB = 2_600
"""what a 200 MB line may take: the bytes, the text, what it says, and what is made of it"""
CHILD = """
import resource, sys
from dashboard.cli import main
code = main(["import", sys.argv[1], "--store", sys.argv[2], "--json"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)
"""


def imported(path: Path, store: Path) -> tuple[int, dict[str, object], int]:
    """(exit code, what `import --json` printed, peak memory in MB)."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(store)], capture_output=True, text=True, timeout=280, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout or "{}"), int(done.stderr.split()[-1])


def test_a_line_of_200_mb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """One message of 200 MB between two of ordinary size: all three are steps of the run."""
    path = tmp_path / "long.jsonl"
    with path.open("w") as out:
        out.write(
            '{"id": "c", "history": [{"name": "A", "role": "assistant", "content": "go"}, {"name": "B", "role": "assistant", "content": "'
        )
        for _ in range(200):
            out.write("word " * (MB // 5))
        out.write('"}, {"name": "A", "role": "assistant", "content": "end"}]}\n')
    code, _, peak_mb = imported(path, tmp_path / "t.duckdb")

    assert code == 0
    assert peak_mb < ALLOWED_MB
    assert reads.load(Store(tmp_path / "t.duckdb")).spans["step"].drop_nulls().sort().to_list() == [0, 1, 2]


@pytest.mark.parametrize("inside", [b"\x00", b" ", b"[", b'{"a":'], ids=["zeros", "blanks", "brackets", "objects"])
def test_a_gzip_bomb_is_refused(inside: bytes, tmp_path: Path) -> None:
    """Three GB in three MB: the reason names the growth, memory stays bounded, the store stays as it was."""
    path = tmp_path / "bomb.json.gz"
    block = inside * (16 * MB // len(inside))
    with gzip.open(path, "wb", compresslevel=6) as out:
        for _ in range(192):
            out.write(block)
    code, answer, peak_mb = imported(path, tmp_path / "t.duckdb")

    assert code == 2
    assert peak_mb < ALLOWED_MB
    assert "gzip" in json.dumps(answer) or "longer than" in json.dumps(answer)


def test_recording_and_reading_for_long_leaks_nothing(tmp_path: Path) -> None:
    """Three hundred rounds of write, fold, read: descriptors, threads, files and memory stay where they were."""
    store = Store(tmp_path / "t.duckdb")

    def rounds(first: int, last: int) -> tuple[int, int, int]:
        for number in range(first, last):
            writer = SegmentWriter(store.path)
            writer.write_spans([span(number * 10 + k, trace=number) for k in range(10)])
            writer.close()
            store.fold()
            assert reads.runs(store, limit=1).height == 1
        return (
            len(os.listdir("/proc/self/fd")),
            len(list(spool_path(store.path).iterdir())),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )

    early = rounds(0, 60)
    late = rounds(60, 300)

    assert late[0] <= early[0] + 2
    assert late[1] <= early[1] + 2
    assert late[2] <= early[2] + 80
