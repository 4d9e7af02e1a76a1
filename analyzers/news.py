"""Does a text say anything that was not said before? The loop core's measure, for questions asked of a recorded run."""

from __future__ import annotations

from tracer.online.loop import LoopThresholds
from tracer.online.novelty import read
from tracer.online.words import COMMON


class News:
    """Remembers what was said. Texts must come in causal order; O(tokens) each."""

    def __init__(self, thresholds: LoopThresholds | None = None) -> None:
        self._thresholds = thresholds or LoopThresholds()
        self._seen: set[str] = set()

    def told(self, text: str) -> bool:
        """Take `text` in; True where a fifth of its items or a quarter of its words are new."""
        reading = read(text)
        words = reading.words - COMMON
        new_items, new_words = len(reading.hard - self._seen), len(words - self._seen)
        self._seen |= reading.hard | words
        t = self._thresholds
        return new_items >= t.hard_ratio * max(len(reading.hard), t.min_hard) or (
            new_words >= t.word_ratio * max(len(words), t.min_words)
        )
