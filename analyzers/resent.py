"""How much of each LLM call's input had been sent before: exact from content references, no text is read.

    call 1   [system] [task]                                   -> answer 1          nothing before it
    call 2   [system] [task] [answer 1] [tool result]          -> answer 2          the first three were known
             |---- input of call 1 ---||-output-|

The messages of all calls form a tree of prefixes; a call's resent part is its longest path that an earlier call laid. Where that
path ends with the whole input (or input and answer) of an earlier call, that call's reported tokens say exactly how many tokens it
is; what goes beyond is shared out by the length of the messages. O(messages).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

COLUMNS = ["span_id", "start_ns", "input_refs", "output_refs", "input_tokens", "output_tokens"]


@dataclass(frozen=True, slots=True)
class Resent:
    """The part of one call's input that an earlier call of the run had sent or received."""

    tokens: int
    """0 to the call's input tokens"""
    messages: int
    exact: bool
    """all of it counted by the provider, nothing shared out by length"""


def find_resent(calls: pl.DataFrame, contents: Mapping[int, str]) -> dict[str, Resent]:
    """span_id -> what it re-sent, for the LLM calls of one run; calls without recorded messages or tokens are left out."""
    tree: dict[tuple[int, int], int] = {}
    told: dict[int, int] = {}
    """node -> tokens of the path to it, as a provider counted them"""
    found: dict[str, Resent] = {}

    def size(ref: int) -> int:
        return len(contents.get(ref, "")) or 1

    for span_id, _, given, got, sent, received in (
        calls.sort("start_ns", "span_id").select(COLUMNS).iter_rows()
    ):  # fmt: skip
        refs: list[int] = given or []
        if not refs:
            continue
        node = depth = base = base_depth = 0
        while depth < len(refs) and (node, refs[depth]) in tree:
            node = tree[node, refs[depth]]
            depth += 1
            if node in told:
                base, base_depth = told[node], depth
        if sent is not None:
            base = min(base, sent)
            rest = sum(size(ref) for ref in refs[base_depth:])
            beyond = sum(size(ref) for ref in refs[base_depth:depth])
            shared_out = (sent - base) * beyond // rest if rest else 0
            found[span_id] = Resent(base + shared_out, depth, base_depth == depth)
        for ref in refs[depth:]:
            node = tree.setdefault((node, ref), len(tree) + 1)
        if sent is not None:
            told.setdefault(node, sent)
            answers: list[int] = got or []
            for ref in answers:
                node = tree.setdefault((node, ref), len(tree) + 1)
            if got:
                told.setdefault(node, sent + (received or 0))
    return found
