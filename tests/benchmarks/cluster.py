"""A large store on a Ray cluster of this machine, one worker killed meanwhile: `python -m tests.benchmarks.cluster --spans 1000000`.

Needs an environment with the extras `[ray,s3]` and `moto[server]`. Draws the store, ships it to an S3 server on loopback, analyses
it here and on a Ray head with two workers of which one is killed, and prints what `tests.lake.cluster.prove` tells, with the
load of the machine and the CPU seconds of this process. Exit code 1 where anything differs or no worker was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks import generate
from tests.lake.cluster import prove

LEAST_LIMIT_S, LIMIT_S_PER_SPAN = 240.0, 0.003
"""how long the cluster may take: some six times what it took for a million spans"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cluster")
    parser.add_argument("--spans", type=int, default=1_000_000)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the cluster would outlive whoever gave up on us
    with tempfile.TemporaryDirectory(prefix="tracehound-cluster-") as folder:
        generate.main([f"{folder}/traces.duckdb", "--spans", str(args.spans), "--as", "store"])
        told = prove(Path(folder), job_limit_s=LEAST_LIMIT_S + LIMIT_S_PER_SPAN * args.spans)
    told |= {"load": os.getloadavg(), "cpu_s": time.process_time()}
    print(json.dumps(told))
    equal = told["spans_equal"] and told["findings_equal"] and told["local"] == told["ray"]
    return 0 if equal and told.get("killed") else 1


if __name__ == "__main__":
    sys.exit(main())
