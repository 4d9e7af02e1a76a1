"""How to reproduce: the commands, and what was recorded of inputs, versions, models and sampling. What is missing is named."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any, Final

import polars as pl

from analyzers.attributes import attributes_of
from dashboard.documents import blocks as b
from dashboard.figures.texts import spoken
from dashboard.report.case import Case
from tracer.model import SpanKind

_COMMAND: Final = ("process.command_args", "process.command_line", "process.command")
_SAMPLING: Final = (
    "gen_ai.request.seed",
    "gen_ai.request.top_p",
    "gen_ai.request.max_tokens",
    "llm.invocation_parameters",
)
"""attributes that decide what a model answers and that have no column"""
_INPUT_CHARS: Final = 2_000
_LISTED: Final = 8


def reproduction(case: Case) -> dict[str, Any]:
    """{commands, input, versions {name: text}, models [...], sampling {name: [values]}, missing [...]}; texts as recorded."""
    frames = case.frames
    row = frames.traces.row(0, named=True)
    attributes = [attributes_of(text or "{}") for text in frames.spans["attributes"].to_list()]
    resource = _resource(case, attributes)
    sampling = {name: _values(frames.llm_calls, name) for name in ("temperature", "prompt_name", "prompt_version")}
    for name in _SAMPLING:
        found = dict.fromkeys(str(held[name]) for held in attributes if held.get(name) is not None)
        sampling[name.removeprefix("gen_ai.request.")] = list(found)[:_LISTED]
    versions = {
        name: _values(frames.spans, name) for name in ("service", "service_version", "release", "environment", "tags")
    }
    started = next((str(resource[name]) for name in _COMMAND if resource.get(name)), None)
    kept = (
        "process.runtime.name",
        "process.runtime.version",
        "telemetry.sdk.language",
        "telemetry.sdk.version",
        "host.name",
        "os.type",
    )
    missing = [
        text
        for text, is_there in (
            ("the seed of the model calls", bool(sampling["seed"]) or not frames.llm_calls.height),
            ("the temperature", bool(sampling["temperature"]) or not frames.llm_calls.height),
            ("the release of the program", bool(versions["release"] or versions["service_version"])),
            ("the command that started it", started is not None),
            ("the input of the run", bool(_input(case))),
        )
        if not is_there
    ]  # fmt: skip
    run = quote(str(row["run_id"]))
    return {
        "commands": [f"tracehound show {run}", f"tracehound analyze {run} --json", f"tracehound report {run} -o post-mortem.html"],
        "started_by": started,
        "input": _input(case),
        "versions": {
            **{name: ", ".join(values) for name, values in versions.items() if values},
            **{name: str(resource[name]) for name in kept if resource.get(name)},
            "recorded by": str(row["convention"] or "unknown"),
        },
        "models": _values(frames.llm_calls, "model"),
        "sampling": {name: values for name, values in sampling.items() if values},
        "missing": missing,
    }  # fmt: skip


def reproduce_document(case: Case) -> list[b.Block]:
    """The same for a reader."""
    held = reproduction(case)
    facts = [b.fact("Started by", held["started_by"], mono=True)] if held["started_by"] else []
    facts += [b.fact(name.replace("_", " "), value) for name, value in held["versions"].items()]
    facts.append(b.fact("models", ", ".join(held["models"]) or "none was called"))
    facts += [b.fact(name.replace("_", " "), ", ".join(values)) for name, values in held["sampling"].items()]
    document: list[b.Block] = [
        b.code("\n".join(held["commands"]), label="Look at the recording again (add --store PATH where it is not the default)"),
        b.facts(facts),
    ]  # fmt: skip
    if held["input"]:
        document.append(b.code(held["input"], label="The run's input, to give to the program again"))
    if held["missing"]:
        document.append(b.note(f"Not recorded: {', '.join(held['missing'])}."))
    document.append(b.note("Models may answer differently the second time, with a seed too; the recording shows what they answered then."))  # fmt: skip
    return document


def _values(frame: pl.DataFrame, column: str) -> list[str]:
    """Distinct values as text in order of appearance, at most a handful, the number of the rest at the end."""
    held: list[Any] = frame[column].drop_nulls().to_list()
    texts = list(dict.fromkeys(_text(value) for value in held))
    texts = [text for text in texts if text]
    return texts if len(texts) <= _LISTED else [*texts[:_LISTED], f"and {len(texts) - _LISTED:,} more"]


def _text(value: Any) -> str:
    """A value of a column: numbers without a needless fraction, lists with commas."""
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _resource(case: Case, attributes: list[dict[str, Any]]) -> Mapping[str, Any]:
    """What the producer said of its process; stored once as a text of its own, or with the spans."""
    for held in attributes:
        resource: Any = held.get("otel.resource")
        if isinstance(resource, dict):
            ref: object = resource.get("$content")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if not isinstance(ref, int):
                return resource  # pyright: ignore[reportUnknownVariableType]
            body = case.frames.contents.get(ref)
            return attributes_of(body) if body else {}
    return {}


def _input(case: Case) -> str:
    """What the run was given: the input of its first root, else the first message or the first call's."""
    spans = case.frames.spans.sort("start_ns", "span_id")
    roots = spans.filter(pl.col("parent_span_id").is_null())
    for rows in (roots, spans.filter(pl.col("kind").is_in([SpanKind.MESSAGE, SpanKind.LLM, SpanKind.AGENT]))):
        for refs in rows["input_refs"].drop_nulls().to_list()[:20]:
            for ref in refs:
                if text := spoken(case.frames.contents.get(ref, "")).strip():
                    return text if len(text) <= _INPUT_CHARS else text[:_INPUT_CHARS] + " … (more in the store)"
    return ""


__all__ = ["reproduce_document", "reproduction"]
