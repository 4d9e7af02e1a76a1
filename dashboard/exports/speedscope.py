"""A run as a file for speedscope.app: one evented profile per agent and lane, frames named as the figures name spans.

Source: https://www.speedscope.app/file-format-schema.json. Events of a profile open and close like brackets, at ascending
times; the lanes of `perfetto.nested_tracks` make sure of that.
"""

from __future__ import annotations

import json
from typing import Any

from analyzers.frames import Frames
from dashboard.exports.perfetto import nested_tracks
from dashboard.figures.trace_view import labels
from dashboard.figures.tree import build_tree

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def speedscope(frames: Frames) -> bytes:
    """`{"$schema", "shared": {"frames"}, "profiles": [...], "name", "exporter", "activeProfileIndex"}`, times in ns from the start."""
    tree = build_tree(frames)
    names, kinds = labels(tree.frame), tree.column("kind")
    numbers: dict[str, int] = {}
    shown = [numbers.setdefault(f"{kind}: {name}", len(numbers)) for kind, name in zip(kinds, names, strict=True)]
    members: dict[tuple[str, int], list[int]] = {}
    for i, track in enumerate(nested_tracks(tree.column("agent"), tree.start, tree.stop)):
        members.setdefault(track, []).append(i)
    profiles = [
        {
            "type": "evented",
            "name": agent + (f" {lane + 1}" if lane else ""),
            "unit": "nanoseconds",
            "startValue": 0,
            "endValue": tree.horizon - tree.t0,
            "events": _events(held, tree.start, tree.stop, shown, tree.t0),
        }
        for (agent, lane), held in members.items()
    ]
    document = {
        "$schema": SCHEMA,
        "name": next((name for name in tree.column("workflow") if name), "run"),
        "exporter": "tracehound",
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in numbers]},
        "profiles": profiles,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _events(held: list[int], start: list[int], stop: list[int], shown: list[int], t0: int) -> list[dict[str, Any]]:
    """Openings and closings of nested spans in order; the outer of two that begin together opens first."""
    events: list[dict[str, Any]] = []
    open_spans: list[int] = []

    def close(until: int | None) -> None:
        while open_spans and (until is None or stop[open_spans[-1]] <= until):
            i = open_spans.pop()
            events.append({"type": "C", "frame": shown[i], "at": stop[i] - t0})

    for i in sorted(held, key=lambda i: (start[i], -stop[i], i)):
        close(start[i])
        events.append({"type": "O", "frame": shown[i], "at": start[i] - t0})
        open_spans.append(i)
    close(None)
    return events
