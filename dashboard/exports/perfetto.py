"""A run as Chrome trace events, which ui.perfetto.dev and chrome://tracing open.

Source: "Trace Event Format" (Google). A process is the run and a thread one agent and lane: on one thread, complete
events ("X") must nest, and agents work side by side. Times are µs from the start of the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from analyzers.frames import Frames
from dashboard.figures.trace_view import labels
from dashboard.figures.tree import build_tree

_PROCESS = 1


def perfetto(frames: Frames) -> bytes:
    """`{"traceEvents": [...], "displayTimeUnit": "ms"}`; a running span reaches to the last thing that happened."""
    tree = build_tree(frames)
    names = labels(tree.frame)
    tracks = nested_tracks(tree.column("agent"), tree.start, tree.stop)
    numbers: dict[tuple[str, int], int] = {}
    events: list[dict[str, Any]] = []
    for i, row in enumerate(tree.frame.iter_rows(named=True)):
        thread = numbers.setdefault(tracks[i], len(numbers) + 1)
        events.append(
            {
                "name": names[i],
                "cat": row["kind"],
                "ph": "X",
                "ts": (tree.start[i] - tree.t0) / 1e3,
                "dur": (tree.stop[i] - tree.start[i]) / 1e3,
                "pid": _PROCESS,
                "tid": thread,
                "args": _arguments(row),
            }
        )
    title = next((name for name in tree.column("workflow") if name), "run")
    head: list[dict[str, Any]] = [_named("process_name", title, 0)]
    head += [_named("thread_name", agent + (f" {lane + 1}" if lane else ""), tid) for (agent, lane), tid in numbers.items()]  # fmt: skip
    document = {
        "traceEvents": head + events,
        "displayTimeUnit": "ms",
        "otherData": {"run_id": (tree.column("run_id") or [""])[0], "start_ns": str(tree.t0)},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def nested_tracks(agents: list[str | None], start: list[int], stop: list[int]) -> list[tuple[str, int]]:
    """(agent, lane) for each span, such that spans of one lane nest or follow each other. Greedy in order of start.

    Times in ns. O(n log n + n x lanes of an agent).
    """
    order = sorted(range(len(start)), key=lambda i: (start[i], -stop[i], i))
    open_ends: dict[str, list[list[int]]] = {}
    tracks: list[tuple[str, int]] = [("", 0)] * len(start)
    for i in order:
        agent = agents[i] or "no agent"
        lanes = open_ends.setdefault(agent, [])
        for ends in lanes:
            while ends and ends[-1] <= start[i]:
                ends.pop()
        free = (number for number, ends in enumerate(lanes) if not ends or stop[i] <= ends[-1])
        number = next(free, len(lanes))
        if number == len(lanes):
            lanes.append([])
        lanes[number].append(stop[i])
        tracks[i] = (agent, number)
    return tracks


def _named(what: str, name: str, thread: int) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": _PROCESS, "tid": thread, "args": {"name": name}}


def _arguments(row: Mapping[str, Any]) -> dict[str, Any]:
    cost = row["cost_usd"]
    known = {
        "span_id": row["span_id"],
        "parent_span_id": row["parent_span_id"],
        "agent": row["agent"],
        "status": row["status"],
        "error": row["error_message"],
        "model": row["model"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_usd": None if cost is None else float(cost),
    }
    return {name: value for name, value in known.items() if value is not None}
