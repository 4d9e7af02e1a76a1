"""What a text says that was not said before: items, words and templates, with volatile parts masked.

    "Attempt 3 at 12:04:05: fetch doc-17 for ACME"
      volatile (dropped)    attempt 3 | 12:04:05
      items (`hard`)        doc-17                 identifiers, numbers, urls: they name a thing
      words                 fetch, acme            cut to five letters, function words dropped
      sequence              fetch doc-17 for acme  for comparing with a template

Reading is O(characters) and remembers how it took each chunk between blanks, since texts repeat their words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from .words import FUNCTION_WORDS, STEM

HEAD_CHARS, TAIL_CHARS = 1_400, 600
"""longer texts are read at both ends only: about 2 kB holds what a message is about, and bounds the time per event"""
MAX_CACHE = 50_000
SHORT_ITEM_WORDS = 3
"""an argument value of up to three words names a thing; a longer one is prose and read as words"""

_VOLATILE = re.compile(
    r"""\d{4}-\d\d-\d\d(?:t[\d:.,+z-]*)?      # dates and times
    | [0-9a-f]{8}-[0-9a-f-]{27}                # uuids
    | (?:[a-z]+[_-]+)*(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{10,}   # hashes, call_660e04da461350; plain numbers name things
    | 1[4-9]\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?          # seconds to nanoseconds since 1970
    | (?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{16,}    # random ids
    | \d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[ap]m|z)?
    | \d+(?:[.,]\d+)?(?:ns|us|µs|ms|s|sec|secs|seconds|min|mins|tokens|kb|mb)
    | (?:attempt|iteration|step|try|retry|round|turn|pass)s?[#_:=-]?\d+(?:/\d+)?
    """,
    re.VERBOSE,
)
_COUNTER = re.compile(
    r"(?:\w*_)?(?:attempts?|iterations?|steps?|try|tries|retry|retries|round|turns?|pass|count|counter|seq|sequence|version|revision|rev"
    r"|elapsed|duration|latency|timestamp|time|tokens|cache_read|reasoning|cost|cost_usd|updated|updated_at|created_at|ts|datetime\.datetime)"
)
_UNIT = re.compile(r"(?:ns|us|µs|ms|s|secs?|seconds?|minutes?|mins?|hours?|tokens|kb|mb|bytes)")
_NUMBER = re.compile(r"#?[-+]?\d[\d.,]*(?:/\d+)?%?")
_WORD = re.compile(r"[^\W_]+(?:[._/:@-][^\W_]+)*", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_EDGE = "\"'`“”‘’«»()[]{}<>,;:!?.*|\\=~"
_PAIR = re.compile(r"[\"']?(\w+)[\"']?\s*[:=]\s*[\"']?([^,;&\n\"'{}\[\]]+)")
_COUNTABLE = re.compile(r"[\"'](\w+)[\"']\s*:\s*(\d{1,6})(?=\s*[,}\]])")
_QUOTED = re.compile(r"[\"“‘`']([A-Z0-9][^\"”’`'\n]{2,60})[\"”’`']")

_COUNTER_FLAG, _NUMBER_FLAG, _UNIT_FLAG, _OF_FLAG = 1, 2, 4, 8
_COUNTED_FLAGS = _COUNTER_FLAG | _NUMBER_FLAG
_FLAGS, _HARD, _WORDS, _SEQUENCE = itemgetter(0), itemgetter(1), itemgetter(2), itemgetter(3)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one text holds once volatile parts are masked."""

    hard: frozenset[str]
    """identifiers, numbers, urls, lower case"""
    words: frozenset[str]
    """stems, function words left out"""
    sequence: tuple[str, ...]
    """every unmasked token in order, lower case"""

    @property
    def fingerprint(self) -> int:
        """Equal for texts that differ only in volatile parts and punctuation (within one process)."""
        return hash(self.sequence)


EMPTY = Reading(frozenset(), frozenset(), ())

_Chunk = tuple[int, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


class _Chunks(dict[str, _Chunk]):
    """Chunk -> how it is taken; what was not met before is taken apart when it is asked for."""

    def __missing__(self, chunk: str) -> _Chunk:
        entry = self[chunk] = _take(chunk)
        return entry


_cache = _Chunks()


def clip(text: str) -> str:
    """`text`, or its head and tail where it is longer than the core reads."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    head, tail = text[:HEAD_CHARS], text[-TAIL_CHARS:]
    # Cut between words where there are blanks: half an identifier would look like a new one every time.
    return f"{head[: head.rfind(' ') + 1] or head} {tail[tail.find(' ') + 1 :]}"


def shared_ends(text: str, before: str) -> tuple[int, int]:
    """How many characters `text` begins, and ends, with as `before` does; the two never overlap in either."""
    head = _shared(text, before)
    limit = min(len(text), len(before)) - head
    return head, _shared(text[: -limit - 1 : -1], before[: -limit - 1 : -1]) if limit else 0


def _shared(a: str, b: str) -> int:
    """Length of the common beginning, by halving: each look compares at C speed."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=512)
def read(text: str) -> Reading:
    """Read one text; the empty text gives `EMPTY`. The last few hundred are remembered: an answer is often also the message sent."""
    if not text:
        return EMPTY
    entries = _entries(clip(text).split())
    # The common case: nothing depends on its neighbours. Few chunks have any flag, so all are asked for one first, without Python.
    if not any(map(_FLAGS, entries)) or not any(entry[0] & _COUNTED_FLAGS for entry in entries):
        return Reading(
            frozenset(chain.from_iterable(map(_HARD, entries))),
            frozenset(chain.from_iterable(map(_WORDS, entries))),
            tuple(chain.from_iterable(map(_SEQUENCE, entries))),
        )
    hard: list[str] = []
    words: list[str] = []
    sequence: list[str] = []
    counting = False  # the chunk before was "attempt", "turn": the number that follows it says nothing
    held: _Chunk | None = None  # a number, kept back until the next chunk shows whether it is a duration
    for entry in entries:
        flags = entry[0]
        if not flags and held is None:  # the common case
            counting = False
            hard += entry[1]
            words += entry[2]
            sequence += entry[3]
            continue
        if held is not None:
            if not flags & _UNIT_FLAG:
                hard += held[1]
                sequence += held[3]
            held = None
            if flags & _UNIT_FLAG:
                continue
        if flags & _NUMBER_FLAG:
            if not counting:
                held = entry
            continue
        if counting and flags & _OF_FLAG:
            continue
        counting = bool(flags & _COUNTER_FLAG)
        hard += entry[1]
        words += entry[2]
        sequence += entry[3]
    if held is not None:
        hard += held[1]
        sequence += held[3]
    return Reading(frozenset(hard), frozenset(words), tuple(sequence))


def _entries(chunks: list[str]) -> list[_Chunk]:
    if len(_cache) >= MAX_CACHE:
        _cache.clear()
    return list(map(_cache.__getitem__, chunks))


def _take(chunk: str) -> _Chunk:
    """Take one chunk between blanks apart: (flags, items, words, sequence)."""
    bare = chunk.strip(_EDGE).lower()
    if not bare or _VOLATILE.fullmatch(bare):
        return 0, (), (), ()
    if _NUMBER.fullmatch(bare):
        number = bare.strip("#,")
        return _NUMBER_FLAG, (number,), (), (number,)
    if _COUNTER.fullmatch(bare):
        both = _COUNTER_FLAG | (_UNIT_FLAG if _UNIT.fullmatch(bare) else 0)  # "tokens: 812" and "812 tokens"
        return both, (), (bare[:STEM],), (bare,)
    if _UNIT.fullmatch(bare):
        return _UNIT_FLAG, (), () if len(bare) < 3 else (bare[:STEM],), (bare,)
    flags = _OF_FLAG if bare in ("of", "out") else 0
    hard: list[str] = []
    words: list[str] = []
    sequence: list[str] = []
    # `"turn":12,"city":"Rome"` comes as one chunk where JSON has no blanks: take its tokens one by one.
    pieces = [bare] if bare.isalpha() else [bare] if "://" in bare else _WORD.findall(bare)
    counting = False
    for piece in pieces:
        if _VOLATILE.fullmatch(piece):
            continue
        if len(pieces) > 1 and _NUMBER.fullmatch(piece):
            if not counting:
                hard.append(piece)
                sequence.append(piece)
            continue  # and stays in force: datetime(2026, 11, 22) has several numbers
        counting = bool(_COUNTER.fullmatch(piece))
        sequence.append(piece)
        if _CJK.search(piece):
            words += [piece[i : i + 2] for i in range(len(piece) - 1)] or [piece]
        elif not piece.isalpha() and (
            any(c.isdigit() or c in "_/:@" for c in piece) or ("." in piece and not piece.endswith("."))
        ):
            hard.append(piece)
        else:
            words += [part[:STEM] for part in piece.split("-") if len(part) > 2 and part not in FUNCTION_WORDS]
    if counting and len(pieces) > 1:
        flags |= _COUNTER_FLAG
    return flags, tuple(hard), tuple(words), tuple(sequence)


def argument_items(args: str) -> frozenset[str]:
    """The things a call's arguments name: `key=value` for short values, or the whole of a short bare argument."""
    if not args:
        return frozenset()
    text = clip(args).strip()
    if text[:1] in "{[":
        try:
            value: Any = json.loads(args)
        except ValueError:
            pass  # cut off or not JSON after all: the pairs below still show most of it
        else:
            return frozenset(item for key, leaf in _leaves(value) if (item := _item(key, leaf)))
    pairs = [(key.lower(), value.strip()) for key, value in _PAIR.findall(text)]
    if not pairs:
        item = _item("", text, limit=2 * SHORT_ITEM_WORDS)
        return frozenset((item,)) if item else frozenset()
    return frozenset(item for key, value in pairs if (item := _item(key, value)))


def _leaves(value: Any) -> Iterator[tuple[str, str]]:
    """The scalar leaves of a JSON value with the key they stand under; list positions do not count."""
    stack: list[tuple[str, Any]] = [("", value)]
    while stack:
        key, node = stack.pop()
        if isinstance(node, dict):
            stack.extend((str(k).lower(), v) for k, v in cast("dict[Any, Any]", node).items())
        elif isinstance(node, list):
            stack.extend((key, v) for v in cast("list[Any]", node))
        elif node is not None and not isinstance(node, bool):
            yield key, str(node)


def _item(key: str, value: str, limit: int = SHORT_ITEM_WORDS) -> str:
    if _COUNTER.fullmatch(key):
        return ""
    sequence = read(value).sequence
    return f"{key}={' '.join(sequence)}" if 0 < len(sequence) <= limit else ""


def quoted_items(text: str) -> frozenset[str]:
    """Names in quotation marks, such as 'Road to Perdition'; in JSON, where everything is quoted, short values that are no sentence."""
    names = _QUOTED.findall(text)
    if text[:1] in "{[":
        names = [n for n in names if n[-1] not in ".?!" and len(n.split()) <= SHORT_ITEM_WORDS]
    return frozenset(name.lower() for name in names)


def is_counter(name: str) -> bool:
    """Whether a field of that name counts or times rounds, such as `retry_count` or `updated_at`: its value is never news."""
    return bool(_COUNTER.fullmatch(name.lower()))


def countable(text: str) -> dict[str, int]:
    """What in a text may be a counter: the whole numbers of a JSON object by key ("" for a text that is nothing else); no ids."""
    if text.isdecimal():
        return {"": int(text)} if len(text) <= 6 else {}
    if text[:1] != "{":
        return {}
    return {key: int(value) for key, value in _COUNTABLE.findall(clip(text)) if not key.lower().endswith("id")}


_MASK_ERROR = re.compile(r"0x[0-9a-f]+|(?:/|[a-z]:\\)\S+|\S+/\S*|\S*\d\S*", re.IGNORECASE)
_QUOTED_ANY = re.compile(r"[\"'`]([^\"'`\n]+)[\"'`]")


def mask_error(text: str, args: str = "") -> str:
    """What kind of error this is: its first 300 characters without numbers, paths and what only echoes the arguments.

    Other quoted names stay: a missing `yaml` after a missing `numpy` is another error, and so a step further.
    """
    shown = _QUOTED_ANY.sub(lambda m: "*" if m.group(1) in args else m.group(0), text[:300])
    return " ".join(_MASK_ERROR.sub("*", shown).lower().split())
