"""The folding process: `python -m tracer.receiver.folder STORE` folds once for every line on stdin, until it ends.

One JSON object a line on stdout: {"spans", "pending_bytes"} or {"error"}.
"""

from __future__ import annotations

import json
import sys
from typing import TextIO

from tracer.errors import TracehoundError
from tracer.store.database import Store


def work(store: Store, orders: TextIO, answers: TextIO) -> None:
    """Answer every line of `orders`; a store that cannot be used now is told and tried again with the next line."""
    for _ in orders:
        try:
            result = store.fold()
            answer: dict[str, int | str] = {"spans": result.spans, "pending_bytes": result.pending_bytes}
        except TracehoundError as error:
            answer = {"error": error.message}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    work(Store(sys.argv[1]), sys.stdin, sys.stdout)
