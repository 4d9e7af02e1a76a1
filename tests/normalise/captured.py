"""Recorded captures for tests, and the text in which a normalised run is compared with its golden file."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tracer.model import Span
from tracer.normalise import Batch, normalise, resolve, summarise
from tracer.normalise.otlp import decode_logs, decode_traces
from tracer.normalise.otlp_json import json_to_protobuf

FOLDER = Path(__file__).parents[2] / "fixtures" / "captures"
NAMES = sorted(
    path.name.removesuffix(".otlp.json.gz") for path in FOLDER.glob("*.otlp.json.gz") if ".logs." not in path.name
)


@cache
def documents(name: str) -> list[dict[str, object]]:
    """The export requests of a capture as parsed JSON; [] where there is no such file."""
    path = FOLDER / f"{name}.otlp.json.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


@cache
def batch(name: str) -> Batch:
    """A capture normalised span by span, log records included."""
    spans = [s for d in documents(name) for p in json_to_protobuf(d).payloads for s in decode_traces(p)]
    logs = [
        r for d in documents(f"{name}.logs") for p in json_to_protobuf(d, logs=True).payloads for r in decode_logs(p)
    ]
    return normalise(spans, logs)


@cache
def resolved(name: str) -> tuple[Span, ...]:
    """The rows of a capture as the store would hold them; tests do not change them."""
    found = batch(name)
    return tuple(resolve(found.spans, found.events, found.links))


def dump(rows: Sequence[Span]) -> str:
    """Rows as an indented tree per run. `~` marks an inferred agent; messaging noise and set-up are only counted."""
    lines: list[str] = []
    for run_id in dict.fromkeys(row.run_id for row in rows):
        members = [row for row in rows if row.run_id == run_id]
        lines += _run(members)
    return "\n".join(lines) + "\n"


def _run(rows: Sequence[Span]) -> list[str]:
    summary = summarise(rows)
    lines = [
        f"run {summary.workflow}: {summary.outcome}"
        + (f" ({summary.outcome_reason})" if summary.outcome_reason else "")
        + f", {summary.agents} agents, {summary.llm_calls} llm calls, {summary.input_tokens}/{summary.output_tokens} tokens"
        + (f", session {summary.session_id}" if summary.session_id else "")
    ]
    folded = [row for row in rows if row.convention == "autogen"]
    if folded:
        lines.append(f"  ({len(folded)} messaging spans)")
    shown = [row for row in rows if row.convention != "autogen"]
    known = {(row.trace_id, row.span_id): row for row in rows}
    children: dict[str | None, list[Span]] = {}
    for row in shown:
        parent = row.parent_span_id
        while parent and (upper := known.get((row.trace_id, parent))) and upper.convention == "autogen":
            parent = upper.parent_span_id
        children.setdefault(parent if parent and (row.trace_id, parent) in known else None, []).append(row)
    stack = [(row, 1) for row in reversed(children.get(None, []))]
    while stack:
        row, depth = stack.pop()
        lines.append("  " * depth + _line(row))
        stack += [(child, depth + 1) for child in reversed(children.get(row.span_id, []))]
    return lines


def _line(row: Span) -> str:
    parts = [row.kind, row.name, f"@{row.agent}{'~' if row.agent_inferred else ''}" if row.agent else "@-"]
    if row.target_agent:
        parts.append(f"-> {row.target_agent}")
    if row.kind.startswith("state_"):
        versions = f"v{row.version_read}" if row.kind == "state_read" else f"v{row.version_written} {row.cas_outcome}"
        parts.append(f"{row.state_key} {versions} {row.changed_paths or ''}".rstrip())
    if row.tool_name:
        parts.append(f"tool={row.tool_name}")
    if row.model and row.kind in ("llm", "embedding"):
        parts.append(f"{row.model} {row.input_tokens}/{row.output_tokens} cached={row.cached_tokens}")
    if row.purpose:
        parts.append(f"purpose={row.purpose} choice={row.choice}")
    if row.input_refs or row.output_refs:
        parts.append(f"texts={len(row.input_refs or [])}/{len(row.output_refs or [])}")
    if row.status != "ok":
        parts.append(f"{row.status}={row.error_type}")
    if row.reason:
        parts.append(f"because: {row.reason}")
    if row.duplicate_of:
        parts.append("DUPLICATE")
    if row.dropped_attributes:
        parts.append(f"dropped={row.dropped_attributes}")
    return " | ".join(parts)
