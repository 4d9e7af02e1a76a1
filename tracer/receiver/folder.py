"""The folding process: `python -m tracer.receiver.folder STORE [LAKE]` does what each line on stdin says, until it ends.

`fold` folds; with a lake, `ship` ships runs at rest to it and `ship all` whatever has ended.

One JSON object a line on stdout: {"spans", "pending_bytes", "removed_runs"}, {"shipped_runs"} or {"error"}. What the limits kept in the store
do not allow goes after the fold, so that a receiver that runs for months needs no cron.
"""

from __future__ import annotations

import json
import sys
from typing import TextIO

from tracer.errors import TracehoundError
from tracer.lake.layout import open_lake
from tracer.lake.shipper import Shipper
from tracer.store.database import Store
from tracer.store.keeping import SERVER_SPANS, keep_to_limits


def work(store: Store, orders: TextIO, answers: TextIO, shipper: Shipper | None = None) -> None:
    """Answer every line of `orders`; a store or lake that cannot be used now is told and tried again with the next line."""
    for order in orders:
        try:
            answer: dict[str, int | str]
            if order.startswith("ship"):
                done = 0 if shipper is None else shipper.ship(all_ended=order.strip() == "ship all")
                _answer(answers, {"shipped_runs": done})
                continue
            result = store.fold()
            # What was not shipped yet must not go by a limit.
            kept = None if shipper else keep_to_limits(store, spans=SERVER_SPANS, compacting=True)
            answer = {
                "spans": result.spans,
                "pending_bytes": result.pending_bytes,
                "removed_runs": 0 if kept is None else kept.removed.runs,
            }
        except TracehoundError as error:
            answer = {"error": error.message}
        _answer(answers, answer)


def _answer(answers: TextIO, answer: dict[str, int | str]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    own = Store(sys.argv[1])
    work(own, sys.stdin, sys.stdout, Shipper(own, open_lake(sys.argv[2], create=True)) if len(sys.argv) > 2 else None)
