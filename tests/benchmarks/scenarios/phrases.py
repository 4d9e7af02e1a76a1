"""One intention in many words: how an agent says the same thing again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.scenarios.knobs import Wording


@dataclass(frozen=True, slots=True)
class Phrase:
    """One intention in many words. `template` holds [a|b|c]; `pool` are free paraphrases; `other` are other languages."""

    template: str
    pool: tuple[str, ...]
    other: tuple[str, ...]

    def said(self, wording: Wording, rng: random.Random) -> str:
        if wording == "verbatim":
            return _expanded(self.template, lambda parts: parts[0])
        if wording == "template":
            return _expanded(self.template, rng.choice)
        return rng.choice(self.pool if wording == "pool" else self.other)


def _expanded(template: str, choose: Callable[[list[str]], str]) -> str:
    text = template
    while (end := text.find("]")) >= 0:
        start = text.rfind("[", 0, end)
        text = text[:start] + choose(text[start + 1 : end].split("|")) + text[end + 1 :]
    return text
