"""Identifiers: W3C trace and span ids as lower-case hex, content ids as signed 64-bit integers."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

TRACE_ID = re.compile(r"[0-9a-f]{32}")
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=repr).encode
SPAN_ID = re.compile(r"[0-9a-f]{16}")


def is_trace_id(text: str) -> bool:
    """True for 32 lower-case hex digits that are not all zero (W3C Trace Context)."""
    return TRACE_ID.fullmatch(text) is not None and text.strip("0") != ""


def is_span_id(text: str) -> bool:
    """True for 16 lower-case hex digits that are not all zero (W3C Trace Context)."""
    return SPAN_ID.fullmatch(text) is not None and text.strip("0") != ""


def content_id(text: str) -> int:
    """The id of a stored text: the first 64 bits of its BLAKE2b, signed so that it fits a BIGINT.

    Two different texts share an id with a probability of about 3e-6 at ten million texts.
    """
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def trace_id_of(*parts: str) -> str:
    """A stable trace id for a source that has none, so that importing it twice stores it once."""
    return blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def span_id_of(*parts: str) -> str:
    """A stable span id for a source that has none."""
    return blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no blanks, non-ASCII kept, unknown objects as their repr."""
    return _canonical(value)


def short_hash(value: Any) -> str:
    """16 hex digits over the canonical JSON of `value`; equal arguments have equal hashes."""
    return blake2b(canonical_json(value).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
