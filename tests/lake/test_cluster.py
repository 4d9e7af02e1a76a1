"""The Ray engine on a real cluster with a worker killed, over a real S3 server, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.environments import Environments
from tests.lake.cluster import NO_CLUSTER
from tests.lake.stores import captured

ROOT = Path(__file__).parents[2]
PACKAGES = ["ray==2.60.0", "moto[server]==5.2.5", "s3fs==2026.9.0", "-e", f"{ROOT}[ray,s3]"]
LIMIT_S = 900
"""it takes 70 s of CPU time, most of it starts of processes; every wait in it is bounded and says what it waited for"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_cluster_that_loses_a_worker_says_what_the_local_engine_says(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Span for span and finding for finding; the commands that read s3:// say what they say of the store."""
    python = Environments.of_run(tmp_path_factory).with_packages("ray", PACKAGES)
    captured(tmp_path / "traces.duckdb", "langgraph", "openai-agents", "crewai")
    program = subprocess.Popen(
        [python, "-m", "tests.lake.cluster", tmp_path, "--commands"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        out, errors = program.communicate(timeout=LIMIT_S)
    finally:
        program.terminate()  # it ends its cluster and its server
        program.wait(60)
    if program.returncode == NO_CLUSTER:
        pytest.skip(f"NOT PROVEN: Ray did not come up on this machine: {errors[-1000:]}")
    assert program.returncode == 0, errors[-4000:]
    told = json.loads(out.splitlines()[-1])
    assert told["shipped"] > 0
    assert told["findings"] > 0
    assert told["killed"] == ["ray::look_at_unit"]
    assert told["spans_equal"]
    assert told["findings_equal"]
    assert told["local"] == told["ray"]
    assert told["commands"] == {
        "analyze --engine ray --lake": True,
        "analyze --lake": True,
        "report --lake": True,
        "import": True,
    }
