"""A record of a transcript: where its messages stand, what it is called, and what it says came of the run.

Every source has other names for these; each list here is looked through in order, and the first that fits counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tracer.importers.entries import is_message
from tracer.model import RunOutcome

LISTS = (
    "history",
    "messages",
    "conversation",
    "trajectory",
    "traj",
    "chat_history",
    "steps",
    "turns",
    "dialog",
    "transcript",
    "events",
    "conversation_history",
    "message_history",
    "chat_messages",
    "all_messages",
    "conversations",
    "dialogue",
    "chat",
    "interactions",
    "log",
    "logs",
    "trace",
)
"""keys under which a record holds its messages, the likeliest first"""

_DEEPEST = 4
"""objects inside of each other in which a list of messages is looked for"""
_IDS = (
    "id",
    "run_id",
    "trace_id",
    "instance_id",
    "conversation_id",
    "question_ID",
    "question_id",
    "session_id",
    "uuid",
)
WORKFLOWS = ("workflow", "workflow_name", "app", "application", "subset", "framework", "variant", "benchmark")
TASKS = ("question", "task", "prompt", "instruction", "goal", "query", "problem")
_VERDICTS = (
    "is_correct",
    "correct",
    "success",
    "is_success",
    "passed",
    "reward",
    "resolved",
    "solved",
    "is_solved",
    "task_success",
)
_RESULTS = ("result", "results", "evaluation", "reward_info", "outcome", "info", "metadata")


@dataclass(frozen=True, slots=True)
class Found:
    """The list of messages of a record."""

    key: str
    """of the record's field that it stands in, maybe deeper"""
    entries: list[Any]


def messages_in(record: Mapping[str, Any]) -> Found | None:
    """The list of messages of a record: under a known key, also deeper (`{"result": {"messages": [...]}}`), as JSON text, or numbered in an object."""
    return _messages_in(record, _DEEPEST) or next(
        (Found(key, cast(list[Any], record[key])) for key in LISTS if isinstance(record.get(key), list)), None
    )


def _messages_in(record: Mapping[str, Any], depth: int) -> Found | None:
    for key in LISTS:
        entries = _listed(record.get(key))
        if any(is_message(item) for item in entries):
            return Found(key, entries)
    for key, value in record.items():
        if isinstance(value, Mapping) and depth > 1:
            inner = _messages_in(cast(Mapping[str, Any], value), depth - 1)
            if inner is not None:
                return Found(key, inner.entries)
    return None


def _listed(value: Any) -> list[Any]:
    """A list, also as JSON text or as an object with numbers for keys (`{"0": {...}, "1": {...}}`); [] for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if isinstance(value, Mapping):
        held = cast(Mapping[str, Any], value)
        return (
            [held[key] for key in sorted(held, key=lambda key: (len(key), key))]
            if all(key.isdecimal() for key in held)
            else []
        )
    return cast(list[Any], value) if isinstance(value, list) else []


def text_under(record: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first text that is not empty under one of `keys`."""
    return next((record[key] for key in keys if isinstance(record.get(key), str) and record[key]), None)


def source_id_of(record: Mapping[str, Any]) -> str | None:
    """What the source calls the run; a task and its trial where the run has no name of its own."""
    found = next(
        (str(record[key]) for key in _IDS if isinstance(record.get(key), str | int) and str(record[key])), None
    )
    if found is None and isinstance(record.get("task_id"), str | int):
        found = str(record["task_id"])
        if isinstance(record.get("trial"), str | int):
            found += f"/{record['trial']}"
    return found


def verdict_of(record: Mapping[str, Any]) -> tuple[str, str] | None:
    """(outcome, reason) where the record says whether the run did its task, itself or in what it calls its result."""
    around = [
        record,
        *(cast(Mapping[str, Any], record[key]) for key in _RESULTS if isinstance(record.get(key), Mapping)),
    ]
    for key, value in ((key, held[key]) for held in around for key in _VERDICTS if key in held):
        if isinstance(value, bool | int | float):
            return (RunOutcome.COMPLETED if value >= 1 else RunOutcome.FAILED).value, f"the source says {key} = {value}"
        if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "1.0", "0.0", "yes", "no"):
            good = value.lower() in ("true", "1", "1.0", "yes")
            return (RunOutcome.COMPLETED if good else RunOutcome.FAILED).value, f"the source says {key} = {value}"
    return None
