"""The folding process: `python -m tracer.receiver.folder STORE` folds once for every line on stdin, until it ends.

One JSON object a line on stdout: {"spans", "pending_bytes", "removed_runs"} or {"error"}. What the limits kept in the store
do not allow goes after the fold, so that a receiver that runs for months needs no cron.
"""

from __future__ import annotations

import json
import sys
from typing import TextIO

from tracer.errors import TracehoundError
from tracer.store.database import Store
from tracer.store.keeping import SERVER_SPANS, keep_to_limits


def work(store: Store, orders: TextIO, answers: TextIO) -> None:
    """Answer every line of `orders`; a store that cannot be used now is told and tried again with the next line."""
    for _ in orders:
        try:
            result = store.fold()
            kept = keep_to_limits(store, spans=SERVER_SPANS, compacting=True)
            answer: dict[str, int | str] = {
                "spans": result.spans,
                "pending_bytes": result.pending_bytes,
                "removed_runs": 0 if kept is None else kept.removed.runs,
            }
        except TracehoundError as error:
            answer = {"error": error.message}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    work(Store(sys.argv[1]), sys.stdin, sys.stdout)
