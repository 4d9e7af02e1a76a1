"""Which texts ask for the same thing in other words.

Two texts are near-duplicates when their content words overlap (Jaccard >= 0.7) and their *items* agree: every number, id, quoted or
capitalised name that one mentions occurs in the other, so that "sales in Q3" and "sales in Q4" stay apart.

Pairs are found by a set-similarity join with prefix filter: two sets with Jaccard >= t share a word among the rarest
|s| - ceil(t |s|) + 1 words of each. That gives every pair that MinHash would only probably give. Cost: about linear where words are
spread, quadratic in the number of distinct texts that share their rarest words.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

from tracer.online.words import FUNCTION_WORDS

JACCARD = 0.7
"""the usual threshold for MinHash candidates"""
WORD = re.compile(r"[^\W_]+(?:[-.'][^\W_]+)*")
QUOTED = re.compile(r"\"([^\"]{2,60})\"|'([^']{2,60})'")
SENTENCE_START = re.compile(r"(?:^|[.!?:\n]\s*)$")


@dataclass(frozen=True, slots=True)
class Asked:
    """A text as the comparison sees it."""

    words: frozenset[str]
    """content words, lower case"""
    items: frozenset[str]
    """numbers, ids, names: words that must occur in the other text too"""
    all_words: frozenset[str]


def asked(text: str) -> Asked:
    """Take a text (or the JSON of a tool's arguments, of which only the values count) apart."""
    plain = flat(text)
    every: set[str] = set()
    items: set[str] = set()
    for match in WORD.finditer(plain):
        raw = match.group()
        word = raw.casefold()
        every.add(word)
        if raw.islower() and raw.isalpha():
            continue  # most words: neither a name nor a number
        named = raw[0].isupper() and not SENTENCE_START.search(plain[max(0, match.start() - 3) : match.start()])
        if any(map(str.isdigit, raw)) or (named and word not in FUNCTION_WORDS):
            items.add(word)
    for match in QUOTED.finditer(plain):
        items.update(part.casefold() for part in WORD.findall(match.group(1) or match.group(2)))
    return Asked(frozenset(every - FUNCTION_WORDS) or frozenset(every), frozenset(items), frozenset(every))


def alike(one: Asked, other: Asked, jaccard: float = JACCARD) -> bool:
    """True where both ask for the same thing."""
    if not one.words or not other.words:
        return False
    small, large = sorted((len(one.words), len(other.words)))
    if small < jaccard * large:
        return False
    common = len(one.words & other.words)
    if common < jaccard * (small + large - common):
        return False
    return one.items <= other.all_words and other.items <= one.all_words


def near_duplicates(texts: Sequence[str], jaccard: float = JACCARD) -> list[int]:
    """For each text the index of the earliest text of its group (itself, where it is the first); groups are closed over pairs."""
    held = [asked(text) for text in texts]
    frequency = Counter(word for one in held for word in one.words)
    parent = list(range(len(held)))

    def find(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    by_word: dict[str, list[int]] = defaultdict(list)
    first_with: dict[tuple[frozenset[str], frozenset[str]], int] = {}
    for index, one in enumerate(held):
        same = first_with.setdefault((one.words, one.items), index)
        if same != index:
            parent[index] = find(same)
            continue
        ranked = sorted(one.words, key=lambda word: (frequency[word], word))
        prefix = ranked[: len(ranked) - ceil(jaccard * len(ranked)) + 1]
        for candidate in {earlier for word in prefix for earlier in by_word[word]}:
            root, other = find(index), find(candidate)
            if root != other and alike(one, held[candidate], jaccard):
                parent[max(root, other)] = min(root, other)
        for word in prefix:
            by_word[word].append(index)
    return [find(index) for index in range(len(held))]


def same_questions(texts: Sequence[str], jaccard: float = 0.5, contained: float = 0.9) -> list[int]:
    """As `near_duplicates`, for a few texts of which more is known, such as that they were answered alike: half of the words are
    enough, or that nearly all words of the shorter one occur in the other (as in rapidfuzz's token_set_ratio). O(n^2)."""
    held = [asked(text) for text in texts]
    group = list(range(len(held)))
    for index, one in enumerate(held):
        for earlier in range(index):
            other = held[earlier]
            if group[earlier] != earlier or not (one.items <= other.all_words and other.items <= one.all_words):
                continue
            common, shorter = len(one.words & other.words), min(len(one.words), len(other.words))
            if common >= jaccard * len(one.words | other.words) or (shorter > 1 and common >= contained * shorter):
                group[index] = earlier
                break
    return group


def flat(text: str) -> str:
    """The string and number values of a JSON object or list, else the text as it is."""
    if text[:1] not in "{[":
        return text
    try:
        pending: list[Any] = [json.loads(text)]
    except ValueError:
        return text
    parts: list[str] = []
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending.extend(reversed(list(cast("dict[str, Any]", one).values())))
        elif isinstance(one, list):
            pending.extend(reversed(cast("list[Any]", one)))
        elif one is not None:
            parts.append(str(one))
    return " ".join(parts)


def repeats(groups: Iterable[tuple[str, int]]) -> set[int]:
    """Positions of (run, group) pairs whose group an *earlier* run has already asked."""
    first_run: dict[int, str] = {}
    again: set[int] = set()
    for position, (run, group) in enumerate(groups):
        if first_run.setdefault(group, run) != run:
            again.add(position)
    return again
