"""What may leave the process: content on, off or by hash only, and patterns that are masked before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from ..semconv import GenAI, OpenInference, OpenLLMetry, PydanticAI, Tracehound

CaptureContent = bool | Literal["hashed"]
Redact = Callable[[str], str] | re.Pattern[str] | str | Iterable["re.Pattern[str] | str"]
"""A callable text -> text, or patterns whose matches become `[redacted]`."""

MASK = "[redacted]"

_CONTENT_NAMES = frozenset(
    {
        GenAI.INPUT_MESSAGES, GenAI.OUTPUT_MESSAGES, GenAI.SYSTEM_INSTRUCTIONS, GenAI.TOOL_DEFINITIONS,
        GenAI.RETRIEVAL_QUERY, GenAI.RETRIEVAL_DOCUMENTS, *GenAI.TOOL_ARGUMENTS, *GenAI.TOOL_RESULT,
        OpenInference.INPUT_VALUE, OpenInference.OUTPUT_VALUE, OpenInference.TOOL_PARAMETERS,
        OpenLLMetry.ENTITY_INPUT, OpenLLMetry.ENTITY_OUTPUT, PydanticAI.ALL_MESSAGES,
        PydanticAI.OLD_ALL_MESSAGES, PydanticAI.EVENTS, PydanticAI.FINAL_RESULT,
        Tracehound.INPUT, Tracehound.OUTPUT,
    }
)  # fmt: skip
_CONTENT_PREFIXES = (
    OpenInference.INPUT_MESSAGES + ".",
    OpenInference.OUTPUT_MESSAGES + ".",
    OpenInference.PROMPTS + ".",
    # Numbered, because gen_ai.prompt.name is no content.
    *(f"{name}.{digit}" for name in (OpenLLMetry.PROMPTS, OpenLLMetry.COMPLETIONS) for digit in range(10)),
)


def redactor(redact: Redact | None) -> Callable[[str], str] | None:
    """One function text -> text for whatever was asked for; a callable that fails masks the whole text."""
    if redact is None:
        return None
    if callable(redact):
        return _contained(redact)
    given: Iterable[re.Pattern[str] | str] = [redact] if isinstance(redact, (str, re.Pattern)) else redact
    patterns = [re.compile(one) if isinstance(one, str) else one for one in given]

    def mask(text: str) -> str:
        for pattern in patterns:
            text = pattern.sub(MASK, text)
        return text

    return mask


def _contained(redact: Callable[[str], str]) -> Callable[[str], str]:
    def safe(text: str) -> str:
        try:
            return redact(text)
        except Exception as error:  # noqa: BLE001 - rather lose the text than the run or the secret; the mask says why
            return f"{MASK[:-1]}: {type(error).__name__} in redact]"

    return safe


class Privacy:
    """Applies the choices to the attributes of a span, its events and its status text."""

    def __init__(self, capture_content: CaptureContent = True, redact: Redact | None = None) -> None:
        self.keeps_bodies = capture_content is True
        self.names_contents = capture_content is not False
        self.redact = redactor(redact)
        self.changes_attributes = self.redact is not None or not self.keeps_bodies

    def attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The attributes that may be written: no content where it is off, every string masked."""
        if not self.keeps_bodies:
            attributes = {key: value for key, value in attributes.items() if not is_content(key)}
        if self.redact is not None:
            attributes = {key: self._masked(value) for key, value in attributes.items()}
        return attributes

    def text(self, text: str) -> str:
        return self.redact(text) if self.redact is not None and text else text

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._masked(item) for item in cast("list[Any]", value)]
        return value


def is_content(attribute: str) -> bool:
    """True for an attribute that carries what people or models said, in any convention."""
    return attribute in _CONTENT_NAMES or attribute.startswith(_CONTENT_PREFIXES)
