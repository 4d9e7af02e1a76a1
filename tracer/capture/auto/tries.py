"""Tries inside a client: openai, anthropic and google-genai ask again after a 429 or a lost connection and show one call.

    create() ............................................   one LLM span, whoever writes it
      send -> 429   wait   send -> 429   wait   send -> 200

The requests are seen where they are sent. What a try that failed was followed by goes to the LLM span around: how many
requests there were, how those before the last ended, how long the client waited. What is not posted is no call: LiteLLM gets its
price list while its first call is under way.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary, ref

from ...model import SpanKind
from ...semconv import GenAI, OpenInference, Tracehound
from .carrier import langchain_span

_LLM_OPERATIONS: Final = frozenset({"chat", "text_completion", "generate_content"})
_FAILED: Final = 400
"""HTTP statuses from here on are no answer"""


@dataclass(slots=True)
class Tries:
    """The requests of one call so far."""

    span: ref[Any]
    """weak: tries are held for as long as the span is"""
    failed: list[str] = field(default_factory=list[str])
    """how each ended that was no answer"""
    waited_ns: int = 0
    _ended_ns: int | None = None
    """when the last one failed; None where nothing is to be tried again"""

    def begin(self) -> None:
        """A request is about to be sent."""
        if self._ended_ns is None:
            self.failed.clear()  # the one before was answered: this is another call
            self.waited_ns = 0
            return
        self.waited_ns += time.monotonic_ns() - self._ended_ns
        span = self.span()
        if span is not None and span.is_recording():
            span.set_attributes(
                {
                    Tracehound.TRIES: len(self.failed) + 1,
                    Tracehound.TRIES_FAILED: tuple(self.failed),
                    Tracehound.TRIES_WAITED_NS: self.waited_ns,
                }
            )

    def end(self, outcome: int | BaseException) -> None:
        """It was answered with a status, or it failed."""
        if isinstance(outcome, int) and outcome < _FAILED:
            self._ended_ns = None
            return
        self._ended_ns = time.monotonic_ns()
        self.failed.append(str(outcome) if isinstance(outcome, int) else type(outcome).__name__)


_under_way: WeakKeyDictionary[Any, Tries] = WeakKeyDictionary()


def begin_try(method: str) -> Tries | None:
    """A request is about to be sent; None where it is no call of a model, or no LLM span is around."""
    if method.upper() != "POST":
        return None
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or not hasattr(api, "get_current_span"):
        return None
    span = next(
        (each for each in (api.get_current_span(), langchain_span()) if each is not None and is_llm(each)), None
    )
    if span is None:
        return None
    tries = _under_way.get(span)
    if tries is None:
        tries = _under_way[span] = Tries(ref(span))
    tries.begin()
    return tries


def is_llm(span: Any) -> bool:
    """True for an LLM call that is under way, in whichever convention it was started."""
    attributes: Any = getattr(span, "attributes", None)
    if attributes is None or not span.is_recording():
        return False
    return (
        attributes.get(OpenInference.KIND) == "LLM"
        or attributes.get(GenAI.OPERATION) in _LLM_OPERATIONS
        or attributes.get(Tracehound.KIND) == SpanKind.LLM.value
    )
