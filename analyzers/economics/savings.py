"""What five strategies would have saved, in three numbers each, every call counted once over all strategies.

A call that several strategies claim goes to the one that is surest of it: the largest certain saving, then the largest likely one, then
the largest upper one, then the order of `STRATEGIES`. So the sums never exceed what the calls cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from analyzers.economics.claims import NONE, STRATEGIES, Claim, Workspace, find_claims
from analyzers.economics.dataflow import Reading
from analyzers.finding import Finding

HOW = {
    "budgets": "stop loops and retries with a guard",
    "caching": "answer equal calls from a cache; keep prefixes so that the provider caches them",
    "branches": "do not start parallel work that nobody reads",
    "batching": "send independent calls of one agent together",
    "model": "use a cheaper model for routing, judging, summarising and repairs",
}


def settle(claims: Sequence[Claim]) -> list[Claim]:
    """One claim per call."""
    best: dict[str, Claim] = {}
    for claim in sorted(
        claims,
        key=lambda c: (
            c.span_id,
            -c.certain,
            -c.likely,
            -c.upper,
            *(-n for n in c.tokens),
            STRATEGIES.index(c.strategy),
        ),
    ):
        best.setdefault(claim.span_id, claim)
    return list(best.values())


def find_savings(reading: Reading, findings: Sequence[Finding], workspace: Workspace) -> list[Claim]:
    """What could have been saved on the calls of one run, one claim per call, in order of span id."""
    return settle(find_claims(reading, findings, workspace))


def savings_document(claims: Sequence[Claim], spent: Decimal | None, *, shown: int = 20) -> dict[str, Any]:
    """The `savings` of one run: `{certain_usd, likely_usd, upper_usd, strategies: [...]}`, tokens likewise.

    `spent` is the run's cost; None where no price is known, and then money is null.
    """
    by_strategy: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_strategy[claim.strategy].append(claim)

    def sums(held: Sequence[Claim]) -> dict[str, Any]:
        totals = [sum((getattr(c, level) for c in held), NONE) for level in ("certain", "likely", "upper")]
        tokens = [sum(c.tokens[place] for c in held) for place in range(3)]
        return {
            f"{level}_usd": None if spent is None else float(usd)
            for level, usd in zip(("certain", "likely", "upper"), totals, strict=True)
        } | {f"{level}_tokens": number for level, number in zip(("certain", "likely", "upper"), tokens, strict=True)}

    whole = sums(claims)
    return {
        **whole,
        "upper_share": round(float(whole["upper_usd"]) / float(spent), 4) if spent else None,
        "strategies": [
            {
                "strategy": name,
                "do": HOW[name],
                "calls": len(by_strategy[name]),
                **sums(by_strategy[name]),
                "spans": [
                    c.span_id
                    for c in sorted(by_strategy[name], key=lambda c: (-c.certain, -c.likely, -c.upper, c.span_id))[
                        :shown
                    ]
                ],
            }
            for name in STRATEGIES
        ],
    }
