"""Calls of models that a transcript tells of: usage on the message that came of it, or in an entry of its own before that message.

phase_start   model: ModelType.GPT_4O          what later calls are made with
llm_usage     prompt_tokens, cost_usd    --.   the call is over: entries of ChatDev's log
llm_usage     prompt_tokens, cost_usd    --|-.
message       Programmer                <--' |  messages take the calls that wait, in order
message       Code Reviewer             <----'

{"source": "Coder", "content": ..., "models_usage": {"prompt_tokens": ..}}     AutoGen, and others with `usage` or `usage_metadata`
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from tracer.semconv import GenAI, Tracehound

_USAGES = (
    "usage",
    "models_usage",
    "usage_metadata",
    "token_usage",
    "usageMetadata",
    "tokens",
    "token_counts",
    "llm_usage",
)
_BESIDE = ("response_metadata", "metadata", "info", "extra", "additional_kwargs")
"""fields of a message in which its usage may stand"""
_SENT = (
    "prompt_tokens",
    "input_tokens",
    "promptTokens",
    "inputTokens",
    "prompt",
    "input",
    "promptTokenCount",
    "prompt_token_count",
)
_MADE = (
    "completion_tokens",
    "output_tokens",
    "completionTokens",
    "outputTokens",
    "completion",
    "output",
    "candidatesTokenCount",
    "candidates_token_count",
)
_TEXTS_TOO = frozenset({"prompt", "input", "completion", "output"})
"""counts under a name for usage; of a message itself they are its texts, and an answer may be 42"""
_COSTS = ("cost_usd", "cost", "total_cost", "total_cost_usd")
_MODELS = ("model", "model_name", "model_id")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model; None is what the source does not say."""

    raw: Mapping[str, Any]
    """the entry that told of it: of its own, or the message"""
    own_entry: bool
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: Decimal | None

    def attributes(self) -> dict[str, Any]:
        """In the words of OTel GenAI; the price is the source's own, where it has one."""
        told: dict[str, Any] = {
            GenAI.OPERATION: "chat",
            GenAI.REQUEST_MODEL: self.model,
            GenAI.INPUT_TOKENS[0]: self.input_tokens,
            GenAI.OUTPUT_TOKENS[0]: self.output_tokens,
            Tracehound.COST_USD: None if self.cost_usd is None else str(self.cost_usd),
        }
        return {name: value for name, value in told.items() if value is not None}


def calls_of(entries: Sequence[Any], speaks: Sequence[bool]) -> dict[int, list[Call]]:
    """Place of a message among `entries` -> the calls it came of. `speaks`: whether an entry is a message that a model may have made.

    Calls that no message took before the model changes, or before the end, are those of the last message.
    """
    found: dict[int, list[Call]] = {}
    waiting: deque[Call] = deque()
    model: str | None = None
    last: int | None = None

    def leave_none() -> None:
        if last is not None and waiting:
            found.setdefault(last, []).extend(waiting)
            waiting.clear()

    for place, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            continue
        raw = cast(Mapping[str, Any], entry)
        if speaks[place]:
            own = _told_of(raw, model)
            if own is not None:
                found[place] = [own]
            elif waiting:
                found[place] = [waiting.popleft()]
            last = place
        elif (call := _call(raw, raw, model)) is not None:
            waiting.append(call)
        elif (named := _model(raw)) is not None:
            leave_none()
            model = named
    leave_none()
    return found


def _told_of(raw: Mapping[str, Any], model: str | None) -> Call | None:
    """The call that a message tells of: under a name for usage, in what stands beside the message, or in the message itself."""
    for around in (raw, *(raw.get(name) for name in _BESIDE)):
        if not isinstance(around, Mapping):
            continue
        held = cast(Mapping[str, Any], around)
        for name in _USAGES:
            if call := _call(held.get(name), raw, _model(held) or model):
                return call
        if call := _call({key: value for key, value in held.items() if key not in _TEXTS_TOO}, raw, model):
            return call
    return None


def _call(usage: Any, raw: Mapping[str, Any], model: str | None) -> Call | None:
    """The call whose tokens `usage` counts; None where it counts none."""
    if not isinstance(usage, Mapping):
        return None
    told = cast(Mapping[str, Any], usage)
    sent, made = _count(told, _SENT), _count(told, _MADE)
    if sent is None and made is None:
        return None
    return Call(raw, usage is raw, _model(told) or _model(raw) or model, sent, made, _cost(told) or _cost(raw))


def _count(told: Mapping[str, Any], names: Sequence[str]) -> int | None:
    return next((count for name in names if (count := _number(told.get(name))) is not None), None)


def _number(value: Any) -> int | None:
    """A count, also as text or as a float without a fraction; None for anything else."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _cost(told: Mapping[str, Any]) -> Decimal | None:
    for name in _COSTS:
        value = told.get(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                cost = Decimal(str(value))
            except InvalidOperation:
                continue
            if cost.is_finite() and cost >= 0:
                return cost
    return None


def _model(told: Mapping[str, Any]) -> str | None:
    """`gpt-4o`; ChatDev writes the names of an enumeration: `ModelType.GPT_4O`."""
    name = next((told[key] for key in _MODELS if isinstance(told.get(key), str) and told[key]), None)
    if name is None or not name.startswith("ModelType."):
        return name
    return re.sub(r"(?<=\d)_(?=\d)", ".", name.removeprefix("ModelType.")).lower().replace("_", "-")
