"""Question: does an agent send its whole history again at every call, so that the tokens grow with the square of the calls?

    call 1  |s|             input tokens
    call 2  |s|a|
    call 3  |s|a|b|         everything left of the last piece was sent before
    call 4  |s|a|b|c|       sent: s x 4, a x 3, b x 2, c x 1

Per agent and run: at least eight calls, a rising Theil-Sen slope of input tokens, all inputs together at least four
times the last one, and at least 70 % of what was sent had been sent before (messages are stored once per content, so
that a message sent again is seen by its id, and a history kept as one text by its beginning). Tokens read from a prompt cache are cheap and are taken off. It is a
warning where the tokens paid again are many, or the calls; a short chat with a history is how agents work and is not mentioned.
Source: note on cost, section 4. Known misses: histories rewritten at every call; runs without token counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import polars as pl

from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.wording import amount, onwards, share

KIND = "context_growth"
LONG = 200
"""characters from which on a message is compared with those of the call before it; shorter ones are greetings and orders"""
ADDED = 20
"""characters by which it must have grown, so that a long order with another name in it is no history"""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextGrowthThresholds:
    calls: int = 8
    resent: float = 0.7
    sum_to_last: float = 4.0
    remark_tokens: int = 12_000
    """tokens sent again at full price; fewer are not worth a word"""
    warn_tokens: int = 250_000
    """about a dollar with a large model of 2026"""
    warn_calls: int = 16
    """or so many calls with at least `warn_tokens_of_many` paid again: no short chat any more, and not cached"""
    warn_tokens_of_many: int = 20_000
    sampled: int = 60
    """calls of which the slope is taken, evenly spread; all pairs of them are compared"""


def find_context_growth(
    frames: Frames, thresholds: ContextGrowthThresholds = ContextGrowthThresholds()
) -> list[Finding]:
    """One finding per agent whose calls send the same again and again."""
    t = thresholds
    calls = frames.llm_calls.filter(pl.col("input_tokens").is_not_null() & pl.col("input_refs").is_not_null())
    sums = calls.group_by("run_id", "agent").agg(pl.len(), pl.col("input_tokens").sum().alias("sent"))
    suspects = sums.filter((pl.col("len") >= t.calls) & (pl.col("sent") >= t.remark_tokens))
    calls = calls.join(suspects, on=["run_id", "agent"], how="semi", nulls_equal=True)
    starts = dict(frames.spans.group_by("run_id").agg(pl.col("start_ns").min()).iter_rows()) if calls.height else {}
    found: list[Finding] = []
    for (run_id, agent), part in calls.sort("run_id", "agent", "start_ns", "span_id").group_by(
        "run_id", "agent", maintain_order=True
    ):
        rows = part.select("span_id", "start_ns", "end_ns", "input_tokens", "cached_tokens", "input_refs").to_dicts()
        finding = _finding(str(run_id), None if agent is None else str(agent), rows, frames, starts[str(run_id)], t)
        if finding is not None:
            found.append(finding)
    return found


def resent_tokens(rows: Sequence[Row], contents: Mapping[int, str]) -> list[int]:
    """Per call the input tokens that an earlier call of `rows` had sent: by characters where texts are known, else by messages.

    A message that begins with a message of the call before, as where the history is one growing text, was sent before as far as that reaches.
    """
    seen: set[int] = set()
    last: list[str] = []
    out: list[int] = []
    for row in rows:
        texts = {ref: contents[ref] for ref in row["input_refs"] if ref in contents}
        sizes = [len(texts[ref]) if ref in texts else 400 for ref in row["input_refs"]]
        old = sum(
            size if ref in seen else _known_part(texts.get(ref, ""), last)
            for ref, size in zip(row["input_refs"], sizes, strict=True)
        )
        out.append(round(row["input_tokens"] * old / max(1, sum(sizes))))
        seen.update(row["input_refs"])
        last = [text for text in texts.values() if len(text) >= LONG]
    return out


def _known_part(text: str, before: Sequence[str]) -> int:
    """Characters at the beginning of `text` that a message of `before` makes up, where more was added to it."""
    best = 0
    for old in before:
        head = old[: len(old) - len(old) // 10]  # what closes a prompt ("Continue.") may move to the new end
        if len(text) >= len(old) + ADDED and text.startswith(head):
            best = max(best, len(old) if text.startswith(old) else len(head))
    return best


def theil_sen(values: Sequence[float]) -> float:
    """The median slope over all pairs of equally spaced values."""
    return median((values[j] - values[i]) / (j - i) for i, j in combinations(range(len(values)), 2))


def _finding(
    run_id: str, agent: str | None, rows: Sequence[Row], frames: Frames, start_ns: int, t: ContextGrowthThresholds
) -> Finding | None:
    sent = [row["input_tokens"] for row in rows]
    again = resent_tokens(rows, frames.contents)
    ratio = sum(again) / max(1, sum(sent))
    paid = sum(max(0, old - (row["cached_tokens"] or 0)) for old, row in zip(again, rows, strict=True))
    step = max(1, len(sent) // t.sampled)
    slope = theil_sen(sent[::step]) / step
    grown = sum(sent) / max(1, sent[-1])
    if slope <= 0 or ratio < t.resent or grown < t.sum_to_last or paid < t.remark_tokens:
        return None
    many = len(rows) >= t.warn_calls and paid >= t.warn_tokens_of_many
    severity: Severity = "warning" if paid >= t.warn_tokens or many else "info"
    who = agent or "The run"
    cached = sum(row["cached_tokens"] or 0 for row in rows)
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.9,
        title=f"{who} sent {share(ratio)} of its input again: {paid:,} tokens over {len(rows)} calls",
        explanation=(
            f"{onwards(rows[0]['start_ns'], start_ns).capitalize()}, {who} made {amount(len(rows), 'call')} whose input grew from {sent[0]:,} to {sent[-1]:,} tokens, "
            f"about {slope:,.0f} more each time. {share(ratio)} of the {sum(sent):,} tokens sent had been sent before; "
            f"{paid:,} of them were paid in full"
            + (f" ({cached:,} came from a prompt cache)" if cached else "")
            + ". The total grows with the square of the number of calls. Sure because the messages sent were compared by content."
        ),
        suggestion=(
            "Keep the last few messages and a summary of the rest, hand over results instead of whole conversations, "
            "and put what never changes first so that the provider's prompt cache takes it."
        ),
        trace_id=run_id,
        spans=tuple(row["span_id"] for row in rows),
        agents=(agent,) if agent else (),
        start_ns=rows[0]["start_ns"],
        end_ns=rows[-1]["end_ns"] or rows[-1]["start_ns"],
        wasted_tokens=None,
        checked=(
            Check(rule="calls", value=len(rows), threshold=t.calls, passed=True),
            Check(
                rule="calls, for a warning", value=len(rows), threshold=t.warn_calls, passed=len(rows) >= t.warn_calls
            ),
            Check(rule="more input tokens with each call (Theil-Sen)", value=round(slope, 1), threshold=0, passed=True),
            Check(rule="share of the input sent before", value=round(ratio, 3), threshold=t.resent, passed=True),
            Check(
                rule="all inputs together, in units of the last one",
                value=round(grown, 2),
                threshold=t.sum_to_last,
                passed=True,
            ),
            Check(
                rule="tokens sent again at full price",
                value=paid,
                threshold=t.warn_tokens,
                passed=paid >= t.warn_tokens,
            ),
        ),
        data={
            "key": agent or "",
            "calls": len(rows),
            "resent_share": round(ratio, 4),
            "resent_tokens": sum(again),
            "paid_again_tokens": paid,
            "slope_tokens_per_call": round(slope, 2),
        },
    )
