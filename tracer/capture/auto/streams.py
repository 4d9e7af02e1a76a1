"""Reads along with a streamed answer: whoever consumes it gets every item as before, the span gets the sum.

The span ends with the stream: consumed, failed, closed, or abandoned and collected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, cast

from ..complaints import complain
from ..response import google_answer
from ..watched import watched

_TEXTS: Final = frozenset({"content_block_delta", "response.output_text.delta"})
End = Callable[["Sum | None", BaseException | None], None]


class Sum:
    """What the items of a stream add up to, in the shape of the answer that was not streamed."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.first_token_s: float | None = None
        self._whole: Any = None
        self._text: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}

    def add(self, item: Any) -> None:
        """One item: a chat completion chunk, an event of the Responses API or of Anthropic's messages, a part from Google."""
        kind = getattr(item, "type", None)
        if getattr(item, "choices", None) is not None:
            self._chunk(item)
        elif hasattr(item, "candidates"):
            self._google(item)
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._whole = item.response
        elif kind in _TEXTS:
            self._tick()
            if kind == "content_block_delta":
                self._anthropic_delta(item)
        elif kind == "content_block_start" and getattr(item.content_block, "type", "") == "tool_use":
            block = item.content_block
            self._calls[item.index] = {"id": block.id, "name": block.name, "arguments": ""}
        elif kind == "message_start":
            self._note(id=item.message.id, model=item.message.model)
            self._use(item.message.usage)
        elif kind == "message_delta":
            self._note(finish=getattr(item.delta, "stop_reason", None))
            self._use(item.usage)

    def answer(self) -> Any:
        """The answer as far as it came, for `facts_of`."""
        if self._whole is not None:
            return self._whole
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text)}
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for _, call in sorted(self._calls.items())
            ]
        choices: list[Any] = []
        if message["content"] or self._calls:
            choices = [{"message": message, "finish_reason": self._facts.get("finish")}]
        return {**self._facts, "choices": choices, "usage": self._usage}

    def _chunk(self, item: Any) -> None:
        self._note(id=item.id, model=item.model)
        if getattr(item, "usage", None) is not None:
            self._use(item.usage)
        for choice in item.choices[:1]:
            delta = choice.delta
            if getattr(delta, "content", None):
                self._tick()
                self._text.append(delta.content)
            for call in getattr(delta, "tool_calls", None) or ():
                self._tick()
                known = self._calls.setdefault(call.index, {"id": call.id, "name": "", "arguments": ""})
                if call.function is not None:
                    known["name"] += call.function.name or ""
                    known["arguments"] += call.function.arguments or ""
            self._note(finish=choice.finish_reason)

    def _google(self, item: Any) -> None:
        part = google_answer(item)
        self._note(id=part["id"], model=part["model"])
        self._usage.update({key: value for key, value in part["usage"].items() if value is not None})
        for choice in part["choices"]:
            message = choice["message"]
            if message["content"]:
                self._tick()
                self._text.append(message["content"])
            for call in message.get("tool_calls", ()):
                self._tick()
                self._calls[len(self._calls)] = {"id": call["id"], **call["function"]}
            self._note(finish=choice["finish_reason"])

    def _anthropic_delta(self, item: Any) -> None:
        delta = item.delta
        if getattr(delta, "text", None):
            self._text.append(delta.text)
        elif getattr(delta, "partial_json", None) and item.index in self._calls:
            self._calls[item.index]["arguments"] += delta.partial_json

    def _tick(self) -> None:
        if self.first_token_s is None:
            self.first_token_s = time.perf_counter() - self.began

    def _note(self, **facts: Any) -> None:
        self._facts.update((key, value) for key, value in facts.items() if value is not None)

    def _use(self, usage: Any) -> None:
        dump: Any = getattr(usage, "model_dump", None)
        plain: Any = dump() if dump is not None else usage.__dict__
        self._usage.update((key, value) for key, value in cast("dict[str, Any]", plain).items() if value is not None)


def follow(stream: Any, end: End) -> Any:
    """Read along with `stream`; `end(sum, error)` is called once, when it is over. What to hand on; None: it cannot be followed."""
    total = Sum()

    def take(item: Any) -> None:
        try:
            total.add(item)
        except Exception:  # noqa: BLE001 - the host must not feel it; logged once
            complain("reading along with a stream")

    return watched(stream, take, lambda error: end(total, error))
