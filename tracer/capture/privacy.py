"""What may leave the process: content on, off or by hash only; secrets and given patterns are masked before anything is written.

Equal texts are looked at once: messages by the content cache before they come here, attributes by the one here, which matters
because instrumentors write the whole history of a chat onto every span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, cast

from ..semconv import GenAI, OpenInference, OpenLLMetry, PydanticAI, Tracehound
from .secrets import MASK, SHORTEST, mask_secrets, names_secret

CaptureContent = bool | Literal["hashed"]
Redact = Callable[[str], str] | re.Pattern[str] | str | Iterable["re.Pattern[str] | str"] | Literal[False]
"""A callable text -> text, or patterns whose matches become `[redacted]`, both beside the secrets that are masked anyway. False masks
nothing, not even secrets."""

_NUMBERS: Final = frozenset({int, float, bool, type(None)})
MAX_REMEMBERED: Final = 4_096
MAX_REMEMBERED_CHARS: Final = 4_000_000

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
    """One function text -> text: secrets and whatever was asked for. A callable that fails masks the whole text."""
    if redact is False:
        return None
    own = _own(redact)
    return _Once(mask_secrets if own is None else lambda text: own(mask_secrets(text)))


class _Once:
    """Remembers what became of a text, so that an equal one costs a look-up. Bounded; starts afresh when full."""

    def __init__(self, function: Callable[[str], str]) -> None:
        self._function = function
        self._known: dict[str, str] = {}
        self._chars = 0

    def __call__(self, text: str) -> str:
        found = self._known.get(text)
        if found is None:
            found = self._function(text)
            self._chars += len(text)
            if len(self._known) >= MAX_REMEMBERED or self._chars > MAX_REMEMBERED_CHARS:
                self._known.clear()
                self._chars = len(text)
            self._known[text] = found
        return found


def _own(redact: Redact | None) -> Callable[[str], str] | None:
    if redact is None or redact is False:
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
        self._masks_secrets = redact is not False
        self._only_secrets = redact is None
        self.changes_attributes = self.redact is not None or not self.keeps_bodies

    def attributes(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The attributes that may be written: no content where it is off, every string masked."""
        if not self.keeps_bodies:
            attributes = {key: value for key, value in attributes.items() if not is_content(key)}
        if self.redact is None:
            return attributes
        unsafe = [
            key
            for key, value in attributes.items()
            if (type(value) not in _NUMBERS)
            and (not self._only_secrets or type(value) is not str or len(value) >= SHORTEST or names_secret(key))
        ]
        if not unsafe:
            return attributes
        masked = dict(attributes)
        for key in unsafe:
            value = attributes[key]
            secret = self._masks_secrets and names_secret(key) and _is_text(value)
            masked[key] = MASK if secret else self._masked(value)
        return masked

    def text(self, text: str) -> str:
        return self.redact(text) if self.redact is not None and text else text

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if self._only_secrets and len(value) < SHORTEST else self.text(value)
        if isinstance(value, list):
            return [self._masked(item) for item in cast("list[Any]", value)]
        return value


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, list))


def is_content(attribute: str) -> bool:
    """True for an attribute that carries what people or models said, in any convention."""
    return attribute in _CONTENT_NAMES or attribute.startswith(_CONTENT_PREFIXES)
